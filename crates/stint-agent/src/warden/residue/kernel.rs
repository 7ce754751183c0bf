//! What lives in the kernel and has no file: sockets that listen, modules, bpf that is pinned, a kernel for kexec, shared memory, formats,
//! core dumps, mounts, and the services that run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use stint_grant::residue::{Kind, Policy, Residue};
use stint_grant::words::printable;

use super::mounts::mounts;
use super::picture::Reach;

/// Ports from here up are given out by the kernel: a resolver's question looks like a socket that listens.
const FIRST_EPHEMERAL: u16 = 32768;
/// The most of one kind.
const MAX: usize = 4096;
/// Sockets and mounts that come and go with logins, containers and the host's own services.
const COME_AND_GO: &[&str] = &[
    "/run/user/",
    "/run/stint/",
    "/run/systemd/",
    "/run/credentials/",
    "/run/netns/",
    "/run/docker/",
    "/run/containerd/",
    "/var/lib/docker/",
    "/var/lib/containerd/",
    "/var/lib/containers/",
    "/var/lib/kubelet/",
    "/proc/",
    "/sys/",
    "/dev/",
    "/tmp/ssh-",
    "/tmp/systemd-private-",
    "/var/tmp/systemd-private-",
];
/// The host's own units of packages.
const PACKAGED: &[&str] = &["usr/lib/systemd/system", "lib/systemd/system"];
/// How deep services are in their slices.
const SLICES: u8 = 6;

/// By kind, in words; and what could not be read.
pub(crate) fn facts(
    root: &Path,
    rules: &Residue,
    reach: &Reach,
    uids: &BTreeSet<u32>,
) -> (BTreeMap<Kind, BTreeSet<String>>, Vec<String>) {
    let proc = root.join("proc");
    let mut facts: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
    let mut unread = Vec::new();
    let looks = |kind: Kind| rules.policy_of(kind) != Policy::Ignore;
    // Names of sockets and of mounts have any bytes: none of them may keep the others from being seen.
    let mut add = |kind: Kind, file: &str, read: &dyn Fn(&str) -> Vec<String>| match fs::read(proc.join(file))
    {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            facts.entry(kind).or_default().extend(read(&text).into_iter().take(MAX));
        }
        // A kernel without IPv6, without modules or without binfmt has no such file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => unread.push(format!("/proc/{file}: {error}")),
    };
    let whose = |uid: u32| reach.some_root || uids.contains(&uid);
    if looks(Kind::Listeners) {
        // The process's own network is empty; PID 1 has the host's.
        for (name, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            add(Kind::Listeners, &format!("1/net/{name}"), &|text| listeners(name, state, text, &whose));
        }
    }
    if looks(Kind::Ipc) {
        for (name, uid_at) in [("shm", 7), ("msg", 7), ("sem", 4)] {
            add(Kind::Ipc, &format!("sysvipc/{name}"), &|text| ipc(name, uid_at, text, &whose));
        }
    }
    if looks(Kind::Listeners) {
        // After a grant with root those of root's; what the account itself does beside it is its own. One without a name in the file tree
        // has no owner that could be asked for.
        let owned = |path: &str| {
            let found = fs::symlink_metadata(root.join(path.trim_start_matches('/')));
            let owner = found.map(|found| std::os::unix::fs::MetadataExt::uid(&found));
            if reach.some_root {
                owner.is_ok_and(|uid| uid == 0) || path.starts_with('@')
            } else {
                owner.is_ok_and(whose)
            }
        };
        add(Kind::Listeners, "1/net/unix", &|text| {
            let all = unix_listeners(text).filter(|path| !comes_and_goes(path) && owned(path));
            all.map(|path| format!("unix {}", printable(path))).collect()
        });
    }
    if reach.some_root && looks(Kind::Mounts) {
        add(Kind::Mounts, "1/mountinfo", &|text| {
            let shown = |(place, kind): (std::path::PathBuf, String)| {
                let place = place.to_string_lossy().into_owned();
                (!comes_and_goes(&place)).then(|| format!("{} ({})", printable(&place), printable(&kind)))
            };
            mounts(text.as_bytes()).filter_map(shown).collect()
        });
    }
    if reach.some_root && looks(Kind::KernelModules) {
        add(Kind::KernelModules, "modules", &|text| {
            let names = text.lines().filter_map(|line| line.split(' ').next());
            names.map(|name| format!("module {}", printable(name))).collect()
        });
    }
    if reach.some_root && looks(Kind::Hooks) {
        add(Kind::Hooks, "sys/kernel/core_pattern", &|text| {
            vec![format!("core dumps go to {}", printable(text.trim()))]
        });
    }
    if reach.some_root && looks(Kind::Hooks) {
        let formats = fs::read_dir(proc.join("sys/fs/binfmt_misc")).into_iter().flatten().flatten();
        let names = formats.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names = names.filter(|name| !matches!(name.as_str(), "register" | "status"));
        let said = names.take(MAX).map(|name| format!("binary format {}", printable(&name)));
        facts.entry(Kind::Hooks).or_default().extend(said);
    }
    if reach.some_root && looks(Kind::KernelModules) {
        facts.entry(Kind::KernelModules).or_default().extend(loaded(&root.join("sys")));
    }
    if reach.some_root && looks(Kind::Units) {
        let mut running = BTreeSet::new();
        services(&root.join("sys/fs/cgroup"), SLICES, &mut running);
        let of_a_package =
            |unit: &String| PACKAGED.iter().any(|folder| is_packaged(&root.join(folder), unit));
        let has_a_file = |unit: &String| root.join("run/systemd/transient").join(unit).exists();
        running.retain(|unit| !of_a_package(unit) && !has_a_file(unit));
        let said = running.iter().take(MAX).map(|unit| format!("PID 1 runs {}", printable(unit)));
        facts.entry(Kind::Units).or_default().extend(said);
    }
    (facts, unread)
}

