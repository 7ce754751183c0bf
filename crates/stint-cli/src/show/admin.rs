//! Hosts, users, entitlements and the roster in words.

use stint_api::hosts::{HostView, Invitation};
use stint_api::people::{EntitlementView, NewUserSecrets, UserView};
use stint_grant::dsse::Verified;
use stint_grant::root::{Role, Root};
use stint_grant::roster::{Reviewer, Roster};

use super::{Facts, distance, safe, table, when};
use crate::{duration, signer};

fn labels(host: &HostView) -> String {
    host.labels.iter().map(|(k, v)| format!("{}={}", safe(k), safe(v))).collect::<Vec<_>>().join(",")
}

fn heard(host: &HostView, now: i64) -> String {
    match (host.connected, host.last_seen) {
        (true, _) => "connected".to_owned(),
        (false, Some(at)) => distance(at, now),
        (false, None) => "never".to_owned(),
    }
}

fn bundle(host: &HostView) -> String {
    match host.acknowledged_version {
        Some(v) if v == host.bundle_version => format!("{v}, in force"),
        Some(v) => format!("{}, {v} in force", host.bundle_version),
        None => format!("{}, none in force", host.bundle_version),
    }
}

/// The list of hosts.
pub(crate) fn hosts(hosts: &[HostView], now: i64) -> String {
    let row = |h: &HostView| {
        [
            safe(&h.name),
            safe(&h.state),
            h.mode.as_deref().map_or_else(|| "-".to_owned(), safe),
            heard(h, now),
            bundle(h),
            h.journal_size.to_string(),
            labels(h),
        ]
    };
    let header = ["HOST", "STATE", "MODE", "HEARD FROM", "BUNDLE", "RECORDS", "LABELS"];
    table(header, hosts.iter().map(row).collect(), "no hosts")
}

/// One host.
pub(crate) fn host(host: &HostView, now: i64) -> String {
    let seen = match host.last_seen {
        Some(at) if host.connected => format!("connected, {}", when(at, now)),
        Some(at) => when(at, now),
        None => heard(host, now),
    };
    let facts = Facts::new()
        .add("state", safe(&host.state))
        .maybe("mode", host.mode.as_deref().map(safe))
        .add("heard from", seen)
        .add("bundle", bundle(host))
        .add("records", host.journal_size.to_string())
        .add("labels", labels(host))
        .text();
    format!("Host {}\n{facts}", safe(&host.name))
}

/// A token for a new host, and what to do with it.
pub(crate) fn invitation(invitation: &Invitation, broker: &str, now: i64) -> String {
    format!(
        "Run on {} as root, {}, once:\n\n  stintd enroll --broker {broker} --token {}\n",
        safe(&invitation.host),
        match invitation.expires_at.saturating_sub(now) {
            left @ 1.. => format!("within {}", duration::words(left.unsigned_abs())),
            _ => "at once".to_owned(),
        },
        safe(&invitation.token)
    )
}

/// The list of users.
pub(crate) fn users(users: &[UserView]) -> String {
    let row = |u: &UserView| {
        let roles: Vec<_> = u.roles.iter().map(|r| safe(r)).collect();
        let enabled = if u.enabled { "yes" } else { "no" };
        [safe(&u.name), safe(&u.account), roles.join(","), enabled.to_owned()]
    };
    table(["USER", "ACCOUNT", "ROLES", "MAY SIGN IN"], users.iter().map(row).collect(), "no users")
}

/// What a new user is handed.
pub(crate) fn secrets(secrets: &NewUserSecrets) -> String {
    let facts = Facts::new()
        .add("password", safe(&secrets.password))
        .add("TOTP secret", safe(&secrets.totp_secret))
        .add("TOTP URL", safe(&secrets.totp_url))
        .text();
    format!("User {}. Shown once; hand it over in person:\n{facts}", safe(&secrets.name))
}

/// What may be requested.
pub(crate) fn entitlements(entitlements: &[EntitlementView]) -> String {
    if entitlements.is_empty() {
        return "no entitlements\n".to_owned();
    }
    let one = |e: &EntitlementView| {
        let hosts: Vec<_> = e.hosts.iter().map(|h| safe(h)).collect();
        let hosts = if hosts.is_empty() { "none now".to_owned() } else { hosts.join(", ") };
        let extension = match e.max_extension {
            0 => String::new(),
            s => format!(", extensions up to {}", duration::words(s)),
        };
        let facts = Facts::new()
            .lines("allows", e.allows.iter().map(|a| safe(a)).collect())
            .add("hosts", hosts)
            .add("window", format!("up to {}{extension}", duration::words(e.max_window)))
            .add("reviews", e.reviews.to_string())
            .text();
        format!("{}: {}\n{facts}", safe(&e.name), safe(&e.description))
    };
    entitlements.iter().map(one).collect()
}

