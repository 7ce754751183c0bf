//! Debian 13 in the host's place: a later systemd, with run0; a later sudo; a later sshd, which serves a login in another program.

use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST, Options, processes_of, unix_now, wait_for_denial};
use stint_lab::{Outcome, Session, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// Longer than the idle limit and what the kernel's notes are late.
const IDLE: Duration = Duration::from_mins(4);

/// All of root, for logins that are used.
const ROOT_IDLE: &str = r#"
name = "root-idle"
description = "All of root on web hosts, while it is used"
hosts = { labels = { role = "web" } }
login = { services = ["sshd", "polkit-1"] }
full_root = true
max_window = "30m"
idle_limit = "30s"
reviews = 1
"#;

fn fleet() -> Result<Fleet, E2eError> {
    let catalog = &[("root-idle.toml", ROOT_IDLE)];
    Fleet::with(&Options { suite: Some("trixie"), catalog, ..Options::default() })
}

fn is_denied(what: &str, outcome: &Outcome) {
    assert!(!outcome.success() && outcome.text().contains("no grant"), "{what}: {outcome}");
}

/// `run0` at a terminal of alice's, with root's password for polkit. What was shown until `then`.
fn run0(mut session: Session, then: &str) -> Result<String, E2eError> {
    session.type_line("run0 sh -c 'echo uid=$(id -u)'")?;
    session.wait_for("Password:", BOUND)?;
    session.type_line("root")?;
    session.wait_for(then, BOUND)?;
    Ok(session.heard())
}

#[test]
fn a_grant_lets_in_runs_its_commands_and_ends_with_all_its_processes() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    assert_eq!(host.sh(". /etc/os-release; echo $VERSION_ID")?.stdout, "13\n");
    is_denied("a login without a grant", &host.ssh("alice", "true")?);
    let id = fleet.grant("nginx-restart", &fleet.window(20))?;
    let end = fleet.end_of(&id)?;
    let mut session = host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n systemctl restart nginx.service && echo rest''arted")?;
    session.wait_for("restarted", BOUND)?;
    assert!(!host.ssh("alice", "sudo -n id")?.success());
    session.type_line("setsid sh -c 'trap \"\" TERM HUP INT; sleep 600 & sleep 600' & echo start''ed")?;
    session.wait_for("started", BOUND)?;

    session.wait_closed(BOUND)?;
    assert!(unix_now() >= end - 1.0, "{} s too early", end - unix_now());
    until("alice's processes to be gone", BOUND, || {
        processes_of(host, "alice").is_ok_and(|list| list.is_empty())
    })?;
    until("the drop-in to be gone", BOUND, || Dropins::on(host).is_ok_and(|d| d.0.is_empty()))?;
    Ok(wait_for_denial(host, "alice", "ended at")?)
}

#[test]
fn what_run0_and_sudo_run_as_root_dies_with_the_grant() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = fleet.grant("everywhere", "10m")?;
    assert!(run0(host.ssh_session("alice")?, "uid=0")?.contains("uid=0"));
    for (how, marker) in [("run0", "sleep 7001"), ("sudo -n", "sleep 7002"), ("sudo -n -i", "sleep 7003")] {
        let mut session = host.ssh_session("alice")?;
        session.type_line(&format!("{how} sh -c 'trap \"\" TERM HUP; {marker}; true'"))?;
        if how == "run0" {
            session.wait_for("Password:", BOUND)?;
            session.type_line("root")?;
        }
        until(marker, BOUND, || host.sh(&format!("pgrep -xf '{marker}'")).is_ok_and(|said| said.success()))?;
        std::mem::forget(session);
    }
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough"])?;
    for marker in ["sleep 7001", "sleep 7002", "sleep 7003"] {
        until(&format!("{marker} to be gone"), BOUND, || {
            host.sh(&format!("! pgrep -xf '{marker}'")).is_ok_and(|said| said.success())
        })?;
    }
    Ok(())
}

