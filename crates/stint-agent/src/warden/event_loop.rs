//! The warden's loop: one thread, one thing at a time.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use stint_grant::register::SessionKind;
use stint_grant::time::UnixTime;
use stint_log::record::Event;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::changes::{Changed, Changes};
use super::clients::{self, Message};
use super::gate::Look;
use super::logins::Logins;
use super::sockets::Sockets;
use super::timers::{ClockWatch, Deadline};
use super::warden::{Courier, Warden};
use super::warnings::Warnings;
use super::{report, sudo_log, time};
use crate::journal::Recorder;
use crate::rhythm::{Retry, Round, Rounds, Standing};

/// Records are committed together, at most so long after the first.
const COMMIT_AFTER: Duration = Duration::from_millis(5);
/// What belongs together, such as all files of PAM's, is changed within this time and looked at once.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// Sessions end by the dozen, and it is looked at all of them together.
const TIDY_AFTER: Duration = Duration::from_secs(1);
/// The status file is written at most this often.
const STATUS_AFTER: Duration = Duration::from_millis(200);
/// What may wait for the loop.
const QUEUE: usize = 1024;

/// Runs until somebody asks it to stop. Everything was put in force before; what is in force stays so afterwards.
pub(super) async fn run(warden: &mut Warden, sockets: Sockets) -> io::Result<()> {
    let (to_loop, mut heard) = mpsc::channel(QUEUE);
    tokio::spawn(clients::take_couriers(sockets.courier, courier_uid(), to_loop.clone()));
    tokio::spawn(clients::take_registrations(sockets.warden, to_loop.clone()));
    tokio::spawn(clients::hear_decisions(sockets.decisions, to_loop.clone()));
    // Before anything new is recorded: what lies open then has nobody who would close it.
    sudo_log::close_what_lies_open(&warden.paths.recordings(), &warden.outgoing, to_loop.clone())?;
    match sockets.sudo {
        Some(listener) => sudo_log::start(listener, warden.paths.recordings(), to_loop.clone())?,
        None => warden.nobody_hears_sudo(),
    }
    let mut logins = Logins::new(to_loop.clone());
    let mut log = sudo_log::Follow::new(to_loop);

    let mut deadline = Deadline::new()?;
    let mut clock = ClockWatch::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut rounds = Rounds::new(Instant::now(), sd_notify::watchdog_enabled());
    let mut retry = Retry::default();
    let mut changes = Changes::new(&warden.paths);
    // What changed before it was watched is found by the first round, which is due at once.
    let mut unseen = Changed::default();
    let mut look_at: Option<Instant> = None;
    let mut commit_at: Option<Instant> = None;
    let mut status_at: Option<Instant> = None;
    let mut shown = None;
    let mut mode_told = None;

    notify(&[NotifyState::Ready]);
    loop {
        deadline.set(next_deadline(warden))?;
        // At rest the loop is not woken once more only to show what it has just heard.
        let mut shows_now = false;
        tokio::select! {
            message = heard.recv() => match message {
                Some(message) => {
                    // Whether somebody armed or disarmed the host a moment ago: asked before anything depends on it.
                    unseen = unseen.and(changes.take());
                    if message.depends_on_mode() && (unseen.config || changes.is_blind()) {
                        warden.look_at_config().await;
                        unseen.config = false;
                    }
                    shows_now = matches!(message, Message::CourierSays { .. });
                    if let Message::LoginClosed { login } = &message {
                        logins.forget(login);
                        warden.note_over(login);
                        unseen.sessions = true;
                        look_at = look_at.or(Some(Instant::now() + LOOK_AFTER));
                    }
                    hear(warden, message).await;
                }
                None => break,
            },
            woken = deadline.reached() => {
                woken?;
                warden.time_passed().await;
            }
            jumped = clock.jumped() => {
                jumped?;
                warden.clock_set().await;
            }
            () = at(commit_at), if commit_at.is_some() => {
                commit_at = None;
                // What fails stays pending and is tried again: below it is seen that it failed.
                if warden.commit().is_ok() {
                    warden.serve_courier();
                    continue;
                }
            }
            () = at(status_at), if status_at.is_some() => {
                (status_at, shown) = (None, Some(Instant::now()));
                report::write(warden);
                continue;
            }
            heard = changes.heard() => {
                heard?;
                unseen = unseen.and(changes.take());
                if !unseen.is_nothing() {
                    let soon = Instant::now() + if unseen.can_wait() { TIDY_AFTER } else { LOOK_AFTER };
                    look_at = Some(look_at.map_or(soon, |at| at.min(soon)));
                }
                continue;
            }
            () = at(look_at), if look_at.is_some() => {
                look_at = None;
                let changed = std::mem::take(&mut unseen);
                changes.mend();
                look(warden, changed).await;
            }
            () = at(retry.next()), if retry.next().is_some() => {
                retry.begin();
                try_again(warden, &mut changes).await;
            }
            () = sleep_until(rounds.next()) => {}
            _ = hangup.recv() => {
                notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]);
                warden.look_at_config().await;
                notify(&[NotifyState::Ready]);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if let Some(round) = rounds.take(Instant::now()) {
            changes.mend();
            one_round(warden, round).await;
            notify(&[NotifyState::Watchdog]);
        }
        if changes.follow(&warden.enforcer.watched_groups()) {
            unseen.sessions = true;
            look_at = look_at.or(Some(Instant::now() + TIDY_AFTER));
        }
        let commands = warden.awaited.logins();
        logins.follow(warden.logins_to_end_with().into_iter().chain(commands).collect());
        let now_ms = time::boottime_ms();
        log.set(warden.awaited.listens(now_ms), || warden.awaited.wanted(now_ms));
        retry.look(Instant::now(), standing(warden, &changes));
        Box::pin(warden.free_what_is_held()).await;
        // Apart from the rest of the loop, which has room for what happens at every turn.
        Box::pin(warden.look_for_residue()).await;
        warden.serve_courier();
        if warden.journal.is_pending() && warden.journal.fault().is_none() {
            commit_at = commit_at.or(Some(Instant::now() + COMMIT_AFTER));
        }
        if shows_now && shown.is_none_or(|shown: Instant| shown.elapsed() >= STATUS_AFTER) {
            (status_at, shown) = (None, Some(Instant::now()));
            report::write(warden);
        } else {
            status_at = status_at.or(Some(Instant::now() + STATUS_AFTER));
        }
        if mode_told != Some(warden.mode) {
            mode_told = Some(warden.mode);
            let line = report::one_line(warden);
            notify(&[NotifyState::Status(&line)]);
        }
    }
    notify(&[NotifyState::Stopping]);
    warden.read_clocks();
    warden.journal.record(Event::AgentStopped { why: "asked to stop".to_owned() });
    let _ = warden.commit();
    report::write(warden);
    Ok(())
}

