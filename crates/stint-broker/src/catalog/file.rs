//! One file of the catalog, as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use stint_grant::codes::MAX_CODES;
use stint_grant::host_config::parse_duration;
use stint_grant::ids::{EntitlementName, GroupName, HostName, Principal, Sha256Hex, UserName};
use stint_grant::record::{CommandRecord, RecordLevel};
use stint_grant::rights::login::{Forwarding, LOGOUT_SERVICES};
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{AccountRight, Arguments, Command, HomeEnd, LoginRight, Rights, SudoRule, groups};
use stint_grant::terms::{LONGEST_SEALED, MIN_IDLE};
use stint_grant::time::Seconds;
use toml::Spanned;

use super::{Entitlement, Requesters, Selector};
use crate::config::{self, FileError};
use crate::identity::Role;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<EntitlementName>,
    description: Spanned<String>,
    hosts: Spanned<Hosts>,
    login: Option<Spanned<Login>>,
    #[serde(default)]
    sudo: Vec<Spanned<Sudo>>,
    full_root: Option<Spanned<bool>>,
    groups: Option<Spanned<Vec<GroupName>>>,
    account: Option<Spanned<Account>>,
    max_window: Spanned<Length>,
    max_extension: Option<Spanned<Length>>,
    claim_within: Option<Spanned<Length>>,
    max_staleness: Option<Spanned<Length>>,
    idle_limit: Option<Spanned<Length>>,
    record: Option<Spanned<Recording>>,
    end_on_logout: Option<Spanned<bool>>,
    codes: Option<Spanned<u32>>,
    reviews: Option<Spanned<u32>>,
    requesters: Option<Spanned<Asking>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Hosts {
    names: BTreeSet<HostName>,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    #[serde(default = "ssh_only")]
    services: Vec<String>,
    #[serde(default)]
    origins: Vec<IpNet>,
    forwarding: Option<Spanned<Forwards>>,
}

/// An account that exists for the window only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    #[serde(default = "own_name")]
    name: String,
    #[serde(default = "a_shell")]
    shell: String,
    #[serde(default = "removed")]
    home: HomeEnd,
}

fn own_name() -> String {
    format!("{}-tmp", super::REQUESTER)
}
fn a_shell() -> String {
    "/bin/bash".to_owned()
}
fn removed() -> HomeEnd {
    HomeEnd::Remove
}

fn ssh_only() -> Vec<String> {
    vec!["sshd".to_owned()]
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Forwards {
    port: bool,
    agent: bool,
    x11: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sudo {
    run_as: Option<UserName>,
    command: Spanned<String>,
    arguments: Option<Spanned<Vec<Spanned<String>>>>,
    digest: Option<Sha256Hex>,
    #[serde(default)]
    noexec: bool,
}

/// What is recorded of commands. Without it: each command of an entitlement that has any.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    level: RecordLevel,
    #[serde(default)]
    input: bool,
    #[serde(default)]
    subcommands: bool,
    fail_closed: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Asking {
    names: BTreeSet<Principal>,
    roles: Vec<String>,
}

/// A length of time; `"0s"` means none.
#[derive(Clone, Copy)]
struct Length(Seconds);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "0s" {
            return Ok(Self(Seconds(0)));
        }
        parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

const DEFAULT_CLAIM: Seconds = Seconds(8 * 3600);
const DEFAULT_STALENESS: Seconds = Seconds(15 * 60);
const LONGEST_CLAIM: Seconds = Seconds(30 * 24 * 3600);
const LONGEST_STALENESS: Seconds = Seconds(24 * 3600);
const MOST_REVIEWS: u32 = 10;

/// Says where in the file something is wrong.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> FileError {
        FileError::at(self.path, self.text, at.span().start, message)
    }
}

