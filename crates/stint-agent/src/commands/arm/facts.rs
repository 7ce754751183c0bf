//! What is found on the host, for [`super::checks`] to judge.

use std::path::Path;

use stint_grant::bundle::{self, HostIdentity};
use stint_grant::gate::{Current, MAX_CURRENT_BYTES, generation_dir};
use stint_grant::host_config::HostConfig;
use stint_grant::time::Seconds;
use stint_grant::{dsse, root};

use super::checks::Facts;
use super::{pam, ways_in};
use crate::commands::{check_config, system};
use crate::warden::paths::Paths;
use crate::warden::{files, keys, time, trust};

/// Where the package puts the PAM profiles.
const PROFILES: &str = "/usr/share/pam-configs";
/// Where PAM looks for modules, by distribution.
pub(crate) const MODULE_FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu/security",
    "/usr/lib/x86_64-linux-gnu/security",
    "/lib/aarch64-linux-gnu/security",
    "/usr/lib/aarch64-linux-gnu/security",
    "/lib64/security",
    "/usr/lib64/security",
    "/lib/security",
    "/usr/lib/security",
];

/// Looks at the host.
pub(crate) fn gather(paths: &Paths) -> Facts {
    let config = check_config::read(&paths.host_config()).map_err(|f| f.message);
    let services = config.as_ref().map(|c| c.managed.services.clone()).unwrap_or_default();
    let sshd = sshd_settings();
    let says = |line| sshd.as_ref()?.as_ref().ok().map(|said| has(said, line));
    Facts {
        enrolled: enrolled(paths),
        systemd: systemd_version(),
        logind: system::unit_state("systemd-logind.service") == "active",
        cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        cgroup_kill: cgroup_kill(),
        sshd: sshd
            .as_ref()
            .map(|said| said.as_ref().map(|said| has(said, "usepam yes")).map_err(String::clone)),
        sshd_asks: says("kbdinteractiveauthentication yes"),
        sshd_penalises: sshd.as_ref().and_then(|said| said.as_ref().ok()).map(|said| penalises(said)),
        profiles: super::PROFILES.iter().all(|name| Path::new(PROFILES).join(name).is_file()),
        module: module_is_there(),
        warden: system::unit_state("stint-warden.service"),
        courier: system::unit_state("stint-courier.service"),
        gate: gate_age(paths),
        ways_in: config.as_ref().map_or_else(|_| ways_in::find(&HostConfig::default()), ways_in::find),
        config: Some(config),
        sudoers: sudoers(),
        sudo: system::run("sudo", &["--version"])
            .ok()
            .and_then(|a| a.output.lines().next().map(str::to_owned)),
        past_the_gate: pam::services_past_the_gate(&paths.pam, &services),
    }
}

fn enrolled(paths: &Paths) -> Result<(), String> {
    let trust = trust::read(paths).map_err(|e| e.to_string())?;
    keys::load(&paths.identity_key()).map_err(|e| e.to_string())?;
    let machine = trust::machine().map_err(|e| e.to_string())?;
    if trust.machine != machine {
        return Err(
            "this disk was enrolled on another machine: enrol again with `stintd enroll --again`".to_owned()
        );
    }
    Ok(())
}

fn systemd_version() -> Option<u32> {
    let answer = system::run("systemctl", &["--version"]).ok()?;
    answer.output.split_whitespace().nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The root of a cgroup namespace may lack the file, so any folder below counts.
fn cgroup_kill() -> bool {
    ["system.slice", "init.scope", "user.slice"]
        .iter()
        .any(|folder| Path::new("/sys/fs/cgroup").join(folder).join("cgroup.kill").exists())
}

/// What sshd says of its configuration; `None` without sshd.
fn sshd_settings() -> Option<Result<String, String>> {
    if !Path::new("/usr/sbin/sshd").exists() {
        return None;
    }
    Some(match system::run("sshd", &["-T"]) {
        Ok(answer) if answer.ok => Ok(answer.output),
        Ok(answer) => Err(answer.last_words()),
        Err(failure) => Err(failure.message),
    })
}

/// Whether a line is in what sshd says.
fn has(settings: &str, line: &str) -> bool {
    settings.lines().any(|said| said.trim().eq_ignore_ascii_case(line))
}

/// Whether sshd shuts addresses out, and none is excepted. OpenSSH before 9.8 does not know how.
fn penalises(settings: &str) -> bool {
    let known = settings.lines().any(|said| said.starts_with("persourcepenalties "));
    known && !has(settings, "persourcepenalties no") && has(settings, "persourcepenaltyexemptlist none")
}

/// Whether the module's file is where PAM looks.
pub(crate) fn module_is_there() -> bool {
    MODULE_FOLDERS.iter().any(|folder| Path::new(folder).join("pam_stint.so").is_file())
}

fn sudoers() -> Option<Result<(), String>> {
    let answer = system::run("visudo", &["-c", "-q"]).ok()?;
    Some(if answer.ok { Ok(()) } else { Err(answer.last_words()) })
}

/// Opens the gate as the module does, and says how old its news is. `None` if there is no gate.
pub(crate) fn gate_age(paths: &Paths) -> Option<Result<Seconds, String>> {
    match files::read(&paths.gate().join("current"), MAX_CURRENT_BYTES) {
        Ok(None) => None,
        Ok(Some(current)) => Some(open_gate(paths, &current)),
        Err(error) => Some(Err(error.to_string())),
    }
}

fn open_gate(paths: &Paths, current: &[u8]) -> Result<Seconds, String> {
    let current = Current::parse(current).map_err(|e| e.to_string())?;
    let folder = paths.gate().join(generation_dir(current.generation));
    let read = |name: &str| {
        let path = folder.join(name);
        files::read(&path, dsse::MAX_ENVELOPE_BYTES)
            .map_err(|e| e.to_string())?
            .ok_or_else(|| format!("{} is missing", path.display()))
    };
    let reading = time::read_clocks().ok_or("the clocks cannot be read")?;
    let now = current.floor.now(&reading).map_err(|e| e.to_string())?;
    let root = root::open_pinned(&read("root.json")?, &current.root).map_err(|e| e.to_string())?;
    let me = HostIdentity { host: current.host.clone(), key: current.host_key.clone() };
    let head = bundle::open_head(&read("head.json")?, &root, &me, None, now).map_err(|e| e.to_string())?;
    let pulse = bundle::open_pulse(current.pulse.as_bytes(), &root, &head).map_err(|e| e.to_string())?;
    Ok(now.since(pulse.issued_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenSSH 10.0 and 9.2 say it.
    #[test]
    fn penalties_without_an_exception_are_seen() {
        let settings = |exempt: &str| {
            format!(
                "persourcepenaltyexemptlist {exempt}\npersourcepenalties crash:90 authfail:5 max:600\nusepam yes\n"
            )
        };
        assert!(penalises(&settings("none")));
        assert!(!penalises(&settings("10.1.0.0/16")));
        assert!(!penalises("persourcepenaltyexemptlist none\npersourcepenalties no\n"));
        assert!(!penalises("persourcemaxstartups none\nusepam yes\n"));
        assert!(has(&settings("none"), "UsePAM yes") && !has(&settings("none"), "usepam"));
    }
}
