//! The end holds by four layers, each with the others dead.

use std::time::Duration;

use stint_e2e::{
    Dropins, E2eError, Fleet, kill_warden, processes_of, unix_now, wait_for_denial, wait_for_end,
};
use stint_lab::{Host, Session, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// A shell with a process that ignores TERM and HUP.
fn stubborn_session(host: &Host) -> Result<Session, E2eError> {
    let mut session = host.ssh_session("alice")?;
    session.type_line("setsid sh -c 'trap \"\" TERM HUP; sleep 600 & sleep 600' & echo start''ed")?;
    session.wait_for("started", BOUND)?;
    until("the stubborn process to run", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.iter().any(|line| line.contains("sleep 600")))
    })?;
    Ok(session)
}

fn wait_until_dead(host: &Host) -> Tested {
    until("alice's processes to be gone", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.is_empty())
    })?;
    Ok(())
}

/// Killed, and kept down: as after a crash that systemd cannot mend.
fn keep_warden_down(host: &Host) -> Tested {
    host.sh("systemctl mask --runtime stint-warden.service stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-courier")?;
    host.sh("systemctl kill -s KILL stint-warden.service")?.check("killing the warden")?;
    until("the warden to be dead", BOUND, || {
        !host.sh("pgrep -xf '/usr/sbin/stintd warden'").is_ok_and(|o| o.success())
    })?;
    Ok(())
}

#[test]
fn with_the_warden_killed_pid_1_ends_the_session_and_sudo_refuses_by_itself() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(20))?;
    let end = fleet.end_of(&id)?;
    let mut session = stubborn_session(host)?;
    keep_warden_down(host)?;

    session.wait_closed(BOUND)?;
    wait_until_dead(host)?;
    let late = unix_now() - end;
    assert!(late > -2.0, "ended {late} s early");

    // The drop-in still stands, since nobody is there to remove it. Its NOTAFTER ends it, and PAM denies too.
    wait_for_end(end)?;
    assert_eq!(Dropins::on(host)?.0.len(), 1);
    let by_rule = host.sh("sed -i /pam_stint/d /etc/pam.d/common-account /etc/pam.d/common-session-noninteractive && runuser -u alice -- sudo -n systemctl restart nginx.service")?;
    assert_ne!(by_rule.status, 0, "sudo ran it after NOTAFTER: {by_rule}");
    Ok(())
}

#[test]
fn a_killed_warden_comes_back_and_ends_what_is_due_without_a_leftover() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", &fleet.window(20))?;
    let mut session = stubborn_session(host)?;
    kill_warden(host)?;
    session.wait_closed(BOUND)?;
    wait_until_dead(host)?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    Ok(())
}

#[test]
fn after_a_power_cut_in_mid_window_no_drop_in_stands_whose_grant_has_ended() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(15))?;
    let end = fleet.end_of(&id)?;
    let _session = stubborn_session(host)?;
    assert_eq!(Dropins::on(host)?.0.len(), 1);
    host.power_cut()?;
    wait_for_end(end)?;
    // It comes back without its broker: what it knows itself must do.
    host.cut_network()?;
    host.start()?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    let sudo = host.sh("runuser -u alice -- sudo -n systemctl restart nginx.service")?;
    assert_ne!(sudo.status, 0, "{sudo}");
    host.restore_network()?;
    Ok(wait_for_denial(host, "alice", "ended")?)
}

#[test]
fn a_power_cut_with_time_left_brings_the_right_back_and_its_end_too() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(25))?;
    host.power_cut()?;
    host.start()?;
    until("alice to be let in again", BOUND, || host.ssh("alice", "true").is_ok_and(|o| o.success()))?;
    let sudo = host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert_eq!(sudo.status, 0, "{sudo}");
    wait_for_end(fleet.end_of(&id)?)?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    Ok(wait_for_denial(host, "alice", "ended")?)
}
