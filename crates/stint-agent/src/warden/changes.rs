//! Hears of changes on the disk: `host.toml`, the mode, PAM's files, our drop-ins, the module. The folders are watched, since files are
//! replaced by rename. And of sessions that end by themselves.
//!
//! The kernel tells; nothing is looked at by a clock. Where it cannot tell (no instance left, a folder that is not there yet) this says so
//! by [`Changes::is_blind`], and the loop looks for itself as long as that lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use super::paths::Paths;
use super::sudoers;
use crate::commands::arm::facts::MODULE_FOLDERS;

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// `host.toml`, the mode, or a file of PAM's.
    pub(super) config: bool,
    /// A file with the name of a drop-in of ours.
    pub(super) drop_ins: bool,
    /// The module's file.
    pub(super) module: bool,
    /// A session's group has become empty, or is not any more.
    pub(super) sessions: bool,
    /// The host's groups, or the answer to an order of ours.
    pub(super) groups: bool,
    /// Files of ours that somebody held are free.
    pub(super) freed: bool,
}

impl Changed {
    /// After a gap nothing is known: everything may have changed.
    pub(super) const EVERYTHING: Self =
        Self { config: true, drop_ins: true, module: true, sessions: true, groups: true, freed: true };

    /// Whether it can wait a little: sessions end by the dozen.
    pub(super) fn can_wait(self) -> bool {
        self == Self { sessions: true, ..Self::default() }
    }
    /// Whether there is nothing to look at.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            config: self.config || other.config,
            drop_ins: self.drop_ins || other.drop_ins,
            module: self.module || other.module,
            sessions: self.sessions || other.sessions,
            groups: self.groups || other.groups,
            freed: self.freed || other.freed,
        }
    }
}

/// What a folder is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `/etc/stint`.
    HostConfig,
    /// `/var/lib/stint`.
    Mode,
    /// `/etc/pam.d`.
    Pam,
    /// `/etc/sudoers.d`.
    DropIns,
    /// Where PAM looks for modules.
    Module,
    /// `/etc`.
    Etc,
    /// `/var/lib/stint/accounts`.
    Accounts,
}

impl Kind {
    /// What a file of this name tells. Temporary names tell nothing: the rename does.
    fn tells(self, name: &str) -> Changed {
        let config = Changed { config: true, ..Changed::default() };
        match self {
            Self::HostConfig if name == "host.toml" => config,
            Self::Mode if name == "mode" => config,
            Self::Mode if name == "freed.json" => Changed { freed: true, ..Changed::default() },
            Self::Pam if !name.starts_with('.') => config,
            Self::DropIns if !name.starts_with('.') && sudoers::is_ours(name) => {
                Changed { drop_ins: true, ..Changed::default() }
            }
            Self::Etc if name == "group" => Changed { groups: true, ..Changed::default() },
            Self::Accounts if name == "answer.json" => Changed { groups: true, ..Changed::default() },
            Self::Module if name == "pam_stint.so" => Changed { module: true, ..Changed::default() },
            _ => Changed::default(),
        }
    }
}

struct Folder {
    path: PathBuf,
    kind: Kind,
    /// A host has only some of the folders in which modules may lie.
    may_be_missing: bool,
    watch: Option<WatchDescriptor>,
}

/// The watch on all folders.
pub(super) struct Changes {
    watch: Option<Watch>,
    folders: Vec<Folder>,
    /// `cgroup.events` of each session's group: the kernel tells when the last process of it is gone.
    groups: BTreeMap<PathBuf, WatchDescriptor>,
}

struct Watch {
    inotify: Inotify,
    wake: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Begins to watch. What cannot be watched is said once.
    pub(super) fn new(paths: &Paths) -> Self {
        let folder = |path: &Path, kind| Folder {
            path: path.to_owned(),
            kind,
            may_be_missing: kind == Kind::Module,
            watch: None,
        };
        let modules = MODULE_FOLDERS.iter().map(|path| folder(Path::new(path), Kind::Module));
        let folders = [
            folder(&paths.etc, Kind::HostConfig),
            folder(&paths.state, Kind::Mode),
            folder(&paths.pam, Kind::Pam),
            folder(&paths.sudoers, Kind::DropIns),
            folder(&paths.host_etc(), Kind::Etc),
            folder(&paths.accounts(), Kind::Accounts),
        ];
        let mut changes = Self {
            watch: None,
            folders: folders.into_iter().chain(modules).collect(),
            groups: BTreeMap::new(),
        };
        changes.mend();
        if changes.is_blind() {
            tracing::warn!(
                "not all of the host's files can be watched: they are looked at from time to time"
            );
        }
        changes
    }

