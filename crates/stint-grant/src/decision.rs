//! The decision: may this account do this now? Pure, and total: whatever is not allowed is denied, with its cause.

use std::net::IpAddr;

use crate::bundle::{Ending, EndingKind, Grant, Lock, LockTarget};
use crate::gate::{Account, OpenGate};
use crate::host_config::{HostConfig, NO_CODES};
use crate::ids::{Fingerprint, GrantId, Principal};
use crate::rights::Rights;
use crate::terms::CheckedTerms;
use crate::time::{Seconds, UnixTime};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What the account wants to do.
    pub purpose: Purpose<'a>,
    /// From which address, if over the network and known.
    pub origin: Option<IpAddr>,
    /// The SSH keys that were used. `None` where they are not known yet: sshd tells them in the session phase only.
    pub credentials: Option<&'a [Fingerprint]>,
}

/// What the account wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Log in through a PAM service.
    Login {
        /// The service.
        service: &'a str,
    },
    /// Run something through sudo. Which command, sudo itself checks against the drop-in.
    Sudo,
    /// Become root through su or doas: only a grant of full root covers it.
    BecomeRoot,
    /// Go on being here: a session that opens inside another. Any grant in its window covers it.
    Stay,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, by these grants; never empty.
    Allow(Permit),
    /// No, and why.
    Deny(Denial),
}

/// The grants that allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Each of them.
    pub grants: Vec<PermittingGrant>,
    /// The host's now.
    pub now: UnixTime,
}

/// One grant that allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittingGrant {
    /// Its id.
    pub id: GrantId,
    /// Its entitlement, for people.
    pub entitlement: String,
    /// Whose it is.
    pub principal: Principal,
    /// When it ends.
    pub until: UnixTime,
}

impl Permit {
    /// The latest end among the grants.
    pub fn until(&self) -> UnixTime {
        self.grants.iter().map(|g| g.until).max().unwrap_or(self.now)
    }
    /// How long it lasts yet.
    pub fn remaining(&self) -> Seconds {
        self.until().since(self.now)
    }
}

/// Why not. Ordered: of several grants, the highest denial is the one that is told, as it is the closest to a yes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// The account has no grant on this host.
    NoGrant,
    /// The grant ended.
    Ended {
        /// Which.
        grant: GrantId,
        /// How.
        how: How,
        /// When.
        at: UnixTime,
    },
    /// The warden refused the grant when it came.
    Refused {
        /// Which.
        grant: GrantId,
        /// Why.
        cause: String,
    },
    /// The window has not begun.
    NotYet {
        /// Which.
        grant: GrantId,
        /// When it begins.
        from: UnixTime,
    },
    /// The grant does not allow this.
    NotCovered {
        /// Which.
        grant: GrantId,
        /// What was wanted.
        wanted: String,
    },
    /// From an address that the grant does not list.
    Origin {
        /// Which.
        grant: GrantId,
        /// The address, if known.
        origin: Option<IpAddr>,
    },
    /// With an SSH key that the grant does not list.
    Credential {
        /// Which.
        grant: GrantId,
    },
    /// The news from the broker is too old.
    Stale {
        /// How old.
        age: Seconds,
        /// How old it may be.
        limit: Seconds,
    },
    /// Nothing but a break-glass code opens the grant, and none has.
    Sealed {
        /// Which.
        grant: GrantId,
    },
    /// A lock.
    Locked {
        /// The lock's own reason.
        reason: String,
        /// Its id.
        lock: String,
    },
    /// The gate could not be used. The text names the cause.
    Gate(String),
}

/// How a grant ended, for a denial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By time.
    Expired,
    /// Given back by its holder.
    Ended,
    /// Taken back.
    Revoked {
        /// By whom.
        by: Option<String>,
    },
    /// On this host, by the warden.
    OnHost,
}

/// Decides. The gate was opened for the account in question.
pub fn decide(gate: &OpenGate, config: &HostConfig, question: &Question<'_>) -> Verdict {
    if let Some(denial) = locked(gate, |target| matches!(target, LockTarget::Host(_))) {
        return Verdict::Deny(denial);
    }
    let Some(account) = &gate.account else { return Verdict::Deny(Denial::NoGrant) };
    let user = &account.shard.user;
    if let Some(denial) = locked(gate, |target| matches!(target, LockTarget::User(u) if u == user)) {
        return Verdict::Deny(denial);
    }
    let mut grants = Vec::new();
    let mut denial = last_ending(account).unwrap_or(Denial::NoGrant);
    let over = gate.over();
    let repeated = repeated(account);
    for grant in &account.shard.grants {
        if repeated.contains(&&grant.id) {
            let cause = "it stands twice in the bundle".to_owned();
            denial = denial.max(Denial::Refused { grant: grant.id.clone(), cause });
            continue;
        }
        match judge(gate, account, grant, config, question) {
            Ok(permitting) => grants.push(permitting),
            Err(cause) => denial = denial.max(cause),
        }
    }
    if !grants.is_empty() {
        return Verdict::Allow(Permit { grants, now: gate.now });
    }
    // The way in that is left is told, if there is one.
    let sealed_or_locked = matches!(denial, Denial::Sealed { .. } | Denial::Locked { .. });
    Verdict::Deny(over.filter(|_| !sealed_or_locked).map_or(denial, |over| Denial::Gate(over.to_string())))
}

