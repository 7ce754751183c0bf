//! Sealed grants on disk: counted, burned, and only then open; and what stops the warden in between gives nothing back.

use stint_grant::bundle::{EndingKind, LockTarget};
use stint_grant::codes::{CODE_CHARS, Code, CodePlace, CodeVerifier};
use stint_grant::decision::{Purpose, Question, Verdict as Answer, decide};
use stint_grant::gate::{self, Current, GateFiles, OpenGate};
use stint_grant::host_config::BreakGlass;
use stint_grant::ids::UserName;
use stint_grant::register::UseCode;
use stint_grant::terms::Class;
use stint_grant::time::Seconds;
use stint_log::record::Ending as How;

use super::super::codes::CodeRefusal;
use super::super::files::faults::fail_after;
use super::super::keeper::{Change, Keeper};
use super::super::live::Urgency;
use super::super::paths::Paths;
use super::common::lock;
use super::*;

const DAY: i64 = 86_400;

struct Machine {
    dir: tempfile::TempDir,
    broker: Broker,
    notes: Notes,
}

fn code(n: u8) -> Code {
    Code::of_random(&[n; CODE_CHARS])
}
fn place(host: &str) -> CodePlace {
    CodePlace { fleet: id("example"), host: id(host), user: id("alice") }
}
fn alice() -> UserName {
    id("alice")
}

impl Machine {
    /// Alice's grant is sealed with codes 1 and 2, and with a third whose verifier was made for another host; dave's is ordinary.
    fn new() -> Self {
        let mut broker = broker();
        let mut terms = broker.terms();
        let verifier = |n, host| CodeVerifier::of(&code(n), &place(host), &[n; 16]);
        terms.codes = vec![verifier(1, "web-01"), verifier(2, "web-01"), verifier(3, "web-02")];
        (terms.class, terms.max_extension, terms.claim_by) = (Class::BreakGlass, Seconds(0), at(9 * DAY));
        terms.max_window = Seconds(600);
        broker.shards[0].grants = vec![Grant { until: terms.claim_by, ..grant(&terms) }];
        broker.reviews.push(broker.world.approval_of(&terms, "bob", &broker.world.bob));
        broker.world.terms = terms;
        Self { dir: tempfile::tempdir().unwrap(), broker, notes: Notes::default() }
    }
    fn paths(&self) -> Paths {
        Paths::under(self.dir.path())
    }
    fn config() -> HostConfig {
        let mut config = HostConfig::default();
        config.ceiling.break_glass = BreakGlass { codes: true, ..BreakGlass::default() };
        config
    }
    fn start_at(&mut self, reading: &ClockReading) -> Keeper {
        let (trust, me) = (self.broker.trust(), self.broker.world.me());
        Keeper::open(&self.paths(), trust, me, Self::config(), reading, &mut self.notes).unwrap()
    }
    fn running() -> (Self, Keeper) {
        let mut machine = Self::new();
        let mut keeper = machine.start_at(&reading(0));
        keeper.take_update(machine.broker.update(), &reading(0), &mut machine.notes).unwrap();
        (machine, keeper)
    }
    /// What the broker has changed.
    fn news(&mut self, keeper: &mut Keeper, offset: i64) -> Change {
        self.broker.version += 1;
        keeper.take_update(self.broker.update(), &reading(offset), &mut self.notes).unwrap()
    }
    /// All that happens between what was typed and an open gate.
    fn try_code(
        &mut self,
        keeper: &mut Keeper,
        n: u8,
        reading: &ClockReading,
    ) -> Result<Change, CodeRefusal> {
        let code = code(n);
        let attempt = UseCode {
            format: 1,
            service: "sshd".to_owned(),
            user: "alice".to_owned(),
            origin: None,
            tty: None,
            code: code.clone(),
            reason: "why".to_owned(),
        };
        keeper.count_code(&alice(), reading)?;
        let trial = keeper.trial(&alice(), attempt)?;
        let grant = trial.grant().ok_or(CodeRefusal::Wrong(alice()))?;
        let opening = keeper.burn_code(&alice(), (&grant, &code.id()), reading)?;
        keeper.open_sealed(opening, reading, &mut self.notes)
    }
    /// What the module answers, from the files alone.
    fn allows(&self, user: &str, reading: &ClockReading) -> bool {
        let read = |path: &str| std::fs::read(self.paths().gate().join(path)).unwrap();
        let current = Current::parse(&read("current")).unwrap();
        let folder = gate::generation_dir(current.generation);
        let account = read(&format!("{folder}/users/{}", gate::user_file(user)));
        let (root, head) = (read(&format!("{folder}/root.json")), read(&format!("{folder}/head.json")));
        let files = GateFiles { root: &root, head: &head, user: Some(&account) };
        let Ok(gate) = OpenGate::open(&current, &files, &id(user), reading) else { return false };
        let question = Question { purpose: Purpose::Sudo, origin: None, credentials: None };
        matches!(decide(&gate, &Self::config(), &question), Answer::Allow(_))
    }
}

