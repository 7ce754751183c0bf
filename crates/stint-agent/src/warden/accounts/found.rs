//! What stands in `/etc/group` and `/etc/passwd`. Read by ourselves: what is not in the host's own files cannot be changed there.

use std::path::Path;

use crate::warden::files::{self, FileError};

/// The largest file that is read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its name.
    pub(super) name: String,
    /// Its number.
    pub(super) gid: u32,
    /// Who is in it by this line.
    pub(super) members: Vec<String>,
}

/// A line of `/etc/passwd`, as far as it counts here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// Its name.
    pub(super) name: String,
    /// Its number.
    pub(super) uid: u32,
    /// Its own group.
    pub(super) gid: u32,
}

/// Both files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// All groups.
    pub(super) groups: Vec<Group>,
    /// All accounts.
    pub(super) users: Vec<User>,
}

impl Found {
    /// Reads both files of a folder.
    pub(super) fn read(etc: &Path) -> Result<Self, FileError> {
        let text = |name: &str| {
            let path = etc.join(name);
            let bytes = files::read(&path, MAX_BYTES)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Self::parse(&text("group")?, &text("passwd")?))
    }

    /// Lines that are not whole are none: the host's own tools refuse them too.
    pub(super) fn parse(group: &str, passwd: &str) -> Self {
        Self {
            groups: group.lines().filter_map(parse_group).collect(),
            users: passwd.lines().filter_map(parse_user).collect(),
        }
    }

    /// The group of a name. Of two lines the first counts, as for the host.
    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
    /// The account of a name.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else { return None };
    let members = members.split(',').map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, ..] = fields[..] else { return None };
    Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_accounts_are_read_and_broken_lines_are_none() {
        let found = Found::parse(
            "adm:x:4:syslog,alice\nempty:x:7:\nbroken:x\nodd:x:none:alice\n",
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/bash\n+::::::\n",
        );
        assert_eq!(found.group("adm").unwrap().members, ["syslog", "alice"]);
        assert!(found.group("empty").unwrap().members.is_empty());
        assert_eq!((found.group("broken"), found.group("odd")), (None, None));
        assert_eq!(found.user("alice").unwrap().uid, 1001);
        assert_eq!(found.users.len(), 2);
    }

    #[test]
    fn of_two_lines_of_one_group_the_first_counts() {
        let found = Found::parse("adm:x:4:bob\nadm:x:5:alice\n", "");
        assert_eq!(found.group("adm").unwrap().gid, 4);
    }
}
