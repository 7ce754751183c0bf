//! The start: everything is recomputed from durable state and put in force before systemd is told that the warden is ready.

use std::process::ExitCode;

use stint_grant::bundle::HostIdentity;
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_log::record::Event;
use stint_sudolog::sudo_rs::Pieces;

use super::accounts::Steward;
use super::allowance::Room;
use super::config;
use super::event_loop;
use super::keeper::Keeper;
use super::keys::{self, KeyFileError};
use super::paths::Paths;
use super::residue::{Desk, Holding};
use super::sessions::Enforcer;
use super::sockets;
use super::ssh::Sshd;
use super::store::{Store, StoreError};
use super::sudo_log;
use super::sudoers::Refusals;
use super::systemd::Bus;
use super::tampering;
use super::time;
use super::trust::{self, Trust, TrustError};
use super::warden::{Faults, Warden, wall_offset};
use super::warnings::Warnings;
use crate::journal::{AuthLog, Journal, JournalError, Recorder};

/// Why the warden does not run. The gate stands without it, and PID 1 holds every session's limit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WardenError {
    /// Not enrolled, or its trust is damaged.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// No identity key.
    #[error("{0}")]
    Key(#[from] KeyFileError),
    /// The durable state is damaged.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The journal cannot be opened.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// No clock.
    #[error("the clocks cannot be read: is /proc mounted?")]
    Clock,
    /// The kernel refused a socket or a timer.
    #[error("the warden's sockets or timers: {0}")]
    System(#[from] std::io::Error),
}

impl WardenError {
    /// Whether somebody holds a file of ours by a flag or a mount: once it is free, the next start goes well.
    fn is_held(&self) -> bool {
        match self {
            Self::Trust(TrustError::File(file))
            | Self::Key(KeyFileError::File(file))
            | Self::Store(StoreError::File(file))
            | Self::Journal(JournalError::File(file)) => file.is_held(),
            _ => false,
        }
    }
}

/// Runs the warden on this host until it is asked to stop.
pub(crate) fn run() -> ExitCode {
    match run_at(Paths::system()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the warden on a tree of files.
fn run_at(paths: Paths) -> Result<(), WardenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let started = start(paths, trust::machine()).await;
        if started.as_ref().is_err_and(WardenError::is_held)
            && let Err(error) = Bus::default().start_unit(tampering::FREE).await
        {
            tracing::error!(%error, "what holds stint's own files was not taken off");
        }
        let mut warden = started?;
        let sockets = sockets::open(&warden.paths)?;
        Ok(event_loop::run(&mut warden, sockets).await?)
    })
}

/// Puts in force what the durable state says.
pub(super) async fn start(
    paths: Paths,
    machine: Result<Sha256Hex, TrustError>,
) -> Result<Warden, WardenError> {
    let trust = trust::read(&paths)?;
    let identity = keys::load(&paths.identity_key())?;
    let me = HostIdentity { host: trust.host.clone(), key: PublicKey::of(&identity) };
    let reading = time::read_clocks().ok_or(WardenError::Clock)?;
    let floor = Store::open(paths.warden())?.state()?.floor;
    let now = floor.now(&reading).unwrap_or(reading.wall);
    let mode = config::mode(&paths);
    let host = trust.host.as_str();
    let mut journal = Journal::open(paths.journal(), host, identity.clone(), &reading.boot_id, now)?;
    journal.tell_auth_log(AuthLog::system()?);
    journal.record(Event::AgentStarted { version: env!("CARGO_PKG_VERSION").to_owned(), mode });

    let config = config::host_config(&paths);
    let malformed = config.as_ref().err().cloned();
    let config = config.inspect(|_| config::keep_good(&paths)).unwrap_or_else(|_| config::last_good(&paths));
    let keeper = Keeper::open(&paths, trust.clone(), me, config, &reading, &mut journal)?;
    let outgoing = sudo_log::Outgoing::of(paths.recordings());
    let mut warden = Warden {
        enforcer: Enforcer::new(&paths),
        desk: Desk::open(&paths),
        steward: Steward::open(&paths),
        faults: Faults { machine: other_machine(&trust, machine), ..Faults::default() },
        paths,
        trust,
        identity,
        keeper,
        journal,
        drop_in_refusals: Refusals::default(),
        sshd: Sshd::default(),
        warnings: Warnings::default(),
        mode,
        courier: None,
        owes_acknowledgement: false,
        unjudged_mark: None,
        last_refusal: None,
        room: Room::default(),
        observed: std::collections::BTreeSet::new(),
        outgoing,
        missed: sudo_log::Missed::default(),
        awaited: sudo_log::AwaitedLines::default(),
        pieces: Pieces::default(),
        wall_offset: wall_offset(&reading),
        standing_since_ms: None,
        watch: super::tampering::Watch::default(),
    };
    if let Some(cause) = malformed {
        warden.config_is_malformed(&cause);
    }
    if let Some(detail) = warden.faults.machine.clone() {
        warden.journal.record(Event::Alarm { what: "other-machine".to_owned(), detail });
    }
    if let Some(detail) = warden.keeper.codes_fault().map(str::to_owned) {
        warden.journal.record(Event::Alarm { what: "codes".to_owned(), detail });
    }
    warden.look_at_module();
    warden.note_module_change();
    warden.reconcile_drop_ins();
    warden.reconcile_ssh();
    warden.take_posture().await;
    let at = warden.moment(&reading);
    let mut recorder = Holding { journal: &mut warden.journal, drafts: &mut warden.desk.drafts };
    warden.enforcer.adopt(warden.keeper.live(), at, &mut recorder).await;
    warden.take_over_lines(&reading);
    warden.reconcile_groups(true).await;
    warden.settle_sshd().await;
    // A disk that is full keeps nobody's rights from ending: the loop tries again.
    let _ = warden.commit();
    Ok(warden)
}

/// The host's keys are bound to the machine: a disk that was copied is another one.
fn other_machine(trust: &Trust, machine: Result<Sha256Hex, TrustError>) -> Option<String> {
    match machine {
        Ok(machine) if machine == trust.machine => None,
        Ok(_) => Some(
            "this is not the machine that was enrolled (its machine-id is another): enrol it anew with `stintd enroll`"
                .to_owned(),
        ),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::warden::files::FileError;

    #[test]
    fn a_file_that_somebody_holds_is_told_from_one_that_is_damaged() {
        let file =
            |errno| FileError::new("remove", Path::new("gen-1"), std::io::Error::from_raw_os_error(errno));
        assert!(WardenError::Store(StoreError::File(file(libc::EPERM))).is_held());
        assert!(WardenError::Journal(JournalError::File(file(libc::EBUSY))).is_held());
        assert!(!WardenError::Store(StoreError::File(file(libc::EIO))).is_held());
        assert!(!WardenError::Clock.is_held());
    }
}
