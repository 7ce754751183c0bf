//! Grants and locks in words.

use stint_api::grants::GrantView;
use stint_api::locks::LockView;

use super::{Facts, distance, effect, safe, table, when};
use crate::duration;

fn hosts(grant: &GrantView) -> String {
    grant.hosts.iter().map(|h| safe(h)).collect::<Vec<_>>().join(", ")
}

/// The list of grants.
pub(crate) fn list(grants: &[GrantView], now: i64) -> String {
    let row = |g: &GrantView| {
        let time = match (g.state.as_str(), g.until) {
            ("claimable", _) => format!("activate {}", within(g.claim_by, now)),
            ("active", Some(until)) if g.sealed => format!("sealed, {} left", left(until, now)),
            ("active", Some(until)) => format!("{} left", left(until, now)),
            (_, Some(until)) => distance(until, now),
            _ => "-".to_owned(),
        };
        [
            safe(&g.id),
            safe(&g.state),
            time,
            safe(&g.principal),
            safe(&g.entitlement),
            hosts(g),
            match g.openings.len() {
                0 => effect::line(&g.effect),
                n => format!("BREAK-GLASS used {n} times, review owed; {}", effect::line(&g.effect)),
            },
        ]
    };
    let header = ["ID", "STATE", "TIME", "WHO", "ENTITLEMENT", "HOSTS", "EFFECT"];
    table(header, grants.iter().map(row).collect(), "no grants")
}