/// A verified root.
pub(crate) fn root(root: &Root, now: i64) -> String {
    let roles = [
        ("root", &root.root),
        ("roster", &root.roster),
        ("bundle", &root.bundle),
        ("pulse", &root.pulse),
        ("certificate", &root.certificate),
    ];
    let row = |(name, role): (&str, &Role)| {
        let keys: Vec<_> = role.keys.iter().map(ToString::to_string).collect();
        [name.to_owned(), role.threshold.to_string(), keys.join(", ")]
    };
    let facts = Facts::new()
        .add("fleet", root.fleet.to_string())
        .add("version", root.version.to_string())
        .add("epoch", root.epoch.to_string())
        .add("made", when(root.issued_at.0, now))
        .add("ends", when(root.expires_at.0, now))
        .text();
    format!(
        "Root, verified from the pinned one\n{facts}{}",
        table(["ROLE", "SIGNATURES", "KEYS"], roles.map(row).into(), "no roles")
    )
}

/// A verified roster.
pub(crate) fn roster(roster: &Verified<Roster>, now: i64) -> String {
    let row = |r: &Reviewer| {
        let keys: Vec<_> = r.keys.iter().map(|line| signer::fingerprint_of_line(line)).collect();
        let groups: Vec<_> = r.groups.iter().map(|g| safe(g)).collect();
        [r.name.to_string(), groups.join(","), keys.join(", ")]
    };
    let facts = Facts::new()
        .add("fleet", roster.fleet.to_string())
        .add("version", roster.version.to_string())
        .add("made", when(roster.issued_at.0, now))
        .add("ends", when(roster.expires_at.0, now))
        .text();
    let rows = roster.reviewers.iter().map(row).collect();
    format!(
        "Roster, verified from the pinned root\n{facts}{}",
        table(["REVIEWER", "GROUPS", "KEYS"], rows, "no reviewers")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_view() -> HostView {
        HostView {
            name: "web-01".into(),
            labels: [("role".to_owned(), "web".to_owned())].into(),
            state: "enrolled".into(),
            connected: true,
            last_seen: Some(995),
            bundle_version: 7,
            acknowledged_version: Some(6),
            mode: Some("enforce".into()),
            journal_size: 42,
        }
    }

    #[test]
    fn hosts_are_listed_with_what_they_enforce() {
        assert_eq!(
            hosts(&[host_view()], 1000),
            "\
HOST    STATE     MODE     HEARD FROM  BUNDLE         RECORDS  LABELS
web-01  enrolled  enforce  connected   7, 6 in force  42       role=web
"
        );
    }

    #[test]
    fn a_host_that_never_came_is_told_so() {
        let mut new = host_view();
        (new.connected, new.last_seen, new.acknowledged_version, new.mode) = (false, None, None, None);
        new.state = "invited".into();
        assert_eq!(
            host(&new, 1000),
            "\
Host web-01
  state       invited
  heard from  never
  bundle      7, none in force
  records     42
  labels      role=web
"
        );
    }

    #[test]
    fn an_invitation_is_the_command_to_run() {
        let invitation =
            Invitation { host: "web-01".into(), token: "stint-join-1.abc".into(), expires_at: 4600 };
        assert_eq!(
            super::invitation(&invitation, "https://b:7443", 1000),
            "Run on web-01 as root, within 1 h, once:\n\n  stintd enroll --broker https://b:7443 --token stint-join-1.abc\n"
        );
    }

    #[test]
    fn an_entitlement_says_what_it_allows_where_and_how_long() {
        let entitlement = EntitlementView {
            name: "nginx-restart".into(),
            description: "Restart nginx".into(),
            hosts: vec!["web-01".into(), "web-02".into()],
            allows: vec!["log in by sshd".into(), "sudo systemctl restart nginx".into()],
            max_window: 3600,
            max_extension: 1200,
            reviews: 1,
        };
        assert_eq!(
            entitlements(&[entitlement]),
            "\
nginx-restart: Restart nginx
  allows   log in by sshd
           sudo systemctl restart nginx
  hosts    web-01, web-02
  window   up to 1 h, extensions up to 20 min
  reviews  1
"
        );
    }

    #[test]
    fn a_new_users_secrets_are_shown_once() {
        let secrets = NewUserSecrets {
            name: "bob".into(),
            password: "p".into(),
            totp_url: "otpauth://totp/x".into(),
            totp_secret: "ABC".into(),
        };
        assert_eq!(
            super::secrets(&secrets),
            "User bob. Shown once; hand it over in person:\n  password     p\n  TOTP secret  ABC\n  TOTP URL     otpauth://totp/x\n"
        );
    }

    #[test]
    fn users_are_listed() {
        let user = UserView {
            name: "bob".into(),
            account: "bob".into(),
            roles: vec!["requester".into(), "reviewer".into()],
            enabled: true,
        };
        assert_eq!(
            users(&[user]),
            "USER  ACCOUNT  ROLES               MAY SIGN IN\nbob   bob      requester,reviewer  yes\n"
        );
    }
}