    /// Whether something may change that this does not hear of.
    pub(super) fn is_blind(&self) -> bool {
        self.folders.iter().any(|folder| folder.watch.is_none() && !folder.may_be_missing)
    }

    /// Watches what could not be watched before, and what was replaced. Says whether anything is watched anew: then it must be looked at.
    pub(super) fn mend(&mut self) -> bool {
        if self.watch.is_none() {
            self.watch = watch().inspect_err(|error| tracing::debug!(%error, "no watch on files")).ok();
        }
        let Some(watch) = &self.watch else { return false };
        let mut anew = false;
        for folder in self.folders.iter_mut().filter(|folder| folder.watch.is_none()) {
            folder.watch = watch.inotify.add_watch(&folder.path, wanted()).ok();
            anew |= folder.watch.is_some();
        }
        anew
    }

    /// Watches the groups of these sessions and of no others. Says whether one of those that are new is empty already.
    pub(super) fn follow(&mut self, groups: &BTreeSet<PathBuf>) -> bool {
        let Some(watch) = &self.watch else { return false };
        self.groups.retain(|path, descriptor| {
            let stays = groups.contains(path);
            if !stays {
                // With the group its watch is gone as well.
                let _ = watch.inotify.rm_watch(*descriptor);
            }
            stays
        });
        let mut is_empty = false;
        for path in groups.iter().filter(|path| !self.groups.contains_key(*path)).collect::<Vec<_>>() {
            if let Ok(descriptor) = watch.inotify.add_watch(path, AddWatchFlags::IN_MODIFY) {
                self.groups.insert(path.clone(), descriptor);
            }
            let events = std::fs::read_to_string(path).unwrap_or_default();
            is_empty |= !events.lines().any(|line| line == "populated 1");
        }
        is_empty
    }

    /// Waits until something may have changed. [`Self::take`] says what.
    pub(super) async fn heard(&self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.wake.readable().await.map(|mut ready| ready.retain_ready()),
            None => std::future::pending().await,
        }
    }

    /// What has changed since it was asked last, without waiting.
    pub(super) fn take(&mut self) -> Changed {
        let mut changed = Changed::default();
        loop {
            let Some(watch) = &self.watch else { return changed };
            match watch.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        changed = changed.and(self.understand(&event));
                    }
                }
                Err(Errno::EAGAIN) => {
                    clear(watch);
                    return changed;
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "changes of files cannot be heard");
                    self.watch = None;
                    self.folders.iter_mut().for_each(|folder| folder.watch = None);
                    self.groups.clear();
                    return Changed::EVERYTHING;
                }
            }
        }
    }

    fn understand(&mut self, event: &InotifyEvent) -> Changed {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return Changed::EVERYTHING;
        }
        let mut changed = Changed::default();
        if self.groups.values().any(|descriptor| *descriptor == event.wd) {
            changed.sessions = true;
        }
        // Two of our folders may be one, by a symlink.
        for folder in self.folders.iter_mut().filter(|folder| folder.watch == Some(event.wd)) {
            match &event.name {
                Some(name) => changed = changed.and(folder.kind.tells(&name.to_string_lossy())),
                // The folder itself was removed, replaced or unmounted.
                None if event.mask.intersects(gone()) => {
                    folder.watch = None;
                    changed = Changed::EVERYTHING;
                }
                // Its owner or mode.
                None => {
                    changed = changed.and(Changed { module: false, sessions: false, ..Changed::EVERYTHING });
                }
            }
        }
        changed
    }
}

fn watch() -> io::Result<Watch> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let wake = inotify.as_fd().try_clone_to_owned()?;
    Ok(Watch { inotify, wake: wrap(wake)? })
}

