//! The warden's side: a baseline when a grant's first session opens, a sweep when the grant is over, a receipt when that is done.
//!
//! Nothing here is slow on the loop: a baseline is taken by a thread, which a session waits for at most [`LOGIN_BOUND`]; a sweep is a
//! process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stint_grant::ids::{GrantId, UserName};
use stint_grant::residue::Residue;
use stint_grant::time::ClockReading;
use stint_log::record::Event;
use tokio::sync::oneshot;

use super::capture::{Scene, picture};
use super::picture::{Baseline, Reach};
use super::receipt::receipt;
use super::store::{FORMAT, Killing, Order, Outcome, Store};
use super::tree::{Crossing, Tree};
use crate::journal::{Journal, Recorder};
use crate::warden::files::FileError;
use crate::warden::live::LiveGrant;
use crate::warden::paths::Paths;
use crate::warden::sessions::alarm;
use crate::warden::systemd::Bus;

/// How long a session that opens waits for the baseline.
const LOGIN_BOUND: Duration = Duration::from_millis(50);
/// A picture that takes longer in the background is cut off.
const BACKGROUND_BOUND: Duration = Duration::from_secs(20);
/// How often it is looked whether a sweep is done.
const LOOK_EVERY_MS: u64 = 200;
/// How much longer than its own limit a sweep may take, to start and to undo.
const SLACK_MS: u64 = 30_000;
/// A sweep that could not be started, or that came to nothing, is tried again, so often and so much later.
const MAX_TRIES: u32 = 3;
const AGAIN_AFTER_MS: u64 = 5_000;
/// A receipt waits no longer for what is taken off stint's own files.
const FREEING_MS: u64 = 15_000;
/// How many receipts are shown.
const SHOWN: usize = 10;
/// How much of root's hand on stint one receipt tells.
const MAX_NOTICED: usize = 50;

/// Takes down events, and holds back receipts: they are complete only once it was looked for what was left.
pub(crate) struct Holding<'a> {
    /// Where all else goes.
    pub(crate) journal: &'a mut Journal,
    /// The receipts.
    pub(crate) drafts: &'a mut Vec<Event>,
}

impl Recorder for Holding<'_> {
    fn record(&mut self, event: Event) {
        if matches!(event, Event::Receipt { .. }) {
            self.drafts.push(event);
        } else {
            self.journal.record(event);
        }
    }
}

/// What the desk is told at each turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// The grants in force.
    pub(crate) live: &'a [LiveGrant],
    /// The grants whose processes are being ended.
    pub(crate) closing: &'a [GrantId],
    /// The host's clocks.
    pub(crate) reading: &'a ClockReading,
    /// What is looked at.
    pub(crate) rules: &'a Residue,
    /// The longest window.
    pub(crate) max_window: u64,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Store,
    root: PathBuf,
    starter: Starter,
    /// Receipts that the killing has drafted.
    pub(crate) drafts: Vec<Event>,
    /// The grants whose sessions opened: a receipt is owed for each.
    owed: BTreeMap<GrantId, Owed>,
    /// When the windows of live grants began.
    begun: BTreeMap<GrantId, i64>,
    waiting: Vec<Waiting>,
    /// A grant with root has come to its end, for [`Self::take_root_end`].
    root_has_ended: bool,
    /// Until when receipts of root wait for what is taken off stint's own files, for [`Self::await_freeing`].
    freeing_until_ms: Option<u64>,
    /// Recorded, and not yet forgotten on disk.
    done: Vec<GrantId>,
    last: Vec<(String, String)>,
}

/// Whose receipt is owed.
#[derive(Debug)]
struct Owed {
    user: UserName,
    /// The grant runs some command as root.
    some_root: bool,
    /// What was noticed of root's hand on stint while it was owed.
    noticed: BTreeSet<String>,
}

/// Who starts a sweep.
#[derive(Debug)]
enum Starter {
    /// PID 1, in the sweep's own unit.
    Systemd(Bus),
    /// The test itself.
    #[cfg(test)]
    Test,
}

/// A sweep that goes on.
#[derive(Debug)]
struct Waiting {
    order: Order,
    tries: u32,
    look_at_ms: u64,
    /// When the try that runs is given up; `None` if none runs.
    until_ms: Option<u64>,
    why: String,
}