/// Reads one file. `longest` is the broker's own limit for windows, extensions included.
pub(super) fn parse(path: &Path, text: &str, longest: Seconds) -> Result<Entitlement, FileError> {
    let file: File = config::parse(path, text)?;
    let place = Place { path, text };
    let description = file.description.get_ref();
    if description.is_empty() || description.len() > 500 || description.chars().any(char::is_control) {
        return Err(place.wrong(&file.description, "description: write one line of 1 to 500 characters"));
    }
    let length =
        |value: &Option<Spanned<Length>>, otherwise| value.as_ref().map_or(otherwise, |v| v.get_ref().0);
    let entitlement = Entitlement {
        name: file.name.get_ref().clone(),
        description: description.clone(),
        hosts: selector(&place, &file.hosts)?,
        record: record(&place, &file)?,
        rights: rights(&place, &file)?,
        account_name: account_name(&place, file.account.as_ref())?,
        max_window: file.max_window.get_ref().0,
        max_extension: length(&file.max_extension, Seconds(0)),
        claim_within: length(&file.claim_within, DEFAULT_CLAIM),
        max_staleness: length(&file.max_staleness, DEFAULT_STALENESS),
        idle_limit: file.idle_limit.as_ref().map(|limit| limit.get_ref().0),
        end_on_logout: file.end_on_logout.as_ref().is_some_and(|end| *end.get_ref()),
        codes: file.codes.as_ref().map_or(0, |codes| *codes.get_ref()),
        reviews: file.reviews.as_ref().map_or(1, |r| *r.get_ref()),
        requesters: requesters(&place, file.requesters.as_ref())?,
    };
    refuse_what_hosts_do_not_enforce(&place, &file)?;
    check_limits(&place, &file, &entitlement, longest)?;
    Ok(entitlement)
}

/// What the format knows and no host of this release enforces: refused here with the cause, not at the first login.
fn refuse_what_hosts_do_not_enforce(place: &Place<'_>, file: &File) -> Result<(), FileError> {
    // Only sshd forwards anything.
    let without_ssh = |login: &Login| !login.services.iter().any(|service| service == "sshd");
    let login = file.login.as_ref().map(Spanned::get_ref).filter(|login| without_ssh(login));
    match login.and_then(|login| login.forwarding.as_ref()) {
        Some(on) => Err(place.wrong(
            on,
            "forwarding: only logins by sshd forward anything: add it to services, or leave this out",
        )),
        None => Ok(()),
    }
}

fn check_limits(place: &Place<'_>, file: &File, it: &Entitlement, longest: Seconds) -> Result<(), FileError> {
    if it.max_window.0 == 0 {
        return Err(
            place.wrong(&file.max_window, "max_window: a window has a length: write for instance \"1h\"")
        );
    }
    if it.max_window.0.saturating_add(it.max_extension.0) > longest.0 {
        let message = format!(
            "max_window and max_extension together exceed {longest}, the max_window of broker.toml: write less"
        );
        return Err(place.wrong(&file.max_window, message));
    }
    let within = |value: &Option<Spanned<Length>>, name: &str, limit: Seconds| match value {
        Some(v) if v.get_ref().0.0 == 0 || v.get_ref().0 > limit => {
            Err(place.wrong(v, format!("{name}: write a length above zero, at most {limit}")))
        }
        _ => Ok(()),
    };
    if let Some(limit) = file.idle_limit.as_ref().filter(|limit| limit.get_ref().0 < MIN_IDLE) {
        let message = format!(
            "idle_limit: write at least {MIN_IDLE}: hosts cannot tell less, and most people mean minutes"
        );
        return Err(place.wrong(limit, message));
    }
    let logs_in = |login: &LoginRight| LOGOUT_SERVICES.iter().any(|service| login.covers_service(service));
    if let Some(end) = file.end_on_logout.as_ref().filter(|end| *end.get_ref())
        && !it.rights.login.as_ref().is_some_and(logs_in)
    {
        let message =
            "end_on_logout: nobody logs in by this: add a [login] by sshd or login, or leave it out";
        return Err(place.wrong(end, message));
    }
    check_codes(place, file, it)?;
    let longest_claim = if it.codes > 0 { LONGEST_SEALED } else { LONGEST_CLAIM };
    within(&file.claim_within, "claim_within", longest_claim)?;
    within(&file.max_staleness, "max_staleness", LONGEST_STALENESS)?;
    match &file.reviews {
        Some(r) if *r.get_ref() > MOST_REVIEWS => {
            Err(place.wrong(r, format!("reviews: at most {MOST_REVIEWS}")))
        }
        _ => Ok(()),
    }
}

