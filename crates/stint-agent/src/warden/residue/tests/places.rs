//! What is planted in each place.

use super::*;

#[test]
fn a_window_in_which_nothing_was_left_is_quiet() {
    for reach in [login(), some_root(), full_root()] {
        let host = Host::new();
        host.write("home/alice/.bashrc", "alias ll='ls -l'\n");
        host.opens(reach);
        host.write("home/alice/notes", "work");
        host.write("var/log/nginx.log", "work");
        let outcome = host.ends();
        assert!(is_quiet(&outcome), "{outcome:?}");
    }
}

#[test]
fn a_key_that_was_added_goes_and_the_keys_before_it_come_back() {
    let host = Host::new();
    let keys = "home/alice/.ssh/authorized_keys";
    host.write(keys, "ssh-ed25519 AAAA alice@laptop\n");
    fs::set_permissions(host.path(keys), fs::Permissions::from_mode(0o640)).unwrap();
    host.opens(login());
    host.write(keys, "ssh-ed25519 AAAA alice@laptop\nssh-ed25519 EVIL thief\n");
    fs::set_permissions(host.path(keys), fs::Permissions::from_mode(0o666)).unwrap();
    let outcome = host.ends();
    assert_eq!(host.read(keys).unwrap(), "ssh-ed25519 AAAA alice@laptop\n");
    assert_eq!(mode(&host.path(keys)), 0o640);
    assert!(says(
        &outcome.restored,
        &["authorized-keys", "/home/alice/.ssh/authorized_keys", "put back", "copy"]
    ));
    assert!(outcome.reported.is_empty() && outcome.settled, "{outcome:?}");
    assert!(host.copies()[0].contains("EVIL thief"));
    let names = fs::read_dir(host.path("home/alice/.ssh")).unwrap().count();
    assert_eq!(names, 1, "no temporary file is left");
}

#[test]
fn what_a_login_leaves_in_its_own_places_goes() {
    let host = Host::new();
    host.opens(login());
    let planted = [
        "home/alice/.ssh/authorized_keys",
        "home/alice/.ssh/rc",
        "home/alice/.bashrc",
        "home/alice/.config/systemd/user/evil.timer",
        "home/alice/.config/systemd/user/default.target.wants/evil.service",
        "home/alice/.config/autostart/evil.desktop",
        "var/spool/cron/crontabs/alice",
        "var/lib/systemd/linger/alice",
    ];
    for path in planted {
        host.write(path, "evil\n");
    }
    let outcome = host.ends();
    for path in planted {
        assert!(host.read(path).is_none(), "{path}");
        assert!(says(&outcome.removed, &[path]), "{path}: {outcome:?}");
    }
    assert_eq!(outcome.removed.len(), planted.len());
    assert!(outcome.settled && outcome.reported.is_empty(), "{outcome:?}");
    assert_eq!(host.copies().len(), planted.len());
}

#[test]
fn a_login_is_not_blamed_for_what_it_cannot_write() {
    let host = Host::new();
    host.opens(login());
    host.write("etc/sudoers.d/other", "bob ALL = ALL\n");
    host.write("home/bob/.bashrc", "his own\n");
    host.write("var/spool/cron/crontabs/bob", "his own\n");
    let outcome = host.ends();
    assert!(is_quiet(&outcome), "{outcome:?}");
    assert!(host.read("home/bob/.bashrc").is_some());
}

