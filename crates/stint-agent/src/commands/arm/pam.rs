//! What stands in `/etc/pam.d`: whether our lines are there, and in the right order. Pure.
//!
//! `pam-auth-update` leaves files that were edited by hand as they are and reports success. So nobody is told that the gate stands
//! until its lines were read back.

use std::path::Path;

use crate::warden::files;

/// The module's file.
const MODULE: &str = "pam_stint.so";

/// The files that our lines stand in.
pub(crate) const COMMON_FILES: [&str; 3] =
    ["common-account", "common-session", "common-session-noninteractive"];

/// The files that most services share, as `pam-auth-update` writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommonFiles {
    /// `common-account`.
    pub(crate) account: String,
    /// `common-session`.
    pub(crate) session: String,
    /// `common-session-noninteractive`.
    pub(crate) session_noninteractive: String,
}

impl CommonFiles {
    /// Reads them. One that is not there is empty.
    pub(crate) fn read(folder: &Path) -> Self {
        let read = |name| files::text(&folder.join(name));
        let [account, session, session_noninteractive] = COMMON_FILES.map(read);
        Self { account, session, session_noninteractive }
    }
}

/// What our lines do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// No line stands.
    None,
    /// All lines stand, in the right order.
    Whole,
    /// Something is missing or in the wrong place: each, in words.
    Broken(Vec<String>),
}

/// One line of a PAM file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    kind: String,
    control: String,
    module: String,
    arguments: Vec<String>,
}

/// Reads our lines back.
pub(crate) fn wiring(files: &CommonFiles) -> Wiring {
    let all = [&files.account, &files.session, &files.session_noninteractive];
    if !all.iter().any(|text| lines(text).iter().any(Line::is_ours)) {
        return Wiring::None;
    }
    let mut problems = Vec::new();
    check_account(&lines(&files.account), &mut problems);
    check_session("common-session", &lines(&files.session), &mut problems);
    check_session("common-session-noninteractive", &lines(&files.session_noninteractive), &mut problems);
    if problems.is_empty() { Wiring::Whole } else { Wiring::Broken(problems) }
}

/// The account line comes first, so that nothing before it can let anybody in; and its denial counts.
fn check_account(lines: &[Line], problems: &mut Vec<String>) {
    let account: Vec<&Line> = lines.iter().filter(|l| l.kind == "account").collect();
    match account.iter().position(|l| l.does("account")) {
        None => problems.push("common-account: the account line is missing".to_owned()),
        Some(0) if account[0].denies() => {}
        Some(0) => problems.push(format!(
            "common-account: the account line's control {} throws a denial away",
            account[0].control
        )),
        Some(_) => problems.push("common-account: the account line is not the first".to_owned()),
    }
}

/// The limit comes before `pam_systemd`, which reads it; the registration after it, when the session's scope is there.
fn check_session(file: &str, lines: &[Line], problems: &mut Vec<String>) {
    let session: Vec<&Line> = lines.iter().filter(|l| l.kind == "session").collect();
    let limit = session.iter().position(|l| l.does("limit"));
    let register = session.iter().position(|l| l.does("register"));
    let systemd = session.iter().position(|l| l.module_name() == "pam_systemd.so");
    match (limit, systemd) {
        (None, _) => problems.push(format!("{file}: the line `session limit` is missing")),
        (Some(limit), Some(systemd)) if limit > systemd => {
            problems.push(format!("{file}: the line `session limit` stands after pam_systemd"));
        }
        _ => {}
    }
    let Some(register) = register else {
        problems.push(format!("{file}: the line `session register` is missing"));
        return;
    };
    if systemd.is_some_and(|systemd| register < systemd) {
        problems.push(format!("{file}: the line `session register` stands before pam_systemd"));
    }
    if limit.is_some_and(|limit| register < limit) {
        problems.push(format!("{file}: the line `session register` stands before `session limit`"));
    }
    if !session[register].denies() {
        problems.push(format!(
            "{file}: the control {} of `session register` throws a refusal away",
            session[register].control
        ));
    }
}

/// The text without our lines; `None` if there are none in it. Every other byte stays, also where it is no text.
pub(crate) fn without_our_lines(bytes: &[u8]) -> Option<Vec<u8>> {
    // One character for each byte: all that PAM obeys is ASCII, and the way back loses nothing.
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut kept = String::new();
    let mut found = false;
    let mut physical = text.split_inclusive('\n');
    while let Some(line) = physical.next() {
        let mut whole = line.to_owned();
        while whole.trim_end().ends_with('\\') && !whole.trim_start().starts_with('#') {
            let Some(next) = physical.next() else { break };
            whole.push_str(next);
        }
        if lines(&whole).iter().any(Line::is_ours) {
            found = true;
        } else {
            kept.push_str(&whole);
        }
    }
    found.then(|| kept.chars().filter_map(|c| u8::try_from(c).ok()).collect())
}