impl Desk {
    /// On this host: knows what is owed from before.
    pub(crate) fn open(paths: &Paths) -> Self {
        let store = Store::of(paths);
        // The key as well: the first session does not wait until it is durable.
        if let Err(error) = store.prepare().and_then(|()| store.key().map(drop)) {
            tracing::error!(%error, "no baselines can be kept");
        }
        let order = |grant: &GrantId| match store.order(grant) {
            Ok(order) => order,
            Err(error) => {
                tracing::error!(%error, "an order for a sweep is damaged");
                None
            }
        };
        let waiting: Vec<Waiting> =
            store.orders().iter().filter_map(order).map(|order| Waiting::new(order, 0)).collect();
        let owed = store.baselines().into_iter().map(|grant| {
            let baseline = store.baseline(&grant).ok().flatten();
            let some_root = baseline.as_ref().is_none_or(|baseline| baseline.reach.some_root);
            let user = baseline.map_or_else(root, |baseline| baseline.user);
            (grant, Owed { user, some_root, noticed: BTreeSet::new() })
        });
        Self {
            owed: owed.collect(),
            root: PathBuf::from("/"),
            starter: Starter::Systemd(Bus::default()),
            drafts: Vec::new(),
            begun: BTreeMap::new(),
            root_has_ended: false,
            freeing_until_ms: None,
            done: Vec::new(),
            last: Vec::new(),
            waiting,
            store,
        }
    }

    /// As [`Self::open`], where the test sweeps.
    #[cfg(test)]
    pub(super) fn in_test(paths: &Paths) -> Self {
        Self { starter: Starter::Test, ..Self::open(paths) }
    }

    /// The last receipts in short, the newest last.
    pub(crate) fn last(&self) -> &[(String, String)] {
        &self.last
    }

    /// A session opens by these grants: takes the baseline of each that has none, before the session gets control.
    pub(crate) async fn open_window(
        &mut self,
        grants: &[&LiveGrant],
        reading: &ClockReading,
        rules: &Residue,
    ) {
        let mut taken = Vec::new();
        for grant in grants {
            // Owed from now on, whether or not it can be taken.
            if !self.owed.contains_key(grant.id()) {
                let (user, some_root) = (grant.user().clone(), reach_of(grant).some_root);
                self.owed.insert(grant.id().clone(), Owed { user, some_root, noticed: BTreeSet::new() });
                taken.extend(self.baseline(grant, reading, rules));
            }
        }
        // All of them at once: a session waits no longer for many grants than for one.
        let all = async {
            for one in taken {
                let _ = one.await;
            }
        };
        let _ = tokio::time::timeout(LOGIN_BOUND, all).await;
    }

    fn baseline(
        &self,
        grant: &LiveGrant,
        reading: &ClockReading,
        rules: &Residue,
    ) -> Option<oneshot::Receiver<()>> {
        let (told, hear) = oneshot::channel::<()>();
        let job = Job {
            store: self.store.clone(),
            root: self.root.clone(),
            asked: Instant::now(),
            baseline: blank(grant, reading, rules),
        };
        let spawned = std::thread::Builder::new().name("baseline".to_owned()).spawn(move || job.run(told));
        let failed =
            |error: &std::io::Error| tracing::error!(%error, grant = %grant.id(), "no baseline can be taken");
        spawned.inspect_err(failed).ok().map(|_| hear)
    }

    /// Takes over what the killing has drafted, looks after sweeps, and records the receipts that are complete.
    pub(crate) async fn turn(&mut self, turn: &Turn<'_>, journal: &mut dyn Recorder) {
        for draft in std::mem::take(&mut self.drafts) {
            self.take(draft, turn, journal);
        }
        self.collect_debts(turn);
        for grant in turn.live {
            self.begun.entry(grant.id().clone()).or_insert(grant.from().0);
        }
        let now_ms = turn.reading.boottime_ms;
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut left = Vec::new();
        for mut sweep in waiting.drain(..) {
            if sweep.look_at_ms > now_ms {
                left.push(sweep);
                continue;
            }
            sweep.look_at_ms = now_ms + LOOK_EVERY_MS;
            if sweep.until_ms.is_some() && self.waits_for_freeing(&sweep.order.grant, now_ms) {
                left.push(sweep);
                continue;
            }
            match self.advance(&mut sweep, turn, now_ms).await {
                Some(outcome) => {
                    self.finish(&sweep.order, outcome.as_ref().map_err(String::as_str), turn, journal);
                }
                None => left.push(sweep),
            }
        }
        self.waiting.extend(left);
    }

