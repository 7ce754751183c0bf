//! What is in force on disk: the gate as the module opens it, after each change and after each crash.

use std::path::Path;

use stint_grant::bundle::{EndingKind, LockTarget};
use stint_grant::decision::{Denial, Purpose, Question, Verdict as Answer, decide};
use stint_grant::gate::{self, Current, GateFiles, OpenGate};
use stint_grant::time::Seconds;
use stint_log::record::Ending as How;

use super::super::files::faults::fail_after;
use super::super::gate::Look;
use super::super::keeper::Keeper;
use super::super::live::Urgency;
use super::super::paths::Paths;
use super::common::lock;
use super::*;

struct Machine {
    dir: tempfile::TempDir,
    broker: Broker,
    notes: Notes,
}

impl Machine {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), broker: broker(), notes: Notes::default() }
    }
    fn paths(&self) -> Paths {
        Paths::under(self.dir.path())
    }
    fn start_at(&mut self, reading: &ClockReading) -> Keeper {
        self.try_start(reading).unwrap()
    }
    fn try_start(&mut self, reading: &ClockReading) -> Result<Keeper, super::super::store::StoreError> {
        let (trust, me) = (self.broker.trust(), self.broker.world.me());
        Keeper::open(&self.paths(), trust, me, HostConfig::default(), reading, &mut self.notes)
    }
    fn start(&mut self) -> Keeper {
        self.start_at(&reading(0))
    }
    fn running() -> (Self, Keeper) {
        let mut machine = Self::new();
        let mut keeper = machine.start();
        let update = machine.broker.update();
        keeper.take_update(update, &reading(0), &mut machine.notes).unwrap();
        (machine, keeper)
    }
    /// What the module answers to an account that asks for sudo, from the files alone.
    fn ask(&self, user: &str, reading: &ClockReading) -> Result<Answer, String> {
        ask(&self.paths().gate(), user, reading)
    }
    fn allows(&self, user: &str, offset: i64) -> bool {
        matches!(self.ask(user, &reading(offset)), Ok(Answer::Allow(_)))
    }
}

fn ask(dir: &Path, user: &str, reading: &ClockReading) -> Result<Answer, String> {
    let read = |path: &str| std::fs::read(dir.join(path)).map_err(|e| format!("{path}: {e}"));
    let current = Current::parse(&read("current")?).map_err(|e| e.to_string())?;
    let folder = gate::generation_dir(current.generation);
    let account = read(&format!("{folder}/users/{}", gate::user_file(user))).ok();
    let (root, head) = (read(&format!("{folder}/root.json"))?, read(&format!("{folder}/head.json"))?);
    let files = GateFiles { root: &root, head: &head, user: account.as_deref() };
    let gate = OpenGate::open(&current, &files, &id(user), reading).map_err(|e| e.to_string())?;
    let question = Question { purpose: Purpose::Sudo, origin: None, credentials: None };
    Ok(decide(&gate, &HostConfig::default(), &question))
}

fn live(keeper: &Keeper) -> Vec<GrantId> {
    keeper.live().iter().map(|g| g.id().clone()).collect()
}

#[test]
fn an_update_opens_the_gate_and_makes_grants_live() {
    let (machine, keeper) = Machine::running();
    assert_eq!(live(&keeper), [alices(), daves()]);
    assert!(keeper.is_written());
    assert!(machine.allows("alice", 1) && machine.allows("dave", 1));
    assert!(matches!(machine.ask("erin", &reading(1)), Ok(Answer::Deny(Denial::NoGrant))));
    assert!(machine.notes.has("bundle_installed") && machine.notes.has("gate_written"));
}

#[test]
fn a_window_that_is_over_ends_with_grace_and_stays_over() {
    let (mut machine, mut keeper) = Machine::running();
    let change = keeper.refresh(&reading(1799), &mut machine.notes);
    assert!(change.ended.is_empty());
    let change = keeper.refresh(&reading(1800), &mut machine.notes);
    assert_eq!(change.ended.len(), 2);
    assert!(change.ended.iter().all(|e| e.how == How::Expired && e.urgency == Urgency::Grace));
    assert!(!machine.allows("alice", 1800));
    // The gate says so itself, even to a clock that was set back.
    assert!(matches!(machine.ask("alice", &reading(1)), Ok(Answer::Deny(Denial::Ended { .. }))));
    assert!(live(&machine.start_at(&reading(1))).is_empty());
}

