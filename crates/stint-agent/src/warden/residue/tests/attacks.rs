//! Nothing that a user places where we look or undo makes us touch, read or wait for anything else.

use std::os::unix::fs::symlink;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use super::super::compare::{Action, Finding};
use super::super::picture::{Content, RawPath, Spot};
use super::super::tree::meta;
use super::super::undo::Undoing;
use super::*;

const KEYS: &str = "home/alice/.ssh/authorized_keys";

#[test]
fn a_link_in_place_of_a_file_is_taken_away_and_not_what_it_points_at() {
    let host = Host::new();
    host.write("etc/passwd-", "the backup\n");
    host.write(KEYS, "mine\n");
    host.opens(login());
    fs::remove_file(host.path(KEYS)).unwrap();
    symlink(host.path("etc/passwd-"), host.path(KEYS)).unwrap();
    symlink("/etc/passwd-", host.path("home/alice/.bashrc")).unwrap();
    let outcome = host.ends();
    assert_eq!(host.read("etc/passwd-").unwrap(), "the backup\n");
    assert!(fs::symlink_metadata(host.path(KEYS)).unwrap().is_file());
    assert_eq!(host.read(KEYS).unwrap(), "mine\n");
    assert!(fs::symlink_metadata(host.path("home/alice/.bashrc")).is_err());
    assert!(says(&outcome.removed, &[".bashrc (a link)"]) && outcome.settled, "{outcome:?}");
}

#[test]
fn a_link_in_place_of_a_folder_leads_nowhere() {
    let host = Host::new();
    host.write("root/.ssh/authorized_keys", "root's own\n");
    host.write(KEYS, "mine\n");
    host.opens(login());
    fs::rename(host.path("home/alice/.ssh"), host.path("home/alice/elsewhere")).unwrap();
    symlink("../../root/.ssh", host.path("home/alice/.ssh")).unwrap();
    let outcome = host.ends();
    assert_eq!(host.read("root/.ssh/authorized_keys").unwrap(), "root's own\n");
    // Where sshd would follow it, we do not: the link itself goes.
    assert!(fs::symlink_metadata(host.path("home/alice/.ssh")).is_err(), "{outcome:?}");
    assert!(says(&outcome.removed, &["/home/alice/.ssh (a link)"]), "{outcome:?}");
}

#[test]
fn a_home_in_a_folder_of_somebody_else_s_is_not_looked_for_behind_a_link_that_they_place() {
    let host = Host::new();
    let me = nix::unistd::getuid();
    let passwd = host.read("etc/passwd").unwrap() + &format!("app:x:{me}:{me}::/srv/shared/app:/bin/bash\n");
    host.write("etc/passwd", &passwd);
    host.write("root/.bashrc", "root's own\n");
    host.write("srv/shared/app/.bashrc", "evil\n");
    let open = |bits| fs::set_permissions(host.path("srv/shared"), fs::Permissions::from_mode(bits)).unwrap();
    let reach = || Reach { accounts: BTreeSet::from([UserName::new("app").unwrap()]), ..Reach::default() };
    open(0o777);
    host.opens(reach());
    fs::rename(host.path("srv/shared/app"), host.path("srv/shared/aside")).unwrap();
    symlink("../../root", host.path("srv/shared/app")).unwrap();
    host.write("root/.profile", "root's own\n");
    let outcome = host.ends();
    assert_eq!(host.read("root/.bashrc").unwrap(), "root's own\n", "{outcome:?}");
    assert_eq!(host.read("root/.profile").unwrap(), "root's own\n", "{outcome:?}");
    assert!(says(&outcome.not_scanned, &["/srv/shared/app", "a link stands in its path"]), "{outcome:?}");

    // Root's own links are followed, absolute ones too.
    let host = Host::new();
    fs::rename(host.path("home"), host.path("data")).unwrap();
    symlink("/data", host.path("home")).unwrap();
    host.opens(login());
    host.write("data/alice/.bashrc", "evil\n");
    let outcome = host.ends();
    assert!(host.read("data/alice/.bashrc").is_none(), "{outcome:?}");
}

#[test]
fn a_home_full_of_files_keeps_nothing_else_from_being_looked_at() {
    let host = Host::new();
    // More bytes of names than a picture holds, in a place that the account itself fills: before the window, and in it.
    let fill = |folder: &str| {
        for n in 0..9 {
            let folder = format!("home/alice/.config/systemd/user/{folder}{n}/{}", "d".repeat(250));
            fs::create_dir_all(host.path(&folder)).unwrap();
            for file in 0..700 {
                fs::write(host.path(&folder).join(format!("{file}-{}", "f".repeat(240))), "").unwrap();
            }
        }
    };
    fill("before");
    host.opens(full_root());
    fill("in");
    let undone = [
        "etc/sudoers.d/evil",
        "etc/cron.d/evil",
        "root/.ssh/authorized_keys",
        "home/bob/.bashrc",
        "var/spool/cron/crontabs/alice",
        "home/alice/.ssh/authorized_keys",
    ];
    for path in undone {
        host.write(path, "evil\n");
    }
    let outcome = host.ends();
    for path in undone {
        assert!(host.read(path).is_none(), "{path}: {:?} {:?}", outcome.reported, outcome.not_scanned);
    }
    assert!(says(&outcome.not_scanned, &["/home/alice/.config/systemd/user", "no time or room"]));
}

