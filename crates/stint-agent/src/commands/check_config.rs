//! `stintd check-config [FILE]`: reads `host.toml` and says what is wrong with it, or what it means.

use std::fmt::Write as _;
use std::path::Path;

use stint_grant::host_config::{BreakGlass, HostConfig, MAX_HOST_CONFIG_BYTES};
use stint_grant::residue::Policy;

use super::failure::{Exit, Failure};
use crate::warden::files;

/// Reads a file and tells what it means.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let config = read(path)?;
    print!("{}", summary(&config));
    println!("{} is good.", path.display());
    Ok(())
}

/// Reads `host.toml`. A file that is not there is an error, not a default.
pub(crate) fn read(path: &Path) -> Result<HostConfig, Failure> {
    let shown = path.display();
    let bad = |message: String| Failure::new(Exit::Check, message);
    let bytes = files::read(path, MAX_HOST_CONFIG_BYTES)
        .map_err(|e| bad(e.to_string()))?
        .ok_or_else(|| bad(format!("there is no {shown}")))?;
    let text = String::from_utf8(bytes).map_err(|_| bad(format!("{shown} is not UTF-8 text")))?;
    HostConfig::parse(&text).map_err(|e| match e.line {
        Some(line) => bad(format!("{shown}, line {line}: {}", e.message)),
        None => bad(format!("{shown}: {}", e.message)),
    })
}

fn summary(config: &HostConfig) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<28} {value}");
    };
    let managed = &config.managed;
    line("managed", format!("accounts from uid {}", managed.first_uid));
    line("exempt", list(&managed.exempt_uids));
    line(
        "break-glass account",
        managed.break_glass_uid.map_or("none".to_owned(), |uid| format!("uid {uid}")),
    );
    line("gated services", list(&managed.services));
    line("root over the network", if managed.remote_root { "without a grant" } else { "gated" }.to_owned());
    line("oldest news that count", config.limits.staleness.to_string());
    line("longest window", config.ceiling.max_window.to_string());
    line(
        "full root",
        if config.ceiling.full_root { "may be granted" } else { "is never granted" }.to_owned(),
    );
    line("least record of commands", config.ceiling.record.word().to_owned());
    let BreakGlass { codes, max_window, max_age, reviews } = &config.ceiling.break_glass;
    line(
        "break-glass codes",
        if *codes {
            format!("good for {max_age}, each opens {max_window}, with {reviews} signed reviews at the least")
        } else {
            "are not taken".to_owned()
        },
    );
    let reviews = &config.ceiling.reviews;
    line(
        "signed reviews needed",
        format!(
            "login {}, sudo {}, root {}, group {}, account {}",
            reviews.login, reviews.sudo, reviews.root, reviews.group, reviews.account
        ),
    );
    let residue = &config.residue;
    line("a look for residue", format!("{} at most", residue.time_limit));
    let treated = residue.policy.iter().map(|(kind, policy)| {
        let policy = match policy {
            Policy::Undo => "undo",
            Policy::Report => "report",
            Policy::Ignore => "ignore",
        };
        format!("{} {policy}", kind.word())
    });
    line("residue, not by default", list(&treated.collect::<Vec<_>>()));
    if !residue.watch.is_empty() {
        line("watched beside", list(&residue.watch));
    }
    let allowed = config.ceiling.allowed_groups.as_ref();
    line(
        "groups that may be given",
        allowed.map_or("any that is not root's".to_owned(), |groups| list(groups)),
    );
    let accounts = &config.ceiling.accounts;
    let range = format!("may be made, uid {} to {}", accounts.first_uid, accounts.last_uid);
    line("accounts for a window", if accounts.allowed { range } else { "are never made".to_owned() });
    text
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        std::fs::write(&path, "[managed]\nfirst_uid = 1000\nfirst_gid = 7\n").unwrap();
        let failure = read(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Check);
        assert!(failure.message.contains("host.toml, line 3"), "{}", failure.message);
    }
    #[test]
    fn a_missing_file_is_an_error_and_not_a_default() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("host.toml")).unwrap_err().message.contains("there is no"));
    }
    #[test]
    fn the_summary_says_what_is_in_force() {
        let text = summary(&HostConfig::parse("[managed]\nbreak_glass_uid = 1900\n").unwrap());
        assert!(
            text.contains("uid 1900") && text.contains("15 min") && text.contains("never granted"),
            "{text}"
        );
    }
}
