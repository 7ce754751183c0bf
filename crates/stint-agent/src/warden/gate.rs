//! The gate: what the module decides on. A generation folder is written whole and then named by `current`, which is replaced by rename.
//!
//! `current` alone changes for a pulse or for a grant's end, so each costs one small file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use stint_grant::bundle::HostIdentity;
use stint_grant::gate::{self, Current, Opening, RefusedGrant, UserHeader};
use stint_grant::ids::{GrantId, Sha256Hex};
use stint_grant::root;
use stint_grant::time::Floor;

use super::files::{self, FileError};
use super::intake::{AccountPlan, Plan, Verdict};

/// How much of the gate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What all accounts need: it costs the same whatever their number.
    Common,
    /// Every account's file as well.
    Whole,
}

/// The gate's folder, and the generation that is in force.
#[derive(Debug)]
pub(crate) struct Gate {
    dir: PathBuf,
    me: HostIdentity,
    current: Option<Current>,
    /// The folder as PID 1 sees it; `None` in a tree of a test's own.
    view: Option<PathBuf>,
}

impl Gate {
    /// Opens the folder and sweeps what a crash left: half-written generations, and all but the one that is named.
    pub(crate) fn open(dir: PathBuf, me: HostIdentity) -> Result<Self, FileError> {
        files::ensure_dir(&dir, 0o755)?;
        // A `current` that cannot be read denies everything until the next one is written, which is what a damaged gate must do.
        let current = files::read(&dir.join("current"), gate::MAX_CURRENT_BYTES)?
            .and_then(|bytes| Current::parse(&bytes).ok());
        let view = (dir == Path::new(gate::GATE_DIR))
            .then(|| PathBuf::from(format!("/proc/1/root{}", dir.display())));
        let gate = Self { dir, me, current, view };
        let named = gate.generation();
        gate.remove_generations(|generation| Some(generation) == named)?;
        Ok(gate)
    }

