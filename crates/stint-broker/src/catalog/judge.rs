//! Whether what was granted could be asked for today. Pure.
//!
//! The rule: the terms must lie within what the entitlement of that name allows now, for this person as they are now. So a catalog that
//! allows more, or that only says the same in other words, ends nothing; one that allows less ends what lies outside, whatever its state:
//! terms cannot be narrowed, since reviewers signed them as they are.

use std::collections::BTreeMap;

use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{AccountRight, Arguments, Command, LoginRight, Rights, SudoRule};
use stint_grant::terms::Terms;
use stint_grant::time::Seconds;

use crate::catalog::{Catalog, Entitlement};
use crate::identity::Role;

/// Why terms do not stand any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Who asked may not sign in any more.
    #[error("{0} was disabled")]
    Disabled(String),
    /// There is no such entitlement.
    #[error("the entitlement {0} is gone from the catalog")]
    Gone(String),
    /// It is for others.
    #[error("{person} may not request {entitlement} any more")]
    Requester {
        /// Who asked.
        person: String,
        /// What for.
        entitlement: String,
    },
    /// The terms name another local account than the person has.
    #[error("{0} has another account on hosts now")]
    Account(String),
    /// It does not cover a host.
    #[error("{entitlement} does not cover {host} any more")]
    Host {
        /// The entitlement.
        entitlement: String,
        /// The host.
        host: String,
    },
    /// It allows less.
    #[error("{0} does not allow all of these rights any more")]
    Rights(String),
    /// More is to be recorded.
    #[error("{0} records more of its commands now")]
    Record(String),
    /// Shorter windows, fresher news, an idle limit.
    #[error("{0} has tighter limits of time now")]
    Limits(String),
    /// More people must say yes.
    #[error("{entitlement} takes {reviews} reviews now")]
    Reviews {
        /// The entitlement.
        entitlement: String,
        /// How many.
        reviews: u32,
    },
}

/// Who asked, as they are now.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// Their local account.
    pub account: &'a str,
    /// Their roles.
    pub roles: &'a [Role],
    /// Whether they may sign in.
    pub enabled: bool,
}

/// Judges terms. `holder` is none if there is no such person any more; `hosts` are the labels of all hosts; `reviews` is how many reviews
/// the terms have, or will have once they are approved.
pub fn judge(
    catalog: &Catalog,
    terms: &Terms,
    holder: Option<Holder<'_>>,
    hosts: &BTreeMap<String, BTreeMap<String, String>>,
    reviews: u32,
) -> Result<(), Cause> {
    let person = || terms.principal.to_string();
    let name = || terms.entitlement.to_string();
    let holder = holder.filter(|holder| holder.enabled).ok_or_else(|| Cause::Disabled(person()))?;
    let entitlement = catalog.entitlements.get(&terms.entitlement).ok_or_else(|| Cause::Gone(name()))?;
    if !entitlement.requesters.include(terms.principal.as_str(), holder.roles) {
        return Err(Cause::Requester { person: person(), entitlement: name() });
    }
    if entitlement.account_of(holder.account) != terms.user.as_str() {
        return Err(Cause::Account(person()));
    }
    let covered = |host: &str| hosts.get(host).is_some_and(|labels| entitlement.hosts.covers(host, labels));
    if let Some(host) = terms.hosts.iter().find(|host| !covered(host.as_str())) {
        return Err(Cause::Host { entitlement: name(), host: host.to_string() });
    }
    if !allows(&entitlement.rights, &terms.rights) {
        return Err(Cause::Rights(name()));
    }
    if !terms.record.includes(&entitlement.record) {
        return Err(Cause::Record(name()));
    }
    if !within_limits(entitlement, terms) {
        return Err(Cause::Limits(name()));
    }
    if reviews < entitlement.reviews {
        return Err(Cause::Reviews { entitlement: name(), reviews: entitlement.reviews });
    }
    Ok(())
}

fn within_limits(entitlement: &Entitlement, terms: &Terms) -> bool {
    let waits = Seconds(u64::try_from(terms.claim_by.0.saturating_sub(terms.not_before.0)).unwrap_or(0));
    terms.max_window <= entitlement.max_window
        && terms.max_extension <= entitlement.max_extension
        && waits <= entitlement.claim_within
        && terms.max_staleness <= entitlement.max_staleness
        && entitlement.idle_limit.is_none_or(|most| terms.idle_limit.is_some_and(|limit| limit <= most))
        && (terms.end_on_logout || !entitlement.end_on_logout)
        && terms.is_sealed() == (entitlement.codes > 0)
        && terms.codes.len() <= entitlement.codes as usize
}

fn allows(now: &Rights, then: &Rights) -> bool {
    let login = then.login.as_ref();
    login.is_none_or(|then| now.login.as_ref().is_some_and(|now| allows_login(now, then)))
        && then.sudo.iter().all(|then| now.sudo.iter().any(|now| allows_rule(now, then)))
        && then.groups.iter().all(|group| now.groups.contains(group))
        && allows_account(now.account.as_ref(), then.account.as_ref())
}

