//! The warden's loop: one thread, one thing at a time.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use stint_grant::register::SessionKind;
use stint_grant::time::UnixTime;
use stint_log::record::Event;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::clients::{self, Message};
use super::sockets::Sockets;
use super::timers::{ClockWatch, Deadline};
use super::warden::{Courier, Warden};
use super::warnings::Warnings;
use super::{report, time};
use crate::journal::Recorder;

/// Records are committed together, at most so long after the first.
const COMMIT_AFTER: Duration = Duration::from_millis(5);
/// How often configuration is looked at, and what failed is tried again.
const ROUND: Duration = Duration::from_secs(2);
/// Every so many rounds everything is made to be as it should, whether or not anything was heard.
const ROUNDS_TO_RECONCILE: u32 = 30;
/// Every so many rounds a record is written though nothing happened, so that silence shows.
const ROUNDS_TO_HEARTBEAT: u32 = 150;
/// The status file is written at most this often.
const STATUS_AFTER: Duration = Duration::from_millis(200);
/// What may wait for the loop.
const QUEUE: usize = 1024;

/// Runs until somebody asks it to stop. Everything was put in force before; what is in force stays so afterwards.
pub(super) async fn run(warden: &mut Warden, sockets: Sockets) -> io::Result<()> {
    let (to_loop, mut heard) = mpsc::channel(QUEUE);
    tokio::spawn(clients::take_couriers(sockets.courier, courier_uid(), to_loop.clone()));
    tokio::spawn(clients::take_registrations(sockets.warden, to_loop.clone()));
    tokio::spawn(clients::hear_decisions(sockets.decisions, to_loop));

    let mut deadline = Deadline::new()?;
    let mut clock = ClockWatch::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive =
        interval(sd_notify::watchdog_enabled().map_or(Duration::from_secs(10), |bound| bound / 3));
    let mut round: u32 = 0;
    let mut commit_at: Option<Instant> = None;
    let mut status_at: Option<Instant> = None;
    let mut mode_told = None;

    notify(&[NotifyState::Ready]);
    loop {
        deadline.set(next_deadline(warden))?;
        tokio::select! {
            message = heard.recv() => match message {
                Some(message) => hear(warden, message).await,
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
                // What fails stays pending, and the next round tries again.
                let _ = warden.commit();
                commit_at = None;
                warden.serve_courier();
                continue;
            }
            () = at(status_at), if status_at.is_some() => {
                status_at = None;
                report::write(warden);
                continue;
            }
            _ = rounds.tick() => {
                round = round.wrapping_add(1);
                one_round(warden, round).await;
            }
            _ = alive.tick() => {
                notify(&[NotifyState::Watchdog]);
                continue;
            }
            _ = hangup.recv() => {
                notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]);
                warden.look_at_config().await;
                notify(&[NotifyState::Ready]);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        warden.serve_courier();
        if warden.journal.is_pending() && warden.journal.fault().is_none() {
            commit_at = commit_at.or(Some(Instant::now() + COMMIT_AFTER));
        }
        status_at = status_at.or(Some(Instant::now() + STATUS_AFTER));
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
        }
        Message::Decision(note) => warden.note_decision(*note),
    }
}

/// Looks at the configuration, tries again what failed, and from time to time makes everything be as it should.
async fn one_round(warden: &mut Warden, round: u32) {
    warden.look_at_config().await;
    if !warden.keeper.is_written()
        || warden.keeper.fault().is_some()
        || round.is_multiple_of(ROUNDS_TO_RECONCILE)
    {
        warden.time_passed().await;
    }
    if warden.faults.sudo.is_some() || round.is_multiple_of(ROUNDS_TO_RECONCILE) {
        warden.read_clocks();
        warden.look_at_module();
        warden.reconcile_drop_ins();
    }
    if round.is_multiple_of(ROUNDS_TO_HEARTBEAT) {
        warden.read_clocks();
        warden.journal.record(Event::Heartbeat {});
    }
    if warden.journal.fault().is_some() {
        let _ = warden.commit();
    }
}

/// The next moment, in milliseconds of CLOCK_BOOTTIME, at which something is due.
fn next_deadline(warden: &Warden) -> Option<u64> {
    let sessions = warden.enforcer.next_deadline();
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
