//! sudo-rs on a host, in the place of sudo. Debian's release has no package of it: it is built from its published source, once, into the
//! lab's cache.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use stint_lab::{Host, LabError};

use crate::error::E2eError;

/// The version that is tested.
const VERSION: &str = "0.2.15";

/// Puts it in the place of sudo and visudo, and takes away what only the original has.
pub fn install(host: &Host) -> Result<(), E2eError> {
    let built = ensure()?.join("bin");
    let root = host.root_path()?;
    for (program, path, mode) in [("sudo", "usr/bin/sudo", 0o4755), ("visudo", "usr/sbin/visudo", 0o755)] {
        let path = root.join(path);
        fs::remove_file(&path).map_err(E2eError::file(&path))?;
        fs::copy(built.join(program), &path).map_err(E2eError::file(&path))?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(E2eError::file(&path))?;
    }
    host.sh(
        "rm -f /usr/bin/cvtsudoers /usr/bin/sudoedit && chown 0:0 /usr/bin/sudo && chmod 4755 /usr/bin/sudo",
    )?
    .check("taking away what only the original has")?;
    Ok(())
}

/// Where it is built, which is done first when it is not there yet. A lock keeps two builders apart.
fn ensure() -> Result<PathBuf, E2eError> {
    let cache = std::env::var_os("STINT_LAB_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/stint-lab"), PathBuf::from);
    let built = cache.join(format!("sudo-rs-{VERSION}"));
    let lock_path = cache.join("sudo-rs.lock");
    let lock = fs::File::create(&lock_path).map_err(E2eError::file(&lock_path))?;
    lock.lock().map_err(E2eError::file(&lock_path))?;
    if built.join("bin/visudo").exists() {
        return Ok(built);
    }
    let target = cache.join(format!("building-sudo-rs-{}", std::process::id()));
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "--quiet", "--locked", "--version", VERSION, "sudo-rs", "--root"]).arg(&built);
    cargo.env("CARGO_TARGET_DIR", &target).current_dir("/");
    let status = cargo.status().map_err(|source| LabError::Start { program: "cargo".into(), source })?;
    fs::remove_dir_all(&target).map_err(E2eError::file(&target))?;
    if status.success() { Ok(built) } else { Err(E2eError::answer("cargo install sudo-rs", status)) }
}
