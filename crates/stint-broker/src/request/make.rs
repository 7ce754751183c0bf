//! Terms from what was asked: all rules that need no database. Pure.

use stint_api::requests::{NewCode, NewRequest};
use stint_grant::codes::CodeVerifier;
use stint_grant::ids::{
    CodeHash, CodeId, CodeSalt, Fingerprint, FleetName, GrantId, HostName, Principal, UserName,
};
use stint_grant::rights::Rights;
use stint_grant::terms::{CheckedTerms, Class, Terms, TermsError};
use stint_grant::time::{Seconds, UnixTime};

use crate::catalog::Entitlement;
use crate::error::{Outcome, Problem};

/// Clocks of clients differ.
const PAST: Seconds = Seconds(60);
const FAR: Seconds = Seconds(30 * 24 * 3600);
const MOST_HOSTS: usize = 100;
const MOST_CREDENTIALS: usize = 16;

/// Who asks, and what is known beside what they say.
pub struct Asking<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The new request's id.
    pub id: GrantId,
    /// Who asks.
    pub principal: Principal,
    /// Their local account.
    pub user: UserName,
    /// What for.
    pub entitlement: &'a Entitlement,
    /// The time.
    pub now: UnixTime,
}

/// Makes the terms, or says what to write instead. Whether the hosts exist is for the caller to know.
pub fn terms(asking: Asking<'_>, asked: &NewRequest) -> Outcome<(String, CheckedTerms)> {
    let entitlement = asking.entitlement;
    let not_before = not_before(asked.not_before.map(UnixTime), asking.now)?;
    let terms = Terms {
        format: Terms::FORMAT,
        fleet: asking.fleet.clone(),
        request: asking.id,
        entitlement: entitlement.name.clone(),
        hosts: hosts(&asked.hosts)?,
        principal: asking.principal,
        user: asking.user,
        class: class(asked.class.as_deref(), !asked.codes.is_empty())?,
        reason: asked.reason.clone(),
        ticket: asked.ticket.clone(),
        rights: rights(entitlement, &asked.keys)?,
        record: entitlement.record,
        credentials: credentials(&asked.credentials)?,
        not_before,
        claim_by: not_before.plus(entitlement.claim_within),
        max_window: window(asked.window, entitlement)?,
        max_extension: entitlement.max_extension,
        max_staleness: entitlement.max_staleness,
        idle_limit: entitlement.idle_limit,
        end_on_logout: entitlement.end_on_logout,
        codes: codes(&asked.codes, entitlement)?,
    };
    let text = terms.to_text();
    let checked = CheckedTerms::parse(&text).map_err(|e| in_words(&e))?;
    Ok((text, checked))
}

fn in_words(error: &TermsError) -> Problem {
    let next = match error {
        TermsError::Reason => "say in one line why you need it",
        TermsError::Hosts => "name each host once",
        _ => "ask for less, or for another entitlement",
    };
    Problem::bad_input(error.to_string(), next)
}

fn not_before(asked: Option<UnixTime>, now: UnixTime) -> Outcome<UnixTime> {
    let Some(asked) = asked else { return Ok(now) };
    if asked.plus(PAST) < now {
        return Err(Problem::bad_input(
            format!("the window would begin at {asked}, which is past"),
            "name a time to come, or none: then it may begin at once",
        ));
    }
    if asked > now.plus(FAR) {
        return Err(Problem::bad_input(
            format!("the window would begin at {asked}, more than 30 days ahead"),
            "ask nearer to the work",
        ));
    }
    Ok(asked.max(now))
}

fn hosts(asked: &[String]) -> Outcome<Vec<HostName>> {
    if asked.is_empty() || asked.len() > MOST_HOSTS {
        return Err(Problem::bad_input(
            format!("{} hosts were named", asked.len()),
            format!("name 1 to {MOST_HOSTS} hosts, each once"),
        ));
    }
    asked.iter().map(|h| Ok(HostName::new(h.as_str())?)).collect()
}

fn class(asked: Option<&str>, sealed: bool) -> Outcome<Class> {
    match asked {
        None | Some("break_glass") if sealed => Ok(Class::BreakGlass),
        None | Some("routine") => Ok(Class::Routine),
        Some("incident") => Ok(Class::Incident),
        Some(other) => {
            Err(Problem::bad_input(format!("{other:?} is not a class of request"), "use routine or incident"))
        }
    }
}

