//! `stintd left`: how much time the caller has. It needs no privilege: it reads the gate, as the PAM module does, and the gate's files are
//! for everybody to read. The warden is not asked.

use std::path::Path;

use nix::unistd::{Uid, User};
use stint_grant::decision::{Purpose, Question, Verdict, decide};
use stint_grant::dsse::MAX_ENVELOPE_BYTES;
use stint_grant::gate::{
    Current, GATE_DIR, GateFiles, MAX_CURRENT_BYTES, MAX_USER_BYTES, OpenGate, generation_dir, user_file,
};
use stint_grant::ids::UserName;
use stint_grant::words;

use super::failure::Failure;
use crate::warden::config;
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::time;

/// Where the kernel keeps who logged in: the same in a root shell that sudo opened.
const LOGIN_UID: &str = "/proc/self/loginuid";

/// Tells the caller's time left.
pub(crate) fn run() -> Result<(), Failure> {
    let login = std::fs::read_to_string(LOGIN_UID).ok().and_then(|text| text.trim().parse().ok());
    let uid = login.filter(|uid| *uid != u32::MAX).map_or_else(nix::unistd::getuid, Uid::from_raw);
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    println!("{}", words::printable(&said(Path::new(GATE_DIR), &name)?));
    Ok(())
}

/// What is said to an account.
fn said(dir: &Path, name: &str) -> Result<String, Failure> {
    let nobody = || format!("stint: {name} has no grant on this host");
    let Ok(user) = UserName::new(name) else { return Ok(nobody()) };
    let read = |path: &Path, max| files::read(path, max).map_err(Failure::failed);
    let Some(current) = read(&dir.join("current"), MAX_CURRENT_BYTES)? else { return Ok(nobody()) };
    let current = Current::parse(&current).map_err(Failure::failed)?;
    let folder = dir.join(generation_dir(current.generation));
    let root = read(&folder.join("root.json"), MAX_ENVELOPE_BYTES)?.unwrap_or_default();
    let head = read(&folder.join("head.json"), MAX_ENVELOPE_BYTES)?.unwrap_or_default();
    let account = read(&folder.join("users").join(user_file(name)), MAX_USER_BYTES)?;
    let files = GateFiles { root: &root, head: &head, user: account.as_deref() };
    let reading =
        time::read_clocks().ok_or_else(|| Failure::failed("the clocks cannot be read: is /proc mounted?"))?;
    let gate = OpenGate::open(&current, &files, &user, &reading).map_err(Failure::failed)?;
    let question = Question { purpose: Purpose::Stay, origin: None, credentials: None };
    // Without one that can be read the strict defaults hold, as in the module.
    let config = config::host_config(&Paths::system()).unwrap_or_default();
    Ok(match decide(&gate, &config, &question) {
        Verdict::Allow(permit) => words::welcome(&permit),
        Verdict::Deny(denial) => format!("stint: {denial}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_host_without_a_gate_nobody_has_a_grant() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(said(dir.path(), "alice").unwrap(), "stint: alice has no grant on this host");
        assert_eq!(said(dir.path(), "no name").unwrap(), "stint: no name has no grant on this host");
    }

    #[test]
    fn a_damaged_gate_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("current"), "{}").unwrap();
        assert!(said(dir.path(), "alice").is_err());
    }
}