/// An account that is made for the window is another right than a login to one that stands: neither is more than the other.
fn allows_account(now: Option<&AccountRight>, then: Option<&AccountRight>) -> bool {
    match (now, then) {
        (None, None) => true,
        (Some(now), Some(then)) => now.shell == then.shell && now.home == then.home,
        _ => false,
    }
}

fn allows_login(now: &LoginRight, then: &LoginRight) -> bool {
    let within = |net: &ipnet::IpNet| now.origins.iter().any(|wide| wide.contains(net));
    let Forwarding { port, agent, x11 } = then.forwarding;
    then.services.iter().all(|service| now.services.contains(service))
        && (now.origins.is_empty() || (!then.origins.is_empty() && then.origins.iter().all(within)))
        && (!port || now.forwarding.port)
        && (!agent || now.forwarding.agent)
        && (!x11 || now.forwarding.x11)
}

fn allows_rule(now: &SudoRule, then: &SudoRule) -> bool {
    let command = match (&now.command, &then.command) {
        (Command::All, _) => true,
        (Command::Program(now), Command::Program(then)) => allows_program(now, then),
        (Command::Program(_), Command::All) => false,
    };
    command
        && now.run_as == then.run_as
        && (now.digest.is_none() || now.digest == then.digest)
        && (!now.noexec || then.noexec)
}

