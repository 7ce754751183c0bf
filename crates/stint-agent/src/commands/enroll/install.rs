//! The files of an enrolment: written beside their places first, then put there. A failure puts the old ones back.
//!
//! The courier's folder belongs to its account, which is not trusted: files are made there with `O_EXCL`, and renamed, so a link that
//! stands in the way is never followed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;

use crate::commands::failure::Failure;
use crate::courier::store::{CA, CONFIG, CourierConfig, TRANSPORT};
use crate::warden::paths::Paths;
use crate::warden::trust::Trust;
use crate::warden::{files, keys};

/// The courier's account.
const COURIER: &str = "stint";

/// An enrolment that is not in its places yet.
pub(super) struct Installation {
    paths: Paths,
    identity: SigningKey,
    staged: Vec<Staged>,
    /// What is damaged of the warden's state.
    aside: Vec<Staged>,
    owner: Option<(u32, u32)>,
}

/// A file that was written beside its place.
struct Staged {
    new: PathBuf,
    place: PathBuf,
    /// Where the old file is kept until all are in their places.
    old: Option<PathBuf>,
    placed: bool,
}

impl Installation {
    /// Makes the identity key beside its place, or takes the one that is there.
    pub(super) fn begin(paths: &Paths, keeps_identity: bool) -> Result<Self, Failure> {
        let owner =
            nix::unistd::User::from_name(COURIER).ok().flatten().map(|u| (u.uid.as_raw(), u.gid.as_raw()));
        if owner.is_none() && nix::unistd::geteuid().is_root() {
            return Err(Failure::failed(format!("there is no account {COURIER:?} on this host"))
                .next("install the package stint-host, or run `systemd-sysusers stint.conf`"));
        }
        Self::begin_as(paths, keeps_identity, owner)
    }

    fn begin_as(paths: &Paths, keeps_identity: bool, owner: Option<(u32, u32)>) -> Result<Self, Failure> {
        let place = paths.identity_key();
        if keeps_identity {
            let identity = keys::load(&place).map_err(Failure::failed)?;
            return Ok(Self { paths: paths.clone(), identity, staged: Vec::new(), aside: Vec::new(), owner });
        }
        let new = beside(&place);
        files::remove(&new).map_err(Failure::failed)?;
        let identity = keys::create(&new).map_err(Failure::failed)?;
        let staged = vec![Staged { new, place, old: None, placed: false }];
        Ok(Self { paths: paths.clone(), identity, staged, aside: Vec::new(), owner })
    }

    /// The identity key.
    pub(super) fn identity(&self) -> &SigningKey {
        &self.identity
    }

    /// The warden does not start on damaged state, and begins anew where there is none: what is damaged is put aside with the commit.
    pub(super) fn put_aside_damaged(&mut self) {
        let warden = self.paths.warden();
        let state = json(&warden.join("state.json"));
        let names_missing_update = state.as_ref().is_ok_and(|state| {
            let digest = state.as_ref().and_then(|s| s["update"].as_str());
            digest.is_some_and(|digest| {
                !matches!(json(&warden.join(format!("update-{digest}.json"))), Ok(Some(_)))
            })
        });
        let mut places = Vec::new();
        if state.is_err() || names_missing_update {
            places.push(warden.join("state.json"));
        }
        if json(&warden.join("memory.json")).is_err() {
            places.push(warden.join("memory.json"));
        }
        self.aside = places
            .into_iter()
            .map(|place| Staged { new: PathBuf::new(), place, old: None, placed: false })
            .collect();
    }

    /// Puts everything into its place, the identity key last: what has no identity key is not enrolled.
    pub(super) fn commit(
        mut self,
        trust: &Trust,
        config: &CourierConfig,
        ca: &str,
        transport: &str,
    ) -> Result<(), Failure> {
        let courier = self.paths.state.join("courier");
        let identity = std::mem::take(&mut self.staged);
        let staged = (|| {
            files::ensure_dir(&self.paths.warden(), 0o700).map_err(std::io::Error::other)?;
            self.folder(&courier)?;
            self.stage(&courier.join(CA), ca.as_bytes(), self.owner)?;
            self.stage(&courier.join(TRANSPORT), transport.as_bytes(), self.owner)?;
            self.stage(&courier.join(CONFIG), &serde_json::to_vec_pretty(config)?, self.owner)?;
            self.stage(&self.paths.trust(), &serde_json::to_vec_pretty(trust)?, None)
        })();
        self.staged.extend(identity);
        staged
            .and_then(|()| self.aside.iter_mut().try_for_each(Staged::put_aside))
            .and_then(|()| self.staged.iter_mut().try_for_each(Staged::place))
            .and_then(|()| self.staged.iter().try_for_each(|s| sync_folder(&s.place)))
            .map_err(|error| {
                Failure::failed(format!(
                    "the enrolment could not be stored: {error}; what was there before stands"
                ))
                .next("the token is used up: make room or mend the file system, then ask for a new token")
            })?;
        for staged in std::mem::take(&mut self.staged).into_iter().chain(std::mem::take(&mut self.aside)) {
            staged.forget_old();
        }
        Ok(())
    }

