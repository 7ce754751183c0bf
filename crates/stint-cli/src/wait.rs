//! Waiting: for reviews, and for a change to come into effect.

use std::time::Duration;

use stint_api::grants::{Effect, GrantView};
use stint_api::requests::RequestView;
use tokio::time::{Instant, sleep, timeout_at};

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{LiveLine, Output};
use crate::session::{Session, now};
use crate::show;

/// Hosts acknowledge within a fraction of a second.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// After the broker could not be reached.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Waits until a request is no longer pending.
pub(crate) async fn for_reviews(
    session: &mut Session,
    mut request: RequestView,
    timeout: Option<u64>,
    output: Output,
) -> Outcome<RequestView> {
    let longest = u64::try_from(request.claim_by.saturating_sub(now())).unwrap_or(0).max(1);
    let end = Instant::now() + Duration::from_secs(timeout.unwrap_or(longest));
    let mut line = LiveLine::new(output);
    line.set(&show::request::waiting(&request));
    while request.state == "pending" {
        let client = session.fresh().await?.clone();
        match timeout_at(end, client.wait_for_request(&request.id, request.version)).await {
            Ok(Ok(newer)) => request = newer,
            Ok(Err(e)) => {
                let failure = Failure::from(e);
                if failure.exit != Exit::Unreachable || Instant::now() + TRY_AGAIN > end {
                    line.done();
                    return Err(failure);
                }
                // A broker that restarts does not end the wait.
                line.set(&format!("Request {} waits; the broker does not answer now ...", request.id));
                sleep(TRY_AGAIN).await;
            }
            Err(_) => {
                line.done();
                return Err(Failure::new(Exit::TimedOut, format!("request {} is still pending", request.id))
                    .next(format!("wait again: stint request wait {}", request.id)));
            }
        }
        line.set(&show::request::waiting(&request));
    }
    line.done();
    Ok(request)
}

/// Waits until a grant's newest change is in effect on each host.
pub(crate) async fn for_grant(session: &Session, mut grant: GrantView, timeout: u64) -> Outcome<GrantView> {
    let end = Instant::now() + Duration::from_secs(timeout);
    while !show::effect::is_settled(&grant.effect) && Instant::now() < end {
        sleep(LOOK_AGAIN).await;
        grant = session.client().grant(&grant.id).await?;
    }
    Ok(grant)
}

/// Judges how far a change came, after it was shown.
pub(crate) fn judge(effect: &Effect, what: &str) -> Outcome {
    let refusals = show::effect::refusals(effect);
    if !refusals.is_empty() {
        return Err(Failure::new(Exit::Refused, format!("{what} was refused by {}", refusals.join("; ")))
            .next(
                "the host's own ceiling (/etc/stint/host.toml) says what it takes; ask its administrator",
            ));
    }
    if show::effect::is_settled(effect) {
        return Ok(());
    }
    Err(Failure::new(Exit::TimedOut, format!("{what}: {}", show::effect::line(effect)))
        .next("it takes effect when the host is heard from: stint host ls"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::effect;

    #[test]
    fn a_refusal_by_a_host_is_a_failure_even_if_others_took_it() {
        let effect = effect(&[("a", Some(5), None), ("b", Some(5), Some("ceiling"))]);
        let failure = judge(&effect, "grant 7f3a").unwrap_err();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Refused, "grant 7f3a was refused by b: ceiling")
        );
    }

    #[test]
    fn no_word_from_a_host_is_a_timeout() {
        let failure = judge(&effect(&[("a", None, None)]), "grant 7f3a").unwrap_err();
        assert_eq!(failure.exit, Exit::TimedOut);
    }

    #[test]
    fn in_effect_everywhere_is_done() {
        assert_eq!(judge(&effect(&[("a", Some(5), None)]), "grant 7f3a"), Ok(()));
        assert_eq!(judge(&effect(&[]), "lock"), Ok(()));
    }
}
