//! What a connection may forward: what a grant says, with a certificate and without; nothing else.

use std::time::Duration;

use stint_e2e::{E2eError, Fleet, HOST, Options, XServer};
use stint_lab::{CONNECT_TIMEOUT, Host, Outcome, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
/// Asks the host's sshd for its greeting, through a login.
const THROUGH: [&str; 2] = ["-W", "127.0.0.1:22"];
const SOCKET: &str = "echo agent=$SSH_AUTH_SOCK.";
/// Tells the display and its cookies, and opens it as every X client does: xauth is one. It asks for an extension that no small server
/// has, and says so only when it has got in.
const CLIENT: &str = "echo display=$DISPLAY. cookies=$(xauth list 2>/dev/null | wc -l).; xauth -f gate generate \"$DISPLAY\" . trusted";
const GOT_IN: &str = "couldn't query Security extension on display";

/// A login that shows windows, and forwards nothing else.
const WEB_X11: &str = r#"
name = "web-x11"
description = "Log in to web hosts, with windows"
hosts = { labels = { role = "web" } }
login = { forwarding = { x11 = true } }
max_window = "1h"
reviews = 1
"#;

fn lab_options(fleet: &Fleet) -> Vec<String> {
    let known = format!("UserKnownHostsFile={}", fleet.lab.dir().join("known_hosts").display());
    ["-F", "none", "-o", "BatchMode=yes", "-o", CONNECT_TIMEOUT, "-o", &known].map(str::to_owned).to_vec()
}

/// ssh by alice under an agent: by her certificate, or by her own key.
fn ssh(fleet: &Fleet, by_certificate: bool, more: &[&str], line: &[&str]) -> Result<Outcome, E2eError> {
    ssh_under(fleet, &["env", "-u", "DISPLAY"], by_certificate, more, line)
}

fn ssh_under(
    fleet: &Fleet,
    env: &[&str],
    by_certificate: bool,
    more: &[&str],
    line: &[&str],
) -> Result<Outcome, E2eError> {
    let options = lab_options(fleet);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let key = fleet.lab.key("alice").to_string_lossy().into_owned();
    let own = ["ssh", "-i", &key, "-l", "alice", HOST];
    let start: &[&str] = if by_certificate { &["stint", "ssh", HOST, "--"] } else { &own };
    fleet.alice.at_desk(&[env, &["ssh-agent"], start, &options, more, line].concat())
}

/// An X client on the host, by a login of alice's from a desk with this display.
fn x_client(fleet: &Fleet, screen: &XServer, by_certificate: bool) -> Result<Outcome, E2eError> {
    let display = format!("DISPLAY={}", screen.display());
    let env = ["env", "-u", "XAUTHORITY", &display];
    ssh_under(fleet, &env, by_certificate, &["-v", "-Y"], &[CLIENT])
}

/// Whether ports and the agent were forwarded.
fn forwarded(fleet: &Fleet, by_certificate: bool) -> Result<(bool, bool), E2eError> {
    let port = ssh(fleet, by_certificate, &THROUGH, &[])?;
    let agent = ssh(fleet, by_certificate, &["-A"], &[SOCKET])?;
    assert!(agent.success(), "the login itself is allowed: {agent}");
    Ok((port.stdout.contains("SSH-2.0"), !agent.stdout.contains("agent=.")))
}

/// What sshd would do with a login of this account.
fn sshd_says(host: &Host, user: &str) -> Result<String, E2eError> {
    let line = format!("sshd -T -C user={user},host=control,addr=10.77.0.1");
    Ok(host.sh(&line)?.check("sshd -T")?.stdout)
}

#[test]
fn ports_and_the_agent_are_forwarded_only_where_the_grant_says_so() -> Tested {
    let fleet = Fleet::new()?;
    let plain = fleet.grant("web-login", "10m")?;
    for by_certificate in [true, false] {
        assert_eq!(forwarded(&fleet, by_certificate)?, (false, false), "certificate: {by_certificate}");
    }
    assert!(sshd_says(&fleet.host, "alice")?.contains("x11forwarding no"));
    fleet.alice.run(&["grant", "end", &plain, "--wait", "--timeout=3m"])?;

    let forwards = fleet.grant("web-forward", "10m")?;
    for by_certificate in [true, false] {
        assert_eq!(forwarded(&fleet, by_certificate)?, (true, true), "certificate: {by_certificate}");
    }
    assert!(sshd_says(&fleet.host, "alice")?.contains("x11forwarding no"), "no grant says X11");
    assert!(sshd_says(&fleet.host, "bob")?.contains("allowtcpforwarding no"), "it is alice's grant");
    fleet.alice.run(&["grant", "end", &forwards, "--wait", "--timeout=3m"])?;
    fleet.grant("web-login", "10m")?;
    until("sshd to forbid it again", BOUND, || {
        forwarded(&fleet, false).is_ok_and(|forwarded| forwarded == (false, false))
    })?;
    Ok(())
}

/// How often sshd has told its log that the configuration forbids windows: to a client that logged in by a key of its own it does not.
fn forbidden_by_configuration(host: &Host) -> usize {
    let told =
        host.sh("journalctl -q --no-pager | grep -c 'X11 forwarding disabled in server configuration'");
    told.ok().and_then(|count| count.stdout.trim().parse().ok()).unwrap_or_default()
}

/// The login is open, and has no display; sshd tells why.
fn has_no_display(fleet: &Fleet, screen: &XServer, by_certificate: bool) -> Tested {
    let (came, forbidden) = (screen.came(), forbidden_by_configuration(&fleet.host));
    let said = x_client(fleet, screen, by_certificate)?;
    let text = said.text();
    assert!(said.stdout.contains("display=."), "certificate: {by_certificate}: {said}");
    assert!(text.contains("X11 forwarding request failed"), "certificate: {by_certificate}: {said}");
    if by_certificate {
        assert!(text.contains("X11 forwarding disabled by key options"), "{said}");
    } else {
        until("sshd's log to say why", BOUND, || forbidden_by_configuration(&fleet.host) > forbidden)?;
    }
    assert_eq!(screen.came(), came, "nobody reaches the desk's display: {said}");
    Ok(())
}

#[test]
fn a_display_is_forwarded_only_where_the_grant_says_so() -> Tested {
    let catalog = &[("web-x11.toml", WEB_X11)];
    let fleet = Fleet::with(&Options { catalog, ..Options::default() })?;
    let screen = XServer::start()?;
    let add = ["env", "-u", "XAUTHORITY", "xauth", "add", &screen.display(), ".", &screen.cookie()];
    fleet.alice.at_desk(&add)?.check("giving alice the cookie of her display")?;
    let talks = "echo LogLevel DEBUG1 >/etc/ssh/sshd_config.d/01-talks.conf && systemctl restart ssh";
    fleet.host.sh(talks)?.check("letting sshd say more")?;
    // Ports and the agent are not windows.
    let plain = fleet.grant("web-forward", "10m")?;
    for by_certificate in [true, false] {
        has_no_display(&fleet, &screen, by_certificate)?;
    }
    fleet.alice.run(&["grant", "end", &plain, "--wait", "--timeout=3m"])?;

    let shows = fleet.grant("web-x11", "10m")?;
    for by_certificate in [true, false] {
        until("the display of the last login to be free again", BOUND, || {
            fleet.host.sh("! ss -ltn | grep -q :6010").is_ok_and(|free| free.success())
        })?;
        let before = screen.came().len();
        let said = x_client(&fleet, &screen, by_certificate)?;
        assert!(said.stdout.contains("display=localhost:10.0. cookies=1."), "{said}");
        assert!(said.text().contains(GOT_IN), "the client opens the display: {said}");
        assert_eq!(screen.came().split_off(before), [true], "by the desk's own cookie: {said}");
        assert_eq!(forwarded(&fleet, by_certificate)?, (false, false), "and nothing else is forwarded");
    }
    // Beside one that shows windows, a longer one that does not: the certificate is the longer one's.
    fleet.grant("web-login", "30m")?;
    has_no_display(&fleet, &screen, true)?;
    assert!(x_client(&fleet, &screen, false)?.text().contains(GOT_IN), "the rights of an account add up");

    fleet.alice.run(&["grant", "end", &shows, "--wait", "--timeout=3m"])?;
    until("sshd to forbid it again", BOUND, || {
        x_client(&fleet, &screen, false).is_ok_and(|said| said.stdout.contains("display=."))
    })?;
    has_no_display(&fleet, &screen, false)
}

#[test]
fn a_certificate_of_a_grant_that_forwards_nothing_forwards_nothing_beside_one_that_does() -> Tested {
    let fleet = Fleet::new()?;
    fleet.grant("web-forward", "5m")?;
    // The longer one is the one that is used.
    fleet.grant("web-login", "30m")?;
    assert_eq!(forwarded(&fleet, true)?, (false, false));
    assert_eq!(forwarded(&fleet, false)?, (true, true), "the rights of an account add up");
    Ok(())
}

#[test]
fn who_is_not_managed_keeps_what_sshd_config_says_and_disarming_gives_everybody_theirs_back() -> Tested {
    let fleet = Fleet::new()?;
    assert!(sshd_says(&fleet.host, "rescue")?.contains("allowtcpforwarding yes"));
    assert!(sshd_says(&fleet.host, "alice")?.contains("allowtcpforwarding no"));
    let rescue = fleet.host.ssh_with("rescue", &THROUGH, "")?;
    assert!(rescue.stdout.contains("SSH-2.0"), "{rescue}");

    fleet.host.ssh("rescue", "sudo -n stintd disarm")?.check("stintd disarm")?;
    assert!(sshd_says(&fleet.host, "alice")?.contains("allowtcpforwarding yes"));
    assert!(!fleet.host.sh("ls /etc/ssh/sshd_config.d/*stint*")?.success());
    until("sshd to let alice forward again", BOUND, || {
        fleet.host.ssh_with("alice", &THROUGH, "").is_ok_and(|said| said.stdout.contains("SSH-2.0"))
    })?;
    Ok(())
}

#[test]
fn a_host_whose_sshd_does_not_read_the_folder_is_not_armed() -> Tested {
    let fleet = Fleet::with(&Options { armed: false, ..Options::default() })?;
    let host = &fleet.host;
    host.sh("sed -i '/^Include/d' /etc/ssh/sshd_config && cat /etc/ssh/sshd_config.d/*.conf >>/etc/ssh/sshd_config")?
        .check("an sshd_config without Include")?;
    let refused = host.exec(&["stintd", "arm"])?;
    assert_eq!(refused.status, 4, "{refused}");
    assert!(refused.text().contains("Include /etc/ssh/sshd_config.d/*.conf"), "{refused}");
    assert!(!host.sh("ls /etc/ssh/sshd_config.d/*stint*")?.success());
    assert!(!host.sh("grep -rl pam_stint /etc/pam.d")?.success(), "nothing was changed");
    assert_eq!(host.ssh("alice", "id -un")?.stdout, "alice\n");
    Ok(())
}

#[test]
fn a_file_that_sshd_needs_and_somebody_took_away_is_told() -> Tested {
    let fleet = Fleet::new()?;
    fleet
        .host
        .sh("rm /etc/ssh/sshd_config.d/00-stint.conf && systemctl kill -s HUP stint-warden")?
        .check("rm")?;
    fleet.host.sh("echo >> /etc/stint/host.toml")?.check("a look at the host")?;
    until("the status to tell", BOUND, || {
        let told = fleet.host.exec(&["stintd", "status"]);
        told.is_ok_and(|told| told.text().contains("sshd does not know of the grants"))
    })?;
    Ok(())
}