    /// Something that only root does was done to stint itself: it goes into the receipts of those who could be root then.
    pub(crate) fn notice(&mut self, words: &str) {
        for owed in self.owed.values_mut().filter(|owed| owed.some_root && owed.noticed.len() < MAX_NOTICED) {
            owed.noticed.insert(words.to_owned());
        }
    }

    /// PID 1 was asked to take off what holds a file of stint's: receipts of those who could be root wait for what it finds, but not for
    /// long. Asked again without an answer in between, they wait no longer.
    pub(crate) fn await_freeing(&mut self, now_ms: u64) {
        self.freeing_until_ms.get_or_insert(now_ms + FREEING_MS);
    }

    /// It has been noticed what was found.
    pub(crate) fn freeing_is_told(&mut self) {
        self.freeing_until_ms = None;
    }

    fn waits_for_freeing(&self, grant: &GrantId, now_ms: u64) -> bool {
        let could_be_root = self.owed.get(grant).is_some_and(|owed| owed.some_root);
        could_be_root && self.freeing_until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Whether the receipt of a grant is owed, or in the making, or recorded and not yet forgotten on disk.
    pub(crate) fn owes(&self, grant: &GrantId) -> bool {
        self.owed.contains_key(grant)
            || self.done.contains(grant)
            || self.waiting.iter().any(|sweep| sweep.order.grant == *grant)
    }

    /// Whether a session opened by a grant that runs commands as root, and its receipt is not recorded.
    pub(crate) fn root_is_owed(&self) -> bool {
        self.owed.values().any(|owed| owed.some_root)
    }

    /// Whether the receipt of such a grant is in the making.
    pub(crate) fn root_is_waiting(&self) -> bool {
        let of_root = |sweep: &Waiting| self.owed.get(&sweep.order.grant).is_some_and(|owed| owed.some_root);
        self.waiting.iter().any(of_root)
    }

    /// Whether such a grant has come to its end since this was asked last: its receipt can still tell what is found now.
    pub(crate) fn take_root_end(&mut self) -> bool {
        std::mem::take(&mut self.root_has_ended)
    }

    /// When [`Self::turn`] is wanted next, on `CLOCK_BOOTTIME` in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.waiting.iter().map(|sweep| sweep.look_at_ms).min()
    }

    /// The records are durable: what they came from is forgotten.
    pub(crate) fn forget_done(&mut self) {
        for grant in std::mem::take(&mut self.done) {
            if let Err(error) = self.store.forget(&grant) {
                tracing::error!(%error, "a baseline whose receipt is recorded cannot be removed");
            }
        }
    }

    /// Whether something waits for the records to be durable.
    pub(crate) fn waits_for_commit(&self) -> bool {
        !self.done.is_empty()
    }

    fn take(&mut self, draft: Event, turn: &Turn<'_>, journal: &mut dyn Recorder) {
        let Event::Receipt {
            grant, sessions, killed, removed, reported, not_excluded, took_ms, clean, ..
        } = draft
        else {
            return;
        };
        let Ok(grant) = GrantId::new(grant) else { return };
        let killing = Killing { sessions, killed, removed, reported, not_excluded, took_ms, clean };
        if let Some(waiting) = self.waiting.iter_mut().find(|sweep| sweep.order.grant == grant) {
            waiting.order.killing.add(killing);
            return;
        }
        if !self.owed.contains_key(&grant) && sessions == 0 && killed == 0 {
            // No session opened by it, so there is nothing to look for.
            let outcome = Outcome { settled: true, ..Outcome::default() };
            let event = receipt(&grant, &killing, Ok(&outcome), &[]);
            self.show(&event, &grant);
            journal.record(event);
            return;
        }
        self.order(grant, killing, turn);
    }

    /// A grant that is over, whose baseline stands, and that nobody is ending: the warden or the host went down in between.
    fn collect_debts(&mut self, turn: &Turn<'_>) {
        let is_settled = |grant: &GrantId| {
            turn.live.iter().any(|live| live.id() == grant)
                || turn.closing.contains(grant)
                || self.done.contains(grant)
                || self.waiting.iter().any(|sweep| sweep.order.grant == *grant)
        };
        let debts: Vec<GrantId> = self.owed.keys().filter(|grant| !is_settled(grant)).cloned().collect();
        for grant in debts {
            self.order(grant, Killing { clean: true, ..Killing::default() }, turn);
        }
    }

