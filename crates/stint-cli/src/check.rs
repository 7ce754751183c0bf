//! Terms against what was asked for: the broker writes the terms, so this side reads them before it believes them.

use std::collections::BTreeSet;

use stint_api::requests::{NewRequest, RequestView};
use stint_grant::codes::CodePlace;
use stint_grant::ids::{Fingerprint, FleetName, HostName};
use stint_grant::terms::{CheckedTerms, Class};

use crate::exit::{Failure, Outcome};
use crate::show::safe;

/// How far ahead of this clock the window may begin if no beginning was asked for: clocks differ.
const CLOCK_DIFFERENCE: i64 = 300;

/// Reads the terms of a request, and checks that the request says of itself what they say.
pub(crate) fn read(view: &RequestView) -> Outcome<CheckedTerms> {
    let terms = CheckedTerms::parse(&view.terms).map_err(|e| {
        Failure::unverified(e)
            .next("update stint; if that does not help, tell an administrator of the broker")
    })?;
    let mut wrong = Differences::default();
    wrong.compare("request", &view.id, terms.request.as_str());
    wrong.compare("principal", &view.principal, terms.principal.as_str());
    wrong.compare("entitlement", &view.entitlement, terms.entitlement.as_str());
    wrong.compare_sets("hosts", &view.hosts, terms.hosts.iter().map(HostName::as_str));
    wrong.compare("reason", &view.reason, &terms.reason);
    wrong.compare_options("ticket", view.ticket.as_deref(), terms.ticket.as_deref());
    wrong.compare("window", &view.window.to_string(), &terms.max_window.0.to_string());
    wrong.into_outcome("the broker shows the request otherwise than its terms say")?;
    Ok(terms)
}

/// Reads the terms that the broker made of a request, and checks that they are what was asked for.
pub(crate) fn answer(
    asked: &NewRequest,
    principal: &str,
    fleet: Option<&FleetName>,
    view: &RequestView,
    now: i64,
) -> Outcome<CheckedTerms> {
    let terms = read(view)?;
    let mut wrong = Differences::default();
    if let Some(fleet) = fleet {
        wrong.compare("fleet", fleet.as_str(), terms.fleet.as_str());
    }
    wrong.compare("principal", principal, terms.principal.as_str());
    wrong.compare("entitlement", &asked.entitlement, terms.entitlement.as_str());
    wrong.compare_sets("hosts", &asked.hosts, terms.hosts.iter().map(HostName::as_str));
    wrong.compare("reason", &asked.reason, &terms.reason);
    wrong.compare_options("ticket", asked.ticket.as_deref(), terms.ticket.as_deref());
    wrong.compare("class", asked.class.as_deref().unwrap_or("routine"), class_word(terms.class));
    if let Some(window) = asked.window {
        wrong.compare("window", &window.to_string(), &terms.max_window.0.to_string());
    }
    wrong.compare_sets("credentials", &asked.credentials, terms.credentials.iter().map(Fingerprint::as_str));
    let account = terms.rights.account.iter();
    wrong.compare_sets("SSH keys", &asked.keys, account.flat_map(|a| &a.keys).map(String::as_str));
    let found = terms
        .codes
        .iter()
        .map(|code| format!("{} {} {} {} {}", code.id, code.salt, code.hash, code.memory_kib, code.passes));
    let made = asked
        .codes
        .iter()
        .map(|code| format!("{} {} {} {} {}", code.id, code.salt, code.hash, code.memory_kib, code.passes));
    let (made, found): (Vec<String>, Vec<String>) = (made.collect(), found.collect());
    wrong.compare_sets("codes", &made, found.iter().map(String::as_str));
    match asked.not_before {
        Some(from) => wrong.compare("earliest start", &from.to_string(), &terms.not_before.0.to_string()),
        None if terms.not_before.0 > now.saturating_add(CLOCK_DIFFERENCE) => {
            wrong.0.push(format!("earliest start: now was asked for, the terms say {}", terms.not_before));
        }
        None => {}
    }
    wrong.into_outcome("the terms that the broker made are not what was asked for")?;
    Ok(terms)
}

/// Checks that the terms are for where the codes are good.
pub(crate) fn place(place: Option<&CodePlace>, terms: &CheckedTerms) -> Outcome {
    let mut wrong = Differences::default();
    if let Some(place) = place {
        wrong.compare("fleet", place.fleet.as_str(), terms.fleet.as_str());
        wrong.compare("account", place.user.as_str(), terms.user.as_str());
    }
    wrong.into_outcome("the terms that the broker made are not for what the codes are good for")
}