/// The gated services that have a PAM file of their own which does not lead to `common-account`.
pub(crate) fn services_past_the_gate(folder: &Path, services: &[String]) -> Vec<String> {
    let reads = |name: &str| folder.join(name).is_file().then(|| files::text(&folder.join(name)));
    services
        .iter()
        .filter(|service| {
            !service.contains('/') && reads(service).is_some() && !leads_to_gate(&reads, service, 8)
        })
        .cloned()
        .collect()
}

fn leads_to_gate(reads: &dyn Fn(&str) -> Option<String>, file: &str, depth: u8) -> bool {
    if file == "common-account" {
        return true;
    }
    let Some(text) = reads(file).filter(|_| depth > 0) else { return false };
    logical_lines(&text).iter().any(|line| {
        let mut words = line.split_whitespace();
        let included = match (words.next(), words.next(), words.next()) {
            (Some("@include"), Some(file), _)
            | (Some("account"), Some("include" | "substack"), Some(file)) => Some(file),
            (Some("account"), _, _) if line.contains(MODULE) => return true,
            _ => None,
        };
        included.is_some_and(|file| !file.contains('/') && leads_to_gate(reads, file, depth - 1))
    })
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (control, rest) = if let Some(inside) = rest.strip_prefix('[') {
            let (control, rest) = inside.split_once(']')?;
            (format!("[{control}]"), rest)
        } else {
            let (control, rest) = rest.split_once(char::is_whitespace)?;
            (control.to_owned(), rest)
        };
        let mut words = rest.split_whitespace();
        let module = words.next()?.to_owned();
        let kind = kind.strip_prefix('-').unwrap_or(kind).to_owned();
        Some(Self { kind, control, module, arguments: words.map(str::to_owned).collect() })
    }
    fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or_default()
    }
    fn is_ours(&self) -> bool {
        self.module_name() == MODULE
    }
    /// Whether it is our line for this: the word after the module's name, or after `session`.
    fn does(&self, what: &str) -> bool {
        self.is_ours() && self.arguments.iter().any(|a| a == what)
    }
    /// Whether a refusal by this line ends in a refusal.
    fn denies(&self) -> bool {
        match self.control.strip_prefix('[') {
            None => matches!(self.control.as_str(), "required" | "requisite"),
            Some(actions) => actions
                .trim_end_matches(']')
                .split_whitespace()
                .filter_map(|action| action.split_once('='))
                .all(|(value, action)| match value {
                    "default" | "perm_denied" | "auth_err" | "acct_expired" | "session_err" | "abort" => {
                        matches!(action, "die" | "bad")
                    }
                    _ => true,
                }),
        }
    }
}

fn lines(text: &str) -> Vec<Line> {
    logical_lines(text).iter().filter_map(|line| Line::parse(line)).collect()
}

