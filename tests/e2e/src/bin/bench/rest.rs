//! An armed host at rest: how often warden and courier wake, why, and what memory they hold.
//!
//! A wake-up is a return from a wait: of `epoll_wait`, of a lock, of a sleep, that took longer than a moment, in any thread. strace counts
//! them. What a process gave the processor up for by itself is told beside it: those are wake-ups, and waits for the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use stint_e2e::{Fleet, Options};
use stint_lab::Host;

use crate::report::{Case, close};

type Done = Result<(), Box<dyn std::error::Error>>;

/// What is left to do after arming is done by then.
const SETTLING: Duration = Duration::from_secs(45);
/// With the record that is written every five minutes though nothing happens.
const MINUTES: u32 = 5;
/// How often the broker sends a pulse and asks whether a connection lives, if nobody says otherwise.
const DEFAULTS: [&str; 2] = ["60s", "2m"];
/// A wait that took no longer was over before it began.
const MOMENT_SECONDS: f64 = 0.000_3;
/// All in which a thread can wait for something else than the disk.
const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,select,pselect6,futex,clock_nanosleep,nanosleep,wait4,waitid";
const NAMES: [&str; 2] = ["warden", "courier"];

/// Runs it.
pub(crate) fn run() -> Done {
    let [pulse_interval, keep_alive] = DEFAULTS.map(str::to_owned);
    let fleet = Fleet::with(&Options { pulse_interval, keep_alive, ..Options::default() })?;
    let host = &fleet.host;
    thread::sleep(SETTLING);
    let mut cases = Vec::new();
    for (what, field) in [("PSS", "Pss"), ("RSS", "Rss")] {
        let mut all = 0.0;
        for who in NAMES {
            let kib =
                number(host, &format!("awk '/^{field}:/ {{print $2}}' /proc/{}/smaps_rollup", pid(who)))?;
            all += kib / 1024.0;
            cases.push(Case::new(format!("{who} {what}"), kib / 1024.0, kib / 1024.0, "MiB"));
        }
        cases.push(Case::new(format!("together, {what}"), all, all, "MiB"));
    }
    let before = [switches(host, NAMES[0])?, switches(host, NAMES[1])?];
    thread::sleep(Duration::from_mins(u64::from(MINUTES)));
    let after = [switches(host, NAMES[0])?, switches(host, NAMES[1])?];
    let wakes = watch(host)?;
    let minutes = f64::from(MINUTES);
    let mut all = 0.0;
    for (who, (switches, wakes)) in NAMES.iter().zip(after.iter().zip(before).map(|(a, b)| a - b).zip(wakes))
    {
        all += wakes / minutes;
        cases.push(Case::new(format!("{who} wake-ups"), wakes / minutes, wakes / minutes, "/min"));
        cases.push(Case::new(format!("{who} switches"), switches / minutes, switches / minutes, "/min"));
    }
    cases.push(Case::new("together, wake-ups", all, all, "/min"));
    close("rest", &cases)
}

/// Has strace watch both for some minutes, and counts their wake-ups. Which waits ended is printed.
fn watch(host: &Host) -> Result<[f64; 2], Box<dyn std::error::Error>> {
    let seconds = MINUTES * 60;
    let line = NAMES.map(|who| {
        format!(
            "timeout {seconds} strace -f -qq -ttt -T -e trace={WAITS} -o /root/{who}.trace -p {}",
            pid(who)
        )
    });
    // `timeout` ends it, which is no failure.
    host.sh(&format!("{} & {} & wait", line[0], line[1]))?;
    let mut counts = [0.0; 2];
    for (who, count) in NAMES.iter().zip(&mut counts) {
        let path = host.root_path()?.join(format!("root/{who}.trace"));
        let waits = waits(&path)?;
        println!("    {who} woke from: {waits:?}");
        *count = waits.values().sum::<u32>().into();
    }
    Ok(counts)
}

/// How many waits of each kind ended, that had begun in the time and were waits.
fn waits(trace: &Path) -> Result<BTreeMap<String, u32>, Box<dyn std::error::Error>> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(trace)?.lines() {
        // PID TIME CALL(...) = RESULT <SECONDS>; a call that another thread's came into is told in two lines, the second with its time.
        let seconds = line.rsplit_once('<').and_then(|(_, s)| s.trim_end_matches('>').parse::<f64>().ok());
        let call = line.split_ascii_whitespace().nth(2).unwrap_or_default();
        let name = match call.strip_prefix("<...") {
            Some(_) => line.split_ascii_whitespace().nth(3).unwrap_or_default(),
            None => call.split('(').next().unwrap_or_default(),
        };
        if seconds.is_some_and(|seconds| seconds > MOMENT_SECONDS) {
            *found.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(found)
}

/// Words of the shell that become the process's number.
fn pid(who: &str) -> String {
    format!("$(pgrep -xf '/usr/sbin/stintd {who}')")
}

/// Times at which a thread of the process gave up the processor by itself, since it began.
fn switches(host: &Host, who: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let line =
        format!("cat /proc/{}/task/*/status | awk '/^voluntary/ {{n += $2}} END {{print n}}'", pid(who));
    number(host, &line)
}

fn number(host: &Host, line: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let said = host.sh(line)?.check("looking at a process")?;
    Ok(said.stdout.trim().parse()?)
}
