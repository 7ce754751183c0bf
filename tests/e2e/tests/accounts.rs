//! Accounts that exist for a window only: a way in while it lasts, and nothing of them after it.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options, wait_for_end};
use stint_lab::{Host, Outcome, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
const NAME: &str = "alice-tmp";

const HOST_TOML: &str = "
[managed]
break_glass_uid = 1900
[limits]
register_timeout_ms = 5000
[ceiling.accounts]
allowed = true
";

fn fleet() -> Result<Fleet, E2eError> {
    Fleet::with(&Options { host_toml: HOST_TOML.into(), ..Options::default() })
}

/// A request of alice's with her key, approved by bob. Answers its id.
fn approved(fleet: &Fleet, entitlement: &str, length: &str) -> Result<String, E2eError> {
    let key = fleet.lab.key("alice").with_extension("pub");
    let key = key.to_string_lossy();
    let asked = ["request", "create", entitlement, "--host", HOST, "--reason", "OPS-12", "--for", length];
    let answer = fleet.alice.json(&[&asked[..], &["--ssh-key", &key]].concat())?;
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    fleet.bob.approve(&id)?;
    Ok(id)
}

fn grant(fleet: &Fleet, entitlement: &str, length: &str) -> Result<String, E2eError> {
    let id = approved(fleet, entitlement, length)?;
    fleet.alice.activate(&id)?;
    Ok(id)
}

/// As the account, with alice's own key.
fn ssh(fleet: &Fleet, name: &str, line: &str) -> Result<Outcome, E2eError> {
    let key = fleet.lab.key("alice");
    Ok(fleet.host.ssh_with(name, &["-i", &key.to_string_lossy()], line)?)
}

fn uid(host: &Host, name: &str) -> Result<u32, E2eError> {
    let said = host.sh(&format!("id -u {name}"))?;
    said.stdout.trim().parse().map_err(|_| E2eError::answer("a uid", said))
}

/// All that is left of an account, by name and number.
fn left(host: &Host, name: &str, uid: u32) -> Result<String, E2eError> {
    let look = format!(
        "grep -H '^{name}:' /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid; \
         ls -A /home | grep -e '^{name}' -e '^[.]stint-'; ls /var/spool/cron/crontabs/{name} /var/mail/{name} 2>/dev/null; \
         grep -l -E '^Uid:.*\\b{uid}\\b' /proc/[0-9]*/status 2>/dev/null; getent group adm | grep {name}; true"
    );
    Ok(host.sh(&look)?.stdout)
}

fn wait_until_gone(host: &Host, name: &str, uid: u32) -> Tested {
    until("nothing to be left of the account", BOUND, || {
        left(host, name, uid).is_ok_and(|left| left.is_empty())
    })
    .inspect_err(|_| {
        println!("left: {:?}", left(host, name, uid));
        println!("{}", host.diagnosis());
    })?;
    Ok(())
}

#[test]
fn an_account_lets_in_by_its_key_in_the_window_and_nothing_of_it_is_left_after_it() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = grant(&fleet, "web-guest", &fleet.window(25))?;
    let said = ssh(&fleet, NAME, "id -nG; pwd; stat -c %a ~")?;
    assert!(said.stdout.contains("adm") && said.stdout.contains("/home/alice-tmp\n700\n"), "{said}");
    assert_eq!(host.ssh("alice", "true")?.status, 255, "the grant is for the new account alone");
    let number = uid(host, NAME)?;
    assert!((50_000..60_000).contains(&number), "{number}");
    let shadow = host.sh("grep ^alice-tmp: /etc/shadow")?.stdout;
    assert!(shadow.starts_with("alice-tmp:!:"), "{shadow}");
    // A process that ignores what it is asked, a table of cron's, ways out of the home, and a deep tree.
    ssh(
        &fleet,
        NAME,
        "(setsid sh -c 'trap \"\" TERM HUP; sleep 600' >/dev/null 2>&1 &); echo '0 0 1 1 * true' | crontab -; \
         ln -s /etc ~/out; mkfifo ~/pipe; mkdir ~/closed; chmod 0 ~/closed; \
         cd ~ && for n in $(seq 300); do mkdir d && cd d || break; done; true",
    )?;
    assert!(left(host, NAME, number)?.contains("/proc/"));
    let end = fleet.end_of(&id)?;
    wait_for_end(end)?;
    wait_until_gone(host, NAME, number)?;
    assert!(host.sh("test -s /etc/passwd && test -d /etc/ssh")?.success(), "the way out was followed");

    fleet.alice.run(&["request", "ls"])?;
    grant(&fleet, "web-guest", "5m")?;
    let next = uid(host, NAME)?;
    assert_ne!(next, number, "a number is used once");
    Ok(())
}

