//! Looking at a host from outside: what stands, what runs. No program of ours is asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stint_lab::{Host, LabError, PATIENCE, until};

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

/// Kills the warden, and waits until another process is the warden: its unit is `active` until PID 1 has seen the death.
pub fn kill_warden(host: &Host) -> Result<(), LabError> {
    let main_pid =
        "systemctl is-active stint-warden && systemctl show stint-warden --property=MainPID --value";
    let before = host.sh(main_pid)?.check("looking for the warden")?.stdout;
    host.sh("systemctl kill -s KILL stint-warden.service")?.check("killing the warden")?;
    until("the warden to be back", PATIENCE, || {
        host.sh(main_pid).is_ok_and(|now| now.success() && now.stdout != before)
    })
}

/// Somebody's first login by a grant, with a line that does nothing yet, and the picture of the host that is taken then: a login waits for it only a moment, and what somebody
/// does before it is there is judged by its age alone.
pub fn first_login(host: &Host, user: &str, line: &str, grant: &str) -> Result<(), LabError> {
    host.ssh(user, line)?.check("the first login")?;
    let stored = format!("test -e /var/lib/stint/warden/baselines/{grant}.json");
    until("the baseline to be stored", PATIENCE, || host.sh(&stored).is_ok_and(|said| said.success()))
}

/// Waits until a window is over, by the clock that the hosts share with this machine. Whoever looks then is a second late at least.
pub fn wait_for_end(end: f64) -> Result<(), LabError> {
    let left = Duration::try_from_secs_f64(end - unix_now()).unwrap_or_default();
    until("the window to be over", left + PATIENCE, || unix_now() > end + 1.0)
}

/// Waits until somebody is denied at sshd with these words. The host's own time is that of the last news, which may be a little behind.
pub fn wait_for_denial(host: &Host, user: &str, words: &str) -> Result<(), LabError> {
    until(&format!("{user} to be denied with {words:?}"), PATIENCE, || {
        host.ssh(user, "true").is_ok_and(|said| said.status == 255 && said.text().contains(words))
    })
}

/// Unix seconds now; the hosts share this machine's clock.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
