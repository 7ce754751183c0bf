use std::path::Path;

use stint_grant::rights::{Arguments, Command};
use stint_grant::time::Seconds;

use super::file;

const GOOD: &str = r#"name = "nginx-restart"
description = "Restart nginx"
max_window = "1h"
max_extension = "30m"
reviews = 1

[hosts]
labels = { role = "web" }

[login]
services = ["sshd"]

[[sudo]]
command = "/usr/bin/systemctl"
arguments = ["restart", "nginx"]
"#;

fn parse(text: &str) -> Result<super::Entitlement, String> {
    file::parse(Path::new("catalog/nginx.toml"), text, Seconds(86400)).map_err(|e| e.to_string())
}

#[test]
fn a_whole_entitlement_is_read() {
    let it = parse(GOOD).unwrap();
    assert_eq!(
        (it.name.as_str(), it.max_window, it.max_extension, it.reviews),
        ("nginx-restart", Seconds(3600), Seconds(1800), 1)
    );
    let Command::Program(program) = &it.rights.sudo[0].command else { panic!("a program") };
    assert_eq!(program.arguments, Arguments::Exact(vec!["restart".to_owned(), "nginx".to_owned()]));
    assert!(it.hosts.covers("x", &[("role".to_owned(), "web".to_owned())].into()));
    assert!(!it.hosts.covers("x", &[("role".to_owned(), "db".to_owned())].into()));
    assert!(!it.hosts.covers("x", &[].into()));
}

#[test]
fn absent_arguments_mean_any_and_an_empty_list_means_none() {
    let any = parse(&GOOD.replace("arguments = [\"restart\", \"nginx\"]\n", "")).unwrap();
    let none = parse(&GOOD.replace("[\"restart\", \"nginx\"]", "[]")).unwrap();
    let arguments = |e: &super::Entitlement| match &e.rights.sudo[0].command {
        Command::Program(p) => p.arguments.clone(),
        Command::All => panic!("a program"),
    };
    assert_eq!(arguments(&any), Arguments::Any);
    assert_eq!(arguments(&none), Arguments::Exact(Vec::new()));
}

#[test]
fn a_mistake_is_told_with_file_line_and_what_to_write() {
    let table = [
        ("command = \"/usr/bin/systemctl\"", "command = \"systemctl\"", 14, "absolute path"),
        ("command = \"/usr/bin/systemctl\"", "command = \"/usr/bin/*\"", 14, "without patterns"),
        ("command = \"/usr/bin/systemctl\"", "command = \"/usr/../bin/x\"", 14, "absolute path"),
        ("command = \"/usr/bin/systemctl\"", "command = \"/usr/bin/sudoedit\"", 14, "sudoedit"),
        ("command = \"/usr/bin/systemctl\"", "command = \"/usr/bin/a b\"", 14, "absolute path"),
        ("command = \"/usr/bin/systemctl\"", "command = \"ALL\"", 14, "full_root = true"),
        ("\"nginx\"]", "\"ng\\ninx\"]", 14, "ng\\ninx"),
        ("\"nginx\"]", "\"ngin*\"]", 15, "exact argument"),
        ("\"nginx\"]", "\"^.*$\"]", 15, "exact argument"),
        ("\"nginx\"]", "\"a\\\\b\"]", 15, "exact argument"),
        ("max_window = \"1h\"", "max_window = \"3 days or so\"", 3, "is not a length of time"),
        ("max_window = \"1h\"", "max_window = \"48h\"", 3, "write less"),
        ("max_window = \"1h\"", "max_window = \"0s\"", 3, "a window has a length"),
        ("reviews = 1", "reviewers = 1", 5, "unknown field `reviewers`"),
        ("reviews = 1", "reviews = -1", 5, "invalid value"),
        ("reviews = 1", "reviews = 99", 5, "at most 10"),
        ("services = [\"sshd\"]", "services = [\"ftp\"]", 10, "write some of sshd"),
        ("labels = { role = \"web\" }", "", 7, "write names"),
        ("name = \"nginx-restart\"", "name = \"Nginx Restart\"", 1, "is not allowed"),
        ("description = \"Restart nginx\"", "description = \"a\\nb\"", 2, "one line"),
        (
            "description = \"Restart nginx\"",
            "description = \"x\"\nfull_root = true",
            3,
            "leave out the [[sudo]]",
        ),
        ("reviews = 1", "requesters = { roles = [\"boss\"] }", 5, "is not a role"),
        ("reviews = 1", "requesters = {}", 5, "name somebody"),
        ("reviews = 1", "claim_within = \"0s\"", 5, "above zero"),
        ("reviews = 1", "groups = [\"Wheel!\"]", 5, "is not allowed"),
        ("reviews = 1", "idle_limit = \"9s\"", 5, "at least 10 s"),
        ("reviews = 1", "groups = [\"docker\"]", 5, "amounts to root"),
        ("reviews = 1", "groups = [\"adm\", \"adm\"]", 1, "stands twice"),
        ("reviews = 1", "account = { name = \"guest\" }", 5, "something beside it"),
        ("reviews = 1", "account = { name = \"{user}\" }", 5, "something beside it"),
        ("reviews = 1", "account = { name = \"{user} x\" }", 5, "something beside it"),
        ("reviews = 1", "account = { home = \"burn\" }", 5, "burn"),
        ("reviews = 1", "account = { shell = \"bash\" }", 1, "absolute path of a shell"),
        (
            "services = [\"sshd\"]",
            "services = [\"su\"]\nforwarding = { port = true }",
            12,
            "only logins by sshd",
        ),
    ];
    for (old, new, line, words) in table {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replacen(old, new, 1);
        let told = parse(&text).err().unwrap_or_else(|| panic!("{new} was taken"));
        assert!(told.starts_with(&format!("catalog/nginx.toml, line {line}: ")), "{new}: {told}");
        assert!(told.contains(words), "{new}: {told}");
    }
}