#[test]
fn a_revocation_ends_one_grant_at_once_and_leaves_the_other() {
    let (mut machine, mut keeper) = Machine::running();
    machine.broker.end_alices(EndingKind::Revoked);
    machine.broker.version += 1;
    let update = machine.broker.update();
    let change = keeper.take_update(update, &reading(5), &mut machine.notes).unwrap();
    assert_eq!(change.ended.len(), 1);
    assert_eq!((change.ended[0].how, change.ended[0].urgency), (How::Revoked, Urgency::AtOnce));
    assert!(!machine.allows("alice", 6) && machine.allows("dave", 6));
}

#[test]
fn a_grant_that_is_left_out_is_withdrawn_and_never_comes_back() {
    let (mut machine, mut keeper) = Machine::running();
    let grants = std::mem::take(&mut machine.broker.shards[0].grants);
    machine.broker.version += 1;
    let change = keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
    assert_eq!(change.ended[0].how, How::Withdrawn);
    machine.broker.shards[0].grants = grants;
    machine.broker.version += 1;
    keeper.take_update(machine.broker.update(), &reading(6), &mut machine.notes).unwrap();
    assert_eq!(live(&keeper), [daves()]);
    assert!(matches!(machine.ask("alice", &reading(7)), Ok(Answer::Deny(Denial::Ended { .. }))));
}

#[test]
fn a_lock_ends_sessions_and_the_grant_lives_on_after_it() {
    let (mut machine, mut keeper) = Machine::running();
    machine.broker.locks = vec![lock(LockTarget::Principal(id("alice")))];
    machine.broker.version += 1;
    let change = keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
    assert_eq!((change.ended[0].how, change.ended[0].urgency), (How::Locked, Urgency::AtOnce));
    assert!(matches!(machine.ask("alice", &reading(6)), Ok(Answer::Deny(Denial::Locked { .. }))));
    assert!(machine.notes.has("lock_applied"));
    machine.broker.locks.clear();
    machine.broker.version += 1;
    let change = keeper.take_update(machine.broker.update(), &reading(7), &mut machine.notes).unwrap();
    assert!(change.live_changed && change.ended.is_empty());
    assert!(machine.allows("alice", 8));
    assert!(machine.notes.has("lock_lifted"));
}

#[test]
fn a_lock_on_the_host_or_on_one_grant_stops_what_it_names() {
    for (target, left) in [
        (LockTarget::Host(id("web-01")), vec![]),
        (LockTarget::Grant(daves()), vec![alices()]),
        (LockTarget::User(id("alice")), vec![daves()]),
    ] {
        let (mut machine, mut keeper) = Machine::running();
        machine.broker.locks = vec![lock(target)];
        machine.broker.version += 1;
        keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
        assert_eq!(live(&keeper), left);
    }
}

#[test]
fn an_extension_moves_the_end_and_is_recorded() {
    let (mut machine, mut keeper) = Machine::running();
    machine.broker.shards[0].grants[0].until = at(2400);
    machine.broker.version += 1;
    let change = keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
    assert!(change.live_changed && change.ended.is_empty());
    assert!(machine.notes.has("window_extended"));
    machine.broker.pulse_at = at(1800);
    keeper.take_pulse(&machine.broker.pulse_alone(), &reading(1801), &mut machine.notes).unwrap();
    assert_eq!(live(&keeper), [alices()]);
    assert!(machine.allows("alice", 2399) && !machine.allows("alice", 2400));
}

#[test]
fn a_tighter_ceiling_ends_what_exceeds_it() {
    let (mut machine, mut keeper) = Machine::running();
    let mut config = HostConfig::default();
    config.ceiling.max_window = Seconds(600);
    let change = keeper.reconfigure(config, &reading(5), &mut machine.notes).unwrap();
    assert_eq!(change.ended.len(), 2);
    assert!(!machine.allows("alice", 6));
}

#[test]
fn a_pulse_freshens_the_gate_and_writes_no_generation() {
    let (mut machine, mut keeper) = Machine::running();
    assert!(!machine.allows("alice", 1000), "the news are too old");
    machine.broker.pulse_at = at(990);
    keeper.take_pulse(&machine.broker.pulse_alone(), &reading(1000), &mut machine.notes).unwrap();
    assert!(machine.allows("alice", 1000));
    assert_eq!(machine.notes.kinds().iter().filter(|k| **k == "gate_written").count(), 1);
    let old = {
        machine.broker.pulse_at = at(0);
        machine.broker.pulse_alone()
    };
    let error = keeper.take_pulse(&old, &reading(1001), &mut machine.notes).unwrap_err();
    assert_eq!(error.code(), "replay");
}

