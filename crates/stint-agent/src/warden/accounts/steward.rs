//! Drives it: reads, plans, writes the ledger, gives the order, hears the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nix::unistd::User;
use stint_grant::acceptance::HostFacts;
use stint_grant::host_config::Accounts;
use stint_grant::ids::{GrantId, UserName};
use stint_grant::time::ClockReading;
use stint_log::record::Event;

use super::facts::Facts;
use super::found::Found;
use super::ledger::{Account, Ledger, LedgerError, Membership};
use super::order::{self, Answer, Order, Step};
use super::people;
use super::plan::{self, Place, Plan, Stamp};
use crate::journal::Recorder;
use crate::warden::files;
use crate::warden::live::LiveGrant;
use crate::warden::paths::Paths;
use crate::warden::systemd::Bus;

/// An order that was not answered for so long is given up: the unit's own bound is shorter.
const ANSWER_BOUND_MS: u64 = 200_000;
/// After so many deaths in a row an order is given less and less often.
const DEATHS_IN_A_ROW: u32 = 6;
/// PID 1 has begun with it by then.
const STARTED_BY_MS: u64 = 900;
/// The kernel counts the start of processes in these.
const MS_IN_A_TICK: u64 = 10;

/// Keeps the host's groups as the live grants say.
#[derive(Debug)]
pub(crate) struct Steward {
    folder: PathBuf,
    etc: PathBuf,
    ledger_path: PathBuf,
    facts: Facts,
    bus: Bus,
    /// `None` while it cannot be read: then nothing is changed.
    ledger: Option<Ledger>,
    running: Option<Running>,
    /// How many orders in a row died without an answer.
    deaths: u32,
    /// What could not be given, and why, so that it is recorded once and not tried at every occasion.
    refused: BTreeMap<Place, String>,
    /// The same of accounts.
    refused_accounts: BTreeMap<UserName, String>,
    /// Grants whose account cannot be theirs, since somebody else's has its name.
    foreign: Vec<GrantId>,
    /// Taken back, and perhaps still held by processes.
    released: Vec<Membership>,
    /// What must go and does not, or why nothing can be done at all.
    fault: Option<String>,
}

#[derive(Debug)]
struct Running {
    order: Order,
    since_ms: u64,
}

impl Steward {
    /// With what the disk holds.
    pub(crate) fn open(paths: &Paths) -> Self {
        let folder = paths.accounts();
        let made =
            [&folder, &paths.archive()].into_iter().try_for_each(|folder| files::ensure_dir(folder, 0o700));
        let mut steward = Self {
            ledger_path: paths.accounts_ledger(),
            folder,
            etc: paths.host_etc(),
            facts: Facts::of(paths),
            bus: Bus::default(),
            ledger: None,
            running: None,
            deaths: 0,
            refused: BTreeMap::new(),
            refused_accounts: BTreeMap::new(),
            foreign: Vec::new(),
            released: Vec::new(),
            fault: made.err().map(|e| e.to_string()),
        };
        steward.load();
        steward
    }

    fn load(&mut self) {
        match Ledger::load(&self.ledger_path) {
            Ok(ledger) => self.ledger = Some(ledger),
            Err(error @ (LedgerError::File(_) | LedgerError::Damaged { .. })) => {
                self.fault = Some(error.to_string());
            }
        }
    }