/// A class as it is written.
pub(crate) fn class_word(class: Class) -> &'static str {
    match class {
        Class::Routine => "routine",
        Class::Incident => "incident",
        Class::BreakGlass => "break_glass",
    }
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: &str, wanted: &str, found: &str) {
        if wanted != found {
            self.0.push(format!("{what}: {:?} and {:?}", safe(wanted), safe(found)));
        }
    }
    fn compare_options(&mut self, what: &str, wanted: Option<&str>, found: Option<&str>) {
        if wanted != found {
            let word = |o: Option<&str>| o.map_or_else(|| "none".to_owned(), |t| format!("{:?}", safe(t)));
            self.0.push(format!("{what}: {} and {}", word(wanted), word(found)));
        }
    }
    fn compare_sets<'a>(&mut self, what: &str, wanted: &[String], found: impl Iterator<Item = &'a str>) {
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        let found: BTreeSet<&str> = found.collect();
        if wanted != found {
            let list = |set: &BTreeSet<&str>| set.iter().map(|s| safe(s)).collect::<Vec<_>>().join(", ");
            self.0.push(format!("{what}: {} and {}", list(&wanted), list(&found)));
        }
    }
    fn into_outcome(self, summary: &str) -> Outcome {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Failure::unverified(format!("{summary}: {}", self.0.join("; ")))
            .next("do not use this request; tell an administrator of the broker"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::show::samples;

    const NOW: i64 = samples::NOW;

    fn asked() -> NewRequest {
        NewRequest {
            entitlement: "nginx-restart".into(),
            hosts: vec!["web-01".into()],
            reason: "OPS-12 certificate rollover".into(),
            ticket: Some("OPS-12".into()),
            window: Some(2400),
            not_before: None,
            class: Some("routine".into()),
            credentials: vec![],
            keys: vec![],
            codes: vec![],
        }
    }

    fn judged(asked: &NewRequest, view: &RequestView) -> Outcome<CheckedTerms> {
        answer(asked, "alice", None, view, NOW)
    }

    /// A request whose view and terms agree, with terms changed before.
    fn view_of(change: impl FnOnce(&mut stint_grant::terms::Terms)) -> RequestView {
        let mut terms = samples::terms();
        change(&mut terms);
        samples::request_of(&terms)
    }

    #[test]
    fn terms_that_are_what_was_asked_for_are_taken() {
        let view = samples::request();
        let terms = judged(&asked(), &view).unwrap();
        assert_eq!(*terms.digest(), stint_grant::terms::digest_of(&view.terms));
    }

    #[test]
    fn a_host_that_the_broker_added_is_found() {
        let view = view_of(|t| t.hosts.push("db-01".parse().unwrap()));
        let failure = judged(&asked(), &view).unwrap_err();
        assert_eq!(failure.exit, Exit::Unverified);
        assert_eq!(
            failure.message,
            "the terms that the broker made are not what was asked for: hosts: web-01 and db-01, web-01"
        );
    }

    #[test]
    fn each_change_by_the_broker_is_found() {
        type Change = fn(&mut stint_grant::terms::Terms);
        let changes: [(&str, Change); 9] = [
            ("principal", |t| t.principal = "mallory".parse().unwrap()),
            ("entitlement", |t| t.entitlement = "root".parse().unwrap()),
            ("reason", |t| t.reason = "another".into()),
            ("ticket", |t| t.ticket = None),
            ("class", |t| t.class = Class::Incident),
            ("window", |t| t.max_window.0 = 86_400),
            ("credentials", |t| t.credentials.push(format!("SHA256:{}", "A".repeat(43)).parse().unwrap())),
            ("earliest start", |t| {
                t.not_before.0 = NOW + 4000;
                t.claim_by.0 = NOW + 9000;
            }),
            ("hosts", |t| t.hosts = vec!["web-02".parse().unwrap()]),
        ];
        for (what, change) in changes {
            let failure = judged(&asked(), &view_of(change)).unwrap_err();
            assert!(failure.message.contains(&format!(": {what}: ")), "{what}: {}", failure.message);
        }
    }

    #[test]
    fn a_code_that_the_broker_adds_leaves_out_or_changes_is_found() {
        let code = |id: &str, hash: &str| stint_api::requests::NewCode {
            id: id.into(),
            salt: "0".repeat(32),
            hash: hash.repeat(64),
            memory_kib: 19_456,
            passes: 2,
        };
        let mut asked = asked();
        (asked.class, asked.codes) = (Some("break_glass".into()), vec![code("AAAA", "1"), code("BBBB", "2")]);
        let sealed = |codes: &[stint_api::requests::NewCode]| {
            view_of(|t| {
                (t.class, t.max_extension.0) = (Class::BreakGlass, 0);
                t.codes = codes
                    .iter()
                    .map(|c| stint_grant::codes::CodeVerifier {
                        id: c.id.parse().unwrap(),
                        salt: c.salt.parse().unwrap(),
                        hash: c.hash.parse().unwrap(),
                        memory_kib: c.memory_kib,
                        passes: c.passes,
                    })
                    .collect();
            })
        };
        assert!(judged(&asked, &sealed(&asked.codes)).is_ok());
        let [a, b] = [code("AAAA", "1"), code("BBBB", "2")];
        for made in [vec![a.clone()], vec![a.clone(), b, code("CCCC", "3")], vec![a, code("BBBB", "3")]] {
            let failure = judged(&asked, &sealed(&made)).unwrap_err();
            assert!(failure.message.contains(": codes: "), "{}", failure.message);
        }
    }

    #[test]
    fn terms_of_another_fleet_are_found() {
        let fleet = "other".parse().unwrap();
        let failure = answer(&asked(), "alice", Some(&fleet), &samples::request(), NOW).unwrap_err();
        assert!(failure.message.ends_with("fleet: \"other\" and \"demo\""), "{}", failure.message);
    }

    #[test]
    fn a_request_shown_otherwise_than_its_terms_is_found() {
        let mut view = samples::request();
        view.hosts = vec!["harmless-01".into()];
        let failure = read(&view).unwrap_err();
        assert_eq!(
            failure.message,
            "the broker shows the request otherwise than its terms say: hosts: harmless-01 and web-01"
        );
    }

    #[test]
    fn text_from_the_broker_cannot_drive_the_terminal() {
        let mut view = samples::request();
        view.reason = "\x1b[2J".into();
        assert!(!read(&view).unwrap_err().message.contains('\x1b'));
    }

    #[test]
    fn terms_that_cannot_be_read_are_not_believed() {
        let mut view = samples::request();
        view.terms = "{}".into();
        assert_eq!(read(&view).unwrap_err().exit, Exit::Unverified);
    }
}
