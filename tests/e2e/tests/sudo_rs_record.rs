//! What sudo-rs runs is on record: it tells nobody but the host's log, where every user can write.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options, sudo_rs};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

fn fleet_with_sudo_rs() -> Result<Fleet, E2eError> {
    let fleet = Fleet::new()?;
    sudo_rs::install(&fleet.host)?;
    Ok(fleet)
}

fn told(fleet: &Fleet) -> String {
    fleet.carol.stint(&["audit", "ls", "--host", HOST]).map(|told| told.stdout).unwrap_or_default()
}

/// The records at the broker that say all of this, once there is one.
fn records_of(fleet: &Fleet, words: &[&str]) -> Result<Vec<String>, E2eError> {
    let mut found = Vec::new();
    until(&format!("a record with {words:?}"), BOUND, || {
        let told = told(fleet);
        found = told
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
            .collect();
        !found.is_empty()
    })
    .inspect_err(|_| println!("{}", told(fleet)))?;
    Ok(found)
}

/// The name of the run in a record.
fn run_in(record: &str) -> String {
    let rest = record.split("run ").nth(1).unwrap_or_default();
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The journalctl that the warden started: others may run on the host.
const FOLLOWER: &str =
    "for p in $(pgrep -x journalctl); do grep -q stint-warden /proc/$p/cgroup && echo $p; done";

#[test]
fn a_command_of_sudo_rs_is_on_record_with_its_arguments_session_grant_and_end() -> Tested {
    let fleet = fleet_with_sudo_rs()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    let ran = fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert!(ran.success(), "{ran}");
    let grant = format!("grant {id}");
    let words = ["alice ran /usr/bin/systemctl restart nginx.service as root in /home/alice", grant.as_str()];
    let accepted = records_of(&fleet, &words)?;
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    let opened = records_of(&fleet, &["opened by sudo", &grant])?;
    assert!(!opened.is_empty());
    records_of(&fleet, &[&format!("run {} ended", run_in(&accepted[0])), &grant])?;

    // Long, and with everything that has to be escaped.
    fleet.grant("web-root", "10m")?;
    let long = "x".repeat(3000);
    let ran = fleet.host.ssh("alice", &format!("cd /tmp && sudo -n echo $'a\\nb' ä \"c'd\" {long} end"))?;
    assert!(ran.success(), "{ran}");
    let accepted = records_of(&fleet, &["alice ran /usr/bin/echo", "in /tmp", &format!("{long} end")])?;
    assert!(accepted[0].contains("a\\u{a}b") && accepted[0].contains("ä"), "{accepted:?}");

    let key = fleet.host_key()?;
    fleet.carol.run(&["audit", "verify", "--host", HOST, "--key", &key])?;
    let told = told(&fleet);
    assert!(!told.contains("command-not-recorded"), "{told}");
    Ok(())
}

#[test]
fn a_line_that_another_program_wrote_is_not_on_record_as_a_command_and_raises_an_alarm() -> Tested {
    let fleet = fleet_with_sudo_rs()?;
    fleet.grant("web-root", "10m")?;
    let line = "alice : TTY=/dev/pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/forged";
    // While a line of hers is waited for, and under sudo's name and the number of its very process. The last one stays to be looked at.
    let forge = format!(
        "sudo -n sleep 3 & sleep 1; \
         for tag in sudo forger; do logger -t $tag -p auth.info '{line}'; logger -t $tag -i --id=$! -p auth.notice '{line}'; done; \
         (echo '{line}'; sleep 2) | logger -t sudo -p auth.info; wait"
    );
    let ran = fleet.host.ssh("alice", &forge)?;
    assert!(ran.success(), "{ran}");
    records_of(&fleet, &["alice ran /usr/bin/sleep 3"])?;
    let alarm = records_of(&fleet, &["ALARM sudo-log-stranger", "logger"])?;
    assert!(alarm[0].contains("wrote a line like sudo's"), "{alarm:?}");
    // sudo itself tells what it was called, and that is the user's to choose: in doubt the line is told as it is.
    let named = fleet.host.ssh(
        "alice",
        "bash -c \"exec -a 'alice :  PWD=/ ; USER=root ; COMMAND=/usr/bin/forged #' sudo -n id -u\"",
    )?;
    assert!(named.success(), "{named}");
    records_of(&fleet, &["can be read in more than one way", "COMMAND=/usr/bin/id -u"])?;
    let told = told(&fleet);
    assert!(!told.contains("ran /usr/bin/forged"), "a forged command is on record: {told}");
    Ok(())
}

#[test]
fn what_was_run_while_the_warden_could_not_hear_is_on_record_after_its_restart_and_once() -> Tested {
    let fleet = fleet_with_sudo_rs()?;
    fleet.grant("web-root", "10m")?;
    let host = &fleet.host;
    assert!(host.ssh("alice", "sudo -n id -u")?.success());
    records_of(&fleet, &["alice ran /usr/bin/id -u"])?;
    // What reads the log stands still: the command is registered and written, and the warden does not hear of it.
    // It is there for some seconds after each command.
    until("what reads the log to stand still", BOUND, || {
        host.ssh("alice", "sudo -n true").is_ok_and(|ran| ran.success())
            && host.sh(&format!("kill -STOP $({FOLLOWER})")).is_ok_and(|stopped| stopped.success())
    })?;
    let ran = host.ssh("alice", "sudo -n id -g")?;
    assert!(ran.success(), "{ran}");
    assert!(!told(&fleet).contains("/usr/bin/id -g"));
    host.sh("systemctl kill -s KILL stint-warden.service")?.check("killing the warden")?;
    records_of(&fleet, &["alice ran /usr/bin/id -g"])?;
    for _ in 0..2 {
        host.sh("systemctl restart stint-warden.service")?.check("restarting the warden")?;
        assert!(host.ssh("alice", "sudo -n id -un")?.success());
    }
    until("all to be on record", BOUND, || told(&fleet).matches("alice ran /usr/bin/id -un").count() >= 2)?;
    let told = told(&fleet);
    for (command, times) in [("id -u ", 1), ("id -g ", 1), ("id -un ", 2)] {
        assert_eq!(
            told.matches(&format!("alice ran /usr/bin/{command}")).count(),
            times,
            "{command}: {told}"
        );
    }
    // Nothing follows the log once all is told.
    until("the log to be left alone", BOUND, || host.sh(FOLLOWER).is_ok_and(|said| said.stdout.is_empty()))?;
    Ok(())
}

#[test]
fn a_host_that_demands_a_record_which_sudo_rs_cannot_give_refuses_the_rule_with_the_cause() -> Tested {
    let demands = "[managed]\nbreak_glass_uid = 1900\n[limits]\nregister_timeout_ms = 5000\n[ceiling]\nfull_root = true\n\
                   record = \"commands\"\n";
    let fleet = Fleet::with(&Options { host_toml: demands.to_owned(), ..Options::default() })?;
    sudo_rs::install(&fleet.host)?;
    // What commands print, and a record without which none runs.
    let recorded = fleet.grant("web-record", "10m")?;
    records_of(&fleet, &["sudo rules", &recorded, "sudo-rs cannot give a record of output"])?;
    assert!(!fleet.host.ssh("alice", "sudo -n id -u")?.success());
    fleet.carol.run(&["grant", "revoke", &recorded, "--reason", "next", "--wait", "--timeout=3m"])?;

    // With another daemon in the log's place nothing of sudo-rs would be heard.
    fleet.host.sh("rm /dev/log && touch /dev/log")?.check("taking the log away")?;
    let unheard = fleet.grant("nginx-restart", "10m")?;
    records_of(&fleet, &["sudo rules", &unheard, "does not come to systemd's journal"])?;
    assert!(!fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    fleet.carol.run(&["grant", "revoke", &unheard, "--reason", "next", "--wait", "--timeout=3m"])?;

    fleet.host.sh("rm /dev/log && ln -s /run/systemd/journal/dev-log /dev/log")?.check("giving it back")?;
    fleet.grant("nginx-restart", "10m")?;
    assert!(fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?.success());
    records_of(&fleet, &["alice ran /usr/bin/systemctl restart nginx.service"])?;
    Ok(())
}
