//! The warden's parts together, and what it does with each thing that it hears. [`super::event_loop`] drives it.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use stint_api::hosts::{ACK_PAYLOAD_TYPE, Acknowledgement, HostUpdate, RefusedOnHost};
use stint_grant::bundle::PulseError;
use stint_grant::dsse;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::GrantId;
use stint_grant::mark;
use stint_grant::record::RecordLevel;
use stint_grant::register::{Register, RegisterAnswer, SessionKind};
use stint_grant::time::{ClockReading, Seconds};
use stint_log::record::{Event, Mode};
use stint_sudolog::sudo_rs::Pieces;
use tokio::sync::mpsc;

use super::accounts::Steward;
use super::allowance::Room;
use super::config;
use super::gate::Look;
use super::intake::IntakeError;
use super::keeper::{Change, Keeper};
use super::live::LiveGrant;
use super::paths::Paths;
use super::residue::{Desk, Holding};
use super::sessions::{Enforcer, Moment};
use super::ssh::Sshd;
use super::sudo_log::{AwaitedLines, Missed, Outgoing};
use super::sudoers::{self, Refusals, SudoersError};
use super::tampering::Watch;
use super::time;
use super::trust::Trust;
use super::warnings::Warnings;
use crate::journal::{Journal, JournalError, Recorder};
use crate::wire::{ToCourier, ToWarden};

/// So long it is tried to remove a drop-in before a bundle is acknowledged all the same.
const STANDS_AFTER_MS: u64 = 5_000;

/// The warden.
pub(super) struct Warden {
    pub(super) paths: Paths,
    pub(super) trust: Trust,
    pub(super) identity: SigningKey,
    pub(super) keeper: Keeper,
    pub(super) enforcer: Enforcer,
    pub(super) steward: Steward,
    pub(super) journal: Journal,
    pub(super) desk: Desk,
    pub(super) drop_in_refusals: Refusals,
    pub(super) sshd: Sshd,
    pub(super) warnings: Warnings,
    pub(super) mode: Mode,
    pub(super) courier: Option<Courier>,
    pub(super) faults: Faults,
    /// The bundle in force was not acknowledged yet.
    pub(super) owes_acknowledgement: bool,
    /// A mark of the journal that came before the root by which it can be judged: a courier says what is new in any order.
    pub(super) unjudged_mark: Option<UnjudgedMark>,
    /// The last refusal of an update or a pulse, so that the same one is recorded once.
    pub(super) last_refusal: Option<String>,
    /// How much more of what others can make without end may be recorded.
    pub(super) room: Room,
    /// The grants whose drop-ins were left out in observe mode, so that each is recorded once.
    pub(super) observed: BTreeSet<GrantId>,
    /// Recordings on their way to the broker.
    pub(super) outgoing: Outgoing,
    /// Commands that sudo has to tell of.
    pub(super) missed: Missed,
    /// Commands that sudo-rs has to write of, and the beginnings of long lines.
    pub(super) awaited: AwaitedLines,
    pub(super) pieces: Pieces,
    /// The wall clock against the boot clock, in seconds, to measure a jump.
    pub(super) wall_offset: i64,
    /// Since when, by the boot clock in milliseconds, a drop-in of a grant that has ended cannot be removed.
    pub(super) standing_since_ms: Option<u64>,
    /// Root's hand on stint itself.
    pub(super) watch: Watch,
}

/// The courier that is connected.
pub(super) struct Courier {
    pub(super) id: u64,
    pub(super) to: mpsc::Sender<ToCourier>,
    pub(super) online: bool,
}

/// A mark that waits for another root than the host has.
pub(super) struct UnjudgedMark {
    envelope: String,
    /// The version of the root that did not verify it; `None` if there was no root yet.
    root: Option<u64>,
}

/// What is wrong now, each for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// The host's keys belong to another machine: nothing is taken from the broker.
    pub(super) machine: Option<String>,
    /// `host.toml` is malformed; the last good one holds.
    pub(super) config: Option<String>,
    /// Drop-ins are not as they should be.
    pub(super) sudo: Option<String>,
    /// What sshd reads is not as it should be, or it has not read it.
    pub(super) ssh: Option<String>,
    /// sshd does not find what is kept for it.
    pub(super) sshd: Option<String>,
    /// The module's file is missing.
    pub(super) module: Option<String>,
    /// No clock could be read.
    pub(super) clock: Option<String>,
    /// Nobody hears what sudo tells of commands.
    pub(super) sudo_log: Option<String>,
    /// What sudo-rs writes is not read.
    pub(super) sudo_rs: Option<String>,
}

