//! The module at fault: a line that it cannot read, a panic, a host.toml that is broken. Root on the console and the break-glass account
//! get in, so that somebody can mend it; everybody else is denied.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use support::fixture::{ACCOUNT, ALICE, Host, LIMIT, REGISTER};
use support::libpam::{PERM_DENIED, SUCCESS};
use support::warden::Decisions;

const PERMIT: &str = "account required pam_permit.so";
/// What can be wrong with a line; a panic stands for what nobody thought of.
const FAULTS: &[&str] = &["typo", "break_glass=", "break_glass=admin", "account", "panic"];

/// A host whose lines have a fault, and nothing on its disk.
fn faulty(fault: &str) -> Host {
    let host = Host::ready();
    for gone in ["var", "etc/stint", "run"] {
        fs::remove_dir_all(host.path(gone)).unwrap();
    }
    for service in ["sshd", "login", "su", "sudo", "cron", "polkit-1"] {
        lines(&host, service, fault);
    }
    host
}

fn lines(host: &Host, service: &str, fault: &str) {
    let [account, limit, register] = [ACCOUNT, LIMIT, REGISTER].map(|line| format!("{line} {fault}"));
    let permit = "session required pam_permit.so";
    host.service(service, &[&account, PERMIT, &limit, permit, &register]);
}

#[test]
fn root_on_the_console_gets_in_whatever_is_wrong() {
    for fault in FAULTS {
        let host = faulty(fault);
        for service in ["login", "cron"] {
            assert_eq!(host.start(service, "root").account(), SUCCESS, "{fault}");
            assert_eq!(host.start(service, "root").open(), SUCCESS, "{fault}");
        }
        assert_eq!(host.start("login", "toor").account(), SUCCESS, "{fault}: root by another name");
        for service in ["su", "sudo"] {
            assert_eq!(host.real_uid(0).start(service, "bob").caller("root").account(), SUCCESS, "{fault}");
            assert_eq!(host.start(service, "bob").caller("root").open(), SUCCESS, "{fault}");
        }
    }
}

#[test]
fn nobody_else_gets_in_and_each_is_told_why() {
    for fault in FAULTS {
        let host = faulty(fault);
        host.real_uid(1000);
        for mut pam in [
            host.ssh(ALICE),
            host.ssh("daemon"),
            host.ssh("root"),
            host.ssh("mallory"),
            host.start("login", "root").remote("192.0.2.7"),
            host.start("su", "root").caller(ALICE),
            host.start("su", "root").caller("root"),
            host.start("sudo", "root"),
            host.start("polkit-1", "root"),
        ] {
            assert_eq!(pam.account(), PERM_DENIED, "{fault}");
            assert!(pam.line().starts_with("stint: this host's gate is broken: "), "{}", pam.line());
        }
        assert_eq!(host.ssh(ALICE).open(), PERM_DENIED, "{fault}");
    }
}

#[test]
fn the_break_glass_account_of_a_faulty_line_gets_in() {
    for fault in [
        "typo break_glass=1900",
        "break_glass=1900 typo",
        "break_glass=1900 break_glass=no",
        "panic break_glass=1900",
    ] {
        let host = faulty(fault);
        host.real_uid(1900);
        assert_eq!(host.ssh("glass").account(), SUCCESS, "{fault}");
        assert_eq!(host.ssh("glass").open(), SUCCESS, "{fault}");
        assert_eq!(host.start("sudo", "root").caller("glass").account(), SUCCESS, "{fault}");
        assert_eq!(host.ssh(ALICE).account(), PERM_DENIED, "{fault}");
    }
}

#[test]
fn the_break_glass_account_of_host_toml_gets_past_a_faulty_line_and_is_noted() {
    let host = Host::ready();
    host.host_toml("[managed]\nbreak_glass_uid = 1900\n");
    lines(&host, "sshd", "typo");
    let decisions = Decisions::listen(&host);
    assert_eq!(host.ssh("glass").account(), SUCCESS);
    assert_eq!(decisions.next().code, "break-glass");
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
    assert_eq!(decisions.next().code, "module");
}

#[test]
fn a_host_that_only_observes_denies_nobody_for_a_fault_of_the_modules() {
    for fault in FAULTS {
        let host = Host::ready();
        lines(&host, "sshd", fault);
        host.mode("observe");
        assert_eq!(host.ssh("bob").account(), SUCCESS, "{fault}");
        assert_eq!(host.ssh("bob").open(), SUCCESS, "{fault}");
    }
}

#[test]
fn a_broken_host_toml_locks_out_neither_root_on_the_console_nor_break_glass() {
    for broken in 0..4 {
        let host = Host::ready();
        host.host_toml("[managed]\nexempt_uid = [1900]\n");
        let file = host.path("etc/stint/host.toml");
        match broken {
            0 => {}
            1 => chown(&file, Some(1000), None).unwrap(),
            2 => fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap(),
            _ => chown(host.path("etc/stint"), Some(1000), None).unwrap(),
        }
        fs::remove_dir_all(host.path("var")).unwrap();
        for service in ["sshd", "login", "su"] {
            lines(&host, service, "break_glass=1900");
        }
        for (user, service) in [("root", "login"), ("toor", "login"), ("glass", "login"), ("glass", "sshd")] {
            assert_eq!(host.start(service, user).account(), SUCCESS, "case {broken}: {user}");
            assert_eq!(host.start(service, user).open(), SUCCESS, "case {broken}: {user}");
        }
        // In its session the break-glass account became root, and root becomes somebody else.
        let su = || host.real_uid(0).login_uid(1900).start("su", "bob").caller("root");
        assert_eq!(su().account(), SUCCESS, "case {broken}");
        assert_eq!(su().open(), SUCCESS, "case {broken}");
        assert_eq!(host.ssh(ALICE).account(), PERM_DENIED, "case {broken}");
        assert_eq!(host.ssh("root").account(), PERM_DENIED, "case {broken}: over the network");
    }
}
