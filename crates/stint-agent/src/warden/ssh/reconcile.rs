//! Makes the folder as it should be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stint_grant::host_config::HostConfig;
use stint_grant::ids::HostName;
use stint_grant::rights::login::Forwarding;
use stint_grant::root::Root;
use stint_log::record::Event;

use super::accounts::Gated;
use super::{AUTHORITY, BLOCKS, PRINCIPALS, blocks, principals};
use crate::journal::Recorder;
use crate::warden::files::{self, FileError};
use crate::warden::live::LiveGrant;

/// More than any of these files holds.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The folder could not be brought into order. What could be done was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// A file of it.
    #[error("sshd's certificates or forwarding are not as the grants say: {0}")]
    File(#[from] FileError),
}

/// What should stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Desired {
    /// Without certificates: nothing.
    authority: String,
    /// By account; no file without a line.
    principals: BTreeMap<String, String>,
    blocks: String,
}

/// What the files are made from.
pub(crate) struct Facts<'a> {
    /// The grants in force; none where nothing is enforced.
    pub(crate) live: &'a [LiveGrant],
    /// The newest root, and this host.
    pub(crate) root: Option<&'a Root>,
    /// This host.
    pub(crate) host: &'a HostName,
    /// `host.toml`.
    pub(crate) config: &'a HostConfig,
    /// `/etc/passwd`.
    pub(crate) passwd: &'a str,
    /// Whether anything is enforced.
    pub(crate) enforces: bool,
}

/// Makes the folder `ssh` of the state equal to the live grants. Says whether sshd has to read its configuration anew.
pub(crate) fn reconcile(
    state: &Path,
    facts: &Facts<'_>,
    recorder: &mut dyn Recorder,
) -> Result<bool, SshError> {
    let folder = super::folder(state);
    let desired = desired(&folder, facts);
    let principals = folder.join(PRINCIPALS);
    for dir in [&folder, &principals] {
        // sshd's StrictModes wants each folder above a principals file to be root's, and nobody else's to write.
        make_folder(dir)?;
    }
    // What no grant wants goes first, and one file that cannot be written keeps no other one from going.
    let mut outcome = Ok(());
    for path in unwanted(&principals, &desired.principals)? {
        outcome = outcome.and(take_away(&path));
    }
    for (user, text) in &desired.principals {
        outcome = outcome.and(put(&principals.join(user), text, recorder).map(drop));
    }
    files::sync_dir(&principals)?;
    outcome = outcome.and(put(&folder.join(AUTHORITY), &desired.authority, recorder).map(drop));
    let changed = put(&folder.join(BLOCKS), &desired.blocks, recorder);
    outcome?;
    Ok(changed?)
}

fn desired(folder: &Path, facts: &Facts<'_>) -> Desired {
    if !facts.enforces {
        return Desired { blocks: "# Nothing is enforced.\n".to_owned(), ..Desired::default() };
    }
    let gated = Gated::of(facts.passwd, facts.config);
    let authority = facts.root.map(|root| {
        let keys = root.certificate_signers().keys;
        keys.iter().flat_map(|key| [key.to_openssh(), " stint\n".to_owned()]).collect::<String>()
    });
    let mut by_account: BTreeMap<&str, Vec<&LiveGrant>> = BTreeMap::new();
    let mut allowed = BTreeMap::new();
    // A login that PAM does not gate ends with no grant: no certificate opens it.
    for grant in facts.live.iter().filter(|grant| gated.includes(grant.user().as_str())) {
        by_account.entry(grant.user().as_str()).or_default().push(grant);
        if let Some(login) = grant.rights().login.as_ref().filter(|login| login.covers_service("sshd")) {
            let so_far = allowed.entry(grant.user()).or_insert(Forwarding::NONE);
            *so_far = so_far.or(&login.forwarding);
        }
    }
    let principals = by_account
        .into_iter()
        .map(|(user, grants)| (user.to_owned(), principals::text(grants, facts.host)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    Desired {
        authority: authority.unwrap_or_default(),
        principals,
        blocks: blocks::text(folder, &gated, &allowed),
    }
}

/// A folder of root's. What else stands in its place goes.
fn make_folder(dir: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(dir).is_ok_and(|found| !found.is_dir()) {
        files::remove(dir)?;
    }
    files::ensure_dir(dir, 0o755)
}

/// All of the folder that no account's file is: it is ours alone.
fn unwanted(folder: &Path, wanted: &BTreeMap<String, String>) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::at("list", folder))?;
    let mut unwanted = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("list", folder))?;
        if !entry.file_name().to_str().is_some_and(|name| wanted.contains_key(name)) {
            unwanted.push(entry.path());
        }
    }
    Ok(unwanted)
}

fn take_away(path: &Path) -> Result<(), FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).map_err(FileError::at("remove", path)),
        _ => files::remove(path),
    }
}

/// Puts a file in place unless it stands there as it should, and says whether it was changed.
fn put(path: &Path, text: &str, recorder: &mut dyn Recorder) -> Result<bool, FileError> {
    let found = fs::symlink_metadata(path).ok();
    let sound = found.as_ref().is_some_and(is_sound);
    if sound && files::read(path, MAX_BYTES)?.is_some_and(|bytes| bytes == text.as_bytes()) {
        return Ok(false);
    }
    if found.is_some() && !sound {
        let detail = format!("{} was not as the warden left it", path.display());
        tracing::warn!("{detail}: it is made anew");
        recorder.record(Event::Alarm { what: "ssh-file-changed".to_owned(), detail });
        take_away(path)?;
    }
    files::replace(path, text.as_bytes(), 0o644)?;
    Ok(true)
}

/// A regular file with one name, root's, that nobody else writes.
fn is_sound(found: &fs::Metadata) -> bool {
    let own = found.uid() == nix::unistd::geteuid().as_raw();
    found.is_file() && own && found.mode() & 0o7777 == 0o644 && found.nlink() == 1
}

#[cfg(test)]
mod tests;
