//! What is looked at, as data. From the field notes: each place is one where access or a process was kept past a window.

use stint_grant::residue::Kind;

use crate::warden::sudoers;

/// A place below the root, or below a home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// What kind of residue is found there.
    pub(crate) kind: Kind,
    /// The path, without a leading `/`.
    pub(crate) path: &'static str,
    /// How many folders deep; 0 is the thing alone.
    pub(crate) depth: u8,
    /// What is kept of its content.
    pub(crate) keep: Keep,
}

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The content, to be put back, and its hash.
    Content,
    /// The hash.
    Digest,
    /// Neither: it is large, or a secret.
    Nothing,
}

const fn content(kind: Kind, path: &'static str, depth: u8) -> Place {
    Place { kind, path, depth, keep: Keep::Content }
}
const fn digest(kind: Kind, path: &'static str, depth: u8) -> Place {
    Place { kind, path, depth, keep: Keep::Digest }
}
const fn nothing(kind: Kind, path: &'static str, depth: u8) -> Place {
    Place { kind, path, depth, keep: Keep::Nothing }
}

/// Below each home.
pub(crate) const HOME: &[Place] = &[
    // The folders on the way: a link in place of one would lead elsewhere.
    nothing(Kind::AuthorizedKeys, ".ssh", 0),
    nothing(Kind::ShellFiles, ".config", 0),
    nothing(Kind::UserUnits, ".config/systemd", 0),
    content(Kind::AuthorizedKeys, ".ssh/authorized_keys", 0),
    content(Kind::AuthorizedKeys, ".ssh/authorized_keys2", 0),
    content(Kind::AuthorizedKeys, ".ssh/rc", 0),
    content(Kind::AuthorizedKeys, ".ssh/environment", 0),
    content(Kind::AuthorizedKeys, ".ssh/config", 0),
    content(Kind::AuthorizedKeys, ".rhosts", 0),
    content(Kind::AuthorizedKeys, ".shosts", 0),
    content(Kind::AuthorizedKeys, ".k5login", 0),
    content(Kind::ShellFiles, ".bashrc", 0),
    content(Kind::ShellFiles, ".bash_profile", 0),
    content(Kind::ShellFiles, ".bash_login", 0),
    content(Kind::ShellFiles, ".bash_logout", 0),
    content(Kind::ShellFiles, ".bash_aliases", 0),
    content(Kind::ShellFiles, ".profile", 0),
    content(Kind::ShellFiles, ".zshrc", 0),
    content(Kind::ShellFiles, ".zshenv", 0),
    content(Kind::ShellFiles, ".zprofile", 0),
    content(Kind::ShellFiles, ".zlogin", 0),
    content(Kind::ShellFiles, ".zlogout", 0),
    content(Kind::ShellFiles, ".kshrc", 0),
    content(Kind::ShellFiles, ".cshrc", 0),
    content(Kind::ShellFiles, ".tcshrc", 0),
    content(Kind::ShellFiles, ".login", 0),
    content(Kind::ShellFiles, ".inputrc", 0),
    content(Kind::ShellFiles, ".pam_environment", 0),
    content(Kind::ShellFiles, ".config/environment.d", 1),
    content(Kind::ShellFiles, ".config/fish/config.fish", 0),
    content(Kind::ShellFiles, ".config/fish/conf.d", 1),
    content(Kind::UserUnits, ".config/systemd/user", 3),
    content(Kind::UserUnits, ".config/systemd/user.control", 2),
    content(Kind::UserUnits, ".local/share/systemd/user", 3),
    // Quadlets: a generator of podman's makes services of them.
    nothing(Kind::UserUnits, ".config/containers", 0),
    content(Kind::UserUnits, ".config/containers/systemd", 3),
    content(Kind::UserUnits, ".local/share/dbus-1/services", 1),
    content(Kind::UserUnits, ".config/autostart", 1),
];

