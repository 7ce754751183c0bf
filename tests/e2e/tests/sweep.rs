//! What an account that lives by grants alone keeps for later goes with its last grant, and the receipt says so.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST};
use stint_lab::{Host, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// The receipt of a grant, as an auditor reads it.
fn receipt(fleet: &Fleet, id: &str) -> Result<String, E2eError> {
    let mut found = None;
    let begin = format!("receipt of grant {id}");
    until("the receipt to be on record", BOUND, || {
        let told = fleet.carol.stint(&["audit", "ls", "--host", HOST]);
        found =
            told.ok().and_then(|told| told.stdout.lines().find(|l| l.contains(&begin)).map(str::to_owned));
        found.is_some()
    })?;
    Ok(found.unwrap_or_default())
}

fn revoke(fleet: &Fleet, id: &str) -> Tested {
    fleet.carol.run(&["grant", "revoke", id, "--reason", "done", "--wait", "--timeout=3m"])?;
    Ok(())
}

/// PID 1 names a program by its whole path.
fn runs(host: &Host, command: &str) -> bool {
    host.sh(&format!("pgrep -xf '(/usr/bin/)?{command}'")).is_ok_and(|outcome| outcome.success())
}

/// What is in a folder of the host's.
fn list(host: &Host, folder: &str) -> Result<String, E2eError> {
    Ok(host.sh(&format!("ls {folder} 2>/dev/null || true"))?.stdout.trim().to_owned())
}

#[test]
fn at_jobs_and_the_crontab_go_with_the_last_grant_and_those_of_others_stay() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh(
        "echo '* * * * * true' | crontab -u bob - && echo true | runuser -u bob -- at -q b now + 2 hours",
    )?
    .check("bob's own")?;
    let last = fleet.grant("nginx-restart", "10m")?;
    host.ssh("alice", "echo '* * * * * true' | crontab - && echo true | at -q c now + 2 hours")?
        .check("alice's")?;
    let jobs = list(host, "/var/spool/cron/atjobs")?;
    assert_eq!(jobs.lines().count(), 2, "{jobs}");

    revoke(&fleet, &last)?;
    let told = receipt(&fleet, &last)?;
    assert!(!told.contains("NOT CLEAN"), "{told}");
    for what in ["crontab /var/spool/cron/crontabs/alice; a copy is", "at job /var/spool/cron/atjobs/c"] {
        assert!(told.contains(what), "{what} is not in: {told}");
    }
    assert_eq!(list(host, "/var/spool/cron/crontabs")?, "bob");
    let left = list(host, "/var/spool/cron/atjobs")?;
    assert!(left.lines().count() == 1 && left.starts_with('b'), "{left}");
    let copy = host.sh(&format!("cat /var/lib/stint/quarantine/{last}/alice"))?.stdout;
    assert!(copy.ends_with("\n* * * * * true\n"), "{copy}");
    assert_ne!(host.sh("runuser -u alice -- ls /var/lib/stint/quarantine")?.status, 0);
    Ok(())
}

#[test]
fn a_crontab_that_stood_before_the_window_is_named_and_stays() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh("echo '* * * * * true' | crontab -u alice -")?.check("her own")?;
    // Its age is told from the window's beginning by whole seconds.
    let stood = stint_e2e::unix_now();
    until("some seconds to pass", BOUND, || stint_e2e::unix_now() > stood + 5.0)?;
    let id = fleet.grant("web-login", "10m")?;
    revoke(&fleet, &id)?;
    let told = receipt(&fleet, &id)?;
    assert!(told.contains("crontabs/alice stood before the window"), "{told}");
    assert_eq!(list(host, "/var/spool/cron/crontabs")?, "alice");
    Ok(())
}

