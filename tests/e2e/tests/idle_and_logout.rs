//! Sessions that nobody uses end, grants that are for one login end with it, and everybody can ask how much time is left.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST, processes_of};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// Longer than the idle limit of the entitlement and what the kernel's notes are late.
const IDLE: Duration = Duration::from_mins(4);

fn recorded(fleet: &Fleet, words: &[&str]) -> bool {
    let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
    told.is_ok_and(|told| told.stdout.lines().any(|line| words.iter().all(|word| line.contains(word))))
}

#[test]
fn a_login_that_is_not_used_is_warned_and_ends_and_one_that_is_used_and_the_grant_go_on() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-idle", "30m")?;
    let (mut idle, mut used) = (host.ssh_session("alice")?, host.ssh_session("alice")?);
    idle.type_line("sleep 661 & while :; do echo out''put; sleep 1; done")?;
    idle.wait_for("output", BOUND)?;
    let silent = std::thread::scope(|scope| -> Result<_, E2eError> {
        // Without a terminal: what runs is use, and what sleeps is none.
        let silent = scope.spawn(|| host.ssh("alice", "sleep 662"));
        // Somebody types in one of them; what the other one prints is no use.
        until("the idle login to end", IDLE, || used.type_line("echo us''ed").is_err() || !idle.is_open())?;
        let silent = until("the silent login to end", IDLE, || {
            used.type_line("echo us''ed").is_err() || silent.is_finished()
        })
        .map(|()| silent.join());
        silent?
            .map_err(|_| E2eError::Answer { what: "ssh".into(), why: "panicked".into() })?
            .map_err(E2eError::from)
    })?;
    assert!(!silent.success(), "{silent}");
    idle.wait_closed(BOUND)?;
    assert!(idle.heard().contains("stint: idle: this session ends in"), "{}", idle.heard());
    until("what they ran to be gone", BOUND, || {
        processes_of(host, "alice").is_ok_and(|all| !all.iter().any(|line| line.contains("sleep 66")))
    })?;
    assert!(used.is_open() && !used.heard().contains("stint: idle"), "{}", used.heard());
    assert!(host.ssh("alice", "true")?.success(), "the grant goes on");
    until("the end to be on record", BOUND, || recorded(&fleet, &[&id, "idle"]))?;
    assert!(!recorded(&fleet, &[&id, "receipt"]), "the grant has not ended, so it has no receipt");
    Ok(())
}

fn left(host: &Host) -> Result<String, E2eError> {
    Ok(host.sh("runuser -u alice -- /usr/sbin/stintd left")?.text())
}

#[test]
fn a_grant_for_one_login_ends_with_the_last_logout_and_does_not_come_back() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-once", "30m")?;
    // Nobody has logged in yet, and time passes.
    assert!(left(host)?.contains("access until"), "{}", left(host)?);
    let (mut first, mut second) = (host.ssh_session("alice")?, host.ssh_session("alice")?);
    for session in [&mut first, &mut second] {
        session.type_line("echo log''ged in; /usr/sbin/stintd left")?;
        session.wait_for("logged in", BOUND)?;
        session.wait_for(&format!("web-once {id}"), BOUND)?;
    }
    // A sudo that is over is no logout, and one login of two that is closed is not the last.
    second.type_line("sudo -n systemctl restart nginx.service && echo rest''arted; setsid sleep 671 &")?;
    second.wait_for("restarted", BOUND)?;
    first.type_line("exit")?;
    first.wait_closed(BOUND)?;
    until("the first login to be over", BOUND, || {
        // A later systemd counts the user's own service manager as one more.
        let list = "loginctl list-sessions --no-legend | grep alice | grep -vc manager";
        host.sh(list).is_ok_and(|o| o.stdout.trim() == "1")
    })?;
    assert_eq!(Dropins::on(host)?.0.len(), 1);
    second.type_line("echo still''here")?;
    second.wait_for("stillhere", BOUND)?;

    second.type_line("exit")?;
    second.wait_closed(BOUND)?;
    until("the right to be over", BOUND, || {
        host.ssh("alice", "true")
            .is_ok_and(|o| o.status == 255 && o.text().contains("was ended on this host"))
    })?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    until("what was left behind to be dead", BOUND, || {
        processes_of(host, "alice").is_ok_and(|all| all.is_empty())
    })?;
    assert!(left(host)?.contains("was ended on this host"), "{}", left(host)?);

    // The broker hears of it, and neither its next bundle nor a restart brings it back.
    until("the broker to know", BOUND, || {
        let shown = fleet.alice.stint(&["grant", "show", &id]);
        shown.is_ok_and(|shown| shown.stdout.contains("last logout"))
    })?;
    until("the end to be on record", BOUND, || recorded(&fleet, &[&id, "last logout"]))?;
    fleet.grant_to(&fleet.carol, "web-login", "10m")?;
    assert_eq!(host.ssh("alice", "true")?.status, 255);
    host.sh("systemctl restart stint-warden")?.check("restarting the warden")?;
    assert_eq!(host.ssh("alice", "true")?.status, 255);
    Ok(())
}
