//! Trying the cases: a host, a window, everything at once, the end, and then a hard look.

use std::time::{Duration, Instant};

use stint_lab::{PATIENCE, Session, until};

use super::case::{Act, Case, Claim, Expected, Proof, Takes};
use super::record::{self, Receipt};
use super::report::{Found, Report, Row};
use super::round::{End, Family, Round};
use super::scan::Scanner;
use crate::error::E2eError;
use crate::fleet::{Fleet, Options};
use crate::watch::{first_login, unix_now};

/// How long a technique may take to show that it took.
const TAKES_BOUND: Duration = PATIENCE;
/// How late, in seconds, what must be over may be over.
const LATEST: f64 = 2.0;
/// How long, in seconds, the scans go on for what is not clean: to tell late from never.
const LAST_SCAN: f64 = 60.0;
/// How long a record may take to the broker.
const RECORD_BOUND: Duration = PATIENCE;

/// The break-glass account's own job: once it has run again, so would have every other.
const CONTROL_JOB: &str = "rm -f /var/tmp/battery-control; \
    echo '* * * * * touch /var/tmp/battery-control' | crontab -u rescue -";

/// Further entitlements of the battery's broker.
const CATALOG: &[(&str, &str)] = &[("battery-limited.toml", include_str!("../catalog/battery-limited.toml"))];

/// Patient with the warden: the machine may be busy with other hosts.
const HOST_TOML: &str = "
[managed]
break_glass_uid = 1900

[limits]
register_timeout_ms = 5000

[ceiling]
full_root = true
";

/// Runs a family. `wanted` says which cases, by number.
pub fn run(family: &Family, wanted: impl Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    let mut shared: Option<Fleet> = None;
    for round in family.rounds {
        let cases: Vec<&'static Case> = round.cases.iter().filter(|case| wanted(case.number)).collect();
        let tried = |case: &&&Case| !matches!(case.act, Act::None);
        let untried = cases.iter().filter(|case| !tried(case));
        report.rows.extend(untried.flat_map(|case| rows(round, case, |_| Found::Untried)));
        let cases: Vec<&'static Case> = cases.iter().filter(tried).copied().collect();
        if cases.is_empty() {
            continue;
        }
        let start = Instant::now();
        let kept = if round.own_host { None } else { shared.take() };
        let fleet = kept.map_or_else(|| new_fleet(round), Ok);
        // After an error the host is dropped: who knows what state it is in.
        let tried = fleet.and_then(|fleet| {
            let tried = try_round(&fleet, round, &cases).inspect_err(|_| say_last_words(&fleet))?;
            if !round.own_host {
                shared = Some(fleet);
            }
            Ok(tried)
        });
        let (end, took) = (round.end.word(), start.elapsed().as_secs_f64());
        eprintln!("battery: {}, {} cases, ended by {end}: {took:.0} s", family.name, cases.len());
        report.rows.extend(tried.unwrap_or_else(|error| {
            eprintln!("battery: {error}");
            let broken = |_: &'static Claim| Found::Broken(error.to_string());
            cases.iter().flat_map(|case| rows(round, case, broken)).collect()
        }));
    }
    report
}

fn new_fleet(round: &Round) -> Result<Fleet, E2eError> {
    let host_toml = round.host_toml.unwrap_or(HOST_TOML).into();
    Fleet::with(&Options { host_toml, catalog: CATALOG, pulse_interval: "5s".into(), ..Options::default() })
}

/// The last words of our services on a host where something went wrong.
fn say_last_words(fleet: &Fleet) {
    let line =
        "journalctl -q --no-pager -n 40 -u stint-warden -u stint-courier; systemctl --failed --no-legend";
    eprintln!("{}", fleet.host.sh(line).map(|said| said.text()).unwrap_or_default());
}

fn rows(
    round: &'static Round,
    case: &'static Case,
    found: impl Fn(&'static Claim) -> Found,
) -> impl Iterator<Item = Row> {
    case.claims.iter().map(move |claim| Row { case, round, claim, found: found(claim) })
}

/// What a round knows while it runs.
struct Trial<'a> {
    fleet: &'a Fleet,
    round: &'static Round,
    grant: String,
}

/// A claim that is tried, and what was found so far.
struct Tried {
    case: &'static Case,
    claim: &'static Claim,
    found: Option<Found>,
}

