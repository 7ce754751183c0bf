//! Looking at a host from outside: what stands, what runs. No program of ours is asked.

use std::time::{SystemTime, UNIX_EPOCH};

use stint_lab::{Host, LabError};

/// The drop-ins of grants that stand on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropins(pub Vec<String>);

impl Dropins {
    /// Those that stand now.
    pub fn on(host: &Host) -> Result<Self, LabError> {
        let names = host.sh("cd /etc/sudoers.d && ls -A | grep stint || true")?.stdout;
        Ok(Self(names.lines().map(str::to_owned).collect()))
    }
}

/// The processes of a user, one line each, without those of the user's own service manager.
pub fn processes_of(host: &Host, user: &str) -> Result<Vec<String>, LabError> {
    let list = host.sh(&format!("ps -ww -u {user} -o pid=,stat=,args= || true"))?.stdout;
    let ours = |line: &&str| !line.contains("systemd --user") && !line.contains("(sd-pam)");
    Ok(list.lines().map(str::trim).filter(ours).filter(|line| !is_dead(line)).map(str::to_owned).collect())
}

/// A zombie holds nothing: its parent has not fetched it yet.
fn is_dead(line: &str) -> bool {
    line.split_whitespace().nth(1).is_some_and(|state| state.starts_with('Z'))
}

/// The logind sessions of a user.
pub fn sessions_of(host: &Host, user: &str) -> Result<Vec<String>, LabError> {
    let list = host.sh("loginctl list-sessions --no-legend")?.stdout;
    let of_user = |line: &&str| line.split_whitespace().nth(2) == Some(user);
    Ok(list.lines().filter(of_user).map(str::to_owned).collect())
}

/// Unix seconds now; the hosts share this machine's clock.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
