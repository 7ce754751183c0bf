//! Accounts, passwords and groups: what of them changed in a window. Pure.
//!
//! They are only ever reported. Passwords are kept as a keyed hash; the key stays on the host.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stint_grant::words::printable;

/// The three files, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounts {
    /// By name.
    pub(crate) users: BTreeMap<String, User>,
    /// The keyed hash of each account's line in the shadow file.
    pub(crate) passwords: BTreeMap<String, String>,
    /// The members of each group, and its number.
    pub(crate) groups: BTreeMap<String, (String, BTreeSet<String>)>,
}

/// One line of the passwd file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// As it is written: `00` is 0 as well.
    pub(crate) uid: Option<u32>,
    /// As it is written.
    pub(crate) gid: Option<u32>,
    /// The home.
    pub(crate) home: String,
    /// The shell.
    pub(crate) shell: String,
    /// A password may stand in this file too: its keyed hash.
    pub(crate) password: String,
}

/// The key for what must not be guessed from a record.
#[derive(Clone, Debug)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl Key {
    fn hash(&self, text: &str) -> String {
        let inner = Sha256::new().chain_update(self.0).chain_update(text).finalize();
        let outer = Sha256::new().chain_update(self.0).chain_update(inner).finalize();
        data_encoding::HEXLOWER.encode(&outer)
    }
}

/// Reads the files. A line that cannot be parsed is one that changed, if it was not there before.
pub(crate) fn parse(passwd: &str, shadow: &str, group: &str, key: &Key) -> Accounts {
    let mut accounts = Accounts::default();
    for line in passwd.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(':').collect();
        let part = |n: usize| parts.get(n).copied().unwrap_or_default();
        let user = User {
            uid: part(2).parse().ok(),
            gid: part(3).parse().ok(),
            home: part(5).to_owned(),
            shell: part(6).to_owned(),
            password: key.hash(part(1)),
        };
        // The first of two lines with one name is the one that counts; the second is an account beside it.
        let mut name = part(0).to_owned();
        while accounts.users.contains_key(&name) {
            name.push_str(" (again)");
        }
        accounts.users.insert(name, user);
    }
    for line in shadow.lines().filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        let password = line.split(':').nth(1).unwrap_or_default();
        accounts.passwords.entry(name.to_owned()).or_insert_with(|| key.hash(password));
    }
    for line in group.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(':').collect();
        let part = |n: usize| parts.get(n).copied().unwrap_or_default();
        let members = part(3).split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        accounts.groups.entry(part(0).to_owned()).or_insert_with(|| (part(2).to_owned(), members));
    }
    accounts
}

/// What changed, in words, escaped.
pub(crate) fn changes(before: &Accounts, now: &Accounts) -> Vec<String> {
    let mut said = Vec::new();
    for (name, user) in &now.users {
        let shown = printable(name);
        let with = user.uid.map(|uid| format!(", with uid {uid}")).unwrap_or_default();
        match before.users.get(name) {
            None => said.push(format!("account {shown} was added{with}")),
            Some(old) if old == user => {}
            Some(old) => {
                let mut what = Vec::new();
                if old.uid != user.uid {
                    what.push(format!("uid {} -> {}", number(old.uid), number(user.uid)));
                }
                if old.gid != user.gid {
                    what.push(format!("group {} -> {}", number(old.gid), number(user.gid)));
                }
                if old.home != user.home {
                    what.push(format!("home {}", printable(&user.home)));
                }
                if old.shell != user.shell {
                    what.push(format!("shell {}", printable(&user.shell)));
                }
                if old.password != user.password {
                    what.push("password in the passwd file".to_owned());
                }
                said.push(format!("account {shown} was changed: {}", what.join(", ")));
            }
        }
    }
    let gone = before.users.keys().filter(|name| !now.users.contains_key(*name));
    said.extend(gone.map(|name| format!("account {} was removed", printable(name))));
    for (name, hash) in &now.passwords {
        if before.passwords.get(name).is_some_and(|old| old != hash) {
            said.push(format!("the password of {} in the shadow file was changed", printable(name)));
        }
    }
    for (name, (number, members)) in &now.groups {
        let shown = printable(name);
        let none = BTreeSet::new();
        let old = match before.groups.get(name) {
            None => {
                said.push(format!("group {shown} was added"));
                &none
            }
            Some((old, members)) => {
                if old != number {
                    said.push(format!("the number of group {shown} was changed"));
                }
                members
            }
        };
        said.extend(members.difference(old).map(|m| format!("{} is in group {shown} now", printable(m))));
    }
    said
}

fn number(id: Option<u32>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n";
    const SHADOW: &str = "root:*:1:0:::::\nalice:$6$salt$hash:1:0:::::\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:bob\n";

    fn of(passwd: &str, shadow: &str, group: &str) -> Accounts {
        parse(passwd, shadow, group, &Key([7; 32]))
    }
    fn since(passwd: &str, shadow: &str, group: &str) -> Vec<String> {
        changes(&of(PASSWD, SHADOW, GROUP), &of(passwd, shadow, group))
    }

    #[test]
    fn nothing_is_said_of_what_is_as_it_was() {
        assert!(since(PASSWD, SHADOW, GROUP).is_empty());
    }

    #[test]
    fn a_second_root_a_password_and_a_membership_are_each_said() {
        let passwd = format!("{PASSWD}toor:x:0:0::/root:/bin/sh\n");
        assert_eq!(since(&passwd, SHADOW, GROUP), ["account toor was added, with uid 0"]);
        let passwd = PASSWD.replace("alice:x:1000", "alice:x:0");
        assert_eq!(since(&passwd, SHADOW, GROUP), ["account alice was changed: uid 1000 -> 0"]);
        let again = format!("{PASSWD}alice:x:00:0::/:/bin/sh\n");
        assert_eq!(since(&again, SHADOW, GROUP), ["account alice (again) was added, with uid 0"]);
        let shadow = SHADOW.replace("root:*", "root:$6$new$one");
        assert_eq!(since(PASSWD, &shadow, GROUP), ["the password of root in the shadow file was changed"]);
        let group = GROUP.replace("bob", "bob,alice");
        assert_eq!(since(PASSWD, SHADOW, &group), ["alice is in group sudo now"]);
    }

    #[test]
    fn a_password_in_the_passwd_file_is_one_too() {
        let passwd = PASSWD.replace("alice:x", "alice:");
        assert_eq!(since(&passwd, SHADOW, GROUP), ["account alice was changed: password in the passwd file"]);
    }

    #[test]
    fn no_hash_of_a_password_stands_in_what_is_kept_and_another_key_tells_nothing() {
        let text = serde_json::to_string(&of(PASSWD, SHADOW, GROUP)).unwrap();
        assert!(!text.contains("salt") && !text.contains("$6$"), "{text}");
        let other = parse(PASSWD, SHADOW, GROUP, &Key([8; 32]));
        assert_ne!(of(PASSWD, SHADOW, GROUP).passwords, other.passwords);
    }

    #[test]
    fn a_hostile_name_cannot_drive_a_terminal() {
        let passwd = format!("{PASSWD}\x1b[2Jx:x:0:0::/:/bin/sh\n");
        let said = since(&passwd, SHADOW, GROUP);
        assert!(said.len() == 1 && !said[0].contains('\x1b'), "{said:?}");
    }
}
