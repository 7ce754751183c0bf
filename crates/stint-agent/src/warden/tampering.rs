//! Root's hand on stint itself: told at once, put into the receipts of the windows in which it happened, and mended where it can be.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use stint_grant::host_config::HostConfig;
use stint_grant::words::printable;
use stint_log::record::{Event, Mode};

use super::files::FileError;
use super::freeing::{self, Freed};
use super::systemd::Bus;
use super::time::boottime_ms;
use super::warden::Warden;
use crate::commands::arm::facts::{MODULE_FOLDERS, module_is_there};
use crate::commands::arm::pam::{self, CommonFiles, Wiring};
use crate::journal::Recorder;

/// The unit that takes flags and mounts off our files.
pub(super) const FREE: &str = "stint-free.service";
/// So many of the files that were freed are named.
const MAX_FREED_TOLD: usize = 20;
/// So many characters of each line.
const MAX_WORDS: usize = 500;
/// So long PAM's files are left to whoever writes them, one after the other.
const SETTLED_MS: u64 = 1_000;
/// So many different things are told of files that are held; then it has been said often enough.
const MAX_TOLD: usize = 64;

/// What is known of root's hand on stint.
#[derive(Debug, Default)]
pub(super) struct Watch {
    bus: Bus,
    /// What could not be written because somebody holds it.
    held: Option<String>,
    /// What was told of files that somebody holds: each once.
    told: Vec<String>,
    /// The module's file as it was seen last.
    module: Option<Stamp>,
    pam: Pam,
}

/// How PAM's files stand to the gate.
#[derive(Debug, Default)]
struct Pam {
    /// The services that did not lead to the gate when this was first looked at: arming has told of them.
    past_the_gate: Option<Vec<String>>,
    /// Since when, by the boot clock in milliseconds, something is wrong.
    since_ms: Option<u64>,
    /// What was told last.
    told: Option<String>,
}

impl Watch {
    /// A file of ours could not be written. If somebody holds it, it is freed.
    pub(super) fn note_held(&mut self, error: &FileError) {
        if error.is_held() {
            self.held = Some(error.to_string());
        }
    }

    /// Whether PAM's files are to be looked at once more.
    pub(super) fn waits_for_pam(&self) -> bool {
        self.pam.since_ms.is_some() && self.pam.told.is_none()
    }
}

/// Which file it is: its file system, number, length, and when it was changed.
type Stamp = (u64, u64, u64, i64, i64);

impl Warden {
    /// Tells of it, and puts it into the receipts that are owed.
    pub(super) fn tampered(&mut self, what: &str, detail: String) {
        tracing::error!(what, "{detail}");
        self.desk.notice(&detail);
        self.journal.record(Event::Alarm { what: what.to_owned(), detail });
    }

    /// Has PID 1 start what takes flags and mounts off our files, if one of them could not be replaced or removed.
    pub(super) async fn free_what_is_held(&mut self) {
        let held = [self.drop_in_refusals.take_held(), self.keeper.take_held(), self.watch.held.take()];
        if held.iter().all(Option::is_none) {
            return;
        }
        for cause in held.into_iter().flatten() {
            if self.watch.told.len() < MAX_TOLD && !self.watch.told.contains(&cause) {
                self.watch.told.push(cause.clone());
                let detail = format!("{cause}: somebody holds it by a flag or a mount; that is taken off");
                self.tampered("file-held", detail);
            }
        }
        match self.watch.bus.start_unit(FREE).await {
            Ok(()) => self.desk.await_freeing(boottime_ms()),
            Err(error) => {
                tracing::error!(%error, "what holds stint's own files was not taken off; trying again");
            }
        }
    }

