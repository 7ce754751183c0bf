//! The folder, in a folder of the test's own.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use stint_grant::acceptance::AcceptedGrant;
use stint_grant::bundle::Grant;
use stint_grant::ids::GrantId;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::UnixTime;

use super::*;

const A: &str = "aaaabbbbcccc";
const B: &str = "ddddeeeeffff";
const PASSWD: &str = "root:x:0:0::/:/bin/sh\nalice:x:1001:1001::/:/bin/sh\nrescue:x:1900:1900::/:/bin/sh\n";
const UNTIL: i64 = 1_800_000_000;

#[derive(Default)]
struct Notes(Vec<Event>);
impl Recorder for Notes {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }
}

fn grant(id: &str, user: &str, change: impl FnOnce(&mut serde_json::Value)) -> LiveGrant {
    let mut login = json!({
        "services": ["sshd"], "origins": [], "forwarding": { "port": false, "agent": false, "x11": false }
    });
    change(&mut login);
    let rule = json!({
        "run_as": "root", "command": { "program": { "path": "/bin/id", "arguments": "any" } },
        "digest": null, "noexec": false,
    });
    let text = json!({
        "format": 1, "fleet": "lab", "request": id, "entitlement": "e", "hosts": ["web-01"], "principal": "alice",
        "user": user, "class": "routine", "reason": "x", "ticket": null,
        "rights": { "login": login, "sudo": [rule], "groups": [], "account": null },
        "record": { "level": "none", "input": false, "subcommands": false, "fail_closed": false },
        "credentials": [], "not_before": 0, "claim_by": 1000, "max_window": 10_000, "max_extension": 0,
        "max_staleness": 900, "idle_limit": null, "end_on_logout": false, "codes": []
    })
    .to_string();
    let terms = CheckedTerms::parse(&text).unwrap();
    let id = GrantId::new(id).unwrap();
    let grant = Grant { id, terms: text, from: UnixTime(0), until: UnixTime(UNTIL), policy: "1".to_owned() };
    LiveGrant { grant: AcceptedGrant { grant, terms, reviewers: Vec::new() } }
}

struct Bench {
    state: tempfile::TempDir,
    notes: Notes,
    enforces: bool,
}

impl Bench {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap(), notes: Notes::default(), enforces: true }
    }
    fn round(&mut self, live: &[LiveGrant]) -> bool {
        self.try_round(live).unwrap()
    }
    fn try_round(&mut self, live: &[LiveGrant]) -> Result<bool, SshError> {
        let facts = Facts {
            live,
            root: None,
            host: &"web-01".parse().unwrap(),
            config: &HostConfig::parse("[managed]\nbreak_glass_uid = 1900\n").unwrap(),
            passwd: PASSWD,
            enforces: self.enforces,
        };
        reconcile(self.state.path(), &facts, &mut self.notes)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join("ssh").join(name)
    }
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
    fn accounts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("principals")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn an_account_s_file_has_a_line_for_each_live_grant_and_goes_with_the_last() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, "alice", |_| ()), grant(B, "alice", |_| ())]);
    let all_off = "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,expiry-time=\"20270115080000Z\"";
    assert_eq!(
        bench.text("principals/alice"),
        format!("{all_off} stint:{A}@web-01\n{all_off} stint:{B}@web-01\n")
    );
    bench.round(&[grant(B, "alice", |_| ())]);
    assert_eq!(bench.text("principals/alice"), format!("{all_off} stint:{B}@web-01\n"));
    bench.round(&[]);
    assert_eq!(bench.accounts(), Vec::<String>::new());
}

#[test]
fn a_line_says_from_where_and_forbids_what_the_terms_do_not_allow() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, "alice", |login| {
        login["origins"] = json!(["192.0.2.0/24", "2001:db8::/32"]);
        login["forwarding"] = json!({ "port": true, "agent": false, "x11": true });
    })]);
    assert_eq!(
        bench.text("principals/alice"),
        format!(
            "from=\"192.0.2.0/24,2001:db8::/32\",no-agent-forwarding,expiry-time=\"20270115080000Z\" stint:{A}@web-01\n"
        )
    );
}

#[test]
fn who_is_not_gated_and_a_grant_without_a_login_by_sshd_get_no_file() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, "rescue", |_| ()), grant(B, "alice", |login| login["services"] = json!(["su"]))]);
    assert_eq!(bench.accounts(), Vec::<String>::new());
}

#[test]
fn where_nothing_is_enforced_no_certificate_opens_anything_and_nothing_is_forbidden() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, "alice", |_| ())]);
    assert!(bench.text("sshd.conf").contains("Match User"));
    bench.enforces = false;
    assert!(bench.round(&[grant(A, "alice", |_| ())]));
    assert_eq!(bench.accounts(), Vec::<String>::new());
    assert!(!bench.text("sshd.conf").contains("Match"));
}

#[test]
fn sshd_is_told_only_when_its_own_file_changed() {
    let mut bench = Bench::new();
    assert!(bench.round(&[]));
    assert!(!bench.round(&[grant(A, "alice", |_| ())]), "a grant that forwards nothing");
    let forwards = grant(B, "alice", |login| login["forwarding"]["port"] = true.into());
    assert!(bench.round(&[grant(A, "alice", |_| ()), forwards.clone()]));
    assert!(!bench.round(&[forwards]));
    assert!(bench.round(&[]));
}

#[test]
fn what_somebody_put_in_the_place_of_a_file_goes_and_is_an_alarm() {
    let mut bench = Bench::new();
    let live = [grant(A, "alice", |_| ())];
    bench.round(&live);
    let good = bench.text("principals/alice");
    let elsewhere = bench.state.path().join("elsewhere");
    fs::write(&elsewhere, "stint:anything@web-01\n").unwrap();
    let place = bench.path("principals/alice");
    let hostile: [&dyn Fn(); 4] = [
        &|| symlink(&elsewhere, &place).unwrap(),
        &|| fs::hard_link(&elsewhere, &place).unwrap(),
        &|| fs::create_dir(&place).unwrap(),
        &|| {
            fs::write(&place, &good).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
        },
    ];
    for put_there in hostile {
        take_away(&place).unwrap();
        put_there();
        bench.notes.0.clear();
        bench.round(&live);
        assert_eq!(bench.text("principals/alice"), good);
        assert!(is_sound(&fs::symlink_metadata(&place).unwrap()));
        assert!(matches!(&bench.notes.0[..], [Event::Alarm { .. }]), "{:?}", bench.notes.0);
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "stint:anything@web-01\n");
}

#[test]
fn a_file_that_nobody_s_grant_wants_goes_whatever_it_is() {
    let mut bench = Bench::new();
    bench.round(&[]);
    fs::write(bench.path("principals/bob"), "stint:x@web-01\n").unwrap();
    symlink("/etc/passwd", bench.path("principals/carol")).unwrap();
    fs::create_dir(bench.path("principals/dave")).unwrap();
    bench.round(&[grant(A, "alice", |_| ())]);
    assert_eq!(bench.accounts(), ["alice"]);
}

#[test]
fn on_a_full_disk_what_ended_still_goes() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, "alice", |_| ())]);
    files::faults::fail_after(Some(0));
    let tried = bench.try_round(&[grant(B, "deploy", |_| ())]);
    files::faults::fail_after(None);
    tried.unwrap_err();
    assert_eq!(bench.accounts(), Vec::<String>::new());
}