    fn order(&mut self, grant: GrantId, killing: Killing, turn: &Turn<'_>) {
        let user = self.owed.get(&grant).map(|owed| owed.user.clone());
        self.root_has_ended |= self.owed.get(&grant).is_some_and(|owed| owed.some_root);
        let others = turn.live.iter().map(LiveGrant::id).filter(|id| **id != grant);
        let others = others.filter(|id| self.owed.contains_key(*id)).map(ToString::to_string);
        let longest = i64::try_from(turn.max_window).unwrap_or(i64::MAX);
        let order = Order {
            format: FORMAT,
            user: user.unwrap_or_else(root),
            killing,
            also_open: others.collect(),
            since: self.begun.remove(&grant).unwrap_or(turn.reading.wall.0.saturating_sub(longest)),
            grant,
        };
        self.waiting.push(Waiting::new(order, turn.reading.boottime_ms));
    }

    /// Starts a sweep, or looks whether it is done. `Some` if there is nothing more to wait for.
    async fn advance(
        &mut self,
        sweep: &mut Waiting,
        turn: &Turn<'_>,
        now_ms: u64,
    ) -> Option<Result<Outcome, String>> {
        let grant = sweep.order.grant.clone();
        let Some(until_ms) = sweep.until_ms else {
            if sweep.tries == MAX_TRIES {
                return Some(Err(sweep.why.clone()));
            }
            sweep.tries += 1;
            match self.start(&sweep.order).await {
                Ok(()) => sweep.until_ms = Some(now_ms + turn.rules.time_limit.0 * 1000 + SLACK_MS),
                Err(why) => {
                    tracing::error!(%grant, why, "a sweep could not be started");
                    sweep.look_at_ms = now_ms + AGAIN_AFTER_MS;
                    sweep.why = why;
                }
            }
            return None;
        };
        match self.store.outcome(&grant) {
            Ok(Some(outcome)) => return Some(Ok(outcome)),
            Ok(None) => {}
            Err(error) => sweep.why = error.to_string(),
        }
        if now_ms >= until_ms {
            sweep.until_ms = None;
            if sweep.why.is_empty() {
                "the sweep did not come to its end in time".clone_into(&mut sweep.why);
            }
        }
        None
    }

    async fn start(&mut self, order: &Order) -> Result<(), String> {
        let stored = self.store.forget_outcome(&order.grant).and_then(|()| self.store.save_order(order));
        stored.map_err(|error: FileError| error.to_string())?;
        let unit = format!("stint-sweep@{}.service", order.grant);
        match &mut self.starter {
            Starter::Systemd(bus) => bus.start_unit(&unit).await.map_err(|error| error.to_string()),
            #[cfg(test)]
            Starter::Test => Ok(()),
        }
    }

    fn finish(
        &mut self,
        order: &Order,
        outcome: Result<&Outcome, &str>,
        turn: &Turn<'_>,
        journal: &mut dyn Recorder,
    ) {
        if let Ok(outcome) = outcome {
            self.amend(outcome, &order.grant);
        }
        let mut killing = order.killing.clone();
        let noticed = self.owed.get(&order.grant).map(|owed| owed.noticed.iter().cloned());
        killing.reported.extend(noticed.into_iter().flatten());
        let event = receipt(&order.grant, &killing, outcome, &order.also_open);
        let found = match &event {
            Event::Receipt { removed, restored, reported, not_scanned, .. } => {
                let undone = outcome.map_or(0, |o| o.removed.len() + o.restored.len());
                (undone + reported.len() + not_scanned.len() > 0)
                    .then(|| first_words(&[restored, reported, not_scanned, removed]))
            }
            _ => None,
        };
        self.show(&event, &order.grant);
        journal.record(event);
        if let Some(first) = found {
            let detail = format!("grant {} of {}: {first}", order.grant, order.user);
            alarm(journal, "residue", detail);
        }
        self.owed.remove(&order.grant);
        self.begun.retain(|grant, _| turn.live.iter().any(|live| live.id() == grant));
        self.done.push(order.grant.clone());
    }

    /// Other windows that are open took their baselines with what this one had made, or will see what was undone: they are told how it
    /// is now, so that they neither bring it back nor tell it again.
    fn amend(&self, outcome: &Outcome, grant: &GrantId) {
        if outcome.touched.is_empty() {
            return;
        }
        for other in self.owed.keys().filter(|other| *other != grant) {
            let amended = self.store.baseline(other).and_then(|baseline| {
                let Some(mut baseline) = baseline else { return Ok(()) };
                let touched: BTreeSet<PathBuf> =
                    outcome.touched.iter().map(|(path, _)| path.0.clone()).collect();
                let entries = &mut baseline.picture.entries;
                entries.retain(|entry| !touched.contains(&entry.spot.path()));
                entries.extend(outcome.touched.iter().filter_map(|(_, entry)| entry.clone()));
                self.store.save_baseline(&baseline)
            });
            if let Err(error) = amended {
                tracing::error!(%error, grant = %other, "a baseline could not be amended");
            }
        }
    }