#[test]
fn the_same_update_again_writes_no_generation() {
    let (mut machine, mut keeper) = Machine::running();
    let change = keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
    assert_eq!(change, super::super::keeper::Change::default());
    assert_eq!(machine.notes.kinds().iter().filter(|k| **k == "gate_written").count(), 1);
}

#[test]
fn what_is_refused_whole_changes_nothing() {
    let (mut machine, mut keeper) = Machine::running();
    let before = snapshot(machine.dir.path());
    machine.broker.version -= 1;
    machine.broker.shards.clear();
    keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap_err();
    assert_eq!(snapshot(machine.dir.path()), before);
    assert_eq!(live(&keeper), [alices(), daves()]);
}

#[test]
fn a_restart_finds_what_was_in_force() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    let keeper = machine.start_at(&reading(60));
    assert_eq!(live(&keeper), [alices(), daves()]);
    assert!(machine.allows("alice", 61));
    drop(keeper);
    let keeper = machine.start_at(&reading(1800));
    assert!(live(&keeper).is_empty());
    assert!(!machine.allows("alice", 1800));
}

#[test]
fn a_restart_tells_nothing_twice() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    machine.notes.0.clear();
    machine.start_at(&reading(60));
    assert_eq!(machine.notes.kinds(), ["gate_written"]);
}

#[test]
fn a_host_that_is_enrolled_anew_begins_anew_and_its_old_grants_are_over() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    machine.broker.world.host_key = super::common::key(77);
    machine.broker.version = 1;
    let mut keeper = machine.start_at(&reading(5));
    assert!(live(&keeper).is_empty());
    assert!(matches!(machine.ask("alice", &reading(6)), Ok(Answer::Deny(Denial::Ended { .. }))));
    let mut terms = machine.broker.terms();
    terms.request = id("cccccccccccc");
    machine.broker.reviews.push(machine.broker.world.approval_of(&terms, "bob", &machine.broker.world.bob));
    machine.broker.shards[0].grants.push(grant(&terms));
    keeper.take_update(machine.broker.update(), &reading(7), &mut machine.notes).unwrap();
    assert_eq!(live(&keeper), [id("cccccccccccc")]);
    assert!(machine.allows("alice", 8) && !machine.allows("dave", 8));
}

#[test]
fn a_reboot_with_a_clock_behind_denies_until_a_fresh_pulse() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    let rebooted = ClockReading { wall: UnixTime(0), boottime_ms: 9_000, boot_id: "b1".to_owned() };
    let mut keeper = machine.start_at(&rebooted);
    assert!(live(&keeper).is_empty() && keeper.fault().is_some());
    assert!(machine.ask("alice", &rebooted).is_err());
    machine.broker.pulse_at = at(600);
    keeper.take_update(machine.broker.update(), &rebooted, &mut machine.notes).unwrap();
    assert_eq!(live(&keeper), [alices(), daves()]);
    assert!(matches!(machine.ask("alice", &rebooted), Ok(Answer::Allow(_))));
}

#[test]
fn a_wall_clock_that_comes_right_by_itself_is_noticed() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    let behind = ClockReading { wall: UnixTime(0), boottime_ms: 9_000, boot_id: "b1".to_owned() };
    let mut keeper = machine.start_at(&behind);
    let right = ClockReading { wall: at(100), ..behind };
    let change = keeper.refresh(&right, &mut machine.notes);
    assert!(change.live_changed);
    assert_eq!(live(&keeper), [alices(), daves()]);
}

#[test]
fn a_bundle_past_its_end_leaves_nothing_live() {
    let mut machine = Machine::new();
    machine.broker.expires_at = at(100);
    let mut keeper = machine.start();
    keeper.take_update(machine.broker.update(), &reading(0), &mut machine.notes).unwrap();
    assert_eq!(keeper.next_change(at(0)), Some(at(101)));
    let change = keeper.refresh(&reading(101), &mut machine.notes);
    assert!(change.ended.iter().all(|e| e.how == How::Stale));
    assert!(live(&keeper).is_empty());
}

#[test]
fn a_crash_at_any_write_of_a_revocation_leaves_the_gate_openable_and_denies_once_it_was_told() {
    for steps in 0.. {
        let (mut machine, mut keeper) = Machine::running();
        machine.broker.end_alices(EndingKind::Revoked);
        machine.broker.version += 1;
        fail_after(Some(steps));
        let change = keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
        fail_after(None);
        // Whether or not the disk took it, the session ends.
        assert_eq!(change.ended.len(), 1, "after {steps} steps");
        let written = keeper.is_written();
        drop(keeper);
        assert!(machine.allows("dave", 6), "after {steps} steps the gate is torn");
        // The power comes back: the old or the new bundle, and the update comes again.
        let mut keeper = machine.start_at(&reading(7));
        assert!(live(&keeper).contains(&daves()));
        keeper.take_update(machine.broker.update(), &reading(8), &mut machine.notes).unwrap();
        assert!(keeper.is_written());
        assert!(!machine.allows("alice", 9) && machine.allows("dave", 9));
        if written {
            assert!(steps > 8, "only {steps} steps were tried");
            break;
        }
    }
}

