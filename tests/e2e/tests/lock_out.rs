//! Whatever is broken: who must get in does, who must not does not, and each refusal names its cause.
//!
//! Each test is a row of the matrix ([`stint_e2e::lock_out`]). `-- --nocapture` shows the table.
//!
//! What is simulated, and how: the disk that is full is a tmpfs in the place of `/var`; the wall clock is shifted by a preloaded library in
//! every dynamic program of the host (sshd, sudo, login, systemd), so for the PAM module, but not for the static `stintd`. The clock itself is
//! set in `virtual.rs`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stint_e2e::lock_out::{
    Expected, HOST_TOML, NO_GRANT, OPEN, USUAL, Way, Ways, all_out, holds, no_sudo, prepare,
};
use stint_e2e::{E2eError, Fleet, HOST, Options, Packages};
use stint_lab::{Host, LabError, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
const UNITS: &str =
    "stint-warden.socket stint-warden-courier.socket stint-warden.service stint-courier.service";
const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_stint.so";

/// A fleet in which everybody has something to try.
fn fleet() -> Result<Fleet, E2eError> {
    let fleet = Fleet::with(&Options { host_toml: HOST_TOML.into(), ..Options::default() })?;
    prepare(&fleet)?;
    fleet.grant("nginx-restart", "30m")?;
    Ok(fleet)
}

/// The warden is dead and stays so, as after a crash that systemd cannot mend.
fn keep_warden_down(host: &Host) -> Tested {
    host.sh(
        "systemctl mask --runtime --now stint-warden.service stint-warden.socket stint-warden-courier.socket",
    )?
    .check("masking the warden")?;
    until("the warden to be dead", BOUND, || {
        !host.sh("pgrep -xf '/usr/sbin/stintd warden'").is_ok_and(|said| said.success())
    })?;
    Ok(())
}

#[test]
fn nothing_is_wrong() -> Tested {
    holds(&fleet()?.host, "nothing", USUAL)
}

#[test]
fn the_warden_is_dead() -> Tested {
    let fleet = fleet()?;
    keep_warden_down(&fleet.host)?;
    holds(&fleet.host, "warden dead", no_sudo("warden did not answer"))
}

#[test]
fn the_courier_is_dead() -> Tested {
    let fleet = fleet()?;
    fleet.host.sh("systemctl mask --runtime --now stint-courier.service")?.check("masking the courier")?;
    holds(&fleet.host, "courier dead", USUAL)
}

#[test]
fn the_broker_is_down() -> Tested {
    let fleet = fleet()?;
    fleet.broker.kill()?;
    holds(&fleet.host, "broker down", USUAL)?;
    fleet.host.reboot()?;
    holds(&fleet.host, "broker down, and a reboot", USUAL)
}

#[test]
fn the_gate_is_missing() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    keep_warden_down(host)?;
    for gone in
        ["/var/lib/stint/gate/gen-*", "/var/lib/stint/gate/current", "/var/lib/stint/gate", "/var/lib/stint"]
    {
        host.sh(&format!("rm -r {gone}"))?.check("removing the gate")?;
        holds(host, &format!("gate missing: {gone}"), all_out("the gate cannot be used"))?;
    }
    Ok(())
}

#[test]
fn the_gate_is_damaged_while_the_warden_lives_and_the_first_denial_has_it_mended() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    for damage in [
        "rm -r /var/lib/stint/gate",
        "truncate -s 0 /var/lib/stint/gate/current",
        "rm -r /var/lib/stint/gate/gen-*",
    ] {
        host.sh(damage)?.check("damaging the gate")?;
        // Whoever comes first may be denied still.
        until("alice to be let in", BOUND, || host.ssh("alice", "true").is_ok_and(|login| login.success()))?;
        holds(host, "gate damaged and mended", USUAL)?;
    }
    until("the alarm to be on record", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        told.is_ok_and(|told| told.stdout.contains("gate-damaged"))
    })?;
    Ok(())
}