impl Warden {
    /// The grants by which the host's files are made: none in observe mode.
    pub(super) fn in_force(&self) -> &[LiveGrant] {
        if self.enforces() { self.keeper.live() } else { &[] }
    }

    /// Whether verdicts are enforced here, or only recorded.
    pub(super) fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Reads the clocks, and sets the time that records carry.
    pub(super) fn read_clocks(&mut self) -> Option<ClockReading> {
        let Some(reading) = time::read_clocks() else {
            self.faults.clock = Some("the clocks cannot be read: is /proc mounted?".to_owned());
            return None;
        };
        self.faults.clock = None;
        self.journal.set_now(self.keeper.now(&reading).unwrap_or(reading.wall));
        Some(reading)
    }

    pub(super) fn moment(&self, reading: &ClockReading) -> Moment {
        Moment { now: self.keeper.now(reading).unwrap_or(reading.wall), boottime_ms: reading.boottime_ms }
    }

    /// What the courier brings. It is believed nothing but what is signed.
    pub(super) async fn hear_courier(&mut self, what: ToWarden) {
        match what {
            ToWarden::Update(update) => self.take_update(*update).await,
            ToWarden::Pulse(envelope) => self.take_pulse(&envelope).await,
            ToWarden::HighWater(envelope) => self.take_mark(envelope),
            ToWarden::RecordingHeld { run, held } => self.note_recording_held(&run, held),
            ToWarden::RecordingRefused { run, cause } => self.outgoing.put_off(&run, &cause),
            ToWarden::Connected(online) => {
                if let Some(courier) = &mut self.courier {
                    courier.online = online;
                }
                self.owes_acknowledgement |= online && self.keeper.plan().is_some();
            }
        }
    }

    async fn take_update(&mut self, update: HostUpdate) {
        let Some(reading) = self.read_clocks() else { return };
        if let Some(cause) = self.faults.machine.clone() {
            self.tell_courier(ToCourier::Refused(cause));
            return;
        }
        if self.desk.root_is_owed() {
            // What it brings is written over what somebody may have written there.
            self.keeper.look_before_it_goes(&mut self.journal);
        }
        match self.keeper.take_update(update, &reading, &mut self.journal) {
            Ok(change) => {
                self.last_refusal = None;
                self.owes_acknowledgement = true;
                self.enforce(change, &reading).await;
            }
            Err(error) => {
                self.refuse("update", &error);
                self.tell_courier(ToCourier::Refused(error.to_string()));
            }
        }
    }

    async fn take_pulse(&mut self, envelope: &str) {
        let Some(reading) = self.read_clocks() else { return };
        if self.faults.machine.is_some() {
            return;
        }
        match self.keeper.take_pulse(envelope, &reading, &mut self.journal) {
            Ok(change) => self.enforce(change, &reading).await,
            // A newer bundle is there, or this host has none: it is asked for.
            Err(error @ (IntakeError::NoBundle | IntakeError::Pulse(PulseError::OtherBundle { .. }))) => {
                self.tell_courier(ToCourier::Refused(error.to_string()));
            }
            Err(error) => self.refuse("pulse", &error),
        }
    }

    /// What the broker holds of the journal, verified by the newest root before anything is deleted or shipped by it.
    fn take_mark(&mut self, envelope: String) {
        self.unjudged_mark = None;
        let Some(root) = self.keeper.plan().map(|plan| &plan.root.0) else {
            self.unjudged_mark = Some(UnjudgedMark { envelope, root: None });
            return;
        };
        match mark::open(envelope.as_bytes(), root, self.keeper.me()) {
            Ok(mark) => {
                if let Err(error) = self.journal.take_mark(&mark) {
                    tracing::error!(%error, "the broker's mark could not be taken");
                }
            }
            Err(error) => {
                let why = error.to_string();
                tracing::warn!("the journal's mark is refused: {why}");
                self.unjudged_mark = Some(UnjudgedMark { envelope, root: Some(root.version) });
                if self.journal.stopped() == Some(&why) || self.room.refusals.take(time::boottime_ms()) {
                    self.journal.refuse_mark(why);
                }
            }
        }
    }

    /// Judges a mark that waited for a root, once there is another.
    fn judge_waiting_mark(&mut self) {
        let root = self.keeper.plan().map(|plan| plan.root.0.version);
        if let Some(waiting) = self.unjudged_mark.take_if(|waiting| root.is_some() && waiting.root != root) {
            self.take_mark(waiting.envelope);
        }
    }

