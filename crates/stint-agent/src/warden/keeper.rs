//! What is in force on this host, and how it changes: an update, a pulse, another `host.toml`, the passing of time.
//!
//! Each change goes the same way: work out what follows ([`super::intake`], [`super::live`]), mark what ended, make it durable and put it
//! into the gate, and only then tell the caller what to enforce. So the module denies before anything is killed.
//!
//! If the disk takes nothing, ends and locks hold all the same, nothing new comes into force, and the writes are tried again.

use std::collections::{BTreeMap, BTreeSet};

use stint_api::hosts::HostUpdate;
use stint_grant::bundle::{EndingKind, HostIdentity, Seen};
use stint_grant::gate::Opening;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::GrantId;
use stint_grant::root;
use stint_grant::time::{ClockReading, UnixTime};
use stint_log::record::{Ending, Event};

use super::accounts::Facts;
use super::allowance::Allowance;
use super::codes::Codes;
use super::gate::Gate;
use super::intake::{self, IntakeError, Knowledge, Plan};
use super::live::{Circumstances, EndedGrant, LiveGrant, Standing, Urgency};
use super::memory::{Memory, Remark};
use super::paths::Paths;
use super::store::{Enrolment, KnownRoot, State, Store, StoreError};
use super::telling::{self, Before};
use super::trust::Trust;
use crate::journal::Recorder;

mod reviews;
mod sealed;
mod touched;

/// What is in force.
pub(crate) struct Keeper {
    trust: Trust,
    me: HostIdentity,
    config: HostConfig,
    store: Store,
    gate: Gate,
    state: State,
    memory: Memory,
    plan: Option<Plan>,
    live: Vec<LiveGrant>,
    /// The update that the plan comes from, until it is stored.
    unstored: Option<HostUpdate>,
    unwritten: Unwritten,
    /// What has ended since the gate's generation was written: the bundle that ends a grant does not name it among the others.
    just_ended: Vec<GrantId>,
    /// The stored bundle could not be judged yet, as when the clock is behind.
    unjudged: bool,
    fault: Option<String>,
    /// What somebody did to the gate, for [`Self::take_tampering`].
    tampering: Vec<String>,
    /// The gate was found changed, and not whole since: one alarm is enough for it.
    gate_is_changed: bool,
    /// What could not be written because somebody holds it, for [`Self::take_held`].
    held: Option<String>,
    facts: Facts,
    codes: Codes,
    /// What codes have opened, as it was when this was last settled.
    opened: Vec<Opening>,
    /// How often the same bundle may still come with something else around it that is told or written: a courier can change that without
    /// end.
    repeats: Allowance,
}

/// What the disk lacks of what is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unwritten {
    memory: bool,
    state: bool,
    generation: bool,
    current: bool,
}

/// What a change means for sessions and drop-ins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Grants whose rights end now.
    pub(crate) ended: Vec<EndedGrant>,
    /// Whether the set of live grants, or the end of one, is another.
    pub(crate) live_changed: bool,
}

