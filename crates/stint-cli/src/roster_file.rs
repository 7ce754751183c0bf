//! The roster as an administrator writes it, and as it is signed, offline.

use std::path::Path;

use serde::Deserialize;
use ssh_key::PublicKey;
use stint_grant::dsse::{self, Document};
use stint_grant::ids::{FleetName, Principal};
use stint_grant::roster::{Reviewer, Roster};
use stint_grant::time::{Seconds, UnixTime};

use crate::duration;
use crate::exit::{Failure, Outcome};

/// The file: which fleet, which version, how long it holds, and the reviewers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RosterFile {
    /// The fleet; may be left out where a root is given.
    fleet: Option<FleetName>,
    /// Higher than that of the roster before.
    version: u64,
    /// How long it holds, such as `90d`.
    valid_for: String,
    /// The reviewers.
    #[serde(default)]
    reviewer: Vec<ReviewerEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewerEntry {
    name: Principal,
    keys: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

/// Reads the file and makes the roster of it.
pub(crate) fn read(text: &str, path: &Path, fleet: Option<&FleetName>, now: UnixTime) -> Outcome<Roster> {
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let file: RosterFile = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
    let fleet = match (file.fleet, fleet) {
        (Some(named), Some(root)) if named != *root => {
            return Err(wrong(format!("it is for fleet {named}, the root is of fleet {root}")));
        }
        (named, root) => named.or_else(|| root.cloned()).ok_or_else(|| {
            wrong("which fleet is it for?".to_owned())
                .next("give the root with --root, or write fleet = \"NAME\"")
        })?,
    };
    if file.version == 0 {
        return Err(wrong("version: the first is 1".to_owned()));
    }
    let valid_for = duration::parse(&file.valid_for).map_err(|e| wrong(format!("valid-for: {e}")))?;
    let mut reviewers: Vec<Reviewer> = Vec::new();
    for entry in file.reviewer {
        if reviewers.iter().any(|r| r.name == entry.name) {
            return Err(wrong(format!("reviewer {} stands in it twice", entry.name)));
        }
        reviewers.push(reviewer(entry).map_err(wrong)?);
    }
    if reviewers.is_empty() {
        return Err(
            wrong("there is no reviewer in it".to_owned()).next("write [[reviewer]] with name and keys")
        );
    }
    Ok(Roster {
        format: Roster::FORMAT,
        fleet,
        version: file.version,
        issued_at: now,
        expires_at: now.plus(Seconds(valid_for)),
        reviewers,
    })
}

fn reviewer(entry: ReviewerEntry) -> Result<Reviewer, String> {
    let ReviewerEntry { name, keys, groups } = entry;
    if keys.is_empty() {
        return Err(format!("reviewer {name} has no key: write keys = [\"ssh-ed25519 AAAA...\"]"));
    }
    let mut lines = Vec::new();
    for line in keys {
        let key = PublicKey::from_openssh(line.trim()).map_err(|e| {
            format!("reviewer {name}: not an SSH public key ({e}): write the line of the .pub file")
        })?;
        if !key.key_data().is_ed25519() {
            return Err(format!("reviewer {name}: an {} key; reviews need Ed25519", key.algorithm()));
        }
        lines.push(line.trim().to_owned());
    }
    Ok(Reviewer { name, keys: lines, groups })
}

/// The signed roster.
pub(crate) fn sign(roster: &Roster, keys: &[ed25519_dalek::SigningKey]) -> String {
    let keys: Vec<_> = keys.iter().collect();
    String::from_utf8(dsse::sign(roster, &keys)).expect("an envelope is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti bob@laptop";
    const NOW: UnixTime = UnixTime(1000);

    fn read_text(text: &str) -> Outcome<Roster> {
        read(text, Path::new("roster.toml"), None, NOW)
    }

    fn text(rest: &str) -> String {
        format!("fleet = \"demo\"\nversion = 2\nvalid-for = \"90d\"\n{rest}")
    }

    #[test]
    fn a_file_becomes_a_roster() {
        let roster = read_text(&text(&format!(
            "[[reviewer]]\nname = \"bob\"\nkeys = [\"{KEY}\"]\ngroups = [\"ops\"]\n"
        )))
        .unwrap();
        assert_eq!((roster.version, roster.expires_at), (2, UnixTime(1000 + 90 * 86_400)));
        assert_eq!(roster.reviewers[0].keys, [KEY]);
        assert_eq!(roster.reviewers[0].groups, ["ops"]);
    }

    #[test]
    fn an_unknown_field_is_refused_with_file_and_line() {
        let failure = read_text(&text("expire = 3\n")).unwrap_err();
        assert!(
            failure.message.starts_with("roster.toml: TOML parse error at line 4"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn mistakes_in_the_roster_are_named() {
        let bob = format!("[[reviewer]]\nname = \"bob\"\nkeys = [\"{KEY}\"]\n");
        let cases = [
            (text(""), "there is no reviewer in it"),
            (text(&format!("{bob}{bob}")), "reviewer bob stands in it twice"),
            (text("[[reviewer]]\nname = \"bob\"\nkeys = []\n"), "reviewer bob has no key"),
            (text("[[reviewer]]\nname = \"bob\"\nkeys = [\"x\"]\n"), "reviewer bob: not an SSH public key"),
            (text("[[reviewer]]\nname = \"Bob!\"\nkeys = []\n"), "principal \"Bob!\" is not allowed"),
            (text(&bob).replace("version = 2", "version = 0"), "version: the first is 1"),
            (text(&bob).replace("90d", "90"), "valid-for: \"90\" is not a length of time"),
            (text(&bob).replace("fleet = \"demo\"\n", ""), "which fleet is it for?"),
        ];
        for (text, wanted) in cases {
            let failure = read_text(&text).unwrap_err();
            assert!(failure.message.contains(wanted), "{wanted}: {}", failure.message);
        }
    }

    #[test]
    fn a_root_of_another_fleet_is_noticed() {
        let bob = text(&format!("[[reviewer]]\nname = \"bob\"\nkeys = [\"{KEY}\"]\n"));
        let other = "other".parse().unwrap();
        let failure = read(&bob, Path::new("roster.toml"), Some(&other), NOW).unwrap_err();
        assert_eq!(failure.message, "roster.toml: it is for fleet demo, the root is of fleet other");
    }

    #[test]
    fn what_was_signed_opens_with_the_roster_key() {
        let bob = text(&format!("[[reviewer]]\nname = \"bob\"\nkeys = [\"{KEY}\"]\n"));
        let roster = read_text(&bob).unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let envelope = sign(&roster, std::slice::from_ref(&key));
        let public = stint_grant::keys::PublicKey::of(&key);
        let signers = dsse::Signers { keys: vec![&public], threshold: 1 };
        let opened: dsse::Verified<Roster> = dsse::verify(envelope.as_bytes(), &[signers]).unwrap();
        assert_eq!(opened.into_inner(), roster);
    }
}