    /// What is wrong: something that must go still stands, or nothing can be told.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
    /// Whether everything stands as it should, but for what was refused, and for homes that are being put away.
    pub(crate) fn is_settled(&self) -> bool {
        let puts_away = |running: &Running| running.order.steps.iter().all(|s| matches!(s, Step::End { .. }));
        self.running.as_ref().is_none_or(puts_away) && self.fault.is_none()
    }
    /// Whether anything is left to be looked at again.
    pub(crate) fn is_unfinished(&self, live: &[LiveGrant]) -> bool {
        self.running.is_some()
            || self.fault.is_some()
            || !self.released.is_empty()
            || !self.ending(live).is_empty()
    }
    /// Whether all that is left is to hear how an order went.
    pub(crate) fn is_waiting(&self) -> bool {
        self.running.is_some() && self.fault.is_none() && self.deaths < DEATHS_IN_A_ROW
    }
    /// Accounts that serve no live grant any more. They are removed once no process of theirs is left.
    pub(crate) fn ending(&self, live: &[LiveGrant]) -> Vec<Account> {
        let Some(ledger) = self.ledger.as_ref().filter(|ledger| !ledger.accounts.is_empty()) else {
            return Vec::new();
        };
        let wanted = people::wanted(live);
        ledger.accounts.iter().filter(|account| !people::serves(account, &wanted)).cloned().collect()
    }
    /// Grants for accounts that somebody else has made meanwhile: they must not let into those. Said once.
    pub(crate) fn take_foreign(&mut self) -> Vec<GrantId> {
        std::mem::take(&mut self.foreign)
    }
    /// Places that were taken back and may still be held by processes. [`Self::forget`] when they are not.
    pub(crate) fn released(&self) -> &[Membership] {
        &self.released
    }
    /// Whether anybody is, or was a moment ago, in a group by a grant.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none()
            && self.ledger.as_ref().is_some_and(|l| l.memberships.is_empty() && l.accounts.is_empty())
    }

    /// Makes groups and accounts equal to the live grants. What was refused before is tried again only if `again` says so; of the
    /// accounts in `emptied` no process is left.
    pub(crate) async fn reconcile(
        &mut self,
        live: &[LiveGrant],
        reading: &ClockReading,
        range: &Accounts,
        again: bool,
        emptied: &BTreeSet<UserName>,
        recorder: &mut dyn Recorder,
    ) {
        let wanted = plan::wanted(live);
        let people = people::wanted(live);
        if self.is_idle() && wanted.is_empty() && people.is_empty() {
            self.refused.clear();
            self.refused_accounts.clear();
            return;
        }
        if self.ledger.is_none() {
            self.load();
        }
        self.give_up_what_died(reading).await;
        let (done, failed) = match self.hear(reading, recorder) {
            Heard::Nothing => (None, None),
            Heard::StillAtIt => return,
            Heard::Done { steps, failed } => (Some(steps), failed),
        };
        let Some(ledger) = &self.ledger else { return };
        let found = match Found::read(&self.etc) {
            Ok(found) => found,
            Err(error) => {
                self.fault = Some(error.to_string());
                return;
            }
        };
        let stamp = Stamp { boot_id: reading.boot_id.clone(), ticks: reading.boottime_ms / MS_IN_A_TICK };
        self.refused.retain(|place, _| wanted.contains_key(place));
        let tried =
            wanted.into_iter().filter(|(place, _)| again || !self.refused.contains_key(place)).collect();
        self.refused_accounts.retain(|user, _| people.contains_key(user));
        let tried_people: BTreeMap<_, _> = people
            .iter()
            .filter(|(user, _)| again || !self.refused_accounts.contains_key(user))
            .map(|(user, want)| (user.clone(), want.clone()))
            .collect();
        let accounts = people::plan(&tried_people, ledger, &found, range, emptied);
        let is_made = |user: &UserName| accounts.accounts.iter().any(|a| a.user == *user && a.made);
        let asked =
            plan::Accounts { uid: &uid_of, waits: &|user| people.contains_key(user) && !is_made(user) };
        let planned = plan::plan(&tried, ledger, &found, &stamp, &asked, &|group| self.facts.group(group));
        self.tell(&planned, &accounts, recorder);
        let Plan { ledger: mut next, mut steps, released, .. } = planned;
        steps.extend(accounts.steps);
        (next.accounts, next.spent) = (accounts.accounts, accounts.spent);
        self.released = released;
        if let Err(error) = self.keep(next) {
            self.fault = Some(error);
            return;
        }
        self.fault = None;
        if steps.is_empty() {
            return;
        }
        if done.as_ref() == Some(&steps) {
            // Not done, or undone by somebody at once: the next try is the back-off's.
            let undone = || "somebody undoes what is changed in /etc/group at once".to_owned();
            self.fault = Some(failed.unwrap_or_else(undone));
            return;
        }
        self.give(steps, reading).await;
    }

    /// Forgets what no process holds any more.
    pub(crate) fn forget(&mut self, over: &Membership) {
        self.released.retain(|membership| membership != over);
        let Some(mut ledger) = self.ledger.clone() else { return };
        ledger.memberships.retain(|membership| membership != over);
        if let Err(error) = self.keep(ledger) {
            // It is looked at once more.
            tracing::warn!(error, "the ledger of groups could not be written");
        }
    }

    fn keep(&mut self, ledger: Ledger) -> Result<(), String> {
        if self.ledger.as_ref() != Some(&ledger) {
            ledger.save(&self.ledger_path).map_err(|e| e.to_string())?;
            self.ledger = Some(ledger);
        }
        Ok(())
    }

    async fn give(&mut self, steps: Vec<Step>, reading: &ClockReading) {
        let Some(mut ledger) = self.ledger.clone() else { return };
        ledger.last_order += 1;
        let order = Order { number: ledger.last_order, steps };
        let written = self.keep(ledger).and_then(|()| order.write(&self.folder).map_err(|e| e.to_string()));
        let started = match written {
            Ok(()) => self.bus.start_unit(&order::unit(order.number)).await.map_err(|e| e.to_string()),
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => self.running = Some(Running { order, since_ms: reading.boottime_ms }),
            Err(error) => {
                tracing::error!(error, "groups could not be changed; trying again");
                self.fault = Some(format!("groups cannot be changed: {error}"));
            }
        }
    }

    /// An order whose unit is gone without an answer is given again: it was killed, or could not begin.
    async fn give_up_what_died(&mut self, reading: &ClockReading) {
        let Some(running) = &self.running else { return };
        let number = running.order.number;
        if reading.boottime_ms.saturating_sub(running.since_ms) < STARTED_BY_MS || self.is_answered(number) {
            return;
        }
        // An answer that came while PID 1 was asked counts.
        let is_gone = matches!(self.bus.is_at_it(&order::unit(number)).await, Ok(false));
        if is_gone && !self.is_answered(number) {
            tracing::error!(order = number, "an order was not carried out; trying again");
            self.deaths = self.deaths.saturating_add(1);
            self.running = None;
        }
    }

    fn is_answered(&self, number: u64) -> bool {
        Answer::read(&self.folder).ok().flatten().is_some_and(|answer| answer.number == number)
    }

    fn hear(&mut self, reading: &ClockReading, recorder: &mut dyn Recorder) -> Heard {
        let Some(running) = &self.running else { return Heard::Nothing };
        let answer = Answer::read(&self.folder).ok().flatten().filter(|a| a.number == running.order.number);
        let Some(answer) = answer else {
            if reading.boottime_ms.saturating_sub(running.since_ms) < ANSWER_BOUND_MS {
                return Heard::StillAtIt;
            }
            tracing::error!(order = running.order.number, "nobody answered; trying again");
            self.running = None;
            return Heard::Nothing;
        };
        self.deaths = 0;
        let steps = self.running.take().map(|running| running.order.steps).unwrap_or_default();
        let (mut failed, mut not_done) = (None, Vec::new());
        for (step, why) in answer.failed {
            if matches!(step, Step::Make { .. }) {
                not_done.push(step.clone());
            }
            match step.clone() {
                Step::Join { user, group } => {
                    self.refuse((user, group), None, why, recorder);
                }
                Step::Make { user, grant, .. } => self.refuse_account(user, &grant, why, recorder),
                Step::End { user, .. } => {
                    tracing::error!(%user, why, "an account could not be removed; trying again");
                    failed = Some(format!("account {user} still stands: {why}"));
                    not_done.push(step);
                }
                Step::Leave { user, group } => {
                    tracing::error!(%user, %group, why, "a group could not be taken back; trying again");
                    failed = Some(format!("{user} is still in group {group}: {why}"));
                }
            }
        }
        if let Err(error) = self.note(&steps, &not_done, &answer.told, recorder) {
            // It is done again, which changes nothing.
            tracing::error!(error, "the ledger of accounts could not be written");
        }
        Heard::Done { steps, failed }
    }

    /// Writes down which accounts were made and which are gone.
    fn note(
        &mut self,
        steps: &[Step],
        not_done: &[Step],
        told: &[(Step, String)],
        recorder: &mut dyn Recorder,
    ) -> Result<(), String> {
        let Some(mut ledger) = self.ledger.clone() else { return Ok(()) };
        let mut events = Vec::new();
        for step in steps.iter().filter(|step| !not_done.contains(step)) {
            match step {
                Step::Make { user, uid, grant, .. } => {
                    let entry = ledger.accounts.iter_mut().find(|a| a.user == *user && a.uid == *uid);
                    if let Some(account) = entry.filter(|account| !account.made) {
                        account.made = true;
                        let (grant, user) = (grant.to_string(), user.to_string());
                        events.push(Event::AccountMade { grant, user, uid: *uid });
                    }
                }
                Step::End { user, uid, grant, .. } => {
                    ledger.accounts.retain(|a| a.user != *user || a.uid != *uid);
                    let home = told.iter().find(|(of, _)| of == step).map(|(_, words)| words.clone());
                    let (grant, user) = (grant.to_string(), user.to_string());
                    events.push(Event::AccountEnded {
                        grant,
                        user,
                        uid: *uid,
                        home: home.unwrap_or_default(),
                    });
                }
                Step::Join { .. } | Step::Leave { .. } => {}
            }
        }
        self.keep(ledger)?;
        for event in events {
            recorder.record(event);
        }
        Ok(())
    }

    fn tell(&mut self, plan: &Plan, accounts: &people::Plan, recorder: &mut dyn Recorder) {
        for (user, (grant, refusal)) in &accounts.refused {
            if *refusal == people::Refusal::Foreign {
                self.foreign.push(grant.clone());
            }
            self.refuse_account(user.clone(), grant, refusal.to_string(), recorder);
        }
        for given in &plan.given {
            recorder.record(Event::GroupGiven {
                grant: given.grant.to_string(),
                user: given.user.to_string(),
                group: given.group.to_string(),
            });
        }
        for (place, (grant, why)) in &plan.refused {
            self.refuse(place.clone(), Some(grant.to_string()), why.clone(), recorder);
        }
    }

    fn refuse_account(&mut self, user: UserName, grant: &GrantId, why: String, recorder: &mut dyn Recorder) {
        if self.refused_accounts.get(&user) == Some(&why) {
            return;
        }
        tracing::error!(%grant, %user, why, "an account was not made");
        recorder.record(Event::AccountRefused {
            grant: grant.to_string(),
            user: user.to_string(),
            detail: why.clone(),
        });
        self.refused_accounts.insert(user, why);
    }

    fn refuse(&mut self, place: Place, grant: Option<String>, why: String, recorder: &mut dyn Recorder) {
        if self.refused.get(&place) == Some(&why) {
            return;
        }
        let (user, group) = &place;
        let of_ledger = || self.ledger.as_ref()?.membership(user, group).map(|m| m.grant.to_string());
        let grant = grant.or_else(of_ledger).unwrap_or_default();
        tracing::error!(grant, %user, %group, why, "a group was not given");
        recorder.record(Event::GroupRefused {
            grant,
            user: user.to_string(),
            group: group.to_string(),
            detail: why.clone(),
        });
        self.refused.insert(place, why);
    }
}

enum Heard {
    /// Nothing was asked.
    Nothing,
    /// It is being done.
    StillAtIt,
    /// This was asked; what must go and did not is said.
    Done { steps: Vec<Step>, failed: Option<String> },
}

/// The account's number, by whatever directory the host asks.
fn uid_of(user: &UserName) -> Option<u32> {
    User::from_name(user.as_str()).ok().flatten().map(|user| user.uid.as_raw())
}
