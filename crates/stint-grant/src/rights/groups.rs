//! The right to be in a group.

use super::RightError;
use crate::ids::GroupName;

/// The most groups of one grant: the kernel's own limit is higher, a person's patience is not.
pub const MAX_GROUPS: usize = 16;

/// Groups whose members can become root, or read what root alone may, without any rule of sudo's; each with the reason. A host adds
/// to these whatever its own sudoers gives rights to, and every other name of the same number.
///
/// Not here, since they give what their name says and no more: `adm` and `systemd-journal` (read logs), `kvm`, `render`, `video`,
/// `audio`, `dialout`, `www-data`. Whether that is too much for somebody, the reviewers judge.
const ROOT_EQUIVALENT: &[(&str, &str)] = &[
    ("admin", "older Ubuntu's sudoers gives it all of root"),
    ("disk", "its members read and write every disk, past all permissions"),
    ("docker", "its members start containers with the host's root"),
    ("incus", "its members start containers with the host's root"),
    ("incus-admin", "its members start containers with the host's root"),
    ("input", "its members read every keystroke at the console, passwords among them"),
    ("kmem", "its members read the kernel's memory"),
    ("libvirt", "its members start machines that hold the host's disks"),
    ("lpadmin", "its members have CUPS, which runs as root, read and write files"),
    ("lxd", "its members start containers with the host's root"),
    ("microk8s", "its members start containers with the host's root"),
    ("podman", "where it owns root's socket, its members start containers with the host's root"),
    ("root", "it is root's own group"),
    ("shadow", "its members read everybody's password hashes, root's among them"),
    ("ssh_keys", "its members read the host's private keys"),
    ("staff", "its members may write to /usr/local, where root's programs are found first"),
    ("stint", "it is this system's own, and opens the warden's door for the courier"),
    ("sudo", "sudoers gives it all of root"),
    ("wheel", "sudoers, su or polkit gives it all of root"),
];

/// Why a group of this name amounts to root, if it does.
pub fn root_equivalent(group: &GroupName) -> Option<&'static str> {
    ROOT_EQUIVALENT.iter().find(|(name, _)| *name == group.as_str()).map(|(_, why)| *why)
}

/// The names of all groups that amount to root: a host looks for others of the same number.
pub fn root_equivalent_names() -> impl Iterator<Item = &'static str> {
    ROOT_EQUIVALENT.iter().map(|(name, _)| *name)
}

pub(super) fn check(groups: &[GroupName]) -> Result<(), RightError> {
    let mut sorted: Vec<_> = groups.iter().collect();
    sorted.sort_unstable();
    if let Some([twice, _]) = sorted.array_windows().find(|[one, next]| one == next) {
        return Err(RightError::Groups(format!("group {twice} stands twice")));
    }
    if groups.len() > MAX_GROUPS {
        return Err(RightError::Groups(format!("more than {MAX_GROUPS} groups")));
    }
    Ok(())
}