/// What goes with break-glass codes.
fn check_codes(place: &Place<'_>, file: &File, it: &Entitlement) -> Result<(), FileError> {
    let Some(codes) = &file.codes else { return Ok(()) };
    let most = MAX_CODES;
    if !(1..=most).contains(&(it.codes as usize)) {
        return Err(place.wrong(codes, format!("codes: write 1 to {most}, or leave it out")));
    }
    let broken = [
        (it.max_extension.0 > 0, "max_extension: nobody can extend a window while the broker is gone"),
        (it.end_on_logout, "end_on_logout does not go with codes: a code opens a window of max_window"),
        (it.rights.account.is_some(), "account does not go with codes: they are for an account that stands"),
        (
            it.reviews == 0,
            "reviews = 0 does not go with codes: nobody would have looked before they are used",
        ),
    ];
    match broken.iter().find(|(broken, _)| *broken) {
        Some((_, message)) => Err(place.wrong(codes, format!("codes: {message}"))),
        None => Ok(()),
    }
}

fn record(place: &Place<'_>, file: &File) -> Result<CommandRecord, FileError> {
    let runs_commands = !file.sudo.is_empty() || file.full_root.as_ref().is_some_and(|f| *f.get_ref());
    let Some(asked) = &file.record else {
        return Ok(if runs_commands { CommandRecord::COMMANDS } else { CommandRecord::NONE });
    };
    let Recording { level, input, subcommands, fail_closed } = *asked.get_ref();
    let fail_closed = fail_closed.unwrap_or(level == RecordLevel::Io);
    let record = CommandRecord { level, input, subcommands, fail_closed };
    record.check().map_err(|e| place.wrong(asked, e.to_string()))?;
    if !runs_commands && level > RecordLevel::None {
        return Err(place.wrong(asked, "record: it allows no command that could be recorded: leave it out"));
    }
    Ok(record)
}

fn selector(place: &Place<'_>, hosts: &Spanned<Hosts>) -> Result<Selector, FileError> {
    let Hosts { names, labels } = hosts.get_ref();
    if names.is_empty() && labels.is_empty() {
        return Err(place.wrong(hosts, "hosts: write names = [\"web-01\"] or labels = { role = \"web\" }"));
    }
    Ok(Selector { names: names.clone(), labels: labels.clone() })
}

