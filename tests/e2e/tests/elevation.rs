//! sudo in a scope of its own: what it starts ends with the grant, however it tries to leave.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = Duration::from_secs(20);

fn cgroup_of(host: &Host, pattern: &str) -> Result<String, E2eError> {
    let line = format!("for p in $(pgrep -f '{pattern}'); do grep '^0::' /proc/$p/cgroup; done");
    Ok(host.sh(&line)?.stdout)
}

fn runs(host: &Host, pattern: &str) -> bool {
    host.sh(&format!("pgrep -f '{pattern}'")).is_ok_and(|outcome| outcome.success())
}

/// Opens a shell, types the line, waits until a process matches, and waits until it is gone when the window is over.
fn dies_with_the_window(start: &str, pattern: &str) -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-root", "20s")?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line(start)?;
    until("the command to run", BOUND, || runs(host, pattern))
        .inspect_err(|_| println!("{}", session.heard()))?;
    assert!(
        cgroup_of(host, pattern)?.contains("stint"),
        "not in a scope of its own: {}",
        cgroup_of(host, pattern)?
    );
    until("the command to be dead", Duration::from_secs(40), || !runs(host, pattern))?;
    session.wait_closed(BOUND)?;
    Ok(())
}

#[test]
fn a_command_of_sudo_that_ignores_every_signal_dies_with_the_window() -> Tested {
    dies_with_the_window("sudo -n sh -c 'trap \"\" TERM HUP; setsid sleep 611 & sleep 611'", "[s]leep 611")
}

#[test]
fn a_root_shell_by_sudo_i_dies_with_the_window() -> Tested {
    dies_with_the_window("sudo -n -i setsid sleep 612", "[s]leep 612")
}

#[test]
fn what_sudo_su_to_somebody_else_started_dies_with_the_window() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-root", "20s")?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n su - bob -c 'setsid sleep 613'")?;
    until("the command to run", BOUND, || runs(host, "[s]leep 613"))
        .inspect_err(|_| println!("{}", session.heard()))?;
    until("the command to be dead", Duration::from_secs(40), || !runs(host, "[s]leep 613"))?;
    Ok(())
}
