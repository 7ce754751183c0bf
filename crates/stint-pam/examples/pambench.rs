//! Times a whole account call (start, acct_mgmt, end) of the module against pam_permit, pam_access and pam_unix, in turns, in one run; then
//! where the module's own time goes. `cargo build -p stint-pam --release --examples && target/release/examples/pambench [ROUNDS]`, as root.
//!
//! Twice: with the modules loaded already, as in a long-lived sshd, and each call in a process of its own, as in sudo. The account is
//! the machine's `daemon`, which pam_unix knows; the module looks it up by NSS as well, and takes uid 1 for managed.

#![allow(unsafe_code, reason = "fork")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::unistd::{ForkResult, fork, pipe};
use stint_grant::decision::{Purpose, Question, decide};
use stint_grant::gate::{Current, GateFiles, OpenGate, user_file};
use stint_grant::host_config::HostConfig;
use stint_grant::time::ClockReading;
use support::fixture::{Holding, Host, reading, terms, write};
use support::libpam::{Session, module};

const USER: &str = "daemon";
/// Service, other accounts with one grant each, the account's own grants.
const GATES: &[(&str, usize, usize)] =
    &[("grants-1", 0, 1), ("grants-100", 99, 1), ("grants-1000", 999, 1), ("own-100", 0, 100)];
const OTHERS: &[(&str, &str)] = &[
    ("unix", "account required pam_unix.so"),
    ("permit", "account required pam_permit.so"),
    ("access", "account required pam_access.so"),
];

fn grant_id(number: usize) -> String {
    let digit = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
    (0..8).map(|place| digit(number / 26_usize.pow(place))).collect()
}

fn host(others: usize, own: usize) -> Host {
    let host = Host::with(|host, plan| {
        plan.accounts.clear();
        let holding = |user: &str, from: usize, count: usize| Holding {
            grants: (from..from + count).map(|n| host.grant(&terms(&grant_id(n), user))).collect(),
            ..Holding::default()
        };
        plan.accounts.insert(USER.to_owned(), holding(USER, 0, own));
        for other in 0..others {
            let user = format!("u{other}");
            plan.accounts.insert(user.clone(), holding(&user, 1000 + other, 1));
        }
    });
    let toml = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/etc/host.toml");
    host.host_toml(&fs::read_to_string(toml).unwrap().replace("first_uid = 1000", "first_uid = 1"));
    host
}

/// The warden's part: without a reader the module would measure a refusal.
fn drain(host: &Host) {
    let socket = std::os::unix::net::UnixDatagram::bind(host.path("run/stint/decisions.sock")).unwrap();
    std::thread::spawn(move || while socket.recv(&mut [0; 16]).is_ok() {});
}

/// A stack to time: its name for people, its folder of services, and the service.
struct Stack<'a> {
    name: &'static str,
    host: &'a Host,
    service: &'static str,
}

impl Stack<'_> {
    fn call(&self) -> f64 {
        let start = Instant::now();
        let mut pam = Session::start(&self.host.path("pam"), self.service, USER)
            .caller(USER)
            .terminal("ssh")
            .remote("127.0.0.1");
        let code = pam.account();
        assert_eq!(code, 0, "{}: {}", self.name, pam.shown().join("; "));
        drop(pam);
        start.elapsed().as_secs_f64() * 1e6
    }

    fn call_in_a_new_process(&self) -> f64 {
        let (read, write): (OwnedFd, OwnedFd) = pipe().unwrap();
        // SAFETY: the child uses nothing of the other threads, which only read a socket.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let micros = self.call();
                fs::File::from(write).write_all(&micros.to_ne_bytes()).unwrap();
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                drop(write);
                let mut bytes = [0; 8];
                fs::File::from(read).read_exact(&mut bytes).unwrap();
                nix::sys::wait::waitpid(child, None).unwrap();
                f64::from_ne_bytes(bytes)
            }
        }
    }
}

