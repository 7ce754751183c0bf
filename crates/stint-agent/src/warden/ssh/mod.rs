//! sshd: which certificates it takes, and what its connections may forward, both only as long as grants live.
//!
//! - [`principals`] writes what stands in an account's principals file: a line for each live grant, nothing else;
//! - [`blocks`] writes the `Match` blocks by which sshd finds them, and that keep what no grant gives from logins without a certificate too;
//! - [`accounts`] says whom they meet;
//! - [`reconcile`] makes the folder equal to that. It can run at any time, any number of times.
//!
//! sshd reads principals and the authority at each login. `Match` blocks it reads when it starts, so it is asked to read them anew when
//! they change; by default they forbid, so what is late is late in allowing.

mod accounts;
mod blocks;
mod principals;
mod reconcile;

pub(crate) use reconcile::{Facts, reconcile};

use std::path::{Path, PathBuf};

use super::systemd::{Bus, BusError};

/// The names that sshd's service has, by distribution.
pub(crate) const SERVICES: [&str; 2] = ["ssh.service", "sshd.service"];

/// Whether sshd is to read its configuration anew, and the way to ask for it.
#[derive(Debug, Default)]
pub(crate) struct Sshd {
    bus: Bus,
    due: bool,
}

impl Sshd {
    /// Its configuration has changed.
    pub(crate) fn has_changed(&mut self) {
        self.due = true;
    }
    /// Whether it goes by an older configuration.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }
    /// Asks it to read its configuration anew if that changed. What fails stays due.
    pub(crate) async fn settle(&mut self) -> Result<(), BusError> {
        if !self.due {
            return Ok(());
        }
        for service in SERVICES {
            // Where a socket starts one sshd for each connection there is none that runs, and each reads the files anew.
            self.bus.reload_unit_if_active(service).await?;
        }
        self.due = false;
        Ok(())
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