    /// The generation in force.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.generation)
    }

    /// Writes a new generation and puts it in force. The one before stays until the next, for readers that opened it.
    pub(crate) fn install(
        &mut self,
        plan: &Plan,
        floor: &Floor,
        ended: Vec<GrantId>,
        opened: Vec<Opening>,
    ) -> Result<u64, FileError> {
        let before = self.generation();
        let generation = self.next_generation()?;
        let folder = self.dir.join(gate::generation_dir(generation));
        let temporary = self.dir.join(format!(".{}.tmp", gate::generation_dir(generation)));
        write_generation(&temporary, plan)?;
        fs::rename(&temporary, &folder).map_err(FileError::at("rename into place", &folder))?;
        files::sync_dir(&self.dir)?;
        self.put_in_force(Current {
            format: Current::FORMAT,
            generation,
            host: self.me.host.clone(),
            host_key: self.me.key.clone(),
            root: root::pin_of(plan.root.1.as_bytes()),
            head: plan.head.0.digest().clone(),
            pulse: plan.pulse.1.clone(),
            floor: floor.clone(),
            ended,
            opened,
        })?;
        self.remove_generations(|kept| kept == generation || Some(kept) == before)?;
        Ok(generation)
    }

    /// Puts a newer pulse, floor, or list of ended or opened grants in force. Does nothing before there is a generation.
    pub(crate) fn update(
        &mut self,
        pulse: &str,
        floor: &Floor,
        ended: Vec<GrantId>,
        opened: Vec<Opening>,
    ) -> Result<(), FileError> {
        let Some(current) = &self.current else { return Ok(()) };
        let next =
            Current { pulse: pulse.to_owned(), floor: floor.clone(), ended, opened, ..current.clone() };
        if next == *current { Ok(()) } else { self.put_in_force(next) }
    }

    /// Ends grants in whatever generation stands, before anything else is known: at once, and on its own.
    pub(crate) fn end(&mut self, ended: impl IntoIterator<Item = GrantId>) -> Result<(), FileError> {
        let Some(current) = &self.current else { return Ok(()) };
        let mut next = current.clone();
        for grant in ended {
            if !next.ended.contains(&grant) {
                next.ended.push(grant);
            }
        }
        if next == *current { Ok(()) } else { self.put_in_force(next) }
    }

    /// Whether `current` is not as it was written last. It is asked before each write, which would hide it.
    pub(crate) fn was_touched(&self) -> Option<String> {
        let written = serde_json::to_vec(self.current.as_ref()?).ok()?;
        holds(&self.dir.join("current"), &written).err()
    }

    /// Whether PID 1, and so the module, sees another `current` than was written: something is mounted there that our own view lacks.
    pub(crate) fn is_covered(&self) -> Option<String> {
        let view = self.view.as_ref()?;
        let written = serde_json::to_vec(self.current.as_ref()?).ok()?;
        // What cannot be looked at is not said to be covered.
        let seen = files::read(&view.join("current"), gate::MAX_CURRENT_BYTES).ok()?;
        (seen.as_ref() != Some(&written)).then(|| {
            format!(
                "{} is another, as PID 1 sees it, than it was written: something may be mounted on it",
                self.dir.display()
            )
        })
    }

    /// What is wrong with what stands, if it is not what was written: the module denies by it.
    pub(crate) fn damage(&self, plan: &Plan, look: Look) -> Option<String> {
        let current = self.current.as_ref()?;
        self.compare(current, plan, look).err()
    }

    fn compare(&self, current: &Current, plan: &Plan, look: Look) -> Result<(), String> {
        let folder = self.dir.join(gate::generation_dir(current.generation));
        let users = folder.join("users");
        for path in [&self.dir, &folder, &users] {
            is_ours_alone(path, fs::FileType::is_dir)?;
        }
        let written = serde_json::to_vec(current).map_err(|e| e.to_string())?;
        holds(&self.dir.join("current"), &written)?;
        holds(&folder.join("root.json"), plan.root.1.as_bytes())?;
        holds(&folder.join("head.json"), plan.head.1.as_bytes())?;
        let accounts = if look == Look::Whole { plan.accounts.as_slice() } else { &[] };
        accounts.iter().try_for_each(|account| {
            let path = users.join(gate::user_file(account.shard.user.as_str()));
            holds(&path, &account_bytes(plan, account))
        })
    }

    /// After damage: the next generation is written as if there were none.
    pub(crate) fn begin_anew(&mut self) -> Result<(), FileError> {
        files::ensure_dir(&self.dir, 0o755)?;
        self.current = None;
        Ok(())
    }

    fn put_in_force(&mut self, current: Current) -> Result<(), FileError> {
        let bytes = serde_json::to_vec(&current).expect("`current` is plain data");
        files::replace(&self.dir.join("current"), &bytes, 0o644)?;
        self.current = Some(current);
        Ok(())
    }

    fn next_generation(&self) -> Result<u64, FileError> {
        let newest = self.generations()?.into_iter().map(|(n, _)| n).chain(self.generation()).max();
        Ok(newest.unwrap_or(0) + 1)
    }

    fn generations(&self) -> Result<Vec<(u64, PathBuf)>, FileError> {
        let entries = fs::read_dir(&self.dir).map_err(FileError::at("list", &self.dir))?;
        Ok(entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let number = path.file_name()?.to_str()?.strip_prefix("gen-")?.parse().ok()?;
                Some((number, path))
            })
            .collect())
    }

    fn remove_generations(&self, keep: impl Fn(u64) -> bool) -> Result<(), FileError> {
        for (_, path) in self.generations()?.into_iter().filter(|(n, _)| !keep(*n)) {
            fs::remove_dir_all(&path).map_err(FileError::at("remove", &path))?;
        }
        let entries = fs::read_dir(&self.dir).map_err(FileError::at("list", &self.dir))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(".gen-") && path.is_dir() {
                fs::remove_dir_all(&path).map_err(FileError::at("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn write_generation(folder: &Path, plan: &Plan) -> Result<(), FileError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(FileError::at("remove", folder))?;
    }
    let users = folder.join("users");
    for dir in [folder, &users] {
        fs::create_dir(dir).map_err(FileError::at("create the folder", dir))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
            .map_err(FileError::at("set the mode of", dir))?;
    }
    // A file system that is busy with much else takes long to sync as a whole: done only where single files would take longer.
    let sync = if plan.accounts.len() <= SYNCED_ONE_BY_ONE { Sync::Each } else { Sync::Whole };
    write_file(&folder.join("root.json"), plan.root.1.as_bytes(), sync)?;
    write_file(&folder.join("head.json"), plan.head.1.as_bytes(), sync)?;
    for account in &plan.accounts {
        let path = users.join(gate::user_file(account.shard.user.as_str()));
        write_file(&path, &account_bytes(plan, account), sync)?;
    }
    match sync {
        Sync::Each => files::sync_dir(&users).and_then(|()| files::sync_dir(folder)),
        Sync::Whole => {
            let dir = fs::File::open(folder).map_err(FileError::at("open", folder))?;
            nix::unistd::syncfs(&dir).map_err(|e| FileError::new("sync", folder, e.into()))
        }
    }
}

/// Up to so many accounts each file is synced for itself.
const SYNCED_ONE_BY_ONE: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Each,
    Whole,
}

fn write_file(path: &Path, bytes: &[u8], sync: Sync) -> Result<(), FileError> {
    let mut file = files::create_anew(path, 0o644)?;
    file.write_all(bytes).map_err(FileError::at("write", path))?;
    if sync == Sync::Each {
        file.sync_all().map_err(FileError::at("sync", path))?;
    }
    Ok(())
}

fn account_bytes(plan: &Plan, account: &AccountPlan) -> Vec<u8> {
    gate::user_file_bytes(&header(plan.head.0.digest(), account), account.bytes.as_bytes())
}

/// Whether a file holds exactly this, and can be trusted as the module trusts it.
fn holds(path: &Path, bytes: &[u8]) -> Result<(), String> {
    is_ours_alone(path, fs::FileType::is_file)?;
    match files::read(path, bytes.len()) {
        Ok(Some(found)) if found == bytes => Ok(()),
        Ok(Some(_)) => Err(format!("{} is not as it was written", path.display())),
        Ok(None) => Err(format!("{} is missing", path.display())),
        Err(error) => Err(error.to_string()),
    }
}

fn is_ours_alone(path: &Path, kind: impl Fn(&fs::FileType) -> bool) -> Result<(), String> {
    let found = fs::symlink_metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw();
    if ours && kind(&found.file_type()) && found.permissions().mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(format!("{} is of another kind, another's, or writable by others", path.display()))
}

fn header(head: &Sha256Hex, account: &AccountPlan) -> UserHeader {
    let mut header = UserHeader {
        head: head.clone(),
        proof: account.proof.clone(),
        accepted: Vec::new(),
        refused: Vec::new(),
    };
    for (grant, verdict) in &account.verdicts {
        match verdict {
            Verdict::Accepted(_) => header.accepted.push(grant.clone()),
            Verdict::Refused(cause) => {
                header.refused.push(RefusedGrant { grant: grant.clone(), cause: cause.clone() });
            }
            // `current` lists it among the ended.
            Verdict::EndedBefore { .. } => {}
        }
    }
    header
}
