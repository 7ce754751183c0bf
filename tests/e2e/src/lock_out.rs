//! The lock-out matrix: who must get in does, whatever is broken, who must not does not, and each refusal names its cause.
//!
//! A row is one fault against root on the console, the break-glass account, a local account that stint does not manage, a managed account with
//! a grant and one without, each for its login and for its sudo.

use std::fmt::Write as _;
use std::time::Duration;

use stint_lab::{Host, Outcome, PATIENCE, Session, until};

use crate::error::E2eError;
use crate::fleet::Fleet;

/// `host.toml`: rescue is the break-glass account, carol is not managed, alice has a grant and bob has none. All but alice may always
/// sudo ([`prepare`]).
pub const HOST_TOML: &str = "[managed]\nbreak_glass_uid = 1900\nexempt_uids = [1003]\n\
                             [limits]\nregister_timeout_ms = 5000\n";

/// What becomes of one way in.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// It is open.
    Open,
    /// Refused, with these words.
    Shut(&'static str),
}

/// A login, and a sudo.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// Through ssh.
    pub login: Way,
    /// From there, or from a process that runs already.
    pub sudo: Way,
}

/// What is expected of the managed accounts; for all others every way is open whatever happens.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Of alice.
    pub with_grant: Ways,
    /// Of bob.
    pub without: Ways,
}

/// Both are open.
pub const OPEN: Ways = Ways { login: Way::Open, sudo: Way::Open };
/// As without a grant on any day.
pub const NO_GRANT: Ways = shut("no grant");
/// As on any day.
pub const USUAL: Expected = Expected { with_grant: OPEN, without: NO_GRANT };

/// Both are refused, with these words.
pub const fn shut(words: &'static str) -> Ways {
    Ways { login: Way::Shut(words), sudo: Way::Shut(words) }
}

/// Everybody managed is out, with these words.
pub const fn all_out(words: &'static str) -> Expected {
    Expected { with_grant: shut(words), without: shut(words) }
}

/// Login goes on, sudo does not.
pub const fn no_sudo(words: &'static str) -> Expected {
    Expected { with_grant: Ways { login: Way::Open, sudo: Way::Shut(words) }, ..USUAL }
}

/// Gives those who may always sudo their rule, and has sshd bear with what is tried here.
pub fn prepare(fleet: &Fleet) -> Result<(), E2eError> {
    let standing = "for user in bob carol; do echo \"$user ALL = (ALL) NOPASSWD: ALL\" > /etc/sudoers.d/$user; done; \
                    chmod 440 /etc/sudoers.d/*";
    fleet.host.sh(standing)?.check("standing sudo")?;
    fleet.make_sshd_patient()
}

/// Tries every way of everybody, prints the row, and holds it against what is expected.
pub fn holds(host: &Host, fault: &str, expected: Expected) -> Result<(), E2eError> {
    let rows = [
        ("root on the console", OPEN, console(host)?),
        ("break-glass", OPEN, account(host, "rescue", "sudo -n id -u", "0")?),
        ("not managed", OPEN, account(host, "carol", "sudo -n id -u", "0")?),
        (
            "with a grant",
            expected.with_grant,
            account(host, "alice", "sudo -n systemctl restart nginx.service && echo done", "done")?,
        ),
        ("without a grant", expected.without, account(host, "bob", "sudo -n id -u", "0")?),
    ];
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for (who, wanted, found) in &rows {
        let _ = write!(table, "{fault:<38} | {who:<20}");
        for (what, wanted, found) in
            [("login", wanted.login, &found.login), ("sudo", wanted.sudo, &found.sudo)]
        {
            let _ = write!(table, " | {what} {}", if found.is_ok() { "open" } else { "shut" });
            let as_wanted = match (wanted, found) {
                (Way::Open, Ok(())) => true,
                (Way::Shut(words), Err(said)) => said.contains(words),
                _ => false,
            };
            if !as_wanted {
                let wanted = match wanted {
                    Way::Open => "it should be open".to_owned(),
                    Way::Shut(words) => format!("it should be shut with the words {words:?}"),
                };
                wrong.push(format!("{fault}: {who}: {what}: {wanted}; it was {found:?}"));
            }
        }
        table.push('\n');
    }
    print!("{table}");
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), host.diagnosis());
    Ok(())
}

/// What became of somebody's ways: why not, if not.
struct Found {
    login: Result<(), String>,
    sudo: Result<(), String>,
}

/// Root at the console, by its password.
fn console(host: &Host) -> Result<Found, E2eError> {
    let bound = bound(host);
    let mut session = at_prompt(host, bound)?;
    session.wait_for("Password:", bound)?;
    session.type_line("root")?;
    let shell =
        until("root's shell", bound, || session.heard().contains("root@web-01") || !session.is_open());
    if shell.is_err() || !session.is_open() {
        if !host.is_virtual() {
            let _ = session.wait_closed(bound);
        }
        return Ok(Found { login: Err(session.heard()), sudo: Err(session.heard()) });
    }
    // The shell shows what is typed; only what it makes of it counts.
    session.type_line("echo login=$(id -u); echo sudo=$(sudo -n id -u); echo all''told; exit")?;
    session.wait_for("alltold", bound)?;
    if host.is_virtual() {
        session.wait_for("logout", bound)?;
    } else {
        session.wait_closed(bound)?;
    }
    let heard = session.heard();
    let has = |words: &str| if heard.contains(words) { Ok(()) } else { Err(heard.clone()) };
    Ok(Found { login: has("login=0"), sudo: has("sudo=0") })
}

/// A console that is asked for root.
fn at_prompt(host: &Host, bound: Duration) -> Result<Session, E2eError> {
    if !host.is_virtual() {
        return Ok(host.terminal("/bin/login root")?);
    }
    let mut session = host.serial_console()?;
    // It may have asked before anybody listened.
    session.type_line("")?;
    session.wait_for("login: ", bound)?;
    session.type_line("root")?;
    Ok(session)
}

fn bound(host: &Host) -> Duration {
    if host.is_virtual() { 3 * PATIENCE } else { PATIENCE }
}

/// An account through real ssh; who does not get in tries sudo from a process that runs as that account already.
fn account(host: &Host, user: &str, sudo: &str, shows: &str) -> Result<Found, E2eError> {
    let said = |outcome: &Outcome, wanted: &str| {
        let as_wanted = outcome.success() && outcome.stdout.trim() == wanted;
        if as_wanted { Ok(()) } else { Err(outcome.to_string()) }
    };
    let login = said(&host.ssh(user, "id -un")?, user);
    let tried = match &login {
        Ok(()) => host.ssh(user, sudo)?,
        Err(_) => host.exec(&["runuser", "-u", user, "--", "sh", "-c", sudo])?,
    };
    Ok(Found { login, sudo: said(&tried, shows) })
}
