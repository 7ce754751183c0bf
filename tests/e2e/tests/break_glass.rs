//! Break-glass codes through real ssh, with the broker gone: each opens a sealed grant once, for a short window, and never unseen.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use stint_e2e::{Dropins, E2eError, Fleet, HOST, Options, processes_of};
use stint_lab::{CONNECT_TIMEOUT, Host, Outcome, Session, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

const HOST_TOML: &str = "
[managed]
break_glass_uid = 1900
[limits]
staleness = \"20s\"
register_timeout_ms = 5000
[ceiling.break_glass]
codes = true
max_window = \"2m\"
";

const WEB_GLASS: &str = r#"
name = "web-glass"
description = "The way in to web hosts when the broker is gone"
hosts = { labels = { role = "web" } }
login = { services = ["sshd", "login"] }
max_window = "45s"
claim_within = "30d"
codes = 8
reviews = 1

[[sudo]]
command = "/usr/bin/systemctl"
arguments = ["restart", "nginx.service"]
"#;

/// All of root, for su and doas.
const ROOT_GLASS: &str = r#"
name = "root-glass"
description = "Root on web hosts when the broker is gone"
hosts = { labels = { role = "web" } }
login = { services = ["login"] }
full_root = true
max_window = "45s"
claim_within = "30d"
codes = 8
reviews = 1
"#;

/// Answers each prompt of ssh as it is asked.
const ANSWERS: &str = r#"#!/bin/sh
case "$1" in
*assword*) echo alice ;;
*ode:*) echo "$CODE" ;;
*eason:*) echo "OPS-12: the broker is gone" ;;
esac
"#;

fn fleet() -> Result<Fleet, E2eError> {
    fleet_with(HOST_TOML)
}

fn fleet_with(host_toml: &str) -> Result<Fleet, E2eError> {
    let options = Options {
        host_toml: host_toml.into(),
        pulse_interval: "2s".into(),
        catalog: &[("web-glass.toml", WEB_GLASS), ("root-glass.toml", ROOT_GLASS)],
        ..Options::default()
    };
    let fleet = Fleet::with(&options)?;
    let answers = fleet.lab.dir().join("answers");
    fs::write(&answers, ANSWERS).map_err(E2eError::file(&answers))?;
    fs::set_permissions(&answers, Permissions::from_mode(0o755)).map_err(E2eError::file(&answers))?;
    let asks = "printf 'KbdInteractiveAuthentication yes\\nPasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/01-asks.conf && systemctl restart ssh";
    fleet.host.sh(asks)?.check("letting sshd ask")?;
    fleet.make_sshd_patient()?;
    Ok(fleet)
}

/// A sealed grant of alice's, reviewed and on the host, and its codes.
fn sealed(fleet: &Fleet, host: &str, codes: &str) -> Result<(String, Vec<String>), E2eError> {
    sealed_of(fleet, "web-glass", host, codes)
}

/// The same of another entitlement.
fn sealed_of(
    fleet: &Fleet,
    entitlement: &str,
    host: &str,
    codes: &str,
) -> Result<(String, Vec<String>), E2eError> {
    let (id, codes) = reviewed(fleet, entitlement, host, codes)?;
    fleet.alice.activate(&id)?;
    Ok((id, codes))
}

/// The same, not on its host yet.
fn reviewed(
    fleet: &Fleet,
    entitlement: &str,
    host: &str,
    codes: &str,
) -> Result<(String, Vec<String>), E2eError> {
    let asked = [
        "--output",
        "json",
        "request",
        "create",
        entitlement,
        "--host",
        host,
        "--reason",
        "for the day",
        "--codes",
        codes,
    ];
    let made = fleet.alice.stint(&asked)?.check("sealing a grant")?;
    let told: serde_json::Value = serde_json::from_str(&made.stderr)
        .map_err(|error| E2eError::answer("codes", format!("{error}: {made}")))?;
    let id = told["request"].as_str().unwrap_or_default().to_owned();
    let codes =
        told["codes"].as_array().into_iter().flatten().filter_map(|code| code.as_str().map(str::to_owned));
    fleet.bob.approve(&id)?;
    Ok((id, codes.collect()))
}