    /// What was taken off our files, for the record.
    pub(super) fn note_freed(&mut self) {
        let Freed { done, left } = match freeing::take_answer(&self.paths) {
            Ok(Some(answer)) => answer,
            // Its removal, after it was read, is a change as well.
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "what was taken off stint's own files is not known"),
        };
        let all: Vec<String> = left.into_iter().chain(done).collect();
        let more = all.len().saturating_sub(MAX_FREED_TOLD);
        for words in all.iter().take(MAX_FREED_TOLD) {
            // Root can write that file too: nothing in it is believed to be short, or plain.
            let words = printable(&words.chars().take(MAX_WORDS).collect::<String>());
            self.tampered("file-freed", words);
        }
        if more > 0 {
            self.tampered("file-freed", format!("and {more} more: journalctl -u {FREE}"));
        }
        self.desk.freeing_is_told();
    }

    /// What the keeper found changed in the gate, for the receipts. It has told the record itself.
    pub(super) fn note_tampering(&mut self) {
        for words in self.keeper.take_tampering() {
            self.desk.notice(&words);
        }
    }

    /// `host.toml` says who is managed, and the module reads it: a change of it is always told.
    pub(super) fn note_config_change(&mut self, new: &HostConfig) {
        let parts = differences(self.keeper.config(), new).join(", ");
        let path = self.paths.host_config().display().to_string();
        self.tampered("host-toml-changed", format!("{path} was changed: {parts}"));
    }

    /// Whether PAM still asks the module wherever it did. Files are written one after the other when the host is armed or disarmed, so what
    /// is wrong is told once it has stayed so; at once, if a receipt would be too early for it.
    pub(super) fn look_at_pam(&mut self, at_once: bool) {
        if self.mode == Mode::Inert {
            self.watch.pam = Pam::default();
            return;
        }
        let mut wrong = match pam::wiring(&CommonFiles::read(&self.paths.pam)) {
            Wiring::Broken(problems) => problems,
            Wiring::None | Wiring::Whole => Vec::new(),
        };
        let services = &self.keeper.config().managed.services;
        let past = pam::services_past_the_gate(&self.paths.pam, services);
        let known = self.watch.pam.past_the_gate.get_or_insert_with(|| past.clone());
        let new = past.iter().filter(|service| !known.contains(service));
        wrong.extend(new.map(|service| format!("{service}: it does not lead to common-account any more")));
        if wrong.is_empty() {
            (self.watch.pam.since_ms, self.watch.pam.told) = (None, None);
            return;
        }
        let (now_ms, wrong) = (boottime_ms(), wrong.join("; "));
        let since_ms = *self.watch.pam.since_ms.get_or_insert(now_ms);
        let has_stayed = at_once || now_ms.saturating_sub(since_ms) >= SETTLED_MS;
        if has_stayed && self.watch.pam.told.as_ref() != Some(&wrong) {
            self.watch.pam.told = Some(wrong.clone());
            let detail = format!(
                "PAM's files were changed, and the gate is not whole: {wrong}. Run `stintd arm` again"
            );
            self.tampered("pam-changed", detail);
        }
    }

    /// PAM skips a module whose file is missing, so that an accident locks nobody out; then the gate is open, and people must hear of it.
    pub(super) fn look_at_module(&mut self) {
        let missing = self.mode != Mode::Inert && !module_is_there();
        if missing && self.faults.module.is_none() {
            let detail = "pam_stint.so is not where PAM looks: PAM skips the gate, and it is open. Install the package stint-host again";
            self.tampered("module-missing", detail.to_owned());
            self.faults.module = Some(detail.to_owned());
        } else if !missing {
            self.faults.module = None;
        }
    }

    /// Another file in the place of the module that PAM asks: an update of the package, or somebody who answers in its place.
    pub(super) fn note_module_change(&mut self) {
        let now = MODULE_FOLDERS.iter().find_map(|folder| stamp(&Path::new(folder).join("pam_stint.so")));
        let before = std::mem::replace(&mut self.watch.module, now);
        if before.is_some() && now.is_some() && before != now {
            let detail = "pam_stint.so was replaced: if that was not an update of the package stint-host, another module answers PAM in \
                          its place. Install the package again";
            self.tampered("module-changed", detail.to_owned());
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

/// Which parts of `host.toml` are not the same.
fn differences(old: &HostConfig, new: &HostConfig) -> Vec<String> {
    let mut parts = Vec::new();
    let (before, now) = (&old.managed, &new.managed);
    let mut changed = |what: &str, differs: bool| {
        if differs {
            parts.push(what.to_owned());
        }
    };
    changed("managed.first_uid", before.first_uid != now.first_uid);
    changed("managed.exempt_uids", before.exempt_uids != now.exempt_uids);
    changed("managed.break_glass_uid", before.break_glass_uid != now.break_glass_uid);
    changed("managed.services", before.services != now.services);
    changed("managed.only", before.only != now.only);
    changed("managed.remote_root", before.remote_root != now.remote_root);
    changed("limits", old.limits != new.limits);
    changed("ceiling", old.ceiling != new.ceiling);
    changed("residue", old.residue != new.residue);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_in_host_toml_is_named() {
        let parse = |text: &str| HostConfig::parse(text).unwrap();
        let old = parse("[managed]\nbreak_glass_uid = 1900\n");
        let new = parse(
            "[managed]\nbreak_glass_uid = 1900\nexempt_uids = [1001]\nremote_root = true\n[residue]\nwatch = [\"/srv/x\"]\n",
        );
        assert_eq!(differences(&old, &new), ["managed.exempt_uids", "managed.remote_root", "residue"]);
        assert!(differences(&old, &old).is_empty());
    }

    #[test]
    fn a_file_that_is_replaced_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pam_stint.so");
        assert_eq!(stamp(&path), None);
        std::fs::write(&path, "one").unwrap();
        let before = stamp(&path);
        assert_eq!(before, stamp(&path));
        std::fs::write(dir.path().join("new"), "two").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(before, stamp(&path));
    }
}