async fn hear(warden: &mut Warden, message: Message) {
    match message {
        Message::CourierCame { id, to } => {
            tracing::info!("the courier came");
            warden.journal.disconnected();
            warden.outgoing.disconnected();
            warden.courier = Some(Courier { id, to, online: false });
        }
        Message::CourierSays { id, what, heard } => {
            if warden.courier.as_ref().is_some_and(|courier| courier.id == id) {
                warden.hear_courier(*what).await;
            }
            drop(heard);
        }
        Message::CourierLeft { id } => {
            if warden.courier.as_ref().is_some_and(|courier| courier.id == id) {
                warden.courier = None;
                warden.journal.disconnected();
                warden.outgoing.disconnected();
            }
        }
        Message::Register { register, answer, .. }
            if register.kind == SessionKind::Elevation && answer.is_closed() =>
        {
            // The module has refused it already. Its pid may be another process's by now: nothing is moved.
            tracing::warn!(user = register.user, "an elevation that nobody waits for is not registered");
        }
        Message::Register { register, peer_pid, answer } => {
            let said = warden.register(*register, peer_pid).await;
            // Whoever asked may be gone; PID 1 holds the limit of what opened all the same.
            let _ = answer.send(said);
            // It goes out before the journal is read to be shipped: sudo waits for it.
            tokio::task::yield_now().await;
            warden.enforcer.doubt_login(peer_pid);
        }
        // Whoever typed a code and left loses none: it is not looked at.
        Message::TryCode { attempt, answer } if !answer.is_closed() => {
            let _ = answer.send(warden.try_code(*attempt));
        }
        Message::IsLastWindowOver { grant, answer } => {
            // Whoever asked may be gone.
            let _ = answer.send(warden.is_last_window_over(&grant));
        }
        Message::CodeChecked { trial, right, answer } if !answer.is_closed() => {
            let said = Box::pin(warden.code_checked(*trial, right)).await;
            let _ = answer.send(said);
        }
        Message::Decision(note) => warden.note_decision(*note).await,
        Message::Command { told, recorded } => {
            // Whoever told it may be gone; it is on record all the same.
            let _ = recorded.send(warden.note_command(*told));
        }
        Message::RecordingCut { run, io } => warden.note_cut(run, io),
        Message::Stranger { detail } => warden.note_stranger(detail),
        Message::Logged(entry) => warden.note_logged(&entry),
        Message::JournalLost { detail } => warden.journal_lost(detail),
        // A login is looked at with all that has closed about now, and a code that nobody waits for is not looked at.
        Message::LoginClosed { .. } | Message::TryCode { .. } | Message::CodeChecked { .. } => {}
    }
}