    fn refuse(&mut self, what: &str, error: &IntakeError) {
        let detail = error.to_string();
        tracing::warn!(what, cause = error.code(), "refused: {detail}");
        let room = if error.is_alarm() { &mut self.room.alarms } else { &mut self.room.refusals };
        if self.last_refusal.as_ref() == Some(&detail) || !room.take(time::boottime_ms()) {
            return;
        }
        self.last_refusal = Some(detail.clone());
        let cause = error.code().to_owned();
        if error.is_alarm() {
            self.journal.record(Event::Alarm { what: cause.clone(), detail: detail.clone() });
        }
        self.journal.record(Event::BundleRefused { cause, detail });
    }

    /// Makes drop-ins and sessions follow a change. The gate has it already.
    pub(super) async fn enforce(&mut self, change: Change, reading: &ClockReading) {
        let at = self.moment(reading);
        if change.live_changed {
            self.reconcile_drop_ins();
            self.reconcile_ssh();
        }
        if !change.ended.is_empty() {
            let mut recorder = Holding { journal: &mut self.journal, drafts: &mut self.desk.drafts };
            self.enforcer.end(&change.ended, self.keeper.live(), at, &mut recorder).await;
        }
        if change.live_changed && self.enforces() {
            self.enforcer.extend(self.keeper.live(), at, &mut self.journal).await;
        }
        if change.live_changed || !change.ended.is_empty() {
            self.reconcile_groups(false).await;
        }
        self.settle_sshd().await;
    }

    /// Makes the drop-ins equal to the live grants. In observe mode, and while PAM does not ask the module, there are none.
    pub(super) fn reconcile_drop_ins(&mut self) {
        let enforces = self.enforces();
        let live = if enforces { self.keeper.live() } else { &[] };
        let outcome =
            sudoers::reconcile(&self.paths.sudoers, live, &mut self.drop_in_refusals, &mut self.journal);
        let stands = matches!(outcome, Err(SudoersError::Remove(_)));
        self.standing_since_ms = stands.then(|| self.standing_since_ms.unwrap_or_else(time::boottime_ms));
        self.faults.sudo = match outcome {
            Ok(()) => None,
            Err(SudoersError::List { .. }) if live.iter().all(|grant| grant.rules().is_empty()) => None,
            Err(error) => {
                tracing::error!(%error, "the drop-ins are not as they should be; trying again");
                Some(error.to_string())
            }
        };
        if enforces {
            self.observed.clear();
            return;
        }
        for grant in self.keeper.live().iter().filter(|grant| !grant.rules().is_empty()) {
            if self.observed.insert(grant.id().clone()) {
                self.journal.record(Event::DropInRefused {
                    grant: grant.id().to_string(),
                    cause: config::mode_word(self.mode).to_owned(),
                    detail: "nothing is enforced in this mode: the drop-in would have been written"
                        .to_owned(),
                });
            }
        }
    }

    /// A session that opens. What cannot be recorded may not be elevated.
    pub(super) async fn register(&mut self, register: Register, peer_pid: u32) -> RegisterAnswer {
        let no_record = || RegisterAnswer {
            ok: false,
            message:
                "this host cannot record what is done on it: its administrator must make room on its disk"
                    .to_owned(),
        };
        let strict = register.kind == SessionKind::Elevation && self.enforces();
        let Some(reading) = self.read_clocks() else { return no_record() };
        if strict && self.journal.fault().is_some() && self.commit().is_err() {
            return no_record();
        }
        let at = self.moment(&reading);
        let live = self.keeper.live();
        let recorded = |grant: &LiveGrant| {
            grant.user().as_str() == register.user && grant.record().level > RecordLevel::None
        };
        // sudo has been told to tell of it.
        let is_told_of = strict
            && matches!(register.service.as_str(), "sudo" | "sudo-i")
            && live.iter().any(|grant| recorded(grant) && !grant.rules().is_empty());
        let by_log = self.drop_in_refusals.is_sudo_rs();
        let user = register.user.clone();
        let what = format!("sudo of {} (pid {peer_pid}) runs a command that is not on record", register.user);
        if self.enforces() {
            let opens: Vec<_> = live.iter().filter(|grant| register.grants.contains(grant.id())).collect();
            Box::pin(self.desk.open_window(&opens, &reading, &self.keeper.config().residue)).await;
        }
        let answer = self.enforcer.register(register, peer_pid, live, at, &mut self.journal).await;
        if self.commit().is_err() && strict && answer.ok {
            return no_record();
        }
        if is_told_of && answer.ok {
            if by_log {
                self.await_line(&user, peer_pid, &reading);
            } else {
                self.missed.registered(peer_pid, what, reading.boottime_ms);
            }
        }
        answer
    }