fn live(keeper: &Keeper) -> Vec<GrantId> {
    keeper.live().iter().map(|g| g.id().clone()).collect()
}
fn booted(offset: i64) -> ClockReading {
    ClockReading { boot_id: "b1".to_owned(), boottime_ms: 5_000, ..reading(offset) }
}

#[test]
fn a_code_opens_its_grant_for_its_window_and_the_next_code_opens_it_again() {
    let (mut machine, mut keeper) = Machine::running();
    assert_eq!(live(&keeper), [daves()]);
    assert!(!machine.allows("alice", &reading(10)));
    let change = machine.try_code(&mut keeper, 1, &reading(10)).unwrap();
    assert!(change.live_changed && change.ended.is_empty() && keeper.is_written());
    let opened = keeper.live().iter().find(|live| *live.id() == alices()).unwrap();
    assert_eq!((opened.from(), opened.until()), (at(10), at(610)));
    assert_eq!(keeper.next_end_of_opened(), Some(60_000 + 600_000));
    assert_eq!(keeper.next_change(at(10)), Some(at(610)));
    assert!(machine.allows("alice", &reading(609)) && !machine.allows("alice", &reading(610)));

    assert!(keeper.refresh(&reading(609), &mut machine.notes).ended.is_empty());
    let change = keeper.refresh(&reading(610), &mut machine.notes);
    assert_eq!(change.ended.len(), 1);
    assert_eq!((change.ended[0].how, change.ended[0].urgency), (How::Expired, Urgency::Grace));
    assert_eq!(change.ended[0].since, Some(at(10)), "what the account left before is not this window's");
    assert!(machine.notes.has("window_ended"));
    assert!(!machine.allows("alice", &reading(10)), "nor by a clock that was set back");

    machine.try_code(&mut keeper, 2, &reading(700)).unwrap();
    assert!(machine.allows("alice", &reading(700)));
}

#[test]
fn a_used_code_stays_used_whatever_older_state_somebody_brings_back() {
    let (mut machine, mut keeper) = Machine::running();
    let kept: Vec<_> = ["state.json", "memory.json"]
        .map(|name| machine.paths().warden().join(name))
        .into_iter()
        .map(|path| (std::fs::read(&path).unwrap(), path))
        .collect();
    machine.try_code(&mut keeper, 1, &reading(10)).unwrap();
    let again = machine.try_code(&mut keeper, 1, &reading(20)).unwrap_err();
    assert!(matches!(again, CodeRefusal::Used(when) if when == at(10)), "{again}");
    for (bytes, path) in kept {
        std::fs::write(path, bytes).unwrap();
    }
    let mut keeper = machine.start_at(&reading(30));
    assert!(matches!(machine.try_code(&mut keeper, 1, &reading(30)), Err(CodeRefusal::Used(_))));
    // A broker that sends the same grant again sends no new code.
    machine.news(&mut keeper, 40);
    assert!(matches!(machine.try_code(&mut keeper, 1, &reading(40)), Err(CodeRefusal::Used(_))));
}

#[test]
fn a_wrong_code_and_a_verifier_that_was_moved_from_another_host_open_nothing() {
    let (mut machine, mut keeper) = Machine::running();
    for n in [9, 3] {
        assert!(matches!(machine.try_code(&mut keeper, n, &reading(10)), Err(CodeRefusal::Wrong(_))));
    }
    assert!(matches!(machine.try_code(&mut keeper, 9, &reading(10)), Err(CodeRefusal::Wrong(_))));
    let mut keeper = machine.start_at(&reading(11));
    let refused = machine.try_code(&mut keeper, 1, &reading(11)).unwrap_err();
    assert!(matches!(refused, CodeRefusal::Wait(Seconds(29))), "{refused}");
    machine.try_code(&mut keeper, 1, &reading(40)).unwrap();
}

