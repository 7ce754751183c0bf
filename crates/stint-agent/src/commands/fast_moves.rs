//! `stintd fast-moves`, before the warden: has the kernel mount cgroup2 with `favordynmods`.
//!
//! Each sudo waits while it is moved to a group of its own. Without the option the kernel waits for all processors to pass through a quiet
//! state, 8 ms and more; with it the move takes 0.2 ms, and each fork and exit of a process a little longer (Linux 6.0 and later,
//! Documentation/admin-guide/cgroup-v2.rst). `limits.fast_moves = false` in host.toml leaves the mount as it is.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::commands::failure::Failure;
use crate::warden::config;
use crate::warden::paths::Paths;

const OPTION: &str = "favordynmods";
/// What a remount must repeat: what it does not name, it turns off.
const OF_THE_HIERARCHY: &[&str] = &[
    "nsdelegate",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
    OPTION,
];

/// The mount of the unified hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    place: String,
    flags: MsFlags,
    options: Vec<String>,
}

/// Remounts, if PAM asks the gate here and host.toml does not say otherwise. Where it cannot be, sudo is slower and nothing else.
pub(crate) fn run() -> Result<(), Failure> {
    let paths = Paths::system();
    let wanted = config::host_config(&paths).is_ok_and(|config| config.limits.fast_moves);
    if !wanted || !paths.mode().exists() {
        return Ok(());
    }
    let mounts = fs::read("/proc/self/mountinfo").map_err(Failure::failed)?;
    let Some(hierarchy) =
        find(&String::from_utf8_lossy(&mounts)).filter(|found| !found.options.iter().any(|o| o == OPTION))
    else {
        return Ok(());
    };
    let options = [hierarchy.options.join(","), OPTION.to_owned()];
    let options = options.iter().filter(|o| !o.is_empty()).cloned().collect::<Vec<_>>().join(",");
    mount(
        None::<&Path>,
        hierarchy.place.as_str(),
        None::<&Path>,
        hierarchy.flags | MsFlags::MS_REMOUNT,
        Some(options.as_str()),
    )
    .map_err(|error| {
        Failure::failed(format!("{} cannot be mounted with {OPTION}: {}", hierarchy.place, error.desc()))
            .next("sudo takes some milliseconds longer; a container, and a kernel before 6.0, cannot")
    })
}

/// The mount of cgroup2 in the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn find(mounts: &str) -> Option<Hierarchy> {
    mounts.lines().find_map(|line| {
        let (own, of_the_system) = line.split_once(" - ")?;
        let own: Vec<&str> = own.split(' ').collect();
        let of_the_system: Vec<&str> = of_the_system.split(' ').collect();
        let (place, flags) = (own.get(4)?, own.get(5)?);
        if *of_the_system.first()? != "cgroup2" || !place.starts_with("/sys/fs/cgroup") {
            return None;
        }
        let options = of_the_system.get(2)?.split(',').filter(|o| OF_THE_HIERARCHY.contains(o));
        Some(Hierarchy {
            place: (*place).to_owned(),
            flags: flags.split(',').filter_map(flag).collect(),
            options: options.map(str::to_owned).collect(),
        })
    })
}

fn flag(word: &str) -> Option<MsFlags> {
    Some(match word {
        "ro" => MsFlags::MS_RDONLY,
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "24 30 0:22 / /proc rw,nosuid - proc proc rw\n\
        33 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

    #[test]
    fn what_a_remount_would_turn_off_is_kept() {
        let found = find(HOST).unwrap();
        assert_eq!(found.place, "/sys/fs/cgroup");
        assert_eq!(found.options, ["nsdelegate", "memory_recursiveprot"]);
        let all = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
        assert_eq!(found.flags, all);
    }

    #[test]
    fn a_hierarchy_that_has_it_and_a_host_without_one_are_known() {
        let has = find(&HOST.replace("nsdelegate", "nsdelegate,favordynmods")).unwrap();
        assert!(has.options.iter().any(|option| option == OPTION));
        assert_eq!(find("24 30 0:22 / /proc rw,nosuid - proc proc rw\n"), None);
        assert_eq!(find(""), None);
    }
}