/// Alice logs in with her password, and answers with a code.
fn by_code(fleet: &Fleet, code: &str, line: &str) -> Result<Outcome, E2eError> {
    answering(fleet, &["-o", "PreferredAuthentications=keyboard-interactive"], code, line)
}

/// The same with her key before it.
fn by_key_and_code(fleet: &Fleet, code: &str, line: &str) -> Result<Outcome, E2eError> {
    let key = fleet.lab.key("alice").display().to_string();
    let both = ["-i", &key, "-o", "PreferredAuthentications=publickey,keyboard-interactive"];
    answering(fleet, &both, code, line)
}

fn answering(fleet: &Fleet, options: &[&str], code: &str, line: &str) -> Result<Outcome, E2eError> {
    let (dir, code) = (fleet.lab.dir(), format!("CODE={code}"));
    let answers = format!("SSH_ASKPASS={}", dir.join("answers").display());
    let known = format!("UserKnownHostsFile={}", dir.join("known_hosts").display());
    let env = ["env", "-u", "SSH_AUTH_SOCK", &code, &answers, "SSH_ASKPASS_REQUIRE=force"];
    let ssh = ["ssh", "-F", "none", "-o", &known, "-o", "StrictHostKeyChecking=yes", "-o", CONNECT_TIMEOUT];
    let once = ["-o", "NumberOfPasswordPrompts=1"];
    let to = format!("alice@{HOST}");
    Ok(fleet.lab.control(&[&env[..], &ssh, options, &once, &[&to, line]].concat())?)
}

fn refused(outcome: &Outcome, words: &str) {
    assert!(!outcome.success() && outcome.text().contains(words), "{words:?} is missing: {outcome}");
}

fn is_sealed(host: &Host) -> bool {
    host.ssh("alice", "true").is_ok_and(|o| o.status == 255 && o.text().contains("is sealed"))
}

#[test]
fn with_the_broker_gone_a_code_opens_a_short_window_once_and_the_broker_hears_of_it_when_it_is_back() -> Tested
{
    let fleet = fleet()?;
    let host = &fleet.host;
    let (id, codes) = sealed(&fleet, HOST, "2")?;
    fleet.grant_to(&fleet.carol, "web-login", "30m")?;
    let keys_only = host.ssh("alice", "true")?;
    refused(&keys_only, "PreferredAuthentications=keyboard-interactive");
    assert!(Dropins::on(host)?.0.is_empty(), "nothing is open yet");
    assert!(host.ssh("carol", "true")?.success());

    fleet.broker.stop()?;
    until("the news to be too old", BOUND, || {
        host.ssh("carol", "true").is_ok_and(|o| o.text().contains("last heard from its broker"))
    })?;
    assert!(is_sealed(host));
    refused(&by_code(&fleet, "", "true")?, "is sealed");
    // In sshd's own password method PAM can ask nobody: neither code nor password goes astray.
    let by_password = answering(&fleet, &["-o", "PreferredAuthentications=password"], &codes[0], "true")?;
    refused(&by_password, "is sealed");

    std::thread::scope(|scope| -> Tested {
        let line = "sudo -n systemctl restart nginx.service && id -un && sleep 671";
        let session = scope.spawn(|| by_code(&fleet, &codes[0].to_lowercase(), line));
        until("the rule to be there", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.len() == 1))?;
        // While it is open, it is a grant like any other.
        let by_key = host.ssh("alice", "sudo -n systemctl restart nginx.service && id -un")?;
        assert_eq!(by_key.stdout, "alice\n", "{by_key}");
        until("the window to be over", BOUND, || session.is_finished())?;
        let session = session.join().expect("ssh was run")?;
        assert!(session.stdout.starts_with("alice\n"), "{session}");
        Ok(())
    })?;
    until("all of it to be gone", BOUND, || {
        is_sealed(host)
            && processes_of(host, "alice").is_ok_and(|all| all.is_empty())
            && Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty())
    })?;
    refused(&by_code(&fleet, &codes[0], "true")?, "was used at");
    // The other one is good, at the console.
    let mut console = host.terminal("/bin/login alice")?;
    for (prompt, answer) in
        [("Password:", "alice"), ("code:", codes[1].as_str()), ("Reason:", "OPS-12: the broker is gone")]
    {
        console.wait_for(prompt, BOUND)?;
        console.type_line(answer)?;
    }
    console.wait_for("stint: access until", BOUND)?;
    console.wait_for(&format!("alice@{HOST}"), BOUND)?;
    assert!(!console.heard().contains(&codes[1]), "a code does not show: {}", console.heard());
    console.wait_closed(BOUND)?;

    fleet.broker.start()?;
    until("the broker to know", BOUND, || {
        let shown = fleet.alice.stint(&["grant", "show", &id]);
        shown.is_ok_and(|shown| shown.stdout.matches("REVIEW OWED").count() == 2)
    })?;
    let shown = fleet.alice.run(&["grant", "show", &id])?;
    assert!(shown.stdout.contains("OPS-12: the broker is gone"), "{shown}");
    let journal = fleet.carol.run(&["audit", "ls", "--host", HOST])?;
    assert!(journal.stdout.contains("BREAK-GLASS: alice opened grant"), "{journal}");
    let code = codes[0].replace('-', "");
    assert!(!journal.text().replace('-', "").contains(&code), "no code is ever on record");
    Ok(())
}

