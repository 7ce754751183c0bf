//! Every PAM service by which somebody comes in or becomes somebody: with a grant it passes, without one it is denied, and root passes.
//! Each is used as people use it; sudo once more with sudo-rs in its place.
//!
//! `systemd-run0` is tried on Debian 13, whose systemd has run0.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, sudo_rs, wait_for_end};
use stint_lab::{Host, Outcome, Session, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// cron looks once a minute.
const CRON: Duration = Duration::from_mins(5);

/// Alice has a grant for every way, carol has none. doas and sudo would let both do anything.
fn fleet() -> Result<Fleet, E2eError> {
    let fleet = Fleet::new()?;
    let standing = "echo 'carol ALL = (ALL) NOPASSWD: ALL' > /etc/sudoers.d/carol && chmod 440 /etc/sudoers.d/carol && \
                    printf 'permit nopass %s\\n' alice carol root > /etc/doas.conf";
    fleet.host.sh(standing)?.check("standing rights")?;
    fleet.grant("everywhere", "30m")?;
    Ok(fleet)
}

fn passes(what: &str, outcome: &Outcome) {
    assert!(outcome.success() && outcome.stdout.trim() == "0", "{what}: {outcome}");
}

fn is_denied(what: &str, outcome: &Outcome) {
    assert!(!outcome.success() && outcome.text().contains("no grant"), "{what}: {outcome}");
}

/// Carol's own processes, since she cannot log in.
fn as_carol(host: &Host, line: &str) -> Result<Outcome, E2eError> {
    Ok(host.exec(&["runuser", "-u", "carol", "--", "sh", "-c", line])?)
}

/// Waits until the auth log tells of a denial in a service's account phase.
fn was_denied(host: &Host, service: &str, user: &str, cause: &str) -> Tested {
    let line = format!(
        "journalctl | grep 'pam_stint({service}:account): denied: service={service} user={user} ' | grep -q ' cause={cause}:'"
    );
    Ok(until("the denial in the log", CRON, || host.sh(&line).is_ok_and(|said| said.success()))?)
}

/// Answers one prompt for a password, and says what was shown until the end.
fn with_password(mut session: Session, prompt: &str, password: &str, then: &str) -> Result<String, E2eError> {
    session.wait_for(prompt, BOUND)?;
    session.type_line(password)?;
    session.wait_for(then, BOUND)?;
    Ok(session.heard())
}

#[test]
fn sshd_and_login_let_in_by_grant_and_root_at_the_console() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    is_denied("sshd", &host.ssh("carol", "true")?);
    for (user, shows) in [("alice", "alice@web-01"), ("carol", "no grant"), ("root", "root@web-01")] {
        with_password(host.terminal(&format!("/bin/login {user}"))?, "Password:", user, shows)?;
    }
    Ok(())
}

#[test]
fn sudo_sudo_i_and_doas_run_by_grant() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    for line in ["sudo -n id -u", "sudo -n -i id -u", "doas -n id -u"] {
        passes(line, &host.ssh("alice", line)?);
        is_denied(line, &as_carol(host, line)?);
        passes(line, &host.sh(line)?);
    }
    Ok(())
}

#[test]
fn su_su_l_and_pkexec_run_by_grant_though_root_s_password_is_known() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    // The shell shows what is typed; only what it makes of it counts.
    for (line, prompt) in
        [("su -c 'echo uid=$(id -u)'", "Password:"), ("su - -c 'echo uid=$(id -u)'", "Password:")]
    {
        let mut alice = host.ssh_session("alice")?;
        alice.type_line(line)?;
        let heard = with_password(alice, prompt, "root", "uid=0");
        heard.map_err(|error| E2eError::Answer { what: line.into(), why: error.to_string() })?;
    }
    for (line, prompt) in [("su -c id", "Password:"), ("su - -c id", "Password:")] {
        let heard = with_password(
            host.terminal(&format!("runuser -u carol -- {line}"))?,
            prompt,
            "root",
            "no grant",
        )?;
        assert!(!heard.contains("uid=0"), "{line}: {heard}");
    }
    // polkit's helper runs with the real uid of who asks, as this does.
    is_denied("polkit-1", &as_carol(host, "pamtester polkit-1 root acct_mgmt")?);
    let helper = host.ssh("alice", "pamtester polkit-1 root acct_mgmt")?;
    assert!(helper.success(), "{helper}");
    for line in ["su -c 'id -u'", "su - -c 'id -u'", "pkexec id -u"] {
        passes(line, &host.sh(line)?);
    }
    Ok(())
}

#[test]
fn pkexec_with_root_s_password_is_denied_to_who_may_log_in_only() -> Tested {
    let fleet = Fleet::new()?;
    let host = &fleet.host;
    fleet.grant("web-login", "30m")?;
    let mut alice = host.ssh_session("alice")?;
    alice.type_line("pkexec sh -c 'echo uid=$(id -u)'")?;
    let heard = with_password(alice, "Password:", "root", "Not authorized")?;
    assert!(!heard.contains("uid=0"), "{heard}");
    was_denied(host, "polkit-1", "alice", "not-covered")
}