    /// Mends a gate that somebody damaged: while it is, nobody managed gets in.
    pub(super) async fn look_at_gate(&mut self, look: Look) {
        if self.keeper.look_at_gate(look, &mut self.journal) {
            self.time_passed().await;
        }
    }

    /// Time has passed: windows begin and end, warnings are due, what was asked to end is killed.
    pub(super) async fn time_passed(&mut self) {
        if let Some(reading) = self.read_clocks() {
            let change = self.keeper.refresh(&reading, &mut self.journal);
            self.enforce(change, &reading).await;
            self.warn_people(&reading);
            let at = self.moment(&reading);
            self.enforcer.end_idle(self.keeper.live(), at, &mut self.journal).await;
        }
        for detail in self.missed.due(time::boottime_ms()) {
            tracing::error!("{detail}");
            self.journal.record(Event::Alarm { what: "command-not-recorded".to_owned(), detail });
        }
        self.look_for_lines(time::boottime_ms());
        // Also when the time is not known: what was asked to end is killed by the boot clock, which nobody can set.
        let mut recorder = Holding { journal: &mut self.journal, drafts: &mut self.desk.drafts };
        self.enforcer.tick(time::boottime_ms(), &mut recorder).await;
        self.end_on_logout().await;
        if self.steward.is_unfinished(self.in_force()) {
            self.reconcile_groups(false).await;
        }
    }

    fn warn_people(&mut self, reading: &ClockReading) {
        let Some(now) = self.keeper.now(reading) else { return };
        for warning in self.warnings.due(self.keeper.live(), now) {
            let Some(grant) = self.keeper.live().iter().find(|grant| *grant.id() == warning.grant) else {
                continue;
            };
            let heard =
                self.enforces() && self.enforcer.warn(grant, Seconds(u64::from(warning.minutes) * 60));
            if heard {
                self.journal.record(Event::WindowWarned {
                    grant: grant.id().to_string(),
                    user: grant.user().to_string(),
                    minutes_left: warning.minutes,
                });
            }
        }
    }

    /// Somebody set the wall clock.
    pub(super) async fn clock_set(&mut self) {
        let Some(reading) = self.read_clocks() else { return };
        let offset = wall_offset(&reading);
        let seconds = offset.saturating_sub(self.wall_offset);
        self.wall_offset = offset;
        if seconds.abs() > 1 {
            tracing::warn!(seconds, "the wall clock was set");
            self.journal.record(Event::ClockJumped { seconds });
        }
        self.time_passed().await;
    }

    /// Another `host.toml`, or another mode.
    pub(super) async fn look_at_config(&mut self) {
        let Some(reading) = self.read_clocks() else { return };
        let config = config::host_config(&self.paths);
        let mode = config::mode(&self.paths);
        self.look_at_pam(false);
        let config = match config {
            Ok(config) => {
                self.faults.config = None;
                (config != *self.keeper.config()).then_some(config)
            }
            Err(cause) => {
                self.config_is_malformed(&cause);
                None
            }
        };
        if config.is_none() && mode == self.mode {
            return;
        }
        let begins_to_enforce = mode == Mode::Enforce && self.mode != mode;
        if mode != self.mode {
            let (from, to) = (std::mem::replace(&mut self.mode, mode), mode);
            tracing::info!(from = config::mode_word(from), to = config::mode_word(to), "the mode changed");
            let (by, why) = ("root".to_owned(), "the mode file or the PAM configuration changed".to_owned());
            let (before, now) = (config::mode_word(from), config::mode_word(to));
            self.desk.notice(&format!("the host went from {before} to {now}: {why}"));
            self.journal.record(Event::ModeChanged { from, to, by, why });
            self.owes_acknowledgement |= self.keeper.plan().is_some();
        }
        if let Some(config) = config {
            self.note_config_change(&config);
            config::keep_good(&self.paths);
            self.reconfigure(config, &reading).await;
        }
        self.take_posture().await;
        self.reconcile_drop_ins();
        self.reconcile_ssh();
        self.reconcile_groups(false).await;
        if begins_to_enforce {
            let at = self.moment(&reading);
            let mut recorder = Holding { journal: &mut self.journal, drafts: &mut self.desk.drafts };
            self.enforcer.end_unpermitted(self.keeper.live(), at, &mut recorder).await;
            // While the host observed, PID 1 was given nothing to end.
            self.enforcer.doubt_all_logins();
            self.enforcer.extend(self.keeper.live(), at, &mut self.journal).await;
        }
        self.settle_sshd().await;
    }

    /// Makes PID 1's limits right where that is in doubt.
    pub(super) async fn settle_limits(&mut self) {
        let Some(reading) = self.read_clocks() else { return };
        let at = self.moment(&reading);
        self.enforcer.settle_limits(self.keeper.live(), at, &mut self.journal).await;
    }