#[test]
fn codes_of_another_host_and_wrong_ones_open_nothing_and_make_one_wait_also_after_a_reboot() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let (_, codes) = sealed(&fleet, HOST, "1")?;
    let other = fleet.another_host("web-02")?;
    let (id, others) = reviewed(&fleet, "web-glass", "web-02", "1")?;
    let not_there = fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?;
    refused(&not_there, "this host's ceiling allows none");
    drop(other);
    fleet.broker.stop()?;
    // The right id with another secret.
    let near = format!("{}-0000-0000-0000-0000", &codes[0][..4]);
    for wrong in [others[0].as_str(), &near, "0000-0000-0000-0000-0000"] {
        refused(&by_code(&fleet, wrong, "true")?, "opens nothing here for alice");
    }
    refused(&by_code(&fleet, &codes[0], "true")?, "too many break-glass codes were wrong");
    // The wait is to outlast a boot, however busy the machine is: each one more that is wrong doubles it.
    let mut wait = 30;
    while wait < fleet.seconds(25) {
        until("the wait to be over", Duration::from_secs(wait) + BOUND, || {
            by_code(&fleet, "0000-0000-0000-0000-0000", "true")
                .is_ok_and(|o| o.text().contains("opens nothing here for alice"))
        })?;
        wait *= 2;
    }
    host.power_cut()?;
    host.start()?;
    refused(&by_code(&fleet, &codes[0], "true")?, "too many break-glass codes were wrong");
    // Where a key is asked for as well, the code comes after both.
    host.sh("printf 'Match User alice\nAuthenticationMethods publickey,keyboard-interactive\n' \
         >/etc/ssh/sshd_config.d/02-both.conf && systemctl restart ssh")?
        .check("asking for a key too")?;
    refused(&by_code(&fleet, &codes[0], "true")?, "Permission denied");
    until("the wait to be over", Duration::from_secs(wait) + BOUND, || {
        by_key_and_code(&fleet, &codes[0], "true").is_ok_and(|o| o.success())
    })?;
    refused(&host.ssh("alice", "true")?, "Permission denied");
    // A window is over with its boot.
    host.power_cut()?;
    host.start()?;
    refused(&by_key_and_code(&fleet, "", "true")?, "is sealed");
    refused(&by_key_and_code(&fleet, &codes[0], "true")?, "was used at");
    Ok(())
}

