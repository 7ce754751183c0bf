//! `[residue]` of `host.toml`: what is done about the things that a grant leaves behind.
//!
//! What the grant's own account made in its own places is put back, and so is what full root made on a way into the host. All else is
//! told to people and left as it is: to put back the wrong thing can lock a host's own people out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::time::Seconds;

/// One kind of thing that may be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Keys that log in, and what sshd runs at a login: `~/.ssh`.
    AuthorizedKeys,
    /// What a user's shells read when they start.
    ShellFiles,
    /// Units, timers and autostart of a user's own service manager.
    UserUnits,
    /// Crontabs of users and of the host.
    Crontabs,
    /// Jobs of at.
    AtJobs,
    /// Users whose service manager runs without a login.
    Linger,
    /// Rules of sudo and doas.
    Sudoers,
    /// Tickets by which sudo does not ask again.
    Tickets,
    /// Sockets of ssh and of agents in `/tmp` and `/run/user`.
    Sockets,
    /// A program that runs with its owner's rights, or with capabilities, changed in the window.
    Setuid,
    /// `ld.so.preload` and where the linker looks.
    Preload,
    /// Rules of polkit.
    Polkit,
    /// Units, timers, generators and drop-ins of PID 1.
    Units,
    /// How sshd is set up.
    Sshd,
    /// PAM's services and modules.
    Pam,
    /// What the host's shells read when they start.
    Profile,
    /// What the kernel or a daemon starts by itself: udev, modprobe, binfmt, core dumps, hooks of packages and networks.
    Hooks,
    /// Accounts, passwords and groups.
    Accounts,
    /// sshd, sudo, su and login themselves.
    Programs,
    /// Modules in the kernel.
    KernelModules,
    /// Sockets that listen.
    Listeners,
    /// Containers and machines.
    Containers,
    /// Shared memory, semaphores and queues.
    Ipc,
    /// File systems that were mounted.
    Mounts,
    /// Processes that no unit holds, that hold a terminal which is gone, or that are traced.
    Processes,
    /// stint's own files.
    Stint,
    /// What `watch` names.
    Watched,
}

/// What is done about a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Removed or put back if the grant's own rights can have made it, and reported. A copy is kept.
    Undo,
    /// Reported, and left as it is.
    Report,
    /// Not looked at.
    Ignore,
}

impl Kind {
    /// The word in `host.toml` and in receipts.
    pub fn word(self) -> &'static str {
        match self {
            Self::AuthorizedKeys => "authorized-keys",
            Self::ShellFiles => "shell-files",
            Self::UserUnits => "user-units",
            Self::Crontabs => "crontabs",
            Self::AtJobs => "at-jobs",
            Self::Linger => "linger",
            Self::Sudoers => "sudoers",
            Self::Tickets => "tickets",
            Self::Sockets => "sockets",
            Self::Setuid => "setuid",
            Self::Preload => "preload",
            Self::Polkit => "polkit",
            Self::Units => "units",
            Self::Sshd => "sshd",
            Self::Pam => "pam",
            Self::Profile => "profile",
            Self::Hooks => "hooks",
            Self::Accounts => "accounts",
            Self::Programs => "programs",
            Self::KernelModules => "kernel-modules",
            Self::Listeners => "listeners",
            Self::Containers => "containers",
            Self::Ipc => "ipc",
            Self::Mounts => "mounts",
            Self::Processes => "processes",
            Self::Stint => "stint",
            Self::Watched => "watched",
        }
    }

    /// What is done unless `host.toml` says otherwise.
    pub fn default_policy(self) -> Policy {
        match self {
            Self::AuthorizedKeys
            | Self::ShellFiles
            | Self::UserUnits
            | Self::Crontabs
            | Self::AtJobs
            | Self::Linger
            | Self::Sudoers
            | Self::Tickets
            | Self::Sockets
            | Self::Setuid
            | Self::Preload
            | Self::Polkit => Policy::Undo,
            _ => Policy::Report,
        }
    }

    /// Whether it can be undone at all. Accounts are not: a passwd file that is put back can lock everybody out. Programs and stint's
    /// own files are their packages', and what lives in the kernel has no file.
    pub fn can_be_undone(self) -> bool {
        !matches!(
            self,
            Self::Accounts
                | Self::Programs
                | Self::KernelModules
                | Self::Listeners
                | Self::Containers
                | Self::Ipc
                | Self::Mounts
                | Self::Processes
                | Self::Stint
        )
    }
}