/// What runs in the kernel, or would after a reboot, without being a module. What is held by a process alone has no name here.
fn loaded(sys: &Path) -> Vec<String> {
    let pinned = fs::read_dir(sys.join("fs/bpf")).into_iter().flatten().flatten();
    let shown = |name: std::ffi::OsString| printable(&name.to_string_lossy());
    let mut said: Vec<String> = pinned
        .take(MAX)
        .map(|entry| format!("bpf is pinned at /sys/fs/bpf/{}", shown(entry.file_name())))
        .collect();
    if fs::read_to_string(sys.join("kernel/kexec_loaded")).is_ok_and(|text| text.trim() == "1") {
        said.push("a kernel is loaded for kexec".to_owned());
    }
    said
}

fn comes_and_goes(path: &str) -> bool {
    COME_AND_GO.iter().any(|start| path.starts_with(start))
}

/// The names of sockets that listen, in `/proc/net/unix`: those with the flag `__SO_ACCEPTCON`. An abstract one begins with `@`.
pub(super) fn unix_listeners(text: &str) -> impl Iterator<Item = &str> {
    text.lines().skip(1).filter_map(|line| {
        let mut rest = line;
        let mut flags = None;
        for field in 0..7 {
            let (word, after) = rest.trim_start().split_once(' ')?;
            if field == 3 {
                flags = u32::from_str_radix(word, 16).ok();
            }
            rest = after;
        }
        flags.filter(|flags| flags & 0x1_0000 != 0).map(|_| rest)
    })
}

/// The services in which a process runs, but those of users' own service managers.
fn services(folder: &Path, depth: u8, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".service") {
            let events = fs::read_to_string(entry.path().join("cgroup.events")).unwrap_or_default();
            if events.lines().any(|line| line == "populated 1") {
                found.insert(name);
            }
        } else if name.strip_suffix(".slice").is_some_and(|name| name != "user") && depth > 0 {
            services(&entry.path(), depth - 1, found);
        }
    }
}

/// Whether a unit, or the template that it is made of, is a package's.
fn is_packaged(folder: &Path, unit: &str) -> bool {
    let template = unit.split_once('@').and_then(|(name, rest)| {
        let (_, kind) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{kind}"))
    });
    folder.join(unit).exists() || template.is_some_and(|template| folder.join(template).exists())
}

/// The lines of `/proc/net/tcp` and its like that listen.
fn listeners(protocol: &str, state: &str, text: &str, whose: &dyn Fn(u32) -> bool) -> Vec<String> {
    let line = |line: &str| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = parts.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let uid: u32 = parts.get(7)?.parse().ok()?;
        let is_open = *parts.get(3)? == state && (state == "0A" || port < FIRST_EPHEMERAL);
        let shown = || format!("{protocol} {} port {port}, uid {uid}", address_of(address));
        (is_open && whose(uid)).then(shown)
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The kernel writes each 32 bits in the machine's own order.
fn address_of(hex: &str) -> String {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len())
        .step_by(8)
        .map(|at| hex.get(at..at + 8).and_then(|w| u32::from_str_radix(w, 16).ok()).map(u32::to_ne_bytes))
        .collect();
    match words.as_deref() {
        Some([four]) => Ipv4Addr::from(*four).to_string(),
        Some([_, _, _, _]) => {
            let bytes: Vec<u8> = words.into_iter().flatten().flatten().collect();
            let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
            IpAddr::from(Ipv6Addr::from(bytes)).to_string()
        }
        _ => printable(hex),
    }
}