#[test]
fn the_gate_is_corrupt() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    keep_warden_down(host)?;
    host.sh("cp -a /var/lib/stint/gate /root/gate")?.check("keeping the gate")?;
    for (what, damage, words) in [
        ("current cut in half", "truncate -s 300 current", "malformed"),
        ("current empty", "truncate -s 0 current", "malformed"),
        ("current a pipe", "rm current; mkfifo current", "is not a regular file"),
        ("current of alice's", "chown alice current", "belongs to uid 1001"),
        ("head overwritten", "for g in gen-*; do echo '{}' > $g/head.json; done", ""),
        (
            "head signed by nobody",
            "for g in gen-*; do sed -i 's/\"sig\":\"../\"sig\":\"AA/' $g/head.json; done",
            "",
        ),
        ("root overwritten", "for g in gen-*; do echo '{}' > $g/root.json; done", ""),
        ("a folder that others may write", "chmod 777 gen-*", "writable by others"),
    ] {
        host.sh(&format!("cd /var/lib/stint/gate && {damage}"))?.check("damaging the gate")?;
        holds(host, &format!("gate: {what}"), all_out(words))?;
        host.sh("rm -r /var/lib/stint/gate && cp -a /root/gate /var/lib/stint/gate")?
            .check("putting it back")?;
    }
    holds(host, "gate as it was, warden dead", no_sudo("warden did not answer"))
}

#[test]
fn the_disk_is_full() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    host.sh(&format!(
        "systemctl stop {UNITS} && mount -t tmpfs -o size=256m,mode=755 tmpfs /mnt && cp -a /var/. /mnt && \
         mount --bind /mnt /var && systemctl restart systemd-journald && journalctl --relinquish-var && \
         systemctl start {UNITS}"
    ))?
    .check("giving /var a disk of its own")?;
    holds(host, "/var on a disk of its own", USUAL)?;
    let filled = host.sh("dd if=/dev/zero of=/var/filler bs=64k; dd if=/dev/zero of=/var/filler2 bs=512")?;
    assert!(filled.text().contains("No space left"), "{filled}");
    // What is left of the last page takes a few records yet.
    until("sudo to be refused with its cause", BOUND, || {
        host.ssh("alice", "sudo -n systemctl restart nginx.service")
            .is_ok_and(|sudo| !sudo.success() && sudo.text().contains("cannot record"))
    })?;
    holds(host, "disk full", no_sudo("cannot record"))?;
    host.sh("rm /var/filler /var/filler2")?.check("making room")?;
    until("sudo to be open again", BOUND, || {
        host.ssh("alice", "sudo -n systemctl restart nginx.service").is_ok_and(|sudo| sudo.success())
    })?;
    holds(host, "disk with room again", USUAL)
}

/// By the older system call: overlayfs takes the newer one for other changes.
fn remount(how: &str) -> String {
    format!("LIBMOUNT_FORCE_MOUNT2=always mount -o remount,{how} /")
}

/// Stops whatever writes to the disk, and makes it read-only.
fn make_root_read_only(host: &Host) -> Tested {
    host.sh(&format!("systemctl stop {UNITS} cron atd && journalctl --relinquish-var"))?
        .check("stopping the writers")?;
    // Whoever has just logged out may have a file open yet.
    until("nobody to write to the disk", BOUND, || host.sh(&remount("ro")).is_ok_and(|said| said.success()))?;
    assert!(!host.sh("touch /var/lib/stint/x")?.success());
    // They start and fail, again and again, as they would after a boot.
    host.sh(&format!("systemctl start --no-block {UNITS} cron atd"))?.check("starting them again")?;
    Ok(())
}

#[test]
fn the_disk_is_read_only() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    make_root_read_only(host)?;
    holds(host, "root read-only", no_sudo("warden did not answer"))?;
    host.sh(&remount("rw"))?.check("making the disk writable")?;
    until("sudo to be open again", BOUND, || {
        host.ssh("alice", "sudo -n systemctl restart nginx.service").is_ok_and(|sudo| sudo.success())
    })?;
    holds(host, "root writable again", USUAL)
}

/// A library that shifts the wall clock by some seconds, for every dynamic program that starts from now on.
fn shift_clock(host: &Host, seconds: i64) -> Tested {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/wall_clock.c");
    let library = host.root_path()?.join("usr/lib/wall_clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-shared", "-fPIC", &format!("-DSHIFT={seconds}L"), "-o"])
        .arg(&library)
        .arg(&source);
    let compiled = cc.status().map_err(|source| LabError::Start { program: "cc".into(), source })?;
    assert!(compiled.success(), "cc could not compile {}", source.display());
    let before = host.sh("date +%s")?.stdout;
    host.sh("echo /usr/lib/wall_clock.so > /etc/ld.so.preload")?.check("preloading it")?;
    let after = host.sh("date +%s")?.stdout;
    let read = |text: &str| text.trim().parse::<i64>().unwrap_or_default();
    assert!((read(&after) - read(&before) - seconds).abs() < 60, "the clock went from {before} to {after}");
    // A new sshd: one that runs keeps the clock that it has.
    host.sh("systemctl restart ssh")?.check("restarting sshd")?;
    Ok(())
}

