//! What carries out an order: `stintd accounts N`, started by PID 1 as `stint-accounts@N.service`, with the rights for this alone.
//!
//! It uses the host's own tools, which know the host's locks and keep `/etc/gshadow` in step, and reads back what they did.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stint_grant::ids::{GroupName, UserName};

use super::found::Found;
use super::homes::{Host, Who};
use super::ledger::Ledger;
use super::order::{Answer, Order, Step};
use crate::warden::paths::Paths;
use crate::warden::run::{self, Said};

/// The tools wait up to 15 s for the lock of somebody who edits the same file.
const BOUND: Duration = Duration::from_secs(30);

/// Carries out the order of this number, if it is the one that lies there.
pub(crate) fn run(number: u64) -> Result<(), String> {
    carry_out(&Paths::system(), number)
}

fn carry_out(paths: &Paths, number: u64) -> Result<(), String> {
    let folder = paths.accounts();
    let order = Order::read(&folder)?.filter(|order| order.number == number);
    let Some(order) = order else {
        return Err(format!("there is no order {number}: the warden gives orders, nobody else"));
    };
    let host = Host { root: paths.root(), archive: paths.archive() };
    let mut answer = Answer { number, failed: Vec::new(), told: Vec::new() };
    for step in order.steps {
        match take(&host, &step) {
            Ok(None) => {}
            Ok(Some(words)) => answer.told.push((step, words)),
            Err(why) => {
                tracing::error!(?step, why, "not done");
                answer.failed.push((step, why));
            }
        }
    }
    answer.write(&folder).map_err(|e| e.to_string())
}

/// Takes back all that is ours. For a host from which the programs that would do so are removed.
pub(crate) fn release() -> Result<(), String> {
    let paths = Paths::system();
    let path = paths.accounts_ledger();
    let mut ledger = Ledger::load(&path).map_err(|e| e.to_string())?;
    let host = Host { root: paths.root(), archive: paths.archive() };
    let mut left = Vec::new();
    let mut undo = |step: Step| match take(&host, &step) {
        Ok(_) => false,
        Err(why) => {
            left.push(why);
            true
        }
    };
    ledger.memberships.retain(|m| undo(Step::Leave { user: m.user.clone(), group: m.group.clone() }));
    ledger.accounts.retain(|a| {
        let (user, grant) = (a.user.clone(), a.grant.clone());
        undo(Step::End { user, uid: a.uid, grant, home: a.right.home })
    });
    ledger.save(&path).map_err(|e| e.to_string())?;
    if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
}

fn take(host: &Host, step: &Step) -> Result<Option<String>, String> {
    let etc = &host.root.join("etc");
    match step {
        Step::Join { user, group } => place(etc, "-a", user, group, true).map(|()| None),
        Step::Leave { user, group } => place(etc, "-d", user, group, false).map(|()| None),
        Step::Make { user, uid, grant, shell, keys } => {
            host.make(&Who { user, uid: *uid, grant }, shell, keys).map(|()| None)
        }
        Step::End { user, uid, grant, home } => host.end(&Who { user, uid: *uid, grant }, *home).map(Some),
    }
}

fn place(etc: &Path, flag: &str, user: &UserName, group: &GroupName, wanted: bool) -> Result<(), String> {
    if is_in(etc, user.as_str(), group.as_str())? == wanted {
        return Ok(());
    }
    let said = tool("gpasswd", &[flag, user.as_str(), group.as_str()])?;
    // The file counts, whatever the tool says of itself.
    if is_in(etc, user.as_str(), group.as_str())? == wanted {
        return Ok(());
    }
    Err(format!("gpasswd {flag} {user} {group} changed nothing: {}", words(&said)))
}

fn is_in(etc: &Path, user: &str, group: &str) -> Result<bool, String> {
    let found = Found::read(etc).map_err(|e| e.to_string())?;
    Ok(found.group(group).is_some_and(|group| group.members.iter().any(|member| member == user)))
}

/// Runs one of the host's own tools.
pub(super) fn tool(name: &'static str, arguments: &[&str]) -> Result<Said, String> {
    tool_within(BOUND, name, arguments)
}

/// The same with another bound.
pub(super) fn tool_within(bound: Duration, name: &'static str, arguments: &[&str]) -> Result<Said, String> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut places = folders.iter().map(|folder| PathBuf::from(folder).join(name));
    let program = places.find(|path| path.is_file()).ok_or_else(|| {
        format!("{name} is not installed: install it (the shadow tools are package passwd)")
    })?;
    run::within(bound, &program, arguments, None).map_err(|e| format!("{name}: {e}"))
}

/// What a tool said, short.
pub(super) fn words(said: &Said) -> String {
    let text = format!("{} {}", said.err.trim(), said.out.trim());
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
