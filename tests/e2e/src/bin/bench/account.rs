//! The account call of the module against pam_permit, pam_access and pam_unix, in turns in one run, on gates of several
//! sizes; and where its time goes.
//!
//! Each twice: in one process, where a module that asks to stay loaded does; and ("fresh") in a process of its own for each
//! call, which pays for loading every module, as sshd and sudo do.

use std::fs;
use std::path::Path;
use std::time::Instant;

use stint_e2e::Packages;
use stint_grant::decision::{Purpose, Question, Verdict, decide};
use stint_grant::gate::{Current, GateFiles, OpenGate, generation_dir, user_file};
use stint_grant::host_config::HostConfig;
use stint_grant::time::{ClockReading, Floor, UnixTime};
use stint_lab::{Host, Lab};

use crate::compile::install;
use crate::gate::{self, Gate, layout};
use crate::report::{Case, close};

type Done = Result<(), Box<dyn std::error::Error>>;

const ROUNDS: usize = 2000;
/// Each in a process of its own.
const FRESH_ROUNDS: usize = 500;
/// Case, other accounts with one grant each, alice's own.
const CASES: &[(&str, usize, usize)] = &[
    ("grants-1", 0, 1),
    ("grants-100", 99, 1),
    ("grants-1000", 999, 1),
    ("grants-10000", 9_999, 1),
    ("own-10", 0, 10),
    ("own-100", 0, 100),
    ("own-256", 0, stint_grant::bundle::MAX_GRANTS_PER_USER),
];
const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_stint.so";
/// The module's line stands alone in a service that the gate covers.
const STACKS: &str = "mkdir -p /root/stacks && cd /root/stacks
echo 'account [success=ok ignore=ignore default=die] pam_stint.so account' > sshd
echo 'account required pam_permit.so' > permit
echo 'account required pam_access.so' > access
echo 'account required pam_unix.so' > unix";

/// Runs it.
pub(crate) fn run() -> Done {
    let lab = Lab::new()?;
    let host = lab.host("web-01")?;
    host.install_deb(&Packages::find().host)?;
    host.sh(STACKS)?.check("writing the stacks")?;
    install(&host, "pam_call.c", &["-lpam"])?;

    let (mut cases, mut breakdown) = (Vec::new(), Vec::new());
    for (name, others, own) in CASES {
        let (floor, reading) = clock(&host)?;
        let gate = gate::make(&layout(*others, *own), floor)?;
        let dir = host.root_path()?.join("var/lib/stint/gate");
        gate::write(&gate, &dir)?;
        for (way, rounds, prefix) in [("resident", ROUNDS, ""), ("fresh", FRESH_ROUNDS, "fresh ")] {
            let line =
                format!("/root/pam_call {way} /root/stacks {rounds} alice {MODULE} sshd permit access unix");
            let run = host.sh(&line)?.check("timing PAM calls")?;
            let timed = |service: &str| read_line(&run.stdout, service, prefix);
            let (own_call, permit, access, unix) =
                (timed("sshd")?, timed("permit")?, timed("access")?, timed("unix")?);
            let case = Case { name: format!("{prefix}{name}"), ..own_call };
            cases.push(
                case.against("pam_unix", &unix).against("pam_permit", &permit).against("pam_access", &access),
            );
            if *name == "grants-1" {
                cases.extend([permit, access, unix]);
                breakdown.push(Case { name: format!("{prefix}dlopen and dlclose"), ..timed("dlopen")? });
            }
        }
        breakdown.extend(parts(name, &gate, &dir, &reading)?);
    }
    close("account", &cases)?;
    close("account-breakdown", &breakdown)
}

/// The host's clocks, as the warden and the module read them.
fn clock(host: &Host) -> Result<(Floor, ClockReading), Box<dyn std::error::Error>> {
    let said = host.sh("cat /proc/sys/kernel/random/boot_id; date +%s; cut -d' ' -f1 /proc/uptime")?;
    let [boot_id, wall, uptime] = said.stdout.lines().collect::<Vec<_>>()[..] else {
        return Err(format!("the host's clocks: {said}").into());
    };
    let boottime_ms: u64 = uptime.replace('.', "").parse::<u64>()? * 10;
    let time = UnixTime(wall.parse()?);
    let boot_id = boot_id.to_owned();
    Ok((
        Floor { time, boot_id: boot_id.clone(), boottime_ms },
        ClockReading { wall: time, boottime_ms, boot_id },
    ))
}

/// `NAME ANSWER P50 P99` of the caller. An answer that is not success would be a bench of a refusal.
fn read_line(text: &str, service: &str, prefix: &str) -> Result<Case, Box<dyn std::error::Error>> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(service));
    let line = line.ok_or_else(|| format!("no times of {service} in {text:?}"))?;
    let [_, answer, p50, p99] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("not a line of times: {line:?}").into());
    };
    if answer != "0" {
        return Err(format!("{service} answered {answer}, not success").into());
    }
    let name = format!("{prefix}pam_{service}");
    Ok(Case::new(name, p50.parse::<f64>()? / 1000.0, p99.parse::<f64>()? / 1000.0, "us"))
}

/// What the module does inside, timed apart.
fn parts(
    name: &str,
    gate: &Gate,
    dir: &Path,
    reading: &ClockReading,
) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let config = HostConfig::default();
    let user = "alice".parse()?;
    let generation = dir.join(generation_dir(gate.current.generation));
    let (mut reads, mut opens, mut decisions) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let current = fs::read(dir.join("current"))?;
        let root = fs::read(generation.join("root.json"))?;
        let head = fs::read(generation.join("head.json"))?;
        let account = fs::read(generation.join("users").join(user_file("alice")))?;
        reads.push(micros(start));

        let start = Instant::now();
        let current = Current::parse(&current)?;
        let files = GateFiles { root: &root, head: &head, user: Some(&account) };
        let open = OpenGate::open(&current, &files, &user, reading)?;
        opens.push(micros(start));

        let start = Instant::now();
        let question =
            Question { purpose: Purpose::Login { service: "sshd" }, origin: None, credentials: None };
        let verdict = decide(&open, &config, &question);
        decisions.push(micros(start));
        if let Verdict::Deny(denial) = verdict {
            return Err(format!("the bench's own gate denies: {denial:?}").into());
        }
    }
    Ok(vec![
        Case::of(format!("{name}: reads"), reads, "us"),
        Case::of(format!("{name}: parse and verify"), opens, "us"),
        Case::of(format!("{name}: decide"), decisions, "us"),
    ])
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}
