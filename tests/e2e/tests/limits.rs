//! PID 1's own limit on a login: right, or mended and told.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// What PID 1 says of alice's one login. The break-glass account's, by which the host was confirmed, may not be gone yet.
fn limit(host: &Host) -> Result<String, E2eError> {
    let said = host.sh("for scope in /sys/fs/cgroup/user.slice/user-1001.slice/session-*.scope; do \
         systemctl show \"${scope##*/}\" --property=RuntimeMaxUSec --value; done")?;
    Ok(said.stdout.trim().to_owned())
}

fn warden_said(host: &Host, what: &str) -> bool {
    host.sh(&format!("journalctl --unit=stint-warden | grep -q {what}")).is_ok_and(|said| said.success())
}

#[test]
fn a_login_without_a_limit_is_given_one_and_that_is_told() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    // Somebody's own drop-in for all sessions overrides what PAM asked for.
    host.sh("mkdir -p /run/systemd/system/session-.scope.d && cd /run/systemd/system/session-.scope.d && \
             printf '[Scope]\\nRuntimeMaxSec=infinity\\n' > 10-admin.conf && systemctl daemon-reload")?
        .check("taking the limit away")?;
    fleet.grant("web-login", "10m")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("echo log''ged in")?;
    session.wait_for("logged in", BOUND)?;
    until("PID 1 to have a limit", BOUND, || limit(host).is_ok_and(|limit| limit.contains("min")))?;
    until("it to be told", BOUND, || warden_said(host, "limit-wrong"))?;
    Ok(())
}

#[test]
fn an_extension_that_pid_1_did_not_hear_of_is_told_to_it_again() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", "10m")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("echo log''ged in")?;
    session.wait_for("logged in", BOUND)?;
    let before = limit(host)?;
    assert!(before.contains("min"), "{before}");

    host.sh("pkill -STOP -x dbus-daemon")?.check("stopping the bus")?;
    fleet.alice.run(&["grant", "extend", &id, "--by", "20m", "--wait", "--timeout=3m"])?;
    until("the warden to notice", BOUND, || warden_said(host, "limit-not-moved"))?;
    assert_eq!(limit(host)?, before);
    host.sh("pkill -CONT -x dbus-daemon")?.check("letting the bus go on")?;
    until("PID 1 to hear of it", BOUND, || limit(host).is_ok_and(|limit| limit != before))?;
    assert!(session.is_open());
    Ok(())
}
