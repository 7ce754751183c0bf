//! The line `account`, in real libpam: allowed, and each denial.

mod support;

use stint_grant::bundle::{Ending, EndingKind, Lock, LockTarget};
use stint_grant::gate::RefusedGrant;
use stint_grant::time::UnixTime;
use support::fixture::{ALICE, GRANT, Holding, Host, Plan, full_root, id, terms};
use support::libpam::{PERM_DENIED, SUCCESS};
use support::warden::Decisions;

fn alice(plan: &mut Plan) -> &mut Holding {
    plan.accounts.get_mut(ALICE).unwrap()
}

/// Asserts that alice's SSH login is denied with this code and these words.
fn denies(host: &Host, code: &str, words: &str) {
    let decisions = Decisions::listen(host);
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), PERM_DENIED);
    let note = decisions.next();
    assert_eq!((note.allowed, note.enforced, note.code.as_str()), (false, true, code));
    assert!(pam.line().starts_with("stint: ") && pam.line().contains(words), "{}", pam.line());
}

#[test]
fn a_grant_allows() {
    let host = Host::ready();
    let decisions = Decisions::listen(&host);
    let mut pam = host.gated("sshd").ssh(ALICE);
    assert_eq!(pam.account(), SUCCESS);
    assert_eq!(pam.shown(), [""; 0]);
    let note = decisions.next();
    assert_eq!((note.user.as_str(), note.service.as_str(), note.code.as_str()), (ALICE, "sshd", "allowed"));
    assert_eq!(note.origin.as_deref(), Some("192.0.2.7"));
    assert_eq!(note.grants, [id(GRANT)]);
    assert!(note.allowed && note.enforced);
}

#[test]
fn no_grant_denies() {
    let host = Host::ready();
    let mut pam = host.gated("sshd").ssh("bob");
    assert_eq!(pam.account(), PERM_DENIED);
    assert_eq!(pam.line(), "stint: you have no grant on this host. Ask for one: stint request create");
}

#[test]
fn a_grant_whose_window_is_over_denies() {
    let host = Host::with(|host, plan| alice(plan).grants[0].until = host.now);
    denies(&host, "ended", &format!("your grant {GRANT} ended at"));
}

#[test]
fn a_grant_that_ended_on_the_host_denies() {
    denies(&Host::with(|_, plan| plan.ended = vec![id(GRANT)]), "ended", "was ended on this host");
}

#[test]
fn a_revoked_grant_denies_and_names_who_did_it() {
    let host = Host::with(|host, plan| {
        let by = Some("bob".parse().unwrap());
        let ending = Ending { grant: id(GRANT), how: EndingKind::Revoked, by, at: host.now };
        *alice(plan) = Holding { endings: vec![ending], ..Holding::default() };
    });
    denies(&host, "ended", "was revoked by bob");
}

#[test]
fn a_grant_that_the_warden_refused_denies() {
    let refused = RefusedGrant { grant: id(GRANT), cause: "0 valid signed reviews".to_owned() };
    denies(
        &Host::with(|_, plan| alice(plan).refused = vec![refused]),
        "refused-by-host",
        "0 valid signed reviews",
    );
}

#[test]
fn a_grant_that_the_warden_never_accepted_denies() {
    let host = Host::with(|_, plan| alice(plan).unaccepted = vec![id(GRANT)]);
    denies(&host, "refused-by-host", "the warden has not accepted it");
}

#[test]
fn a_window_that_has_not_begun_denies() {
    let host = Host::with(|host, plan| alice(plan).grants[0].from = UnixTime(host.now.0 + 600));
    denies(&host, "not-yet", "begins at");
}

#[test]
fn a_service_that_the_grant_does_not_cover_denies() {
    let host = Host::with(|host, plan| {
        let mut terms = terms(GRANT, ALICE);
        terms.rights.login.as_mut().unwrap().services = vec!["cron".to_owned()];
        alice(plan).grants = vec![host.grant(&terms)];
    });
    denies(&host, "not-covered", "does not cover login by sshd");
}

fn only_from(host: &Host, plan: &mut Plan, network: &str) {
    let mut terms = terms(GRANT, ALICE);
    terms.rights.login.as_mut().unwrap().origins = vec![network.parse().unwrap()];
    alice(plan).grants = vec![host.grant(&terms)];
}

#[test]
fn another_origin_denies() {
    denies(
        &Host::with(|host, plan| only_from(host, plan, "198.51.100.0/24")),
        "origin",
        "does not allow logins from 192.0.2.7",
    );
}

