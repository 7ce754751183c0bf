//! sudo's own tools read a drop-in back, before it is put into place, and what they understood must be what was meant.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, SudoRule};

use super::implementation::{Tools, Unsupported, run};
use super::render::{DropIn, RenderError, SERVER_TIMEOUT, Setting, meaning};
use crate::warden::sudo_log::RECEIVER;

/// Why a drop-in is not put into place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CheckError {
    /// A tool could not be run.
    #[error("{0}")]
    Tool(#[from] Unsupported),
    /// It cannot be written at all.
    #[error("{0}")]
    Render(#[from] RenderError),
    /// It could not be written to the disk.
    #[error("{0}")]
    File(String),
    /// `cvtsudoers` cannot read it.
    #[error("cvtsudoers refused it: {0}")]
    Unreadable(String),
    /// `cvtsudoers` read something else.
    #[error("sudo would understand it as something else than was meant: {0}")]
    OtherMeaning(String),
    /// `visudo` found fault.
    #[error("visudo refused it: {0}")]
    Visudo(String),
}

/// Checks the file that holds a drop-in's text. The file has the owner and the mode that it will have in place.
pub(super) fn check(tools: &Tools, file: &Path, intent: &DropIn<'_>) -> Result<(), CheckError> {
    tools.can_record(intent.record)?;
    let (cvtsudoers, visudo, checks_owner) = match tools {
        Tools::Sudo { cvtsudoers, visudo, checks_owner, .. } => (cvtsudoers, visudo, checks_owner),
        // It has nothing that tells what it understood: so only what means itself was written, and it must parse.
        Tools::SudoRs { visudo, .. } => return accepts(visudo, &["-c", "-f"], file),
    };
    let read = run(cvtsudoers, &["-f", "json"], Some(file))?;
    if !read.ok || !read.err.trim().is_empty() {
        return Err(CheckError::Unreadable(first_line(&read.err)));
    }
    compare(&read.out, intent)?;
    accepts(visudo, if *checks_owner { &["-s", "-O", "-P", "-c", "-f"] } else { &["-s", "-c", "-f"] }, file)
}

fn accepts(visudo: &Path, arguments: &[&str], file: &Path) -> Result<(), CheckError> {
    let verdict = run(visudo, arguments, Some(file))?;
    if verdict.ok { Ok(()) } else { Err(CheckError::Visudo(first_line(&(verdict.err + &verdict.out)))) }
}

fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason").trim().to_owned()
}

/// The file as `cvtsudoers` tells it. A part that is not known here is a refusal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(rename = "Defaults")]
    defaults: Vec<Value>,
    #[serde(rename = "User_Specs")]
    user_specs: Vec<UserSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserSpec {
    #[serde(rename = "User_List")]
    users: Value,
    #[serde(rename = "Host_List")]
    hosts: Value,
    #[serde(rename = "Cmnd_Specs")]
    commands: Vec<CommandSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandSpec {
    runasusers: Value,
    #[serde(rename = "Options")]
    options: Vec<Map<String, Value>>,
    #[serde(rename = "Commands")]
    commands: Vec<Map<String, Value>>,
}

/// Compares what was understood with what was meant: every line, nothing more, nothing less.
fn compare(told: &str, intent: &DropIn<'_>) -> Result<(), CheckError> {
    let other = |what: String| CheckError::OtherMeaning(what);
    let told: Told = serde_json::from_str(told).map_err(|e| other(e.to_string()))?;
    let user = json!([{ "username": intent.user.as_str() }]);
    let mut defaults = vec![json!({
        "Binding": user,
        "Options": [
            { "use_pty": true }, { "timestamp_timeout": "0" }, { "timestamp_type": "tty" }, { "setenv": false }
        ]
    })];
    let recording: Vec<Value> = intent.recording().iter().map(told_of).collect();
    if !recording.is_empty() {
        defaults.push(json!({ "Binding": user, "Options": recording }));
    }
    let defaults = Value::from(defaults);
    if Value::from(told.defaults.clone()) != defaults {
        return Err(other(format!("its Defaults are {}", Value::from(told.defaults))));
    }
    let not_after = intent.not_after()?;
    let mut rules = intent.rules.iter();
    for spec in &told.user_specs {
        if spec.users != user || spec.hosts != json!([{ "hostname": "ALL" }]) {
            return Err(other(format!("a rule is for users {} on hosts {}", spec.users, spec.hosts)));
        }
        for line in &spec.commands {
            for command in &line.commands {
                let rule = rules.next().ok_or_else(|| other("it has more rules than were meant".into()))?;
                compare_rule(line, command, rule, &not_after)?;
            }
        }
    }
    if rules.next().is_some() {
        return Err(other("it has fewer rules than were meant".to_owned()));
    }
    Ok(())
}

/// A setting as `cvtsudoers` tells it.
fn told_of(setting: &Setting) -> Value {
    match setting {
        Setting::Server => json!({ "operation": "list_assign", "log_servers": [RECEIVER] }),
        Setting::Timeout => json!({ "log_server_timeout": SERVER_TIMEOUT.to_string() }),
        Setting::Flag(name, on) => json!({ *name: on }),
    }
}

fn compare_rule(
    line: &CommandSpec,
    command: &Map<String, Value>,
    rule: &SudoRule,
    not_after: &str,
) -> Result<(), CheckError> {
    let differs = |what: &str, found: &dyn std::fmt::Display| {
        Err(CheckError::OtherMeaning(format!("{what} of {rule} would be {found}")))
    };
    if line.runasusers != json!([{ "username": rule.run_as.as_str() }]) {
        return differs("the target", &line.runasusers);
    }
    let mut options: Vec<_> = line.options.iter().flatten().collect();
    options.sort_by_key(|(name, _)| name.as_str());
    let (no, yes, end) = (Value::from(false), Value::from(true), Value::from(not_after));
    let mut meant = vec![("authenticate", &no)];
    meant.extend(rule.noexec.then_some(("noexec", &yes)));
    meant.extend([("notafter", &end), ("setenv", &no)]);
    if !options.iter().map(|(name, value)| (name.as_str(), *value)).eq(meant) {
        return differs("the options", &Value::from_iter(line.options.clone()));
    }
    let digest = command.get("sha256").and_then(Value::as_str);
    if digest != rule.digest.as_ref().map(stint_grant::ids::Sha256Hex::as_str) {
        return differs("the digest", &digest.unwrap_or("none"));
    }
    if let Some(extra) = command.keys().find(|key| *key != "command" && *key != "sha256") {
        return differs("a detail", extra);
    }
    let text = command.get("command").and_then(Value::as_str).unwrap_or("");
    if means(text, &rule.command) { Ok(()) } else { differs("the command", &text) }
}

/// Whether the command as it was understood is exactly the one that was meant.
fn means(text: &str, command: &Command) -> bool {
    let Program { path, arguments } = match command {
        Command::All => return text == "ALL",
        Command::Program(program) => program,
    };
    let Some(rest) = text.strip_prefix(path.as_str()) else { return false };
    match arguments {
        Arguments::Any => rest.is_empty(),
        Arguments::Exact(list) if list.is_empty() => rest == " \"\"",
        Arguments::Exact(list) => rest.strip_prefix(' ').is_some_and(|pattern| {
            // The same two characters mean "no arguments" when they stand bare.
            pattern != "\"\"" && meaning(pattern).is_some_and(|text| text == list.join(" "))
        }),
    }
}

#[cfg(test)]
mod tests;