impl Keeper {
    /// Opens the durable state, and works out what is in force by it.
    pub(crate) fn open(
        paths: &Paths,
        trust: Trust,
        me: HostIdentity,
        config: HostConfig,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Result<Self, StoreError> {
        let store = Store::open(paths.warden())?;
        let (state, memory) = (store.state()?, store.memory()?);
        store.sweep(&state)?;
        let gate = Gate::open(paths.gate(), me.clone())?;
        let mut keeper = Self {
            trust,
            me,
            config,
            store,
            gate,
            state,
            memory,
            plan: None,
            live: Vec::new(),
            unstored: None,
            unwritten: Unwritten::default(),
            just_ended: Vec::new(),
            unjudged: false,
            fault: None,
            tampering: Vec::new(),
            gate_is_changed: false,
            held: None,
            facts: Facts::of(paths),
            codes: Codes::open(&paths.warden()),
            opened: Vec::new(),
            repeats: Allowance::default(),
        };
        keeper.begin_anew_if_enrolled_anew(recorder);
        keeper.reload(reading, recorder)?;
        Ok(keeper)
    }

    /// Versions, roots and rosters of another enrolment mean nothing in this one, and every grant of it is over. The floor of time
    /// stays, and so does the memory of what ended.
    fn begin_anew_if_enrolled_anew(&mut self, recorder: &mut dyn Recorder) {
        let enrolment = Enrolment {
            root_pin: self.trust.root_pin.clone(),
            host: self.me.host.clone(),
            key: self.me.key.clone(),
        };
        if self.state.enrolment.as_ref() == Some(&enrolment) {
            return;
        }
        let standing: Vec<GrantId> = self.memory.standing().map(|(id, _)| id.clone()).collect();
        for grant in standing {
            self.end(&grant, Ending::Withdrawn, recorder);
        }
        let floor = self.state.floor.clone();
        self.state = State { enrolment: Some(enrolment), floor, ..State::new() };
        self.unwritten.state = true;
    }

    /// Judges the stored update anew: at a start, and when `host.toml` changed.
    fn reload(&mut self, reading: &ClockReading, recorder: &mut dyn Recorder) -> Result<Change, StoreError> {
        let update = match self.unstored.clone() {
            Some(update) => Some(update),
            None => self.store.update(&self.state)?,
        };
        let Some(mut update) = update else { return Ok(self.settle(reading, recorder)) };
        if let Some(pulse) = &self.state.pulse {
            update.pulse.clone_from(pulse);
        }
        match intake::examine_stored(&update, self.knowledge(), reading) {
            Ok(plan) => Ok(self.adopt(plan, None, reading, recorder)),
            Err(error) => {
                // The gate denies by the same rules. It is tried again, and a new bundle mends it.
                self.unjudged = true;
                let change = self.settle(reading, recorder);
                self.fault = Some(format!("the stored bundle does not hold now: {error}"));
                Ok(change)
            }
        }
    }

    /// Works out what is in force now. To be called whenever time may have passed a window's edge, and when writes failed before.
    pub(crate) fn refresh(&mut self, reading: &ClockReading, recorder: &mut dyn Recorder) -> Change {
        if self.unjudged && self.plan.is_none() {
            self.unjudged = false;
            return self.reload(reading, recorder).unwrap_or_else(|error| {
                self.fault = Some(error.to_string());
                Change::default()
            });
        }
        self.settle(reading, recorder)
    }

    /// Takes an update from the courier. An error means that nothing has changed.
    pub(crate) fn take_update(
        &mut self,
        mut update: HostUpdate,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Result<Change, IntakeError> {
        let mut plan = intake::examine(&update, self.knowledge(), reading)?;
        if reviews::are_missed(&plan, &self.memory)
            && let Some(before) = self.update_at_hand()
        {
            reviews::add(&mut update, before, &plan);
            plan = intake::examine(&update, self.knowledge(), reading)?;
        }
        let standing = self.plan.as_ref().filter(|old| old.head.0.digest() == plan.head.0.digest());
        let differs = standing.is_some_and(|old| !plan.alarms.is_empty() || !old.makes_the_same_gate(&plan));
        if differs && !self.repeats.take(reading.boottime_ms) {
            return Err(IntakeError::Repeated(plan.head.0.version));
        }
        Ok(self.adopt(plan, Some(update), reading, recorder))
    }

    /// The update that the plan comes from.
    fn update_at_hand(&self) -> Option<HostUpdate> {
        self.unstored.clone().or_else(|| self.store.update(&self.state).ok().flatten())
    }

    /// Takes a pulse for the bundle at hand. An error means that nothing has changed.
    pub(crate) fn take_pulse(
        &mut self,
        envelope: &str,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Result<Change, IntakeError> {
        let plan = self.plan.as_ref().ok_or(IntakeError::NoBundle)?;
        let (pulse, floor) = intake::examine_pulse(envelope, plan, self.knowledge(), reading)?;
        self.state.floor = floor;
        self.state.pulse = Some(envelope.to_owned());
        if let Some(plan) = &mut self.plan {
            plan.pulse = (pulse, envelope.to_owned());
        }
        (self.unwritten.state, self.unwritten.current) = (true, true);
        Ok(self.settle(reading, recorder))
    }

    /// Takes another `host.toml`: every grant is judged anew by its ceiling.
    pub(crate) fn reconfigure(
        &mut self,
        config: HostConfig,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Result<Change, StoreError> {
        self.config = config;
        self.reload(reading, recorder)
    }

    fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            trust: &self.trust,
            me: &self.me,
            state: &self.state,
            memory: &self.memory,
            config: &self.config,
            host: &self.facts,
        }
    }

    /// Puts a plan in force.
    fn adopt(
        &mut self,
        plan: Plan,
        update: Option<HostUpdate>,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Change {
        telling::tell(
            &Before { state: &self.state, plan: self.plan.as_ref(), memory: &self.memory },
            &plan,
            recorder,
        );
        let before = self.memory.clone();
        for grant in plan.accepted() {
            let moved = self.memory.remember(grant);
            if let Some(Remark::Moved { from }) = moved {
                let (grant, to) = (grant.grant.id.to_string(), grant.grant.until.0);
                recorder.record(Event::WindowExtended { grant, from: from.0, to });
            }
        }
        for (grant, how) in endings(&plan, &self.memory) {
            self.end(&grant, how, recorder);
        }
        self.memory.forget(plan.now);
        self.unwritten.memory |= self.memory != before;
        self.state = State {
            root: Some(KnownRoot {
                version: plan.root.0.version,
                epoch: plan.root.0.epoch,
                pin: root::pin_of(plan.root.1.as_bytes()),
            }),
            roster: plan.roster.clone(),
            seen: Some(Seen {
                epoch: plan.head.0.epoch,
                version: plan.head.0.version,
                head: plan.head.0.digest().clone(),
            }),
            pulse: Some(plan.pulse.1.clone()),
            floor: plan.floor.clone(),
            ..self.state.clone()
        };
        self.unstored = update.or(self.unstored.take());
        let same = self.plan.as_ref().is_some_and(|standing| standing.makes_the_same_gate(&plan));
        self.plan = Some(plan);
        self.unwritten.generation |= !same;
        (self.unwritten.state, self.unwritten.current) = (true, true);
        self.settle(reading, recorder)
    }

    /// Ends a grant on this host for a cause that only the host knows.
    pub(crate) fn withdraw(
        &mut self,
        grant: &GrantId,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Change {
        self.end(grant, Ending::Withdrawn, recorder);
        self.settle(reading, recorder)
    }

    fn end(&mut self, grant: &GrantId, how: Ending, recorder: &mut dyn Recorder) {
        if self.memory.end(grant, how) {
            (self.unwritten.memory, self.unwritten.current) = (true, true);
            self.just_ended.push(grant.clone());
            recorder.record(Event::WindowEnded { grant: grant.to_string(), how });
        }
    }

    /// Ends grants whose last login has closed: here, for good, whatever the broker says.
    pub(crate) fn end_on_logout(
        &mut self,
        grants: &[GrantId],
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Change {
        for grant in grants {
            self.end(grant, Ending::LoggedOut, recorder);
        }
        self.settle(reading, recorder)
    }

    /// What the broker believes in force and this host ended by itself, and how.
    pub(crate) fn ended_by_logout(&self) -> Vec<(GrantId, String)> {
        let accepted = self.plan.iter().flat_map(Plan::accepted).map(|grant| &grant.grant.id);
        let here = |id: &&GrantId| self.memory.get(id).is_some_and(|m| m.how == Some(Ending::LoggedOut));
        accepted
            .filter(here)
            .map(|id| (id.clone(), "it ended on this host with the last logout".to_owned()))
            .collect()
    }

    fn settle(&mut self, reading: &ClockReading, recorder: &mut dyn Recorder) -> Change {
        let now = match self.state.floor.now(reading) {
            Ok(now) => now,
            Err(fault) => {
                // The module denies. What runs goes on within PID 1's limit: a clock that was set wrong revokes nothing.
                self.fault = Some(fault.to_string());
                return Change::default();
            }
        };
        self.fault = None;
        for (grant, how) in self.expired(now) {
            self.end(&grant, how, recorder);
        }
        let opened = self.codes.open_at(now, reading);
        if opened != self.opened {
            self.opened = opened;
            self.unwritten.current = true;
        }
        let before = std::mem::take(&mut self.live);
        let mut live = self.live_at(now);
        // Ends first: durable, and in the gate, before the caller enforces them.
        if let Err(error) = self.write(recorder) {
            tracing::error!(%error, "what is in force could not be stored; trying again");
            self.fault = Some(error.to_string());
            if let StoreError::File(error) = &error
                && error.is_held()
            {
                self.held = Some(error.to_string());
            }
            let known = ids(&before);
            live.retain(|grant| known.contains(grant.id()));
        }
        let left = {
            let now_live = ids(&live);
            before.iter().filter(|old| !now_live.contains(old.id())).collect::<Vec<_>>()
        };
        let change = Change { ended: self.ended(&left, now), live_changed: live != before };
        self.live = live;
        // The end of a sealed grant's window is no end of the grant: its other codes are good yet.
        for over in change.ended.iter().filter(|over| over.how == Ending::Expired) {
            if self.memory.get(&over.grant).is_some_and(|remembered| remembered.how.is_none()) {
                recorder.record(Event::WindowEnded { grant: over.grant.to_string(), how: over.how });
            }
        }
        change
    }

    fn expired(&self, now: UnixTime) -> Vec<(GrantId, Ending)> {
        let over = self.memory.standing().filter(|(_, remembered)| now >= remembered.until);
        over.map(|(grant, _)| (grant.clone(), Ending::Expired)).collect()
    }

    fn live_at(&self, now: UnixTime) -> Vec<LiveGrant> {
        let Some(plan) = self.plan.as_ref().filter(|plan| plan.root.0.check_time(now).is_ok()) else {
            return Vec::new();
        };
        // The module asks the same at each login: a bundle that is over carries nothing but what is sealed.
        let is_over = plan.head.0.check_time(now).is_err();
        let believed = plan.accepted().filter(|grant| !is_over || grant.terms.is_sealed());
        circumstances(plan, &self.memory.ended(), now, &self.opened).live(believed)
    }

    /// How each grant that is live no more came to that.
    fn ended(&self, left: &[&LiveGrant], now: UnixTime) -> Vec<EndedGrant> {
        let ended = self.memory.ended();
        let is_locked = |grant: &LiveGrant| {
            self.plan.as_ref().is_some_and(|plan| {
                circumstances(plan, &ended, now, &self.opened).standing(&grant.grant) == Standing::Locked
            })
        };
        left.iter()
            .map(|grant| {
                let how = match self.memory.get(grant.id()).and_then(|remembered| remembered.how) {
                    Some(how) => how,
                    None if is_locked(grant) => Ending::Locked,
                    None if self.is_sealed(grant.id()) => Ending::Expired,
                    None => Ending::Stale,
                };
                EndedGrant {
                    grant: grant.id().clone(),
                    user: grant.user().clone(),
                    how,
                    since: Some(self.memory.rights_since(grant.user(), grant.from())),
                    urgency: Urgency::of(how),
                }
            })
            .collect()
    }

    /// Writes what the disk lacks, in the order of the store, and the gate after it.
    fn write(&mut self, recorder: &mut dyn Recorder) -> Result<(), StoreError> {
        let ended = self.ended_in_plan();
        if self.unwritten.current || self.unwritten.generation {
            self.note_touched_gate(recorder);
        }
        let mut denied = Ok(());
        if self.unwritten.current && (self.unwritten.generation || self.plan.is_none()) {
            // The generation that stands hears of the ends before anything else is written: a disk that is busy may take seconds for each
            // file. A grant that was taken back is not among those of the new bundle.
            denied = self.gate.end(ended.iter().chain(&self.just_ended).chain(&self.locked()).cloned());
            self.unwritten.current = denied.is_err();
        }
        if self.unwritten.memory {
            self.store.keep_memory(&self.memory)?;
            self.unwritten.memory = false;
        }
        denied?;
        if let Some(update) = &self.unstored {
            self.state.update = Some(self.store.keep_update(update)?);
            self.unwritten.state = true;
        }
        if self.unwritten.state {
            self.store.keep_state(&self.state)?;
            self.unstored = None;
            self.unwritten.state = false;
            self.store.sweep(&self.state)?;
        }
        let Some(plan) = &self.plan else { return Ok(()) };
        if self.unwritten.generation {
            let generation = self.gate.install(plan, &self.state.floor, ended, self.opened.clone())?;
            (self.unwritten.generation, self.unwritten.current) = (false, false);
            self.just_ended.clear();
            let head = telling::log_hash(plan.head.0.digest());
            recorder.record(Event::GateWritten { generation, head });
        } else if self.unwritten.current {
            self.gate.update(&plan.pulse.1, &self.state.floor, ended, self.opened.clone())?;
            self.unwritten.current = false;
            self.just_ended.clear();
        } else {
            return Ok(());
        }
        if let Some(detail) = self.gate.is_covered() {
            self.held = Some(detail);
        }
        Ok(())
    }

    /// The grants that a lock stops. To the generation that stands they are as good as ended until the one with the lock takes its place.
    fn locked(&self) -> Vec<GrantId> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let ended = self.memory.ended();
        let circumstances = circumstances(plan, &ended, plan.now, &self.opened);
        let locked = plan.accepted().filter(|grant| circumstances.standing(grant) == Standing::Locked);
        locked.map(|grant| grant.grant.id.clone()).collect()
    }

    fn ended_in_plan(&self) -> Vec<GrantId> {
        let Some(plan) = &self.plan else { return self.memory.ended().into_iter().collect() };
        let ended = self.memory.ended();
        plan.verdicts().map(|(id, _)| id).filter(|id| ended.contains(id)).cloned().collect()
    }

    /// The grants in force.
    pub(crate) fn live(&self) -> &[LiveGrant] {
        &self.live
    }
    /// The plan that is in force.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }
    /// Who this host is.
    pub(crate) fn me(&self) -> &HostIdentity {
        &self.me
    }
    /// The host's own rules.
    pub(crate) fn config(&self) -> &HostConfig {
        &self.config
    }
    /// The state that was seen last.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
    /// What is wrong, if something is.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
    /// Whether all that is in force is on disk and in the gate.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten == Unwritten::default() && self.unstored.is_none()
    }
    /// The host's now.
    pub(crate) fn now(&self, reading: &ClockReading) -> Option<UnixTime> {
        self.state.floor.now(reading).ok()
    }
    /// When the set of live grants may change next by itself.
    pub(crate) fn next_change(&self, now: UnixTime) -> Option<UnixTime> {
        let plan = self.plan.as_ref()?;
        let ended = self.memory.ended();
        let windows = circumstances(plan, &ended, now, &self.opened).next_change(plan.accepted());
        let ends =
            [plan.head.0.expires_at, plan.root.0.expires_at].map(|at| UnixTime(at.0.saturating_add(1)));
        windows.into_iter().chain(ends).filter(|at| *at > now).min()
    }
}

fn ids(live: &[LiveGrant]) -> BTreeSet<&GrantId> {
    live.iter().map(LiveGrant::id).collect()
}

fn circumstances<'a>(
    plan: &'a Plan,
    ended: &'a BTreeSet<GrantId>,
    now: UnixTime,
    opened: &'a [Opening],
) -> Circumstances<'a> {
    Circumstances { locks: &plan.head.0.locks, ended, now, opened }
}

/// The grants that stood until now and are not in the plan: ended as the bundle says, or withdrawn.
fn endings(plan: &Plan, memory: &Memory) -> Vec<(GrantId, Ending)> {
    let accepted: BTreeSet<&GrantId> = plan.accepted().map(|grant| &grant.grant.id).collect();
    let said: BTreeMap<&GrantId, EndingKind> =
        plan.accounts.iter().flat_map(|account| &account.shard.endings).map(|e| (&e.grant, e.how)).collect();
    memory
        .standing()
        .filter(|(id, _)| !accepted.contains(id))
        .map(|(id, remembered)| {
            let how = match said.get(id) {
                Some(EndingKind::Expired) => Ending::Expired,
                Some(EndingKind::Ended) => Ending::Ended,
                Some(EndingKind::Revoked) => Ending::Revoked,
                None if plan.now >= remembered.until => Ending::Expired,
                None => Ending::Withdrawn,
            };
            (id.clone(), how)
        })
        .collect()
}
