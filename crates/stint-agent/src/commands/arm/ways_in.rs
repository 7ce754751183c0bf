//! Ways in that need no grant: without one, a host whose broker is gone for good could be entered by nobody.

use std::path::{Path, PathBuf};

use stint_grant::host_config::HostConfig;

use crate::warden::files;

/// What is known of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    shell: String,
    home: PathBuf,
    has_password: bool,
    has_key: bool,
}

/// The ways in, in words. A program that hands out roots's shell on the console (a rescue target) is not counted.
pub(crate) fn find(config: &HostConfig) -> Vec<String> {
    let passwd = files::text(Path::new("/etc/passwd"));
    let shadow = files::text(Path::new("/etc/shadow"));
    let mut accounts = accounts(&passwd, &shadow);
    for account in &mut accounts {
        account.has_key = has_key(&account.home);
    }
    judge(config, &accounts)
}

fn judge(config: &HostConfig, accounts: &[Account]) -> Vec<String> {
    let mut ways = Vec::new();
    for account in accounts.iter().filter(|a| a.has_shell()) {
        let how = match (account.has_password, account.has_key) {
            (true, true) => "a password and an SSH key",
            (true, false) => "a password",
            (false, true) => "an SSH key",
            (false, false) => continue,
        };
        if account.uid == 0 {
            if account.has_password {
                ways.push("root with a password on the console".to_owned());
            }
            if account.has_key && config.managed.remote_root {
                ways.push("root over the network with an SSH key".to_owned());
            }
        } else if config.managed.break_glass_uid == Some(account.uid) {
            ways.push(format!("the break-glass account {} with {how}", account.name));
        } else if config.managed.exempt_uids.contains(&account.uid) {
            ways.push(format!("the exempt account {} with {how}", account.name));
        }
    }
    ways
}

impl Account {
    fn has_shell(&self) -> bool {
        !["nologin", "false"].iter().any(|no| self.shell.ends_with(no))
    }
}

fn accounts(passwd: &str, shadow: &str) -> Vec<Account> {
    passwd
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, _, _, home, shell] = fields[..] else { return None };
            Some(Account {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                shell: shell.to_owned(),
                home: Path::new(home).to_owned(),
                has_password: has_password(shadow, name),
                has_key: false,
            })
        })
        .collect()
}

/// A hash, not a lock: `!`, `*` and an empty field let nobody in who should be.
fn has_password(shadow: &str, name: &str) -> bool {
    shadow.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(name)
            && fields.next().is_some_and(|hash| hash.len() > 10 && !hash.starts_with(['!', '*']))
    })
}

fn has_key(home: &Path) -> bool {
    [".ssh/authorized_keys", ".ssh/authorized_keys2"].iter().any(|name| {
        // A large or odd file is not read: it is the account's own.
        let path = home.join(name);
        path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() < 1024 * 1024)
            && std::fs::read_to_string(path).is_ok_and(|text| {
                text.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/bash\n\
                          rescue:x:1900:1900::/home/rescue:/bin/bash\nodd line\nbot:x:1500:1500::/:/usr/sbin/nologin\n";
    const HASH: &str = "$y$j9T$abcdefghijklmnop";

    fn ways(config: &str, shadow: &str, keys: &[&str]) -> Vec<String> {
        let mut accounts = accounts(PASSWD, shadow);
        for account in &mut accounts {
            account.has_key = keys.contains(&account.name.as_str());
        }
        judge(&HostConfig::parse(config).unwrap(), &accounts)
    }

    #[test]
    fn a_break_glass_account_counts_with_a_password_or_a_key() {
        let config = "[managed]\nbreak_glass_uid = 1900\n";
        assert_eq!(ways(config, &format!("rescue:{HASH}:1:\n"), &[]).len(), 1);
        assert_eq!(ways(config, "rescue:!:1:\n", &["rescue"]).len(), 1);
        assert!(ways(config, "rescue:!:1:\n", &[]).is_empty());
    }
    #[test]
    fn a_locked_or_empty_password_is_no_way_in() {
        for field in ["", "!", "*", "!*", &format!("!{HASH}")] {
            assert!(ways("", &format!("root:{field}:1:\n"), &[]).is_empty(), "{field}");
        }
        assert_eq!(ways("", &format!("root:{HASH}:1:\n"), &[]), ["root with a password on the console"]);
    }
    #[test]
    fn roots_key_counts_only_where_root_may_come_over_the_network() {
        assert!(ways("", "", &["root"]).is_empty());
        assert_eq!(ways("[managed]\nremote_root = true\n", "", &["root"]).len(), 1);
    }
    #[test]
    fn a_managed_account_or_one_without_a_shell_is_no_way_in() {
        assert!(ways("", &format!("alice:{HASH}:1:\n"), &["alice"]).is_empty());
        assert!(ways("[managed]\nexempt_uids = [1500]\n", &format!("bot:{HASH}:1:\n"), &["bot"]).is_empty());
        assert_eq!(ways("[managed]\nexempt_uids = [1001]\n", "", &["alice"]).len(), 1);
    }
}
