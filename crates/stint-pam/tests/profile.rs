//! The lines as `pam/` ships them, in stacks, both ways: allowed stays allowed, denied stays denied, what is not ours falls through.

mod support;

use std::path::Path;

use support::fixture::{ACCOUNT, ALICE, Host, LIMIT, REGISTER};
use support::libpam::{PERM_DENIED, SUCCESS};
use support::warden::Warden;

const PERMIT: &str = "account required pam_permit.so";
const DENY: &str = "account required pam_deny.so";

#[test]
fn these_are_the_lines_that_ship() {
    let pam = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pam");
    let profiles =
        ["stint", "stint-register"].map(|p| std::fs::read_to_string(pam.join(p)).unwrap()).concat();
    let shipped: Vec<String> = profiles
        .lines()
        .filter(|line| line.contains("pam_stint.so"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let tested = [ACCOUNT, LIMIT, REGISTER].map(|line| {
        let (_, control) = line.split_once(' ').unwrap();
        control.replace('@', "pam_stint.so")
    });
    assert_eq!(shipped, tested);
}

fn code(lines: &[&str], user: &str) -> i32 {
    Host::ready().service("sshd", lines).ssh(user).account()
}

#[test]
fn allowed_stays_allowed_and_the_stack_goes_on() {
    assert_eq!(code(&[ACCOUNT, PERMIT], ALICE), SUCCESS);
    assert_eq!(code(&[ACCOUNT], ALICE), SUCCESS);
    assert_ne!(code(&[ACCOUNT, DENY], ALICE), SUCCESS, "pam_unix still refuses an expired account");
}

#[test]
fn denied_stays_denied_whatever_comes_after() {
    assert_eq!(code(&[ACCOUNT, PERMIT], "bob"), PERM_DENIED);
    assert_eq!(code(&[ACCOUNT, "account sufficient pam_permit.so"], "bob"), PERM_DENIED);
    assert_eq!(code(&["account required pam_permit.so", ACCOUNT, PERMIT], "bob"), PERM_DENIED);
}

#[test]
fn what_is_not_ours_falls_through() {
    assert_eq!(code(&[ACCOUNT, PERMIT], "daemon"), SUCCESS);
    assert_ne!(code(&[ACCOUNT, DENY], "daemon"), SUCCESS);
    assert_ne!(code(&[ACCOUNT], "daemon"), SUCCESS, "a stack in which nobody says yes denies");
}

#[test]
fn the_stack_that_pam_auth_update_makes_holds() {
    let common = [
        ACCOUNT,
        "account [success=1 new_authtok_reqd=done default=ignore] pam_permit.so",
        "account requisite pam_deny.so",
        PERMIT,
    ];
    assert_eq!(code(&common, ALICE), SUCCESS);
    assert_eq!(code(&common, "daemon"), SUCCESS);
    assert_eq!(code(&common, "bob"), PERM_DENIED);
}

#[test]
fn a_missing_module_is_passed_over() {
    let host = Host::ready();
    let missing = |line: &str| line.replace('@', "/nowhere/pam_stint.so");
    let (account, limit, register) = (missing(ACCOUNT), missing(LIMIT), missing(REGISTER));
    host.service("sshd", &[&account, PERMIT, &limit, "session required pam_permit.so", &register]);
    assert_eq!(host.ssh("bob").account(), SUCCESS);
    assert_eq!(host.ssh("bob").open(), SUCCESS);
    host.service("sshd", &[&account, DENY]);
    assert_ne!(host.ssh("bob").account(), SUCCESS);
}

#[test]
fn the_session_lines_hold_both_ways() {
    let host = Host::ready();
    let _warden = Warden::says_yes(&host);
    let permit = "session required pam_permit.so";
    host.service("sshd", &[LIMIT, permit, REGISTER]);
    assert_eq!(host.ssh(ALICE).open(), SUCCESS);
    assert_eq!(host.ssh("daemon").open(), SUCCESS);
    assert_eq!(host.ssh("bob").open(), PERM_DENIED);
    host.service("sshd", &[LIMIT, "session required pam_deny.so", REGISTER]);
    assert_ne!(host.ssh(ALICE).open(), SUCCESS);
    host.service("sshd", &[LIMIT, permit, REGISTER, permit]);
    assert_eq!(host.ssh("bob").open(), PERM_DENIED);
}

#[test]
fn a_panic_denies() {
    let host = Host::ready();
    let _warden = Warden::says_yes(&host);
    let permit = "session required pam_permit.so";
    for panic in ["panic", "panic-again"] {
        let (account, register) = (format!("{ACCOUNT} {panic}"), format!("{REGISTER} {panic}"));
        host.service("sshd", &[&account, PERMIT, permit, &register]);
        let mut pam = host.ssh(ALICE);
        assert_eq!(pam.account(), PERM_DENIED);
        assert_eq!(pam.open(), PERM_DENIED);
    }
    // The process lives on, and the next call is a call like any other.
    host.service("sshd", &[ACCOUNT]);
    assert_eq!(host.ssh(ALICE).account(), SUCCESS);
}

#[test]
fn a_line_with_unknown_or_missing_words_denies() {
    let host = Host::ready();
    for words in ["", "account typo", "session limit", "account break_glass=x", "session", "register"] {
        host.service("sshd", &[&format!("account required @ {words}"), PERMIT]);
        assert_eq!(host.ssh(ALICE).account(), PERM_DENIED, "{words:?}");
    }
    for words in ["", "account", "session", "session typo", "limit", "session limit register"] {
        host.service("sshd", &[&format!("session required @ {words}")]);
        assert_eq!(host.ssh(ALICE).open(), PERM_DENIED, "{words:?}");
    }
}

#[test]
fn the_module_that_ships_loads_and_leaves_root_on_the_console_alone() {
    let deps = std::env::current_exe().unwrap().parent().unwrap().join("libpam_stint.so");
    let host = Host::ready();
    let line = |words: &str| format!("account required {} account {words}", deps.display());
    host.service("login", &[&line(""), PERMIT]);
    assert_eq!(host.start("login", "root").account(), SUCCESS);
    host.service("login", &[&line("root=/tmp"), PERMIT]);
    assert_eq!(host.start("login", "root").account(), SUCCESS);
    assert_eq!(host.start("login", "daemon").account(), PERM_DENIED);
}

#[test]
fn what_ships_cannot_be_pointed_elsewhere() {
    assert_eq!(
        pam_stint::place::open(&["root=/tmp".to_owned()]).unwrap_err(),
        "unknown argument \"root=/tmp\""
    );
    assert!(pam_stint::place::open(&[]).is_ok());
}
