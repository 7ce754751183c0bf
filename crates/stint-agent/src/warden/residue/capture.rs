//! Takes a picture of the host: every place of the watchlist, within a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use stint_grant::ids::{Sha256Hex, UserName};
use stint_grant::residue::{Kind, Policy, Residue};
use stint_grant::words::printable;

use super::accounts::{self, Accounts, Key};
use super::kernel;
use super::picture::{Content, Entry, Form, Meta, Picture, RawPath, Reach, Spot};
use super::tree::{Anchor, Tree, meta, read_all};
use super::watchlist::{HOME, HOST, Keep, Place, SPOOLS, is_expected};

/// The largest file whose content is kept.
const MAX_CONTENT: usize = 64 * 1024;
/// All contents together.
const MAX_CONTENTS: usize = 8 * 1024 * 1024;
/// The largest file that is hashed.
const MAX_DIGEST: usize = 256 * 1024;
/// Where sshd makes folders for the sockets of forwarded agents, and how their names begin.
const AGENTS: &str = "tmp";
const AGENTS_BEGIN: &str = "ssh-";
/// The most names in one folder.
const MAX_NAMES: usize = 4096;
/// The most things in a picture.
const MAX_ENTRIES: usize = 50_000;
/// The most bytes of all paths together: it is written down, and read back.
const MAX_PATHS: usize = 2 * 1024 * 1024;
/// Why a place was not seen.
const NO_TIME: &str = "no time or room was left for it";
/// The most homes.
const MAX_HOMES: usize = 500;
/// The largest passwd, shadow or group file.
const MAX_ACCOUNTS: usize = 16 * 1024 * 1024;

/// What a picture is taken of, and by what rules.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// The host's files.
    pub(crate) tree: &'a Tree,
    /// What is looked at.
    pub(crate) rules: &'a Residue,
    /// How far the grant's rights reach.
    pub(crate) reach: &'a Reach,
    /// For passwords.
    pub(crate) key: &'a Key,
    /// When to stop.
    pub(crate) until: Instant,
}

