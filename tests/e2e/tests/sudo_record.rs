//! What sudo runs is on record: who, what, with which arguments, and how it ended; and nothing runs unrecorded that must not.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST};
use stint_lab::until;

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;

/// The first record at the broker that says all of this, once it is there.
fn record_of(fleet: &Fleet, words: &[&str]) -> Result<String, E2eError> {
    let mut found = None;
    until(&format!("a record with {words:?}"), BOUND, || {
        let told =
            fleet.carol.stint(&["audit", "ls", "--host", HOST]).map(|told| told.stdout).unwrap_or_default();
        let mut lines = told.lines();
        found = lines.find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned);
        found.is_some()
    })
    .inspect_err(|_| {
        println!(
            "{}",
            fleet.carol.stint(&["audit", "ls", "--host", HOST]).map(|o| o.text()).unwrap_or_default()
        );
    })?;
    Ok(found.unwrap_or_default())
}

/// The name of the run in a record.
fn run_in(record: &str) -> String {
    let rest = record.split("run ").nth(1).unwrap_or_default();
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Has the warden's door for sudo stand elsewhere, so that sudo finds nobody.
fn move_the_door(fleet: &Fleet) -> Tested {
    fleet
        .host
        .sh("mkdir -p /run/systemd/system/stint-warden-sudo.socket.d && \
             printf '[Socket]\\nListenStream=\\nListenStream=127.0.0.1:344\\n' \
             > /run/systemd/system/stint-warden-sudo.socket.d/elsewhere.conf && systemctl daemon-reload && \
             systemctl stop stint-warden.service stint-warden-sudo.socket && \
             systemctl start stint-warden-sudo.socket stint-warden.service")?
        .check("moving the door")?;
    Ok(())
}

#[test]
fn a_command_is_on_record_with_its_arguments_session_and_grant_and_so_is_one_that_was_refused() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("nginx-restart", "10m")?;
    let ran = fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert!(ran.success() && ran.stderr.is_empty(), "{ran}");
    let grant = format!("grant {id}");
    let accepted = record_of(
        &fleet,
        &["alice ran /usr/bin/systemctl restart nginx.service as root in /home/alice", &grant],
    )?;
    let run = run_in(&accepted);
    record_of(&fleet, &[&format!("run {run} ended"), &grant])?;

    let refused = fleet.host.ssh("alice", "sudo -n cat /etc/shadow 'a b'")?;
    assert!(!refused.success(), "{refused}");
    record_of(&fleet, &["alice was refused /usr/bin/cat /etc/shadow 'a b' as root"])?;

    let key = fleet.host_key()?;
    fleet.carol.run(&["audit", "verify", "--host", HOST, "--key", &key])?;
    Ok(())
}

#[test]
fn what_a_command_printed_its_exit_status_and_what_it_started_are_on_record_and_can_be_played() -> Tested {
    let fleet = Fleet::new()?;
    let id = fleet.grant("web-record", "10m")?;
    let ran = fleet.host.ssh(
        "alice",
        "sudo -n sh -c 'echo seen on $((40+2)) hosts; printf \"\\033]0;x\\007\"; /usr/bin/id -u; exit 3'",
    )?;
    assert_eq!(ran.status, 3, "{ran}");
    assert!(ran.stdout.contains("seen on 42 hosts"), "{ran}");
    let grant = format!("grant {id}");
    let accepted = record_of(&fleet, &["alice ran /", "sh -c", "output recorded", &grant])?;
    let run = run_in(&accepted);
    record_of(&fleet, &["alice started in a command /usr/bin/id -u", &format!("run {run}")])?;
    let ended = record_of(&fleet, &[&format!("run {run} ended with exit status 3"), "bytes recorded"])?;
    assert!(!ended.contains("NOT WHOLE"), "{ended}");

    let play = fleet.host.exec(&["stintd", "session", "play", "--at-once", &run])?.check("playing")?;
    assert!(play.stdout.contains("seen on 42 hosts") && !play.stdout.contains("\x1b]"), "{play}");
    let raw = fleet.host.exec(&["stintd", "session", "play", "--at-once", "--raw", &run])?;
    assert!(raw.stdout.contains("\x1b]0;x\x07"), "{raw}");
    // The file is the one that the record means.
    let shown = fleet.host.exec(&["stintd", "session", "show", &run])?.check("showing")?;
    let sum = ended.split("sha256 ").nth(1).unwrap_or("none").trim();
    assert!(shown.stdout.contains(sum), "{shown}\n{ended}");
    assert!(fleet.host.exec(&["stintd", "session", "ls"])?.stdout.contains(&run));
    let others = fleet.host.ssh("rescue", &format!("cat /var/lib/stint/recordings/{run}.recording"))?;
    assert!(!others.success(), "{others}");
    Ok(())
}