#[test]
fn cron_and_at_start_jobs_by_grant() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    host.sh("mkdir -m 1777 /srv/jobs")?.check("a folder for what jobs leave")?;
    for user in ["alice", "carol", "root"] {
        let table = format!("echo '* * * * * touch /srv/jobs/cron-{user}' | crontab -u {user} -");
        host.sh(&table)?.check("a crontab")?;
        let job = format!("echo 'touch /srv/jobs/at-{user}' | runuser -u {user} -- at now");
        host.sh(&job)?.check("an at job")?;
    }
    let ran = |job: &str| host.sh(&format!("test -e /srv/jobs/{job}")).is_ok_and(|said| said.success());
    for job in ["at-alice", "at-root", "cron-alice", "cron-root"] {
        until(job, CRON, || ran(job))?;
    }
    for service in ["atd", "cron"] {
        was_denied(host, service, "carol", "no-grant")?;
    }
    assert!(!ran("at-carol") && !ran("cron-carol"));
    Ok(())
}

/// A host whose sudo is sudo-rs.
fn fleet_with_sudo_rs() -> Result<Fleet, E2eError> {
    let fleet = Fleet::new()?;
    sudo_rs::install(&fleet.host)?;
    let said = fleet.host.sh("sudo -V")?;
    assert!(said.text().starts_with("sudo-rs"), "{said}");
    let standing =
        "echo 'carol ALL = (ALL) NOPASSWD: ALL' > /etc/sudoers.d/carol && chmod 440 /etc/sudoers.d/carol";
    fleet.host.sh(standing)?.check("standing rights")?;
    Ok(fleet)
}

#[test]
fn sudo_rs_runs_exactly_the_granted_commands_in_scopes_of_their_own() -> Tested {
    let fleet = fleet_with_sudo_rs()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", "30m")?;
    assert_eq!(Dropins::on(host)?.0, [format!("zz-stint-{id}")]);
    let restart = host.ssh("alice", "sudo -n systemctl restart nginx.service && echo 0")?;
    passes("the granted command", &restart);
    for refused in ["systemctl restart ssh.service", "systemctl restart nginx.service extra", "id -u"] {
        let outcome = host.ssh("alice", &format!("sudo -n {refused}"))?;
        assert!(!outcome.success(), "sudo {refused}: {outcome}");
    }
    let denied = as_carol(host, "sudo -n id -u")?;
    assert!(!denied.success() && denied.text().contains("Permission denied"), "{denied}");
    // It keeps to itself what modules say; the auth log has the cause.
    was_denied(host, "sudo", "carol", "no-grant")?;
    passes("root's sudo-rs", &host.sh("sudo -n id -u")?);
    passes("the break-glass account's", &host.ssh("rescue", "sudo -n id -u")?);

    let root = fleet.grant("web-root", "30m")?;
    let mut session = host.ssh_session("alice")?;
    session.type_line("sudo -n sh -c 'trap \"\" TERM HUP; setsid sleep 691 & sleep 691'")?;
    let runs = || host.sh("pgrep -xf 'sleep 691'").is_ok_and(|said| said.success());
    until("the command to run", BOUND, runs).inspect_err(|_| println!("{}", session.heard()))?;
    let cgroups = host.sh("for p in $(pgrep -xf 'sleep 691'); do grep '^0::' /proc/$p/cgroup; done")?.stdout;
    assert!(cgroups.lines().all(|path| path.contains("/stint.slice/")), "{cgroups}");
    fleet.carol.run(&["grant", "revoke", &root, "--reason", "done", "--wait", "--timeout=3m"])?;
    until("the command to be dead", BOUND, || !runs())?;
    Ok(())
}

#[test]
fn a_rule_of_sudo_rs_which_has_no_end_of_its_own_is_over_by_pam_with_the_warden_dead() -> Tested {
    let fleet = fleet_with_sudo_rs()?;
    let host = &fleet.host;
    let id = fleet.grant("nginx-restart", &fleet.window(20))?;
    let end = fleet.end_of(&id)?;
    host.sh(
        "systemctl mask --runtime --now stint-warden.service stint-warden.socket stint-warden-courier.socket",
    )?
    .check("masking the warden")?;
    wait_for_end(end)?;
    assert_eq!(Dropins::on(host)?.0.len(), 1, "nobody is there to remove it");
    let line = "sudo -n systemctl restart nginx.service";
    // The host's own time is that of the last news, which may be a little behind.
    until("sudo to be denied", BOUND, || {
        let ended = host.exec(&["runuser", "-u", "alice", "--", "sh", "-c", line]);
        ended.is_ok_and(|ended| !ended.success() && ended.text().contains("Permission denied"))
    })?;
    was_denied(host, "sudo", "alice", "ended")?;
    Ok(())
}