    pub(super) fn config_is_malformed(&mut self, cause: &str) {
        let detail = format!("{cause}. The last good one holds");
        if self.faults.config.as_ref() != Some(&detail) {
            tracing::error!("{detail}");
            self.journal.record(Event::Alarm { what: "host-toml".to_owned(), detail: detail.clone() });
        }
        self.faults.config = Some(detail);
    }

    async fn reconfigure(&mut self, config: HostConfig, reading: &ClockReading) {
        tracing::info!("host.toml changed");
        match self.keeper.reconfigure(config, reading, &mut self.journal) {
            Ok(change) => {
                self.owes_acknowledgement |= self.keeper.plan().is_some();
                self.enforce(change, reading).await;
            }
            Err(error) => tracing::error!(%error, "grants could not be judged by the new host.toml"),
        }
    }

    /// Tells the enforcer by what rules, and whether, it ends sessions.
    pub(super) async fn take_posture(&mut self) {
        let armed = self.enforces();
        let config = self.keeper.config().clone();
        self.enforcer.set_posture(&config, armed, &mut self.journal).await;
    }

    /// Makes durable what was recorded.
    pub(super) fn commit(&mut self) -> Result<(), ()> {
        self.journal.commit().map_err(|error| {
            tracing::error!(%error, "nothing can be recorded; trying again");
            if let JournalError::File(error) = &error {
                self.watch.note_held(error);
            }
        })?;
        self.outgoing.committed();
        Ok(())
    }

    /// What waits for the courier: the acknowledgement, once all of it is true, and records.
    pub(super) fn serve_courier(&mut self) {
        if self.courier.is_none() {
            return;
        }
        if self.owes_acknowledgement
            && self.keeper.is_written()
            && self.has_settled_sudo()
            && self.faults.ssh.is_none()
            && !self.sshd.is_due()
            && self.steward.is_settled()
            && self.commit().is_ok()
        {
            if let Some(envelope) = self.acknowledgement() {
                self.tell_courier(ToCourier::Acknowledge(envelope));
            }
            self.owes_acknowledgement = false;
        }
        self.judge_waiting_mark();
        // With the stream down the courier still calls: its mark says that records may come.
        match self.journal.next_shipment() {
            Ok(Some(shipment)) => self.tell_courier(ToCourier::Ship(shipment)),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the journal cannot be read to be shipped"),
        }
        self.send_recording();
    }

    /// Whether the drop-ins are as they should be. One that nobody can remove gives nothing, since PAM denies by the gate: it is told, and
    /// must not keep the host from hearing of what comes after it.
    fn has_settled_sudo(&self) -> bool {
        let has_stood = |since: u64| time::boottime_ms().saturating_sub(since) >= STANDS_AFTER_MS;
        self.faults.sudo.is_none() || self.standing_since_ms.is_some_and(has_stood)
    }

    fn acknowledgement(&self) -> Option<String> {
        let plan = self.keeper.plan()?;
        let head = &plan.head.0;
        let refused = plan.refused().into_iter().chain(self.keeper.ended_by_logout());
        let acknowledgement = Acknowledgement {
            host: head.host.to_string(),
            epoch: head.epoch,
            version: head.version,
            head: head.digest().to_string(),
            refused: refused
                .map(|(grant, cause)| RefusedOnHost { grant: grant.to_string(), cause })
                .collect(),
            mode: config::mode_word(self.mode).to_owned(),
            at: time::read_clocks().map_or(0, |reading| self.moment(&reading).now.0),
        };
        let payload = serde_json::to_vec(&acknowledgement).expect("an acknowledgement is plain data");
        let envelope = dsse::sign_bytes(ACK_PAYLOAD_TYPE, &payload, &[&self.identity]);
        Some(String::from_utf8(envelope).expect("an envelope is JSON"))
    }

    pub(super) fn tell_courier(&mut self, what: ToCourier) {
        let Some(courier) = &self.courier else { return };
        if courier.to.try_send(what).is_err() {
            // It hears nothing any more. It connects again, and then says anew what the broker holds.
            self.courier = None;
            self.journal.disconnected();
            self.outgoing.disconnected();
        }
    }
}

/// The wall clock against the boot clock.
pub(super) fn wall_offset(reading: &ClockReading) -> i64 {
    reading.wall.0.saturating_sub_unsigned(reading.boottime_ms / 1000)
}

/// What comes from outside stays short in a record.
pub(super) fn clip(text: String) -> String {
    if text.len() <= 256 { text } else { text.chars().take(200).chain("...".chars()).collect() }
}