/// Without comments and empty lines; a backslash at the end joins two.
fn logical_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if let Some(begun) = line.trim_end().strip_suffix('\\') {
            open.push_str(begun);
            open.push(' ');
            continue;
        }
        open.push_str(line);
        let whole = std::mem::take(&mut open);
        if !whole.trim().is_empty() {
            found.push(whole.trim().to_owned());
        }
    }
    if !open.trim().is_empty() {
        found.push(open.trim().to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: &str = "account [success=ok new_authtok_reqd=ok ignore=ignore module_unknown=ignore default=die] pam_stint.so account";
    const UNIX: &str = "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so";
    const LIMIT: &str =
        "session [success=ok ignore=ignore module_unknown=ignore default=ignore] pam_stint.so session limit";
    const REGISTER: &str =
        "session [success=ok ignore=ignore module_unknown=ignore default=die] pam_stint.so session register";
    const SYSTEMD: &str = "session optional pam_systemd.so";
    const PERMIT: &str =
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so";

    fn files(account: &[&str], session: &[&str], noninteractive: &[&str]) -> CommonFiles {
        CommonFiles {
            account: format!("# head\n{}\n", account.join("\n")),
            session: session.join("\n"),
            session_noninteractive: noninteractive.join("\n"),
        }
    }
    fn broken(files: &CommonFiles) -> String {
        match wiring(files) {
            Wiring::Broken(problems) => problems.join("; "),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_as_the_package_writes_them_are_whole() {
        let files = files(&[GATE, UNIX], &[PERMIT, LIMIT, SYSTEMD, REGISTER], &[PERMIT, LIMIT, REGISTER]);
        assert_eq!(wiring(&files), Wiring::Whole);
    }
    #[test]
    fn without_a_line_there_is_no_wiring_even_if_a_comment_names_it() {
        let files = files(&[UNIX, &format!("#{GATE}")], &[SYSTEMD], &[]);
        assert_eq!(wiring(&files), Wiring::None);
    }
    #[test]
    fn an_account_line_after_another_is_refused() {
        let files = files(&[UNIX, GATE], &[LIMIT, SYSTEMD, REGISTER], &[LIMIT, REGISTER]);
        assert!(broken(&files).contains("not the first"));
    }
    #[test]
    fn an_account_line_that_throws_denials_away_is_refused() {
        for control in [
            "[success=ok default=ignore]",
            "optional",
            "sufficient",
            "[success=ok perm_denied=ignore default=die]",
        ] {
            let gate = format!("account {control} pam_stint.so account");
            let files = files(&[&gate, UNIX], &[LIMIT, SYSTEMD, REGISTER], &[LIMIT, REGISTER]);
            assert!(broken(&files).contains("throws a denial away"), "{control}");
        }
    }
    #[test]
    fn a_limit_after_pam_systemd_is_refused() {
        let files = files(&[GATE], &[SYSTEMD, LIMIT, REGISTER], &[LIMIT, REGISTER]);
        assert!(broken(&files).contains("after pam_systemd"));
    }
    #[test]
    fn a_registration_before_pam_systemd_is_refused() {
        let files =
            files(&[GATE], &[LIMIT, REGISTER, "-session optional pam_systemd.so"], &[LIMIT, REGISTER]);
        assert!(broken(&files).contains("before pam_systemd"));
    }
    #[test]
    fn a_registration_whose_refusal_is_thrown_away_is_refused() {
        let soft = "session optional pam_stint.so session register";
        let files = files(&[GATE], &[LIMIT, SYSTEMD, REGISTER], &[LIMIT, soft]);
        assert!(broken(&files).contains("common-session-noninteractive"));
    }
    #[test]
    fn each_missing_line_is_named() {
        let only_account = files(&[GATE], &[], &[]);
        let problems = broken(&only_account);
        assert_eq!(problems.matches("missing").count(), 4, "{problems}");
        assert!(
            broken(&files(&[], &[LIMIT, REGISTER], &[LIMIT, REGISTER])).contains("account line is missing")
        );
    }
    #[test]
    fn lines_may_be_continued_and_modules_named_by_their_path() {
        let gate = "account required \\\n  /usr/lib/security/pam_stint.so account";
        assert_eq!(wiring(&files(&[gate], &[LIMIT, REGISTER], &[LIMIT, REGISTER])), Wiring::Whole);
    }
    #[test]
    fn our_lines_are_taken_out_and_nothing_else() {
        let by_hand = "account required pam_nologin.so # by hand";
        let text =
            format!("# {GATE}\n{GATE}\n{by_hand}\n{UNIX}\naccount required \\\n pam_stint.so account\nlast");
        let without = without_our_lines(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(without.clone()).unwrap(), format!("# {GATE}\n{by_hand}\n{UNIX}\nlast"));
        assert_eq!(without_our_lines(&without), None);
    }
    #[test]
    fn a_comment_in_another_encoding_hides_no_line_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let before = [b"# ge\xe4ndert \xc3\xa4\n", format!("{GATE}\n{UNIX}\n").as_bytes()].concat();
        std::fs::write(folder.path().join("common-account"), &before).unwrap();
        let read = CommonFiles::read(folder.path());
        assert_ne!(wiring(&read), Wiring::None);
        let without = without_our_lines(&before).unwrap();
        assert_eq!(without, [b"# ge\xe4ndert \xc3\xa4\n", format!("{UNIX}\n").as_bytes()].concat());
    }
    #[test]
    fn a_service_that_never_reaches_the_gate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("common-account", GATE);
        write("sshd", "@include common-account\n");
        write("su", "account include common-account\n");
        write("su-l", "@include su\n");
        write("doas", "auth required pam_unix.so\naccount required pam_unix.so\n");
        write("loop", "@include loop\n");
        write("own", "account required pam_stint.so account\n");
        let asked: Vec<String> =
            ["sshd", "su", "su-l", "doas", "loop", "own", "absent"].map(str::to_owned).to_vec();
        assert_eq!(services_past_the_gate(folder.path(), &asked), ["doas", "loop"]);
    }
}