/// Below the root, where a file belongs to the user whose name it has: written by crontab, at and logind for the user.
pub(crate) const SPOOLS: &[Place] = &[
    content(Kind::Crontabs, "var/spool/cron/crontabs", 1),
    content(Kind::Crontabs, "var/spool/cron", 1),
    content(Kind::AtJobs, "var/spool/cron/atjobs", 1),
    content(Kind::AtJobs, "var/spool/at", 1),
    content(Kind::Linger, "var/lib/systemd/linger", 1),
    nothing(Kind::Tickets, "run/sudo/ts", 1),
    nothing(Kind::Tickets, "run/sudo-rs/ts", 1),
    nothing(Kind::Tickets, "var/lib/sudo/ts", 1),
    nothing(Kind::Tickets, "run/doas", 1),
];

/// Below the root, root's own.
pub(crate) const HOST: &[Place] = &[
    content(Kind::Crontabs, "etc/crontab", 0),
    content(Kind::Crontabs, "etc/anacrontab", 0),
    content(Kind::Crontabs, "etc/cron.d", 1),
    content(Kind::Crontabs, "etc/cron.hourly", 1),
    content(Kind::Crontabs, "etc/cron.daily", 1),
    content(Kind::Crontabs, "etc/cron.weekly", 1),
    content(Kind::Crontabs, "etc/cron.monthly", 1),
    digest(Kind::Crontabs, "etc/cron.allow", 0),
    digest(Kind::Crontabs, "etc/cron.deny", 0),
    digest(Kind::AtJobs, "etc/at.allow", 0),
    digest(Kind::AtJobs, "etc/at.deny", 0),
    content(Kind::Sudoers, "etc/sudoers", 0),
    content(Kind::Sudoers, "etc/sudoers.d", 1),
    content(Kind::Sudoers, "etc/sudoers-rs", 0),
    digest(Kind::Sudoers, "etc/sudo.conf", 0),
    content(Kind::Sudoers, "etc/doas.conf", 0),
    content(Kind::Sudoers, "etc/doas.d", 1),
    content(Kind::Preload, "etc/ld.so.preload", 0),
    content(Kind::Preload, "etc/ld.so.conf", 0),
    content(Kind::Preload, "etc/ld.so.conf.d", 1),
    content(Kind::Polkit, "etc/polkit-1/rules.d", 1),
    content(Kind::Polkit, "usr/share/polkit-1/rules.d", 1),
    content(Kind::Polkit, "usr/local/share/polkit-1/rules.d", 1),
    content(Kind::Polkit, "run/polkit-1/rules.d", 1),
    digest(Kind::Polkit, "etc/polkit-1/localauthority", 3),
    digest(Kind::Polkit, "var/lib/polkit-1/localauthority", 3),
    digest(Kind::Polkit, "usr/local/share/polkit-1/actions", 1),
    digest(Kind::Units, "etc/systemd", 3),
    digest(Kind::Units, "run/systemd/system", 2),
    digest(Kind::Units, "run/systemd/transient", 2),
    digest(Kind::Units, "run/systemd/system-generators", 1),
    digest(Kind::Units, "usr/local/lib/systemd", 3),
    nothing(Kind::Units, "usr/lib/systemd/system", 2),
    nothing(Kind::Units, "usr/lib/systemd/user", 2),
    nothing(Kind::Units, "usr/lib/systemd/system-generators", 1),
    digest(Kind::Units, "etc/containers/systemd", 3),
    digest(Kind::Units, "run/containers/systemd", 3),
    nothing(Kind::Units, "usr/share/containers/systemd", 3),
    digest(Kind::Units, "etc/init.d", 1),
    digest(Kind::Units, "etc/rc.local", 0),
    digest(Kind::Units, "etc/dbus-1", 2),
    digest(Kind::Units, "etc/tmpfiles.d", 1),
    digest(Kind::Units, "etc/sysusers.d", 1),
    digest(Kind::Sshd, "etc/ssh", 2),
    digest(Kind::Pam, "etc/pam.d", 1),
    digest(Kind::Pam, "etc/pam.conf", 0),
    digest(Kind::Pam, "etc/security", 2),
    digest(Kind::Pam, "etc/nsswitch.conf", 0),
    nothing(Kind::Pam, "usr/lib/security", 1),
    nothing(Kind::Pam, "usr/lib64/security", 1),
    nothing(Kind::Pam, "usr/lib/x86_64-linux-gnu/security", 1),
    nothing(Kind::Pam, "usr/lib/aarch64-linux-gnu/security", 1),
    digest(Kind::Profile, "etc/profile", 0),
    digest(Kind::Profile, "etc/profile.d", 1),
    digest(Kind::Profile, "etc/bash.bashrc", 0),
    digest(Kind::Profile, "etc/bashrc", 0),
    digest(Kind::Profile, "etc/environment", 0),
    digest(Kind::Profile, "etc/environment.d", 1),
    digest(Kind::Profile, "etc/zsh", 1),
    digest(Kind::Profile, "etc/shells", 0),
    digest(Kind::Profile, "etc/skel", 2),
    digest(Kind::Hooks, "etc/udev", 2),
    digest(Kind::Hooks, "run/udev/rules.d", 1),
    digest(Kind::Hooks, "etc/modprobe.d", 1),
    digest(Kind::Hooks, "run/modprobe.d", 1),
    digest(Kind::Hooks, "etc/modules", 0),
    digest(Kind::Hooks, "etc/modules-load.d", 1),
    digest(Kind::Hooks, "etc/binfmt.d", 1),
    digest(Kind::Hooks, "run/binfmt.d", 1),
    digest(Kind::Hooks, "etc/sysctl.conf", 0),
    digest(Kind::Hooks, "etc/sysctl.d", 1),
    digest(Kind::Hooks, "etc/update-motd.d", 1),
    digest(Kind::Hooks, "etc/logrotate.d", 1),
    digest(Kind::Hooks, "etc/apt/apt.conf.d", 1),
    digest(Kind::Hooks, "etc/dpkg/dpkg.cfg.d", 1),
    digest(Kind::Hooks, "etc/network", 2),
    digest(Kind::Hooks, "etc/NetworkManager/dispatcher.d", 2),
    digest(Kind::Hooks, "etc/initramfs-tools", 2),
    digest(Kind::Hooks, "etc/default", 1),
    digest(Kind::Hooks, "etc/subuid", 0),
    digest(Kind::Hooks, "etc/subgid", 0),
    nothing(Kind::Programs, "usr/sbin/sshd", 0),
    nothing(Kind::Programs, "usr/lib/openssh", 1),
    nothing(Kind::Programs, "usr/bin/sudo", 0),
    nothing(Kind::Programs, "usr/libexec/sudo", 1),
    nothing(Kind::Programs, "usr/bin/su", 0),
    nothing(Kind::Programs, "usr/bin/login", 0),
    nothing(Kind::Programs, "usr/bin/doas", 0),
    nothing(Kind::Programs, "usr/bin/pkexec", 0),
    nothing(Kind::Programs, "usr/bin/bash", 0),
    nothing(Kind::Programs, "usr/bin/dash", 0),
    digest(Kind::Stint, "etc/stint", 1),
    nothing(Kind::Stint, "usr/sbin/stintd", 0),
    digest(Kind::Stint, "var/lib/stint/mode", 0),
    nothing(Kind::Stint, "var/lib/stint/keys", 1),
    nothing(Kind::Stint, "var/lib/stint/warden/trust.json", 0),
    nothing(Kind::Containers, "run/systemd/machines", 1),
    nothing(Kind::Containers, "run/docker/containerd", 1),
    nothing(Kind::Containers, "run/runc", 1),
    nothing(Kind::Containers, "run/crun", 1),
    nothing(Kind::Containers, "run/libpod", 1),
    nothing(Kind::Containers, "var/lib/machines", 1),
    nothing(Kind::Containers, "var/lib/docker/containers", 1),
    // Each driver of podman's has a folder of its own.
    nothing(Kind::Containers, "var/lib/containers/storage/btrfs-containers", 1),
    nothing(Kind::Containers, "var/lib/containers/storage/overlay-containers", 1),
    nothing(Kind::Containers, "var/lib/containers/storage/vfs-containers", 1),
    nothing(Kind::Containers, "var/lib/containers/storage/zfs-containers", 1),
    digest(Kind::Containers, "etc/systemd/nspawn", 1),
];

