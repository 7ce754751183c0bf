//! `stintd arm`, `confirm`, `disarm`: the gate goes into PAM and out of it, and never without a way back.
//!
//! | File | Does |
//! |---|---|
//! | [`facts`], [`checks`] | what is found on the host, and whether it is good enough (pure) |
//! | [`ways_in`] | who gets in without a grant |
//! | [`pam`] | whether our PAM lines stand in the right order (pure) |
//! | [`rollback`] | the record of what was before, and its timer |
//! | [`sshd`] | the file by which sshd finds what the warden keeps for it |
//! | [`login`] | from which login a command comes |

pub(crate) mod checks;
pub(crate) mod facts;
pub(crate) mod login;
pub(crate) mod pam;
pub(crate) mod rollback;
pub(crate) mod sshd;
pub(crate) mod ways_in;

use std::fs::File;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use stint_grant::time::Seconds;

use super::failure::{Exit, Failure, root_only};
use super::fast_moves;
use super::system;
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::status;
use crate::warden::time::boottime_ms;
use pam::{CommonFiles, Wiring};
use rollback::{Before, Record};

/// The PAM profiles, by their files' names: with the package's name `pam-auth-update` does nothing and reports success.
pub(crate) const PROFILES: [&str; 2] = ["stint", "stint-register"];

/// How long services that start and the first news are waited for.
const SETTLING: Duration = Duration::from_secs(20);

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// After how long it is undone unless it is confirmed.
    pub(crate) rollback: Option<Duration>,
    /// Decide and record, never deny.
    pub(crate) observe: bool,
}

/// Checks the host, then lets PAM ask the gate.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    root_only("arm")?;
    let paths = Paths::system();
    let _lock = lock(&paths)?;
    let checks = checks_when_settled(&paths);
    println!("Checks:");
    for check in &checks {
        println!("{check}");
    }
    if !checks::all_pass(&checks) {
        return Err(Failure::new(Exit::Check, "this host is not ready: nothing was changed")
            .next("mend what failed, then run `stintd arm` again"));
    }

    // What was armed and never confirmed is not what to go back to.
    let before = match rollback::read(&paths)? {
        Some(unconfirmed) => unconfirmed.before,
        None => before(&paths)?,
    };
    if let Some(after) = order.rollback {
        rollback::begin(&paths, &record(before.clone(), after)?, after)?;
    } else {
        // An older record would put back what is asked for now.
        rollback::stop_timer();
        rollback::forget(&paths)?;
    }
    let mode = if order.observe { "observe" } else { "enforce" };
    if let Err(failure) = wire(&paths, mode) {
        eprintln!("stintd: {}; putting back what was before ...", failure.message);
        put_back(&paths, &before)?;
        return Err(failure);
    }
    println!("Armed: {mode}. {}", told(order, mode));
    Ok(())
}