fn try_round(fleet: &Fleet, round: &'static Round, cases: &[&'static Case]) -> Result<Vec<Row>, E2eError> {
    fleet.host.sh(round.prepare)?.check(format!("making the host ready for {}", round.grant))?;
    let grant = fleet.grant(round.entitlement, &round.end.length(fleet))?;
    // Of a standing login only its sudo is the grant's.
    first_login(&fleet.host, "alice", "sudo -n true; true", &grant)?;
    let trial = Trial { fleet, round, grant };
    fleet.lab.control(&["sh", "-c", &trial.fill(round.beside)])?.check("the control side's preparation")?;
    let mut held = Vec::new();
    let mut tried = Vec::new();
    for case in cases {
        let broken = trial.act(case, &mut held)?;
        tried.extend(case.claims.iter().map(|claim| {
            let untried = matches!(claim.expected, Expected::Cannot(_)).then_some(Found::Untried);
            Tried { case, claim, found: untried.or_else(|| broken.clone()) }
        }));
    }
    if tried.iter().any(|one| matches!(one.claim.proof, Proof::NotRunAgain(_))) {
        fleet.host.sh(CONTROL_JOB)?.check("the schedulers' control job")?;
    }
    let open = tried.iter().enumerate().filter(|(_, one)| one.found.is_none());
    let mut scanner =
        Scanner::new(&fleet.host, open.map(|(i, one)| (i, one.claim.proof)), |line| trial.fill(line))?;
    let end = trial.end()?;
    scan(&mut scanner, &tried, end.latest)?;
    for (index, one) in tried.iter_mut().enumerate() {
        if one.found.is_none() && scanner.looks_at(index) {
            let seen = Seen { clean_at: scanner.clean_at(index), dirty_at: scanner.dirty_at(index) };
            one.found = Some(judge(one.claim, &seen, end));
        }
    }
    drop(held);
    trial.after(&mut tried)?;
    Ok(tried
        .into_iter()
        .map(|one| {
            let found = one.found.unwrap_or(Found::Untried);
            Row { case: one.case, round, claim: one.claim, found }
        })
        .collect())
}

/// Between these two the window ended: from here nobody sees more.
#[derive(Clone, Copy)]
struct Ended {
    earliest: f64,
    latest: f64,
}

/// What the scans saw of a claim.
struct Seen {
    /// When the first of two clean scans in a row began.
    clean_at: Option<f64>,
    /// When the last scan began that was not clean.
    dirty_at: Option<f64>,
}

/// Late is what a scan saw too long after the end. On a busy machine scans, and whoever revokes, take their time: what was over somewhere
/// between two scans, and may have been in time, is not called late for that.
fn judge(claim: &Claim, seen: &Seen, end: Ended) -> Found {
    let latest = claim.late.map_or(LATEST, |(latest, _)| latest);
    let was_late = seen.dirty_at.is_some_and(|at| at - end.latest > latest);
    match seen.clean_at.map(|at| (at - end.earliest).max(0.0)) {
        Some(late) if was_late => Found::Late(late),
        Some(late) => Found::Held(Some(late)),
        None => Found::Not("still there when the last scan was done".to_owned()),
    }
}