#[test]
fn an_idle_login_takes_nothing_with_it_that_another_login_runs_by_run0_and_the_grant_s_end_does() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = fleet.grant("root-idle", "30m")?;
    let mut idle = host.ssh_session("alice")?;
    idle.wait_for("stint: access until", BOUND)?;
    let mut used = host.ssh_session("alice")?;
    used.type_line(
        "run0 sh -c 'trap \"\" TERM HUP; echo uid=$(id -u); while read -r word; do echo heard=$word; done'",
    )?;
    used.wait_for("Password:", BOUND)?;
    used.type_line("root")?;
    used.wait_for("uid=0", BOUND)?;
    until("the idle login to end", IDLE, || used.type_line("use").is_err() || !idle.is_open())?;
    idle.wait_closed(BOUND)?;
    assert!(idle.heard().contains("stint: idle: this session ends in"), "{}", idle.heard());
    // It is forgotten when all that goes with it has been killed.
    until("its end to be over", BOUND, || {
        let logins = host.sh("grep -o '\"kind\":\"login\"' /run/stint/sessions.json | wc -l");
        logins.is_ok_and(|count| count.stdout.trim() == "1")
    })?;
    used.type_line("after")?;
    used.wait_for("heard=after", BOUND)?;

    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough"])?;
    until("what run0 runs to be gone", BOUND, || {
        host.sh("! pgrep -f 'while read -r [w]ord'").is_ok_and(|said| said.success())
    })?;
    Ok(())
}

#[test]
fn run0_with_root_s_password_is_denied_to_who_may_log_in_only() -> Tested {
    let fleet = fleet()?;
    fleet.grant("web-login", "10m")?;
    let heard = run0(fleet.host.ssh_session("alice")?, "denied")?;
    assert!(!heard.contains("uid=0"), "{heard}");
    Ok(())
}

#[test]
fn at_the_console_root_and_who_has_a_grant_get_in_and_others_hear_why_not() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    fleet.grant("everywhere", "10m")?;
    for (user, shows) in [("root", "login=0 root"), ("alice", "login=1001 alice"), ("bob", "no grant")] {
        let mut console = host.terminal(&format!("/bin/login {user}"))?;
        console.wait_for("Password:", BOUND)?;
        console.type_line(user)?;
        if user != "bob" {
            console.wait_for(&format!("{user}@{HOST}"), BOUND)?;
            console.type_line("echo login=$(id -u) $(logname); exit")?;
        }
        console.wait_for(shows, BOUND)?;
        console.wait_closed(BOUND)?;
    }
    // With the warden gone, root still gets in, and nobody else who does not.
    host.sh("systemctl mask --runtime --now stint-warden.service stint-warden.socket")?.check("masking")?;
    let mut console = host.terminal("/bin/login root")?;
    console.wait_for("Password:", BOUND)?;
    console.type_line("root")?;
    console.wait_for(&format!("root@{HOST}"), BOUND)?;
    Ok(())
}

#[test]
fn arming_tells_of_an_sshd_that_turns_addresses_away_until_some_are_excepted() -> Tested {
    let fleet = Fleet::with(&Options { suite: Some("trixie"), armed: false, ..Options::default() })?;
    let told = |fleet: &Fleet| -> Result<String, E2eError> {
        let armed = fleet.host.exec(&["stintd", "arm", "--rollback", "10m"])?;
        assert!(armed.success(), "{armed}");
        Ok(armed.text())
    };
    let before = told(&fleet)?;
    assert!(before.contains("turns away") && before.contains("PerSourcePenaltyExemptList"), "{before}");
    fleet
        .host
        .sh("echo 'PerSourcePenaltyExemptList 10.77.0.0/16' > /etc/ssh/sshd_config.d/01-bastion.conf")?;
    let after = told(&fleet)?;
    assert!(!after.contains("turns away"), "{after}");
    Ok(())
}