fn judge(
    gate: &OpenGate,
    account: &Account,
    grant: &Grant,
    config: &HostConfig,
    question: &Question<'_>,
) -> Result<PermittingGrant, Denial> {
    let id = || grant.id.clone();
    if gate.ended.contains(&grant.id) {
        return Err(Denial::Ended { grant: id(), how: How::OnHost, at: grant.until.min(gate.now) });
    }
    if let Some(refused) = account.header.refused.iter().find(|r| r.grant == grant.id) {
        return Err(Denial::Refused { grant: id(), cause: refused.cause.clone() });
    }
    if !account.header.accepted.contains(&grant.id) {
        return Err(Denial::Refused { grant: id(), cause: "the warden has not accepted it".to_owned() });
    }
    if let Some(ending) = account.shard.endings.iter().find(|e| e.grant == grant.id) {
        return Err(ended(ending));
    }
    let terms = CheckedTerms::parse(&grant.terms)
        .map_err(|e| Denial::Refused { grant: id(), cause: e.to_string() })?;
    // The warden checked these as well. Whoever gets a file past it gets no further than the text that was reviewed.
    let its_own = terms.request == grant.id && terms.user == account.shard.user;
    if !its_own || !grant.is_within(&terms) {
        let cause = "its account, request or window is not that of its terms".to_owned();
        return Err(Denial::Refused { grant: id(), cause });
    }
    let locks_it = |target: &LockTarget| match target {
        LockTarget::Principal(p) => *p == terms.principal,
        LockTarget::Grant(g) => *g == grant.id,
        LockTarget::User(_) | LockTarget::Host(_) => false,
    };
    if let Some(denial) = locked(gate, locks_it) {
        return Err(denial);
    }
    if gate.now < grant.from {
        return Err(Denial::NotYet { grant: id(), from: grant.from });
    }
    if gate.now >= grant.until {
        return Err(Denial::Ended { grant: id(), how: How::Expired, at: grant.until });
    }
    let is_sealed = terms.is_sealed();
    if let Some(over) = gate.over().filter(|_| !is_sealed) {
        return Err(Denial::Refused { grant: id(), cause: over.to_string() });
    }
    if is_sealed && !config.ceiling.break_glass.codes {
        return Err(Denial::Refused { grant: id(), cause: NO_CODES.to_owned() });
    }
    covers(&terms.rights, grant, question)?;
    let named = |keys: &[Fingerprint]| keys.iter().any(|k| terms.credentials.contains(k));
    // sshd tells the keys in the session phase, so not to know them is no denial yet; no other login has any.
    let known = match question.purpose {
        Purpose::Login { service } if service != "sshd" => Some(question.credentials.unwrap_or_default()),
        _ => question.credentials,
    };
    if !terms.credentials.is_empty() && known.is_some_and(|keys| !named(keys)) {
        return Err(Denial::Credential { grant: id() });
    }
    let until = if is_sealed {
        let opening = gate.opened.iter().find(|opening| opening.is_within(grant, &terms, &config.ceiling));
        opening.ok_or_else(|| Denial::Sealed { grant: id() })?.until
    } else {
        let limit = terms.max_staleness.min(config.limits.staleness);
        let age = gate.pulse.age(gate.now);
        if age > limit {
            return Err(Denial::Stale { age, limit });
        }
        grant.until
    };
    Ok(PermittingGrant {
        id: id(),
        entitlement: terms.entitlement.to_string(),
        principal: terms.principal.clone(),
        until,
    })
}

fn covers(rights: &Rights, grant: &Grant, question: &Question<'_>) -> Result<(), Denial> {
    let not_covered =
        |wanted: &str| Denial::NotCovered { grant: grant.id.clone(), wanted: wanted.to_owned() };
    match question.purpose {
        Purpose::Login { service } => {
            let login = rights.login.as_ref().filter(|l| l.covers_service(service));
            let login = login.ok_or_else(|| not_covered(&format!("login by {service}")))?;
            if login.covers_origin(question.origin) {
                Ok(())
            } else {
                Err(Denial::Origin { grant: grant.id.clone(), origin: question.origin })
            }
        }
        Purpose::Sudo if rights.sudo.is_empty() => Err(not_covered("sudo")),
        // A root shell through su would know nothing of a rule's NOEXEC.
        Purpose::BecomeRoot if !rights.sudo.iter().any(|r| r.is_full_root() && !r.noexec) => {
            Err(not_covered("becoming root"))
        }
        Purpose::Sudo | Purpose::BecomeRoot | Purpose::Stay => Ok(()),
    }
}

fn locked(gate: &OpenGate, blocks: impl Fn(&LockTarget) -> bool) -> Option<Denial> {
    let live = |lock: &&Lock| lock.until.is_none_or(|until| gate.now < until);
    let lock = gate.head.locks.iter().filter(live).find(|lock| blocks(&lock.target))?;
    Some(Denial::Locked { reason: lock.reason.clone(), lock: lock.id.to_string() })
}

/// The ids that stand more than once: a verdict of the warden names a grant by its id, so it could not tell them apart.
fn repeated(account: &Account) -> Vec<&GrantId> {
    let mut ids: Vec<_> = account.shard.grants.iter().map(|g| &g.id).collect();
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

fn last_ending(account: &Account) -> Option<Denial> {
    account.shard.endings.iter().max_by_key(|e| e.at).map(ended)
}

fn ended(ending: &Ending) -> Denial {
    let how = match ending.how {
        EndingKind::Expired => How::Expired,
        EndingKind::Ended => How::Ended,
        EndingKind::Revoked => How::Revoked { by: ending.by.as_ref().map(ToString::to_string) },
    };
    Denial::Ended { grant: ending.grant.clone(), how, at: ending.at }
}
