//! What a command printed reaches the broker, and is replayed there by whoever may, as the host recorded it or not at all.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use stint_e2e::{E2eError, Fleet, HOST};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// The one recording that is listed, once it is at the broker.
fn received(fleet: &Fleet) -> Result<Value, E2eError> {
    let mut found = Value::Null;
    until("the recording to be at the broker", BOUND, || {
        let listed = fleet.carol.json(&["session", "ls", "--host", HOST]).unwrap_or_default();
        found = listed[0].clone();
        found["received"].is_i64()
    })
    .inspect_err(|_| {
        let log = fleet.host.sh("journalctl -u stint-warden -u stint-courier -n 60 --no-pager");
        println!("{found}\n{}", log.map(|o| o.text()).unwrap_or_default());
    })?;
    Ok(found)
}

fn run_of(recording: &Value) -> String {
    recording["run"].as_str().unwrap_or_default().to_owned()
}

/// Where the broker keeps what comes from the host.
fn folder(fleet: &Fleet) -> PathBuf {
    fleet.broker.data.join("recordings").join(HOST)
}

#[test]
fn what_a_command_printed_is_replayed_by_the_auditor_and_nobody_else_and_not_if_it_was_changed() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("web-record", "10m")?;
    let ran = fleet
        .host
        .ssh("alice", "sudo -n sh -c 'echo seen on $((40+2)) hosts; printf \"\\033]0;x\\007\"; exit 3'")?;
    assert_eq!(ran.status, 3, "{ran}");
    let recording = received(&fleet)?;
    let run = run_of(&recording);
    assert_eq!((recording["grant"].as_str(), recording["whole"].as_bool()), (Some(&*id), Some(true)));
    let listed = fleet.carol.run(&["session", "ls", "--grant", &id])?;
    assert!(listed.stdout.contains(&run) && listed.stdout.contains("alice: "), "{listed}");

    let key = fleet.host_key()?;
    let play = fleet.carol.run(&["session", "play", &run[..6], "--key", &key])?;
    assert!(play.stdout.contains("seen on 42 hosts") && !play.stdout.contains('\x1b'), "{play}");
    assert_eq!(play.stderr, "", "{play}");
    // At a terminal what only draws would pass, and what drives it does not.
    let shown = fleet.carol.at_terminal(&["session", "play", &run, "--key", &key])?;
    let heard = shown.wait_for("seen on 42 hosts", BOUND)?;
    assert!(!heard.contains("\x1b]"), "{heard}");

    for (person, name) in [(&fleet.alice, "alice"), (&fleet.bob, "bob")] {
        let refused = person.stint(&["session", "play", &run])?;
        assert!(refused.status == 4 && refused.stdout.is_empty(), "{name}: {refused}");
        assert_eq!(person.stint(&["session", "ls"])?.status, 4, "{name}");
    }

    // The host keeps its own for a while.
    let own = fleet.host.exec(&["stintd", "session", "play", "--at-once", &run])?.check("playing")?;
    assert!(own.stdout.contains("seen on 42 hosts"), "{own}");
    assert!(
        fleet
            .host
            .exec(&["test", "-f", &format!("/var/lib/stint/recordings/held/{run}.recording")])?
            .success()
    );

    let file = folder(&fleet).join(&run);
    let bytes = fs::read(&file).map_err(E2eError::file(&file))?;
    let changed = String::from_utf8_lossy(&bytes).find("42 hosts").map(|at| {
        let mut changed = bytes.clone();
        changed[at] = b'7';
        changed
    });
    fs::write(&file, changed.unwrap_or_default()).map_err(E2eError::file(&file))?;
    let refused = fleet.carol.stint(&["session", "play", &run, "--key", &key])?;
    assert!(refused.status == 8 && refused.stdout.is_empty(), "{refused}");
    assert!(refused.stderr.contains("is not what the host recorded"), "{refused}");
    Ok(())
}

#[test]
fn courier_broker_and_warden_killed_in_the_middle_of_a_recording_lose_nothing_of_it() -> Tested {
    let fleet = Fleet::new()?;
    fleet.grant("web-record", "10m")?;
    fleet.host.sh("systemctl stop stint-courier.service")?.check("stopping the courier")?;
    let ran = fleet.host.ssh("alice", "sudo -n sh -c 'seq 1 7000000' | tail -1")?;
    assert_eq!(ran.stdout.trim(), "7000000", "{ran}");
    let part = || {
        let entries = fs::read_dir(folder(&fleet)).into_iter().flatten().flatten();
        let mut parts = entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "part"));
        parts.next().and_then(|part| fs::metadata(part).ok()).map_or(0, |metadata| metadata.len())
    };
    fleet.host.sh("systemctl start stint-courier.service")?.check("starting the courier")?;
    for what in ["stint-courier", "stint-warden", "the broker"] {
        let before = part();
        until(&format!("more of it to come before {what} is killed"), BOUND, || part() > before)?;
        if what == "the broker" {
            fleet.broker.kill()?;
            fleet.broker.start()?;
        } else {
            fleet.host.sh(&format!("systemctl kill -s KILL {what}.service"))?.check("killing")?;
        }
        assert!(part() > 0, "it was over before {what} was killed");
    }
    let recording = received(&fleet)?;
    assert_eq!(recording["whole"], true, "{recording}");
    let to = fleet.carol.home().join("printed");
    let key = fleet.host_key()?;
    let run = run_of(&recording);
    fleet.carol.run(&["session", "play", &run, "--to", &to.to_string_lossy(), "--key", &key])?;
    let saved = fs::metadata(&to).map_err(E2eError::file(&to))?.len();
    assert_eq!(Some(saved), recording["bytes"].as_u64());
    let play = fleet.carol.run(&["session", "play", &run, "--key", &key])?;
    assert_eq!(play.stdout.lines().last(), Some("7000000"), "the end is missing");
    assert_eq!(play.stdout.lines().count(), 7_000_000);
    Ok(())
}

#[test]
fn a_recording_that_the_warden_s_death_cut_short_is_on_record_and_says_so_at_its_end() -> Tested {
    let fleet = Fleet::new()?;
    fleet.grant("web-record", "10m")?;
    let mut session = fleet.host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n sh -c 'echo begun $((40+2)); sleep 700'")?;
    session.wait_for("begun 42", BOUND)?;
    let written = "grep -q 'begun 42' /var/lib/stint/recordings/*.recording";
    until("it to be recorded", BOUND, || fleet.host.sh(written).is_ok_and(|o| o.success()))?;
    fleet.host.sh("systemctl kill -s KILL stint-warden.service")?.check("killing the warden")?;
    let recording = received(&fleet)?;
    assert_eq!(recording["whole"], false, "{recording}");
    let key = fleet.host_key()?;
    let play = fleet.carol.run(&["session", "play", &run_of(&recording), "--key", &key])?;
    assert!(play.stdout.contains("begun 42"), "{play}");
    assert!(play.stderr.contains("does not go to the command's end"), "{play}");
    let told = fleet.carol.run(&["audit", "ls", "--host", HOST])?;
    assert!(told.stdout.contains("the warden was away before run"), "{told}");
    Ok(())
}