    fn show(&mut self, event: &Event, grant: &GrantId) {
        if let Some(line) = event.outcome() {
            self.last.push((grant.to_string(), line));
            let over = self.last.len().saturating_sub(SHOWN);
            self.last.drain(..over);
        }
    }
}

impl Waiting {
    fn new(order: Order, look_at_ms: u64) -> Self {
        Self { order, tries: 0, look_at_ms, until_ms: None, why: String::new() }
    }
}

impl Killing {
    fn add(&mut self, more: Self) {
        self.sessions = self.sessions.saturating_add(more.sessions);
        self.killed = self.killed.saturating_add(more.killed);
        self.removed.extend(more.removed);
        self.reported.extend(more.reported);
        if self.not_excluded.is_empty() {
            self.not_excluded = more.not_excluded;
        }
        self.took_ms = self.took_ms.saturating_add(more.took_ms);
        self.clean &= more.clean;
    }
}

/// One baseline that a thread takes.
struct Job {
    store: Store,
    root: PathBuf,
    asked: Instant,
    baseline: Baseline,
}

impl Job {
    fn run(mut self, told: oneshot::Sender<()>) {
        let grant = self.baseline.grant.clone();
        let taken = self.take();
        if let Err(error) = &taken {
            tracing::error!(%error, %grant, "no baseline could be taken: its end is compared by age only");
            let _ = told.send(());
            return;
        }
        self.baseline.late = self.asked.elapsed() > LOGIN_BOUND;
        let took_ms = self.baseline.picture.took_ms;
        let files = self.baseline.picture.entries.len();
        tracing::info!(%grant, took_ms, files, late = self.baseline.late, "baseline taken");
        // The session goes on. What remains is only for a warden that is killed, so it may take its time.
        let _ = told.send(());
        let _ = rustix::process::setpriority_process(None, 19);
        if let Err(error) = self.store.save_baseline(&self.baseline) {
            tracing::error!(%error, %grant, "the baseline could not be stored: its end is compared by age only");
        }
    }

    fn take(&mut self) -> Result<(), String> {
        // The warden's own sandbox mounts folders over themselves, so here nothing can be told by that.
        let tree = Tree::at(&self.root, Crossing::All).map_err(|error| error.to_string())?;
        let key = self.store.key().map_err(|error| error.to_string())?;
        let scene = Scene {
            tree: &tree,
            rules: &self.baseline.rules,
            reach: &self.baseline.reach,
            key: &key,
            until: self.asked + BACKGROUND_BOUND,
        };
        self.baseline.picture = picture(&scene);
        Ok(())
    }
}

/// A baseline without its picture.
fn blank(grant: &LiveGrant, reading: &ClockReading, rules: &Residue) -> Baseline {
    Baseline {
        format: FORMAT,
        grant: grant.id().clone(),
        user: grant.user().clone(),
        reach: reach_of(grant),
        from: grant.from().0,
        wall: reading.wall.0,
        offset: reading.wall.0.saturating_sub_unsigned(reading.boottime_ms / 1000),
        boot: reading.boot_id.clone(),
        rules: rules.clone(),
        late: true,
        picture: super::picture::Picture::default(),
    }
}

/// Whoever a grant was for that nothing is known of.
fn root() -> UserName {
    UserName::new("root").expect("root is a name")
}

fn reach_of(grant: &LiveGrant) -> Reach {
    let rules = grant.rules();
    let run_as = rules.iter().map(|rule| rule.run_as.clone());
    Reach {
        accounts: run_as.chain([grant.user().clone()]).collect(),
        some_root: rules.iter().any(|rule| rule.run_as.as_str() == "root"),
        full_root: rules.iter().any(stint_grant::rights::SudoRule::amounts_to_root),
    }
}

fn first_words(lists: &[&Vec<String>]) -> String {
    let all = lists.iter().map(|list| list.len()).sum::<usize>();
    let first = lists.iter().find_map(|list| list.first()).cloned().unwrap_or_default();
    if all > 1 { format!("{first}, and {} more: see its receipt", all - 1) } else { first }
}
