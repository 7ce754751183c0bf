//! `sudo -n true` with and without the gate, in blocks by turns, on an armed host with a live grant.

use stint_e2e::Fleet;

use crate::compile::install;
use crate::report::{Case, close};

type Done = Result<(), Box<dyn std::error::Error>>;

const TURNS: usize = 20;
const BLOCK: usize = 10;

/// sudo's own PAM file, with includes of the bench's. The common files stay as they are: the warden takes a host whose
/// common files do not name the module for one that is not armed, and removes every drop-in.
const PREPARE: &str = "mv /root/time_calls /usr/local/bin/ && cd /etc/pam.d && \
    sed -i 's/include common-account/include bench-account/; s/include common-session.*/include bench-session/' sudo";
/// The same sudoers stand in all three: what differs is what this expression of sed takes out of PAM's lines.
const STACKS: &[(&str, &str)] = &[
    ("sudo without the gate", "/pam_stint/d"),
    ("sudo with the gate", "/register/d"),
    ("sudo with the gate and its scope", ""),
];

/// Runs it.
pub(crate) fn run() -> Done {
    let fleet = Fleet::new()?;
    fleet.grant("web-root", "30m")?;
    let host = &fleet.host;
    install(host, "time_calls.c", &[])?;
    host.sh(PREPARE)?.check("giving sudo its own PAM files")?;

    let mut samples = vec![Vec::new(); STACKS.len()];
    for _ in 0..TURNS {
        for (stack, times) in STACKS.iter().zip(&mut samples) {
            let switch = format!(
                "cd /etc/pam.d && sed '{0}' common-account > bench-account && \
                 sed '{0}' common-session-noninteractive > bench-session",
                stack.1
            );
            host.sh(&switch)?.check("switching the stack")?;
            let line = format!("runuser -u alice -- time_calls {BLOCK} sudo -n true");
            let said = host.sh(&line)?.check("timing sudo")?;
            for line in said.stdout.lines() {
                times.push(line.parse::<f64>()? / 1e6);
            }
        }
    }
    let mut cases: Vec<Case> =
        STACKS.iter().zip(samples).map(|((name, _), times)| Case::of(*name, times, "ms")).collect();
    let without = cases[0].clone();
    for case in &mut cases[1..] {
        *case = case.clone().against("without", &without);
    }
    close("sudo", &cases)
}