/// An entitlement is sealed or not: what waits for months for its code is not what somebody starts now.
fn codes(asked: &[NewCode], entitlement: &Entitlement) -> Outcome<Vec<CodeVerifier>> {
    let name = &entitlement.name;
    match (asked.len(), entitlement.codes as usize) {
        (0, 0) => {}
        (0, most) => {
            return Err(Problem::bad_input(
                format!("{name} is sealed with break-glass codes, and none were made"),
                format!("ask with --codes N, up to {most}"),
            ));
        }
        (_, 0) => {
            return Err(Problem::bad_input(
                format!("{name} is not for break-glass codes"),
                "leave out --codes, or ask for an entitlement that is: `stint entitlement ls`",
            ));
        }
        (n, most) if n > most => {
            return Err(Problem::bad_input(
                format!("{n} codes were made, {name} allows {most}"),
                format!("ask with --codes {most} or fewer"),
            ));
        }
        _ => {}
    }
    let verifier = |code: &NewCode| {
        Ok(CodeVerifier {
            id: CodeId::new(code.id.as_str())?,
            salt: CodeSalt::new(code.salt.as_str())?,
            hash: CodeHash::new(code.hash.as_str())?,
            memory_kib: code.memory_kib,
            passes: code.passes,
        })
    };
    asked.iter().map(verifier).collect()
}

fn credentials(asked: &[String]) -> Outcome<Vec<Fingerprint>> {
    if asked.len() > MOST_CREDENTIALS {
        return Err(Problem::bad_input(
            "too many key fingerprints",
            format!("name at most {MOST_CREDENTIALS}"),
        ));
    }
    asked.iter().map(|f| Ok(Fingerprint::new(f.as_str())?)).collect()
}

/// What the entitlement allows, with the requester's keys for the account that is made.
fn rights(entitlement: &Entitlement, keys: &[String]) -> Outcome<Rights> {
    let mut rights = entitlement.rights.clone();
    match &mut rights.account {
        Some(account) => account.keys = keys.to_vec(),
        None if !keys.is_empty() => {
            return Err(Problem::bad_input(
                format!("{} makes no account: nobody needs an SSH key for one", entitlement.name),
                "leave out --ssh-key; --credential names the keys that a login must use",
            ));
        }
        None => {}
    }
    rights.check().map_err(|e| {
        Problem::bad_input(e.to_string(), "give the public key as its .pub file has it: type and base64")
    })?;
    Ok(rights)
}