impl Trial<'_> {
    fn fill(&self, line: &str) -> String {
        let dir = self.fleet.lab.dir().to_string_lossy();
        line.replace("{dir}", &dir).replace("{id}", &self.grant)
    }

    /// Does it, and waits until it took. Says what went wrong, if it did not.
    fn act(&self, case: &Case, held: &mut Vec<Session>) -> Result<Option<Found>, E2eError> {
        let host = &self.fleet.host;
        let said = match case.act {
            Act::Ssh(options, line) => {
                let options = self.fill_all(options);
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                host.ssh_with("alice", &options, &self.fill(line))?.to_string()
            }
            Act::Held(options, line) => {
                let options = self.fill_all(options);
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                held.push(host.ssh_held("alice", &options, &self.fill(line))?);
                String::new()
            }
            Act::Typed(line) => {
                let mut session = host.ssh_session("alice")?;
                session.wait_for("$ ", TAKES_BOUND)?;
                session.type_line(&self.fill(line))?;
                held.push(session);
                String::new()
            }
            Act::None => String::new(),
        };
        let took = until("the technique to take", TAKES_BOUND, || self.took(case).unwrap_or(false));
        Ok(took.err().map(|_| {
            let heard = held.last().map(Session::heard).unwrap_or_default();
            Found::Broken(format!("inside the window it did not take: {said} {heard:?}"))
        }))
    }

    fn took(&self, case: &Case) -> Result<bool, E2eError> {
        let host = &self.fleet.host;
        Ok(match case.takes {
            Takes::Process(command) => host.exec(&["pgrep", "-xf", command])?.success(),
            Takes::Host(line) => host.sh(&self.fill(line))?.success(),
            Takes::Ssh(options, line) => self.runs("alice", options, line)?,
            Takes::None => true,
        })
    }

    fn runs(&self, user: &str, options: &[&str], line: &str) -> Result<bool, E2eError> {
        let options = self.fill_all(options);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        Ok(self.fleet.host.ssh_with(user, &options, &self.fill(line))?.success())
    }

    fn fill_all(&self, options: &[&str]) -> Vec<String> {
        options.iter().map(|option| self.fill(option)).collect()
    }

    /// Ends the window, and says when it ended.
    fn end(&self) -> Result<Ended, E2eError> {
        let (fleet, grant) = (self.fleet, self.grant.as_str());
        if matches!(self.round.end, End::Natural(_)) {
            let end = fleet.end_of(grant)?;
            if unix_now() > end {
                let why = "the window was over before everything in it was tried: it must be longer";
                return Err(E2eError::answer(self.round.grant, why));
            }
            until("the window to be over", Duration::from_mins(10), || unix_now() >= end)?;
            return Ok(Ended { earliest: end, latest: end });
        }
        let began = unix_now();
        // Without --wait: what the host says of itself is not what is looked at here.
        match self.round.end {
            End::Revoked => fleet.carol.run(&["grant", "revoke", grant, "--reason", "battery"])?,
            End::GivenBack => fleet.alice.run(&["grant", "end", grant])?,
            End::Locked | End::Natural(_) => {
                fleet.carol.run(&["lock", "add", "--principal", "alice", "--reason", "battery"])?
            }
        };
        Ok(Ended { earliest: began, latest: unix_now() })
    }

    /// What is looked at once, after the scans.
    fn after(&self, tried: &mut [Tried]) -> Result<(), E2eError> {
        let again = |one: &Tried| matches!(one.claim.proof, Proof::NotRunAgain(_)) && one.found.is_none();
        if tried.iter().any(again) {
            self.wait_for_schedulers(tried)?;
        }
        // A host that was cut off or whose warden is gone sends none: nobody waits for it in vain.
        let is_asked = |one: &Tried| matches!(one.claim.proof, Proof::Receipt(_) | Proof::HostOrReceipt(..));
        let receipt = tried.iter().any(is_asked).then(|| record::receipt(self.fleet, &self.grant)).flatten();
        for one in tried.iter_mut() {
            one.found = match one.found.take() {
                Some(Found::Not(seen)) => {
                    Some(self.or_receipt(one.claim, Found::Not(seen), receipt.as_ref())?)
                }
                Some(Found::Late(late)) => {
                    Some(self.or_receipt(one.claim, Found::Late(late), receipt.as_ref())?)
                }
                None => self.look(one.claim, receipt.as_ref())?,
                found => found,
            };
        }
        if self.round.end == End::Locked {
            // Revoked first: without its lock it would come back.
            self.fleet.carol.run(&["grant", "revoke", &self.grant, "--reason", "battery"])?;
            let locks = self.fleet.carol.json(&["lock", "ls"])?;
            self.fleet.carol.run(&["lock", "rm", locks[0]["id"].as_str().unwrap_or_default()])?;
        }
        self.under_new_grant(tried)
    }

    /// One claim that no scan sees. Nothing for those that come later.
    fn look(&self, claim: &Claim, receipt: Option<&Receipt>) -> Result<Option<Found>, E2eError> {
        let held =
            |held: bool, otherwise: String| if held { Found::Held(None) } else { Found::Not(otherwise) };
        Ok(match claim.proof {
            Proof::NoEntry(user, options, line) => {
                Some(held(!self.runs(user, options, line)?, format!("{user} can: {line}")))
            }
            Proof::NotRunAgain(file) => {
                let absent = self.fleet.host.sh(&format!("! test -e {file}"))?.success();
                Some(held(absent, "the scheduler ran it after the end".to_owned()))
            }
            Proof::Receipt(words) => {
                let words = self.fill_all(words);
                Some(in_receipt(&words.iter().map(String::as_str).collect::<Vec<_>>(), receipt))
            }
            Proof::Record(words) => Some(held(
                record::has(self.fleet, words, RECORD_BOUND),
                format!("no record has {words:?}; {}", record::alarms(self.fleet)),
            )),
            _ => None,
        })
    }

    /// What still stood when the scans were done may stand if the receipt reports it. If the receipt says that it was undone, it must be
    /// so by now.
    fn or_receipt(&self, claim: &Claim, seen: Found, receipt: Option<&Receipt>) -> Result<Found, E2eError> {
        let Proof::HostOrReceipt(line, words) = claim.proof else { return Ok(seen) };
        let told = in_receipt(words, receipt);
        let Found::Not(no) = told else { return Ok(told) };
        if !receipt.is_some_and(|receipt| names(&receipt.undone, words)) {
            let seen = if let Found::Not(seen) = &seen { seen } else { "it went after the scans" };
            return Ok(Found::Not(format!("{seen}, and {no}")));
        }
        let gone = self.fleet.host.sh(&self.fill(line))?.success();
        Ok(if gone {
            Found::Held(None)
        } else {
            Found::Not("the receipt says that it was undone, and it stands".to_owned())
        })
    }

    /// Whatever jobs wrote before the end is taken away; then the schedulers come round.
    fn wait_for_schedulers(&self, tried: &[Tried]) -> Result<(), E2eError> {
        let host = &self.fleet.host;
        for one in tried {
            if let Proof::NotRunAgain(file) = one.claim.proof {
                host.sh(&format!("rm -f {file}"))?;
            }
        }
        host.sh("rm -f /var/tmp/battery-control*")?;
        let at = "echo 'touch /var/tmp/battery-control-at' | runuser -u rescue -- at now + 1 minute";
        host.sh(at)?.check("the control job of at")?;
        // They look once a minute.
        until("the schedulers to come round", PATIENCE, || {
            let both = "test -e /var/tmp/battery-control && test -e /var/tmp/battery-control-at";
            host.sh(both).is_ok_and(|said| said.success())
        })?;
        host.sh("crontab -u rescue -r")?;
        Ok(())
    }

    /// What would come alive with the next grant, or stop it.
    fn under_new_grant(&self, tried: &mut [Tried]) -> Result<(), E2eError> {
        let later = |one: &Tried| {
            matches!(one.claim.proof, Proof::NotUnderNewGrant(_) | Proof::NextGrant) && one.found.is_none()
        };
        if !tried.iter().any(later) {
            return Ok(());
        }
        let given = self.fleet.grant(self.round.entitlement, "10m");
        for one in tried.iter_mut().filter(|one| later(one)) {
            one.found = Some(match (one.claim.proof, &given) {
                (Proof::NextGrant, Err(error)) => Found::Not(error.to_string()),
                (Proof::NotUnderNewGrant(line), Ok(_)) if self.runs("alice", &[], line)? => {
                    Found::Not(format!("it runs again: {line}"))
                }
                (_, Ok(_)) => Found::Held(None),
                (_, Err(error)) => Found::Broken(error.to_string()),
            });
        }
        if let Ok(grant) = given {
            self.fleet.carol.run(&[
                "grant",
                "revoke",
                &grant,
                "--reason",
                "battery",
                "--wait",
                "--timeout=3m",
            ])?;
        }
        Ok(())
    }
}