/// Whether a name in a place is not residue: ours, logind's, or one that comes and goes by itself.
pub(crate) fn is_expected(place: &str, name: &str) -> bool {
    match place {
        // Our own drop-ins follow the live grants; the warden puts them right itself. A name that is only like one of ours it leaves.
        "etc/sudoers.d" => sudoers::is_ours(name),
        // Scopes of sessions, and our own; slices of users; limits of both. They run nothing, whatever is written there: a service, or a
        // drop-in of one, is never expected, however it is called.
        "run/systemd/transient" | "run/systemd/system" => {
            let unit = name.strip_suffix(".d").unwrap_or(name);
            unit.strip_suffix(".scope").is_some() || is_slice_of_a_user(unit)
        }
        "var/spool/cron/atjobs" | "var/spool/at" => matches!(name, ".SEQ" | "spool"),
        "var/spool/cron" => matches!(name, "crontabs" | "atjobs" | "atspool"),
        "etc/stint" => name.starts_with('.'),
        _ => false,
    }
}

fn is_slice_of_a_user(unit: &str) -> bool {
    let uid = unit.strip_prefix("user-").and_then(|rest| rest.strip_suffix(".slice"));
    uid.is_some_and(|uid| !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_a_path_below_and_stands_once() {
        for list in [HOME, SPOOLS, HOST] {
            let mut paths: Vec<&str> = list.iter().map(|place| place.path).collect();
            assert!(paths.iter().all(|path| !path.starts_with('/') && !path.contains("..")));
            paths.sort_unstable();
            let before = paths.len();
            paths.dedup();
            assert_eq!(paths.len(), before);
        }
    }

    #[test]
    fn what_is_undone_by_default_has_its_content_kept() {
        for place in HOME.iter().chain(HOST) {
            let undone = place.kind.default_policy() == stint_grant::residue::Policy::Undo;
            let is_folder =
                matches!(place.path, ".ssh" | ".config" | ".config/containers" | ".config/systemd");
            assert!(!undone || is_folder || place.keep != Keep::Nothing, "{place:?}");
        }
    }

    #[test]
    fn our_own_drop_ins_and_scopes_are_no_residue() {
        assert!(is_expected("etc/sudoers.d", "zz-stint-aaaabbbbcccc"));
        assert!(is_expected("etc/sudoers.d", ".zz-stint-aaaabbbbcccc"));
        assert!(is_expected("run/systemd/transient", "session-4.scope"));
        assert!(is_expected("run/systemd/system", "session-.scope.d"));
        assert!(is_expected("run/systemd/system", "user-1000.slice.d"));
        assert!(!is_expected("etc/sudoers.d", "zzz"));
        assert!(!is_expected("run/systemd/transient", "x.service"));
    }

    #[test]
    fn a_name_like_one_of_ours_or_logind_s_hides_nothing() {
        // sudo reads it, and the warden does not remove it: it is no grant's.
        for name in ["zz-stint-x", "zz-stint-", "zz-stint-AAAABBBBCCCC", "zz-stint-aaaabbbbcccc_"] {
            assert!(!is_expected("etc/sudoers.d", name), "{name}");
        }
        for name in [
            "stint-x.service",
            "stint-x.timer",
            "stint-warden.service.d",
            "user@0.service.d",
            "user-x.service",
            "user-1000.slicex.service",
            "session-.scope.d.service",
            "user-.slice.d.service",
        ] {
            assert!(!is_expected("run/systemd/system", name), "{name}");
        }
    }
}