fn report(name: &str, mut times: Vec<f64>, unit: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("  {name:<28} p50 {:8.1} us  p99 {:8.1} us  {:5.2} x pam_unix", at(50), at(99), at(50) / unit);
    at(50)
}

fn compare(title: &str, rounds: usize, stacks: &[Stack<'_>], fresh: bool) {
    let mut times = vec![Vec::new(); stacks.len()];
    for _ in 0..rounds {
        for (stack, times) in stacks.iter().zip(&mut times) {
            times.push(if fresh { stack.call_in_a_new_process() } else { stack.call() });
        }
    }
    println!("{title}");
    let mut unit = f64::NAN;
    for (stack, times) in stacks.iter().zip(times) {
        let p50 = report(stack.name, times, unit);
        if stack.name == "unix" {
            unit = p50;
        }
    }
}

fn parts(name: &str, host: &Host, rounds: usize) {
    let micros = |start: Instant| start.elapsed().as_secs_f64() * 1e6;
    let user = USER.parse().unwrap();
    let mut times: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let start = Instant::now();
        nix::unistd::User::from_name(USER).unwrap().unwrap();
        times[0].push(micros(start));
        let start = Instant::now();
        let toml = fs::read_to_string(host.path("etc/stint/host.toml")).unwrap();
        let config = HostConfig::parse(&toml).unwrap();
        times[1].push(micros(start));
        let start = Instant::now();
        let gate =
            pam_stint::files::Folder::base(host.dir.path()).unwrap().descend("var/lib/stint/gate").unwrap();
        let current = gate.read("current", 1 << 20).unwrap();
        let generation = gate.descend("gen-1").unwrap();
        let root = generation.read("root.json", 1 << 20).unwrap();
        let head = generation.read("head.json", 1 << 20).unwrap();
        let shard = generation.descend("users").unwrap().read(&user_file(USER), 1 << 20).unwrap();
        times[2].push(micros(start));
        let start = Instant::now();
        let (wall, boottime_ms, boot_id) = reading();
        let reading = ClockReading { wall, boottime_ms, boot_id };
        times[3].push(micros(start));
        let start = Instant::now();
        let current = Current::parse(&current).unwrap();
        let files = GateFiles { root: &root, head: &head, user: Some(&shard) };
        let open = OpenGate::open(&current, &files, &user, &reading).unwrap();
        times[4].push(micros(start));
        let start = Instant::now();
        let question =
            Question { purpose: Purpose::Login { service: "sshd" }, origin: None, credentials: None };
        std::hint::black_box(decide(&open, &config, &question));
        times[5].push(micros(start));
    }
    println!("inside, {name}");
    for (part, times) in
        ["passwd entry", "host.toml", "gate: reads", "clock", "gate: verify, parse", "decide"]
            .iter()
            .zip(times)
    {
        report(part, times, f64::NAN);
    }
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(2000, |n| n.parse().expect("a number of rounds"));
    let hosts: Vec<Host> = GATES.iter().map(|(_, others, own)| host(*others, *own)).collect();
    let mut stacks = Vec::new();
    for (service, line) in OTHERS {
        write(&hosts[0].path("pam").join(service), format!("{line}\n").as_bytes());
        stacks.push(Stack { name: service, host: &hosts[0], service });
    }
    for ((name, ..), host) in GATES.iter().zip(&hosts) {
        drain(host);
        let line = format!(
            "account required {} account nss root={}\n",
            module().display(),
            host.dir.path().display()
        );
        write(&host.path("pam").join("sshd"), line.as_bytes());
        stacks.push(Stack { name, host, service: "sshd" });
    }
    compare("a process for each call", rounds / 4, &stacks, true);
    compare("modules loaded already", rounds, &stacks, false);
    for ((name, ..), host) in GATES.iter().zip(&hosts) {
        parts(name, host, rounds);
    }
}