/// Looks at what somebody has changed.
async fn look(warden: &mut Warden, changed: Changed) {
    if changed.config {
        warden.look_at_config().await;
    }
    if changed.module {
        warden.look_at_module();
        warden.note_module_change();
    }
    if changed.freed {
        warden.read_clocks();
        warden.note_freed();
        warden.time_passed().await;
        warden.reconcile_ssh();
    }
    if changed.drop_ins || changed.freed {
        warden.read_clocks();
        warden.reconcile_drop_ins();
    }
    if changed.sessions {
        warden.read_clocks();
        warden.enforcer.tidy(&mut warden.journal);
        warden.end_on_logout().await;
    }
    if changed.groups {
        warden.reconcile_groups(false).await;
    }
}

/// Makes everything be as it should, whether or not anything was heard.
async fn one_round(warden: &mut Warden, round: Round) {
    warden.look_at_config().await;
    warden.time_passed().await;
    warden.look_at_gate(Look::Common).await;
    warden.look_at_module();
    warden.reconcile_drop_ins();
    warden.enforcer.tidy(&mut warden.journal);
    warden.reconcile_groups(true).await;
    warden.reconcile_ssh();
    warden.settle_sshd().await;
    warden.end_on_logout().await;
    if round.heartbeat {
        warden.outgoing.retry();
        warden.journal.record(Event::Heartbeat {});
    }
}

/// Whether anything is to be tried again.
fn standing(warden: &Warden, changes: &Changes) -> Standing {
    let waits = warden.steward.is_waiting();
    let failed = !warden.keeper.is_written()
        || warden.keeper.fault().is_some()
        || warden.faults.sudo.is_some()
        || warden.faults.ssh.is_some()
        || warden.sshd.is_due()
        || (!waits && warden.steward.is_unfinished(warden.in_force()))
        || warden.journal.fault().is_some()
        || warden.enforcer.doubts_limits()
        || warden.watch.waits_for_pam()
        || changes.is_blind();
    match (failed, waits) {
        (true, _) => Standing::Failed,
        (false, true) => Standing::UnderWay,
        (false, false) => Standing::Done,
    }
}

/// Tries again what has failed, and looks for itself where it cannot hear.
async fn try_again(warden: &mut Warden, changes: &mut Changes) {
    if changes.is_blind() {
        changes.mend();
        look(warden, Changed::EVERYTHING).await;
    }
    if !warden.keeper.is_written() || warden.keeper.fault().is_some() {
        warden.time_passed().await;
    }
    if warden.faults.sudo.is_some() {
        warden.read_clocks();
        warden.reconcile_drop_ins();
    }
    if warden.steward.is_unfinished(warden.in_force()) {
        warden.reconcile_groups(false).await;
    }
    if warden.faults.ssh.is_some() || warden.sshd.is_due() {
        warden.read_clocks();
        warden.reconcile_ssh();
        warden.settle_sshd().await;
    }
    if warden.watch.waits_for_pam() {
        warden.read_clocks();
        warden.look_at_pam(false);
    }
    if warden.enforcer.doubts_limits() {
        warden.settle_limits().await;
    }
    if warden.journal.fault().is_some() {
        let _ = warden.commit();
    }
}

/// The next moment, in milliseconds of CLOCK_BOOTTIME, at which something is due.
fn next_deadline(warden: &Warden) -> Option<u64> {
    let opened = warden.keeper.next_end_of_opened();
    let lines = warden.missed.next().into_iter().chain(warden.awaited.next(time::boottime_ms()));
    let after_sessions = warden.desk.next_deadline().into_iter().chain(lines).chain(opened);
    let sessions = warden.enforcer.next_deadline().into_iter().chain(after_sessions).min();
    let Some(reading) = time::read_clocks() else { return sessions };
    let floor = &warden.keeper.state().floor;
    let of = |at: UnixTime| time::boottime_of(at, floor, &reading);
    let grants = warden.keeper.now(&reading).and_then(|now| {
        let change = warden.keeper.next_change(now);
        let warning = Warnings::next(warden.keeper.live(), now);
        change.into_iter().chain(warning).min().and_then(of)
    });
    sessions.into_iter().chain(grants).min()
}

async fn at(instant: Option<Instant>) {
    if let Some(instant) = instant {
        sleep_until(instant).await;
    }
}

fn courier_uid() -> Option<u32> {
    nix::unistd::User::from_name("stint").ok().flatten().map(|user| user.uid.as_raw())
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