/// Scans until everything is clean. What the receipt may report instead is waited for no longer than what must hold.
fn scan(scanner: &mut Scanner<'_>, tried: &[Tried], end: f64) -> Result<(), E2eError> {
    let must = |index: usize| {
        let claim = tried[index].claim;
        matches!(claim.expected, Expected::Holds) && !matches!(claim.proof, Proof::HostOrReceipt(..))
    };
    until("the scans to be clean, or the last one to be done", 2 * PATIENCE, || {
        let clean = scanner.look().unwrap_or(false);
        let late = unix_now() - end;
        clean || late > LAST_SCAN || (late > LATEST + 1.0 && !scanner.waits_for(must))
    })?;
    Ok(())
}

fn in_receipt(words: &[&str], receipt: Option<&Receipt>) -> Found {
    let Some(receipt) = receipt else { return Found::Not("no receipt came".to_owned()) };
    if names(&receipt.told, words) {
        Found::Held(None)
    } else {
        let told = receipt.told.join(" / ");
        Found::Not(format!("the receipt does not name {words:?}; it tells: {told}"))
    }
}

fn names(findings: &[String], words: &[&str]) -> bool {
    findings.iter().any(|finding| record::has_all(finding, words))
}

#[cfg(test)]
mod tests {
    use super::super::case::Claim;
    use super::super::report::Found;
    use super::{Ended, Seen, judge};

    const CLAIM: Claim = Claim::killed("sleep 1");
    const END: Ended = Ended { earliest: 100.0, latest: 101.0 };

    #[test]
    fn late_is_what_was_seen_after_its_time_and_not_what_a_slow_scan_came_late_to_see() {
        let seen = |dirty_at, clean_at| Seen { clean_at, dirty_at };
        assert_eq!(judge(&CLAIM, &seen(Some(101.5), Some(102.0)), END), Found::Held(Some(2.0)));
        assert_eq!(judge(&CLAIM, &seen(Some(102.9), Some(106.0)), END), Found::Held(Some(6.0)));
        assert_eq!(judge(&CLAIM, &seen(Some(103.1), Some(104.0)), END), Found::Late(4.0));
        assert_eq!(judge(&CLAIM, &seen(None, Some(101.5)), END), Found::Held(Some(1.5)));
        assert!(matches!(judge(&CLAIM, &seen(Some(160.0), None), END), Found::Not(_)));
        assert_eq!(
            judge(&CLAIM.late(8.0, "why"), &seen(Some(108.0), Some(110.0)), END),
            Found::Held(Some(10.0))
        );
    }
}
