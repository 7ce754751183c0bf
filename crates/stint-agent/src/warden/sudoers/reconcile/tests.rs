//! The folder, with the real tools, in a folder of the test's own.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use stint_grant::acceptance::AcceptedGrant;
use stint_grant::bundle::Grant;
use stint_grant::terms::CheckedTerms;
use stint_grant::time::UnixTime;

use super::super::implementation::Unsupported;
use super::*;

const A: &str = "aaaabbbbcccc";
const B: &str = "ddddeeeeffff";

#[derive(Default)]
struct Notes(Vec<Event>);
impl Recorder for Notes {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }
}
impl Notes {
    fn kinds(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.0).iter().map(Event::kind).collect()
    }
}

fn grant(id: &str, until: i64, arguments: &[&str]) -> LiveGrant {
    let command = json!({ "program": { "path": "/bin/id", "arguments": { "exact": arguments } } });
    let rule = json!({ "run_as": "root", "command": command, "digest": Value::Null, "noexec": false });
    let text = json!({
        "format": 1, "fleet": "lab", "request": id, "entitlement": "e", "hosts": ["web-01"], "principal": "alice",
        "user": "alice", "class": "routine", "reason": "x", "ticket": null,
        "rights": { "login": null, "sudo": [rule], "groups": [], "account": null },
        "record": { "level": "none", "input": false, "subcommands": false, "fail_closed": false },
        "credentials": [], "not_before": 0, "claim_by": 1000, "max_window": 10_000, "max_extension": 0,
        "max_staleness": 900, "idle_limit": null, "end_on_logout": false, "codes": []
    })
    .to_string();
    let terms = CheckedTerms::parse(&text).unwrap();
    let id = GrantId::new(id).unwrap();
    let grant = Grant { id, terms: text, from: UnixTime(0), until: UnixTime(until), policy: "1".to_owned() };
    LiveGrant { grant: AcceptedGrant { grant, terms, reviewers: Vec::new() } }
}

struct Bench {
    folder: tempfile::TempDir,
    refusals: Refusals,
    notes: Notes,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), refusals: Refusals::default(), notes: Notes::default() }
    }
    fn round(&mut self, live: &[LiveGrant]) -> Vec<&'static str> {
        reconcile(self.folder.path(), live, &mut self.refusals, &mut self.notes).unwrap();
        self.notes.kinds()
    }
    fn file(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("zz-stint-{id}"))
    }
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn drop_ins_come_with_their_grants_and_go_with_them() {
    let mut bench = Bench::new();
    let live = [grant(A, 1_795_438_800, &["-u"]), grant(B, 1_795_438_800, &["-g"])];
    assert_eq!(bench.round(&live), ["drop_in_written", "drop_in_written"]);
    assert_eq!(fs::metadata(bench.file(A)).unwrap().permissions().mode() & 0o7777, 0o440);
    assert!(bench.round(&live).is_empty(), "nothing to do twice");
    assert_eq!(bench.round(&live[1..]), ["drop_in_removed"]);
    assert_eq!(bench.names(), [format!("zz-stint-{B}")]);
    assert_eq!(bench.round(&[]), ["drop_in_removed"]);
    assert!(bench.names().is_empty());
}

#[test]
fn a_moved_end_is_written_without_an_alarm() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, 1_795_438_800, &["-u"])]);
    assert_eq!(bench.round(&[grant(A, 1_795_442_400, &["-u"])]), ["drop_in_written"]);
    assert!(fs::read_to_string(bench.file(A)).unwrap().contains("NOTAFTER=20261123135959Z"));
}