#[allow(
    deprecated,
    reason = "`register` is unsafe for want of a proof that the descriptor stays open; an `OwnedFd` is one"
)]
fn wrap(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// All was read: the next readiness is a new one. Not ready in between is no harm.
fn clear(watch: &Watch) {
    let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
    if let std::task::Poll::Ready(Ok(mut ready)) = watch.wake.poll_read_ready(&mut nobody) {
        ready.clear_ready();
    }
}

fn wanted() -> AddWatchFlags {
    gone()
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_ONLYDIR
}

fn gone() -> AddWatchFlags {
    AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_UNMOUNT
        | AddWatchFlags::IN_IGNORED
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::warden::files;

    const DROP_IN: &str = "zz-stint-aaaabbbbcccc";

    fn tree() -> (tempfile::TempDir, Paths) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        for folder in [&paths.etc, &paths.state, &paths.pam, &paths.sudoers, &paths.accounts()] {
            fs::create_dir_all(folder).unwrap();
        }
        (root, paths)
    }

    async fn heard(changes: &mut Changes) -> Changed {
        let heard = async {
            loop {
                changes.heard().await.unwrap();
                let changed = changes.take();
                if !changed.is_nothing() {
                    return changed;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(2), heard).await.expect("the change is heard")
    }

    #[tokio::test]
    async fn each_file_that_counts_is_heard_of_when_it_is_replaced() {
        let (_root, paths) = tree();
        let mut changes = Changes::new(&paths);
        assert!(!changes.is_blind());
        let config = Changed { config: true, ..Changed::default() };
        for path in [paths.host_config(), paths.mode(), paths.pam.join("common-account")] {
            files::replace(&path, b"x", 0o644).unwrap();
            assert_eq!(heard(&mut changes).await, config, "{}", path.display());
        }
        for path in [paths.host_etc().join("group"), paths.accounts().join("answer.json")] {
            files::replace(&path, b"x", 0o644).unwrap();
            let groups = Changed { groups: true, ..Changed::default() };
            assert_eq!(heard(&mut changes).await, groups, "{}", path.display());
        }
        fs::write(paths.sudoers.join(DROP_IN), b"x").unwrap();
        assert_eq!(heard(&mut changes).await, Changed { drop_ins: true, ..Changed::default() });
    }

    #[tokio::test]
    async fn a_change_of_mode_bits_and_a_removal_are_heard_of() {
        let (_root, paths) = tree();
        let drop_in = paths.sudoers.join(DROP_IN);
        fs::write(&drop_in, b"x").unwrap();
        let mut changes = Changes::new(&paths);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(&drop_in, mode).unwrap();
        assert!(heard(&mut changes).await.drop_ins);
        fs::remove_file(&drop_in).unwrap();
        assert!(heard(&mut changes).await.drop_ins);
    }

    #[test]
    fn temporary_files_and_those_of_others_tell_nothing() {
        for (kind, name) in [
            (Kind::DropIns, ".zz-stint-aaaabbbbcccc.tmp"),
            (Kind::DropIns, "rescue"),
            (Kind::Mode, "rollback.json"),
            (Kind::HostConfig, "host.toml.dpkg-new"),
            (Kind::Module, "pam_unix.so"),
        ] {
            assert!(kind.tells(name).is_nothing(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_session_is_heard_of_as_long_as_it_is_followed() {
        let (root, paths) = tree();
        let mut changes = Changes::new(&paths);
        let file = root.path().join("cgroup.events");
        fs::write(&file, "populated 1\nfrozen 0\n").unwrap();
        assert!(!changes.follow(&BTreeSet::from([file.clone()])));
        fs::write(&file, "populated 0\nfrozen 0\n").unwrap();
        assert!(heard(&mut changes).await.can_wait());
        assert!(!changes.follow(&BTreeSet::new()));
        fs::write(&file, "populated 1\n").unwrap();
        assert!(changes.take().is_nothing());
        // One that was over before it was followed tells nothing any more.
        fs::write(&file, "populated 0\n").unwrap();
        assert!(changes.follow(&BTreeSet::from([file])));
        assert!(changes.follow(&BTreeSet::from([root.path().join("gone")])));
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_is_watched_from_then_on() {
        let (_root, paths) = tree();
        fs::remove_dir(&paths.etc).unwrap();
        let mut changes = Changes::new(&paths);
        assert!(changes.is_blind());
        assert!(!changes.mend());
        fs::create_dir(&paths.etc).unwrap();
        assert!(changes.mend() && !changes.is_blind());
        files::replace(&paths.host_config(), b"x", 0o644).unwrap();
        assert!(heard(&mut changes).await.config);
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_told_and_watched_again() {
        let (_root, paths) = tree();
        let mut changes = Changes::new(&paths);
        fs::rename(&paths.pam, paths.pam.with_extension("old")).unwrap();
        fs::create_dir(&paths.pam).unwrap();
        assert_eq!(heard(&mut changes).await, Changed::EVERYTHING);
        assert!(changes.is_blind() && changes.mend() && !changes.is_blind());
        fs::write(paths.pam.join("sshd"), b"x").unwrap();
        assert!(heard(&mut changes).await.config);
    }
}
