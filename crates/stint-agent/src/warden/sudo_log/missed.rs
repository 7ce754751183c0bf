//! Commands that run and were not told of: sudo goes on without its log server where nobody demanded otherwise, and people must hear of it.
//! Pure.

use std::collections::BTreeMap;

/// How long sudo's word may be on its way: it is sent before its session is registered, by another road.
const PATIENCE_MS: u64 = 5_000;
/// The most that are remembered of each kind.
const MOST: usize = 4096;

/// What was registered and what was told, by pid.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    told: BTreeMap<u32, u64>,
    waiting: BTreeMap<u32, (u64, String)>,
}

impl Missed {
    /// sudo has told of a command.
    pub(crate) fn told(&mut self, pid: u32, now_ms: u64) {
        self.waiting.remove(&pid);
        self.told.retain(|_, at| *at + PATIENCE_MS > now_ms);
        if self.told.len() < MOST {
            self.told.insert(pid, now_ms);
        }
    }

    /// A session of sudo's is registered, of which it should tell.
    pub(crate) fn registered(&mut self, pid: u32, what: String, now_ms: u64) {
        let told = self.told.get(&pid).is_some_and(|at| *at + PATIENCE_MS > now_ms);
        if !told && self.waiting.len() < MOST {
            self.waiting.insert(pid, (now_ms + PATIENCE_MS, what));
        }
    }

    /// What sudo has not told of in time, each once.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<String> {
        let due = self.waiting.extract_if(.., |_, (at, _)| *at <= now_ms);
        due.map(|(_, (_, what))| what).collect()
    }

    /// When [`Self::due`] is wanted next.
    pub(crate) fn next(&self) -> Option<u64> {
        self.waiting.values().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_told_of_before_or_soon_after_is_not_missed() {
        let mut missed = Missed::default();
        missed.told(7, 1000);
        missed.registered(7, "before".to_owned(), 1010);
        missed.registered(8, "after".to_owned(), 1010);
        missed.told(8, 1200);
        assert_eq!((missed.next(), missed.due(u64::MAX)), (None, vec![]));
    }

    #[test]
    fn one_that_was_not_is_told_once_when_the_time_is_over() {
        let mut missed = Missed::default();
        missed.registered(7, "x".to_owned(), 1000);
        assert_eq!(missed.next(), Some(6000));
        assert!(missed.due(5999).is_empty());
        assert_eq!(missed.due(6000), ["x"]);
        assert!(missed.due(6000).is_empty());
    }

    #[test]
    fn what_another_process_of_the_same_number_told_long_ago_does_not_count() {
        let mut missed = Missed::default();
        missed.told(7, 1000);
        missed.registered(7, "x".to_owned(), 9000);
        assert_eq!(missed.due(20_000), ["x"]);
    }
}