fn ipc(what: &str, uid_at: usize, text: &str, whose: &dyn Fn(u32) -> bool) -> Vec<String> {
    let line = |line: &str| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let uid: u32 = parts.get(uid_at)?.parse().ok()?;
        let id = parts.get(1)?;
        whose(uid).then(|| format!("{what} {}, uid {uid}", printable(id)))
    };
    text.lines().skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
        1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
        2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
        garbage\n";

    fn host(root: bool) -> (BTreeMap<Kind, BTreeSet<String>>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/1/net")).unwrap();
        fs::create_dir_all(dir.path().join("proc/sysvipc")).unwrap();
        fs::write(dir.path().join("proc/1/net/tcp"), TCP).unwrap();
        fs::write(
            dir.path().join("proc/sysvipc/shm"),
            "key shmid perms size cpid lpid nattch uid gid\n0 5 600 9 1 1 0 1000 1000\n",
        )
        .unwrap();
        fs::write(dir.path().join("proc/modules"), "evil\x1b[2J 1 0 - Live 0x0\n").unwrap();
        fs::create_dir_all(dir.path().join("sys/fs/bpf/pin\x1b")).unwrap();
        fs::create_dir_all(dir.path().join("sys/kernel")).unwrap();
        fs::write(dir.path().join("sys/kernel/kexec_loaded"), "1\n").unwrap();
        let reach = Reach { some_root: root, ..Reach::default() };
        facts(dir.path(), &Residue::default(), &reach, &BTreeSet::from([1000]))
    }

    #[test]
    fn a_login_sees_its_own_listeners_and_memory_and_root_those_of_all() {
        let (facts, unread) = host(false);
        assert!(unread.is_empty(), "{unread:?}");
        assert_eq!(facts[&Kind::Listeners], BTreeSet::from(["tcp 127.0.0.1 port 8080, uid 1000".to_owned()]));
        assert_eq!(facts[&Kind::Ipc], BTreeSet::from(["shm 5, uid 1000".to_owned()]));
        assert!(!facts.contains_key(&Kind::KernelModules));
        let (facts, _) = host(true);
        assert!(facts[&Kind::Listeners].contains("tcp 0.0.0.0 port 22, uid 0"));
        let loaded = [
            "module evil\\u{1b}[2J",
            "bpf is pinned at /sys/fs/bpf/pin\\u{1b}",
            "a kernel is loaded for kexec",
        ];
        assert_eq!(facts[&Kind::KernelModules], BTreeSet::from(loaded.map(str::to_owned)));
    }

    #[test]
    fn sockets_that_listen_are_told_by_their_flag_whatever_their_names() {
        let text = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff: 00000002 00000000 00010000 0001 01 100 /run/a socket\n\
            ffff: 00000003 00000000 00000000 0001 03 101 /run/connected\n\
            ffff: 00000002 00000000 00010000 0001 01 102 @abstract\n\
            ffff: 00000002 00000000 00010000 0001 01 103\n";
        assert_eq!(unix_listeners(text).collect::<Vec<_>>(), ["/run/a socket", "@abstract"]);
    }

    #[test]
    fn mounts_and_services_of_nobody_s_package_are_told_to_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mounted = "22 1 0:21 / / rw - ext4 /dev/vda rw\n23 22 0:22 / /usr/bin/sudo rw - tmpfs tmpfs rw\n\
            24 22 0:22 / /run/user/1001 rw - tmpfs tmpfs rw\n";
        write("proc/1/mountinfo", mounted);
        for (unit, populated) in
            [("evil.service", 1), ("idle.service", 0), ("cron.service", 1), ("x@7.service", 1)]
        {
            let path = format!("sys/fs/cgroup/system.slice/system-x.slice/{unit}/cgroup.events");
            write(&path, &format!("populated {populated}\nfrozen 0\n"));
        }
        write("sys/fs/cgroup/user.slice/user-1.slice/own.service/cgroup.events", "populated 1\n");
        write("usr/lib/systemd/system/cron.service", "");
        write("usr/lib/systemd/system/x@.service", "");
        let look = |some_root| {
            let reach = Reach { some_root, ..Reach::default() };
            facts(dir.path(), &Residue::default(), &reach, &BTreeSet::from([1000])).0
        };
        let seen = look(true);
        assert_eq!(seen[&Kind::Units], BTreeSet::from(["PID 1 runs evil.service".to_owned()]));
        let places = ["/ (ext4)", "/usr/bin/sudo (tmpfs)"].map(str::to_owned);
        assert_eq!(seen[&Kind::Mounts], BTreeSet::from(places));
        assert!(!look(false).contains_key(&Kind::Mounts) && !look(false).contains_key(&Kind::Units));
    }

    #[test]
    fn addresses_are_read_in_the_kernel_s_order() {
        assert_eq!(address_of("0100007F"), "127.0.0.1");
        assert_eq!(address_of("00000000000000000000000001000000"), "::1");
        assert_eq!(address_of("zz"), "zz");
    }
}
