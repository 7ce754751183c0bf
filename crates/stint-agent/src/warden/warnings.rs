//! When users are told that their time is running out: 15, 5 and 1 minutes before the end. Pure.

use std::collections::BTreeSet;

use stint_grant::ids::GrantId;
use stint_grant::time::{Seconds, UnixTime};

use super::live::LiveGrant;

/// How many minutes before the end, the earliest first.
const MINUTES: [u32; 3] = [15, 5, 1];
/// A warning that could not be given in time is left out rather than given late: the user would read a wrong number.
const LATE: Seconds = Seconds(30);

/// The warnings that were given.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    given: BTreeSet<(GrantId, UnixTime, u32)>,
}

/// One warning that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The grant.
    pub(crate) grant: GrantId,
    /// How many minutes are left.
    pub(crate) minutes: u32,
}

fn points(grant: &LiveGrant) -> impl Iterator<Item = (u32, UnixTime)> {
    let (from, until) = (grant.from(), grant.until());
    MINUTES
        .into_iter()
        .map(move |minutes| (minutes, UnixTime(until.0.saturating_sub(i64::from(minutes) * 60))))
        // Who was let in with ten minutes needs no word at fifteen.
        .filter(move |(_, at)| *at > from)
}

impl Warnings {
    /// The warnings that are due now, each once. An extension makes them due again.
    pub(crate) fn due(&mut self, live: &[LiveGrant], now: UnixTime) -> Vec<Warning> {
        self.given.retain(|(id, until, _)| live.iter().any(|g| g.id() == id && g.until() == *until));
        let mut due = Vec::new();
        for grant in live {
            for (minutes, at) in points(grant).filter(|(_, at)| *at <= now) {
                let new = self.given.insert((grant.id().clone(), grant.until(), minutes));
                if new && now.since(at) <= LATE {
                    due.push(Warning { grant: grant.id().clone(), minutes });
                }
            }
        }
        due
    }

    /// When the next one is due.
    pub(crate) fn next(live: &[LiveGrant], now: UnixTime) -> Option<UnixTime> {
        live.iter().flat_map(points).map(|(_, at)| at).filter(|at| *at > now).min()
    }
}
