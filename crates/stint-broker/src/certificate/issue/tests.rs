use proptest::prelude::*;
use serde_json::json;

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn authority() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn terms(change: impl FnOnce(&mut serde_json::Value)) -> CheckedTerms {
    let mut terms = json!({
        "format": 1, "fleet": "test", "request": "abcdefgh2345", "entitlement": "web-login",
        "hosts": ["web-01", "web-02"], "principal": "alice", "user": "deploy", "class": "routine",
        "reason": "OPS-12", "ticket": null,
        "rights": {
            "login": { "services": ["sshd"], "origins": [],
                "forwarding": { "port": false, "agent": false, "x11": false } },
            "sudo": [], "groups": [], "account": null,
        },
        "record": { "level": "none", "input": false, "subcommands": false, "fail_closed": false },
        "credentials": [], "not_before": 0, "claim_by": 100_000, "max_window": 3600, "max_extension": 0,
        "max_staleness": 900, "idle_limit": null, "end_on_logout": false, "codes": [],
    });
    change(&mut terms);
    CheckedTerms::parse(&terms.to_string()).unwrap()
}

fn ask(terms: &CheckedTerms, host: &str, caller: Option<&str>) -> Result<Issued, IssueError> {
    let wanted = Wanted {
        terms,
        until: UnixTime(1_000_000),
        host: &host.parse().unwrap(),
        key: &read_key(KEY).unwrap(),
        caller: caller.map(|address| address.parse().unwrap()),
    };
    issue(&authority(), &wanted, &at(900_000))
}

fn at(now: i64) -> Circumstances {
    Circumstances { now: UnixTime(now), life: Seconds(300), serial: 7, nonce: [3; 32] }
}

#[test]
fn it_is_for_one_grant_on_one_host_one_person_one_key_and_some_minutes() {
    let issued = ask(&terms(|_| ()), "web-02", None).unwrap();
    let certificate = &issued.certificate;
    assert_eq!(certificate.valid_principals(), ["stint:abcdefgh2345@web-02"]);
    assert_eq!(certificate.key_id(), "stint abcdefgh2345 alice");
    assert_eq!(certificate.serial(), 7);
    assert_eq!(certificate.public_key(), read_key(KEY).unwrap().key_data());
    assert_eq!((certificate.valid_after(), certificate.valid_before()), (899_940, 900_300));
    assert_eq!(certificate.cert_type(), CertType::User);
    let authority =
        ssh_key::PublicKey::from(ssh_key::public::Ed25519PublicKey(authority().verifying_key().to_bytes()));
    certificate.validate_at(900_000, &[authority.fingerprint(HashAlg::Sha256)]).unwrap();
}

#[test]
fn it_ends_with_the_window() {
    let terms = terms(|_| ());
    let wanted = Wanted {
        terms: &terms,
        until: UnixTime(900_010),
        host: &"web-01".parse().unwrap(),
        key: &read_key(KEY).unwrap(),
        caller: None,
    };
    let issued = issue(&authority(), &wanted, &at(900_000)).unwrap();
    assert_eq!((issued.until, issued.certificate.valid_before()), (UnixTime(900_010), 900_010));
}

#[test]
fn without_a_word_in_the_terms_it_lets_nothing_be_forwarded() {
    let issued = ask(&terms(|_| ()), "web-01", None).unwrap();
    let names: Vec<_> = issued.certificate.extensions().keys().map(String::as_str).collect();
    assert_eq!(names, ["permit-pty"]);
    assert!(issued.certificate.critical_options().is_empty());
}

#[test]
fn what_may_be_forwarded_stands_in_it_and_no_more() {
    for (right, extension) in [
        ("port", "permit-port-forwarding"),
        ("agent", "permit-agent-forwarding"),
        ("x11", "permit-X11-forwarding"),
    ] {
        let terms = terms(|t| t["rights"]["login"]["forwarding"][right] = true.into());
        let issued = ask(&terms, "web-01", None).unwrap();
        let names: Vec<_> = issued.certificate.extensions().keys().map(String::as_str).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.contains(&extension), "{names:?}");
    }
}

#[test]
fn it_holds_from_where_the_caller_is_or_else_from_where_the_grant_says() {
    let anywhere = terms(|_| ());
    let office = terms(|t| t["rights"]["login"]["origins"] = json!(["192.0.2.0/24", "2001:db8::/32"]));
    let source = |terms: &CheckedTerms, caller| {
        let issued = ask(terms, "web-01", caller).unwrap();
        issued.certificate.critical_options().get("source-address").cloned()
    };
    assert_eq!(source(&anywhere, Some("198.51.100.7")).unwrap(), "198.51.100.7/32");
    assert_eq!(source(&office, Some("192.0.2.9")).unwrap(), "192.0.2.9/32");
    assert_eq!(source(&office, Some("2001:db8::1")).unwrap(), "2001:db8::1/128");
    assert_eq!(source(&office, Some("198.51.100.7")).unwrap(), "192.0.2.0/24,2001:db8::/32");
    assert_eq!(source(&office, None).unwrap(), "192.0.2.0/24,2001:db8::/32");
    assert_eq!(source(&anywhere, None), None);
}

#[test]
fn another_host_another_key_and_a_grant_without_a_login_are_refused() {
    assert_eq!(
        ask(&terms(|_| ()), "db-01", None).unwrap_err(),
        IssueError::OtherHost("db-01".parse().unwrap())
    );
    let other = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let bound = terms(|t| t["credentials"] = json!([other]));
    assert!(matches!(ask(&bound, "web-01", None), Err(IssueError::OtherKey(_))));
    let own = read_key(KEY).unwrap().fingerprint(HashAlg::Sha256).to_string();
    ask(&terms(|t| t["credentials"] = json!([other, own])), "web-01", None).unwrap();
    let su = terms(|t| t["rights"]["login"]["services"] = json!(["su"]));
    assert_eq!(ask(&su, "web-01", None).unwrap_err(), IssueError::NoLogin);
}

#[test]
fn what_is_no_ed25519_key_is_not_certified() {
    for text in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "not a key", &"x".repeat(MAX_KEY + 1)] {
        assert!(matches!(read_key(text), Err(IssueError::Key(_))), "{text}");
    }
    // A certificate is no key: what it certifies would be certified twice.
    let issued = ask(&terms(|_| ()), "web-01", None).unwrap();
    assert!(read_key(&issued.certificate.to_openssh().unwrap()).is_err());
}

proptest! {
    #[test]
    fn it_never_outlives_the_window_or_its_own_life(now in 1_000_i64..2_000_000, left in 1_i64..20_000) {
        let terms = terms(|_| ());
        let wanted = Wanted {
            terms: &terms,
            until: UnixTime(now + left),
            host: &"web-01".parse().unwrap(),
            key: &read_key(KEY).unwrap(),
            caller: None,
        };
        let issued = issue(&authority(), &wanted, &at(now)).unwrap();
        let end = issued.certificate.valid_before();
        prop_assert!(end <= (now + left).unsigned_abs() && end <= now.unsigned_abs() + 300);
        prop_assert_eq!(end, issued.until.0.unsigned_abs());
    }
}
