//! `host.toml`: each key, the strict defaults, and each mistake refused with its line.

#![allow(missing_docs, clippy::pedantic)]

use stint_grant::host_config::{HostConfig, OnlyServices, parse_duration};
use stint_grant::record::RecordLevel;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command};
use stint_grant::time::Seconds;

fn read(text: &str) -> HostConfig {
    HostConfig::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}
fn refusal(text: &str) -> String {
    HostConfig::parse(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_is_the_default_and_the_default_is_strict() {
    let config = read("");
    assert_eq!(config, HostConfig::default());
    assert_eq!(config.managed.first_uid, 1000);
    assert!(!config.managed.remote_root);
    assert!(config.managed.exempt_uids.is_empty() && config.managed.only.is_empty());
    assert_eq!(config.managed.break_glass_uid, None);
    assert_eq!(config.limits.staleness, Seconds(900));
    assert_eq!(config.limits.register_timeout_ms, 500);
    assert_eq!(config.ceiling.max_window, Seconds(8 * 3600));
    assert!(!config.ceiling.full_root);
    let needed = &config.ceiling.reviews;
    assert_eq!([needed.login, needed.sudo, needed.root, needed.group], [1; 4]);
    assert!(config.ceiling.unreviewed.is_empty());
}

#[test]
fn the_file_that_is_shipped_says_what_the_default_is() {
    assert_eq!(read(include_str!("../../../packaging/etc/host.toml")), HostConfig::default());
}

#[test]
fn each_key_is_read() {
    let config = read(
        r#"
[managed]
first_uid = 500
exempt_uids = [1001]
break_glass_uid = 1900
services = ["sshd", "sudo"]
remote_root = true
[[managed.only]]
uid = 1002
services = ["sudo"]
[limits]
staleness = "5m"
register_timeout_ms = 800
[ceiling]
max_window = "1h 30m"
full_root = true
record = "io"
forbidden_accounts = ["postgres"]
forbidden_groups = ["docker"]
reviews = { login = 0, sudo = 2, root = 3, group = 4 }
[[ceiling.unreviewed]]
user = "deploy"
login = true
[[ceiling.unreviewed]]
user = "deploy"
[ceiling.unreviewed.sudo]
run_as = "root"
noexec = true
command = { program = { path = "/usr/bin/systemctl", arguments = { exact = ["reload", "nginx.service"] } } }
"#,
    );
    let managed = &config.managed;
    assert_eq!((managed.first_uid, managed.break_glass_uid, managed.remote_root), (500, Some(1900), true));
    assert_eq!(managed.exempt_uids, [1001]);
    assert_eq!(managed.services, ["sshd", "sudo"]);
    assert_eq!(managed.only, [OnlyServices { uid: 1002, services: vec!["sudo".into()] }]);
    assert_eq!((config.limits.staleness, config.limits.register_timeout_ms), (Seconds(300), 800));
    let ceiling = &config.ceiling;
    assert_eq!((ceiling.max_window, ceiling.full_root), (Seconds(5400), true));
    assert_eq!(ceiling.record, RecordLevel::Io);
    assert_eq!(ceiling.forbidden_accounts[0].as_str(), "postgres");
    assert_eq!(ceiling.forbidden_groups[0].as_str(), "docker");
    let needed = &ceiling.reviews;
    assert_eq!([needed.login, needed.sudo, needed.root, needed.group], [0, 2, 3, 4]);
    assert!(ceiling.unreviewed[0].login && ceiling.unreviewed[0].sudo.is_none());
    let rule = ceiling.unreviewed[1].sudo.as_ref().unwrap();
    let arguments = Arguments::Exact(vec!["reload".into(), "nginx.service".into()]);
    assert_eq!(rule.command, Command::Program(Program { path: "/usr/bin/systemctl".into(), arguments }));
    assert!(rule.noexec && rule.digest.is_none());
}

#[test]
fn a_key_that_is_not_known_is_refused_with_its_line() {
    for (text, line) in [
        ("surprise = 1\n", 1),
        ("[managed]\nfirst_uid = 1000\nexempt_uid = [1]\n", 3),
        ("\n\n[limit]\n", 3),
        ("[ceiling]\nfull_rot = true\n", 2),
        ("[ceiling.reviews]\nlogin = 1\nsodu = 1\n", 3),
        ("[[managed.only]]\nuid = 1\nservices = []\nuser = 'x'\n", 4),
        ("# ümläut\n[ceiling]\nx = 'ü'\n", 3),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with(&format!("host.toml, line {line}: ")), "{refused}");
    }
}

#[test]
fn a_value_that_means_nothing_is_refused_with_what_to_write() {
    for (text, says) in [
        ("[limits]\nstaleness = \"soon\"", "write for instance"),
        ("[limits]\nstaleness = 900", "string"),
        ("[limits]\nstaleness = \"0s\"", "write for instance"),
        ("[ceiling]\nmax_window = \"-8h\"", "write for instance"),
        ("[ceiling]\nforbidden_accounts = [\"../root\"]", "is not allowed"),
        ("[managed]\nfirst_uid = 0", "at least 1"),
        ("[managed]\nfirst_uid = -1", "u32"),
        ("[limits]\nregister_timeout_ms = 0", "between 10 and 60000"),
        ("[limits]\nregister_timeout_ms = 4000000000", "between 10 and 60000"),
        ("[managed]\nonly = [{uid = 7, services = []}, {uid = 7, services = ['sudo']}]", "uid 7 twice"),
        ("[[ceiling.unreviewed]]\nuser = 'deploy'", "frees nothing"),
        ("[managed]\nfirst_uid = 1\nfirst_uid = 2", "duplicate"),
        ("[managed", "host.toml, line 1"),
    ] {
        let refused = refusal(text);
        assert!(refused.contains(says), "{refused}");
    }
}

fn unreviewed(rule: &str) -> String {
    format!("[[ceiling.unreviewed]]\nuser = 'deploy'\nsudo = {{ run_as = 'root', noexec = false, {rule} }}\n")
}

#[test]
fn only_an_exact_and_well_formed_command_may_come_without_a_review() {
    read(&unreviewed("command = { program = { path = '/usr/bin/true', arguments = { exact = [] } } }"));
    for (rule, says) in [
        ("command = 'all'", "only an exact command"),
        ("command = { program = { path = '/usr/bin/less', arguments = 'any' } }", "only an exact command"),
        ("command = { program = { path = 'less', arguments = { exact = [] } } }", "absolute path"),
        ("command = { program = { path = '/bin/x', arguments = { exact = [\"a\\tb\"] } } }", "control"),
        ("command = { program = { path = '/bin/x', arguments = { exact = [''] } } }", "empty"),
    ] {
        let refused = refusal(&unreviewed(rule));
        assert!(refused.contains(says) && refused.contains("line 3"), "{refused}");
    }
}

#[test]
fn who_is_gated_where() {
    let config = read(
        "[managed]\nexempt_uids = [1001]\nbreak_glass_uid = 1900\nonly = [{uid = 1002, services = ['sudo']}]",
    );
    for (uid, service, gated) in [
        (0, "sshd", false),
        (999, "sshd", false),
        (1000, "sshd", true),
        (1000, "sudo", true),
        (1000, "gdm", false),
        (1001, "sshd", false),
        (1900, "sshd", false),
        (1002, "sshd", false),
        (1002, "sudo", true),
        (65534, "sshd", false),
        (u32::MAX, "sshd", true),
    ] {
        assert_eq!(config.gates(uid, service), gated, "{uid} {service}");
    }
}

#[test]
fn lengths_of_time_have_whole_numbers_and_units_from_large_to_small() {
    for (text, seconds) in [
        ("90s", 90),
        ("15m", 900),
        ("15 min", 900),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("8 hours", 28_800),
        ("2d", 172_800),
        ("1d 1h 1m 1s", 90_061),
    ] {
        assert_eq!(parse_duration(text), Ok(Seconds(seconds)), "{text}");
    }
    for text in [
        "",
        " ",
        "90",
        "h",
        "1.5h",
        "-1h",
        "+1h",
        "1h ago",
        "1:30",
        "PT1H",
        "30m 1h",
        "1h 1h",
        "1x",
        "1H",
        "0s",
        "0h 0m",
        "1h,",
        "99999999999999999999s",
        "18446744073709551615d",
        "１h",
        "1 h 30",
    ] {
        assert!(parse_duration(text).is_err(), "{text:?}");
    }
}
