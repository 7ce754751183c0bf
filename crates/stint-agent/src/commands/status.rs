//! `stintd status`: what is in force, what is wrong, and what to do. It works with the warden dead, and says so.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use stint_api::tls::Validity;
use stint_grant::time::{Seconds, UnixTime};
use stint_grant::words::printable;

use super::arm::pam::{self, CommonFiles, Wiring};
use super::arm::{facts, rollback};
use super::failure::{Exit, Failure, root_only};
use super::{check_config, system};
use crate::clock::wall_clock;
use crate::courier::store::{self, Store};
use crate::warden::paths::Paths;
use crate::warden::status::{self as warden_status, Status};
use crate::warden::time::boottime_ms;
use crate::warden::{files, keys, trust};

/// A status file that is older than this is a dead or stuck warden's.
const STALE_STATUS: u64 = 120;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
struct Report {
    /// The host's name and fleet, once it is enrolled.
    host: Option<String>,
    fleet: Option<String>,
    broker: Option<String>,
    /// `inert`, `observe` or `enforce`, as PAM's files and the mode file say it: what holds even if the warden is dead.
    mode: &'static str,
    /// Seconds until an unconfirmed `arm --rollback` is undone.
    rollback_in: Option<u64>,
    /// Each unit and its state.
    units: Vec<Unit>,
    /// When the courier's certificate ends (unix seconds).
    certificate_ends: Option<i64>,
    /// The age of the gate's newest pulse, in seconds, as the module sees it.
    gate_age: Option<u64>,
    /// What the warden wrote last.
    warden: Option<Status>,
    /// What is wrong, and what to do.
    problems: Vec<Problem>,
}

#[derive(Clone, Debug, Serialize)]
struct Unit {
    name: &'static str,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Problem {
    what: String,
    next: String,
}

/// Shows it. The exit code says whether all is well.
pub(crate) fn run(json: bool) -> Result<ExitCode, Failure> {
    root_only("status")?;
    let report = gather(&Paths::system());
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(Failure::failed)?);
    } else {
        print!("{}", text(&report));
    }
    let well = report.problems.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(Exit::Check as u8) })
}

fn gather(paths: &Paths) -> Report {
    let mut problems = Problems::default();
    let trust = enrolment(paths, &mut problems);
    let enrolled = trust.is_some();
    let wiring = pam::wiring(&CommonFiles::read(&paths.pam));
    let mode = mode(paths, &wiring, &mut problems);
    let limit = config(paths, &mut problems);
    let units: Vec<Unit> = UNITS
        .iter()
        .map(|name| Unit { name, state: system::unit_state(name) })
        .inspect(|unit| {
            if enrolled && unit.state != "active" {
                problems.add(
                    format!("{} is {}", unit.name, unit.state),
                    format!("see `journalctl -u {0}`, then `systemctl restart {0}`", unit.name),
                );
            }
        })
        .collect();
    let courier = if enrolled { courier(paths, &mut problems) } else { None };
    let gate_age = if enrolled { gate(paths, limit, &mut problems) } else { None };
    let warden = if enrolled { warden(paths, &mut problems) } else { None };
    if mode != "inert" && !facts::module_is_there() {
        problems.add(
            "pam_stint.so is not where PAM looks: PAM skips the gate, and it is open",
            "install the package stint-host again",
        );
    }
    Report {
        host: trust.as_ref().map(|t| t.host.to_string()),
        fleet: trust.as_ref().map(|t| t.fleet.to_string()),
        broker: courier.as_ref().map(|(broker, _)| broker.clone()),
        mode,
        rollback_in: rollback_in(paths, &mut problems),
        units,
        certificate_ends: courier.map(|(_, validity)| validity.not_after),
        gate_age,
        warden,
        problems: problems.0,
    }
}

const UNITS: [&str; 5] = [
    "stint-warden.socket",
    "stint-warden-courier.socket",
    "stint-warden-sudo.socket",
    "stint-warden.service",
    "stint-courier.service",
];

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, what: impl Into<String>, next: impl Into<String>) {
        self.0.push(Problem { what: what.into(), next: next.into() });
    }
}

fn enrolment(paths: &Paths, problems: &mut Problems) -> Option<trust::Trust> {
    let again = "enrol again with a new token: stintd enroll --again --broker URL --token -";
    let trust = match trust::read(paths) {
        Ok(trust) => trust,
        Err(trust::TrustError::NotEnrolled(_)) => {
            problems.add(
                "this host is not enrolled",
                "ask for a token, then: stintd enroll --broker URL --token -",
            );
            return None;
        }
        Err(error) => {
            problems.add(error.to_string(), again);
            return None;
        }
    };
    match keys::load(&paths.identity_key()) {
        Err(error) => problems.add(error.to_string(), again),
        Ok(key) => {
            let here = stint_grant::keys::PublicKey::of(&key);
            if Store::open(&paths.state.join("courier")).is_ok_and(|s| s.config.identity_key != here) {
                problems.add(
                    "the certificate was given to another identity key: an enrolment was cut short",
                    again,
                );
            }
        }
    }
    if trust::machine().is_ok_and(|machine| machine != trust.machine) {
        problems.add("this disk was enrolled on another machine", again);
    }
    Some(trust)
}