    fn folder(&self, courier: &Path) -> std::io::Result<()> {
        if courier.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            return Ok(());
        }
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(courier)?;
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::lchown(courier, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn stage(&mut self, place: &Path, bytes: &[u8], owner: Option<(u32, u32)>) -> std::io::Result<()> {
        let new = beside(place);
        files::remove(&new).map_err(std::io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        self.staged.push(Staged { new, place: place.to_owned(), old: None, placed: false });
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    }
}

impl Drop for Installation {
    /// What is staged still was not committed.
    fn drop(&mut self) {
        for staged in self.staged.iter().rev().chain(&self.aside) {
            staged.undo();
        }
    }
}

impl Staged {
    fn put_aside(&mut self) -> std::io::Result<()> {
        if self.place.symlink_metadata().is_ok() {
            let old = with_suffix(&self.place, "enroll-old");
            std::fs::rename(&self.place, &old)?;
            self.old = Some(old);
        }
        Ok(())
    }
    fn place(&mut self) -> std::io::Result<()> {
        self.put_aside()?;
        std::fs::rename(&self.new, &self.place)?;
        self.placed = true;
        Ok(())
    }
    fn undo(&self) {
        let undone = match (&self.old, self.placed) {
            (Some(old), _) => std::fs::rename(old, &self.place),
            (None, true) => std::fs::remove_file(&self.place),
            (None, false) => Ok(()),
        };
        if let Err(error) = undone {
            eprintln!("stintd: {} could not be put back: {error}", self.place.display());
        }
        if !self.placed && !self.new.as_os_str().is_empty() {
            // It may not be there; nothing reads it.
            let _ = std::fs::remove_file(&self.new);
        }
    }
    fn forget_old(self) {
        if let Some(old) = self.old
            && let Err(error) = std::fs::remove_file(&old)
        {
            eprintln!("stintd: remove {} yourself: {error}", old.display());
        }
    }
}

/// A file as JSON; `None` if it is not there.
fn json(path: &Path) -> Result<Option<serde_json::Value>, ()> {
    let bytes = files::read(path, 64 * 1024 * 1024).map_err(|_| ())?;
    bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|_| ())
}

fn beside(place: &Path) -> PathBuf {
    with_suffix(place, "enroll-new")
}

fn with_suffix(place: &Path, suffix: &str) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{suffix}"))
}

