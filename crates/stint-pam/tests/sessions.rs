//! The lines `session limit` and `session register`, in real libpam, with a warden that answers, refuses, or stays away.

mod support;

use stint_grant::register::{RegisterAnswer, SessionKind};
use stint_grant::time::{Seconds, UnixTime};
use support::fixture::{ALICE, GRANT, Holding, Host, full_root, id, terms};
use support::libpam::{PERM_DENIED, SUCCESS};
use support::warden::{Behaviour, Decisions, Warden};

include!("support/ssh_keys.rs");

/// The host's now moves on while a test runs.
fn about_forty_minutes(seconds: Option<u64>) -> bool {
    seconds.is_some_and(|s| (2340..=2400).contains(&s))
}

fn sudo(host: &Host) -> support::libpam::Session {
    host.real_uid(1000).start("sudo", "root").caller(ALICE).terminal("/dev/pts/3")
}

#[test]
fn a_login_gets_its_limit_is_registered_and_greeted() {
    let host = Host::ready();
    let warden = Warden::says_yes(&host);
    let mut pam = host.gated_sessions("sshd").ssh(ALICE).variable("XDG_SESSION_ID", "c7");
    assert_eq!(pam.open(), SUCCESS);
    assert!(about_forty_minutes(pam.limit()), "{:?}", pam.limit());
    assert!(
        pam.line().starts_with("stint: access until ")
            && pam.line().ends_with(&format!("nginx-restart {GRANT}"))
    );
    let told = warden.next();
    assert_eq!((told.service.as_str(), told.kind), ("sshd", SessionKind::Login));
    assert_eq!((told.user.as_str(), told.target.as_str()), (ALICE, ALICE));
    assert_eq!((told.tty.as_deref(), told.origin.as_deref()), (Some("ssh"), Some("192.0.2.7")));
    assert_eq!(told.session_id.as_deref(), Some("c7"));
    assert_eq!(told.pid, std::process::id());
    assert_eq!(told.grants, [id(GRANT)]);
    assert_eq!(told.until, UnixTime(host.now.0 + 2400));
    assert_eq!(pam.close(), SUCCESS);
}

#[test]
fn the_wardens_message_is_shown_without_what_drives_a_terminal() {
    let host = Host::ready();
    let message = "last login was \u{1b}]0;x\u{7} yesterday".to_owned();
    let _warden = Warden::listen(&host, Behaviour::Answers(RegisterAnswer { ok: true, message }));
    let mut pam = host.gated_sessions("sshd").ssh(ALICE);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(pam.shown()[1], "stint: last login was \\u{1b}]0;x\\u{7} yesterday");
}

#[test]
fn sudo_is_registered_for_its_caller_and_says_nothing() {
    let host = Host::ready();
    let warden = Warden::says_yes(&host);
    let mut pam = sudo(host.gated_sessions("sudo"));
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(pam.shown(), [""; 0]);
    let told = warden.next();
    assert_eq!(told.kind, SessionKind::Elevation);
    assert_eq!((told.user.as_str(), told.target.as_str()), (ALICE, "root"));
}

#[test]
fn cron_is_registered_and_says_nothing() {
    let host = Host::ready();
    let warden = Warden::says_yes(&host);
    let mut pam = host.gated_sessions("cron").start("cron", ALICE);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(pam.shown(), [""; 0]);
    assert_eq!(warden.next().kind, SessionKind::Login);
}

#[test]
fn the_wardens_no_denies_with_its_words() {
    let host = Host::ready();
    let message = "locked a moment ago".to_owned();
    let warden = Warden::listen(&host, Behaviour::Answers(RegisterAnswer { ok: false, message }));
    host.gated_sessions("sshd").gated_sessions("sudo");
    for mut pam in [host.ssh(ALICE), sudo(&host)] {
        assert_eq!(pam.open(), PERM_DENIED);
        assert_eq!(pam.line(), "stint: locked a moment ago");
        warden.next();
    }
}

/// Wardens that give no usable answer.
fn silent() -> Vec<(&'static str, Option<Behaviour>)> {
    vec![
        ("none", None),
        ("waits", Some(Behaviour::Waits)),
        ("hangs up", Some(Behaviour::HangsUp)),
        ("half an answer", Some(Behaviour::Says(b"{\"ok\":true"))),
        ("not an answer", Some(Behaviour::Says(b"yes\n"))),
        ("a byte now and then", Some(Behaviour::Drips)),
        ("an answer of another kind", Some(Behaviour::Says(b"{\"ok\":true,\"message\":\"\",\"x\":1}\n"))),
    ]
}