#[test]
fn an_entitlement_that_allows_nothing_is_refused() {
    let text: String = GOOD.split("[login]").next().unwrap().to_owned();
    assert!(parse(&text).unwrap_err().contains("allows nothing"));
}

#[test]
fn forwarding_is_what_the_file_says_and_nothing_without_a_word() {
    use stint_grant::rights::login::Forwarding;
    let forwarding = |text: &str| parse(text).unwrap().rights.login.unwrap().forwarding;
    assert_eq!(forwarding(GOOD), Forwarding::NONE);
    let line = "services = [\"sshd\"]\nforwarding = { port = true, agent = true }";
    let some = GOOD.replacen("services = [\"sshd\"]", line, 1);
    assert_eq!(forwarding(&some), Forwarding { port: true, agent: true, x11: false });
}

#[test]
fn without_reviews_named_it_takes_one() {
    assert_eq!(parse(&GOOD.replace("reviews = 1\n", "")).unwrap().reviews, 1);
}

#[test]
fn a_catalog_with_one_mistake_is_not_taken_and_all_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.toml", GOOD);
    write("notes.txt", "not read");
    assert_eq!(super::load(folder.path(), Seconds(86400), Seconds(60)).unwrap().entitlements.len(), 1);
    write("b.toml", GOOD);
    write("c.toml", "name = 1");
    let mistakes = super::load(folder.path(), Seconds(86400), Seconds(60)).unwrap_err();
    assert_eq!(mistakes.len(), 2);
    assert!(mistakes[0].to_string().contains("in another file already"));
}

#[test]
fn a_grant_does_not_stop_because_one_pulse_was_late() {
    let folder = tempfile::tempdir().unwrap();
    let load = |staleness: &str| {
        let line = format!("max_staleness = \"{staleness}\"\n");
        std::fs::write(folder.path().join("a.toml"), GOOD.replace("reviews = 1\n", &line)).unwrap();
        super::load(folder.path(), Seconds(86400), Seconds(60))
    };
    assert!(load("2m").is_ok());
    let mistakes = load("119s").unwrap_err();
    assert!(mistakes[0].to_string().contains("write at least 2 times that"), "{mistakes:?}");
    assert!(mistakes[0].line.is_some_and(|line| line > 1));
}

#[test]
fn a_record_is_each_command_unless_something_else_is_said() {
    use stint_grant::record::{CommandRecord, RecordLevel};
    let of = |line: &str| parse(&GOOD.replace("reviews = 1\n", line)).map(|it| it.record);
    assert_eq!(of(""), Ok(CommandRecord::COMMANDS));
    assert_eq!(of("record = { level = \"none\" }\n"), Ok(CommandRecord::NONE));
    let io = CommandRecord { level: RecordLevel::Io, input: false, subcommands: false, fail_closed: true };
    assert_eq!(of("record = { level = \"io\" }\n"), Ok(io));
    let closed = CommandRecord { fail_closed: true, ..CommandRecord::COMMANDS };
    assert_eq!(of("record = { level = \"commands\", fail_closed = true }\n"), Ok(closed));
    for (line, words) in [
        ("record = { level = \"io\", fail_closed = false }\n", "goes with fail_closed only"),
        ("record = { level = \"commands\", input = true }\n", "input needs level io"),
        ("record = { level = \"none\", subcommands = true }\n", "level none"),
        ("record = { level = \"all\" }\n", "unknown variant"),
    ] {
        let told = of(line).unwrap_err();
        assert!(told.starts_with("catalog/nginx.toml, line ") && told.contains(words), "{line}: {told}");
    }
    let login_only = GOOD.split("[[sudo]]").next().unwrap();
    assert_eq!(parse(login_only).unwrap().record, CommandRecord::NONE);
}
