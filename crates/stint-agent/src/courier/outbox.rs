//! What waits for the warden: the newest of each kind, and nothing older. So it holds one update at most, however long the warden is away.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stint_api::audit::SignedMark;
use stint_api::hosts::HostUpdate;
use tokio::sync::Notify;

use crate::wire::ToWarden;

/// What waits for the warden.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    connected: Option<bool>,
    update: Option<Box<HostUpdate>>,
    pulse: Option<String>,
    high_water: Option<SignedMark>,
    /// What the broker said of the part that was sent last: there is one on its way at a time.
    recording: Option<ToWarden>,
    /// What the warden was last told, or is about to be: told again to a new connection.
    is_connected: bool,
}

impl Outbox {
    /// An update replaces an older one, and the pulse that waits: it carries its own.
    pub(crate) fn update(&self, update: Box<HostUpdate>) {
        let mut waiting = self.lock();
        waiting.pulse = None;
        waiting.update = Some(update);
        self.filled.notify_one();
    }
    /// A pulse replaces an older one. It is told after the update that waits.
    pub(crate) fn pulse(&self, pulse: String) {
        self.lock().pulse = Some(pulse);
        self.filled.notify_one();
    }
    /// What the broker holds of the journal.
    pub(crate) fn high_water(&self, high_water: SignedMark) {
        self.lock().high_water = Some(high_water);
        self.filled.notify_one();
    }
    /// What the broker said of a part of a recording.
    pub(crate) fn recording(&self, said: ToWarden) {
        self.lock().recording = Some(said);
        self.filled.notify_one();
    }
    /// Whether the stream is open.
    pub(crate) fn connected(&self, connected: bool) {
        let mut waiting = self.lock();
        if waiting.is_connected != connected {
            waiting.is_connected = connected;
            waiting.connected = Some(connected);
            self.filled.notify_one();
        }
    }
    /// A new connection to the warden: it must be told again whether the stream is open.
    pub(crate) fn warden_is_new(&self) {
        let mut waiting = self.lock();
        waiting.connected = Some(waiting.is_connected);
        self.filled.notify_one();
    }

    /// The next thing to tell, once there is one.
    pub(crate) async fn next(&self) -> ToWarden {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<ToWarden> {
        let mut waiting = self.lock();
        if let Some(connected) = waiting.connected.take() {
            return Some(ToWarden::Connected(connected));
        }
        if let Some(update) = waiting.update.take() {
            return Some(ToWarden::Update(update));
        }
        if let Some(pulse) = waiting.pulse.take() {
            return Some(ToWarden::Pulse(pulse));
        }
        let high_water = waiting.high_water.take().map(|mark| ToWarden::HighWater(mark.envelope));
        high_water.or_else(|| waiting.recording.take())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(head: &str) -> Box<HostUpdate> {
        Box::new(HostUpdate {
            roots: vec![],
            roster: None,
            head: head.to_owned(),
            shards: vec![],
            reviews: vec![],
            pulse: "inside".to_owned(),
        })
    }
    fn told(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.take())
            .map(|message| match message {
                ToWarden::Update(u) => format!("update {}", u.head),
                ToWarden::Pulse(p) => format!("pulse {p}"),
                ToWarden::HighWater(h) => format!("high water {h}"),
                ToWarden::Connected(c) => format!("connected {c}"),
                ToWarden::RecordingHeld { run, .. } => format!("held {run}"),
                ToWarden::RecordingRefused { run, .. } => format!("refused {run}"),
            })
            .collect()
    }

    #[test]
    fn only_the_newest_update_waits_and_takes_the_older_pulse_with_it() {
        let outbox = Outbox::default();
        outbox.update(update("1"));
        outbox.pulse("of 1".to_owned());
        outbox.update(update("2"));
        assert_eq!(told(&outbox), ["update 2"]);
    }
    #[test]
    fn a_pulse_is_told_after_the_update_that_it_is_for() {
        let outbox = Outbox::default();
        outbox.update(update("1"));
        outbox.pulse("a".to_owned());
        outbox.pulse("b".to_owned());
        assert_eq!(told(&outbox), ["update 1", "pulse b"]);
    }
    #[test]
    fn recordings_come_last() {
        let outbox = Outbox::default();
        outbox.recording(ToWarden::RecordingRefused { run: "r1".to_owned(), cause: String::new() });
        outbox.high_water(SignedMark { envelope: "3".to_owned() });
        outbox.pulse("a".to_owned());
        assert_eq!(told(&outbox), ["pulse a", "high water 3", "refused r1"]);
    }
    #[test]
    fn the_state_of_the_stream_is_told_when_it_changes_and_to_each_new_warden() {
        let outbox = Outbox::default();
        outbox.connected(true);
        outbox.connected(true);
        assert_eq!(told(&outbox), ["connected true"]);
        outbox.connected(true);
        assert!(told(&outbox).is_empty());
        outbox.warden_is_new();
        assert_eq!(told(&outbox), ["connected true"]);
    }
}
