//! sudo in a scope of its own: what it starts ends with the grant, however it tries to leave.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, kill_warden};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// Shorter than the time after which the warden would look by itself.
const AT_ONCE: Duration = Duration::from_secs(45);

/// The cgroups of the processes with exactly this command line.
fn cgroups_of(host: &Host, command: &str) -> Result<String, E2eError> {
    let line = format!("for p in $(pgrep -xf '{command}'); do grep '^0::' /proc/$p/cgroup; done");
    Ok(host.sh(&line)?.stdout)
}

fn runs(host: &Host, command: &str) -> bool {
    host.sh(&format!("pgrep -xf '{command}'")).is_ok_and(|outcome| outcome.success())
}

/// Opens a shell, types the line, waits until it runs the command, and until that is gone when the window is over.
fn dies_with_the_window(start: &str, command: &str) -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-root", &fleet.window(20))?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line(start)?;
    until("the command to run", BOUND, || runs(host, command))
        .inspect_err(|_| println!("{}", session.heard()))?;
    let cgroups = cgroups_of(host, command)?;
    assert!(
        cgroups.lines().all(|path| path.contains("/stint.slice/")),
        "not in scopes of their own: {cgroups}"
    );
    until("the command to be dead", BOUND, || !runs(host, command))?;
    session.wait_closed(BOUND)?;
    Ok(())
}

#[test]
fn a_command_of_sudo_that_ignores_every_signal_dies_with_the_window() -> Tested {
    dies_with_the_window("sudo -n sh -c 'trap \"\" TERM HUP; setsid sleep 611 & sleep 611'", "sleep 611")
}

#[test]
fn a_root_shell_by_sudo_i_dies_with_the_window() -> Tested {
    dies_with_the_window("sudo -n -i setsid sleep 612", "sleep 612")
}

#[test]
fn what_sudo_su_to_somebody_else_started_dies_with_the_window() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-root", &fleet.window(20))?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n su - bob -c 'setsid sleep 613'")?;
    until("the command to run", BOUND, || runs(host, "sleep 613"))
        .inspect_err(|_| println!("{}", session.heard()))?;
    until("the command to be dead", BOUND, || !runs(host, "sleep 613"))?;
    Ok(())
}

#[test]
fn what_root_moved_into_the_login_s_scope_dies_with_the_elevation_s_grant_and_the_login_goes_on() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-login", "10m")?;
    let root = fleet.grant("web-root", "10m")?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    // Root puts itself where the login's own processes are, and lets the sudo that it came from end.
    session.type_line(
        "login=$(sed -n s/^0:://p /proc/self/cgroup); sudo -n sh -c \"setsid sh -c 'echo \\$\\$ > /sys/fs/cgroup$login/cgroup.procs; \
         exec sleep 614' & while ! pgrep -xf 'sleep 614'; do :; done\"; sleep 615 & echo mov''ed",
    )?;
    session.wait_for("moved", BOUND).inspect_err(|_| println!("{}", session.heard()))?;
    let cgroups = cgroups_of(host, "sleep 614")?;
    assert!(cgroups.contains("/session-"), "not in the login's scope: {cgroups}");

    fleet.carol.run(&["grant", "revoke", &root, "--reason", "done", "--wait", "--timeout=3m"])?;
    until("what root left there to be dead", BOUND, || !runs(host, "sleep 614"))?;
    assert!(runs(host, "sleep 615"), "the login's own process was ended as well");
    session.type_line("echo still''here")?;
    session.wait_for("stillhere", BOUND)?;
    Ok(())
}

#[test]
fn the_end_of_a_sudo_and_of_a_login_are_on_record_when_they_happen() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", "10m")?;
    assert!(host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    until("both to be closed on record", AT_ONCE, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", stint_e2e::HOST]);
        told.is_ok_and(|told| {
            let closed = |scope: &str| told.stdout.lines().any(|l| l.contains("closed") && l.contains(scope));
            closed("stint-") && closed("session-")
        })
    })?;
    Ok(())
}

#[test]
fn elevations_share_a_scope_that_outlives_the_warden_and_goes_with_the_grant() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-root", "10m")?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n sleep 616 & sudo -n sleep 617 &")?;
    until("both to run", BOUND, || runs(host, "sleep 616") && runs(host, "sleep 617"))?;
    let (one, two) = (cgroups_of(host, "sleep 616")?, cgroups_of(host, "sleep 617")?);
    let scope = |path: &str| {
        path.split('/').find(|part| part.starts_with("stint-") && !part.contains(".slice")).map(str::to_owned)
    };
    assert!(one.trim() != two.trim() && scope(&one).is_some(), "no groups of their own: {one} {two}");
    assert_eq!(scope(&one), scope(&two));
    let unit = scope(&one).unwrap_or_default();
    let limit = host.sh(&format!("systemctl show {unit} --property=RuntimeMaxUSec --value"))?;
    assert!(limit.stdout.contains("min"), "PID 1 has no limit for it: {}", limit.stdout);

    kill_warden(host)?;
    session.type_line("sudo -n sleep 618 &")?;
    until("a third to run", BOUND, || runs(host, "sleep 618"))?;
    assert_eq!(scope(&cgroups_of(host, "sleep 618")?), Some(unit.clone()));
    assert!(runs(host, "sleep 616"), "the warden's death is not the elevation's");

    fleet.carol.run(&["grant", "revoke", &id, "--reason", "done", "--wait", "--timeout=3m"])?;
    until("all of it to be gone", BOUND, || {
        let left = "pgrep -xf 'sleep 61[678]' || pgrep -xf '.*stintd keep' || test -e /sys/fs/cgroup/stint.slice/*.scope";
        host.sh(left).is_ok_and(|said| !said.success())
    })?;
    Ok(())
}
