//! The host's journal: what happened, on disk before it is believed, and shipped until the broker holds it.

use stint_log::record::Event;

/// Takes down what happened. What is recorded is durable after the next commit of the journal.
pub(crate) trait Recorder {
    /// Records one event.
    fn record(&mut self, event: Event);
}