fn mode(paths: &Paths, wiring: &Wiring, problems: &mut Problems) -> &'static str {
    let text = match files::read(&paths.mode(), 64) {
        Ok(text) => text.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) => {
            problems.add(error.to_string(), "run `stintd arm` again");
            None
        }
    };
    if *wiring == Wiring::None {
        if text.is_some() {
            problems.add(
                "the host was armed, and PAM's lines are gone: the gate is open",
                "run `stintd arm` to put them back, or `stintd disarm` to say that it is meant",
            );
        }
        return "inert";
    }
    if let Wiring::Broken(found) = wiring {
        problems.add(
            format!("the PAM lines do not stand right: {}", found.join("; ")),
            "mend /etc/pam.d/common-*, then run `stintd arm`",
        );
    }
    match text.as_deref() {
        Some("observe") => "observe",
        Some("enforce") => "enforce",
        _ => {
            problems.add("the mode file is missing or damaged; the module enforces then", "run `stintd arm`");
            "enforce"
        }
    }
}

/// The oldest news with which a grant still holds.
fn config(paths: &Paths, problems: &mut Problems) -> Seconds {
    match check_config::read(&paths.host_config()) {
        Ok(config) => config.limits.staleness,
        Err(failure) => {
            problems.add(failure.message, "mend it, then run `stintd check-config`");
            stint_grant::host_config::HostConfig::default().limits.staleness
        }
    }
}

fn courier(paths: &Paths, problems: &mut Problems) -> Option<(String, Validity)> {
    let found = Store::open(&paths.state.join("courier")).and_then(|store| {
        let validity = stint_api::tls::validity_of_pem(&store.transport).map_err(store::StoreError::from)?;
        Ok((store.config.broker, validity))
    });
    match found {
        Ok((broker, validity)) => {
            let now = wall_clock().0;
            if validity.not_after <= now {
                problems.add(
                    format!("the courier's certificate ended at {}", UnixTime(validity.not_after)),
                    "if this host's clock is right, enrol again: stintd enroll --again --broker URL --token -",
                );
            }
            // The folder is the courier's: what it holds is shown, not believed.
            let shown = broker.chars().filter(|c| !c.is_control()).collect();
            Some((shown, validity))
        }
        Err(error) => {
            problems.add(error.to_string(), "enrol again: stintd enroll --again --broker URL --token -");
            None
        }
    }
}

fn gate(paths: &Paths, limit: Seconds, problems: &mut Problems) -> Option<u64> {
    let next = "see `journalctl -u stint-courier -u stint-warden`";
    match facts::gate_age(paths) {
        None => problems.add("there is no gate yet: nothing came from the broker", next),
        Some(Err(why)) => problems.add(format!("the gate cannot be opened: {why}"), next),
        Some(Ok(age)) => {
            if age > limit {
                problems.add(
                    format!("the news from the broker are {age} old, more than the {limit} that count: grants do not hold now"),
                    "check that the broker can be reached; the break-glass account is not gated",
                );
            }
            return Some(age.0);
        }
    }
    None
}

fn warden(paths: &Paths, problems: &mut Problems) -> Option<Status> {
    match warden_status::read(paths) {
        Ok(Some(status)) => {
            for fault in &status.faults {
                problems.add(fault.clone(), "the warden says so: see `journalctl -u stint-warden`");
            }
            if status.courier.present && !status.courier.connected {
                problems.add("the courier has no stream to the broker", "see `journalctl -u stint-courier`");
            }
            let age = age_of_status(paths);
            if age.is_some_and(|age| age > STALE_STATUS) {
                problems.add(
                    format!("the warden wrote its status {} ago", Seconds(age.unwrap_or_default())),
                    "it is dead or stuck: systemctl restart stint-warden",
                );
            }
            Some(status)
        }
        Ok(None) => {
            problems.add("the warden wrote no status in this boot", "see `journalctl -u stint-warden`");
            None
        }
        Err(error) => {
            problems.add(error.to_string(), "systemctl restart stint-warden");
            None
        }
    }
}

fn age_of_status(paths: &Paths) -> Option<u64> {
    let written = std::fs::metadata(paths.status()).ok()?.modified().ok()?;
    Some(written.elapsed().unwrap_or_default().as_secs())
}