/// Takes it.
pub(crate) fn picture(scene: &Scene<'_>) -> Picture {
    let began = Instant::now();
    let mut camera = Camera {
        scene,
        entries: Vec::new(),
        missed: Vec::new(),
        unseen: BTreeSet::new(),
        accounts_at: 0,
        paths: 0,
        kept: 0,
        users: Users::default(),
    };
    let accounts = camera.accounts();
    camera.users = Users::of(&accounts);
    let uids: BTreeSet<u32> = scene.reach.accounts.iter().filter_map(|user| camera.users.uid(user)).collect();
    // What users fill comes last: whoever fills it leaves the rest to be seen.
    camera.spools();
    if scene.reach.some_root {
        camera.host();
    }
    camera.watched();
    camera.agents(&uids);
    camera.homes(&accounts);
    let (kernel, unread) = kernel::facts(scene.tree.path(), scene.rules, scene.reach, &uids);
    camera.missed.extend(unread);
    Picture {
        accounts_at: camera.accounts_at,
        unseen: camera.unseen.into_iter().map(RawPath).collect(),
        entries: camera.entries,
        accounts: if scene.reach.some_root { accounts } else { Accounts::default() },
        kernel,
        uids,
        missed: camera.missed,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

struct Camera<'a> {
    scene: &'a Scene<'a>,
    entries: Vec<Entry>,
    missed: Vec<String>,
    /// The places that were not reached, or not whole.
    unseen: BTreeSet<PathBuf>,
    accounts_at: i64,
    /// How many bytes all paths have together.
    paths: usize,
    /// The same of contents.
    kept: usize,
    users: Users,
}

/// Names and numbers of accounts. Two names may have one number.
#[derive(Debug, Default)]
struct Users(Vec<(UserName, u32)>);

impl Users {
    fn of(accounts: &Accounts) -> Self {
        let named = accounts.users.iter().filter_map(|(name, user)| {
            let name = UserName::new(name.clone()).ok()?;
            Some((name, user.uid?))
        });
        Self(named.collect())
    }
    fn uid(&self, user: &UserName) -> Option<u32> {
        self.0.iter().find(|(name, _)| name == user).map(|(_, uid)| *uid)
    }
    fn by_name(&self, name: &str) -> Option<UserName> {
        self.0.iter().map(|(user, _)| user).find(|user| user.as_str() == name).cloned()
    }
    /// The name of a number; of several, the one that is asked for.
    fn by_uid(&self, uid: u32, rather: &BTreeSet<UserName>) -> Option<UserName> {
        let mut named = self.0.iter().filter(|(_, other)| *other == uid).map(|(name, _)| name);
        let first = named.clone().next();
        named.find(|name| rather.contains(name)).or(first).cloned()
    }
}

impl Camera<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.scene.until || self.entries.len() >= MAX_ENTRIES || self.paths >= MAX_PATHS
    }

    /// Says once of each place that it was not seen.
    fn miss(&mut self, path: &Path, why: impl std::fmt::Display) {
        if !self.unseen.insert(path.to_owned()) {
            return;
        }
        self.missed.push(format!("{}: {}", printable(&path.to_string_lossy()), printable(&why.to_string())));
    }

    fn accounts(&mut self) -> Accounts {
        let passwd = self.text("etc/passwd");
        let root = self.scene.reach.some_root;
        let shadow = if root { self.text("etc/shadow") } else { String::new() };
        let group = if root { self.text("etc/group") } else { String::new() };
        accounts::parse(&passwd, &shadow, &group, self.scene.key)
    }

    fn text(&mut self, path: &str) -> String {
        let mut changed_at = 0;
        let mut read = || -> io::Result<Option<Vec<u8>>> {
            let anchor = self.scene.tree.anchor(Path::new("/"))?;
            let seen = meta(&anchor.hold(Path::new(path))?.metadata()?);
            changed_at = seen.ctime.0;
            read_all(&anchor.open(Path::new(path), &seen)?, MAX_ACCOUNTS)
        };
        let read = read();
        self.accounts_at = self.accounts_at.max(changed_at);
        match read {
            Ok(Some(bytes)) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(None) => self.miss(&Path::new("/").join(path), "it is too large"),
            Err(error) => self.miss(&Path::new("/").join(path), error),
        }
        String::new()
    }

    /// The homes of the accounts that the grant acts as; with root, all homes.
    fn homes(&mut self, accounts: &Accounts) {
        let mut homes: BTreeMap<PathBuf, (UserName, Option<u32>)> = BTreeMap::new();
        for (name, user) in &accounts.users {
            let Ok(name) = UserName::new(name.clone()) else { continue };
            let is_own = self.scene.reach.accounts.contains(&name);
            let logs_in = !user.shell.ends_with("nologin") && !user.shell.ends_with("/false");
            let is_home = user.home.len() > 1 && user.home.starts_with('/');
            if is_home && (is_own || (self.scene.reach.some_root && logs_in)) {
                let home = PathBuf::from(&user.home);
                if is_own || !homes.contains_key(&home) {
                    homes.insert(home, (name, user.uid));
                }
            }
        }
        for user in &self.scene.reach.accounts {
            if !accounts.users.contains_key(user.as_str()) {
                self.missed.push(format!("the home of {user}: it is not in /etc/passwd"));
            }
        }
        if homes.len() > MAX_HOMES {
            self.missed.push(format!("{} homes of {}", homes.len() - MAX_HOMES, homes.len()));
        }
        let mut homes: Vec<_> = homes.into_iter().collect();
        // Those of the grant's own accounts last: they may be full of what it left.
        let fills = |user: &UserName| user.as_str() != "root" && self.scene.reach.accounts.contains(user);
        homes.sort_by_key(|(_, (user, _))| fills(user));
        // Of too many the last ones count, the own ones among them.
        let over = homes.len().saturating_sub(MAX_HOMES);
        for (path, (user, uid)) in homes.into_iter().skip(over) {
            if self.is_late() {
                self.miss(&path, NO_TIME);
                continue;
            }
            let anchor = match self.scene.tree.anchor(&path) {
                Ok(anchor) => anchor,
                Err(error) if is_absent(&error) => continue,
                Err(error) => {
                    self.miss(&path, error);
                    continue;
                }
            };
            let owner = anchor.meta().ok().map(|meta| meta.uid);
            if owner.is_none() || (owner != uid && owner != Some(0)) {
                self.miss(&path, format!("this home does not belong to {user}"));
                continue;
            }
            for place in HOME {
                self.place(place, &path, &anchor, Some(&user));
            }
        }
    }

    fn spools(&mut self) {
        let Some(anchor) = self.root() else { return };
        for place in SPOOLS {
            let before = self.entries.len();
            self.place(place, Path::new("/"), &anchor, None);
            let found = self.entries.split_off(before);
            for mut entry in found {
                let name = entry.spot.below.0.file_name().unwrap_or_default().to_string_lossy();
                let named = |uid| self.users.by_uid(uid, &self.scene.reach.accounts);
                let by_owner = || Some(entry.meta.uid).filter(|uid| *uid != 0).and_then(named);
                let by_number = || name.parse().ok().and_then(named);
                entry.of = self.users.by_name(&name).or_else(by_owner).or_else(by_number);
                let own = entry.of.as_ref().is_some_and(|user| self.scene.reach.accounts.contains(user));
                if entry.meta.form != Form::Folder && (own || self.scene.reach.some_root) {
                    self.entries.push(entry);
                }
            }
        }
    }

    /// The sockets of forwarded agents, each in a folder that sshd made for the account: an sshd that is killed leaves its own. One at
    /// which somebody listens is in use.
    fn agents(&mut self, uids: &BTreeSet<u32>) {
        if self.scene.rules.policy_of(Kind::Sockets) == Policy::Ignore {
            return;
        }
        let Some(anchor) = self.root() else { return };
        let folder = Path::new(AGENTS);
        let Ok((names, _)) = anchor.folder(folder).and_then(|folder| folder.names(MAX_NAMES)) else { return };
        let text = std::fs::read(self.scene.tree.path().join("proc/1/net/unix")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let in_use: BTreeSet<&str> = kernel::unix_listeners(&text).collect();
        for name in names.iter().filter(|name| name.to_string_lossy().starts_with(AGENTS_BEGIN)) {
            let below = folder.join(name);
            let Ok(seen) = anchor.hold(&below).and_then(|held| held.metadata()) else { continue };
            let seen = meta(&seen);
            if seen.form != Form::Folder || !uids.contains(&seen.uid) || seen.uid == 0 {
                continue;
            }
            let of = self.users.by_uid(seen.uid, &self.scene.reach.accounts);
            let (before, place) = (self.entries.len(), below.to_string_lossy().into_owned());
            let visit = Visit {
                kind: Kind::Sockets,
                keep: Keep::Nothing,
                place: &place,
                root: Path::new("/"),
                of: of.as_ref(),
            };
            self.visit(&visit, &anchor, &below, 1);
            let found = self.entries.split_off(before);
            self.entries.extend(found.into_iter().filter(|entry| {
                entry.meta.form == Form::Socket && !in_use.contains(&*entry.spot.path().to_string_lossy())
            }));
        }
    }

    fn host(&mut self) {
        let Some(anchor) = self.root() else { return };
        for place in HOST {
            self.place(place, Path::new("/"), &anchor, None);
        }
    }

    fn watched(&mut self) {
        let Some(anchor) = self.root() else { return };
        for path in &self.scene.rules.watch {
            self.visit(
                &Visit {
                    kind: Kind::Watched,
                    keep: Keep::Content,
                    place: path,
                    root: Path::new("/"),
                    of: None,
                },
                &anchor,
                Path::new(path.trim_start_matches('/')),
                4,
            );
        }
    }

    fn root(&mut self) -> Option<Anchor> {
        self.scene.tree.anchor(Path::new("/")).map_err(|error| self.miss(Path::new("/"), error)).ok()
    }

    fn place(&mut self, place: &Place, root: &Path, anchor: &Anchor, of: Option<&UserName>) {
        if self.scene.rules.policy_of(place.kind) == Policy::Ignore {
            return;
        }
        let visit = Visit { kind: place.kind, keep: place.keep, place: place.path, root, of };
        self.visit(&visit, anchor, Path::new(place.path), place.depth);
    }

    fn visit(&mut self, visit: &Visit<'_>, anchor: &Anchor, below: &Path, depth: u8) {
        let path = visit.root.join(below);
        if self.is_late() {
            // In a place, all of the folder that was being looked through.
            let place = if below == Path::new(visit.place) { &path } else { path.parent().unwrap_or(&path) };
            return self.miss(place, NO_TIME);
        }
        let seen = match anchor.hold(below).and_then(|held| held.metadata()) {
            Ok(found) => meta(&found),
            Err(error) if is_absent(&error) => return,
            // A link on the way, or a file system that somebody mounted there: where it leads is not looked at.
            Err(error) => return self.miss(&path, error),
        };
        let form = seen.form;
        let entry = self.entry(visit, anchor, below, seen);
        self.paths += path.as_os_str().len();
        self.entries.push(entry);
        if form != Form::Folder || depth == 0 {
            return;
        }
        let names = anchor.folder(below).and_then(|folder| folder.names(MAX_NAMES));
        let (names, more) = match names {
            Ok(names) => names,
            Err(error) => return self.miss(&path, error),
        };
        if more {
            self.miss(&path, format!("it has more than {MAX_NAMES} names"));
        }
        for name in names {
            let place = if below == Path::new(visit.place) { visit.place } else { "" };
            if !is_expected(place, &name.to_string_lossy()) {
                self.visit(visit, anchor, &below.join(name), depth - 1);
            }
        }
    }

    fn entry(&mut self, visit: &Visit<'_>, anchor: &Anchor, below: &Path, seen: Meta) -> Entry {
        let mut entry = Entry {
            kind: visit.kind,
            spot: Spot { anchor: RawPath(visit.root.to_owned()), below: RawPath(below.to_owned()) },
            of: visit.of.cloned(),
            digest: None,
            target: None,
            content: None,
            unread: None,
            meta: seen,
        };
        match entry.meta.form {
            Form::Link => match anchor.target(below) {
                Ok(target) => entry.target = Some(RawPath(target)),
                Err(error) => entry.unread = Some(error.to_string()),
            },
            Form::File if visit.keep != Keep::Nothing && entry.meta.size <= MAX_DIGEST as u64 => {
                let read = anchor.open(below, &entry.meta).and_then(|file| read_all(&file, MAX_DIGEST));
                match read {
                    Ok(Some(bytes)) => {
                        entry.digest = Some(Sha256Hex::of(&bytes));
                        let keeps = visit.keep == Keep::Content
                            && bytes.len() <= MAX_CONTENT
                            && self.kept + bytes.len() <= MAX_CONTENTS;
                        if keeps {
                            self.kept += bytes.len();
                            entry.content = Some(Content(bytes));
                        }
                    }
                    Ok(None) => entry.unread = Some("it grew while it was read".to_owned()),
                    Err(error) => entry.unread = Some(error.to_string()),
                }
            }
            _ => {}
        }
        entry
    }
}

/// One place that is walked through.
struct Visit<'a> {
    kind: Kind,
    keep: Keep,
    place: &'a str,
    root: &'a Path,
    of: Option<&'a UserName>,
}

/// Whether there is simply nothing.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
