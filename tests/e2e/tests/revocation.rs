//! Ends before the end: revoked, locked, given back; and the end that was moved.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST, processes_of, unix_now, wait_for_end};
use stint_lab::{Host, Session, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

fn session_with_a_stubborn_process(host: &Host) -> Result<Session, E2eError> {
    let mut session = host.ssh_session("alice")?;
    session.type_line("setsid sh -c 'trap \"\" TERM HUP; sleep 600' & echo start''ed")?;
    session.wait_for("started", BOUND)?;
    Ok(session)
}

/// Session, processes and drop-in are gone, and alice is denied.
fn gone(host: &Host, session: &mut Session) -> Tested {
    session.wait_closed(BOUND)?;
    until("alice's processes to be gone", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.is_empty())
    })?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    assert_eq!(host.ssh("alice", "true")?.status, 255);
    Ok(())
}

#[test]
fn a_revocation_ends_session_processes_and_drop_in_at_once() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", "10m")?;
    let mut session = session_with_a_stubborn_process(host)?;
    let revoked =
        fleet.carol.run(&["grant", "revoke", &id, "--reason", "laptop lost", "--wait", "--timeout=3m"])?;
    assert!(revoked.text().contains("1 of 1"), "{revoked}");
    gone(host, &mut session)?;
    let denied = host.ssh("alice", "true")?;
    assert!(denied.text().contains("revoked"), "{denied}");
    Ok(())
}

#[test]
fn a_lock_on_a_person_ends_what_they_have_and_lifting_it_gives_the_grant_back() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", "10m")?;
    let mut session = session_with_a_stubborn_process(host)?;
    fleet.carol.run(&[
        "lock",
        "add",
        "--principal",
        "alice",
        "--reason",
        "under investigation",
        "--wait",
        "--timeout=3m",
    ])?;
    gone(host, &mut session)?;
    let denied = host.ssh("alice", "true")?;
    assert!(denied.text().contains("under investigation"), "{denied}");

    let locks = fleet.carol.json(&["lock", "ls"])?;
    let lock = locks[0]["id"].as_str().unwrap_or_default().to_owned();
    fleet.carol.run(&["lock", "rm", &lock])?;
    until("alice to be let in again", BOUND, || host.ssh("alice", "true").is_ok_and(|o| o.success()))?;
    Ok(())
}

#[test]
fn a_grant_given_back_early_ends_at_once() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", "10m")?;
    let mut session = session_with_a_stubborn_process(host)?;
    fleet.alice.run(&["grant", "end", &id, "--wait", "--timeout=3m"])?;
    gone(host, &mut session)
}

#[test]
fn an_extension_moves_the_end_of_the_living_session_in_every_layer() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(20))?;
    let first_end = fleet.end_of(&id)?;
    let mut session = session_with_a_stubborn_process(host)?;
    fleet.alice.run(&["grant", "extend", &id, "--by", &fleet.window(20), "--wait", "--timeout=3m"])?;
    let end = fleet.end_of(&id)?;
    assert!(end > first_end + 15.0);

    wait_for_end(first_end + 2.0)?;
    assert!(session.is_open(), "the session ended at the old end");
    let sudo = host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert_eq!(sudo.status, 0, "{sudo}");
    gone(host, &mut session)?;
    assert!(unix_now() > end - 2.0);
    Ok(())
}

#[test]
fn of_two_overlapping_grants_the_end_of_one_leaves_the_other() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let short = fleet.grant("nginx-restart", "10m")?;
    let long = fleet.grant("web-login", "10m")?;
    fleet.carol.run(&["grant", "revoke", &short, "--reason", "not needed", "--wait", "--timeout=3m"])?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    let login = host.ssh("alice", "id -un")?;
    assert_eq!(login.stdout, "alice\n", "{login}");
    assert_ne!(host.ssh("alice", "sudo -n systemctl restart nginx.service")?.status, 0);
    let shown = fleet.alice.json(&["grant", "show", &long])?;
    assert_eq!(shown["state"], "active", "{shown}");
    assert_eq!(shown["hosts"][0], HOST);
    Ok(())
}
