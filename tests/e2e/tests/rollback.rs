//! The way back holds over a reboot and a power cut, with the warden out of order.

use stint_e2e::{E2eError, Fleet, Options};
use stint_lab::Host;

type Tested = Result<(), E2eError>;

/// An enrolled host on which `arm --rollback` was not confirmed, and whose warden does not start any more.
fn half_armed() -> Result<Fleet, E2eError> {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let host = &fleet.host;
    host.exec(&["stintd", "arm", "--rollback", "30m"])?.check("stintd arm")?;
    assert_eq!(host.ssh("alice", "true")?.status, 255, "it enforces");
    host.sh("systemctl mask stint-warden.service stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-courier.service")?
        .check("masking the warden")?;
    Ok(fleet)
}

/// The very first login after the boot finds PAM as it was before.
fn is_as_before(host: &Host) -> Tested {
    let login = host.ssh("alice", "id -un")?;
    assert_eq!(login.stdout, "alice\n", "{login}");
    assert!(!host.sh("grep -rl pam_stint /etc/pam.d")?.success());
    assert!(!host.sh("test -e /var/lib/stint/rollback.json")?.success());
    assert!(
        !host.sh("pgrep -xf '/usr/sbin/stintd warden'")?.success(),
        "the warden runs though it is masked"
    );
    Ok(())
}

#[test]
fn a_reboot_before_the_confirmation_puts_pam_back_without_the_warden() -> Tested {
    let fleet = half_armed()?;
    fleet.host.reboot()?;
    is_as_before(&fleet.host)
}

#[test]
fn a_power_cut_before_the_confirmation_puts_pam_back_without_the_warden() -> Tested {
    let fleet = half_armed()?;
    fleet.host.power_cut()?;
    fleet.host.start()?;
    is_as_before(&fleet.host)
}

#[test]
fn the_unit_of_the_boot_does_nothing_while_the_time_runs_and_starts_a_lost_timer_again() -> Tested {
    let fleet = half_armed()?;
    let host = &fleet.host;
    host.sh("systemctl start stint-rollback-boot.service")?.check("starting the unit")?;
    assert_eq!(host.ssh("alice", "true")?.status, 255);
    host.sh("systemctl stop stint-rollback.timer && systemctl start stint-rollback-boot.service")?
        .check("starting the unit with the timer gone")?;
    assert_eq!(host.sh("systemctl is-active stint-rollback.timer")?.stdout, "active\n");
    assert_eq!(host.ssh("alice", "true")?.status, 255);

    // Confirmed, it stays over a reboot.
    host.ssh("rescue", "sudo -n stintd confirm")?.check("stintd confirm")?;
    host.reboot()?;
    assert_eq!(host.ssh("alice", "true")?.status, 255);
    Ok(())
}

#[test]
fn with_the_warden_alive_a_reboot_puts_pam_back_once() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let host = &fleet.host;
    host.exec(&["stintd", "arm", "--rollback", "30m"])?.check("stintd arm")?;
    host.reboot()?;
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    stint_lab::until("the warden to say that it is inert", stint_lab::PATIENCE, || {
        host.sh("stintd status --output json | grep -q '\"mode\": \"inert\"'")
            .is_ok_and(|said| said.success())
    })?;
    assert_eq!(host.sh("systemctl is-system-running")?.stdout, "running\n", "{}", host.diagnosis());
    Ok(())
}