#[test]
fn without_an_answer_a_login_goes_on() {
    for (which, behaviour) in silent() {
        let host = Host::ready();
        host.host_toml("[limits]\nregister_timeout_ms = 50\n");
        let _warden = behaviour.map(|b| Warden::listen(&host, b));
        let mut pam = host.gated_sessions("sshd").ssh(ALICE).variable("XDG_SESSION_ID", "c7");
        assert_eq!(pam.open(), SUCCESS, "{which}");
        assert!(about_forty_minutes(pam.limit()), "PID 1 holds the limit");
        assert!(pam.line().starts_with("stint: access until"), "{which}");
    }
}

#[test]
fn without_an_answer_what_pid_1_does_not_end_is_refused() {
    for (which, behaviour) in silent() {
        let host = Host::ready();
        host.host_toml("[limits]\nregister_timeout_ms = 50\n").gated_sessions("cron");
        let _warden = behaviour.map(|b| Warden::listen(&host, b));
        let mut login = host.gated_sessions("sshd").ssh(ALICE);
        assert_eq!(login.open(), PERM_DENIED, "{which}: logind gave it no scope");
        let mut pam = host.start("cron", ALICE);
        assert_eq!(pam.open(), PERM_DENIED, "{which}: cron has no scope");
        assert!(pam.line().contains("this host's warden did not answer"), "{which}: {}", pam.line());
        assert_eq!(host.start("cron", ALICE).variable("XDG_SESSION_ID", "c7").open(), SUCCESS, "{which}");
    }
}

#[test]
fn nobody_but_root_answers_in_the_wardens_place() {
    let host = Host::ready();
    let _imposter = Warden::listen_as(&host, 1000);
    let mut pam = sudo(host.gated_sessions("sudo"));
    assert_eq!(pam.open(), PERM_DENIED);
    assert!(pam.line().contains("belongs to uid 1000, not to root"), "{}", pam.line());
}

#[test]
fn without_an_answer_sudo_su_and_doas_are_refused_with_the_cause() {
    for (which, behaviour) in silent() {
        let host = Host::with(|host, plan| {
            let mut terms = terms(GRANT, ALICE);
            terms.rights.sudo.push(full_root());
            plan.accounts.get_mut(ALICE).unwrap().grants = vec![host.grant(&terms)];
        });
        host.host_toml("[limits]\nregister_timeout_ms = 50\n").real_uid(1000);
        let _warden = behaviour.map(|b| Warden::listen(&host, b));
        let decisions = Decisions::listen(&host);
        for service in ["sudo", "sudo-i", "su", "su-l", "doas"] {
            let mut pam = host.gated_sessions(service).start(service, "root").caller(ALICE);
            assert_eq!(pam.open(), PERM_DENIED, "{which}: {service}");
            assert!(pam.line().contains("this host's warden did not answer"), "{which}: {}", pam.line());
            assert_eq!(decisions.next().code, "no-warden");
        }
    }
}

#[test]
fn in_observe_mode_nothing_is_refused() {
    let host = Host::ready();
    host.mode("observe").gated_sessions("sudo").gated_sessions("sshd");
    assert_eq!(sudo(&host).open(), SUCCESS, "no warden");
    assert_eq!(host.ssh("bob").open(), SUCCESS, "no grant");
    let message = "no".to_owned();
    let _warden = Warden::listen(&host, Behaviour::Answers(RegisterAnswer { ok: false, message }));
    assert_eq!(sudo(&host).open(), SUCCESS, "the warden's no");
}

#[test]
fn in_observe_mode_no_session_is_limited() {
    let host = Host::ready();
    let warden = Warden::says_yes(&host);
    let mut pam = host.mode("observe").gated_sessions("sshd").ssh(ALICE);
    assert_eq!(pam.open(), SUCCESS);
    assert_eq!(pam.limit(), None);
    assert_eq!(warden.next().grants, [id(GRANT)], "the warden is told all the same");
}

