//! The Debian packages that the lab's machine needs.

use std::path::Path;
use std::time::Duration;

use crate::LabError;
use crate::run::{bounded, capture};

/// A program that must be there, and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("mke2fs", "e2fsprogs"),
    ("curl", "curl"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("unshare", "util-linux"),
    ("flock", "util-linux"),
    ("xauth", "xauth"),
];

/// Installs with apt what is missing; quick and silent when nothing is.
pub fn install() -> Result<(), LabError> {
    let mut missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    apt(&["update", "-q"])?;
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(missing);
    apt(&args)
}

/// True when a folder of `PATH` (or a system folder outside it) holds this program.
fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|dir| Path::new(dir).join(program).exists())
}

/// One call of apt-get, without questions.
pub(crate) fn apt(args: &[&str]) -> Result<(), LabError> {
    let mut command = bounded(Duration::from_mins(10), "apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    capture(command)?.check(format!("apt-get {}", args.join(" "))).map(drop)
}
