//! Whom sshd gates, by name: sshd's `Match` knows names, `host.toml` knows uids.

use stint_grant::host_config::HostConfig;

/// What is known of the accounts of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gated {
    /// All but these, those that no file lists included: a directory's accounts are not enumerated.
    AllBut(Vec<String>),
    /// These only.
    Only(Vec<String>),
}

impl Gated {
    /// From `/etc/passwd` and `host.toml`.
    pub(super) fn of(passwd: &str, config: &HostConfig) -> Self {
        let (mut gated, mut free) = (Vec::new(), Vec::new());
        for (name, uid) in passwd.lines().filter_map(account) {
            let names = if config.gates(uid, "sshd") { &mut gated } else { &mut free };
            names.push(name.to_owned());
        }
        // Of two accounts of one name the stricter one counts.
        free.retain(|name| !gated.contains(name));
        free.sort();
        gated.sort();
        if config.managed.services.iter().any(|service| service == "sshd") {
            Self::AllBut(free)
        } else {
            Self::Only(gated)
        }
    }
    /// Whether an account's logins by sshd are gated.
    pub(super) fn includes(&self, name: &str) -> bool {
        match self {
            Self::AllBut(free) => !free.iter().any(|other| other == name),
            Self::Only(gated) => gated.iter().any(|other| other == name),
        }
    }
}

/// Name and uid, if the name can stand in a pattern of sshd's as itself.
fn account(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    let good = !name.is_empty() && name.len() <= 64 && name.bytes().all(plain);
    good.then_some((name, uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nsync:x:4:65534::/bin:/bin/sync\n\
        alice:x:1001:1001::/home/alice:/bin/bash\nrescue:x:1900:1900::/home/rescue:/bin/bash\n\
        backup:x:1002:1002::/:/bin/sh\nodd name:x:5:5::/:/bin/sh\nbad*,!x:x:6:6::/:/bin/sh\nshort:x\n";

    fn config(text: &str) -> HostConfig {
        HostConfig::parse(text).unwrap()
    }

    #[test]
    fn everybody_is_gated_but_whom_the_host_exempts_and_accounts_of_the_system() {
        let gated = Gated::of(PASSWD, &config("[managed]\nbreak_glass_uid = 1900\nexempt_uids = [1002]\n"));
        assert_eq!(gated, Gated::AllBut(["backup", "rescue", "root", "sync"].map(str::to_owned).to_vec()));
        assert!(gated.includes("alice") && gated.includes("from-a-directory"));
        assert!(!gated.includes("rescue") && !gated.includes("root"));
    }

    #[test]
    fn a_name_that_sshd_would_read_as_a_pattern_is_never_written() {
        let Gated::AllBut(free) = Gated::of(PASSWD, &config("")) else { panic!("sshd is gated") };
        assert!(free.iter().all(|name| !name.contains(['*', ',', '!', ' '])), "{free:?}");
    }

    #[test]
    fn a_host_that_does_not_gate_sshd_gates_only_those_that_it_names() {
        let text = "[managed]\nservices = [\"sudo\"]\n[[managed.only]]\nuid = 1001\nservices = [\"sshd\"]\n";
        let gated = Gated::of(PASSWD, &config(text));
        assert_eq!(gated, Gated::Only(vec!["alice".to_owned()]));
        assert!(!gated.includes("backup"));
    }

    #[test]
    fn of_two_accounts_of_one_name_the_stricter_counts() {
        let gated = Gated::of("twin:x:5:5::/:/bin/sh\ntwin:x:1005:5::/:/bin/sh\n", &config(""));
        assert!(gated.includes("twin"));
    }
}