#[test]
fn a_grant_that_ended_since_the_account_phase_denies_the_session() {
    let (host, mut plan) = Host::new();
    host.write(&plan);
    let warden = Warden::says_yes(&host);
    host.service(
        "sshd",
        &[
            support::fixture::ACCOUNT,
            "account required pam_permit.so",
            support::fixture::LIMIT,
            "session required pam_permit.so",
            support::fixture::REGISTER,
        ],
    );
    let mut pam = host.ssh(ALICE);
    assert_eq!(pam.account(), SUCCESS);
    plan.ended = vec![id(GRANT)];
    host.write(&plan);
    assert_eq!(pam.open(), PERM_DENIED);
    assert_eq!(pam.limit(), None);
    assert!(pam.line().contains("was ended on this host"), "{}", pam.line());
    assert!(warden.none_left());
}

#[test]
fn a_limit_that_must_hold_can_be_made_to_deny() {
    let host = Host::ready();
    host.service("sshd", &["session required @ session limit"]);
    assert_eq!(host.ssh("bob").open(), PERM_DENIED);
}

#[test]
fn who_is_not_managed_gets_no_limit_and_is_not_registered() {
    let host = Host::ready();
    let warden = Warden::says_yes(&host);
    for service in ["sshd", "login", "sudo", "systemd-user"] {
        host.gated_sessions(service);
    }
    for mut pam in [
        host.ssh("daemon"),
        host.start("login", "root"),
        host.real_uid(0).start("sudo", "bob").caller("root"),
        host.start("systemd-user", ALICE),
    ] {
        assert_eq!(pam.open(), SUCCESS);
        assert_eq!(pam.limit(), None);
    }
    assert!(warden.none_left());
}

fn with_a_key(fingerprint: &str) -> Host {
    Host::with(|host, plan| {
        let mut terms = terms(GRANT, ALICE);
        terms.credentials = vec![fingerprint.parse().unwrap()];
        plan.accounts.get_mut(ALICE).unwrap().grants = vec![host.grant(&terms)];
    })
}

#[test]
fn the_key_that_the_grant_names_opens_the_session() {
    let host = with_a_key(KEY_FINGERPRINT);
    let _warden = Warden::says_yes(&host);
    host.gated_sessions("sshd").gated("sshd-account");
    let info = format!("publickey {KEY}\n");
    assert_eq!(host.ssh(ALICE).variable("SSH_AUTH_INFO_0", &info).open(), SUCCESS);
    let (certificate, fingerprint) = CERTIFICATES[0];
    let host = with_a_key(fingerprint);
    let _warden = Warden::says_yes(&host);
    let info = format!("publickey {certificate}\n");
    assert_eq!(host.gated_sessions("sshd").ssh(ALICE).variable("SSH_AUTH_INFO_0", &info).open(), SUCCESS);
}

