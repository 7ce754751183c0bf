//! Each broken state of the gate denies alice, who has a good grant, and names its cause. Never is anything taken for allowed.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use stint_grant::gate::{MAX_CURRENT_BYTES, MAX_USER_BYTES};
use stint_grant::time::{Floor, Seconds, UnixTime};
use support::fixture::{ALICE, Host, key, reading, write};
use support::libpam::{PERM_DENIED, SUCCESS};
use support::warden::Decisions;

/// Asserts that the gate denies alice as unusable, with these words, and that the warden is told so.
fn denies(host: &Host, words: &str) {
    let decisions = Decisions::listen(host);
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), PERM_DENIED, "{words}");
    assert!(pam.line().contains(words), "{words:?} is not in {:?}", pam.line());
    assert_eq!(decisions.next().code, "gate");
}

/// All that the module reads of the gate.
fn files(host: &Host) -> [std::path::PathBuf; 4] {
    [host.current(), host.generation("root.json"), host.generation("head.json"), host.user_path(ALICE)]
}

fn folders(host: &Host) -> Vec<std::path::PathBuf> {
    [
        "var",
        "var/lib",
        "var/lib/stint",
        "var/lib/stint/gate",
        "var/lib/stint/gate/gen-1",
        "var/lib/stint/gate/gen-1/users",
    ]
    .map(|folder| host.path(folder))
    .to_vec()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_missing_file_denies() {
    for which in 0..3 {
        let host = Host::ready();
        let file = &files(&host)[which];
        fs::remove_file(file).unwrap();
        denies(&host, &format!("{} is missing", name(file)));
    }
}

#[test]
fn a_missing_account_file_means_no_grant() {
    let host = Host::ready();
    fs::remove_file(host.user_path(ALICE)).unwrap();
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.line().contains("you have no grant"));
}

#[test]
fn a_missing_folder_denies() {
    for which in 0..folders(&Host::ready()).len() {
        let host = Host::ready();
        let folder = &folders(&host)[which];
        fs::rename(folder, host.path("moved")).unwrap();
        denies(&host, &format!("{} is missing", name(folder)));
    }
}

#[test]
fn a_file_that_is_a_link_denies() {
    for which in 0..4 {
        let host = Host::ready();
        let file = &files(&host)[which];
        fs::rename(file, host.path("moved")).unwrap();
        symlink(host.path("moved"), file).unwrap();
        denies(&host, "is a symbolic link");
    }
}

#[test]
fn a_folder_that_is_a_link_denies() {
    for which in 0..folders(&Host::ready()).len() {
        let host = Host::ready();
        let folder = &folders(&host)[which];
        fs::rename(folder, host.path("moved")).unwrap();
        symlink(host.path("moved"), folder).unwrap();
        denies(&host, "symbolic link");
    }
}

#[test]
fn a_file_or_folder_of_another_owner_denies() {
    for which in 0..10 {
        let host = Host::ready();
        let path = files(&host).into_iter().chain(folders(&host)).nth(which).unwrap();
        chown(&path, Some(1000), None).unwrap();
        denies(&host, "belongs to uid 1000, not to root");
    }
}

#[test]
fn a_file_or_folder_that_others_may_write_denies() {
    for mode in [0o020, 0o002] {
        for which in 0..10 {
            let host = Host::ready();
            let path = files(&host).into_iter().chain(folders(&host)).nth(which).unwrap();
            let before = fs::metadata(&path).unwrap().permissions().mode();
            fs::set_permissions(&path, Permissions::from_mode(before | mode)).unwrap();
            denies(&host, "is writable by others than root");
        }
    }
}

#[test]
fn something_else_than_a_file_denies_and_does_not_hang() {
    for which in 0..4 {
        let host = Host::ready();
        let file = &files(&host)[which];
        fs::remove_file(file).unwrap();
        nix::unistd::mkfifo(file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        denies(&host, "is not a regular file");
    }
}

#[test]
fn a_truncated_file_denies() {
    for which in 0..4 {
        let host = Host::ready();
        let file = &files(&host)[which];
        let bytes = fs::read(file).unwrap();
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            write(file, &bytes[..length]);
            let mut pam = host.gated("sshd").ssh(ALICE);
            assert_eq!(pam.account(), PERM_DENIED, "{} cut to {length}", name(file));
        }
        write(file, &bytes);
        assert_eq!(host.ssh(ALICE).account(), SUCCESS);
    }
}

