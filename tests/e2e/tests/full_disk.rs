//! The journal's disk is really full: nothing begins that could not be recorded, what ends still ends, and with room all is well again.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, processes_of};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
const UNITS: &str =
    "stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-warden stint-courier";

/// Gives the journal a small file system of its own.
fn small_disk(host: &Host) -> Tested {
    host.sh(&format!(
        "systemctl stop {UNITS} && cp -a /var/lib/stint/journal /root/kept && \
         mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/stint/journal && \
         cp -a /root/kept/. /var/lib/stint/journal && systemctl start {UNITS}"
    ))?
    .check("giving the journal a disk of its own")?;
    Ok(())
}

fn restart(host: &Host) -> Result<stint_lab::Outcome, E2eError> {
    Ok(host.ssh("alice", "sudo -n systemctl restart nginx.service")?)
}

fn status(host: &Host) -> Result<String, E2eError> {
    Ok(host.exec(&["stintd", "status", "--output", "json"])?.stdout)
}

#[test]
fn with_the_journal_s_disk_full_no_elevation_begins_ends_happen_and_room_mends_it() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    small_disk(host)?;
    let id = fleet.grant("nginx-restart", "10m")?;
    assert!(restart(host)?.success());
    let mut session = host.ssh_session("alice")?;
    session.type_line("sleep 651 & echo start''ed")?;
    session.wait_for("started", BOUND)?;

    let filled = host.sh("dd if=/dev/zero of=/var/lib/stint/journal/filler bs=512")?;
    assert!(filled.text().contains("No space left"), "{filled}");
    // What is left of the last page takes a few records yet.
    until("sudo to be refused with its cause", BOUND, || {
        let words = ["cannot record", "make room"];
        restart(host).is_ok_and(|sudo| !sudo.success() && words.iter().all(|word| sudo.text().contains(word)))
    })?;
    until("the status to say so", BOUND, || {
        status(host).is_ok_and(|status| status.contains("nothing can be recorded"))
    })?;

    fleet.carol.run(&["grant", "revoke", &id, "--reason", "disk full"])?;
    session.wait_closed(BOUND)?;
    until("alice's processes to be gone", BOUND, || processes_of(host, "alice").is_ok_and(|p| p.is_empty()))?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;

    host.sh("rm /var/lib/stint/journal/filler")?.check("making room")?;
    until("the host to record again", BOUND, || {
        status(host).is_ok_and(|status| !status.contains("nothing can be recorded"))
    })?;
    fleet.grant("nginx-restart", "10m")?;
    let sudo = restart(host)?;
    assert!(sudo.success(), "{sudo}");
    // The end that could not be written when it happened is on record.
    until("the end to be on record", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", stint_e2e::HOST]);
        told.is_ok_and(|told| told.stdout.contains("receipt") && told.stdout.contains(&id))
    })?;
    Ok(())
}