fn requesters(place: &Place<'_>, asking: Option<&Spanned<Asking>>) -> Result<Requesters, FileError> {
    let Some(asking) = asking else {
        return Ok(Requesters { names: BTreeSet::new(), roles: vec![Role::Requester] });
    };
    let roles = asking
        .get_ref()
        .roles
        .iter()
        .map(|word| {
            Role::from_word(word).ok_or_else(|| {
                let all = Role::ALL.map(Role::word).join(", ");
                place.wrong(asking, format!("requesters: {word:?} is not a role: write some of {all}"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if roles.is_empty() && asking.get_ref().names.is_empty() {
        return Err(
            place.wrong(asking, "requesters: name somebody, or leave it out: then every requester may ask")
        );
    }
    Ok(Requesters { names: asking.get_ref().names.clone(), roles })
}

fn rights(place: &Place<'_>, file: &File) -> Result<Rights, FileError> {
    let mut sudo = file.sudo.iter().map(|rule| sudo_rule(place, rule)).collect::<Result<Vec<_>, _>>()?;
    if let Some(full) = file.full_root.as_ref().filter(|f| *f.get_ref()) {
        if !sudo.is_empty() {
            return Err(
                place.wrong(full, "full_root = true allows every command: leave out the [[sudo]] rules")
            );
        }
        let run_as = UserName::new("root").expect("root is a name");
        sudo.push(SudoRule { run_as, command: Command::All, digest: None, noexec: false });
    }
    let login = file.login.as_ref().map(|l| {
        let Login { services, origins, forwarding } = l.get_ref();
        let forwarding = forwarding.as_ref().map_or(Forwarding::NONE, |f| {
            let Forwards { port, agent, x11 } = *f.get_ref();
            Forwarding { port, agent, x11 }
        });
        LoginRight { services: services.clone(), origins: origins.clone(), forwarding }
    });
    if let (Some(right), Some(at)) = (&login, &file.login) {
        let alone =
            Rights { login: Some(right.clone()), sudo: Vec::new(), groups: Vec::new(), account: None };
        let known = stint_grant::rights::login::LOGIN_SERVICES.join(", ");
        alone.check().map_err(|e| place.wrong(at, format!("{e}: write some of {known}")))?;
    }
    let groups = file.groups.as_ref().map(|g| g.get_ref().clone()).unwrap_or_default();
    let account = file.account.as_ref().map(|account| {
        let Account { shell, home, .. } = account.get_ref();
        AccountRight { shell: shell.clone(), home: *home, keys: Vec::new() }
    });
    let rights = Rights { login, sudo, groups, account };
    if let (Some(at), false) = (&file.groups, rights.is_full_root()) {
        let root = rights.groups.iter().find_map(|g| groups::root_equivalent(g).map(|why| (g, why)));
        if let Some((group, why)) = root {
            let message = format!(
                "groups: {group} amounts to root ({why}): leave it out, or write full_root = true, which says what it is"
            );
            return Err(place.wrong(at, message));
        }
    }
    rights.check().map_err(|e| place.wrong(&file.name, e.to_string()))?;
    Ok(rights)
}

/// The pattern of the account's name. Each requester gets their own: what is done in it must be somebody's.
fn account_name(place: &Place<'_>, account: Option<&Spanned<Account>>) -> Result<Option<String>, FileError> {
    let Some(at) = account else { return Ok(None) };
    let name = &at.get_ref().name;
    let example = name.replacen(super::REQUESTER, "alice", 1);
    let holds = name.contains(super::REQUESTER) && example != "alice" && UserName::new(example).is_ok();
    if !holds {
        let message = format!(
            "account: name {name:?}: write {0:?} for the requester's own account and something beside it, such as \"{0}-tmp\"",
            super::REQUESTER
        );
        return Err(place.wrong(at, message));
    }
    Ok(Some(name.clone()))
}

fn sudo_rule(place: &Place<'_>, rule: &Spanned<Sudo>) -> Result<SudoRule, FileError> {
    let Sudo { run_as, command, arguments, digest, noexec } = rule.get_ref();
    if command.get_ref() == "ALL" {
        return Err(
            place.wrong(command, "command \"ALL\": write full_root = true instead, which says what it is")
        );
    }
    let exact = match arguments {
        None => Arguments::Any,
        Some(list) => {
            if let Some(bad) = list.get_ref().iter().find(|a| is_pattern(a.get_ref())) {
                let message = format!(
                    "argument {:?}: there are no patterns: write the exact argument, or leave out `arguments` to allow any",
                    bad.get_ref()
                );
                return Err(place.wrong(bad, message));
            }
            Arguments::Exact(list.get_ref().iter().map(|a| a.get_ref().clone()).collect())
        }
    };
    let run_as = run_as.clone().unwrap_or_else(|| UserName::new("root").expect("root is a name"));
    let program = Program { path: command.get_ref().clone(), arguments: exact };
    let made =
        SudoRule { run_as, command: Command::Program(program), digest: digest.clone(), noexec: *noexec };
    let alone = Rights { login: None, sudo: vec![made.clone()], groups: Vec::new(), account: None };
    alone.check().map_err(|e| place.wrong(command, e.to_string()))?;
    Ok(made)
}

/// What sudoers would read as a wildcard, a regular expression or an escape.
fn is_pattern(argument: &str) -> bool {
    argument.contains(['*', '?', '[', ']', '\\']) || (argument.starts_with('^') && argument.ends_with('$'))
}