#[test]
fn an_oversized_file_denies() {
    let host = Host::ready();
    for (file, max) in [(host.current(), MAX_CURRENT_BYTES), (host.user_path(ALICE), MAX_USER_BYTES)] {
        let good = fs::read(&file).unwrap();
        write(&file, &vec![b' '; max + 1]);
        denies_again(&host, &format!("has more than {max} bytes"));
        write(&file, &good);
    }
}

fn denies_again(host: &Host, words: &str) {
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), PERM_DENIED, "{words}");
    assert!(pam.line().contains(words), "{words:?} is not in {:?}", pam.line());
}

#[test]
fn one_changed_byte_anywhere_denies() {
    for which in 0..4 {
        let host = Host::ready();
        let file = &files(&host)[which];
        let good = fs::read(file).unwrap();
        // `current` is root's word, not signed but for the pulse in it: its signed part is what must hold.
        let from =
            if which == 0 { find(&good, b"DSSE").unwrap_or(find(&good, b"sig").unwrap() + 8) } else { 0 };
        for at in (from..good.len()).step_by(good.len() / 23 + 1) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            write(file, &bad);
            let code = host.gated("sshd").ssh(ALICE).account();
            assert_eq!(code, PERM_DENIED, "byte {at} of {}", name(file));
            if which == 0 {
                break;
            }
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

#[test]
fn a_forged_head_denies() {
    denies(&Host::with(|_, plan| plan.bundle_signer = key(9)), "0 good signatures");
}

#[test]
fn a_head_signed_with_the_pulse_key_denies() {
    denies(&Host::with(|_, plan| plan.bundle_signer = key(4)), "0 good signatures");
}

#[test]
fn a_root_of_another_fleet_denies() {
    let (host, other) = (Host::ready(), {
        let (mut host, plan) = Host::new();
        host.keys.root = key(7);
        host.write(&plan);
        host
    });
    fs::copy(other.generation("root.json"), host.generation("root.json")).unwrap();
    denies(&host, "not the pinned");
}

#[test]
fn another_accounts_file_denies() {
    let host = Host::with(|_, plan| {
        let grants = plan.accounts[ALICE].clone();
        plan.accounts.insert("bob".to_owned(), support::fixture::Holding::default());
        plan.accounts.insert("carol".to_owned(), grants);
    });
    fs::copy(host.user_path("bob"), host.user_path(ALICE)).unwrap();
    denies(&host, "another account's");
}

#[test]
fn a_bundle_past_its_end_denies() {
    denies(&Host::with(|host, plan| plan.head_expires = UnixTime(host.now.0 - 1)), "bundle: it ended at");
}

#[test]
fn files_of_two_generations_deny() {
    let (host, mut plan) = Host::new();
    host.write(&plan);
    plan.generation = 2;
    plan.version = 2;
    host.write(&plan);
    let second = host.path("var/lib/stint/gate/gen-2");
    for file in ["head.json", &format!("users/{}", stint_grant::gate::user_file(ALICE))] {
        let good = fs::read(second.join(file)).unwrap();
        fs::copy(host.generation(file), second.join(file)).unwrap();
        denies_again(&host, "do not belong together");
        write(&second.join(file), &good);
    }
    assert_eq!(host.ssh(ALICE).account(), SUCCESS);
}

#[test]
fn a_clock_behind_the_last_signed_time_denies() {
    let host = Host::with(|host, plan| {
        let time = host.now.plus(Seconds(3600));
        plan.floor = Floor { time, boot_id: "another boot".to_owned(), boottime_ms: 0 };
    });
    denies(&host, "is behind the last signed time");
}

#[test]
fn the_wall_clock_counts_for_nothing_once_a_time_was_signed_in_this_boot() {
    // An hour ahead of the wall clock, by a signed time: the grant is over, whatever the wall clock says.
    let host = Host::with(|host, plan| {
        let (_, boottime_ms, boot_id) = reading();
        plan.floor = Floor { time: host.now.plus(Seconds(3600)), boot_id, boottime_ms };
        plan.pulse_age = -3600;
    });
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.line().contains("ended at"), "{}", pam.line());
}

#[test]
fn no_descriptor_stays_open_whatever_the_answer() {
    let host = Host::ready();
    host.gated("sshd").host_toml("[managed]\nfirst_uid = 1000\n");
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|fd| fs::read_link(fd.path()));
        links.filter(|link| link.as_ref().is_ok_and(|path| path.starts_with(host.dir.path()))).count()
    };
    for user in [ALICE, "bob", "root", "daemon"] {
        let mut pam = host.ssh(user);
        pam.account();
        assert_eq!(open(), 0, "{user}");
    }
    fs::remove_file(host.generation("head.json")).unwrap();
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
    assert_eq!(open(), 0);
}