#[test]
fn a_manager_that_lingers_its_services_and_its_timers_go_with_the_last_grant() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    let id = fleet.grant("web-login", "10m")?;
    host.ssh(
        "alice",
        "loginctl enable-linger && systemd-run --user sleep 621 && systemd-run --user --on-active=1h sleep 622 && ipcmk -M 1024",
    )?
    .check("alice's services")?;
    until("the service to run", BOUND, || runs(host, "sleep 621"))?;
    assert_eq!(list(host, "/var/lib/systemd/linger")?, "alice");

    revoke(&fleet, &id)?;
    let told = receipt(&fleet, &id)?;
    // logind takes these away in its own time; what it has not taken by then is named.
    let logind_s = told.contains("shared memory of alice") || told.contains("/run/user/1001");
    assert!(told.contains(": clean;") || (told.contains("NOT CLEAN") && logind_s), "{told}");
    assert!(told.contains("removed lingering of alice") && !told.contains("lingers"), "{told}");
    assert_eq!(list(host, "/var/lib/systemd/linger")?, "");
    assert_eq!(host.sh("ps -ww -u alice -o pid=,stat=,args=")?.stdout, "", "something of alice's is left");
    let folder = host.sh("ls -d /run/user/1001")?.stdout;
    assert!(folder.is_empty() || told.contains("/run/user/1001"), "{told}: {folder}");
    let shared = host.sh("ipcs -m | grep alice")?.stdout;
    assert!(shared.is_empty() || told.contains("1 of shared memory of alice"), "{told}: {shared}");
    until("logind to have taken all of it", BOUND, || {
        host.sh("! ls -d /run/user/1001 && ! ipcs -m | grep alice").is_ok_and(|said| said.success())
    })?;
    until("PID 1 to forget that the manager was killed", BOUND, || {
        let state = host.sh("systemctl is-failed user@1001.service");
        state.is_ok_and(|state| state.stdout.trim() == "inactive")
    })?;
    Ok(())
}

/// Five ways of root's out of its scope: another group, another login uid, both, a scope of PID 1's, a service of PID 1's.
const HIDE: &str = r#"
other=/sys/fs/cgroup/system.slice/cron.service/cgroup.procs
setsid sh -c "echo \$\$ > $other; exec sleep 631" > /dev/null 2>&1 &
setsid sh -c "echo 0 > /proc/self/loginuid; exec sleep 632" > /dev/null 2>&1 &
setsid sh -c "echo \$\$ > $other; echo 0 > /proc/self/loginuid; exec sleep 633" > /dev/null 2>&1 &
systemd-run --scope --slice=system.slice sleep 634 > /dev/null 2>&1 &
systemd-run --unit=hidden sleep 635
for n in 1 2 3 4 5; do until pgrep -xf "(/usr/bin/)?sleep 63$n"; do sleep 0.1; done; done
"#;

#[test]
fn what_root_hid_by_group_or_by_login_uid_dies_and_what_cannot_be_found_is_named() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    host.sh(&format!("cat > /root/hide <<'END'{HIDE}END"))?.check("the script")?;
    let before = host.sh("systemd-run --unit=standing sleep 636")?;
    before.check("a service of an administrator's")?;
    let stood = stint_e2e::unix_now();
    until("some seconds to pass", BOUND, || stint_e2e::unix_now() > stood + 5.0)?;
    let id = fleet.grant("web-root", "10m")?;
    host.ssh("alice", "sudo -n sh /root/hide")?.check("hiding")?;
    let loginuid = |n: u32| host.sh(&format!("cat /proc/$(pgrep -xf 'sleep 63{n}')/loginuid"));
    assert_eq!(loginuid(1)?.stdout.trim(), "1001");
    assert_eq!(loginuid(2)?.stdout.trim(), "0");
    assert_eq!(loginuid(3)?.stdout.trim(), "0");

    revoke(&fleet, &id)?;
    let told = receipt(&fleet, &id)?;
    for (n, way) in [(1, "another group"), (2, "another login uid"), (4, "a scope")] {
        assert!(!runs(host, &format!("sleep 63{n}")), "{way} was enough to live on: {told}");
    }
    assert!(told.contains("could not be excluded"), "{told}");
    assert!(told.contains("PID 1 runs hidden.service since"), "{told}");
    assert!(!told.contains("standing.service") && !told.contains("run-"), "{told}");
    // Whose it is nothing tells: it is for a person to end.
    assert!(runs(host, "sleep 635") && runs(host, "sleep 636"));
    Ok(())
}
