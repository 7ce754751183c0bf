//! What the module needs of the host.

use std::path::{Path, PathBuf};

use stint_grant::time::ClockReading;

/// A passwd entry, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: u32,
}

/// The host: its clocks, its accounts, and where its files are.
pub trait Host {
    /// Where absolute paths begin.
    fn base(&self) -> &Path;
    /// Where a socket is.
    fn socket(&self, path: &str) -> PathBuf;
    /// The account of a name; `None` if there is none. No groups are looked up.
    fn account(&self, name: &str) -> Result<Option<Account>, String>;
    /// The account of a uid; `None` if there is none.
    fn account_of(&self, uid: u32) -> Result<Option<Account>, String>;
    /// Who started the process (the real uid).
    fn real_uid(&self) -> u32;
    /// As whom the session that the process belongs to logged in, if the kernel knows.
    fn login_uid(&self) -> Option<u32>;
    /// The control groups that the process is in, as `/proc/self/cgroup` tells them.
    fn cgroups(&self) -> Option<String>;
    /// What the clocks say.
    fn clock(&self) -> Result<ClockReading, String>;
}