fn left(until: i64, now: i64) -> String {
    duration::words(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}

fn within(at: i64, now: i64) -> String {
    if at > now { format!("within {}", left(at, now)) } else { "too late".to_owned() }
}

/// One grant.
pub(crate) fn full(grant: &GrantView, now: i64) -> String {
    let ended = grant.ended_by.as_deref().map(|by| match &grant.end_reason {
        Some(why) => format!("by {}: {}", safe(by), safe(why)),
        None => format!("by {}", safe(by)),
    });
    let claimable = grant.state == "claimable";
    let facts = Facts::new()
        .add("state", safe(&grant.state))
        .add("who", format!("{}, as the account {}", safe(&grant.principal), safe(&grant.user)))
        .add("entitlement", safe(&grant.entitlement))
        .add("hosts", hosts(grant))
        .maybe("activate by", claimable.then(|| when(grant.claim_by, now)))
        .maybe("from", grant.from.map(|t| when(t, now)))
        .maybe("until", grant.until.map(|t| when(t, now)))
        .maybe(
            "extension",
            (grant.extension_left > 0).then(|| format!("{} left", duration::words(grant.extension_left))),
        )
        .maybe("ended", ended)
        .add("effect", effect::line(&grant.effect))
        .maybe("receipt", receipts(grant))
        .maybe("sealed", grant.sealed.then(|| "until a break-glass code opens it on its host".to_owned()))
        .lines("BREAK-GLASS", openings(grant, now))
        .text();
    format!("Grant {}\n{facts}", safe(&grant.id))
}

/// What the hosts say was left: one line, since it is one for most.
fn receipts(grant: &GrantView) -> Option<String> {
    let said = grant.receipts.iter().map(|r| format!("{}: {}", safe(&r.host), safe(&r.outcome)));
    (!grant.receipts.is_empty()).then(|| said.collect::<Vec<_>>().join(", "))
}

/// What nobody could look at before, and is to be looked at now.
fn openings(grant: &GrantView, now: i64) -> Vec<String> {
    let said = grant.openings.iter().map(|opening| {
        format!(
            "opened on {} at {} until {} with code {}: {}. REVIEW OWED",
            safe(&opening.host),
            when(opening.at, now),
            when(opening.until, now),
            safe(&opening.code),
            safe(&opening.reason)
        )
    });
    said.collect()
}

/// What a change of a grant came to, in one or two lines.
pub(crate) fn change(grant: &GrantView, now: i64) -> String {
    let id = safe(&grant.id);
    let what = match (grant.state.as_str(), grant.until) {
        ("active", Some(until)) if grant.sealed => format!(
            "{}: sealed until {}, for {}, grant {id}: log in with keyboard-interactive, and answer with a break-glass code",
            hosts(grant),
            when(until, now),
            safe(&grant.user)
        ),
        ("active", Some(until)) => format!(
            "{}: access until {} as {}, grant {id}",
            hosts(grant),
            when(until, now),
            safe(&grant.user)
        ),
        ("claimable", _) => format!(
            "Grant {id} is approved. Activate it {}: stint grant activate {id}",
            within(grant.claim_by, now)
        ),
        (state, _) => format!("Grant {id} {}", safe(state)),
    };
    if grant.state == "claimable" {
        format!("{what}\n")
    } else {
        format!("{what}\n{}\n", effect::line(&grant.effect))
    }
}

/// The list of locks.
pub(crate) fn locks(locks: &[LockView], now: i64) -> String {
    let row = |l: &LockView| {
        [
            safe(&l.id),
            format!("{} {}", safe(&l.kind), safe(&l.target)),
            l.until.map_or_else(|| "lifted".to_owned(), |t| distance(t, now)),
            safe(&l.by),
            effect::line(&l.effect),
            safe(&l.reason),
        ]
    };
    let header = ["ID", "LOCKED", "UNTIL", "BY", "EFFECT", "REASON"];
    table(header, locks.iter().map(row).collect(), "no locks")
}

/// A lock that was set.
pub(crate) fn lock(lock: &LockView, now: i64) -> String {
    let until =
        lock.until.map_or_else(|| "until it is lifted".to_owned(), |t| format!("until {}", when(t, now)));
    format!(
        "Locked {} {} {until}, lock {}\n{}\n",
        safe(&lock.kind),
        safe(&lock.target),
        safe(&lock.id),
        effect::line(&lock.effect)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::samples::{self, NOW};

    fn lock_view() -> LockView {
        LockView {
            id: "lckabcdefgh2".into(),
            kind: "principal".into(),
            target: "alice".into(),
            reason: "laptop lost".into(),
            by: "eve".into(),
            since: NOW,
            until: None,
            effect: samples::effect(&[("web-01", Some(90), None)]),
        }
    }

    #[test]
    fn an_active_grant_shows_the_time_left() {
        assert_eq!(
            list(&[samples::grant()], NOW + 60),
            "\
ID            STATE   TIME         WHO    ENTITLEMENT    HOSTS   EFFECT
7f3abcdefgh2  active  39 min left  alice  nginx-restart  web-01  effective on 1 of 1 hosts in 0.2 s
"
        );
    }

    #[test]
    fn a_claimable_grant_says_how_to_start() {
        let mut grant = samples::grant();
        (grant.state, grant.from, grant.until) = ("claimable".into(), None, None);
        assert_eq!(
            change(&grant, NOW),
            "Grant 7f3abcdefgh2 is approved. Activate it within 1 h: stint grant activate 7f3abcdefgh2\n"
        );
    }

    #[test]
    fn activation_says_until_when_and_where_it_is_in_effect() {
        assert_eq!(
            change(&samples::grant(), NOW),
            "web-01: access until 2026-11-23 14:40:00 UTC (in 40 min) as alice, grant 7f3abcdefgh2\n\
             effective on 1 of 1 hosts in 0.2 s\n"
        );
    }

    #[test]
    fn a_receipt_is_told_and_cannot_drive_the_terminal() {
        let mut grant = samples::grant();
        assert!(!full(&grant, NOW).contains("receipt"));
        grant.receipts = vec![stint_api::grants::ReceiptView {
            host: "web-01".into(),
            outcome: "NOT CLEAN: 1 findings, 0 not scanned\x1b[2J".into(),
            at: 0,
        }];
        let shown = full(&grant, NOW);
        assert!(shown.contains("  receipt      web-01: NOT CLEAN: 1 findings"), "{shown}");
        assert!(!shown.contains('\x1b'), "{shown}");
    }

    #[test]
    fn the_use_of_a_code_is_told_loudly_and_cannot_drive_the_terminal() {
        let mut grant = samples::grant();
        grant.sealed = true;
        assert!(list(&[grant.clone()], NOW).contains("sealed, 40 min left"));
        assert!(!full(&grant, NOW).contains("BREAK-GLASS"));
        grant.openings = vec![stint_api::grants::OpeningView {
            host: "web-01".into(),
            code: "7F3A".into(),
            reason: "the broker is gone\x1b[2J".into(),
            at: NOW,
            until: NOW + 600,
        }];
        let shown = full(&grant, NOW);
        assert!(shown.contains("  BREAK-GLASS  opened on web-01 at "), "{shown}");
        assert!(
            shown.contains("with code 7F3A: the broker is gone") && shown.contains("REVIEW OWED"),
            "{shown}"
        );
        assert!(!shown.contains('\x1b'), "{shown}");
        assert!(list(&[grant], NOW).contains("BREAK-GLASS used 1 times, review owed"));
    }

    #[test]
    fn a_revoked_grant_says_by_whom_and_why() {
        let mut grant = samples::grant();
        grant.state = "revoked".into();
        grant.extension_left = 0;
        grant.ended_by = Some("eve".into());
        grant.end_reason = Some("laptop lost".into());
        assert_eq!(
            full(&grant, NOW + 60),
            "\
Grant 7f3abcdefgh2
  state        revoked
  who          alice, as the account alice
  entitlement  nginx-restart
  hosts        web-01
  from         2026-11-23 14:00:00 UTC (1 min ago)
  until        2026-11-23 14:40:00 UTC (in 39 min)
  ended        by eve: laptop lost
  effect       effective on 1 of 1 hosts in 0.2 s
"
        );
    }

    #[test]
    fn a_lock_says_on_how_many_hosts_it_took_effect() {
        assert_eq!(
            lock(&lock_view(), NOW),
            "Locked principal alice until it is lifted, lock lckabcdefgh2\neffective on 1 of 1 hosts in 0.1 s\n"
        );
    }

    #[test]
    fn locks_are_listed() {
        assert_eq!(
            locks(&[lock_view()], NOW),
            "\
ID            LOCKED           UNTIL   BY   EFFECT                              REASON
lckabcdefgh2  principal alice  lifted  eve  effective on 1 of 1 hosts in 0.1 s  laptop lost
"
        );
    }
}