#[test]
fn a_listed_origin_allows_in_ipv6_clothes_too() {
    let host = Host::with(|host, plan| only_from(host, plan, "192.0.2.0/24"));
    for remote in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(host.gated("sshd").start("sshd", ALICE).remote(remote).account(), SUCCESS);
    }
}

#[test]
fn a_remote_name_is_no_origin() {
    let host = Host::with(|host, plan| only_from(host, plan, "192.0.2.0/24"));
    let mut pam = host.gated("sshd").start("sshd", ALICE).remote("192.0.2.7.evil.example");
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.line().contains("origin is not known"), "{}", pam.line());
}

#[test]
fn stale_news_denies() {
    denies(&Host::with(|_, plan| plan.pulse_age = 901), "stale", "last heard from its broker 15 min");
}

#[test]
fn the_hosts_own_limit_of_staleness_holds() {
    let host = Host::with(|_, plan| plan.pulse_age = 90);
    host.host_toml("[limits]\nstaleness = \"1m\"\n");
    denies(&host, "stale", "more than the 1 min that are allowed");
}

#[test]
fn a_lock_denies_whatever_was_granted() {
    for target in [
        LockTarget::User(ALICE.parse().unwrap()),
        LockTarget::Host("web-01".parse().unwrap()),
        LockTarget::Principal("alice@example.org".parse().unwrap()),
        LockTarget::Grant(id(GRANT)),
    ] {
        let lock = Lock {
            id: "locklocklock".parse().unwrap(),
            target,
            reason: "a \u{1b}[31mleak".to_owned(),
            since: UnixTime(0),
            until: None,
        };
        let host = Host::with(|_, plan| plan.locks = vec![lock]);
        denies(&host, "locked", "locked: a \\u{1b}[31mleak (lock locklocklock)");
    }
}

#[test]
fn a_name_that_no_grant_can_bear_is_denied() {
    let host = Host::ready();
    assert_eq!(host.gated("sshd").ssh("Odd.Name").account(), PERM_DENIED);
}

#[test]
fn an_account_that_does_not_exist_is_denied() {
    let host = Host::ready();
    let mut pam = host.gated("sshd").ssh("mallory\u{1b}[2J");
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(!pam.line().contains('\u{1b}'), "{:?}", pam.line());
}

#[test]
fn who_is_not_managed_is_not_ours() {
    let host = Host::ready();
    std::fs::remove_dir_all(host.path("var")).unwrap();
    host.host_toml("[managed]\nexempt_uids = [1002]\n");
    for service in ["sshd", "cron"] {
        host.gated(service);
    }
    assert_eq!(host.ssh("carol").account(), SUCCESS);
    assert_eq!(host.start("cron", "daemon").account(), SUCCESS);
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
}

#[test]
fn a_service_that_is_not_gated_is_not_ours() {
    let host = Host::ready();
    assert_eq!(host.gated("screensaver").start("screensaver", "bob").account(), SUCCESS);
}

#[test]
fn a_service_that_is_not_gated_may_have_users_of_its_own() {
    let host = Host::ready();
    host.host_toml("[[managed.only]]\nuid = 1001\nservices = [\"imap\"]\n");
    for service in ["mail", "imap"] {
        host.gated(service);
    }
    assert_eq!(host.start("mail", "no-account@example.org").account(), SUCCESS);
    assert_eq!(host.start("imap", "no-account@example.org").account(), PERM_DENIED, "gated for somebody");
    std::fs::remove_file(host.path("etc/passwd")).unwrap();
    assert_eq!(host.start("mail", "bob").account(), PERM_DENIED, "accounts cannot be looked up");
}

#[test]
fn an_account_may_be_gated_for_some_services_only() {
    let host = Host::ready();
    host.host_toml("[[managed.only]]\nuid = 1001\nservices = [\"sudo\"]\n").real_uid(1001);
    assert_eq!(host.gated("sshd").ssh("bob").account(), SUCCESS);
    assert_eq!(host.gated("sudo").start("sudo", "bob").caller("bob").account(), PERM_DENIED);
}

#[test]
fn root_on_the_console_needs_neither_gate_nor_disk() {
    let host = Host::ready();
    for gone in ["var", "etc", "run"] {
        std::fs::remove_dir_all(host.path(gone)).unwrap();
    }
    for service in ["login", "cron"] {
        assert_eq!(host.gated(service).start(service, "root").account(), SUCCESS);
    }
    assert_eq!(host.real_uid(0).gated("su").start("su", "bob").caller("root").account(), SUCCESS);
}

