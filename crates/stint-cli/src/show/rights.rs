//! Rights in words, with nothing left out: a reviewer signs for all of it.

use stint_grant::record::{CommandRecord, RecordLevel};
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::{AccountRight, Arguments, Command, HomeEnd, LoginRight, Rights, SudoRule};

use super::safe;

/// The lines of each kind of right: login, sudo, groups.
pub(crate) fn login(rights: &Rights) -> Vec<String> {
    let Some(LoginRight { services, origins, forwarding }) = &rights.login else {
        return vec!["none".to_owned()];
    };
    let from = if origins.is_empty() {
        "from anywhere".to_owned()
    } else {
        format!("from {}", origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    let services: Vec<_> = services.iter().map(|s| safe(s)).collect();
    vec![format!("by {}, {from}; {}", services.join(", "), forwarded(*forwarding))]
}

fn forwarded(forwarding: Forwarding) -> String {
    let Forwarding { port, agent, x11 } = forwarding;
    let allowed: Vec<_> = [(port, "ports"), (agent, "agent"), (x11, "X11")]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
    if allowed.is_empty() {
        "forwards nothing".to_owned()
    } else {
        format!("may forward {}", allowed.join(", "))
    }
}

/// A line for each sudo rule.
pub(crate) fn sudo(rights: &Rights) -> Vec<String> {
    if rights.sudo.is_empty() {
        return vec!["none".to_owned()];
    }
    rights.sudo.iter().map(rule).collect()
}

fn rule(rule: &SudoRule) -> String {
    let SudoRule { run_as, command, digest, noexec } = rule;
    let mut text = match command {
        Command::All => "ANY COMMAND".to_owned(),
        Command::Program(program) => {
            let path = word(&program.path);
            match &program.arguments {
                Arguments::Any => format!("{path} with any arguments"),
                Arguments::Exact(list) if list.is_empty() => format!("{path} without arguments"),
                Arguments::Exact(list) => {
                    let words: Vec<_> = list.iter().map(|a| word(a)).collect();
                    format!("{path} {}", words.join(" "))
                }
            }
        }
    };
    text = format!("{text}, as {run_as}");
    if rule.is_full_root() {
        text.push_str(" (FULL ROOT)");
    }
    if *noexec {
        text.push_str("; may start no other program");
    }
    if let Some(digest) = digest {
        text = format!("{text}; only with SHA-256 {digest}");
    }
    text
}

/// One word of a command, quoted where it would not be read as one: `a b` and `a` `b` must not look alike.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", safe(text).replace('\'', r"'\''"))
}

/// What is recorded of commands.
pub(crate) fn record(record: CommandRecord) -> Vec<String> {
    let CommandRecord { level, input, subcommands, fail_closed } = record;
    let what = match level {
        RecordLevel::None => "only that sudo was used",
        RecordLevel::Commands => "each command with its arguments",
        RecordLevel::Io if input => {
            "each command with its arguments, what it prints, and WHAT IS TYPED (also passwords)"
        }
        RecordLevel::Io => "each command with its arguments, and what it prints",
    };
    let with_subcommands = subcommands.then_some("the programs that it starts, as far as sudo sees them");
    let or_nothing = match (level, fail_closed) {
        (RecordLevel::None, _) => None,
        (_, true) => Some("no command runs that cannot be recorded"),
        (_, false) => Some("commands run also when they cannot be recorded"),
    };
    [Some(what), with_subcommands, or_nothing].into_iter().flatten().map(str::to_owned).collect()
}

/// The groups in one line.
pub(crate) fn groups(rights: &Rights) -> Option<String> {
    let names: Vec<_> = rights.groups.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The account that is made for the window; no line if none is.
pub(crate) fn account(rights: &Rights) -> Vec<String> {
    let Some(AccountRight { shell, home, keys }) = &rights.account else { return Vec::new() };
    let home = match home {
        HomeEnd::Remove => "its home is removed at the end",
        HomeEnd::Archive => "its home is archived for root at the end",
        HomeEnd::Keep => "its home is left to root at the end",
    };
    let made = format!("made for the window, shell {}; {home}", safe(shell));
    let keys = keys.iter().map(|key| format!("lets in {}", safe(key)));
    std::iter::once(made).chain(keys).collect()
}

#[cfg(test)]
mod tests {
    use stint_grant::rights::sudo::Program;

    use super::*;

    fn rights(run_as: &str, command: Command) -> Rights {
        let rule = SudoRule { run_as: run_as.parse().unwrap(), command, digest: None, noexec: false };
        Rights { login: None, sudo: vec![rule], groups: vec![], account: None }
    }

    fn program(path: &str, arguments: Arguments) -> Command {
        Command::Program(Program { path: path.into(), arguments })
    }

    fn exact(arguments: &[&str]) -> Arguments {
        Arguments::Exact(arguments.iter().map(|&a| a.to_owned()).collect())
    }

    #[test]
    fn a_command_is_shown_with_its_arguments_and_its_account() {
        let rights = rights("root", program("/usr/bin/systemctl", exact(&["restart", "nginx"])));
        assert_eq!(sudo(&rights), ["/usr/bin/systemctl restart nginx, as root"]);
    }

    #[test]
    fn one_argument_with_a_blank_does_not_look_like_two() {
        let one = rights("root", program("/bin/x", exact(&["a b"])));
        let two = rights("root", program("/bin/x", exact(&["a", "b"])));
        assert_eq!(sudo(&one), ["/bin/x 'a b', as root"]);
        assert_eq!(sudo(&two), ["/bin/x a b, as root"]);
    }

    #[test]
    fn an_empty_argument_and_a_quote_are_seen() {
        let rights = rights("root", program("/bin/x", exact(&["", "it's", "*"])));
        assert_eq!(sudo(&rights), [r"/bin/x '' 'it'\''s' '*', as root"]);
    }

    #[test]
    fn a_hidden_character_in_an_argument_is_seen() {
        let rights = rights("root", program("/bin/x", exact(&["a\u{202e}b"])));
        assert_eq!(sudo(&rights), [r"/bin/x 'a\u{202e}b', as root"]);
    }

    #[test]
    fn any_arguments_and_none_are_told_apart() {
        assert_eq!(
            sudo(&rights("www", program("/bin/x", Arguments::Any))),
            ["/bin/x with any arguments, as www"]
        );
        assert_eq!(sudo(&rights("www", program("/bin/x", exact(&[])))), ["/bin/x without arguments, as www"]);
    }

    #[test]
    fn full_root_cannot_be_overlooked() {
        assert_eq!(sudo(&rights("root", Command::All)), ["ANY COMMAND, as root (FULL ROOT)"]);
        assert_eq!(sudo(&rights("postgres", Command::All)), ["ANY COMMAND, as postgres"]);
    }

    #[test]
    fn limits_of_a_rule_are_shown() {
        let mut rights = rights("root", program("/bin/x", Arguments::Any));
        rights.sudo[0].noexec = true;
        rights.sudo[0].digest = Some("ab".repeat(32).parse().unwrap());
        let digest = "ab".repeat(32);
        assert_eq!(
            sudo(&rights),
            [format!(
                "/bin/x with any arguments, as root; may start no other program; only with SHA-256 {digest}"
            )]
        );
    }

    #[test]
    fn an_account_says_what_it_is_like_and_whom_it_lets_in() {
        let mut rights = rights("root", Command::All);
        assert!(account(&rights).is_empty());
        let keys = vec!["ssh-ed25519 AAAA".into()];
        rights.account = Some(AccountRight { shell: "/bin/bash".into(), home: HomeEnd::Archive, keys });
        let expected = [
            "made for the window, shell /bin/bash; its home is archived for root at the end",
            "lets in ssh-ed25519 AAAA",
        ];
        assert_eq!(account(&rights), expected);
    }

    #[test]
    fn a_record_says_how_much_and_whether_commands_run_without_it() {
        assert_eq!(record(CommandRecord::NONE), ["only that sudo was used"]);
        assert_eq!(record(CommandRecord::COMMANDS)[1], "commands run also when they cannot be recorded");
        let all = CommandRecord { level: RecordLevel::Io, input: true, subcommands: true, fail_closed: true };
        assert_eq!(
            record(all),
            [
                "each command with its arguments, what it prints, and WHAT IS TYPED (also passwords)",
                "the programs that it starts, as far as sudo sees them",
                "no command runs that cannot be recorded",
            ]
        );
    }

    #[test]
    fn a_login_says_by_what_and_from_where() {
        let mut rights = rights("root", Command::All);
        assert_eq!(login(&rights), ["none"]);
        let mut right = LoginRight {
            services: vec!["sshd".into(), "su".into()],
            origins: vec![],
            forwarding: Forwarding { port: false, agent: false, x11: false },
        };
        rights.login = Some(right.clone());
        assert_eq!(login(&rights), ["by sshd, su, from anywhere; forwards nothing"]);
        right.origins = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        right.forwarding = Forwarding { port: true, agent: true, x11: false };
        rights.login = Some(right);
        assert_eq!(login(&rights), ["by sshd, su, from 10.0.0.0/8, ::1/128; may forward ports, agent"]);
    }
}
