//! What lives in the kernel and has no file: sockets that listen, modules, shared memory, formats, core dumps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use stint_grant::residue::{Kind, Policy, Residue};
use stint_grant::words::printable;

use super::picture::Reach;

/// Ports from here up are given out by the kernel: a resolver's question looks like a socket that listens.
const FIRST_EPHEMERAL: u16 = 32768;
/// The most of one kind.
const MAX: usize = 4096;

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
    let mut add = |kind: Kind, file: &str, read: &dyn Fn(&str) -> Vec<String>| match fs::read_to_string(
        proc.join(file),
    ) {
        Ok(text) => facts.entry(kind).or_default().extend(read(&text).into_iter().take(MAX)),
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
    (facts, unread)
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
        assert_eq!(facts[&Kind::KernelModules].first().unwrap(), "module evil\\u{1b}[2J");
    }

    #[test]
    fn addresses_are_read_in_the_kernel_s_order() {
        assert_eq!(address_of("0100007F"), "127.0.0.1");
        assert_eq!(address_of("00000000000000000000000001000000"), "::1");
        assert_eq!(address_of("zz"), "zz");
    }
}
