//! The host's journal: what happened, on disk before it is believed, and shipped until the broker holds it.
//!
//! - [`segment`] is one file: the state of the chain at its beginning, then records;
//! - [`recovery`] reads the segments at a start, cuts off a torn end, and puts aside what is damaged;
//! - [`store`] appends, commits in groups, and deletes below the broker's mark;
//! - [`auth_log`] says alarms to the machine's own log as well;
//! - [`shipping`] compares the broker's mark with the journal, and cuts shipments.

mod auth_log;
mod recovery;
mod segment;
mod shipping;
mod store;
mod tail;

#[cfg(test)]
mod tests;

use stint_log::record::Event;

pub(crate) use auth_log::AuthLog;
pub(crate) use store::{Journal, JournalError, JournalStatus};

/// Takes down what happened. What is recorded is durable after the next commit of the journal.
pub(crate) trait Recorder {
    /// Records one event.
    fn record(&mut self, event: Event);
}
