//! sshd finds what the warden keeps for it through one file, which stands while the host is armed.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::commands::failure::{Exit, Failure};
use crate::commands::system;
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::ssh::{self, Reload};

/// How long sshd is waited for. One to which systemd hands its sockets keeps them, and shows nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Puts the file in place and has sshd read it. A configuration that sshd would not take, or that does not reach our file, is an error,
/// and the file is gone again.
pub(crate) fn install(paths: &Paths) -> Result<(), Failure> {
    if !is_here() {
        return Ok(());
    }
    let path = ssh::drop_in(&paths.ssh);
    let text = ssh::drop_in_text(&paths.state);
    if let Some(folder) = path.parent() {
        files::ensure_dir(folder, 0o755).map_err(Failure::failed)?;
    }
    files::replace(&path, text.as_bytes(), 0o644).map_err(Failure::failed)?;
    if let Err(failure) = check(paths) {
        files::remove(&path).map_err(Failure::failed)?;
        return Err(failure);
    }
    reload();
    Ok(())
}

/// Takes the file away and has sshd read that.
pub(crate) fn remove(paths: &Paths) -> Result<(), Failure> {
    let path = ssh::drop_in(&paths.ssh);
    if files::read(&path, 64 * 1024).is_ok_and(|found| found.is_none()) {
        return Ok(());
    }
    files::remove(&path).map_err(Failure::failed)?;
    reload();
    Ok(())
}

/// Whether sshd reads our file, asked of sshd itself.
fn check(paths: &Paths) -> Result<(), Failure> {
    let connection = format!("user={},host=localhost,addr=127.0.0.1", ssh::PROBE);
    let answer = system::run("sshd", &["-T", "-C", &connection])?;
    if !answer.ok {
        let said = answer.last_words();
        return Err(Failure::new(
            Exit::Check,
            format!("sshd does not take what stint adds to its configuration: {said}"),
        )
        .next("mend sshd's configuration (OpenSSH 8.2 or later is needed), then run `stintd arm` again"));
    }
    let wanted = ssh::probe_answer(&paths.state);
    if answer.output.lines().any(|line| line.trim() == wanted) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Check,
        "sshd does not read /etc/ssh/sshd_config.d: what connections may forward could not be kept to the grants",
    )
    .next("make `Include /etc/ssh/sshd_config.d/*.conf` the first line of /etc/ssh/sshd_config, then run `stintd arm` again"))
}

fn is_here() -> bool {
    Path::new("/usr/sbin/sshd").exists()
}

/// Has sshd read its configuration anew, and waits until it has. Where a socket starts one sshd for each connection there is none that
/// runs, and each reads the files anew.
fn reload() {
    for service in ssh::SERVICES.iter().filter(|service| system::unit_state(service) == "active") {
        let pid = system::run("systemctl", &["show", "-p", "MainPID", "--value", service]);
        let pid = pid.ok().and_then(|answer| answer.output.trim().parse().ok()).unwrap_or_default();
        let reload = Reload::of(pid);
        if let Err(failure) = system::must("systemctl", &["reload", service]) {
            eprintln!("stintd: sshd was not told: {failure}; run `systemctl reload {service}`");
            continue;
        }
        let end = Instant::now() + PATIENCE;
        while !reload.is_done() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
