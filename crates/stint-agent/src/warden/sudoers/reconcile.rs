//! Makes the folder as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stint_grant::ids::GrantId;
use stint_log::Hash;
use stint_log::record::Event;

use super::check::{CheckError, check};
use super::implementation::{Stamp, Tools, Unsupported, detect, stamp};
use super::plan::{Found, Step, Why, is_ours, plan};
use super::render::{Dialect, DropIn, file_name, grant_of, temporary_name};
use crate::journal::Recorder;
use crate::warden::files::{self, FileError};
use crate::warden::live::LiveGrant;

/// The largest drop-in that is read back.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The folder could not be brought into order. What could be done was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SudoersError {
    /// The folder cannot be listed.
    #[error("cannot list {}: {cause}: is sudo installed?", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A drop-in that must not stand could not be removed. Its NOTAFTER still holds.
    #[error("a drop-in whose grant has ended still stands: {0}")]
    Remove(FileError),
    /// The folder could not be made durable.
    #[error("{0}")]
    Sync(FileError),
}

/// What is remembered of the folder from one round to the next.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The grants whose drop-in was refused, and why: so that each refusal is recorded once, not at every round.
    refused: BTreeMap<GrantId, String>,
    /// Which sudo there is.
    sudo: Option<(Stamp, Dialect)>,
    /// The drop-ins that could not be removed. Whoever takes them away then, their removal is recorded.
    standing: BTreeSet<GrantId>,
    /// What could not be removed or replaced because somebody holds it, for [`Self::take_held`].
    held: Option<String>,
}

impl Refusals {
    /// What could not be removed or replaced because somebody holds it, since this was asked last.
    pub(crate) fn take_held(&mut self) -> Option<String> {
        self.held.take()
    }

    /// Whether this host's sudo is sudo-rs, which tells no log server of its commands.
    pub(crate) fn is_sudo_rs(&self) -> bool {
        matches!(self.sudo, Some((_, Dialect::SudoRs)))
    }

    /// In which words this host's sudo is spoken to. It is asked anew when another program stands in its place.
    fn dialect(&mut self) -> Dialect {
        let Some(stamp) = stamp() else { return Dialect::default() };
        match self.sudo {
            Some((known, dialect)) if known == stamp => dialect,
            _ => {
                // What cannot be used is told when something is to be written.
                let Ok(dialect) = detect().map(|tools| tools.dialect()) else { return Dialect::default() };
                self.sudo = Some((stamp, dialect));
                dialect
            }
        }
    }
}

/// Makes the drop-ins of a folder equal to the live grants.
///
/// Files of grants that are not live go first. Each drop-in is for itself: one that cannot be written, or that sudo would read as
/// something else, is recorded as refused and keeps no other one out. Files that are not ours are not touched.
pub(crate) fn reconcile(
    folder: &Path,
    live: &[LiveGrant],
    refusals: &mut Refusals,
    recorder: &mut dyn Recorder,
) -> Result<(), SudoersError> {
    let has_rules = live.iter().any(|grant| !grant.rules().is_empty());
    let dialect = if has_rules { refusals.dialect() } else { Dialect::default() };
    reconcile_with(folder, live, refusals, recorder, dialect, &|| detect().map_err(CheckError::from))
}

/// The same, with the finding of sudo's tools as an argument.
fn reconcile_with(
    folder: &Path,
    live: &[LiveGrant],
    refusals: &mut Refusals,
    recorder: &mut dyn Recorder,
    dialect: Dialect,
    tools: &dyn Fn() -> Result<Tools, CheckError>,
) -> Result<(), SudoersError> {
    refusals.refused.retain(|grant, _| live.iter().any(|l| l.id() == grant));
    let mut drop_ins = BTreeMap::new();
    let mut desired = BTreeMap::new();
    for grant in live.iter().filter(|grant| !grant.rules().is_empty()) {
        let drop_in = DropIn {
            grant: grant.id(),
            user: grant.user(),
            until: grant.until(),
            rules: grant.rules(),
            record: grant.record(),
        };
        match drop_in.render(dialect) {
            Ok(text) => {
                desired.insert(drop_in.file_name(), text);
                drop_ins.insert(drop_in.file_name(), drop_in);
            }
            Err(cause) => refuse(refusals, recorder, drop_in.grant, "render", cause.to_string()),
        }
    }
    let found = scan(folder).map_err(|cause| SudoersError::List { folder: folder.to_owned(), cause })?;
    refusals.standing.retain(|grant| {
        let stands = found.iter().any(|file| grant_of(&file.name).as_ref() == Some(grant));
        if !stands {
            removed(folder, grant, recorder);
        }
        stands
    });
    let steps = plan(&desired, &found);
    let mut outcome = Ok(());
    // Looked for only when something is to be written, and then once.
    let mut found_tools: Option<Result<Tools, CheckError>> = None;
    for step in &steps {
        match step {
            Step::Remove { name } => {
                if let Err(error) = remove(folder, name, refusals, recorder) {
                    outcome = outcome.and(Err(SudoersError::Remove(error)));
                }
            }
            Step::Obstacle { name } => {
                if let Some(grant) = grant_of(name) {
                    let detail = format!("a folder stands at {}: remove it", folder.join(name).display());
                    refuse(refusals, recorder, &grant, "obstacle", detail);
                }
            }
            Step::Write { name, why } => {
                let (drop_in, text) = (&drop_ins[name], &desired[name]);
                if *why == Why::Tampered {
                    alarm(folder, name, recorder);
                }
                let tools = found_tools.get_or_insert_with(tools);
                let result =
                    tools.as_ref().map_err(Clone::clone).and_then(|t| write(folder, drop_in, text, t));
                if let Err(silent @ CheckError::Tool(Unsupported::Silent { .. })) = &result {
                    // It is not waited for once for each grant: the next round asks again.
                    *tools = Err(silent.clone());
                }
                match result {
                    Ok(()) => {
                        refusals.refused.remove(drop_in.grant);
                        recorder.record(Event::DropInWritten {
                            grant: drop_in.grant.to_string(),
                            path: folder.join(name).display().to_string(),
                            sha256: Hash::of(text.as_bytes()),
                        });
                    }
                    Err(cause) => {
                        refuse(refusals, recorder, drop_in.grant, code(&cause), cause.to_string());
                        // What somebody else wrote must not stand in its place.
                        if *why == Why::Tampered
                            && let Err(error) = remove(folder, name, refusals, recorder)
                        {
                            outcome = outcome.and(Err(SudoersError::Remove(error)));
                        }
                    }
                }
            }
        }
    }
    if !steps.is_empty() {
        outcome = outcome.and(files::sync_dir(folder).map_err(SudoersError::Sync));
    }
    outcome
}