fn window(asked: Option<u64>, entitlement: &Entitlement) -> Outcome<Seconds> {
    let longest = entitlement.max_window;
    match asked.map(Seconds) {
        None => Ok(longest),
        Some(Seconds(0)) => Err(Problem::bad_input("the window has no length", "ask for instance for 30m")),
        Some(window) if window > longest => Err(Problem::bad_input(
            format!("a window of {window} was asked for, {} allows {longest}", entitlement.name),
            format!("ask for at most {longest}"),
        )),
        Some(window) => Ok(window),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stint_grant::rights::{Command, SudoRule};

    use super::*;
    use crate::catalog::{Requesters, Selector};

    const NOW: UnixTime = UnixTime(1_795_444_800);

    fn entitlement() -> Entitlement {
        let run_as = UserName::new("root").unwrap();
        let sudo = vec![SudoRule { run_as, command: Command::All, digest: None, noexec: false }];
        Entitlement {
            name: "root".parse().unwrap(),
            description: "all".to_owned(),
            hosts: Selector::default(),
            rights: Rights { login: None, sudo, groups: Vec::new(), account: None },
            account_name: None,
            record: stint_grant::record::CommandRecord::COMMANDS,
            max_window: Seconds(3600),
            max_extension: Seconds(600),
            claim_within: Seconds(7200),
            max_staleness: Seconds(900),
            idle_limit: None,
            end_on_logout: false,
            codes: 0,
            reviews: 1,
            requesters: Requesters { names: BTreeSet::new(), roles: Vec::new() },
        }
    }

    fn asked() -> NewRequest {
        NewRequest {
            entitlement: "root".to_owned(),
            hosts: vec!["web-01".to_owned()],
            reason: "OPS-12".to_owned(),
            ticket: None,
            window: Some(600),
            not_before: None,
            class: None,
            credentials: Vec::new(),
            keys: Vec::new(),
            codes: Vec::new(),
        }
    }

    fn code(id: &str) -> NewCode {
        NewCode {
            id: id.to_owned(),
            salt: "0".repeat(32),
            hash: "0".repeat(64),
            memory_kib: 19_456,
            passes: 2,
        }
    }

    fn make(asked: &NewRequest) -> Outcome<(String, CheckedTerms)> {
        make_of(&entitlement(), asked)
    }

    fn make_of(entitlement: &Entitlement, asked: &NewRequest) -> Outcome<(String, CheckedTerms)> {
        let fleet = "prod".parse().unwrap();
        let asking = Asking {
            fleet: &fleet,
            id: "abcdefgh2345".parse().unwrap(),
            principal: "alice".parse().unwrap(),
            user: "alice".parse().unwrap(),
            entitlement,
            now: NOW,
        };
        terms(asking, asked)
    }

    #[test]
    fn the_terms_say_what_was_asked_and_what_the_entitlement_allows() {
        let (text, terms) = make(&asked()).unwrap();
        assert_eq!(terms.digest(), &stint_grant::terms::digest_of(&text));
        assert_eq!((terms.max_window, terms.max_extension), (Seconds(600), Seconds(600)));
        assert_eq!((terms.not_before, terms.claim_by), (NOW, NOW.plus(Seconds(7200))));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_next_step() {
        type Spoil = fn(&mut NewRequest);
        let table: [(&str, Spoil); 16] = [
            ("no hosts", |r| r.hosts.clear()),
            ("a host twice", |r| r.hosts.push("web-01".to_owned())),
            ("an odd host", |r| r.hosts[0] = "web 01; rm".to_owned()),
            ("a long window", |r| r.window = Some(3601)),
            ("a window that overflows", |r| r.window = Some(u64::MAX)),
            ("no window", |r| r.window = Some(0)),
            ("the past", |r| r.not_before = Some(NOW.0 - 61)),
            ("the far future", |r| r.not_before = Some(NOW.0 + 31 * 86400)),
            ("no reason", |r| r.reason.clear()),
            ("a newline in the reason", |r| r.reason = "a\nb".to_owned()),
            ("a long reason", |r| r.reason = "x".repeat(501)),
            ("an escape in the ticket", |r| r.ticket = Some("\u{1b}[2J".to_owned())),
            ("a class of its own", |r| r.class = Some("break_glass".to_owned())),
            ("a key for no account", |r| r.keys = vec!["ssh-ed25519 AAAA".to_owned()]),
            ("codes for what is not sealed", |r| r.codes = vec![code("AAAA")]),
            ("an odd fingerprint", |r| r.credentials = vec!["SHA256:short".to_owned()]),
        ];
        for (what, spoil) in table {
            let mut bad = asked();
            spoil(&mut bad);
            let problem = make(&bad).err().unwrap_or_else(|| panic!("{what} was taken"));
            assert!(problem.next_step().is_some_and(|n| !n.is_empty()), "{what}: {problem}");
        }
    }

    #[test]
    fn a_sealed_entitlement_takes_good_codes_for_one_host_and_nothing_else() {
        type Spoil = fn(&mut NewRequest);
        let sealed = || Entitlement { codes: 2, max_extension: Seconds(0), ..entitlement() };
        let good = NewRequest { codes: vec![code("AAAA"), code("BBBB")], ..asked() };
        let (_, terms) = make_of(&sealed(), &good).unwrap();
        assert!(terms.is_sealed() && terms.class == Class::BreakGlass && terms.codes.len() == 2);
        let table: [(&str, Spoil); 7] = [
            ("no codes", |r| r.codes.clear()),
            ("too many codes", |r| r.codes.push(code("CCCC"))),
            ("one code twice", |r| r.codes[1] = code("AAAA")),
            ("two hosts", |r| r.hosts.push("web-02".to_owned())),
            ("another class", |r| r.class = Some("incident".to_owned())),
            ("an odd id", |r| r.codes[0].id = "ILOU".to_owned()),
            ("a hash that takes all memory", |r| r.codes[0].memory_kib = 4 << 20),
        ];
        for (what, spoil) in table {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(make_of(&sealed(), &bad).is_err(), "{what} was taken");
        }
    }
}