#[test]
fn root_over_the_network_must_be_allowed() {
    let host = Host::ready();
    host.gated("sshd").gated("login");
    for user in ["root", "toor"] {
        let mut pam = host.ssh(user);
        assert_eq!(pam.account(), PERM_DENIED);
        assert!(pam.line().contains("managed.remote_root"), "{}", pam.line());
    }
    assert_eq!(host.start("login", "root").remote("192.0.2.7").account(), PERM_DENIED);
    assert_eq!(host.start("sshd", "root").account(), PERM_DENIED);
    host.host_toml("[managed]\nremote_root = true\n");
    assert_eq!(host.ssh("root").account(), SUCCESS);
}

#[test]
fn break_glass_of_host_toml_is_exempt_and_noted() {
    let host = Host::ready();
    host.host_toml("[managed]\nbreak_glass_uid = 1900\n");
    let decisions = Decisions::listen(&host);
    assert_eq!(host.gated("sshd").ssh("glass").account(), SUCCESS);
    assert_eq!(decisions.next().code, "break-glass");
}

#[test]
fn break_glass_of_the_line_survives_a_broken_host_toml() {
    let host = Host::ready();
    host.host_toml("this is not TOML");
    std::fs::remove_dir_all(host.path("var")).unwrap();
    host.service("sshd", &["account required @ account break_glass=1900", "account required pam_permit.so"]);
    assert_eq!(host.ssh("glass").account(), SUCCESS);
    assert_eq!(host.ssh(ALICE).account(), PERM_DENIED);
}

#[test]
fn sudo_is_decided_on_the_caller_whoever_authenticates() {
    let host = Host::ready();
    host.real_uid(1000).gated("sudo").gated("sudo-i");
    for service in ["sudo", "sudo-i"] {
        // Under `rootpw` PAM_USER is root.
        for user in [ALICE, "root"] {
            assert_eq!(host.start(service, user).caller(ALICE).account_silently(), SUCCESS);
            assert_eq!(host.start(service, user).account_silently(), SUCCESS);
            assert_eq!(host.start(service, user).caller("bob").account_silently(), PERM_DENIED);
        }
    }
}

#[test]
fn sudo_shows_the_cause_though_it_wants_silence() {
    let host = Host::ready();
    let mut pam = host.real_uid(1001).gated("sudo").start("sudo", "bob").caller("bob");
    assert_eq!(pam.account_silently(), PERM_DENIED);
    assert!(pam.line().contains("you have no grant"));
}

#[test]
fn a_grant_without_sudo_does_not_cover_sudo() {
    let host = Host::with(|host, plan| {
        let mut terms = terms(GRANT, ALICE);
        terms.rights.sudo = Vec::new();
        alice(plan).grants = vec![host.grant(&terms)];
    });
    let mut pam = host.real_uid(1000).gated("sudo").start("sudo", ALICE).caller(ALICE);
    assert_eq!(pam.account(), PERM_DENIED);
    assert!(pam.line().contains("does not cover sudo"), "{}", pam.line());
}

#[test]
fn nobody_is_root_on_the_applications_word_alone() {
    let host = Host::ready();
    assert_eq!(host.real_uid(1001).gated("sudo").start("sudo", "bob").caller("root").account(), PERM_DENIED);
}

#[test]
fn becoming_root_by_su_or_doas_takes_full_root() {
    let host = Host::ready();
    host.real_uid(1000);
    for service in ["su", "su-l", "doas"] {
        let mut pam = host.gated(service).start(service, "root").caller(ALICE);
        assert_eq!(pam.account(), PERM_DENIED);
        assert!(pam.line().contains("does not cover becoming root"), "{}", pam.line());
    }
    let host = Host::with(|host, plan| {
        let mut terms = terms(GRANT, ALICE);
        terms.rights.sudo = vec![full_root()];
        alice(plan).grants = vec![host.grant(&terms)];
    });
    host.real_uid(1000);
    for service in ["su", "su-l", "doas"] {
        assert_eq!(host.gated(service).start(service, "root").caller(ALICE).account(), SUCCESS);
    }
    // doas does not tell its target before the session.
    assert_eq!(host.start("doas", ALICE).caller(ALICE).account(), SUCCESS);
    assert_eq!(host.start("doas", "bob").caller(ALICE).account(), PERM_DENIED);
}