fn scan(folder: &Path) -> std::io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_ours(&name) {
            continue;
        }
        let metadata = match fs::symlink_metadata(entry.path()) {
            Ok(metadata) => metadata,
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
            Err(other) => return Err(other),
        };
        let own = metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.gid() == 0;
        let sound = metadata.is_file() && own && metadata.mode() & 0o7777 == 0o440 && metadata.nlink() == 1;
        let text = if sound { files::read(&entry.path(), MAX_BYTES).ok().flatten() } else { None };
        found.push(Found {
            name,
            sound: text.and_then(|bytes| String::from_utf8(bytes).ok()),
            removable: !metadata.is_dir(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn write(folder: &Path, drop_in: &DropIn<'_>, text: &str, tools: &Tools) -> Result<(), CheckError> {
    let name = drop_in.file_name();
    let temporary = folder.join(temporary_name(&name));
    let result = put(&temporary, text)
        .map_err(|e| CheckError::File(e.to_string()))
        .and_then(|()| check(tools, &temporary, drop_in))
        .and_then(|()| {
            fs::rename(&temporary, folder.join(&name))
                .map_err(FileError::at("rename into place", &temporary))
                .map_err(|e| CheckError::File(e.to_string()))
        });
    if result.is_err() {
        // Best effort: sudo ignores it for its dot, and the next round removes it.
        let _ = files::remove(&temporary);
    }
    result
}

fn put(path: &Path, text: &str) -> Result<(), FileError> {
    // One that a crash left has mode 0440 and may be anybody's: never written through.
    let mut file = files::create_anew(path, 0o440)?;
    file.write_all(text.as_bytes()).map_err(FileError::at("write", path))?;
    file.sync_all().map_err(FileError::at("sync", path))
}

fn remove(
    folder: &Path,
    name: &str,
    refusals: &mut Refusals,
    recorder: &mut dyn Recorder,
) -> Result<(), FileError> {
    let (path, grant) = (folder.join(name), grant_of(name));
    if let Err(error) = files::remove(&path) {
        if error.is_held() {
            refusals.held = Some(error.to_string());
        }
        refusals.standing.extend(grant);
        return Err(error);
    }
    if let Some(grant) = grant {
        refusals.standing.remove(&grant);
        removed(folder, &grant, recorder);
    }
    Ok(())
}

fn removed(folder: &Path, grant: &GrantId, recorder: &mut dyn Recorder) {
    let path = folder.join(file_name(grant)).display().to_string();
    recorder.record(Event::DropInRemoved { grant: grant.to_string(), path });
}

fn alarm(folder: &Path, name: &str, recorder: &mut dyn Recorder) {
    let path = folder.join(name);
    tracing::warn!(path = %path.display(), "a sudoers drop-in was changed by somebody: it is made anew");
    recorder.record(Event::Alarm {
        what: "drop-in-changed".to_owned(),
        detail: format!("{} was not as the warden left it", path.display()),
    });
}

fn refuse(refusals: &mut Refusals, recorder: &mut dyn Recorder, grant: &GrantId, code: &str, detail: String) {
    if refusals.refused.get(grant) == Some(&detail) {
        return;
    }
    tracing::error!(%grant, detail, "a sudoers drop-in was refused");
    refusals.refused.insert(grant.clone(), detail.clone());
    recorder.record(Event::DropInRefused { grant: grant.to_string(), cause: code.to_owned(), detail });
}

/// The short code of a cause, for the record.
fn code(error: &CheckError) -> &'static str {
    match error {
        CheckError::Tool(_) => "no-sudo",
        CheckError::Render(_) => "render",
        CheckError::File(_) => "file",
        CheckError::Unreadable(_) => "cvtsudoers",
        CheckError::OtherMeaning(_) => "meaning",
        CheckError::Visudo(_) => "visudo",
    }
}

#[cfg(test)]
mod tests;