#[test]
fn a_code_that_cannot_be_burned_or_recorded_opens_nothing_and_says_why() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let (_, codes) = sealed(&fleet, HOST, "1")?;
    fleet.broker.stop()?;
    let units =
        "stint-warden.socket stint-warden-courier.socket stint-warden-sudo.socket stint-warden stint-courier";
    for folder in ["warden", "journal"] {
        let at = format!("/var/lib/stint/{folder}");
        let small = format!(
            "systemctl stop {units} && cp -a {at} /root/kept-{folder} && mount -t tmpfs -o size=1m,mode=700 tmpfs {at} && \
             cp -a /root/kept-{folder}/. {at} && systemctl start {units} && dd if=/dev/zero of={at}/filler bs=512; true"
        );
        host.sh(&small)?.check("filling a disk")?;
        if folder == "journal" {
            // What is left of the last page takes a few records yet.
            until("the journal to be full", BOUND, || {
                let tried = host.ssh("carol", "true");
                let status = host.exec(&["stintd", "status", "--output", "json"]);
                tried.is_ok() && status.is_ok_and(|status| status.stdout.contains("nothing can be recorded"))
            })?;
        }
        until("the code to be refused with the cause", BOUND, || {
            by_code(&fleet, &codes[0], "true")
                .is_ok_and(|o| !o.success() && o.text().contains("make room on its disk"))
        })?;
        assert!(Dropins::on(host)?.0.is_empty());
        host.sh(&format!("rm {at}/filler"))?.check("making room")?;
        let mended = format!(
            "systemctl stop {units} && cp -a {at}/. /root/kept-{folder} && umount {at} && cp -a /root/kept-{folder}/. {at} && systemctl start {units}"
        );
        host.sh(&mended)?.check("mending the disk")?;
    }
    // No attempt that could not be looked at made the code a used one.
    until("the code to be good", BOUND, || by_code(&fleet, &codes[0], "true").is_ok_and(|o| o.success()))?;
    Ok(())
}

#[test]
fn whoever_may_log_in_anyway_is_asked_by_sudo_and_runs_it_again() -> Tested {
    let only = "[managed]\nonly = [{ uid = 1001, services = [\"sudo\"] }]\n";
    let fleet = fleet_with(&HOST_TOML.replace("[managed]\n", only))?;
    let host = &fleet.host;
    let (_, codes) = sealed(&fleet, HOST, "1")?;
    fleet.broker.stop()?;
    let unasked = host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert!(!unasked.success() && !unasked.text().contains("code:"), "{unasked}");
    let mut session = host.ssh_session("alice")?;
    session.type_line("sudo systemctl restart nginx.service; echo ask''ed")?;
    for (prompt, answer) in [
        ("password for alice:", "alice"),
        ("code:", codes[0].as_str()),
        ("Reason:", "OPS-12: the broker is gone"),
    ] {
        session.wait_for(prompt, BOUND)?;
        session.type_line(answer)?;
    }
    session.wait_for("asked", BOUND)?;
    // This sudo had read the rules before.
    session.type_line("sudo -n systemctl restart nginx.service && echo rest''arted")?;
    session.wait_for("restarted", BOUND)?;
    assert!(!session.heard().contains(&codes[0]), "a code does not show: {}", session.heard());
    Ok(())
}

/// Alice's logins need no grant; that she becomes somebody by these does.
const BY_CODE_ALONE: &str = "[managed]\nonly = [{ uid = 1001, services = [\"su\", \"su-l\", \"doas\"] }]\n";

/// Types a line at alice's terminal, and answers each prompt as it comes.
fn answers(session: &mut Session, line: &str, answers: &[(&str, &str)], then: &str) -> Tested {
    session.type_line(line)?;
    for (prompt, answer) in answers {
        session.wait_for(prompt, BOUND)?;
        session.type_line(answer)?;
    }
    session.wait_for(then, BOUND)?;
    Ok(())
}