fn allows_program(now: &Program, then: &Program) -> bool {
    now.path == then.path && (now.arguments == Arguments::Any || now.arguments == then.arguments)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stint_grant::record::{CommandRecord, RecordLevel};
    use stint_grant::rights::HomeEnd;
    use stint_grant::terms::Class;
    use stint_grant::time::UnixTime;

    use super::*;
    use crate::catalog::{Requesters, Selector};

    fn rule(arguments: Arguments) -> SudoRule {
        let program = Program { path: "/usr/bin/systemctl".to_owned(), arguments };
        SudoRule {
            run_as: "root".parse().unwrap(),
            command: Command::Program(program),
            digest: None,
            noexec: false,
        }
    }

    fn restart() -> Arguments {
        Arguments::Exact(vec!["restart".to_owned(), "nginx".to_owned()])
    }

    fn entitlement() -> Entitlement {
        let origins = vec!["10.0.0.0/8".parse().unwrap()];
        let forwarding = Forwarding { port: true, agent: false, x11: false };
        Entitlement {
            name: "nginx".parse().unwrap(),
            description: "Restart nginx".to_owned(),
            hosts: Selector {
                names: BTreeSet::new(),
                labels: [("role".to_owned(), "web".to_owned())].into(),
            },
            rights: Rights {
                login: Some(LoginRight { services: vec!["sshd".to_owned()], origins, forwarding }),
                sudo: vec![rule(restart())],
                groups: vec!["adm".parse().unwrap()],
                account: None,
            },
            account_name: None,
            record: CommandRecord::COMMANDS,
            max_window: Seconds(3600),
            max_extension: Seconds(600),
            claim_within: Seconds(7200),
            max_staleness: Seconds(900),
            idle_limit: Some(Seconds(300)),
            end_on_logout: false,
            codes: 0,
            reviews: 1,
            requesters: Requesters { names: BTreeSet::new(), roles: vec![Role::Requester] },
        }
    }

    fn account() -> AccountRight {
        AccountRight { shell: "/bin/sh".to_owned(), home: HomeEnd::Remove, keys: Vec::new() }
    }

    /// As they are made for a request of all that the entitlement allows.
    fn terms() -> Terms {
        let entitlement = entitlement();
        Terms {
            format: 1,
            fleet: "prod".parse().unwrap(),
            request: "abcdefgh2345".parse().unwrap(),
            entitlement: entitlement.name,
            hosts: vec!["web-01".parse().unwrap()],
            principal: "alice".parse().unwrap(),
            user: "alice".parse().unwrap(),
            class: Class::Routine,
            reason: "OPS-12".to_owned(),
            ticket: None,
            rights: entitlement.rights,
            record: entitlement.record,
            credentials: Vec::new(),
            not_before: UnixTime(1000),
            claim_by: UnixTime(8200),
            max_window: entitlement.max_window,
            max_extension: entitlement.max_extension,
            max_staleness: entitlement.max_staleness,
            idle_limit: entitlement.idle_limit,
            end_on_logout: entitlement.end_on_logout,
            codes: Vec::new(),
        }
    }

    fn alice() -> Holder<'static> {
        Holder { account: "alice", roles: &[Role::Requester], enabled: true }
    }

    fn by(entitlement: Entitlement, holder: Option<Holder<'_>>) -> Result<(), Cause> {
        let catalog = Catalog {
            entitlements: [(entitlement.name.clone(), entitlement)].into(),
            version: String::new(),
        };
        let hosts = [("web-01".to_owned(), [("role".to_owned(), "web".to_owned())].into())].into();
        judge(&catalog, &terms(), holder, &hosts, 1)
    }

    fn login(entitlement: &mut Entitlement) -> &mut LoginRight {
        entitlement.rights.login.as_mut().unwrap()
    }

    #[test]
    fn what_the_catalog_allows_today_stands_also_when_it_allows_more() {
        type Change = fn(&mut Entitlement);
        let more: [Change; 12] = [
            |_| {},
            |e| e.description = "Restart the web server".to_owned(),
            |e| e.max_window = Seconds(7200),
            |e| e.idle_limit = None,
            |e| e.reviews = 0,
            |e| e.record = CommandRecord::NONE,
            |e| e.rights.sudo = vec![rule(Arguments::Any)],
            |e| e.rights.sudo[0].command = Command::All,
            |e| login(e).origins.clear(),
            |e| login(e).services.push("login".to_owned()),
            |e| login(e).forwarding.agent = true,
            |e| e.hosts.names = ["web-01".parse().unwrap()].into(),
        ];
        for (n, change) in more.into_iter().enumerate() {
            let mut entitlement = entitlement();
            change(&mut entitlement);
            assert_eq!(by(entitlement, Some(alice())), Ok(()), "change {n}");
        }
    }

    #[test]
    fn what_the_catalog_allows_no_longer_does_not_stand() {
        type Change = fn(&mut Entitlement);
        let less: [(&str, Change); 26] = [
            ("gone", |e| e.name = "other".parse().unwrap()),
            ("may not request", |e| e.requesters.roles = vec![Role::Administrator]),
            ("does not cover web-01", |e| e.hosts.labels = [("role".to_owned(), "db".to_owned())].into()),
            ("rights", |e| e.rights.login = None),
            ("rights", |e| login(e).services = vec!["login".to_owned()]),
            ("rights", |e| login(e).origins = vec!["10.1.0.0/16".parse().unwrap()]),
            ("rights", |e| login(e).forwarding.port = false),
            ("rights", |e| e.rights.sudo.clear()),
            ("rights", |e| e.rights.sudo = vec![rule(Arguments::Exact(vec!["reload".to_owned()]))]),
            ("rights", |e| e.rights.sudo[0].run_as = "www-data".parse().unwrap()),
            ("rights", |e| e.rights.sudo[0].noexec = true),
            ("rights", |e| e.rights.sudo[0].digest = Some(stint_grant::ids::Sha256Hex::of(b"x"))),
            ("rights", |e| e.rights.groups.clear()),
            ("rights", |e| e.rights.account = Some(account())),
            ("another account", |e| e.account_name = Some("{user}-tmp".to_owned())),
            ("records more", |e| e.record.level = RecordLevel::Io),
            ("records more", |e| e.record.subcommands = true),
            ("limits", |e| e.max_window = Seconds(3599)),
            ("limits", |e| e.max_extension = Seconds(0)),
            ("limits", |e| e.claim_within = Seconds(7199)),
            ("limits", |e| e.max_staleness = Seconds(60)),
            ("limits", |e| e.idle_limit = Some(Seconds(299))),
            ("limits", |e| e.end_on_logout = true),
            ("limits", |e| e.codes = 3),
            ("takes 2 reviews", |e| e.reviews = 2),
            ("takes 3 reviews", |e| e.reviews = 3),
        ];
        for (words, change) in less {
            let mut entitlement = entitlement();
            change(&mut entitlement);
            let cause = by(entitlement, Some(alice())).expect_err(words).to_string();
            assert!(cause.contains(words), "{cause}");
        }
    }

    #[test]
    fn an_account_for_the_window_stands_with_whatever_keys_and_not_with_another_shell_or_home() {
        let with = |account: Option<AccountRight>| Rights { account, ..entitlement().rights };
        let keyed = AccountRight { keys: vec!["ssh-ed25519 AAAA".to_owned()], ..account() };
        assert!(allows(&with(Some(account())), &with(Some(keyed))));
        let shell = AccountRight { shell: "/bin/zsh".to_owned(), ..account() };
        let home = AccountRight { home: HomeEnd::Keep, ..account() };
        for then in [Some(shell), Some(home), None] {
            assert!(!allows(&with(Some(account())), &with(then.clone())), "{then:?}");
        }
    }

    #[test]
    fn the_terms_of_somebody_who_is_disabled_or_somebody_else_now_do_not_stand() {
        for (words, holder) in [
            ("disabled", None),
            ("disabled", Some(Holder { enabled: false, ..alice() })),
            ("may not request", Some(Holder { roles: &[], ..alice() })),
            ("another account", Some(Holder { account: "asmith", ..alice() })),
        ] {
            let cause = by(entitlement(), holder).expect_err(words).to_string();
            assert!(cause.contains(words), "{cause}");
        }
    }
}