fn sync_folder(place: &Path) -> std::io::Result<()> {
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stint_grant::ids::Sha256Hex;
    use stint_grant::keys::PublicKey;

    use super::*;

    fn trust(root: &[u8]) -> Trust {
        Trust {
            format: 1,
            fleet: "demo".parse().unwrap(),
            host: "web-1".parse().unwrap(),
            root_pin: Sha256Hex::of(root),
            machine: Sha256Hex::of(b"machine"),
        }
    }
    fn config(key: &SigningKey) -> CourierConfig {
        CourierConfig {
            broker: "https://broker.example".to_owned(),
            fleet: "demo".parse().unwrap(),
            host: "web-1".parse().unwrap(),
            machine: Sha256Hex::of(b"machine"),
            identity_key: PublicKey::of(key),
        }
    }
    fn enrol(paths: &Paths, keeps: bool, root: &[u8], transport: &str) -> Result<[u8; 32], Failure> {
        let installation = Installation::begin_as(paths, keeps, None)?;
        let identity = installation.identity().to_bytes();
        let config = config(installation.identity());
        installation.commit(&trust(root), &config, "ca", transport)?;
        Ok(identity)
    }
    /// All files under the folder, with what is in them.
    fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                found.extend(tree(&entry.path()));
            } else {
                found.insert(entry.path(), std::fs::read(entry.path()).unwrap_or_default());
            }
        }
        found
    }
    fn host() -> (tempfile::TempDir, Paths) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.state).unwrap();
        (folder, paths)
    }

    #[test]
    fn an_enrolment_leaves_its_files_and_nothing_else() {
        let (folder, paths) = host();
        let identity = enrol(&paths, false, b"root", "certificate and key").unwrap();
        assert_eq!(keys::load(&paths.identity_key()).unwrap().to_bytes(), identity);
        assert_eq!(crate::warden::trust::read(&paths).unwrap(), trust(b"root"));
        let names: Vec<_> =
            tree(folder.path()).keys().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["ca.pem", "courier.json", "transport.pem", "identity.key", "trust.json"]);
    }
    #[test]
    fn an_enrolment_that_is_given_up_leaves_nothing() {
        let (folder, paths) = host();
        drop(Installation::begin_as(&paths, false, None).unwrap());
        assert!(tree(folder.path()).is_empty());
    }
    #[test]
    fn a_second_enrolment_replaces_the_first_and_may_keep_the_identity() {
        let (_folder, paths) = host();
        let first = enrol(&paths, false, b"one", "one").unwrap();
        let second = enrol(&paths, true, b"two", "two").unwrap();
        assert_eq!(first, second);
        assert_eq!(crate::warden::trust::read(&paths).unwrap(), trust(b"two"));
        assert_ne!(enrol(&paths, false, b"three", "three").unwrap(), first);
    }
    #[test]
    fn damaged_state_of_the_warden_is_put_aside_and_good_state_stays() {
        let put = |state: &str, memory: &str, update: bool| {
            let (_folder, paths) = host();
            enrol(&paths, false, b"one", "one").unwrap();
            let at = |name: &str| paths.warden().join(name);
            std::fs::write(at("state.json"), state).unwrap();
            std::fs::write(at("memory.json"), memory).unwrap();
            if update {
                std::fs::write(at("update-abc.json"), "{}").unwrap();
            }
            let mut installation = Installation::begin_as(&paths, true, None).unwrap();
            installation.put_aside_damaged();
            let config = config(installation.identity());
            installation.commit(&trust(b"one"), &config, "ca", "two").unwrap();
            (at("state.json").exists(), at("memory.json").exists())
        };
        let good = "{\"update\":\"abc\"}";
        assert_eq!(put(good, "{}", true), (true, true));
        assert_eq!(put("{\"update\":null}", "{}", false), (true, true));
        assert_eq!(put(good, "{}", false), (false, true));
        assert_eq!(put("{\"upd", "{}", true), (false, true));
        assert_eq!(put(good, "", true), (true, false));
    }
    #[test]
    fn a_failure_at_any_file_leaves_all_as_it_was() {
        for blocked in [
            "courier/.ca.pem.enroll-new",
            "courier/.courier.json.enroll-new",
            "courier/transport.pem",
            "keys/identity.key",
        ] {
            let (folder, paths) = host();
            // A folder with something in it stands in the way: it can neither be removed nor replaced.
            let before_key = if blocked.starts_with("keys") {
                None
            } else {
                Some(enrol(&paths, false, b"one", "one").unwrap())
            };
            let in_the_way = paths.state.join(blocked);
            if in_the_way.is_file() {
                std::fs::remove_file(&in_the_way).unwrap();
            }
            let old = in_the_way
                .with_file_name(format!(".{}.enroll-old", in_the_way.file_name().unwrap().to_str().unwrap()));
            std::fs::create_dir_all(in_the_way.join("x")).unwrap();
            std::fs::create_dir_all(old.join("x")).unwrap();
            let before = tree(folder.path());
            assert!(enrol(&paths, false, b"two", "two").is_err(), "{blocked}");
            assert_eq!(tree(folder.path()), before, "{blocked}");
            if let Some(key) = before_key {
                assert_eq!(keys::load(&paths.identity_key()).unwrap().to_bytes(), key);
            }
        }
    }
    #[test]
    fn a_link_that_the_courier_left_is_not_followed() {
        let (folder, paths) = host();
        let target = folder.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        let courier = paths.state.join("courier");
        std::fs::create_dir_all(&courier).unwrap();
        for name in ["ca.pem", ".ca.pem.enroll-new", "transport.pem", ".transport.pem.enroll-old"] {
            std::os::unix::fs::symlink(&target, courier.join(name)).unwrap();
        }
        enrol(&paths, false, b"root", "new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        assert_eq!(std::fs::read(courier.join("transport.pem")).unwrap(), b"new");
    }
}