/// Just after enrolment the services start and the first news are on their way: that is waited for, and nothing else.
fn checks_when_settled(paths: &Paths) -> Vec<checks::Check> {
    let end = boottime_ms() + u64::try_from(SETTLING.as_millis()).unwrap_or_default();
    loop {
        let checks = checks::judge(&facts::gather(paths));
        if !checks::may_settle(&checks) || boottime_ms() >= end {
            return checks;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn told(order: &Order, mode: &str) -> String {
    let effect = match mode {
        "observe" => "Denials are recorded, and nobody is denied.",
        _ => "Managed accounts need a grant from now on.",
    };
    match order.rollback {
        None => effect.to_owned(),
        Some(after) => format!(
            "{effect}\nThis is undone in {} and at a reboot. Keep this session open, log in anew (as the break-glass account or \
             another one that is not managed), and run there: stintd confirm",
            Seconds(after.as_secs())
        ),
    }
}

/// Keeps what `arm --rollback` did, if this comes from another login.
pub(crate) fn confirm() -> Result<(), Failure> {
    root_only("confirm")?;
    let paths = Paths::system();
    let _lock = lock(&paths)?;
    let Some(record) = rollback::read(&paths)? else {
        return Err(Failure::new(Exit::State, "there is nothing to confirm")
            .next("either it was confirmed, or its time was over and it was undone: see `stintd status`"));
    };
    if let Some(why) = login::refuses_confirmation(record.armed_by.as_ref(), login::current().as_ref()) {
        let left = Seconds(record.left(boottime_ms()).as_secs());
        return Err(Failure::new(Exit::Check, format!("not confirmed: {why}")).next(format!(
            "log in anew (over SSH or on the console) and confirm there: only that proves that somebody still gets in. \
             {left} left, then PAM is put back"
        )));
    }
    rollback::forget(&paths)?;
    rollback::stop_timer();
    println!("Confirmed: what `stintd arm` did stays.");
    Ok(())
}

/// Takes the gate out of PAM.
pub(crate) fn disarm() -> Result<(), Failure> {
    root_only("disarm")?;
    let paths = Paths::system();
    let _lock = lock(&paths)?;
    put_back(&paths, &Before { wired: false, mode: None })?;
    println!(
        "Disarmed: PAM does not ask the gate any more. Running sessions go on; grants and the journal stay."
    );
    Ok(())
}

/// Puts back what was before `arm --rollback`, unless it was confirmed meanwhile. With `if_due` only once its time is over or in another
/// boot; before that its timer is started again if it is gone.
pub(crate) fn roll_back(if_due: bool) -> Result<(), Failure> {
    root_only("disarm --rollback")?;
    let paths = Paths::system();
    let _lock = lock(&paths)?;
    if if_due
        && let Ok(Some(record)) = rollback::read(&paths)
        && !rollback::is_due(&paths, &record)
    {
        println!("It is not the time yet to put PAM back.");
        return rollback::ensure_timer(record.left(boottime_ms()));
    }
    // A record that cannot be read must not leave a host without a way in: the gate goes out of PAM.
    let before = match rollback::read(&paths) {
        Ok(None) => {
            println!("Nothing to put back: it was confirmed.");
            return Ok(());
        }
        Ok(Some(record)) => record.before,
        Err(failure) => {
            eprintln!("stintd: {failure}");
            Before { wired: false, mode: None }
        }
    };
    put_back(&paths, &before)?;
    println!("`stintd arm --rollback` was not confirmed: PAM is as it was before.");
    Ok(())
}

fn before(paths: &Paths) -> Result<Before, Failure> {
    let mode = files::read(&paths.mode(), 64).map_err(Failure::failed)?;
    let mode = mode.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Ok(Before { wired: pam::wiring(&CommonFiles::read(&paths.pam)) == Wiring::Whole, mode })
}

fn record(before: Before, after: Duration) -> Result<Record, Failure> {
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    Ok(Record {
        mark: rollback::new_mark()?,
        deadline_boottime_ms: boottime_ms().saturating_add(millis),
        armed_by: login::current(),
        before,
    })
}

/// The mode first: lines without it would enforce.
fn wire(paths: &Paths, mode: &str) -> Result<(), Failure> {
    files::replace(&paths.mode(), format!("{mode}\n").as_bytes(), 0o644).map_err(Failure::failed)?;
    sshd::install(paths)?;
    pam_auth_update(&["--enable"])?;
    match pam::wiring(&CommonFiles::read(&paths.pam)) {
        Wiring::Whole => {}
        Wiring::None => {
            return Err(Failure::new(Exit::Check, "pam-auth-update did not put the lines into /etc/pam.d/common-*").next(
                "the files were changed by hand: keep a copy, run `pam-auth-update --force`, put your changes in again, then arm",
            ));
        }
        Wiring::Broken(problems) => {
            return Err(Failure::new(
                Exit::Check,
                format!("the PAM lines do not stand right: {}", problems.join("; ")),
            )
            .next("mend /etc/pam.d/common-*, then run `stintd arm` again"));
        }
    }
    tell_warden();
    wait_for_warden(paths, mode);
    // sudo is slower without, and nothing else.
    if let Err(failure) = fast_moves::run() {
        println!("note: {failure}");
    }
    Ok(())
}

/// The lines first: without them the mode is nobody's business.
fn put_back(paths: &Paths, before: &Before) -> Result<(), Failure> {
    if !before.wired {
        // It leaves files that were edited by hand as they are: our lines, and no others, are taken out of those here.
        if let Err(failure) = pam_auth_update(&["--remove"]) {
            eprintln!("stintd: {failure}");
        }
        take_lines_out(paths)?;
        if pam::wiring(&CommonFiles::read(&paths.pam)) != Wiring::None {
            return Err(Failure::failed(
                "our lines still stand in /etc/pam.d/common-*: the gate is still asked",
            )
            .next("take the lines with pam_stint.so out of them by hand"));
        }
    }
    if !before.wired {
        sshd::remove(paths)?;
    }
    match &before.mode {
        Some(mode) => files::replace(&paths.mode(), format!("{mode}\n").as_bytes(), 0o644),
        None => files::remove(&paths.mode()),
    }
    .map_err(Failure::failed)?;
    rollback::forget(paths)?;
    rollback::stop_timer();
    tell_warden();
    let mode = if before.wired { before.mode.as_deref().unwrap_or("enforce") } else { "inert" };
    wait_for_warden(paths, mode);
    Ok(())
}

fn take_lines_out(paths: &Paths) -> Result<(), Failure> {
    for name in pam::COMMON_FILES {
        let path = paths.pam.join(name);
        let Ok(text) = std::fs::read(&path) else { continue };
        if let Some(without) = pam::without_our_lines(&text) {
            eprintln!("stintd: {} was changed by hand: our lines are taken out of it", path.display());
            files::replace(&path, &without, 0o644).map_err(Failure::failed)?;
        }
    }
    Ok(())
}

/// `--package` asks nobody. `--enable` and `--remove` take the profiles' names.
fn pam_auth_update(what: &[&str]) -> Result<(), Failure> {
    let arguments = [&["--package"], what, &PROFILES].concat();
    let answer = system::run_with("pam-auth-update", &arguments, &[("DEBIAN_FRONTEND", "noninteractive")])?;
    if answer.ok {
        return Ok(());
    }
    Err(Failure::failed(format!("`pam-auth-update {}` failed: {}", arguments.join(" "), answer.last_words())))
}

/// The warden reads the mode anew. One that does not run reads it when it starts.
fn tell_warden() {
    if system::unit_state("stint-warden.service") != "active" {
        return;
    }
    let told =
        system::must("systemctl", &["kill", "--signal=HUP", "--kill-who=main", "stint-warden.service"]);
    if let Err(failure) = told {
        eprintln!("stintd: the warden was not told: {failure}; run `systemctl restart stint-warden`");
    }
}

/// Until the warden has done what it does in another mode, sshd's files among that: whoever logs in next meets it whole.
fn wait_for_warden(paths: &Paths, mode: &str) {
    if system::unit_state("stint-warden.service") != "active" {
        return;
    }
    let end = Instant::now() + SETTLING;
    let is_there = || status::read(paths).is_ok_and(|found| found.is_some_and(|found| found.mode == mode));
    while !is_there() {
        if Instant::now() >= end {
            eprintln!("stintd: the warden has not said that it is in mode {mode}: see `stintd status`");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One of arm, confirm and disarm at a time: a timer that fires during a confirmation waits.
fn lock(paths: &Paths) -> Result<Flock<File>, Failure> {
    let path = paths.run.join("arm.lock");
    files::ensure_dir(&paths.run, 0o755).map_err(Failure::failed)?;
    let file = files::create(&path, 0o600).map_err(Failure::failed)?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| Failure::failed(format!("{} could not be locked: {error}", path.display())))
}