#[test]
fn an_archived_home_is_root_s_alone_and_a_revocation_ends_the_account_at_once() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = grant(&fleet, "web-guest-archive", "10m")?;
    assert!(ssh(&fleet, "alice-arc", "echo work > ~/notes; ln -s /etc/shadow ~/s")?.success());
    let number = uid(host, "alice-arc")?;
    fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough", "--wait", "--timeout=3m"])?;
    wait_until_gone(host, "alice-arc", number)?;
    let archive = format!("/var/lib/stint/archive/alice-arc-{id}.tar");
    let said =
        host.sh(&format!("stat -c '%U %a' {archive}; tar -xOf {archive} ./notes; tar -tvf {archive}"))?;
    assert!(said.stdout.starts_with("root 600\nwork\n"), "{said}");
    assert!(said.stdout.contains("./s -> /etc/shadow"), "{said}");
    assert_eq!(ssh(&fleet, "alice-arc", "true")?.status, 255);
    Ok(())
}

#[test]
fn an_account_that_stood_before_is_not_touched_and_its_grant_is_refused() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    host.sh("useradd -m -u 1234 alice-tmp && echo mine > /home/alice-tmp/notes")?.check("an account")?;
    let before = host.sh("grep alice-tmp /etc/passwd /etc/shadow /etc/group")?.stdout;
    let id = approved(&fleet, "web-guest", "5m")?;
    let activated = fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?;
    assert!(activated.text().contains("not ours"), "{activated}");
    assert_eq!(ssh(&fleet, NAME, "true")?.status, 255);
    fleet.carol.stint(&["grant", "revoke", &id, "--reason", "enough"])?;
    assert_eq!(host.sh("grep alice-tmp /etc/passwd /etc/shadow /etc/group")?.stdout, before);
    assert!(host.sh("grep mine /home/alice-tmp/notes")?.success());
    Ok(())
}

#[test]
fn a_host_that_allows_no_accounts_makes_none() -> Tested {
    let fleet = Fleet::new()?;
    let id = approved(&fleet, "web-guest", "5m")?;
    let activated = fleet.alice.stint(&["grant", "activate", &id, "--wait", "--timeout=3m"])?;
    assert!(activated.text().contains("allows no accounts"), "{activated}");
    assert!(!fleet.host.sh("grep alice-tmp /etc/passwd")?.success());
    Ok(())
}

#[test]
fn after_a_power_cut_in_the_window_the_account_is_gone_without_the_broker() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    let id = grant(&fleet, "web-guest", &fleet.window(12))?;
    let number = uid(host, NAME)?;
    host.sh("loginctl enable-linger alice-tmp")?.check("lingering")?;
    host.power_cut()?;
    wait_for_end(fleet.end_of(&id)?)?;
    host.cut_network()?;
    host.start()?;
    wait_until_gone(host, NAME, number)?;
    host.restore_network()?;
    Ok(())
}

/// A tool of the host's, at whose next call whoever called it is killed: before it does anything, or after it has.
fn booby_trap(host: &Host, tool: &str, after: bool) -> Tested {
    let (first, second) = if after { ("real", "kill") } else { ("kill", "real") };
    let script = format!(
        "set -e; path=$(command -v {tool}); [ -e $path.real ] || mv $path $path.real; : > /etc/trap-{tool}; \
         cat > $path <<END\n#!/bin/sh\nreal() {{ $path.real \"\\$@\"; }}\nkill() {{ command kill -9 \\$PPID; }}\n\
         [ -e /etc/trap-{tool} ] || exec $path.real \"\\$@\"\nunlink /etc/trap-{tool}\n{first} \"\\$@\"; {second} \"\\$@\"\nEND\n\
         chmod 755 $path"
    );
    host.sh(&script)?.check(format!("a trap in {tool}"))?;
    Ok(())
}

#[test]
fn whoever_kills_the_hand_at_any_step_has_it_finished_by_the_next() -> Tested {
    let fleet = fleet()?;
    let host = &fleet.host;
    for after in [false, true] {
        for tool in ["useradd", "cp", "chown"] {
            booby_trap(host, tool, after)?;
        }
        let id = approved(&fleet, "web-guest-archive", "10m")?;
        fleet.alice.run(&["grant", "activate", &id])?;
        until("the account to be made", BOUND, || {
            ssh(&fleet, "alice-arc", "test -w ~").is_ok_and(|o| o.success())
        })?;
        let number = uid(host, "alice-arc")?;
        assert_eq!(host.sh("ls /etc/trap-* 2>/dev/null || true")?.stdout, "", "not every trap was met");
        for tool in ["userdel", "tar", "rm"] {
            booby_trap(host, tool, after)?;
        }
        fleet.carol.run(&["grant", "revoke", &id, "--reason", "enough"])?;
        until("every trap to be met", BOUND, || {
            host.sh("! ls /etc/trap-*").is_ok_and(|said| said.success())
        })?;
        wait_until_gone(host, "alice-arc", number)?;
        assert_eq!(host.sh("ls /etc/trap-* 2>/dev/null || true")?.stdout, "", "not every trap was met");
        let archive = format!("/var/lib/stint/archive/alice-arc-{id}.tar");
        assert!(host.sh(&format!("tar -tf {archive} && ! ls /var/lib/stint/archive/*.part"))?.success());
    }
    Ok(())
}
