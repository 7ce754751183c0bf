//! What was understood against what was meant: on recorded answers of `cvtsudoers`, and with the real tools.

use proptest::prelude::*;
use stint_grant::ids::{GrantId, Sha256Hex, UserName};
use stint_grant::record::{CommandRecord, RecordLevel};
use stint_grant::time::UnixTime;

use super::super::implementation::detect;
use super::super::render::Dialect;
use super::super::render::tests::{exact, rule};
use super::*;

const UNTIL: UnixTime = UnixTime(1_795_438_800);

/// What `cvtsudoers` says to a drop-in of one rule, with one line as it is given.
fn told(options: &str, command: &str) -> String {
    format!(
        r#"{{ "Defaults": [ {{ "Binding": [ {{ "username": "alice" }} ], "Options": [ {{ "use_pty": true }},
        {{ "timestamp_timeout": "0" }}, {{ "timestamp_type": "tty" }}, {{ "setenv": false }} ] }} ],
        "User_Specs": [ {{ "User_List": [ {{ "username": "alice" }} ], "Host_List": [ {{ "hostname": "ALL" }} ],
        "Cmnd_Specs": [ {{ "runasusers": [ {{ "username": "root" }} ], "Options": [ {options} ],
        "Commands": [ {{ {command} }} ] }} ] }} ] }}"#
    )
}

const OPTIONS: &str = r#"{ "notafter": "20261123125959Z" }, { "authenticate": false }, { "setenv": false }"#;

fn compare_with(told: &str, rules: &[SudoRule]) -> Result<(), CheckError> {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    compare(told, &DropIn { grant: &grant, user: &user, until: UNTIL, rules, record: CommandRecord::NONE })
}

