//! What needs a host with a kernel and a clock of its own: a virtual machine in the place of the host. It is emulated and slow: bounds are
//! long, and nothing is said about speed.
//!
//! `cargo xtask test` runs these beside the other tests, by the words "virtual_machine" in their names.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use stint_e2e::lock_out::{Expected, USUAL, Way, Ways, holds, no_sudo, prepare, shut};
use stint_e2e::{Dropins, E2eError, Fleet, HOST, Options, processes_of, unix_now};
use stint_lab::{Host, LabError, Session, poll, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = Duration::from_mins(10);
const DAY: f64 = 86_400.0;
const HOUR: f64 = 3600.0;
const AHEAD: &str = "wall clock moved ahead by";
const BACK: &str = "wall clock moved back by";

/// Patient, as a slow host must be, and without a search of its whole disk, which takes it minutes; carol is not managed.
const HOST_TOML: &str = r#"
[managed]
break_glass_uid = 1900
exempt_uids = [1003]

[limits]
register_timeout_ms = 20000

[ceiling]
full_root = true

[residue]
time_limit = "30m"

[residue.policy]
setuid = "ignore"
"#;

/// One machine for all of these tests, which use it in turns, each with the clock right at its beginning. It goes when the process ends.
fn on_the_machine(test: impl FnOnce(&Fleet) -> Tested) -> Tested {
    static FLEET: Mutex<Option<Fleet>> = Mutex::new(None);
    let mut place = FLEET.lock().unwrap_or_else(PoisonError::into_inner);
    let fleet = if let Some(fleet) = place.take() {
        fleet
    } else {
        let machine = Options { virtual_machine: true, host_toml: HOST_TOML.into(), ..Options::default() };
        Fleet::with(&machine)?
    };
    let fleet = place.insert(fleet);
    let begin = Instant::now();
    let held = catch_unwind(AssertUnwindSafe(|| set_clock(&fleet.host, 0.0).and_then(|()| test(fleet))));
    println!("{:.0} s on the machine", begin.elapsed().as_secs_f64());
    if !matches!(held, Ok(Ok(()))) {
        eprintln!("{}\n--- the broker's log\n{}", fleet.host.diagnosis(), fleet.broker.log());
        // The next one begins as this one did.
        if let Err(error) = fleet.broker.stop().and_then(|()| fleet.broker.start()) {
            eprintln!("the broker does not start: {error}");
        }
    }
    held.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A grant of alice's that lets her in, however long that takes the host.
fn grant(fleet: &Fleet, entitlement: &str, length: &str) -> Result<String, E2eError> {
    let id = fleet.alice.request(entitlement, HOST, length)?;
    fleet.bob.approve(&id)?;
    fleet.alice.run(&["grant", "activate", &id])?;
    until("alice to be let in", BOUND, || {
        fleet.host.ssh("alice", "true").is_ok_and(|login| login.success())
    })?;
    Ok(id)
}

fn revoke(fleet: &Fleet, id: &str) -> Tested {
    fleet.carol.run(&["grant", "revoke", id, "--reason", "done"])?;
    until("the grant to be over", BOUND, || {
        fleet.host.ssh("alice", "true").is_ok_and(|login| !login.success())
    })?;
    Ok(())
}

fn runs(host: &Host, command: &str) -> bool {
    host.sh(&format!("pgrep -xf '{command}'")).is_ok_and(|outcome| outcome.success())
}

/// By how much the host's clock is ahead of the broker's; less than nothing if it is behind.
fn off_by(host: &Host) -> Result<f64, E2eError> {
    let said = host.sh("date +%s")?;
    let clock: f64 = said.stdout.trim().parse().map_err(|error| E2eError::answer("date", error))?;
    Ok(clock - unix_now())
}

fn is_off_by(host: &Host, seconds: f64) -> Tested {
    let found = off_by(host)?;
    assert!((found - seconds).abs() < 600.0, "the clock is {found} s off, not {seconds}");
    Ok(())
}

/// Sets the kernel's clock, and the hardware's, unless they are so already.
fn set_clock(host: &Host, ahead: f64) -> Tested {
    if (off_by(host)? - ahead).abs() > 60.0 {
        let to = unix_now() + ahead;
        host.sh(&format!("date -s @{to:.0} && hwclock --systohc --utc"))?.check("setting the clock")?;
    }
    is_off_by(host, ahead)
}

/// The lines of the record that the broker holds with these words.
fn lines_with(fleet: &Fleet, words: &str) -> Vec<String> {
    let told =
        fleet.carol.stint(&["audit", "ls", "--host", HOST]).map(|told| told.stdout).unwrap_or_default();
    told.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

/// Waits for the receipt of a grant, and answers it.
fn receipt(fleet: &Fleet, id: &str) -> Result<String, E2eError> {
    on_record(fleet, &format!("receipt of grant {id}"), 0)
}

/// Waits until the record has one more such line than these many, and answers it.
fn on_record(fleet: &Fleet, words: &str, so_far: usize) -> Result<String, E2eError> {
    let found = poll(&format!("the record to say {words:?}"), BOUND, || {
        lines_with(fleet, words).into_iter().nth(so_far)
    });
    Ok(found?)
}

/// Sets the clock from a shell of root's.
fn type_date(session: &mut Session, host: &Host, set_to: &str, ahead: f64) -> Tested {
    session.type_line(&format!("date -s '{set_to}' && echo set'' to {set_to}"))?;
    session.wait_for(&format!("set to {set_to}"), BOUND)?;
    is_off_by(host, ahead)
}

#[test]
fn on_a_virtual_machine_a_window_ends_at_its_true_end_whatever_root_sets_the_clock_to() -> Tested {
    on_the_machine(|fleet| {
        let host = &fleet.host;
        let (ahead, back) = (lines_with(fleet, AHEAD).len(), lines_with(fleet, BACK).len());
        let id = grant(fleet, "web-root", "3m")?;
        let end = fleet.end_of(&id)?;
        let mut session = host.ssh_session("alice")?;
        session.wait_for("stint: access until", BOUND)?;
        session.type_line("setsid sh -c 'trap \"\" TERM HUP; sleep 7101; true' &")?;
        // A shell of root's to keep: with the clock ahead sudo itself refuses.
        session.type_line("sudo -n bash --norc")?;
        session.type_line("setsid sh -c 'trap \"\" TERM HUP; sleep 7102; true' &")?;
        session.type_line("echo ro''ot=$(id -u)")?;
        session.wait_for("root=0", BOUND)?;
        let both_run = || runs(host, "sleep 7101") && runs(host, "sleep 7102");
        until("what alice started to run", BOUND, both_run)?;

        // It does not end early,
        type_date(&mut session, host, "tomorrow", DAY)?;
        println!("{}", on_record(fleet, AHEAD, ahead)?);
        assert!(session.is_open() && both_run(), "{} s too early: {}", end - unix_now(), session.heard());
        // and it does not end late.
        type_date(&mut session, host, "2 days ago", -DAY)?;
        println!("{}", on_record(fleet, BACK, back)?);
        session.wait_closed(BOUND)?;
        assert!(unix_now() >= end - 2.0, "{} s too early: {}", end - unix_now(), session.heard());
        until("alice's processes to be gone", BOUND, || {
            processes_of(host, "alice").is_ok_and(|list| list.is_empty())
                && !runs(host, "sleep 7101")
                && !runs(host, "sleep 7102")
        })?;
        until("the drop-in to be gone", BOUND, || {
            Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty())
        })?;
        let login = host.ssh("alice", "true")?;
        assert!(!login.success() && login.text().contains("ended at"), "{login}");
        let sudo = host.exec(&["runuser", "-u", "alice", "--", "sudo", "-n", "id"])?;
        assert!(!sudo.success() && !sudo.stdout.contains("uid=0"), "{sudo}");
        println!("{}", receipt(fleet, &id)?);
        // Nobody puts the clock back.
        is_off_by(host, -DAY)?;
        fleet.carol.run(&["audit", "verify", "--host", HOST])?;
        Ok(())
    })
}

#[test]
fn on_a_virtual_machine_an_idle_login_ends_whatever_the_clock_is_set_to() -> Tested {
    on_the_machine(|fleet| {
        let host = &fleet.host;
        let id = grant(fleet, "web-idle", "30m")?;
        for ahead in [-DAY, DAY] {
            let begin = Instant::now();
            let mut session = host.ssh_session("alice")?;
            session.wait_for("stint: access until", BOUND)?;
            set_clock(host, ahead)?;
            session.wait_closed(BOUND)?;
            let heard = session.heard();
            assert!(heard.contains("stint: idle: this session ends in"), "clock {ahead} s ahead: {heard}");
            // The limit is 30 s.
            assert!(begin.elapsed() > Duration::from_secs(28), "clock {ahead} s ahead: {heard}");
        }
        revoke(fleet, &id)
    })
}

/// Alice has a grant; bob, carol and rescue have sudo of their own.
fn matrix(fleet: &Fleet) -> Result<String, E2eError> {
    prepare(fleet)?;
    grant(fleet, "nginx-restart", "1h")
}

#[test]
fn on_a_virtual_machine_the_right_ones_get_in_with_the_clock_an_hour_back() -> Tested {
    on_the_machine(|fleet| {
        let host = &fleet.host;
        let id = matrix(fleet)?;
        set_clock(host, -HOUR)?;
        // In a boot that has heard of its broker the wall clock is not asked.
        holds(host, "clock set an hour back", USUAL)?;
        fleet.broker.stop()?;
        host.reboot()?;
        is_off_by(host, -HOUR)?;
        // What time it is nobody can tell: the warden takes the rule away, and PAM denies whoever has one of their own.
        until("the drop-in to be gone", BOUND, || {
            Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty())
        })?;
        let out = Ways { login: Way::Shut("set the clock"), sudo: Way::Shut("password") };
        let expected = Expected { with_grant: out, without: shut("set the clock") };
        holds(host, "clock set an hour back, booted, no broker", expected)?;
        // Its certificate is of now: later than the host's clock.
        fleet.broker.start()?;
        until("alice to be let in", BOUND, || host.ssh("alice", "true").is_ok_and(|login| login.success()))?;
        holds(host, "clock set an hour back, broker back", USUAL)?;
        revoke(fleet, &id)
    })
}

#[test]
fn on_a_virtual_machine_the_right_ones_get_in_with_the_clock_a_day_ahead() -> Tested {
    on_the_machine(|fleet| {
        let id = matrix(fleet)?;
        set_clock(&fleet.host, DAY)?;
        // sudo's own end of the rule, NOTAFTER, is by the wall clock.
        holds(&fleet.host, "clock set a day ahead", no_sudo("password"))?;
        revoke(fleet, &id)
    })
}

/// A program that does to the kernel what no program of a Debian host does by itself.
fn place_tool(fleet: &Fleet) -> Tested {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/kernel.c");
    let program = fleet.lab.dir().join("kernel");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-static", "-o"]).arg(&program).arg(&source);
    let compiled = cc.status().map_err(|source| LabError::Start { program: "cc".into(), source })?;
    assert!(compiled.success(), "cc could not compile {}", source.display());
    let bytes = std::fs::read(&program).map_err(LabError::file(&program))?;
    fleet.host.write("/usr/local/bin/kernel", &bytes)?;
    fleet.host.exec(&["chmod", "755", "/usr/local/bin/kernel"])?.check("making it a program")?;
    Ok(())
}

#[test]
fn on_a_virtual_machine_what_root_left_in_the_kernel_is_in_the_receipt_which_never_calls_it_clean() -> Tested
{
    on_the_machine(kernel)
}

fn kernel(fleet: &Fleet) -> Tested {
    let host = &fleet.host;
    place_tool(fleet)?;
    let id = grant(fleet, "web-root", "30m")?;
    for line in [
        "sh -c 'echo \"|/bin/false %p\" > /proc/sys/kernel/core_pattern'",
        "modprobe dummy",
        "kernel bpf /sys/fs/bpf/left",
        "kernel kexec /vmlinuz /initrd.img",
    ] {
        host.ssh("alice", &format!("sudo -n {line}"))?.check(line)?;
    }
    let took = "grep -q false /proc/sys/kernel/core_pattern && grep -q ^dummy /proc/modules && test -e /sys/fs/bpf/left && \
                grep -q 1 /sys/kernel/kexec_loaded";
    host.sh(took)?.check("all of it is in the kernel")?;
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "done"])?;
    let receipt = receipt(fleet, &id)?;
    println!("{receipt}");
    for words in [
        "NOT CLEAN",
        "core dumps go to |/bin/false %p",
        "module dummy",
        "bpf is pinned at /sys/fs/bpf/left",
        "a kernel is loaded for kexec",
        "sshd, sudo or the kernel replaced or changed",
        "rebuild the host",
    ] {
        assert!(receipt.contains(words), "{words}: {receipt}");
    }
    // Told, and none of it undone: it may be an administrator's own work.
    host.sh(took)?.check("all of it is in the kernel still")?;
    Ok(())
}
