//! Requests in words.

use stint_api::requests::{RequestView, ReviewView};
use stint_grant::terms::CheckedTerms;

use super::{Facts, distance, safe, table, terms, when};
use crate::duration;

/// The list.
pub(crate) fn list(requests: &[RequestView], now: i64) -> String {
    let row = |r: &RequestView| {
        [
            safe(&r.id),
            state(r),
            safe(&r.principal),
            safe(&r.entitlement),
            r.hosts.iter().map(|h| safe(h)).collect::<Vec<_>>().join(","),
            duration::words(r.window),
            distance(r.created_at, now),
            safe(&r.reason),
        ]
    };
    let header = ["ID", "STATE", "WHO", "ENTITLEMENT", "HOSTS", "WINDOW", "MADE", "REASON"];
    table(header, requests.iter().map(row).collect(), "no requests")
}

/// The state, and why it came to that if the requester cannot know.
fn state_and_why(request: &RequestView) -> String {
    match &request.cancelled_why {
        Some(why) => format!("{}: {}", state(request), safe(why)),
        None => state(request),
    }
}

fn state(request: &RequestView) -> String {
    if request.state == "pending" {
        return format!("pending {}/{}", approvals(request), request.reviews_needed);
    }
    safe(&request.state)
}

fn approvals(request: &RequestView) -> usize {
    request.reviews.iter().filter(|r| r.decision == "approve").count()
}

/// One request with its terms.
pub(crate) fn full(request: &RequestView, checked: &CheckedTerms, now: i64) -> String {
    let reviews = request.reviews.iter().map(|r| review(r, now)).collect();
    let facts = Facts::new()
        .add("state", state_and_why(request))
        .add("made", when(request.created_at, now))
        .lines("reviews", reviews);
    format!("Request {}\n{}", safe(&request.id), terms::facts(facts, checked, now).text())
}

fn review(review: &ReviewView, now: i64) -> String {
    let done = if review.decision == "approve" { "approved" } else { "denied" };
    let text = format!("{done} by {} {}", safe(&review.reviewer), distance(review.at, now));
    match &review.comment {
        Some(comment) => format!("{text}: {}", safe(comment)),
        None => text,
    }
}

/// The live line while one waits.
pub(crate) fn waiting(request: &RequestView) -> String {
    let id = safe(&request.id);
    let by = |decision: &str| {
        let names: Vec<_> =
            request.reviews.iter().filter(|r| r.decision == decision).map(|r| safe(&r.reviewer)).collect();
        if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) }
    };
    match request.state.as_str() {
        "pending" => {
            let missing = (request.reviews_needed as usize).saturating_sub(approvals(request));
            let plural = if missing == 1 { "review" } else { "reviews" };
            let so_far = match by("approve") {
                by if by.is_empty() => by,
                by => format!(", approved so far{by}"),
            };
            format!("Request {id} waits for {missing} {plural}{so_far} ...")
        }
        "approved" => format!("Request {id} approved{}", by("approve")),
        "denied" => format!("Request {id} denied{}", by("deny")),
        _ => format!("Request {id} {}", state_and_why(request)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::{self, NOW};

    fn reviewed(decision: &str, comment: Option<&str>) -> RequestView {
        let mut request = samples::request();
        request.reviews = vec![ReviewView {
            reviewer: "bob".into(),
            decision: decision.into(),
            at: NOW + 30,
            comment: comment.map(str::to_owned),
        }];
        request
    }

    #[test]
    fn the_list_shows_how_many_reviews_are_there() {
        assert_eq!(
            list(&[samples::request()], NOW + 60),
            "\
ID            STATE        WHO    ENTITLEMENT    HOSTS   WINDOW  MADE       REASON
7f3abcdefgh2  pending 0/1  alice  nginx-restart  web-01  40 min  1 min ago  OPS-12 certificate rollover
"
        );
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(list(&[], NOW), "no requests\n");
    }

    #[test]
    fn a_request_is_shown_with_its_reviews_and_terms() {
        let mut request = reviewed("approve", Some("go ahead"));
        request.state = "approved".into();
        let checked = CheckedTerms::parse(&request.terms).unwrap();
        let text = full(&request, &checked, NOW + 60);
        let head = "\
Request 7f3abcdefgh2
  state        approved
  made         2026-11-23 14:00:00 UTC (1 min ago)
  reviews      approved by bob 30 s ago: go ahead
  who          alice, as the account alice
";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn a_request_that_somebody_else_cancelled_says_why() {
        let mut request = samples::request();
        request.state = "cancelled".into();
        request.cancelled_why = Some("the entitlement web\u{1b}[2J is gone".into());
        let checked = CheckedTerms::parse(&request.terms).unwrap();
        let text = full(&request, &checked, NOW);
        assert!(text.contains("cancelled: the entitlement web"), "{text}");
        assert!(waiting(&request).contains("cancelled: the entitlement"), "{}", waiting(&request));
        assert!(!text.contains('\u{1b}') && !waiting(&request).contains('\u{1b}'));
    }

    #[test]
    fn the_live_line_follows_the_request() {
        assert_eq!(waiting(&samples::request()), "Request 7f3abcdefgh2 waits for 1 review ...");
        let mut two = reviewed("approve", None);
        two.reviews_needed = 2;
        assert_eq!(waiting(&two), "Request 7f3abcdefgh2 waits for 1 review, approved so far by bob ...");
        two.state = "approved".into();
        assert_eq!(waiting(&two), "Request 7f3abcdefgh2 approved by bob");
        let mut denied = reviewed("deny", None);
        denied.state = "denied".into();
        assert_eq!(waiting(&denied), "Request 7f3abcdefgh2 denied by bob");
        denied.state = "expired".into();
        assert_eq!(waiting(&denied), "Request 7f3abcdefgh2 expired");
    }
}