#[test]
fn the_clock_is_an_hour_back() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    shift_clock(host, -3600)?;
    // In a boot that has heard of its broker the wall clock is not asked.
    holds(host, "clock an hour back", USUAL)?;
    fleet.broker.stop()?;
    host.reboot()?;
    holds(host, "clock an hour back, booted, no broker", all_out("set the clock"))?;
    fleet.broker.start()?;
    until("alice to be let in", BOUND, || host.ssh("alice", "true").is_ok_and(|login| login.success()))?;
    holds(host, "clock an hour back, broker back", USUAL)
}

#[test]
fn the_clock_is_a_day_ahead() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    shift_clock(host, 86_400)?;
    // sudo's own end of the rule, NOTAFTER, is by the wall clock.
    holds(host, "clock a day ahead", no_sudo("password"))?;
    fleet.broker.stop()?;
    host.reboot()?;
    // By that clock the grant is over; sudo does not even ask PAM, since its own rule is over too.
    let ended = Ways { login: Way::Shut("ended"), sudo: Way::Shut("password") };
    let expected = Expected { with_grant: ended, without: NO_GRANT };
    holds(host, "clock a day ahead, booted, no broker", expected)?;
    fleet.broker.start()?;
    until("alice to be let in", BOUND, || host.ssh("alice", "true").is_ok_and(|login| login.success()))?;
    holds(host, "clock a day ahead, broker back", no_sudo("password"))
}

/// Runs dpkg, and kills it when it makes one of these calls on a path.
fn kill_dpkg_at(host: &Host, calls: &str, path: &str, dpkg: &str) -> Tested {
    let line = format!(
        "DEBIAN_FRONTEND=noninteractive strace -f -qq -o /root/strace -P {path} -e trace={calls} \
         -e inject={calls}:signal=SIGKILL dpkg {dpkg}"
    );
    let killed = host.sh(&line)?;
    assert!(killed.status == 137, "dpkg was not killed at {path}: {killed}");
    Ok(())
}

#[test]
fn an_upgrade_stops_half_way() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let deb = host.root_path()?.join("root/stint-host.deb");
    std::fs::copy(Packages::find().host, &deb).map_err(LabError::file(&deb))?;
    for path in ["/usr/sbin/stintd", MODULE, "/usr/share/pam-configs/stint-register"] {
        kill_dpkg_at(host, "rename", &format!("{path}.dpkg-new"), "-i /root/stint-host.deb")?;
        holds(host, &format!("upgrade killed at {}", path.rsplit('/').next().unwrap_or(path)), USUAL)?;
    }
    host.power_cut()?;
    host.start()?;
    until("alice to be let in", BOUND, || host.ssh("alice", "true").is_ok_and(|login| login.success()))?;
    holds(host, "upgrade killed, and a power cut", USUAL)?;
    host.sh("dpkg --unpack /root/stint-host.deb")?.check("unpacking")?;
    holds(host, "upgrade unpacked, not configured", USUAL)?;
    host.reboot()?;
    holds(host, "upgrade unpacked, and a reboot", USUAL)?;
    host.sh("dpkg --configure -a")?.check("configuring")?;
    holds(host, "upgrade done", USUAL)
}

/// Nothing is gated any more; what a grant gave is gone.
const REMOVED: Expected =
    Expected { with_grant: Ways { login: Way::Open, sudo: Way::Shut("password") }, without: OPEN };

#[test]
fn the_package_is_removed() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    // Before the module goes, no line names it any more; the warden, which lives on, has taken the drop-ins away.
    kill_dpkg_at(host, "unlink,rename,rmdir", MODULE, "-r stint-host")?;
    assert!(!host.sh("grep -rl pam_stint /etc/pam.d")?.success());
    assert!(host.sh(&format!("test -e {MODULE}"))?.success());
    holds(host, "removal killed at the module", REMOVED)?;
    host.sh("dpkg --configure -a; DEBIAN_FRONTEND=noninteractive apt-get remove -y stint-host")?
        .check("removing the package")?;
    assert!(!host.sh(&format!("test -e {MODULE}"))?.success());
    holds(host, "package removed", REMOVED)?;
    host.reboot()?;
    holds(host, "package removed, and a reboot", REMOVED)
}