#[test]
fn full_root_s_ways_in_are_closed_and_the_rest_is_told() {
    let host = Host::new();
    host.write("etc/sudoers", "root ALL = ALL\n");
    host.opens(full_root());
    let undone = [
        "etc/sudoers.d/evil",
        "etc/cron.d/evil",
        "etc/ld.so.preload",
        "etc/polkit-1/rules.d/00-evil.rules",
        "root/.ssh/authorized_keys",
        "home/bob/.ssh/authorized_keys",
    ];
    for path in undone {
        host.write(path, "evil\n");
    }
    let told = [
        "etc/systemd/system/evil.service",
        "etc/pam.d/sshd",
        "etc/udev/rules.d/evil.rules",
        "etc/profile.d/evil.sh",
        "etc/modprobe.d/evil.conf",
        "etc/binfmt.d/evil.conf",
        "etc/ssh/sshd_config.d/evil.conf",
        "etc/stint/host.toml",
        "var/lib/stint/mode",
        "usr/sbin/sshd",
        "run/systemd/transient/x.service",
        "run/systemd/machines/evil",
    ];
    for path in told {
        host.write(path, "evil\n");
    }
    host.write("etc/sudoers", "root ALL = ALL\nalice ALL = ALL\n");
    let outcome = host.ends();
    for path in undone {
        assert!(host.read(path).is_none() && says(&outcome.removed, &[path]), "{path}: {outcome:?}");
    }
    assert!(says(&outcome.restored, &["/etc/sudoers:"]), "{outcome:?}");
    assert_eq!(host.read("etc/sudoers").unwrap(), "root ALL = ALL\n");
    for path in told {
        assert!(host.read(path).is_some() && says(&outcome.reported, &[path]), "{path}: {outcome:?}");
    }
    assert!(outcome.root && outcome.settled, "{outcome:?}");
    assert!(says(&outcome.not_excluded, &["rebuild the host"]));
}

#[test]
fn a_command_as_root_tells_what_changed_on_the_host_and_undoes_none_of_it() {
    let host = Host::new();
    host.opens(some_root());
    host.write("etc/sudoers.d/by-the-administrator", "bob ALL = ALL\n");
    let outcome = host.ends();
    assert!(host.read("etc/sudoers.d/by-the-administrator").is_some());
    assert!(says(&outcome.reported, &["/etc/sudoers.d/by-the-administrator", "added"]), "{outcome:?}");
    assert!(outcome.removed.is_empty());
}

#[test]
fn accounts_passwords_and_groups_are_told_and_never_put_back() {
    let host = Host::new();
    host.opens(full_root());
    let passwd = host.read("etc/passwd").unwrap() + "toor:x:0:0::/root:/bin/sh\n";
    host.write("etc/passwd", &passwd);
    host.write("etc/shadow", "root:$6$new:1::::::\nalice:$6$a:1::::::\n");
    host.write("etc/group", "root:x:0:\nsudo:x:27:alice\n");
    let outcome = host.ends();
    for words in [
        "account toor was added, with uid 0",
        "the password of root in the shadow file was changed",
        "alice is in group sudo now",
    ] {
        assert!(says(&outcome.reported, &[words]), "{words}: {outcome:?}");
    }
    assert_eq!(host.read("etc/passwd").unwrap(), passwd);
    let stored = host.read(&format!("var/lib/stint/warden/baselines/{GRANT}.json")).unwrap();
    assert!(!stored.contains("$6$"), "no hash of a password in the baseline");
}

#[test]
fn a_setuid_copy_loses_its_bits_and_a_package_s_own_is_told() {
    let host = Host::new();
    host.write("proc/self/mountinfo", "22 1 0:21 / / rw - overlay overlay rw\n");
    host.write("usr/bin/old", "old");
    fs::set_permissions(host.path("usr/bin/old"), fs::Permissions::from_mode(0o4755)).unwrap();
    // The kernel dates files by a clock that lags some milliseconds: the next second has come when a file says so.
    let dated = || {
        host.write("probe", "x");
        std::os::unix::fs::MetadataExt::ctime(&fs::metadata(host.path("probe")).unwrap())
    };
    let old = dated();
    while dated() == old {
        std::thread::yield_now();
    }
    host.opens(full_root());
    for path in ["home/bob/sh", "usr/bin/new"] {
        host.write(path, "shell");
        fs::set_permissions(host.path(path), fs::Permissions::from_mode(0o4755)).unwrap();
    }
    let outcome = host.ends();
    assert_eq!(mode(&host.path("home/bob/sh")), 0o755);
    assert!(says(&outcome.removed, &["setuid /home/bob/sh"]), "{outcome:?}");
    assert_eq!(mode(&host.path("usr/bin/new")), 0o4755);
    assert!(says(&outcome.reported, &["setuid /usr/bin/new"]), "{outcome:?}");
    assert_eq!(mode(&host.path("usr/bin/old")), 0o4755);
    assert!(!says(&outcome.reported, &["/usr/bin/old"]), "{outcome:?}");
}

