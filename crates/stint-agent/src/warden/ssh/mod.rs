//! sshd: which certificates it takes, and what its connections may forward, both only as long as grants live.
//!
//! - [`principals`] writes what stands in an account's principals file: a line for each live grant, nothing else;
//! - [`blocks`] writes the `Match` blocks by which sshd finds them, and that keep what no grant gives from logins without a certificate too;
//! - [`accounts`] says whom they meet;
//! - [`daemon`] says whether sshd has read its configuration anew;
//! - [`reconcile`] makes the folder equal to that. It can run at any time, any number of times.
//!
//! sshd reads principals and the authority at each login. `Match` blocks it reads when it starts, so it is asked to read them anew when
//! they change: when a grant that lets something be forwarded begins or ends. By default they forbid, so what is late is late in allowing.

mod accounts;
mod blocks;
mod daemon;
mod principals;
mod reconcile;

pub(crate) use daemon::Reload;
pub(crate) use reconcile::{Facts, SshError, reconcile};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::systemd::{Bus, BusError};

/// The names that sshd's service has, by distribution.
pub(crate) const SERVICES: [&str; 2] = ["ssh.service", "sshd.service"];

/// How long one waits at once for sshd to be back: the warden has more to do.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How long in all. An sshd to which a socket unit of systemd's hands its sockets keeps them, and shows nothing.
const IN_ALL: Duration = Duration::from_secs(3);

/// Whether sshd is to read its configuration anew, and the way to ask for it.
#[derive(Debug, Default)]
pub(crate) struct Sshd {
    bus: Bus,
    due: bool,
    asked: Option<(Instant, Vec<Reload>)>,
}

impl Sshd {
    /// Its configuration has changed.
    pub(crate) fn has_changed(&mut self) {
        self.due = true;
    }
    /// Whether it goes by an older configuration.
    pub(crate) fn is_due(&self) -> bool {
        self.due || self.asked.is_some()
    }
    /// Has it read its configuration anew if that changed. What fails, or takes long, stays due.
    pub(crate) async fn settle(&mut self) -> Result<(), BusError> {
        // Asked again before it is back, it would not hear it.
        self.wait().await;
        if !self.due || self.asked.is_some() {
            return Ok(());
        }
        let mut reloads = Vec::new();
        for service in SERVICES {
            // Where a socket starts one sshd for each connection there is none that runs, and each reads the files anew.
            if let Some(pid) = self.bus.main_pid(service).await? {
                let reload = Reload::of(pid);
                self.bus.reload_unit(service).await?;
                reloads.push(reload);
            }
        }
        self.due = false;
        self.asked = Some((Instant::now(), reloads));
        self.wait().await;
        Ok(())
    }

    async fn wait(&mut self) {
        let Some((since, reloads)) = &self.asked else { return };
        let end = Instant::now() + AT_ONCE;
        loop {
            let is_over = since.elapsed() >= IN_ALL;
            if is_over || reloads.iter().all(Reload::is_done) {
                if is_over {
                    tracing::warn!(
                        "sshd was asked to read its configuration anew; that it did cannot be seen"
                    );
                }
                self.asked = None;
                return;
            }
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The keys whose certificates sshd takes.
const AUTHORITY: &str = "ca.pub";
/// A file for each account.
const PRINCIPALS: &str = "principals";
/// What sshd includes.
const BLOCKS: &str = "sshd.conf";

/// Where all this stands.
fn folder(state: &Path) -> PathBuf {
    state.join("ssh")
}

/// The file by which sshd finds ours: `stintd arm` puts it there. First in its folder, since sshd takes the first value.
pub(crate) fn drop_in(etc_ssh: &Path) -> PathBuf {
    etc_ssh.join("sshd_config.d/00-stint.conf")
}

/// A name that no account has: by it `stintd arm` finds that sshd reads the file.
pub(crate) const PROBE: &str = "stint-armed";

/// What `sshd -T -C user=PROBE` says if it reads the file.
pub(crate) fn probe_answer(state: &Path) -> String {
    format!("authorizedprincipalsfile {}/%u", folder(state).join(PRINCIPALS).display())
}

/// The text of that file.
pub(crate) fn drop_in_text(state: &Path) -> String {
    let folder = folder(state);
    format!(
        "# Made by `stintd arm`, removed by `stintd disarm`. The warden keeps what it includes.\n\
         Include {}\nMatch User {PROBE}\n    AuthorizedPrincipalsFile {}/%u\nMatch all\n",
        folder.join(BLOCKS).display(),
        folder.join(PRINCIPALS).display(),
    )
}