#[test]
fn what_was_meant_passes() {
    let meant = [rule("/bin/id", exact(&["-u", "a b*"]))];
    compare_with(&told(OPTIONS, r#""command": "/bin/id -u a b\\*""#), &meant).unwrap();
}

#[test]
fn another_command_is_refused() {
    let meant = [rule("/bin/id", exact(&["-u"]))];
    for other in
        ["/bin/id", "/bin/id -u *", "/bin/id -un", "/bin/id \\\"\\\"", "ALL", "/bin/idle -u", "/bin/id  -u"]
    {
        let other = format!(r#""command": "{other}""#);
        assert!(compare_with(&told(OPTIONS, &other), &meant).is_err(), "{other}");
    }
}

#[test]
fn any_arguments_and_no_arguments_are_not_mistaken_for_each_other() {
    let (any, none) = ([rule("/bin/id", Arguments::Any)], [rule("/bin/id", exact(&[]))]);
    let (says_any, says_none) = (r#""command": "/bin/id""#, r#""command": "/bin/id \"\"""#);
    compare_with(&told(OPTIONS, says_any), &any).unwrap();
    compare_with(&told(OPTIONS, says_none), &none).unwrap();
    compare_with(&told(OPTIONS, says_any), &none).unwrap_err();
    compare_with(&told(OPTIONS, says_none), &any).unwrap_err();
    compare_with(&told(OPTIONS, says_none), &[rule("/bin/id", exact(&["\"\""]))]).unwrap_err();
}

#[test]
fn a_missing_end_tag_or_an_added_one_is_refused() {
    let meant = [rule("/bin/id", exact(&["-u"]))];
    let command = r#""command": "/bin/id -u""#;
    compare_with(&told(OPTIONS, command), &meant).unwrap();
    for options in [
        r#"{ "authenticate": false }, { "setenv": false }"#,
        r#"{ "notafter": "20261123130059Z" }, { "authenticate": false }, { "setenv": false }"#,
        r#"{ "notafter": "20261123125959Z" }, { "authenticate": false }, { "setenv": true }"#,
        r#"{ "notafter": "20261123125959Z" }, { "authenticate": false }, { "setenv": false }, { "noexec": true }"#,
        r#"{ "notafter": "20261123125959Z" }, { "setenv": false }"#,
    ] {
        assert!(compare_with(&told(options, command), &meant).is_err(), "{options}");
    }
}

#[test]
fn another_target_user_or_digest_is_refused() {
    let mut meant = rule("/bin/id", exact(&["-u"]));
    let command = r#""command": "/bin/id -u""#;
    let as_bob = told(OPTIONS, command).replace(r#""username": "root""#, r#""username": "bob""#);
    compare_with(&as_bob, std::slice::from_ref(&meant)).unwrap_err();
    let for_bob = told(OPTIONS, command).replace(r#""username": "alice""#, r#""username": "bob""#);
    compare_with(&for_bob, std::slice::from_ref(&meant)).unwrap_err();
    meant.digest = Some(Sha256Hex::of(b"id"));
    compare_with(&told(OPTIONS, command), std::slice::from_ref(&meant)).unwrap_err();
    let digest = format!(r#"{command}, "sha256": "{}""#, Sha256Hex::of(b"id"));
    compare_with(&told(OPTIONS, &digest), std::slice::from_ref(&meant)).unwrap();
    meant.digest = None;
    compare_with(&told(OPTIONS, &digest), &[meant]).unwrap_err();
}

#[test]
fn more_rules_fewer_rules_and_unknown_parts_are_refused() {
    let meant = rule("/bin/id", exact(&["-u"]));
    let one = told(OPTIONS, r#""command": "/bin/id -u""#);
    compare_with(&one, &[meant.clone(), meant.clone()]).unwrap_err();
    let two = told(OPTIONS, r#""command": "/bin/id -u" }, { "command": "/bin/id -u""#);
    compare_with(&two, std::slice::from_ref(&meant)).unwrap_err();
    let alias = one.replacen('{', r#"{ "Command_Aliases": {}, "#, 1);
    compare_with(&alias, std::slice::from_ref(&meant)).unwrap_err();
    compare_with("{}", &[meant]).unwrap_err();
}

/// Has the real tools judge rules, on a file of its own.
fn judge(rules: &[SudoRule], change: impl Fn(String) -> String) -> Result<(), CheckError> {
    judge_recorded(rules, CommandRecord::NONE, change)
}

fn judge_recorded(
    rules: &[SudoRule],
    record: CommandRecord,
    change: impl Fn(String) -> String,
) -> Result<(), CheckError> {
    let (grant, user) = (GrantId::new("aaaabbbbcccc").unwrap(), UserName::new("alice").unwrap());
    let drop_in = DropIn { grant: &grant, user: &user, until: UNTIL, rules, record };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".zz-stint-aaaabbbbcccc");
    std::fs::write(&file, change(drop_in.render(Dialect::Sudo).unwrap())).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o440)).unwrap();
    let tools = detect().expect("these tests need sudo 1.9.9 or later: apt-get install sudo");
    check(&tools, &file, &drop_in)
}

#[test]
fn the_real_tools_understand_every_kind_of_rule() {
    let mut strict = rule("/usr/bin/systemctl", exact(&["--no-pager", "restart", "nginx.service"]));
    strict.noexec = true;
    strict.digest = Some(Sha256Hex::of(b"systemctl"));
    let all = SudoRule { command: Command::All, ..rule("/bin/id", Arguments::Any) };
    let none = SudoRule { run_as: UserName::new("postgres").unwrap(), ..rule("/usr/bin/psql", exact(&[])) };
    judge(&[strict, all, none, rule("/bin/id", Arguments::Any)], |text| text).unwrap();
}

#[test]
fn the_real_tools_understand_every_kind_of_record_and_pass_none_that_was_changed() {
    let rules = [rule("/bin/id", exact(&["-u"]))];
    let all = CommandRecord { level: RecordLevel::Io, input: true, subcommands: true, fail_closed: true };
    let closed = CommandRecord { fail_closed: true, ..CommandRecord::COMMANDS };
    for record in [CommandRecord::COMMANDS, closed, CommandRecord { input: false, ..all }, all] {
        judge_recorded(&rules, record, |text| text).unwrap();
    }
    let slips: [fn(String) -> String; 4] = [
        |text| text.replace("127.0.0.1:343", "127.0.0.1:30343"),
        |text| text.replace(", !ignore_logfile_errors", ""),
        |text| text.replace(", log_output", ""),
        |text| text.replace("log_server_timeout=3", "log_server_timeout=300"),
    ];
    for slip in slips {
        judge_recorded(&rules, all, slip).unwrap_err();
    }
}

#[test]
fn the_real_tools_do_not_pass_what_somebody_slipped_in() {
    let meant = [rule("/bin/id", exact(&["-u"]))];
    let slips: [fn(String) -> String; 5] = [
        |text| text + "alice ALL = (root) NOPASSWD: ALL\n",
        |text| text + "Defaults !authenticate\n",
        |text| text.replace("/bin/id -u", "/bin/id"),
        |text| text.replace(" NOTAFTER=20261123125959Z", ""),
        |text| text + "@include /etc/passwd\n",
    ];
    for slip in slips {
        judge(&meant, slip).unwrap_err();
    }
}

#[test]
fn the_real_tools_understand_the_worst_arguments() {
    let worst = [
        "\"\"",
        " ",
        "a ",
        " a",
        "\\",
        "\\\\",
        "a\\",
        "#",
        "#x",
        "^a$",
        "^",
        "!",
        "!x",
        "a=b",
        "a:b",
        "a,b",
        "*",
        "[a]",
        "[!a]",
        "?",
        "'",
        "\"",
        "(root)",
        "ALL",
        "NOPASSWD: ALL",
        "~",
        "$HOME",
        "`id`",
        "%wheel",
        "+net",
        "é…",
        "sha256:00",
    ];
    let mut rules: Vec<SudoRule> = worst.iter().map(|a| rule("/bin/id", exact(&[a]))).collect();
    rules.extend(worst.iter().map(|a| rule("/bin/id", exact(&["-x", a, "", a]))));
    rules.push(rule("/bin/id", exact(&["", ""])));
    judge(&rules, |text| text).unwrap();
}

proptest! {
    // Each case is two processes.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_real_tools_understand_random_arguments(
        lists in proptest::collection::vec(proptest::collection::vec("[ -~]{0,8}", 1..5), 20)
    ) {
        let lists = lists.into_iter().filter(|list| *list != [""]);
        let rules: Vec<SudoRule> = lists.map(|list| rule("/bin/id", Arguments::Exact(list))).collect();
        prop_assert_eq!(judge(&rules, |text| text), Ok(()));
    }
}
