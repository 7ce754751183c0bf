//! What people are told while they work.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

#[test]
fn a_terminal_is_warned_a_minute_before_the_end() -> Tested {
    let fleet = Fleet::new()?;
    // Some time for the login, and the minute.
    let length = 60 + fleet.seconds(10);
    let id = fleet.grant("nginx-restart", &format!("{length}s"))?;
    let session = fleet.host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    let shown = session.wait_for("1 minute left", BOUND)?;
    assert!(shown.contains(&id) && shown.contains(HOST), "{shown}");
    Ok(())
}

#[test]
fn effects_are_shown_per_host_with_the_time_they_took() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    let shown = fleet.alice.json(&["grant", "show", &id])?;
    let host = &shown["effect"]["hosts"][0];
    assert_eq!(host["host"], HOST, "{shown}");
    assert!(host["effective_after_ms"].as_u64().is_some(), "{shown}");

    // A host that is away has not acknowledged, and nobody is told that it has.
    fleet.host.power_cut()?;
    let revoked =
        fleet.carol.stint(&["grant", "revoke", &id, "--reason", "test", "--wait", "--timeout", "3s"])?;
    assert!(!revoked.text().contains("1 of 1"), "{revoked}");
    let shown = fleet.carol.json(&["grant", "show", &id])?;
    assert!(shown["effect"]["hosts"][0]["effective_after_ms"].is_null(), "{shown}");
    Ok(())
}