#[test]
fn proving_to_be_root_to_polkit_takes_full_root_as_su_does() {
    let host = Host::ready();
    let polkit =
        |uid: u32, user: &str| host.real_uid(uid).gated("polkit-1").start("polkit-1", user).account();
    assert_eq!(polkit(1000, "root"), PERM_DENIED, "alice knows root's password");
    assert_eq!(polkit(1000, "daemon"), PERM_DENIED);
    assert_eq!(polkit(1001, "bob"), PERM_DENIED);
    assert_eq!(polkit(1, "root"), SUCCESS, "the caller is not managed");
    assert_eq!(polkit(0, "root"), SUCCESS, "root's own");
    assert_eq!(
        polkit(0, "bob"),
        PERM_DENIED,
        "systemd started the helper: it is not known for whom, and bob has no grant"
    );
    let host = Host::with(|host, plan| {
        let mut terms = terms(GRANT, ALICE);
        terms.rights.sudo = vec![full_root()];
        terms.rights.login.as_mut().unwrap().services.push("polkit-1".to_owned());
        alice(plan).grants = vec![host.grant(&terms)];
    });
    for user in ["root", ALICE] {
        assert_eq!(host.real_uid(1000).gated("polkit-1").start("polkit-1", user).account(), SUCCESS);
    }
}

#[test]
fn su_asks_for_caller_and_target() {
    let bob = "bbbbbbbbbbbb";
    let host = Host::with(|host, plan| {
        let grants = vec![host.grant(&terms(bob, "bob"))];
        plan.accounts.insert("bob".to_owned(), Holding { grants, ..Holding::default() });
    });
    host.host_toml("[managed]\nexempt_uids = [1002]\n").gated("su");
    let su = |uid: u32, caller: &str, target: &str| {
        host.real_uid(uid).start("su", target).caller(caller).account()
    };
    assert_eq!(su(1000, ALICE, "bob"), SUCCESS, "both have a login by su");
    assert_eq!(su(1000, ALICE, "daemon"), SUCCESS, "the target is not managed");
    assert_eq!(su(1000, ALICE, "Odd.Name"), PERM_DENIED, "the target has no grant");
    assert_eq!(su(1002, "carol", "bob"), SUCCESS, "the caller is not managed, the target has a grant");
    assert_eq!(su(1002, "carol", "Odd.Name"), PERM_DENIED, "nor does an exempt caller get there");
    assert_eq!(su(1003, "Odd.Name", "daemon"), PERM_DENIED, "the caller has no grant");
    assert_eq!(su(0, "root", "Odd.Name"), SUCCESS, "root's own su passes");
}

#[test]
fn observe_mode_notes_the_denial_and_lets_it_pass() {
    let host = Host::ready();
    let decisions = Decisions::listen(&host);
    let mut pam = host.mode("observe\n").gated("sshd").ssh("bob");
    assert_eq!(pam.account(), SUCCESS);
    assert_eq!(pam.shown(), [""; 0]);
    let note = decisions.next();
    assert_eq!((note.allowed, note.enforced, note.code.as_str()), (false, false, "no-grant"));
}

#[test]
fn any_other_mode_enforces() {
    let host = Host::ready();
    host.gated("sshd");
    for mode in ["enforce", "", "observed", "OBSERVE", "observe\nenforce"] {
        assert_eq!(host.mode(mode).ssh("bob").account(), PERM_DENIED, "{mode:?}");
    }
    std::fs::remove_file(host.path("var/lib/stint/mode")).unwrap();
    assert_eq!(host.ssh("bob").account(), PERM_DENIED, "no file");
}

#[test]
fn a_warden_that_does_not_listen_changes_nothing() {
    let host = Host::ready();
    host.gated("sshd");
    assert_eq!(host.ssh(ALICE).account(), SUCCESS);
    // Bound, and never read until it is full.
    let full = Decisions::listen(&host);
    for _ in 0..600 {
        assert_eq!(host.ssh(ALICE).account(), SUCCESS);
    }
    assert_eq!(full.next().code, "allowed");
}

#[test]
fn the_module_leaves_other_phases_alone() {
    let host = Host::ready();
    host.service("sshd", &["session required @ session limit", "session required pam_permit.so"]);
    assert_eq!(host.ssh("daemon").close(), SUCCESS);
}
