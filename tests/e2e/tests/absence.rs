//! What holds when parts are away: the warden, the broker, the network.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, Options, wait_for_denial, wait_for_end};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

#[test]
fn with_warden_and_broker_stopped_a_valid_grant_logs_in_and_an_ended_one_does_not() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(25))?;
    let end = fleet.end_of(&id)?;
    fleet.broker.stop()?;
    host.sh("systemctl stop stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-warden stint-courier")?
        .check("stopping stint")?;

    let login = host.ssh("alice", "id -un")?;
    assert_eq!(login.stdout, "alice\n", "{login}");
    let sudo = host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert_ne!(sudo.status, 0, "nobody could end this sudo, so it must not start: {sudo}");
    assert!(sudo.text().contains("warden"), "the cause must be named: {sudo}");
    wait_for_end(end)?;
    Ok(wait_for_denial(host, "alice", "ended")?)
}

#[test]
fn a_host_cut_off_for_longer_than_the_staleness_limit_denies_and_says_why() -> Tested {
    let host_toml =
        "[managed]\nbreak_glass_uid = 1900\n[limits]\nstaleness = \"20s\"\nregister_timeout_ms = 5000\n";
    let options = Options { host_toml: host_toml.into(), pulse_interval: "2s".into(), ..Options::default() };
    let fleet = Fleet::with(&options)?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", "5m")?;
    assert!(host.ssh("alice", "true")?.success());

    fleet.broker.stop()?;
    wait_for_denial(host, "alice", "last heard from its broker")?;

    fleet.broker.start()?;
    until("alice to be let in again", BOUND, || host.ssh("alice", "true").is_ok_and(|o| o.success()))?;
    Ok(())
}

#[test]
fn a_revocation_made_while_the_network_was_cut_reaches_the_host_when_it_is_back() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", "5m")?;
    host.cut_network()?;
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "laptop lost"])?;
    host.restore_network()?;
    Ok(wait_for_denial(host, "alice", "revoked")?)
}