fn rollback_in(paths: &Paths, problems: &mut Problems) -> Option<u64> {
    match rollback::read(paths) {
        Ok(record) => record.map(|r| r.left(boottime_ms()).as_secs()),
        Err(failure) => {
            problems.add(failure.message, failure.next.unwrap_or_default());
            None
        }
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(out, "{what:<27} {value}");
    };
    let none = || "not enrolled".to_owned();
    let host = match (&report.host, &report.fleet) {
        (Some(host), Some(fleet)) => format!("{host}, fleet {fleet}"),
        _ => none(),
    };
    line("host", &host);
    line("broker", report.broker.as_deref().unwrap_or("none"));
    line(
        "mode",
        match report.mode {
            "inert" => "inert: PAM does not ask the gate",
            "observe" => "observe: decides and records, denies nobody",
            _ => "enforce: managed accounts need a grant",
        },
    );
    if let Some(left) = report.rollback_in {
        line("unconfirmed", &format!("undone in {}: run `stintd confirm` from a new login", Seconds(left)));
    }
    for unit in &report.units {
        line(unit.name.trim_end_matches(".service"), &unit.state);
    }
    if let Some(age) = report.gate_age {
        line("news", &format!("{} old", Seconds(age)));
    }
    if let Some(end) = report.certificate_ends {
        line("certificate", &format!("until {}", UnixTime(end)));
    }
    if let Some(warden) = &report.warden {
        let bundle = warden.bundle.as_ref();
        line(
            "bundle",
            &bundle.map_or("none".to_owned(), |b| format!("version {}, {} locks", b.version, b.locks)),
        );
        line("sessions", &warden.sessions.to_string());
        line("grants", &if warden.live.is_empty() { "none in force".to_owned() } else { String::new() });
        for grant in &warden.live {
            let _ = writeln!(
                out,
                "  {} {} for {} as {}, until {}",
                grant.grant,
                grant.entitlement,
                grant.principal,
                grant.user,
                UnixTime(grant.until)
            );
        }
        for receipt in &warden.receipts {
            let _ = writeln!(out, "  receipt of {}: {}", receipt.grant, printable(&receipt.outcome));
        }
        for refused in &warden.refused {
            let _ = writeln!(out, "  refused: {} ({})", refused.grant, printable(&refused.cause));
        }
    }
    if report.problems.is_empty() {
        out.push_str("All is well.\n");
    }
    for problem in &report.problems {
        // It may quote what came from the broker, the courier or a user: shown to root, and not obeyed by root's terminal.
        let _ = writeln!(out, "PROBLEM: {}\n  {}", printable(&problem.what), problem.next);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        for needed in [&paths.state, &paths.pam, &paths.etc, &paths.run] {
            std::fs::create_dir_all(needed).unwrap();
        }
        (folder, paths)
    }
    fn mode_of(paths: &Paths, wiring: &Wiring) -> (&'static str, Vec<Problem>) {
        let mut problems = Problems::default();
        let mode = mode(paths, wiring, &mut problems);
        (mode, problems.0)
    }

    #[test]
    fn a_host_that_was_never_enrolled_says_only_how_to_enrol() {
        let (_folder, paths) = host();
        let mut problems = Problems::default();
        assert!(enrolment(&paths, &mut problems).is_none());
        assert!(problems.0[0].next.contains("stintd enroll"), "{:?}", problems.0);
    }
    #[test]
    fn the_mode_is_what_the_module_will_do() {
        let (_folder, paths) = host();
        assert_eq!(mode_of(&paths, &Wiring::None), ("inert", vec![]));
        let (lost, problems) = mode_of(&paths, &Wiring::Whole);
        assert_eq!((lost, problems.len()), ("enforce", 1));
        std::fs::write(paths.mode(), "observe\n").unwrap();
        assert_eq!(mode_of(&paths, &Wiring::Whole), ("observe", vec![]));
        std::fs::write(paths.mode(), "enforce\n").unwrap();
        assert_eq!(mode_of(&paths, &Wiring::Whole), ("enforce", vec![]));
        std::fs::write(paths.mode(), "off\n").unwrap();
        assert_eq!(mode_of(&paths, &Wiring::Whole).0, "enforce");
    }
    #[test]
    fn lines_that_vanished_from_an_armed_host_are_a_problem() {
        let (_folder, paths) = host();
        std::fs::write(paths.mode(), "enforce\n").unwrap();
        let (mode, problems) = mode_of(&paths, &Wiring::None);
        assert_eq!(mode, "inert");
        assert!(problems[0].what.contains("open"), "{problems:?}");
        let broken = Wiring::Broken(vec!["common-session: x".to_owned()]);
        assert!(mode_of(&paths, &broken).1[0].what.contains("common-session"));
    }
    #[test]
    fn with_the_warden_dead_the_report_is_still_whole() {
        let report = Report {
            host: Some("web-1".to_owned()),
            fleet: Some("demo".to_owned()),
            broker: None,
            mode: "enforce",
            rollback_in: Some(90),
            units: vec![Unit { name: "stint-warden.service", state: "failed".to_owned() }],
            certificate_ends: None,
            gate_age: Some(75),
            warden: None,
            problems: vec![Problem {
                what: "stint-warden.service is failed\x1b[2J".to_owned(),
                next: "see".to_owned(),
            }],
        };
        let text = text(&report);
        assert!(!text.contains('\x1b'), "{text}");
        for part in ["web-1, fleet demo", "enforce", "1 min 30 s", "failed", "1 min 15 s old", "PROBLEM"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("All is well"));
    }
}