#[test]
fn an_unusable_host_toml_means_the_strict_defaults() {
    for broken in 0..6 {
        let host = Host::ready();
        host.gated("sshd").host_toml("[managed]\nfirst_uid = 2000\n");
        assert_eq!(host.ssh("bob").account(), SUCCESS, "bob is not managed");
        let file = host.path("etc/stint/host.toml");
        match broken {
            0 => fs::remove_file(&file).unwrap(),
            1 => write(&file, b"[managed]\nfirst_uid = 2000\nunknown = 1\n"),
            2 => chown(&file, Some(1000), None).unwrap(),
            3 => fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap(),
            4 => {
                fs::rename(&file, host.path("moved")).unwrap();
                symlink(host.path("moved"), &file).unwrap();
            }
            _ => write(&file, b"\xff\xfe"),
        }
        assert_eq!(host.ssh("bob").account(), PERM_DENIED, "case {broken}");
        assert_eq!(host.ssh(ALICE).account(), SUCCESS, "case {broken}");
    }
}

#[test]
fn a_mode_file_that_cannot_be_trusted_enforces() {
    for broken in 0..3 {
        let host = Host::ready();
        host.gated("sshd").mode("observe");
        assert_eq!(host.ssh("bob").account(), SUCCESS);
        let file = host.path("var/lib/stint/mode");
        match broken {
            0 => chown(&file, Some(1000), None).unwrap(),
            1 => fs::set_permissions(&file, Permissions::from_mode(0o662)).unwrap(),
            _ => {
                fs::rename(&file, host.path("moved")).unwrap();
                symlink(host.path("moved"), &file).unwrap();
            }
        }
        assert_eq!(host.ssh("bob").account(), PERM_DENIED, "case {broken}");
    }
}

#[test]
fn a_gate_that_is_replaced_while_it_is_read_never_denies() {
    const CALLS: u64 = 400;
    let (host, mut plan) = Host::new();
    host.write(&plan);
    host.gated("sshd");
    let made = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One new generation for each two calls, at whatever point of theirs; the old one goes at once.
            while made.load(Ordering::SeqCst) < CALLS {
                let seen = made.load(Ordering::SeqCst);
                let old = plan.generation;
                (plan.generation, plan.version) = (old + 1, plan.version + 1);
                host.write(&plan);
                fs::remove_dir_all(host.path(&format!("var/lib/stint/gate/gen-{old}"))).unwrap();
                while made.load(Ordering::SeqCst) < (seen + 2).min(CALLS) {
                    std::hint::spin_loop();
                }
            }
        });
        for _ in 0..CALLS {
            let mut pam = host.ssh(ALICE);
            let code = pam.account();
            made.fetch_add(1, Ordering::SeqCst);
            if code != SUCCESS {
                made.store(CALLS, Ordering::SeqCst);
                panic!("denied: {:?}", pam.shown());
            }
        }
    });
}