#[test]
fn a_revocation_and_a_lock_are_in_the_gate_before_anything_else_is_stored_and_written() {
    let revoke = |broker: &mut Broker| broker.end_alices(EndingKind::Revoked);
    let lock_out = |broker: &mut Broker| broker.locks = vec![lock(LockTarget::User(id("alice")))];
    let changes: [&dyn Fn(&mut Broker); 2] = [&revoke, &lock_out];
    for change in changes {
        for steps in 0.. {
            let (mut machine, mut keeper) = Machine::running();
            change(&mut machine.broker);
            machine.broker.version += 1;
            fail_after(Some(steps));
            keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
            fail_after(None);
            assert!(machine.allows("dave", 6));
            // The first file that is written is the one that denies.
            assert_eq!(machine.allows("alice", 6), steps < 2, "after {steps} steps");
            if keeper.is_written() {
                assert!(steps > 8, "only {steps} steps were tried");
                break;
            }
        }
    }
}

#[test]
fn what_somebody_put_into_the_gate_is_told_before_it_is_written_over_and_once() {
    let (mut machine, mut keeper) = Machine::running();
    let current = machine.paths().gate().join("current");
    let old = std::fs::read(&current).unwrap();
    let pulse = |keeper: &mut Keeper, machine: &mut Machine, at_second: i64| {
        machine.broker.pulse_at = at(at_second);
        let pulse = machine.broker.pulse_alone();
        keeper.take_pulse(&pulse, &reading(at_second), &mut machine.notes).unwrap();
    };
    pulse(&mut keeper, &mut machine, 10);
    assert!(keeper.take_tampering().is_empty() && !machine.notes.has("alarm"));
    for second in [20, 30] {
        std::fs::write(&current, &old).unwrap();
        pulse(&mut keeper, &mut machine, second);
    }
    let told = keeper.take_tampering();
    assert!(told.len() == 1 && told[0].contains("current is not as it was written"), "{told:?}");
    assert_eq!(machine.notes.kinds().iter().filter(|kind| **kind == "alarm").count(), 1);
    pulse(&mut keeper, &mut machine, 40);
    std::fs::write(&current, &old).unwrap();
    pulse(&mut keeper, &mut machine, 50);
    assert_eq!(keeper.take_tampering().len(), 1, "it was whole in between");
}

#[test]
fn a_crash_at_any_write_of_the_first_update_opens_nothing_by_halves() {
    for steps in 0.. {
        let mut machine = Machine::new();
        let mut keeper = machine.start();
        fail_after(Some(steps));
        keeper.take_update(machine.broker.update(), &reading(0), &mut machine.notes).unwrap();
        fail_after(None);
        let written = keeper.is_written();
        assert_eq!(live(&keeper).is_empty(), !written, "nothing new begins while the disk takes nothing");
        assert_eq!(machine.allows("alice", 1), written);
        // It is tried again, and then it holds.
        keeper.refresh(&reading(1), &mut machine.notes);
        assert_eq!(live(&keeper), [alices(), daves()]);
        assert!(machine.allows("alice", 2));
        if written {
            break;
        }
    }
}

#[test]
fn damaged_state_is_a_clear_error_and_no_start() {
    let (mut machine, keeper) = Machine::running();
    drop(keeper);
    std::fs::write(machine.paths().warden().join("memory.json"), b"{").unwrap();
    let error = machine.try_start(&reading(5)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("memory.json is damaged"), "{error}");
}