#[test]
fn another_key_or_none_does_not() {
    let host = with_a_key("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let warden = Warden::says_yes(&host);
    host.gated_sessions("sshd");
    let info = format!("publickey {KEY}\n");
    for mut pam in [
        host.ssh(ALICE).variable("SSH_AUTH_INFO_0", &info),
        host.ssh(ALICE).variable("SSH_AUTH_INFO_0", "password\n"),
        host.ssh(ALICE),
    ] {
        assert_eq!(pam.open(), PERM_DENIED);
        assert!(pam.line().contains("names other SSH keys"), "{}", pam.line());
    }
    assert!(warden.none_left());
}

#[test]
fn the_limit_is_the_latest_end_among_the_grants_of_one_account() {
    let longer = "bbbbbbbbbbbb";
    let host = Host::with(|host, plan| {
        let mut terms = terms(longer, ALICE);
        terms.max_window = Seconds(8000);
        let mut grant = host.grant(&terms);
        grant.until = UnixTime(host.now.0 + 6000);
        plan.accounts.get_mut(ALICE).unwrap().grants.push(grant);
    });
    let warden = Warden::says_yes(&host);
    let mut pam = host.gated_sessions("sshd").ssh(ALICE);
    assert_eq!(pam.open(), SUCCESS);
    assert!(pam.limit().is_some_and(|s| s > 5900));
    assert_eq!(warden.next().grants, [id(GRANT), id(longer)]);
}

/// bob has a grant that lasts longer than alice's.
fn bob_stays_longer() -> Host {
    Host::with(|host, plan| {
        let mut terms = terms("bbbbbbbbbbbb", "bob");
        terms.max_window = Seconds(8000);
        let mut grant = host.grant(&terms);
        grant.until = UnixTime(host.now.0 + 6000);
        plan.accounts.insert("bob".to_owned(), Holding { grants: vec![grant], ..Holding::default() });
    })
}

#[test]
fn su_between_two_managed_accounts_ends_with_the_first_of_them() {
    let host = bob_stays_longer();
    let warden = Warden::says_yes(&host);
    let mut pam = host.real_uid(1000).gated_sessions("su").start("su", "bob").caller(ALICE);
    assert_eq!(pam.open(), SUCCESS);
    assert!(about_forty_minutes(pam.limit()));
    let told = warden.next();
    assert_eq!((told.user.as_str(), told.target.as_str(), told.kind), (ALICE, "bob", SessionKind::Elevation));
    assert_eq!(told.grants, [id(GRANT), id("bbbbbbbbbbbb")]);
    assert_eq!(told.until, UnixTime(host.now.0 + 2400));
}

#[test]
fn inside_a_session_of_logind_s_no_limit_is_set_and_with_a_session_that_it_forgot_there_is_one() {
    let host = bob_stays_longer();
    let warden = Warden::says_yes(&host);
    host.real_uid(1000).gated_sessions("su");
    let path = host.path("proc/self/cgroup");
    std::fs::create_dir_all(host.path("proc/self")).unwrap();
    std::fs::create_dir_all(host.path("run/systemd/sessions")).unwrap();
    support::fixture::write(&path, b"0::/user.slice/user-1000.slice/session-92.scope\n");
    let open = || {
        let mut pam = host.start("su", "bob").caller(ALICE);
        assert_eq!(pam.open(), SUCCESS);
        warden.next();
        pam.limit()
    };
    assert!(about_forty_minutes(open()), "logind does not know the session, so pam_systemd would open one");
    support::fixture::write(&host.path("run/systemd/sessions/92"), b"UID=1000\n");
    assert_eq!(open(), None);
    support::fixture::write(&path, b"0::/stint.slice/stint-aaaabbbbcccc-1-2.scope/7-8\n");
    assert!(about_forty_minutes(open()), "from a scope of ours a session can be opened");
}

#[test]
fn roots_su_inside_the_session_of_a_grant_ends_with_that_grant() {
    for target in ["bob", "daemon", "root"] {
        let host = bob_stays_longer();
        let warden = Warden::says_yes(&host);
        host.real_uid(0).login_uid(1000).gated_sessions("su");
        let mut pam = host.start("su", target).caller("root");
        assert_eq!(pam.open(), SUCCESS);
        assert!(about_forty_minutes(pam.limit()), "{target}: {:?}", pam.limit());
        let told = warden.next();
        assert_eq!((told.user.as_str(), told.target.as_str()), (ALICE, target));
    }
}

#[test]
fn roots_su_inside_the_session_of_a_grant_that_ended_is_refused() {
    let host = Host::with(|_, plan| plan.ended = vec![id(GRANT)]);
    let mut pam = host.real_uid(0).login_uid(1000).gated_sessions("su").start("su", "daemon").caller("root");
    assert_eq!(pam.open(), PERM_DENIED);
    assert!(pam.line().contains("was ended on this host"), "{}", pam.line());
}

#[test]
fn roots_su_elsewhere_is_free() {
    let host = Host::ready();
    host.host_toml("[[managed.only]]\nuid = 1001\nservices = [\"sudo\"]\n").real_uid(0).gated_sessions("su");
    // The console; nobody known; an exempt account; one with a standing login.
    for login in [0, u32::MAX, 1, 1001] {
        let mut pam = host.login_uid(login).start("su", "daemon").caller("root");
        assert_eq!(pam.open(), SUCCESS, "{login}");
        assert_eq!(pam.limit(), None, "{login}");
    }
}

#[test]
fn the_deadline_is_one_for_connecting_sending_and_waiting() {
    // A queue that is full: nobody accepts.
    let host = Host::ready();
    host.host_toml("[limits]\nregister_timeout_ms = 30\n").gated_sessions("sudo");
    let path = host.path("run/stint/warden.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        let address = nix::sys::socket::UnixAddr::new(&path).unwrap();
        if nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).is_err() {
            break;
        }
        waiting.push(socket);
    }
    let mut pam = sudo(&host);
    assert_eq!(pam.open(), PERM_DENIED);
    assert!(pam.line().contains("no answer within 30 ms"), "{}", pam.line());
}