#[test]
fn su_and_doas_ask_for_a_code_if_that_is_all_that_lacks_and_the_next_code_comes_after_what_the_last_one_left()
-> Tested {
    let full_root = "[ceiling]\nfull_root = true\n[ceiling.break_glass]";
    let host_toml =
        HOST_TOML.replace("[managed]\n", BY_CODE_ALONE).replace("[ceiling.break_glass]", full_root);
    let fleet = fleet_with(&host_toml)?;
    let host = &fleet.host;
    host.sh("echo 'permit alice' > /etc/doas.conf")?.check("a rule of doas")?;
    // A code for something else than root is no use here, and is not asked for.
    sealed(&fleet, HOST, "1")?;
    let mut session = host.ssh_session("alice")?;
    answers(&mut session, "su -c id; echo su''ed", &[("Password:", "root")], "sued")?;
    let heard = session.heard();
    assert!(heard.contains("becoming root") && !heard.contains("code:"), "{heard}");

    let (id, codes) = sealed_of(&fleet, "root-glass", HOST, "3")?;
    fleet.broker.stop()?;
    // Nobody is there to answer.
    let unasked = host.ssh("alice", "echo root | su -c id")?;
    assert!(!unasked.success() && unasked.text().contains("is sealed"), "{unasked}");
    let reason = ("Reason:", "OPS-12: the broker is gone");
    let mut session = host.ssh_session("alice")?;
    let su = [("Password:", "root"), ("code:", codes[0].as_str()), reason];
    let line = "su -c 'echo uid=$(id -u); setsid sleep 681 & exec sleep 681'";
    answers(&mut session, line, &su, "uid=0")?;
    until("su's window to be over", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;

    // At once: what the last window left is being taken away, and what this one makes is not.
    let mut again = host.ssh_session("alice")?;
    let doas = [("password:", "alice"), ("code:", codes[1].as_str()), reason];
    let line = "doas sh -c 'echo uid=$(id -u); touch /etc/cron.d/again; setsid sleep 682 & exec sleep 682'";
    answers(&mut again, line, &doas, "uid=0")?;
    assert!(host.sh("! pgrep -xf 'sleep 681'")?.success(), "the first window's processes are dead");
    // It does so after it has shown who it is.
    until("doas to make what it makes", BOUND, || {
        host.sh("pgrep -xf 'sleep 682' && test -e /etc/cron.d/again").is_ok_and(|said| said.success())
    })?;
    until("doas's window to be over", BOUND, || Dropins::on(host).is_ok_and(|dropins| dropins.0.is_empty()))?;
    until("what doas ran to be dead", BOUND, || {
        host.sh("! pgrep -xf 'sleep 682'").is_ok_and(|said| said.success())
    })?;
    let mut last = host.ssh_session("alice")?;
    let wrong = [("Password:", "root"), ("code:", codes[0].as_str()), reason];
    answers(&mut last, "su -c 'echo uid=$(id -u)'", &wrong, "was used at")?;
    for session in [&session, &again, &last] {
        assert!(!codes.iter().any(|code| session.heard().contains(code)), "a code does not show");
    }

    fleet.broker.start()?;
    // Two windows, and each has its own receipt, before the next one was opened.
    let told = || -> Result<Vec<&str>, E2eError> {
        let journal = fleet.carol.run(&["audit", "ls", "--host", HOST])?.stdout;
        let of_grant = journal.lines().filter(|line| line.contains(&id));
        let word = |line: &str| {
            ["BREAK-GLASS: alice opened", "receipt"].into_iter().find(|word| line.contains(word))
        };
        Ok(of_grant.filter_map(word).collect())
    };
    let (opened, receipt) = ("BREAK-GLASS: alice opened", "receipt");
    until("both receipts to be at the broker", BOUND, || {
        told().is_ok_and(|told| told == [opened, receipt, opened, receipt])
    })
    .inspect_err(|_| eprintln!("{:?}", told()))?;
    Ok(())
}
