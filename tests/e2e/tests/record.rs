//! The record: verified from the host's own key, and every change to it seen.

use std::fs;
use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, kill_warden};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// What `stint` says when a signature, pin, digest or chain does not hold.
const UNVERIFIED: i32 = 8;

/// Waits until the broker holds a record that says all of this.
fn wait_for_record(fleet: &Fleet, words: &[&str]) -> Tested {
    let held = || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.lines().any(|line| words.iter().all(|word| line.contains(word))))
    };
    Ok(until(&format!("a record with {words:?}"), BOUND, held)?)
}

#[test]
fn a_journal_verifies_from_the_host_s_own_key_and_a_changed_one_does_not() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    assert!(fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    wait_for_record(&fleet, &["opened by sudo", &id])?;

    let key = fleet.host_key()?;
    fleet.carol.run(&["audit", "verify", "--host", HOST, "--key", &key])?;
    let file = fleet.carol.home().join("journal.json");
    let path = file.to_string_lossy().into_owned();
    fleet.carol.run(&["audit", "export", "--host", HOST, "--to", &path])?;
    let verify = ["audit", "verify", "--file", &path, "--key", &key];
    fleet.carol.run(&verify)?;

    let read = || fs::read_to_string(&file).map_err(|source| E2eError::File { path: file.clone(), source });
    let write =
        |text: &str| fs::write(&file, text).map_err(|source| E2eError::File { path: file.clone(), source });
    let whole = read()?;
    let forged = whole.replacen("alice", "carol", 1);
    assert_ne!(forged, whole, "the export names alice in the clear");
    write(&forged)?;
    let outcome = fleet.carol.stint(&verify)?;
    assert_eq!(outcome.status, UNVERIFIED, "a changed name: {outcome}");

    let other = fleet.lab.key("bob").with_extension("pub");
    let other = fs::read_to_string(&other).map_err(|source| E2eError::File { path: other, source })?;
    let stranger = other.split(' ').nth(1).unwrap_or_default().to_owned();
    write(&whole)?;
    let outcome = fleet.carol.stint(&["audit", "verify", "--file", &path, "--key", &stranger])?;
    assert!(!outcome.success(), "another key: {outcome}");
    Ok(())
}

#[test]
fn no_record_is_lost_or_doubled_by_a_killed_broker_a_killed_warden_and_a_power_cut() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    wait_for_record(&fleet, &["zz-stint", &id])?;

    fleet.broker.kill()?;
    assert!(fleet.host.ssh("alice", "true")?.success());
    kill_warden(&fleet.host)?;
    assert_eq!(fleet.host.ssh("bob", "true")?.status, 255);
    // Nobody waits for a decision to be told: what the cut may not lose is what the journal holds.
    let written = "grep -rqs '\"bob\"' /var/lib/stint/journal";
    until("bob's denial to be written", BOUND, || fleet.host.sh(written).is_ok_and(|o| o.success()))?;
    fleet.host.power_cut()?;
    fleet.broker.start()?;
    fleet.host.start()?;

    wait_for_record(&fleet, &["session-", "alice", "opened by sshd", &id])?;
    wait_for_record(&fleet, &["bob denied"])?;
    let key = fleet.host_key()?;
    fleet.carol.run(&["audit", "verify", "--host", HOST, "--key", &key])?;
    Ok(())
}

#[test]
fn what_sudo_did_is_on_record_as_well() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    assert!(fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    wait_for_record(&fleet, &["alice let in at sudo", &id])
}
