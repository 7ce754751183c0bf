//! From the end of a window, and from a revocation, to the last process dead: 300 of them, all deaf to TERM and HUP.

use std::fs;
use std::time::{Duration, Instant};

use stint_e2e::{Fleet, HOST, unix_now};
use stint_lab::{Session, until};

use crate::report::{Case, close};

type Failed = Box<dyn std::error::Error>;

const ROUNDS: usize = 12;
const PROCESSES: usize = 300;
/// At the end of a window sessions are asked to end; this long after comes the hard stop.
const GRACE: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(30);
/// Between two looks at the processes: the resolution of what is measured.
const RESOLUTION: Duration = Duration::from_millis(1);

/// The end of a window.
pub(crate) fn window() -> Result<(), Failed> {
    let fleet = Fleet::new()?;
    let mut late = Vec::new();
    for round in 0..ROUNDS {
        let id = fleet.grant("web-login", "15s")?;
        let end = fleet.end_of(&id)?;
        let (session, processes) = deaf_processes(&fleet)?;
        wait_until_dead(&processes)?;
        late.push((unix_now() - end) * 1e3);
        eprintln!("    round {round}: {:.0} ms after the end", (unix_now() - end) * 1e3);
        drop(session);
    }
    let hard = late.iter().map(|ms| ms - GRACE.as_secs_f64() * 1e3).collect();
    let cases = [
        Case::of(format!("from the end of the window, {PROCESSES} processes"), late, "ms"),
        Case::of(format!("from the hard stop, {PROCESSES} processes"), hard, "ms"),
    ];
    close("end", &cases)
}

/// A revocation, from the call to the last process dead; and how soon the broker knew.
pub(crate) fn revocation() -> Result<(), Failed> {
    let fleet = Fleet::new()?;
    let (mut dead, mut known) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let id = fleet.grant("web-login", "10m")?;
        let (session, processes) = deaf_processes(&fleet)?;
        let start = Instant::now();
        let mut call = fleet.carol.start(&["grant", "revoke", &id, "--reason", "bench"])?;
        wait_until_dead(&processes)?;
        dead.push(start.elapsed().as_secs_f64() * 1e3);
        eprintln!("    round {round}: {:.0} ms after the call", start.elapsed().as_secs_f64() * 1e3);
        call.wait()?;
        drop(session);
        let effect = fleet.admin.json(&["grant", "show", &id])?;
        known.extend(effect["effect"]["hosts"][0]["effective_after_ms"].as_f64());
    }
    let mut cases = vec![Case::of(format!("revocation, {PROCESSES} processes"), dead, "ms")];
    if !known.is_empty() {
        cases.push(Case::of("revocation, acknowledged by the host", known, "ms"));
    }
    close("revoke", &cases)
}

/// Opens a session and starts the processes in it. Answers their ids on this machine.
fn deaf_processes(fleet: &Fleet) -> Result<(Session, Vec<u32>), Failed> {
    let mut session = fleet.host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line(&format!(
        "trap '' TERM HUP; for i in $(seq {PROCESSES}); do sleep 1000 & done; echo star''ted"
    ))?;
    session.wait_for("started", BOUND)?;
    let mut found = Vec::new();
    until("the processes to run", BOUND, || {
        found = sleepers(fleet.lab.id());
        found.len() >= PROCESSES
    })?;
    Ok((session, found))
}

/// The processes of the lab's host that sleep for the bench.
fn sleepers(lab: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("cmdline") == "sleep\x001000\x00" && read("cgroup").contains(&format!("{lab}/{HOST}"))
    };
    pids.filter(ours).collect()
}

fn wait_until_dead(processes: &[u32]) -> Result<(), Failed> {
    let mut left = processes.to_vec();
    let start = Instant::now();
    while !left.is_empty() {
        left.retain(|pid| fs::metadata(format!("/proc/{pid}")).is_ok());
        if start.elapsed() > Duration::from_mins(2) {
            return Err(format!("{} of {} processes still live", left.len(), processes.len()).into());
        }
        std::thread::sleep(RESOLUTION);
    }
    Ok(())
}
