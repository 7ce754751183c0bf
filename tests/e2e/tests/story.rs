//! The main job: denied, requested, reviewed, in, exactly the granted commands, out, and a record that verifies.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST, processes_of, sessions_of, unix_now, wait_for_denial};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

#[test]
fn a_grant_lets_alice_in_to_run_exactly_her_commands_and_ends_without_a_leftover() -> Tested {
    let fleet = Fleet::new()?;
    let (host, alice) = (&fleet.host, &fleet.alice);

    let denied = host.ssh("alice", "true")?;
    assert_eq!(denied.status, 255, "{denied}");
    assert!(denied.text().contains("you have no grant on this host"), "{denied}");

    let id = alice.request("nginx-restart", HOST, &fleet.window(25))?;
    assert_eq!(host.ssh("alice", "true")?.status, 255, "a request alone allows nothing");
    fleet.bob.approve(&id)?;
    assert_eq!(host.ssh("alice", "true")?.status, 255, "an approval that was not claimed allows nothing");
    alice.activate(&id)?;
    let end = fleet.end_of(&id)?;

    let mut session = host.ssh_session("alice")?;
    let welcome = session.wait_for("stint: access until", BOUND)?;
    assert!(welcome.contains(&id), "{welcome}");
    let listed = host.ssh("alice", "sudo -n -l")?;
    assert!(listed.stdout.contains("/usr/bin/systemctl restart nginx.service"), "{listed}");

    let main_pid = "systemctl show -p MainPID --value nginx";
    let before = host.sh(main_pid)?.stdout;
    session.type_line("sudo -n systemctl restart nginx.service && echo rest''arted")?;
    session.wait_for("restarted", BOUND)?;
    assert_ne!(host.sh(main_pid)?.stdout, before);
    for refused in
        ["systemctl restart ssh.service", "systemctl restart nginx.service extra", "id", "-u bob id"]
    {
        let outcome = host.ssh("alice", &format!("sudo -n {refused}"))?;
        assert_ne!(outcome.status, 0, "sudo {refused}: {outcome}");
    }

    // What the end must find: a process in a session of its own that ignores every polite signal.
    session.type_line("setsid sh -c 'trap \"\" TERM HUP INT; sleep 600 & sleep 600' & echo start''ed")?;
    session.wait_for("started", BOUND)?;
    until("the stubborn process to run", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.iter().any(|line| line.contains("sleep 600")))
    })?;
    assert_eq!(Dropins::on(host)?.0, [format!("zz-stint-{id}")]);

    session.wait_closed(BOUND)?;
    assert!(unix_now() >= end - 1.0, "the session ended {} s before its time", end - unix_now());
    until("alice's processes to be gone", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.is_empty())
    })?;
    until("alice's sessions to be gone", BOUND, || {
        sessions_of(host, "alice").is_ok_and(|list| list.is_empty())
    })?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    wait_for_denial(host, "alice", &format!("your grant {id} ended"))?;

    until("the record to be held by the broker", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.contains(&id))
    })?;
    fleet.carol.run(&["audit", "verify", "--host", HOST])?;
    Ok(())
}

#[test]
fn a_denied_request_and_a_lapsed_one_let_nobody_in() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.alice.request("nginx-restart", HOST, "10m")?;
    let key = fleet.lab.key("bob");
    fleet.bob.run(&["request", "review", &id, "--deny", "--yes", "--key", &key.to_string_lossy()])?;
    assert!(!fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?.success());
    assert_eq!(fleet.host.ssh("alice", "true")?.status, 255);
    Ok(())
}

#[test]
fn nobody_reviews_their_own_request_and_no_stranger_s_key_counts() -> Tested {
    let fleet = Fleet::new()?;
    let own = fleet.bob.request("nginx-restart", HOST, "10m")?;
    let key = fleet.lab.key("bob");
    let review = ["request", "review", &own, "--approve", "--yes", "--key", &key.to_string_lossy()];
    assert!(!fleet.bob.stint(&review)?.success(), "bob approved his own request");

    let id = fleet.alice.request("nginx-restart", HOST, "10m")?;
    let key = fleet.lab.key("carol");
    let review = ["request", "review", &id, "--approve", "--yes", "--key", &key.to_string_lossy()];
    assert!(!fleet.bob.stint(&review)?.success(), "a key that is not in the roster was taken");
    assert!(!fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?.success());
    Ok(())
}