/// `[residue]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Residue {
    /// How long one look at the host may take. What was not reached by then is named in the receipt.
    #[serde(deserialize_with = "crate::host_config::duration", serialize_with = "in_words")]
    pub time_limit: Seconds,
    /// Where a kind is treated otherwise than by default.
    pub policy: BTreeMap<Kind, Policy>,
    /// More files and folders that are compared: absolute paths.
    pub watch: Vec<String>,
}

impl Default for Residue {
    fn default() -> Self {
        Self { time_limit: Seconds(60), policy: BTreeMap::new(), watch: Vec::new() }
    }
}

impl Residue {
    /// What is done about a kind.
    pub fn policy_of(&self, kind: Kind) -> Policy {
        self.policy.get(&kind).copied().unwrap_or(kind.default_policy())
    }

    /// What is wrong with it.
    pub(crate) fn mistake(&self) -> Option<String> {
        if !(5..=3600).contains(&self.time_limit.0) {
            return Some("residue.time_limit must be between 5s and 1h".to_owned());
        }
        let undone = self.policy.iter().find(|(kind, p)| **p == Policy::Undo && !kind.can_be_undone());
        if let Some((kind, _)) = undone {
            let word = kind.word();
            return Some(format!(
                "residue.policy.{word} cannot be \"undo\": write \"report\" or \"ignore\", and people decide"
            ));
        }
        let real = |path: &&String| {
            let parts = path.strip_prefix('/').filter(|rest| !rest.is_empty());
            parts.is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
        };
        let wrong = self.watch.iter().find(|path| !real(path))?;
        Some(format!("residue.watch: {wrong:?} is not an absolute path without `.`, `..` and a trailing `/`"))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn in_words<S: Serializer>(seconds: &Seconds, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{}s", seconds.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_config::HostConfig;

    fn parse(text: &str) -> Result<Residue, String> {
        HostConfig::parse(text).map(|config| config.residue).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_ways_in_are_closed_and_accounts_are_left_to_people() {
        let residue = parse("").unwrap();
        assert_eq!(residue.policy_of(Kind::AuthorizedKeys), Policy::Undo);
        assert_eq!(residue.policy_of(Kind::Sudoers), Policy::Undo);
        for kind in [Kind::Accounts, Kind::Pam, Kind::Units, Kind::Sshd] {
            assert_eq!(residue.policy_of(kind), Policy::Report, "{kind:?}");
        }
    }

    #[test]
    fn a_kind_may_be_treated_otherwise() {
        let text = "[residue]\ntime_limit = \"2m\"\nwatch = [\"/srv/app/keys\"]\n[residue.policy]\nshell-files = \"report\"\nunits = \"undo\"\n";
        let residue = parse(text).unwrap();
        assert_eq!(residue.time_limit, Seconds(120));
        assert_eq!(residue.policy_of(Kind::ShellFiles), Policy::Report);
        assert_eq!(residue.policy_of(Kind::Units), Policy::Undo);
        assert_eq!(residue.watch, ["/srv/app/keys"]);
        let kept = serde_json::to_string(&residue).unwrap();
        assert_eq!(serde_json::from_str::<Residue>(&kept).unwrap(), residue);
    }

    #[test]
    fn what_cannot_be_undone_safely_and_what_is_no_path_is_refused() {
        for (text, says) in [
            ("[residue.policy]\naccounts = \"undo\"", "cannot be \"undo\""),
            ("[residue.policy]\nprograms = \"undo\"", "cannot be \"undo\""),
            ("[residue.policy]\nkeys = \"undo\"", "unknown variant"),
            ("[residue]\nwatch = [\"srv\"]", "not an absolute path"),
            ("[residue]\nwatch = [\"/srv/../etc\"]", "not an absolute path"),
            ("[residue]\nwatch = [\"/\"]", "not an absolute path"),
            ("[residue]\ntime_limit = \"2h\"", "between 5s and 1h"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn every_default_can_be_done_and_every_word_is_read_back() {
        for kind in
            ["authorized-keys", "setuid", "kernel-modules", "watched", "tickets", "mounts", "processes"]
        {
            let residue = parse(&format!("[residue.policy]\n{kind} = \"ignore\"")).unwrap();
            let (read, policy) = residue.policy.first_key_value().unwrap();
            assert_eq!((read.word(), *policy), (kind, Policy::Ignore));
            assert!(read.default_policy() != Policy::Undo || read.can_be_undone());
        }
    }
}
