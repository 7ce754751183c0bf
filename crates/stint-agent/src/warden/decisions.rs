//! What the module decided, for the record; and how many denials of one account are recorded: whoever is denied can ask again without end,
//! and must fill neither the disk nor the broker.

use std::collections::BTreeMap;

use stint_grant::register::DecisionNote;
use stint_log::record::{Event, Verdict};

use super::gate::Look;
use super::time;
use super::warden::{Warden, clip};
use crate::journal::Recorder;

/// The module's word for a denial that is the gate's fault.
const GATE_CODE: &str = "gate";

/// So many of one account in an hour of the boot clock: far more than people and their jobs come to.
const IN_AN_HOUR: u32 = 1000;
/// So many accounts are counted each for itself; the others together.
const ACCOUNTS: usize = 10_000;

/// What becomes of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// It is recorded.
    Record,
    /// It is the first that is not: that is told.
    Tell,
    /// It stands in the machine's own log only, where the module has put it.
    Leave,
}

/// The denials of this hour.
#[derive(Debug, Default)]
pub(super) struct Denials {
    hour: u64,
    of: BTreeMap<String, u32>,
}

impl Denials {
    /// One more of an account.
    pub(super) fn take(&mut self, user: &str, boottime_ms: u64) -> Note {
        let hour = boottime_ms / 3_600_000;
        if hour != self.hour {
            (self.hour, self.of) = (hour, BTreeMap::new());
        }
        let known = self.of.contains_key(user) || self.of.len() < ACCOUNTS;
        let count = self.of.entry(if known { user.to_owned() } else { String::new() }).or_default();
        *count = count.saturating_add(1);
        match *count {
            0..=IN_AN_HOUR => Note::Record,
            count if count == IN_AN_HOUR + 1 => Note::Tell,
            _ => Note::Leave,
        }
    }

    /// What is told of the first that is not recorded.
    pub(super) fn words(user: &str) -> String {
        format!(
            "{user:?} was denied more than {IN_AN_HOUR} times within an hour: the further ones of that hour stand in this host's auth log only"
        )
    }
}

impl Warden {
    /// A decision that the module made. One that the gate itself is to blame for is the sign to look at the gate.
    pub(super) async fn note_decision(&mut self, note: DecisionNote) {
        // Whether or not it is recorded: who floods the record must not keep a damaged gate from being mended.
        if note.code == GATE_CODE {
            self.look_at_gate(Look::Whole).await;
        }
        self.read_clocks();
        let verdict = match (note.allowed, note.enforced) {
            (true, _) => Verdict::Allow,
            (false, true) => Verdict::Deny,
            (false, false) => Verdict::WouldDeny,
        };
        let (service, user) = (clip(note.service), clip(note.user));
        if verdict != Verdict::Allow {
            match self.room.denials.take(&user, time::boottime_ms()) {
                Note::Record => {}
                Note::Tell => {
                    let detail = Denials::words(&user);
                    tracing::warn!("{detail}");
                    return self.journal.record(Event::Alarm { what: "denials".to_owned(), detail });
                }
                Note::Leave => return,
            }
        }
        self.journal.record(Event::Decision {
            service,
            user,
            grant: note.grants.first().map(ToString::to_string),
            verdict,
            cause: clip(note.code),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_asks_without_end_is_told_of_once_an_hour_and_takes_nothing_from_others() {
        let mut denials = Denials::default();
        for hour in [0, 1, 9] {
            let at = hour * 3_600_000;
            let notes: Vec<Note> = (0..5000).map(|n| denials.take("alice", at + n)).collect();
            let count = |note| notes.iter().filter(|n| **n == note).count();
            assert_eq!((count(Note::Record), count(Note::Tell)), (1000, 1));
            assert_eq!(denials.take("bob", at), Note::Record);
        }
    }

    #[test]
    fn names_without_end_fill_no_memory() {
        let mut denials = Denials::default();
        for n in 0..3 * ACCOUNTS {
            denials.take(&format!("user{n}"), 0);
        }
        assert!(denials.of.len() <= ACCOUNTS + 1);
    }
}
