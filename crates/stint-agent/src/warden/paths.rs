//! Where everything is. Under another root in tests.

use std::path::{Path, PathBuf};

/// The folders that the warden reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    /// Durable state: `/var/lib/stint`.
    pub(crate) state: PathBuf,
    /// What lives until the next boot: `/run/stint`.
    pub(crate) run: PathBuf,
    /// The host's own configuration: `/etc/stint`.
    pub(crate) etc: PathBuf,
    /// Where sudo looks for drop-ins: `/etc/sudoers.d`.
    pub(crate) sudoers: PathBuf,
    /// The PAM services: `/etc/pam.d`.
    pub(crate) pam: PathBuf,
    /// sshd's configuration: `/etc/ssh`.
    pub(crate) ssh: PathBuf,
    /// The accounts: `/etc/passwd`.
    pub(crate) passwd: PathBuf,
}

impl Paths {
    /// The real places.
    pub(crate) fn system() -> Self {
        Self::under(Path::new("/"))
    }
    /// The same tree under another root.
    pub(crate) fn under(root: &Path) -> Self {
        Self {
            state: root.join("var/lib/stint"),
            run: root.join("run/stint"),
            etc: root.join("etc/stint"),
            sudoers: root.join("etc/sudoers.d"),
            pam: root.join("etc/pam.d"),
            ssh: root.join("etc/ssh"),
            passwd: root.join("etc/passwd"),
        }
    }
    /// The host's own files: `/etc`.
    pub(crate) fn host_etc(&self) -> PathBuf {
        self.etc.parent().unwrap_or(Path::new("/etc")).to_owned()
    }
    /// The root of all: `/`.
    pub(crate) fn root(&self) -> PathBuf {
        self.host_etc().parent().unwrap_or(Path::new("/")).to_owned()
    }
    /// What is ours in the host's groups and accounts.
    pub(crate) fn accounts_ledger(&self) -> PathBuf {
        self.warden().join("accounts.json")
    }
    /// Homes of accounts that are over.
    pub(crate) fn archive(&self) -> PathBuf {
        self.state.join("archive")
    }
    /// Where the warden says what is to be changed in `/etc`, and hears what was.
    pub(crate) fn accounts(&self) -> PathBuf {
        self.state.join("accounts")
    }
    /// What only the warden reads.
    pub(crate) fn warden(&self) -> PathBuf {
        self.state.join("warden")
    }
    /// What the module decides on.
    pub(crate) fn gate(&self) -> PathBuf {
        self.state.join("gate")
    }
    /// The journal's segments.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }
    /// What commands printed, where their grants ask for that.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.state.join("recordings")
    }
    /// Copies of what was taken out at the end of a grant.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.state.join("quarantine")
    }
    /// The identity key.
    pub(crate) fn identity_key(&self) -> PathBuf {
        self.state.join("keys/identity.key")
    }
    /// What enrolment pinned.
    pub(crate) fn trust(&self) -> PathBuf {
        self.warden().join("trust.json")
    }
    /// `observe` or `enforce`.
    pub(crate) fn mode(&self) -> PathBuf {
        self.state.join("mode")
    }
    /// What was taken off our own files, for the warden to tell.
    pub(crate) fn freed(&self) -> PathBuf {
        self.state.join("freed.json")
    }
    /// Who is managed, and the ceiling.
    pub(crate) fn host_config(&self) -> PathBuf {
        self.etc.join("host.toml")
    }
    /// What `stintd status` shows.
    pub(crate) fn status(&self) -> PathBuf {
        self.run.join("status.json")
    }
    /// The sessions that are registered: of this boot only, so it need not outlive it.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.run.join("sessions.json")
    }
    /// Where sessions are registered.
    pub(crate) fn warden_socket(&self) -> PathBuf {
        self.run.join("warden.sock")
    }
    /// Where decisions are told.
    pub(crate) fn decisions_socket(&self) -> PathBuf {
        self.run.join("decisions.sock")
    }
    /// Where the courier comes.
    pub(crate) fn courier_socket(&self) -> PathBuf {
        self.run.join("courier.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_that_module_and_courier_know() {
        let paths = Paths::system();
        assert_eq!(paths.warden_socket(), Path::new(stint_grant::register::WARDEN_SOCKET));
        assert_eq!(paths.decisions_socket(), Path::new(stint_grant::register::DECISIONS_SOCKET));
        assert_eq!(paths.courier_socket(), Path::new(crate::wire::COURIER_SOCKET));
        assert_eq!(paths.gate(), Path::new(stint_grant::gate::GATE_DIR));
    }
}
