//! What a group gives on this host, beyond its name.

use std::path::PathBuf;

use stint_grant::acceptance::{GroupFact, HostFacts};
use stint_grant::ids::{GroupName, UserName};
use stint_grant::rights::groups::{root_equivalent, root_equivalent_names};

use super::found::Found;
use super::ledger::Ledger;
use crate::warden::files;
use crate::warden::paths::Paths;
use crate::warden::sudoers::{self, GroupRights};

/// The largest `doas.conf`.
const MAX_BYTES: usize = 1024 * 1024;

/// The host's files.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    etc: PathBuf,
    ledger: PathBuf,
}

impl Facts {
    /// Of the host.
    pub(crate) fn of(paths: &Paths) -> Self {
        Self { etc: paths.host_etc(), ledger: paths.accounts_ledger() }
    }
}

impl HostFacts for Facts {
    fn group(&self, group: &GroupName) -> GroupFact {
        let found = match Found::read(&self.etc) {
            Ok(found) => found,
            Err(error) => return GroupFact::Unusable(format!("which cannot be looked up: {error}")),
        };
        if let Some(fact) = by_files(&found, group) {
            return fact;
        }
        let gid = found.group(group.as_str()).map(|g| g.gid);
        match sudoers::rights_of_groups(&self.etc) {
            Ok(rights) if rights.iter().any(|right| names(right, group, gid)) => {
                return GroupFact::Root("this host's sudoers gives it rights".to_owned());
            }
            Ok(_) => {}
            Err(why) => {
                return GroupFact::Unusable(format!("whose rights in sudoers cannot be told: {why}"));
            }
        }
        match doas_names(&self.etc, group) {
            Ok(true) => GroupFact::Root("this host's doas.conf gives it rights".to_owned()),
            Ok(false) => GroupFact::Plain,
            Err(why) => GroupFact::Unusable(format!("whose rights in doas.conf cannot be told: {why}")),
        }
    }

    fn is_foreign(&self, user: &UserName) -> bool {
        let (Ok(found), Ok(ledger)) = (Found::read(&self.etc), Ledger::load(&self.ledger)) else {
            return true;
        };
        let ours = ledger.account(user).map(|account| account.uid);
        match found.user(user.as_str()) {
            Some(standing) => Some(standing.uid) != ours,
            None => ours.is_none() && found.group(user.as_str()).is_some(),
        }
    }
}

/// What name and number tell.
fn by_files(found: &Found, group: &GroupName) -> Option<GroupFact> {
    let Some(standing) = found.group(group.as_str()) else {
        return Some(GroupFact::Unusable("which is not in this host's /etc/group".to_owned()));
    };
    if let Some(why) = root_equivalent(group) {
        return Some(GroupFact::Root(why.to_owned()));
    }
    if standing.gid == 0 {
        return Some(GroupFact::Root("its number is root's".to_owned()));
    }
    let same = root_equivalent_names().find(|name| found.group(name).is_some_and(|g| g.gid == standing.gid));
    same.map(|name| GroupFact::Root(format!("its number is that of {name}")))
}

fn names(right: &GroupRights, group: &GroupName, gid: Option<u32>) -> bool {
    match right {
        GroupRights::Name(name) => name == group.as_str(),
        GroupRights::Number(number) => Some(*number) == gid,
    }
}

fn doas_names(etc: &std::path::Path, group: &GroupName) -> Result<bool, String> {
    let bytes = files::read(&etc.join("doas.conf"), MAX_BYTES).map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    Ok(doas_permits(&text, group))
}

/// Whether any `permit` line names the group.
fn doas_permits(text: &str, group: &GroupName) -> bool {
    let wanted = format!(":{group}");
    text.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("permit"))
        .any(|line| line.split(|c: char| c.is_whitespace() || c == '"').any(|word| word == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        name.parse().unwrap()
    }

    #[test]
    fn a_group_amounts_to_root_by_its_name_by_its_number_or_by_that_of_another() {
        let found = Found::parse("root:x:0:\ntoor:x:0:\ndocker:x:998:\nships:x:998:\nadm:x:4:\n", "");
        for name in ["root", "toor", "docker", "ships"] {
            assert!(matches!(by_files(&found, &group(name)), Some(GroupFact::Root(_))), "{name}");
        }
        assert_eq!(by_files(&found, &group("adm")), None);
        assert!(matches!(by_files(&found, &group("gone")), Some(GroupFact::Unusable(_))));
    }

    #[test]
    fn a_permit_line_of_doas_is_told_by_its_group() {
        let text = "# permit :adm\npermit nopass :ops as root\ndeny :adm\n";
        assert!(doas_permits(text, &group("ops")));
        assert!(!doas_permits(text, &group("adm")));
    }
}