#[test]
fn a_tree_of_folders_without_end_is_said_to_be_one_and_the_rest_is_looked_at() {
    let host = Host::new();
    host.write("proc/self/mountinfo", "22 1 0:21 / / rw - ext4 /dev/vda rw\n");
    host.opens(full_root());
    fs::create_dir_all(host.path("tmp").join("d/".repeat(300))).unwrap();
    host.write("opt/sh", "shell");
    fs::set_permissions(host.path("opt/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    let outcome = host.ends();
    assert!(says(&outcome.removed, &["setuid /opt/sh"]), "{outcome:?}");
    assert!(says(&outcome.not_scanned, &["more than 64 deep", "/tmp/d/d/"]), "{:?}", outcome.not_scanned);
}

#[test]
fn files_full_of_holes_do_not_fill_the_disk_with_copies_and_go_all_the_same() {
    let host = Host::new();
    host.opens(login());
    let folder = host.path("home/alice/.config/systemd/user");
    fs::create_dir_all(&folder).unwrap();
    for n in 0..40 {
        let file = fs::File::create(folder.join(format!("{n}.service"))).unwrap();
        file.set_len(4 * 1024 * 1024).unwrap();
    }
    let outcome = host.ends();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let copies = host.store().copies(&GrantId::new(GRANT).unwrap());
    let kept: u64 = fs::read_dir(copies).unwrap().map(|copy| copy.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 64 * 1024 * 1024, "{kept} bytes");
    assert!(says(&outcome.removed, &["taken away", "no copy is kept", "64 MiB"]), "{outcome:?}");
}

#[test]
fn a_sweep_that_is_begun_anew_keeps_the_copies_of_the_one_before() {
    let host = Host::new();
    host.opens(login());
    host.write("home/alice/.bashrc", "one\n");
    host.ends();
    host.write("home/alice/.profile", "two\n");
    host.ends();
    let mut copies = host.copies();
    copies.sort();
    assert_eq!(copies, ["one\n", "two\n"]);
}

#[test]
fn a_hard_link_to_another_s_file_loses_its_name_and_not_its_content() {
    let host = Host::new();
    host.write("etc/shadow-", "secret\n");
    host.write(KEYS, "mine\n");
    host.opens(login());
    fs::remove_file(host.path(KEYS)).unwrap();
    fs::hard_link(host.path("etc/shadow-"), host.path(KEYS)).unwrap();
    fs::hard_link(host.path("etc/shadow-"), host.path("home/alice/.profile")).unwrap();
    let before = fs::metadata(host.path("etc/shadow-")).unwrap().permissions().mode();
    let outcome = host.ends();
    assert_eq!(host.read("etc/shadow-").unwrap(), "secret\n");
    assert_eq!(fs::metadata(host.path("etc/shadow-")).unwrap().permissions().mode(), before);
    assert_eq!(host.read(KEYS).unwrap(), "mine\n");
    assert!(host.read("home/alice/.profile").is_none(), "{outcome:?}");
}

#[test]
fn a_hard_link_to_the_host_s_own_sudo_does_not_cost_it_its_bits() {
    let host = Host::new();
    host.write("proc/self/mountinfo", "22 1 0:21 / / rw - ext4 /dev/vda rw\n");
    host.write("usr/bin/sudo", "sudo");
    fs::set_permissions(host.path("usr/bin/sudo"), fs::Permissions::from_mode(0o4755)).unwrap();
    host.opens(full_root());
    fs::hard_link(host.path("usr/bin/sudo"), host.path("home/alice/sudo")).unwrap();
    let outcome = host.ends();
    assert_eq!(mode(&host.path("usr/bin/sudo")), 0o4755);
    assert!(says(&outcome.reported, &["setuid /home/alice/sudo"]), "{outcome:?}");
}

#[test]
fn a_pipe_a_socket_and_a_folder_are_not_waited_for() {
    let host = Host::new();
    host.write("home/alice/.bash_login", "mine\n");
    host.opens(login());
    nix::unistd::mkfifo(&host.path("home/alice/.bashrc"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(host.path("home/alice/.profile")).unwrap();
    fs::create_dir(host.path("home/alice/.zshrc")).unwrap();
    fs::remove_file(host.path("home/alice/.bash_login")).unwrap();
    nix::unistd::mkfifo(&host.path("home/alice/.bash_login"), Mode::S_IRWXU).unwrap();
    let outcome = host.ends();
    assert!(says(&outcome.removed, &[".bashrc (a pipe or a device)"]), "{outcome:?}");
    assert!(says(&outcome.removed, &[".profile (a socket)"]), "{outcome:?}");
    assert!(says(&outcome.reported, &[".bash_login (a pipe or a device): changed"]), "{outcome:?}");
    assert!(outcome.settled);
}

#[test]
fn what_was_replaced_after_it_was_seen_is_left_alone() {
    let host = Host::new();
    host.write("home/alice/.bashrc", "seen\n");
    let seen = meta(&fs::symlink_metadata(host.path("home/alice/.bashrc")).unwrap());
    fs::remove_file(host.path("home/alice/.bashrc")).unwrap();
    host.write("home/alice/.bashrc", "another\n");
    let tree = Tree::at(host.root.path(), super::super::tree::Crossing::Usual).unwrap();
    let mut undoing = Undoing::new(&tree, host.path("copies"));
    let spot = || Spot { anchor: RawPath("/home/alice".into()), below: RawPath(".bashrc".into()) };
    for action in [
        Action::Remove { seen: seen.clone() },
        Action::Restore { seen: seen.clone(), content: Content(b"old".to_vec()), before: seen.clone() },
        Action::Strip { seen },
    ] {
        let finding = Finding {
            kind: stint_grant::residue::Kind::ShellFiles,
            spot: Some(spot()),
            words: String::new(),
            action,
        };
        undoing.undo(&finding).unwrap_err();
        assert_eq!(host.read("home/alice/.bashrc").unwrap(), "another\n");
    }
}

#[test]
fn a_home_that_is_another_s_folder_is_not_looked_into() {
    let host = Host::new();
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let mine = "root:x:0:0:root:/root:/bin/bash\nalice:x:4711:4711::/home/alice:/bin/bash\n";
    host.write("etc/passwd", mine);
    nix::unistd::chown(&host.path("home/alice"), Some(4712.into()), None).unwrap();
    host.opens(login());
    host.write("home/alice/.bashrc", "evil\n");
    let outcome = host.ends();
    assert!(host.read("home/alice/.bashrc").is_some());
    assert!(says(&outcome.not_scanned, &["/home/alice", "does not belong to alice"]), "{outcome:?}");
}

#[test]
fn names_that_would_drive_a_terminal_are_escaped_and_found_again() {
    let host = Host::new();
    host.opens(full_root());
    let evil = "etc/cron.d/\x1b[2J\u{202e}evil\nroot";
    host.write(evil, "* * * * * root \x1b]0;x\x07\n");
    let raw = host
        .path("etc/cron.d")
        .join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe"));
    fs::write(&raw, "x").unwrap();
    let outcome = host.ends();
    assert!(host.read(evil).is_none() && !raw.exists(), "{outcome:?}");
    let all = outcome.removed.concat();
    assert!(all.contains("\\u{1b}") && all.chars().all(stint_grant::words::is_plain), "{all}");
    let reread = host.ends();
    assert!(is_quiet(&reread), "{reread:?}");
}

#[test]
fn a_folder_with_more_names_than_one_look_takes_is_emptied_all_the_same() {
    let host = Host::new();
    host.opens(login());
    for name in 0..4200 {
        host.write(&format!("home/alice/.config/autostart/{name}"), "");
    }
    let outcome = host.ends();
    assert_eq!(outcome.removed.len(), 4200);
    assert!(
        outcome.settled && outcome.reported.is_empty() && outcome.not_scanned.is_empty(),
        "{:?}",
        outcome.not_scanned
    );
}

#[test]
fn what_cannot_be_undone_is_told_with_its_cause() {
    let host = Host::new();
    host.opens(login());
    let autostart = host.path("home/alice/.config/autostart");
    fs::create_dir_all(&autostart).unwrap();
    host.write("home/alice/.config/autostart/evil", "x");
    // No copy can be kept: nothing is taken away.
    fs::remove_dir_all(host.path("var/lib/stint/quarantine")).unwrap();
    fs::write(host.path("var/lib/stint/quarantine"), "in the way").unwrap();
    let (grant, store) = (GrantId::new(GRANT).unwrap(), Store::of(&host.paths()));
    let order = Order {
        format: FORMAT,
        grant: grant.clone(),
        user: alice(),
        killing: Killing::default(),
        also_open: Vec::new(),
        since: 0,
    };
    store.save_order(&order).unwrap();
    run_at(&host.paths(), host.root.path(), &host.rules, &grant).unwrap();
    let outcome = store.outcome(&grant).unwrap().unwrap();
    assert!(host.read("home/alice/.config/autostart/evil").is_some());
    assert!(says(&outcome.reported, &["autostart/evil", "could not be undone: no copy"]), "{outcome:?}");
    assert!(outcome.settled);
}

/// Mounts of the test's own, taken off before the folder goes.
struct Bound(Vec<PathBuf>);

impl Bound {
    /// In a mount namespace of this thread's own; `None` where that cannot be.
    fn new() -> Option<Self> {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let made = unshare(CloneFlags::CLONE_NEWNS).is_ok()
            && mount(None::<&str>, "/", None::<&str>, private, None::<&str>).is_ok();
        made.then(|| Self(Vec::new()))
    }
    fn bind(&mut self, host: &Host, from: &str, on: &str) {
        let (from, on) = (host.path(from), host.path(on));
        mount(Some(&from), &on, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        self.0.push(on);
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for place in self.0.iter().rev() {
            let _ = umount2(place, MntFlags::MNT_DETACH);
        }
    }
}

#[test]
fn what_is_mounted_on_a_file_is_told_and_neither_it_nor_the_file_below_is_touched() {
    let Some(mut bound) = Bound::new() else { return };
    let host = Host::new();
    host.write("etc/shadow-", "secret\n");
    host.write(KEYS, "mine\n");
    host.write("home/alice/.bashrc", "mine\n");
    host.opens(login());
    host.write(KEYS, "mine\nevil\n");
    for below in [KEYS, "home/alice/.bashrc"] {
        bound.bind(&host, "etc/shadow-", below);
    }
    let outcome = host.ends();
    assert_eq!(host.read("etc/shadow-").unwrap(), "secret\n");
    for below in [KEYS, "home/alice/.bashrc"] {
        assert!(says(&outcome.not_scanned, &[below, "something is mounted in its path"]), "{outcome:?}");
    }
    assert!(outcome.removed.is_empty() && outcome.restored.is_empty(), "{outcome:?}");
    drop(bound);
    assert_eq!(host.read(KEYS).unwrap(), "mine\nevil\n", "it was below");
}

#[test]
fn a_folder_that_is_mounted_in_a_home_leads_nowhere() {
    let Some(mut bound) = Bound::new() else { return };
    let host = Host::new();
    host.write("root/.ssh/authorized_keys", "root's own\n");
    host.opens(login());
    bound.bind(&host, "root/.ssh", "home/alice/.ssh");
    let outcome = host.ends();
    assert_eq!(host.read("root/.ssh/authorized_keys").unwrap(), "root's own\n");
    assert!(says(&outcome.not_scanned, &["home/alice/.ssh", "something is mounted"]), "{outcome:?}");
    assert!(outcome.removed.is_empty() && outcome.restored.is_empty(), "{outcome:?}");
}

#[test]
fn a_folder_of_the_host_s_that_is_mounted_over_another_is_not_emptied() {
    let Some(mut bound) = Bound::new() else { return };
    let host = Host::new();
    host.write("etc/cron.d/host", "* * * * * root true\n");
    host.opens(full_root());
    host.write("srv/app/cron", "* * * * * app true\n");
    bound.bind(&host, "srv/app", "etc/cron.d");
    let outcome = host.ends();
    assert_eq!(host.read("srv/app/cron").unwrap(), "* * * * * app true\n");
    assert!(says(&outcome.not_scanned, &["/etc/cron.d", "something is mounted"]), "{outcome:?}");
    assert!(outcome.removed.is_empty() && outcome.restored.is_empty(), "{outcome:?}");
}

#[test]
fn what_is_mounted_between_the_look_and_the_hand_is_left_alone() {
    let Some(mut bound) = Bound::new() else { return };
    let host = Host::new();
    host.write("home/alice/.bashrc", "seen\n");
    host.write("etc/shadow-", "secret\n");
    let seen = meta(&fs::symlink_metadata(host.path("home/alice/.bashrc")).unwrap());
    bound.bind(&host, "etc/shadow-", "home/alice/.bashrc");
    let tree = Tree::at(host.root.path(), super::super::tree::Crossing::Usual).unwrap();
    let mut undoing = Undoing::new(&tree, host.path("copies"));
    for action in [
        Action::Remove { seen: seen.clone() },
        Action::Restore { seen: seen.clone(), content: Content(b"old".to_vec()), before: seen.clone() },
        Action::Strip { seen },
    ] {
        let spot = Spot { anchor: RawPath("/home/alice".into()), below: RawPath(".bashrc".into()) };
        let finding = Finding {
            kind: stint_grant::residue::Kind::ShellFiles,
            spot: Some(spot),
            words: String::new(),
            action,
        };
        undoing.undo(&finding).unwrap_err();
    }
    assert_eq!(host.read("etc/shadow-").unwrap(), "secret\n");
    drop(bound);
    assert_eq!(host.read("home/alice/.bashrc").unwrap(), "seen\n");
}