#[test]
fn half_written_generations_are_swept_and_two_are_kept() {
    let (mut machine, mut keeper) = Machine::running();
    for version in 8..12 {
        machine.broker.version = version;
        keeper.take_update(machine.broker.update(), &reading(5), &mut machine.notes).unwrap();
    }
    let gate = machine.paths().gate();
    let folders = || {
        let mut names: Vec<_> = std::fs::read_dir(&gate)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.contains("gen-"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(folders(), ["gen-4", "gen-5"]);
    std::fs::create_dir_all(gate.join(".gen-6.tmp/users")).unwrap();
    std::fs::create_dir_all(gate.join("gen-9/users")).unwrap();
    drop(keeper);
    machine.start_at(&reading(6));
    assert_eq!(folders(), ["gen-5", "gen-6"]);
    assert!(machine.allows("alice", 7));
}

#[test]
fn the_gates_files_can_be_read_by_everybody_and_written_by_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (machine, _keeper) = Machine::running();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let gate = machine.paths().gate();
    assert_eq!(
        (mode(&gate), mode(&gate.join("gen-1")), mode(&gate.join("gen-1/users"))),
        (0o755, 0o755, 0o755)
    );
    for file in ["current", "gen-1/head.json", "gen-1/root.json"] {
        assert_eq!(mode(&gate.join(file)), 0o644);
    }
    assert_eq!(mode(&machine.paths().warden()), 0o700);
}

/// All files and their contents.
fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_gate_that_somebody_damaged_is_written_anew() {
    let (mut machine, mut keeper) = Machine::running();
    let gate = machine.paths().gate();
    assert!(!keeper.look_at_gate(Look::Whole, &mut machine.notes));
    let generation = || {
        let current = std::fs::read(gate.join("current")).unwrap();
        gate.join(gate::generation_dir(Current::parse(&current).unwrap().generation))
    };
    let damages: [&dyn Fn(); 8] = [
        &|| std::fs::remove_dir_all(&gate).unwrap(),
        &|| std::fs::remove_file(gate.join("current")).unwrap(),
        &|| std::fs::write(gate.join("current"), "{}").unwrap(),
        &|| std::fs::remove_dir_all(generation()).unwrap(),
        &|| std::fs::write(generation().join("head.json"), "{}").unwrap(),
        &|| std::fs::remove_file(generation().join("users").join(gate::user_file("alice"))).unwrap(),
        &|| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(generation(), mode).unwrap();
        },
        &|| {
            std::fs::remove_file(gate.join("current")).unwrap();
            nix::unistd::mkfifo(&gate.join("current"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        },
    ];
    for damage in damages {
        damage();
        assert!(keeper.look_at_gate(Look::Whole, &mut machine.notes));
        keeper.refresh(&reading(1), &mut machine.notes);
        assert!(keeper.is_written() && machine.allows("alice", 2) && machine.allows("dave", 2));
        assert!(!keeper.look_at_gate(Look::Whole, &mut machine.notes));
    }
    assert!(machine.notes.has("alarm"));
    assert!(machine.try_start(&reading(3)).is_ok());
}

#[test]
fn a_courier_that_leaves_reviews_out_ends_nothing_but_a_roster_without_the_reviewer_does() {
    let (mut machine, mut keeper) = Machine::running();
    let bare = |broker: &Broker| HostUpdate { reviews: Vec::new(), ..broker.update() };
    let same = bare(&machine.broker);
    assert!(keeper.take_update(same, &reading(1), &mut machine.notes).unwrap().ended.is_empty());
    machine.broker.version += 1;
    let next = bare(&machine.broker);
    assert!(keeper.take_update(next, &reading(2), &mut machine.notes).unwrap().ended.is_empty());
    assert_eq!(live(&keeper), [alices(), daves()]);
    drop(keeper);
    let mut keeper = machine.start_at(&reading(3));
    assert_eq!(live(&keeper), [alices(), daves()], "the reviews are on disk yet");

    machine.broker.world.roster.version += 1;
    machine.broker.world.roster.reviewers.retain(|reviewer| reviewer.name.as_str() != "bob");
    machine.broker.roster = Some(text(machine.broker.world.roster_envelope()));
    let without_bob = machine.broker.update();
    let change = keeper.take_update(without_bob, &reading(4), &mut machine.notes).unwrap();
    assert_eq!(change.ended.len(), 2);
}

#[test]
fn a_courier_that_changes_what_nobody_signed_without_end_fills_no_journal() {
    let (mut machine, mut keeper) = Machine::running();
    let before = machine.notes.0.len();
    let mut refused = 0;
    for n in 0..1000 {
        let mut update = machine.broker.update();
        if n % 2 == 0 {
            update.roster = Some(format!("no roster {n}"));
        } else {
            update.head = update.head.replacen('{', &format!("{{{}", " ".repeat(n)), 1);
        }
        refused += usize::from(keeper.take_update(update, &reading(1), &mut machine.notes).is_err());
    }
    assert!((100..500).contains(&(machine.notes.0.len() - before)), "{}", machine.notes.0.len());
    assert!(refused > 300, "{refused}");
    assert_eq!(live(&keeper), [alices(), daves()]);
}
