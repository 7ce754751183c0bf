//! The receipt: what was killed, removed, put back, reported, and what cannot be known. Pure.

use stint_grant::ids::GrantId;
use stint_log::record::Event;

use super::store::{Killing, Outcome};

/// The most lines of one kind.
const MAX_LINES: usize = 100;
/// The most bytes of a line.
const MAX_LINE: usize = 300;
/// The most bytes of all of it: a record has 64 KiB, and a hostile session must not keep its receipt from being written.
const MAX_BYTES: usize = 48 * 1024;

/// What cannot be excluded after a grant, whatever a scan finds.
pub(crate) fn not_excluded(root: bool, full_root: bool, ptrace_is_open: bool) -> Vec<String> {
    let mut said = Vec::new();
    if ptrace_is_open {
        said.push(
            "code put into another process of the same account (kernel.yama.ptrace_scope does not forbid it)"
                .to_owned(),
        );
    }
    if full_root {
        said.extend(
            [
                "full root was used, or could have been: no scan tells all that it did",
                "a descriptor or terminal handed to a process of somebody else",
                "a process moved to another group under another login",
                "PAM modules that ran before stint's",
                "a container that had the host's root",
                "code put into a daemon that runs as root, until the host is rebooted",
                "sshd, sudo or the kernel replaced or changed",
                "data and keys that were copied, the host's own keys among them",
                "root can hide from all of this: rebuild the host, or enrol it anew, if it matters",
            ]
            .map(str::to_owned),
        );
    } else if root {
        said.push("what its commands as root did beyond files that are looked at".to_owned());
    }
    said
}

/// Puts the receipt together. `outcome` is missing if nobody could look; why, is said.
pub(crate) fn receipt(
    grant: &GrantId,
    killing: &Killing,
    outcome: Result<&Outcome, &str>,
    also_open: &[String],
) -> Event {
    let mut lines = MAX_LINES;
    loop {
        let event = receipt_of(grant, killing, outcome, also_open, lines);
        let bytes = serde_json::to_vec(&event).map_or(0, |bytes| bytes.len());
        if bytes <= MAX_BYTES || lines == 0 {
            return event;
        }
        lines /= 2;
    }
}

fn receipt_of(
    grant: &GrantId,
    killing: &Killing,
    outcome: Result<&Outcome, &str>,
    also_open: &[String],
    most: usize,
) -> Event {
    let bounded = |lines: Vec<String>| bounded(lines, most);
    let nobody = Outcome { settled: true, ..Outcome::default() };
    let (outcome, failed) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(why) => (&nobody, Some(format!("nothing was compared: {why}"))),
    };
    let mut reported = [&killing.reported[..], &outcome.reported[..]].concat();
    if !outcome.settled {
        reported.push("it changed at every look: something is still at work".to_owned());
    }
    let not_scanned: Vec<String> = outcome.not_scanned.iter().cloned().chain(failed).collect();
    let nothing_found = killing.clean && reported.is_empty() && not_scanned.is_empty();
    Event::Receipt {
        grant: grant.to_string(),
        sessions: killing.sessions,
        killed: killing.killed,
        removed: bounded([&killing.removed[..], &outcome.removed[..]].concat()),
        restored: bounded(outcome.restored.clone()),
        reported: bounded(reported),
        not_excluded: bounded([&killing.not_excluded[..], &outcome.not_excluded[..]].concat()),
        not_scanned: bounded(not_scanned),
        also_open: bounded(also_open.to_vec()),
        took_ms: killing.took_ms.saturating_add(outcome.took_ms),
        nothing_found,
        clean: nothing_found && !outcome.root,
    }
}

fn bounded(mut lines: Vec<String>, most: usize) -> Vec<String> {
    let all = lines.len();
    if all > most {
        lines.truncate(most);
        lines.push(format!("and {} more", all - most));
    }
    for line in &mut lines {
        if line.len() > MAX_LINE {
            line.truncate(line.floor_char_boundary(MAX_LINE));
            line.push_str("...");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outcome: Result<&Outcome, &str>) -> Event {
        let killing = Killing { clean: true, ..Killing::default() };
        receipt(&GrantId::new("aaaabbbbcccc").unwrap(), &killing, outcome, &[])
    }
    fn quiet() -> Outcome {
        Outcome { settled: true, ..Outcome::default() }
    }
    fn verdict(event: &Event) -> (bool, bool) {
        let Event::Receipt { nothing_found, clean, .. } = event else { unreachable!() };
        (*nothing_found, *clean)
    }

    #[test]
    fn only_a_full_look_that_found_nothing_is_clean_and_never_after_root() {
        assert_eq!(verdict(&of(Ok(&quiet()))), (true, true));
        assert_eq!(verdict(&of(Ok(&Outcome { root: true, ..quiet() }))), (true, false));
        let found = Outcome { reported: vec!["x".into()], ..quiet() };
        assert_eq!(verdict(&of(Ok(&found))), (false, false));
        let short = Outcome { not_scanned: vec!["x".into()], ..quiet() };
        assert_eq!(verdict(&of(Ok(&short))), (false, false));
        assert_eq!(verdict(&of(Ok(&Outcome { settled: false, ..quiet() }))), (false, false));
        assert_eq!(verdict(&of(Err("no baseline"))), (false, false));
    }

    #[test]
    fn what_was_undone_is_not_left() {
        let undone = Outcome { removed: vec!["x".into()], restored: vec!["y".into()], ..quiet() };
        assert_eq!(verdict(&of(Ok(&undone))), (true, true));
        assert_eq!(of(Ok(&undone)).outcome().unwrap(), "clean; 2 undone");
    }

    #[test]
    fn a_million_findings_fit_into_a_record() {
        for long in ["é".repeat(5000), "\\\"".repeat(5000)] {
            let lines = || vec![long.clone(); 5000];
            let outcome = Outcome {
                removed: lines(),
                restored: lines(),
                reported: lines(),
                not_scanned: lines(),
                not_excluded: lines(),
                ..quiet()
            };
            let event = of(Ok(&outcome));
            assert!(serde_json::to_vec(&event).unwrap().len() <= MAX_BYTES);
            let Event::Receipt { reported, clean: false, .. } = event else { panic!("not clean") };
            assert!(reported.last().unwrap().starts_with("and ") && reported.len() > 2);
        }
    }

    #[test]
    fn after_full_root_a_rebuild_is_offered() {
        assert!(not_excluded(true, true, false).iter().any(|line| line.contains("rebuild the host")));
        assert!(not_excluded(false, false, false).is_empty());
    }
}
