//! Inert, observed, armed; and the way back.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, Options, wait_for_denial};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

fn not_armed() -> Options {
    Options { armed: false, ..Options::default() }
}

#[test]
fn an_enrolled_host_is_inert_until_it_is_armed() -> Tested {
    let fleet = Fleet::with(&not_armed())?;
    assert_eq!(fleet.host.ssh("alice", "id -un")?.stdout, "alice\n");
    assert!(!fleet.host.sh("grep -rl pam_stint /etc/pam.d")?.success());
    fleet.arm()?;
    assert_eq!(fleet.host.ssh("alice", "true")?.status, 255);
    let status = fleet.host.exec(&["stintd", "status", "--output", "json"])?.check("stintd status")?;
    let status: serde_json::Value = serde_json::from_str(&status.stdout)
        .map_err(|error| E2eError::Answer { what: "stintd status".into(), why: error.to_string() })?;
    assert_eq!(status["mode"], "enforce", "{status}");
    Ok(())
}

#[test]
fn arming_that_nobody_confirms_rolls_itself_back() -> Tested {
    let fleet = Fleet::with(&not_armed())?;
    let host = &fleet.host;
    host.exec(&["stintd", "arm", "--rollback", &fleet.window(15)])?.check("stintd arm")?;
    wait_for_denial(host, "alice", "no grant")?;
    until("the way back", BOUND, || host.ssh("alice", "true").is_ok_and(|o| o.success()))?;
    Ok(())
}

#[test]
fn a_host_that_observes_records_a_denial_and_lets_alice_in() -> Tested {
    let fleet = Fleet::with(&not_armed())?;
    let host = &fleet.host;
    host.exec(&["stintd", "arm", "--observe"])?.check("stintd arm --observe")?;
    let login = host.ssh("alice", "id -un")?;
    assert_eq!(login.stdout, "alice\n", "{login}");
    until("the denial to be on record", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", stint_e2e::HOST]);
        told.is_ok_and(|told| told.stdout.contains("no-grant") || told.stdout.contains("no grant"))
    })?;
    Ok(())
}

#[test]
fn removing_the_package_from_an_armed_host_opens_it_and_takes_every_right_away() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", "10m")?;
    host.sh("DEBIAN_FRONTEND=noninteractive dpkg -r stint-host")?.check("removing the package")?;
    assert!(!host.sh("grep -rl pam_stint /etc/pam.d")?.success());
    assert_eq!(host.sh("ls -A /etc/sudoers.d | grep stint || true")?.stdout, "");
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    assert_ne!(host.ssh("alice", "sudo -n systemctl restart nginx.service")?.status, 0);
    Ok(())
}

#[test]
fn a_session_whose_grant_ended_while_the_host_observed_ends_when_it_begins_to_enforce() -> Tested {
    let fleet = Fleet::with(&not_armed())?;
    let host = &fleet.host;
    host.exec(&["stintd", "arm", "--observe"])?.check("stintd arm --observe")?;
    let id = fleet.grant("web-login", "10m")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("sleep 641 & echo start''ed")?;
    session.wait_for("started", BOUND)?;
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "done"])?;
    until("the warden to know that it ended", BOUND, || {
        host.sh("stintd status --output json | grep -q '\"live\": \\[\\]'").is_ok_and(|o| o.success())
    })?;
    // Only observed: it lives on.
    session.type_line("echo still''here")?;
    session.wait_for("stillhere", BOUND)?;

    host.exec(&["stintd", "arm"])?.check("stintd arm")?;
    session.wait_closed(BOUND)?;
    until("what it started to be gone", BOUND, || {
        !host.sh("pgrep -xf 'sleep 641'").is_ok_and(|o| o.success())
    })?;
    Ok(())
}