#[test]
fn a_file_system_that_is_not_walked_is_named() {
    let host = Host::new();
    host.write(
        "proc/self/mountinfo",
        "22 1 0:21 / / rw - ext4 /dev/vda rw\n23 22 0:22 / /srv rw - nfs4 server:/ rw\n",
    );
    host.write("srv/sh", "shell");
    host.opens(full_root());
    fs::set_permissions(host.path("srv/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    let outcome = host.ends();
    assert!(says(&outcome.not_scanned, &["/srv", "nfs4"]), "{outcome:?}");
    assert_eq!(mode(&host.path("srv/sh")), 0o4755);
}

#[test]
fn the_host_s_own_policy_decides() {
    let mut host = Host::new();
    let text = "[residue]\nwatch = [\"/srv/keys\"]\n[residue.policy]\nshell-files = \"report\"\ncrontabs = \"ignore\"\nunits = \"undo\"\n";
    host.rules = stint_grant::host_config::HostConfig::parse(text).unwrap().residue;
    host.opens(full_root());
    for path in [
        "home/alice/.bashrc",
        "var/spool/cron/crontabs/alice",
        "etc/systemd/system/x.service",
        "srv/keys/one",
    ] {
        host.write(path, "evil\n");
    }
    // What root writes into host.toml within the window changes nothing.
    host.rules = Residue::default();
    let outcome = host.ends();
    assert!(host.read("home/alice/.bashrc").is_some() && says(&outcome.reported, &[".bashrc"]));
    assert!(
        host.read("var/spool/cron/crontabs/alice").is_some() && !says(&outcome.reported, &["crontabs/alice"])
    );
    assert!(host.read("etc/systemd/system/x.service").is_none() && says(&outcome.removed, &["x.service"]));
    assert!(says(&outcome.reported, &["watched /srv/keys/one"]), "{outcome:?}");
}

#[test]
fn what_is_watched_as_well_is_undone_none_the_less() {
    let mut host = Host::new();
    let text = "[residue]\nwatch = [\"/etc/sudoers.d\"]\n";
    host.rules = stint_grant::host_config::HostConfig::parse(text).unwrap().residue;
    host.opens(full_root());
    host.write("etc/sudoers.d/evil", "evil\n");
    let outcome = host.ends();
    assert!(host.read("etc/sudoers.d/evil").is_none(), "{outcome:?}");
}

#[test]
fn the_dead_socket_of_a_forwarded_agent_goes_and_one_at_which_somebody_listens_stays() {
    use std::os::unix::net::UnixListener;
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let host = Host::new();
    host.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:4711:4711::/home/alice:/bin/bash\n");
    nix::unistd::chown(&host.path("home/alice"), Some(4711.into()), None).unwrap();
    host.opens(login());
    for (folder, owner) in [("ssh-dead", 4711), ("ssh-live", 4711), ("ssh-bob", 4712), ("other", 4711)] {
        let folder = host.path("tmp").join(folder);
        fs::create_dir_all(&folder).unwrap();
        nix::unistd::chown(&folder, Some(owner.into()), None).unwrap();
        drop(UnixListener::bind(folder.join("agent.1")).unwrap());
    }
    host.write("tmp/ssh-dead/file", "no socket\n");
    host.write(
        "proc/1/net/unix",
        "Num RefCount Protocol Flags Type St Inode Path\nffff: 2 0 00010000 0001 01 7 /tmp/ssh-live/agent.1\n",
    );
    let outcome = host.ends();
    let left = |below: &str| fs::symlink_metadata(host.path(below)).is_ok();
    assert!(!left("tmp/ssh-dead/agent.1"), "{outcome:?}");
    assert!(says(&outcome.removed, &["sockets /tmp/ssh-dead/agent.1 (a socket)"]), "{outcome:?}");
    for below in ["tmp/ssh-live/agent.1", "tmp/ssh-bob/agent.1", "tmp/other/agent.1", "tmp/ssh-dead/file"] {
        assert!(left(below), "{below}");
    }
    assert_eq!(outcome.removed.len(), 1, "{outcome:?}");
}
