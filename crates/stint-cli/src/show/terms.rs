//! Terms in words: all that the hosts will enforce, and the digest that a review signs.

use stint_grant::terms::CheckedTerms;

use super::{Facts, rights, safe, when};
use crate::check::class_word;
use crate::duration;

/// Every field of the terms.
pub(crate) fn in_words(terms: &CheckedTerms, now: i64) -> String {
    facts(Facts::new(), terms, now).text()
}

/// Every field of the terms, below other facts.
pub(crate) fn facts(facts: Facts, terms: &CheckedTerms, now: i64) -> Facts {
    let hosts: Vec<_> = terms.hosts.iter().map(ToString::to_string).collect();
    let keys: Vec<_> = terms.credentials.iter().map(ToString::to_string).collect();
    let extension = match terms.max_extension.0 {
        0 => "none".to_owned(),
        s => format!("up to {} in all", duration::words(s)),
    };
    facts
        .add("who", format!("{}, as the account {}", terms.principal, terms.user))
        .add("entitlement", format!("{} ({})", terms.entitlement, class_word(terms.class)))
        .add("hosts", format!("{} of fleet {}", hosts.join(", "), terms.fleet))
        .add("reason", safe(&terms.reason))
        .maybe("ticket", terms.ticket.as_deref().map(safe))
        .lines("login", rights::login(&terms.rights))
        .lines("sudo", rights::sudo(&terms.rights))
        .lines("record", rights::record(terms.record))
        .maybe("groups", rights::groups(&terms.rights))
        .lines("new account", rights::account(&terms.rights))
        .maybe("SSH keys", (!keys.is_empty()).then(|| keys.join(", ")))
        .maybe("SEALED", sealed(terms))
        .add("window", duration::words(terms.max_window.0))
        .add("starts", format!("not before {}", when(terms.not_before.0, now)))
        .add("", format!("not after  {}", when(terms.claim_by.0, now)))
        .add("extensions", extension)
        .maybe("idle", terms.idle_limit.map(|s| format!("sessions end after {} idle", duration::words(s.0))))
        .maybe(
            "logout",
            terms
                .end_on_logout
                .then(|| "the last login that closes on a host ends the right there".to_owned()),
        )
        .add(
            "offline",
            if terms.is_sealed() {
                "holds however long ago the host heard from its broker: a revocation that did not reach it ends nothing"
                    .to_owned()
            } else {
                format!(
                    "ends {} after the host last heard from its broker",
                    duration::words(terms.max_staleness.0)
                )
            },
        )
        .add("digest", format!("sha256:{}", terms.digest()))
}

/// What opens it.
fn sealed(terms: &CheckedTerms) -> Option<String> {
    let ids: Vec<_> = terms.codes.iter().map(|code| code.id.as_str()).collect();
    terms.is_sealed().then(|| {
        format!(
            "permits nothing until a break-glass code opens it on its host; {} codes, each good once: {}",
            ids.len(),
            ids.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples;

    #[test]
    fn all_that_is_enforced_is_shown() {
        let text = samples::terms().to_text();
        let terms = CheckedTerms::parse(&text).unwrap();
        let expected = format!(
            "  who          alice, as the account alice
  entitlement  nginx-restart (routine)
  hosts        web-01 of fleet demo
  reason       OPS-12 certificate rollover
  ticket       OPS-12
  login        by sshd, from anywhere; forwards nothing
  sudo         /usr/bin/systemctl restart nginx, as root
               /usr/bin/systemctl reload nginx, as root
  record       each command with its arguments
               commands run also when they cannot be recorded
  window       40 min
  starts       not before 2026-11-23 14:00:00 UTC (now)
               not after  2026-11-23 15:00:00 UTC (in 1 h)
  extensions   up to 20 min in all
  offline      ends 10 min after the host last heard from its broker
  digest       sha256:{}
",
            stint_grant::terms::digest_of(&text)
        );
        assert_eq!(in_words(&terms, samples::NOW), expected);
    }

    #[test]
    fn what_is_seldom_set_is_shown_when_it_is() {
        let mut terms = samples::terms();
        terms.rights.groups = vec!["adm".parse().unwrap()];
        terms.idle_limit = Some(stint_grant::time::Seconds(300));
        terms.end_on_logout = true;
        terms.max_extension = stint_grant::time::Seconds(0);
        terms.credentials = vec![format!("SHA256:{}", "A".repeat(43)).parse().unwrap()];
        let text = in_words(&CheckedTerms::parse(&terms.to_text()).unwrap(), samples::NOW);
        for line in [
            "  groups       adm\n",
            "  SSH keys     SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
            "  extensions   none\n",
            "  idle         sessions end after 5 min idle\n",
            "  logout       the last login that closes on a host ends the right there\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn what_is_sealed_says_so_before_anybody_signs_it() {
        let mut terms = samples::terms();
        terms.class = stint_grant::terms::Class::BreakGlass;
        terms.max_extension = stint_grant::time::Seconds(0);
        terms.codes = vec![stint_grant::codes::CodeVerifier {
            id: "7F3A".parse().unwrap(),
            salt: "0".repeat(32).parse().unwrap(),
            hash: "0".repeat(64).parse().unwrap(),
            memory_kib: 19_456,
            passes: 2,
        }];
        let text = in_words(&CheckedTerms::parse(&terms.to_text()).unwrap(), samples::NOW);
        for line in [
            "  SEALED       permits nothing until a break-glass code opens it on its host; 1 codes, each good once: 7F3A\n",
            "a revocation that did not reach it ends nothing\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_reason_that_hides_or_reverses_text_is_never_shown() {
        let mut terms = samples::terms();
        terms.reason = "fine\u{202e}toor".into();
        assert!(CheckedTerms::parse(&terms.to_text()).is_err());
    }
}
