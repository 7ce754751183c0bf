//! Groups to which the host's own sudoers gives something, whatever it is: being in one of them is a right that no grant names.

use std::path::Path;

use serde_json::Value;

use super::implementation::run;

/// A group in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRights {
    /// By its name.
    Name(String),
    /// By its number.
    Number(u32),
}

/// All groups that the rules of `sudoers` name. None on a host without sudo.
pub(crate) fn rights_of_groups(etc: &Path) -> Result<Vec<GroupRights>, String> {
    let sudoers = etc.join("sudoers");
    if !sudoers.exists() {
        return Ok(Vec::new());
    }
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let mut places = folders.iter().map(|folder| Path::new(folder).join("cvtsudoers"));
    let program = places.find(|path| path.is_file()).ok_or("cvtsudoers is not installed")?;
    let said = run(&program, &["-e", "-f", "json"], Some(&sudoers)).map_err(|e| e.to_string())?;
    if !said.ok {
        return Err(format!("cvtsudoers: {}", said.err.trim()));
    }
    let told: Value = serde_json::from_str(&said.out).map_err(|e| format!("cvtsudoers: {e}"))?;
    let mut groups = Vec::new();
    collect(told.get("User_Specs").unwrap_or(&Value::Null), &mut groups);
    collect(told.get("User_Aliases").unwrap_or(&Value::Null), &mut groups);
    Ok(groups)
}

/// Wherever they stand: one too many is refused with its cause, one too few would be a way to root.
fn collect(value: &Value, groups: &mut Vec<GroupRights>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| collect(value, groups)),
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("usergroup" | "nonunixgroup", Value::String(name)) => {
                        groups.push(GroupRights::Name(name.clone()));
                    }
                    ("usergid", number) => {
                        let number = number.as_u64().or_else(|| number.as_str()?.parse().ok());
                        groups.extend(number.and_then(|n| u32::try_from(n).ok()).map(GroupRights::Number));
                    }
                    _ => collect(value, groups),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sudoers: &str) -> Vec<GroupRights> {
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("sudoers"), sudoers).unwrap();
        rights_of_groups(etc.path()).unwrap()
    }

    #[test]
    fn every_group_that_a_rule_names_is_told_by_name_or_number() {
        let text = "User_Alias OPS = %ops, bob\nOPS ALL = /bin/id\n%#1044 ALL = ALL\nalice, %deploy ALL = (www) /bin/ls\n";
        let groups = told(text);
        for name in ["ops", "deploy"] {
            assert!(groups.contains(&GroupRights::Name(name.to_owned())), "{name}: {groups:?}");
        }
        assert!(groups.contains(&GroupRights::Number(1044)), "{groups:?}");
    }

    #[test]
    fn a_host_without_sudo_gives_nothing_by_it_and_a_broken_file_is_an_error() {
        let etc = tempfile::tempdir().unwrap();
        assert_eq!(rights_of_groups(etc.path()), Ok(Vec::new()));
        std::fs::write(etc.path().join("sudoers"), "alice ALL = (\n").unwrap();
        assert!(rights_of_groups(etc.path()).is_err());
    }
}