#[test]
fn without_the_receiver_a_command_is_refused_where_its_record_is_demanded_and_runs_where_it_is_not() -> Tested
{
    let fleet = Fleet::new()?;
    let closed = fleet.grant("web-closed", "10m")?;
    assert!(fleet.host.ssh("alice", "sudo -n id -u")?.success());
    move_the_door(&fleet)?;
    until("the fault to be shown", BOUND, || {
        fleet.host.exec(&["stintd", "status"]).is_ok_and(|status| status.text().contains("127.0.0.1:343"))
    })?;
    let refused = fleet.host.ssh("alice", "sudo -n id -u")?;
    assert!(!refused.success(), "{refused}");
    assert!(refused.stderr.contains("log server"), "{refused}");

    fleet.carol.run(&["grant", "revoke", &closed, "--reason", "next", "--wait", "--timeout=3m"])?;
    let open = fleet.grant("nginx-restart", "10m")?;
    let ran = fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service")?;
    assert!(ran.success(), "{ran}");
    record_of(&fleet, &["opened by sudo", &open])?;
    record_of(&fleet, &["ALARM command-not-recorded", "sudo of alice"])?;
    Ok(())
}

#[test]
fn nobody_but_sudo_is_heard_and_whoever_else_comes_raises_an_alarm() -> Tested {
    let fleet = Fleet::new()?;
    fleet.grant("nginx-restart", "10m")?;
    // A greeting and an accepted command, as sudo would send them, by a user and by root.
    let speak = "trap '' PIPE; exec 3<>/dev/tcp/127.0.0.1/343; \
                 printf '\\0\\0\\0\\6\\152\\4\\12\\2hi' >&3; printf '\\0\\0\\0\\2\\12\\0' >&3 2>&1 || :; timeout 10 cat <&3 2>&- | wc -c";
    let by_user = fleet.host.ssh("rescue", &format!("bash -c \"{speak}\""))?;
    assert_eq!(by_user.stdout.trim(), "0", "{by_user}");
    record_of(&fleet, &["ALARM sudo-log-stranger", "uid 1900"])?;
    // One alarm in ten seconds: the second is another test's worth of time away, and the connection is dropped all the same.
    let by_root = fleet.host.exec(&["bash", "-c", speak])?;
    assert_eq!(by_root.stdout.trim(), "0", "{by_root}");
    let told = fleet.carol.run(&["audit", "ls", "--host", HOST])?;
    assert!(!told.stdout.contains("(no grant, run"), "a forged command is on record: {told}");

    // A storm of strangers keeps sudo from nothing.
    let mut storm = fleet.host.command("bash")?;
    storm.args([
        "-c",
        "while [ ! -e /run/calm ]; do for n in $(seq 50); do exec 3<>/dev/tcp/127.0.0.1/343; done; done 2>/dev/null",
    ]);
    let mut storm = storm.spawn().map_err(|source| E2eError::File { path: "bash".into(), source })?;
    let ran = fleet.host.ssh("alice", "sudo -n systemctl restart nginx.service");
    fleet.host.sh("touch /run/calm")?.check("ending the storm")?;
    let _ = storm.wait();
    let ran = ran?;
    assert!(ran.success(), "{ran}");
    record_of(&fleet, &["alice ran /usr/bin/systemctl restart nginx.service"])?;
    Ok(())
}

#[test]
fn a_command_that_outlives_the_warden_s_restart_is_not_ended_by_it_when_only_commands_are_recorded() -> Tested
{
    let fleet = Fleet::new()?;
    fleet.grant("web-root", "10m")?;
    let mut session = fleet.host.ssh_session("alice")?;
    session.wait_for("stint: access until", BOUND)?;
    session.type_line("sudo -n sh -c 'sleep 620; echo over'")?;
    let runs = || fleet.host.sh("pgrep -xf 'sleep 620'").is_ok_and(|o| o.success());
    until("the command to run", BOUND, runs)?;
    fleet.host.sh("systemctl restart stint-warden.service")?.check("restarting the warden")?;
    fleet.host.sh("pkill -xf 'sleep 620'")?.check("ending the sleep")?;
    session.wait_for("over", BOUND).inspect_err(|_| println!("{}", session.heard()))?;
    Ok(())
}