#[test]
fn whatever_write_fails_nothing_opens_and_no_code_works_twice() {
    for steps in 0..12 {
        let (mut machine, mut keeper) = Machine::running();
        fail_after(Some(steps));
        let tried = machine.try_code(&mut keeper, 1, &reading(10));
        fail_after(None);
        if let Err(refused) = tried {
            assert!(matches!(refused, CodeRefusal::Unwritten(_)), "{steps}: {refused}");
            assert_eq!(live(&keeper), [daves()], "{steps}");
            assert!(!machine.allows("alice", &reading(11)), "{steps}");
            keeper.refresh(&reading(11), &mut machine.notes);
            assert!(!machine.allows("alice", &reading(12)), "{steps}: with room again");
        }
        let mut keeper = machine.start_at(&reading(13));
        let opened = machine.allows("alice", &reading(13));
        let again = machine.try_code(&mut keeper, 1, &reading(14));
        assert!(!(opened && again.is_ok()), "{steps}");
    }
}

#[test]
fn a_window_goes_on_over_a_restart_of_the_warden_and_not_over_one_of_the_host() {
    let (mut machine, mut keeper) = Machine::running();
    machine.try_code(&mut keeper, 1, &reading(10)).unwrap();
    let keeper = machine.start_at(&reading(20));
    assert_eq!(live(&keeper), [alices(), daves()]);
    assert!(machine.allows("alice", &reading(20)));
    // By its clock the window would last; but who says that its clock is right?
    let mut keeper = machine.start_at(&booted(30));
    assert_eq!(live(&keeper), [daves()]);
    assert!(!machine.allows("alice", &booted(30)));
    assert!(matches!(machine.try_code(&mut keeper, 1, &booted(31)), Err(CodeRefusal::Used(_))));
    machine.try_code(&mut keeper, 2, &booted(31)).unwrap();
    assert!(machine.allows("alice", &booted(31)));
}

#[test]
fn a_lock_keeps_a_grant_shut_and_its_code_good_and_a_revocation_ends_what_is_open_at_once() {
    let (mut machine, mut keeper) = Machine::running();
    machine.broker.locks = vec![lock(LockTarget::Principal(id("alice")))];
    machine.news(&mut keeper, 5);
    let locked = machine.try_code(&mut keeper, 1, &reading(10)).unwrap_err();
    assert!(locked.to_string().contains("is locked"), "{locked}");
    machine.broker.locks.clear();
    machine.news(&mut keeper, 15);
    machine.try_code(&mut keeper, 1, &reading(20)).unwrap();
    machine.broker.end_alices(EndingKind::Revoked);
    let change = machine.news(&mut keeper, 25);
    assert_eq!((change.ended[0].how, change.ended[0].urgency), (How::Revoked, Urgency::AtOnce));
    assert!(!machine.allows("alice", &reading(26)));
    assert!(machine.try_code(&mut keeper, 2, &reading(30)).is_err());
}

#[test]
fn codes_work_with_a_bundle_that_is_over_after_a_reboot_too_and_other_grants_do_not() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    // The bundle ended after a day, and nothing was heard for a week.
    let week = 7 * DAY;
    let mut keeper = machine.start_at(&booted(week));
    assert!(live(&keeper).is_empty() && !machine.allows("dave", &booted(week)));
    machine.try_code(&mut keeper, 1, &booted(week)).unwrap();
    assert_eq!(live(&keeper), [alices()]);
    assert!(machine.allows("alice", &booted(week)) && !machine.allows("dave", &booted(week)));
    // From the courier such a bundle is not taken.
    let update = machine.broker.update();
    assert!(keeper.take_update(update, &booted(week + 1), &mut machine.notes).is_err());
}

#[test]
fn after_the_time_of_its_codes_none_of_them_is_good() {
    let (mut machine, mut keeper) = Machine::running();
    let last = 9 * DAY;
    machine.try_code(&mut keeper, 1, &reading(last - 60)).unwrap();
    assert_eq!(keeper.live().iter().find(|live| *live.id() == alices()).unwrap().until(), at(last));
    let change = keeper.refresh(&reading(last), &mut machine.notes);
    assert!(change.ended.iter().any(|ended| ended.grant == alices() && ended.how == How::Expired));
    assert!(machine.try_code(&mut keeper, 2, &reading(last)).is_err());
}

#[test]
fn a_host_that_stops_taking_codes_shuts_what_they_opened() {
    let (mut machine, mut keeper) = Machine::running();
    machine.try_code(&mut keeper, 1, &reading(10)).unwrap();
    let change = keeper.reconfigure(HostConfig::default(), &reading(20), &mut machine.notes).unwrap();
    assert_eq!(change.ended[0].how, How::Withdrawn);
    assert_eq!(live(&keeper), [daves()]);
}
