//! Files that root edits behind the warden's back: noticed when it happens, mended, and on record.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST};
use stint_lab::until;

type Tested = Result<(), E2eError>;
/// Shorter than the time after which the warden would look by itself.
const AT_ONCE: Duration = Duration::from_secs(45);

#[test]
fn an_edited_drop_in_is_as_it_was_at_once_and_an_alarm_tells_of_it() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("nginx-restart", "10m")?;
    let name = Dropins::on(host)?.0.swap_remove(0);
    let edit = format!("echo 'alice ALL = (ALL) NOPASSWD: ALL' >> /etc/sudoers.d/{name}");
    host.sh(&edit)?.check("editing the drop-in")?;
    until("the edit to be gone", AT_ONCE, || {
        host.sh(&format!("grep -q 'NOPASSWD: ALL' /etc/sudoers.d/{name}")).is_ok_and(|said| said.status == 1)
    })?;
    until("the alarm to be on record", AT_ONCE, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.contains("drop-in-changed"))
    })?;
    assert!(host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    Ok(())
}

#[test]
fn an_edited_mode_file_is_noticed_at_once_and_on_record() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh("echo observe > /var/lib/stint/mode")?.check("editing the mode")?;
    until("the change to be on record", AT_ONCE, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.contains("observe"))
    })?;
    Ok(())
}