#[test]
fn a_drop_in_that_somebody_changed_is_made_anew_with_an_alarm() {
    let mut bench = Bench::new();
    let live = [grant(A, 1_795_438_800, &["-u"])];
    bench.round(&live);
    let good = fs::read_to_string(bench.file(A)).unwrap();
    fs::write(bench.file(A), good.replace("/bin/id -u", "ALL")).unwrap();
    assert_eq!(bench.round(&live), ["alarm", "drop_in_written"]);
    fs::set_permissions(bench.file(A), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(bench.round(&live), ["alarm", "drop_in_written"]);
    let elsewhere = bench.folder.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    fs::remove_file(bench.file(A)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.file(A)).unwrap();
    assert_eq!(bench.round(&live), ["alarm", "drop_in_written"]);
    assert!(fs::symlink_metadata(bench.file(A)).unwrap().is_file());
    assert_eq!(fs::read_to_string(bench.file(A)).unwrap(), good);
}

#[test]
fn files_of_others_are_not_touched() {
    let mut bench = Bench::new();
    for name in ["README", "90-admins", "zz-stint-Not.Ours"] {
        fs::write(bench.folder.path().join(name), "root ALL = ALL\n").unwrap();
    }
    assert!(bench.round(&[]).is_empty());
    assert_eq!(bench.names(), ["90-admins", "README", "zz-stint-Not.Ours"]);
}

#[test]
fn what_a_crash_left_is_removed_without_a_record() {
    let mut bench = Bench::new();
    fs::write(bench.folder.path().join(format!(".zz-stint-{A}")), "half").unwrap();
    assert!(bench.round(&[]).is_empty());
    assert!(bench.names().is_empty());
}

#[test]
fn one_grant_that_cannot_be_written_keeps_no_other_out_and_is_told_once() {
    let mut bench = Bench::new();
    let live = [grant(A, i64::MAX, &["-u"]), grant(B, 1_795_438_800, &["-g"])];
    assert_eq!(bench.round(&live), ["drop_in_refused", "drop_in_written"]);
    assert!(bench.round(&live).is_empty());
    assert_eq!(bench.names(), [format!("zz-stint-{B}")]);
    bench.round(&live[1..]);
    assert_eq!(bench.round(&live), ["drop_in_refused"], "a grant that comes back is told again");
}

#[test]
fn without_a_sudo_that_can_be_used_nothing_is_written_and_what_ended_still_goes() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, 1_795_438_800, &["-u"])]);
    let no_sudo = || Err(CheckError::Tool(Unsupported::Missing("sudo")));
    let live = [grant(B, 1_795_438_800, &["-g"])];
    reconcile_with(
        bench.folder.path(),
        &live,
        &mut bench.refusals,
        &mut bench.notes,
        Dialect::Sudo,
        &no_sudo,
    )
    .unwrap();
    assert_eq!(bench.notes.kinds(), ["drop_in_removed", "drop_in_refused"]);
    assert!(bench.names().is_empty());
}

#[test]
fn a_changed_drop_in_that_cannot_be_made_anew_does_not_stand() {
    let mut bench = Bench::new();
    let live = [grant(A, 1_795_438_800, &["-u"])];
    bench.round(&live);
    fs::write(bench.file(A), "alice ALL = ALL\n").unwrap();
    let no_sudo = || Err(CheckError::Tool(Unsupported::Missing("visudo")));
    reconcile_with(
        bench.folder.path(),
        &live,
        &mut bench.refusals,
        &mut bench.notes,
        Dialect::Sudo,
        &no_sudo,
    )
    .unwrap();
    assert_eq!(bench.notes.kinds(), ["alarm", "drop_in_refused", "drop_in_removed"]);
    assert!(bench.names().is_empty());
}

#[test]
fn an_extension_that_cannot_be_written_leaves_the_earlier_end() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, 1_795_438_800, &["-u"])]);
    let no_sudo = || Err(CheckError::Tool(Unsupported::Missing("visudo")));
    let longer = [grant(A, 1_795_442_400, &["-u"])];
    reconcile_with(
        bench.folder.path(),
        &longer,
        &mut bench.refusals,
        &mut bench.notes,
        Dialect::Sudo,
        &no_sudo,
    )
    .unwrap();
    assert_eq!(bench.notes.kinds(), ["drop_in_refused"]);
    assert!(fs::read_to_string(bench.file(A)).unwrap().contains("NOTAFTER=20261123125959Z"));
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let mut bench = Bench::new();
    let missing = bench.folder.path().join("missing");
    let error = reconcile(&missing, &[], &mut bench.refusals, &mut bench.notes).unwrap_err();
    assert!(error.to_string().contains("missing: "), "{error}");
}

#[test]
fn a_drop_in_that_somebody_holds_is_told_to_be_held_and_its_removal_is_recorded_when_it_goes() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, 1_795_438_800, &["-u"])]);
    let file = fs::File::open(bench.file(A)).unwrap();
    let flags = |fixed| if fixed { rustix::fs::IFlags::IMMUTABLE } else { rustix::fs::IFlags::empty() };
    if rustix::fs::ioctl_setflags(&file, flags(true)).is_err() {
        return;
    }
    for _ in 0..2 {
        let error = reconcile(bench.folder.path(), &[], &mut bench.refusals, &mut bench.notes).unwrap_err();
        assert!(matches!(error, SudoersError::Remove(_)), "{error}");
        assert!(bench.refusals.take_held().is_some_and(|held| held.contains(A)));
        assert!(bench.refusals.take_held().is_none() && bench.notes.kinds().is_empty());
    }
    rustix::fs::ioctl_setflags(&file, flags(false)).unwrap();
    assert_eq!(bench.round(&[]), ["drop_in_removed"]);
    assert!(bench.round(&[]).is_empty());
}

#[test]
fn a_drop_in_that_somebody_else_takes_away_after_we_could_not_is_recorded_as_removed() {
    let mut bench = Bench::new();
    bench.round(&[grant(A, 1_795_438_800, &["-u"])]);
    bench.refusals.standing.insert(GrantId::new(A).unwrap());
    fs::remove_file(bench.file(A)).unwrap();
    assert_eq!(bench.round(&[]), ["drop_in_removed"]);
    assert!(bench.round(&[]).is_empty());
}
