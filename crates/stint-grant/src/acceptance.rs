//! Whether the host takes a grant: its terms, its window, the host's ceiling, and the reviews. Asked by the warden, once for each
//! grant when a bundle comes; the login path reads the answer.
//!
//! One refused grant never keeps the rest of the bundle out: locks and endings still apply.

use std::collections::BTreeSet;

use crate::bundle::{Grant, HostIdentity};
use crate::dsse::Verified;
use crate::host_config::{BreakGlass, Ceiling, NO_CODES};
use crate::ids::{FleetName, GroupName, Principal, Sha256Hex, UserName};
use crate::record::RecordLevel;
use crate::review::{ReviewDecision, SignedReview, VerifiedReview};
use crate::rights::login::Forwarding;
use crate::rights::{LoginRight, SudoRule, groups};
use crate::roster::Roster;
use crate::strict::document;
use crate::terms::{CheckedTerms, TermsError};
use crate::time::{Seconds, UnixTime};

document! {
    /// What the host remembers of a grant from its first sight on, so that nobody can change or restart it.
    pub struct GrantMemory {
        /// The digest of its terms.
        pub terms: Sha256Hex,
        /// When its window began.
        pub from: UnixTime,
        /// Whether it ended on this host. What ended stays ended.
        pub ended: bool,
    }
}

/// Why the host does not take a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The terms do not hold together.
    #[error("{0}")]
    Terms(#[from] TermsError),
    /// The terms are for another fleet, host, account or request than the grant.
    #[error("its terms are for another {0}")]
    OtherTerms(&'static str),
    /// The window is not within the terms.
    #[error("its window is not within its terms")]
    Window,
    /// The terms changed after the host first saw the grant.
    #[error("its terms or its beginning changed after this host first saw it")]
    Changed,
    /// It ended here before.
    #[error("it ended on this host before")]
    EndedBefore,
    /// Longer than the host allows.
    #[error("its window of {found} exceeds this host's ceiling of {ceiling}")]
    TooLong {
        /// The whole window.
        found: Seconds,
        /// What `host.toml` allows.
        ceiling: Seconds,
    },
    /// Sealed, and the host takes no codes.
    #[error("{NO_CODES}")]
    NoCodes,
    /// Its codes are good for longer than the host allows.
    #[error("its codes are good for {found}, this host's ceiling allows {ceiling}")]
    CodesTooOld {
        /// The whole time.
        found: Seconds,
        /// What `host.toml` allows.
        ceiling: Seconds,
    },
    /// Full root, and the host forbids it.
    #[error("it grants full root, which this host's ceiling forbids")]
    FullRoot,
    /// Less is recorded than the host demands.
    #[error(
        "it records {} of its commands, this host's ceiling demands at least {}", found.word(), needed.word()
    )]
    Record {
        /// What its terms ask for.
        found: RecordLevel,
        /// What `host.toml` demands.
        needed: RecordLevel,
    },
    /// An account out of bounds.
    #[error("it is for account {0}, which this host's ceiling forbids")]
    Account(UserName),
    /// A group out of bounds.
    #[error("it gives group {0}, which this host's ceiling forbids")]
    Group(GroupName),
    /// A group that amounts to root, in a grant that does not say that it is all of root.
    #[error("it gives group {group}, which amounts to root ({why}), and does not grant full root")]
    RootGroup {
        /// Which.
        group: GroupName,
        /// Why it amounts to root.
        why: String,
    },
    /// A group that the host does not have, or that it cannot judge.
    #[error("it gives group {group}, {why}")]
    HostGroup {
        /// Which.
        group: GroupName,
        /// What is the matter.
        why: String,
    },
    /// An account for the window, and the host makes none.
    #[error("it makes account {0}, and this host's ceiling allows no accounts to be made")]
    NoAccounts(UserName),
    /// An account of that name is there, and was not made for a grant.
    #[error("it makes account {0}, which stands already and is not ours")]
    AccountStands(UserName),
    /// Too few signed reviews.
    #[error("{found} valid signed reviews, this host's ceiling demands {needed}")]
    Reviews {
        /// Different reviewers with a valid approval of these very terms.
        found: usize,
        /// What `host.toml` demands.
        needed: u32,
    },
}

/// What only the host itself knows of what a grant names.
pub trait HostFacts {
    /// Whether a group is there, and whether it amounts to root on this host.
    fn group(&self, group: &GroupName) -> GroupFact;
    /// Whether an account of this name is there that was not made for a grant.
    fn is_foreign(&self, user: &UserName) -> bool;
}

/// What a host knows of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupFact {
    /// It is there, and gives what its name says.
    Plain,
    /// Whoever is in it has, or can have, root's rights.
    Root(String),
    /// It cannot be given: it is not there, or nobody can tell what it gives.
    Unusable(String),
}

/// A grant that the host takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedGrant {
    /// The grant as it came.
    pub grant: Grant,
    /// Its terms.
    pub terms: CheckedTerms,
    /// Who reviewed it.
    pub reviewers: Vec<Principal>,
}

/// What a grant is judged by.
pub struct Judge<'a> {
    /// This fleet.
    pub fleet: &'a FleetName,
    /// This host.
    pub me: &'a HostIdentity,
    /// The host's ceiling.
    pub ceiling: &'a Ceiling,
    /// The roster, if one is at hand and valid.
    pub roster: Option<&'a Verified<Roster>>,
    /// All reviews that came with the bundle.
    pub reviews: &'a [SignedReview],
    /// What the host knows of what is named.
    pub host: &'a dyn HostFacts,
}

impl Judge<'_> {
    /// Judges one grant of one account. `memory` is what the host remembers of a grant of this id.
    pub fn judge(
        &self,
        user: &UserName,
        grant: &Grant,
        memory: Option<&GrantMemory>,
    ) -> Result<AcceptedGrant, Refusal> {
        let terms = CheckedTerms::parse(&grant.terms)?;
        self.check_identity(user, grant, &terms)?;
        check_memory(grant, &terms, memory)?;
        self.check_window(grant, &terms)?;
        self.check_ceiling(&terms)?;
        let reviewers = self.check_reviews(&terms)?;
        if memory.is_none() {
            // Once it is taken, it does not end because the host changes: what is given is checked again whenever it is given.
            self.check_facts(&terms)?;
        }
        Ok(AcceptedGrant { grant: grant.clone(), terms, reviewers })
    }

    fn check_identity(&self, user: &UserName, grant: &Grant, terms: &CheckedTerms) -> Result<(), Refusal> {
        let same = [
            ("fleet", terms.fleet == *self.fleet),
            ("request", terms.request == grant.id),
            ("account", terms.user == *user),
            ("host", terms.hosts.contains(&self.me.host)),
        ];
        same.iter().find(|(_, same)| !same).map_or(Ok(()), |(what, _)| Err(Refusal::OtherTerms(what)))
    }

    fn check_window(&self, grant: &Grant, terms: &CheckedTerms) -> Result<(), Refusal> {
        if !grant.is_within(terms) {
            return Err(Refusal::Window);
        }
        let length = grant.until.since(grant.from);
        if terms.is_sealed() {
            return self.check_sealed(terms, length);
        }
        if length > self.ceiling.max_window {
            return Err(Refusal::TooLong { found: length, ceiling: self.ceiling.max_window });
        }
        Ok(())
    }

    /// Its window begins when a code opens it; until then it stands, and permits nothing.
    fn check_sealed(&self, terms: &CheckedTerms, age: Seconds) -> Result<(), Refusal> {
        let BreakGlass { codes, max_window, max_age, .. } = self.ceiling.break_glass;
        let longest = max_window.min(self.ceiling.max_window);
        if !codes {
            return Err(Refusal::NoCodes);
        }
        if terms.max_window > longest {
            return Err(Refusal::TooLong { found: terms.max_window, ceiling: longest });
        }
        if age > max_age {
            return Err(Refusal::CodesTooOld { found: age, ceiling: max_age });
        }
        Ok(())
    }

    fn check_ceiling(&self, terms: &CheckedTerms) -> Result<(), Refusal> {
        let rights = &terms.rights;
        if amounts_to_root(terms) && !self.ceiling.full_root {
            return Err(Refusal::FullRoot);
        }
        if rights.account.is_some() && !self.ceiling.accounts.allowed {
            return Err(Refusal::NoAccounts(terms.user.clone()));
        }
        let (found, needed) = (terms.record.level, self.ceiling.record);
        if !rights.sudo.is_empty() && found < needed {
            return Err(Refusal::Record { found, needed });
        }
        let accounts = std::iter::once(&terms.user).chain(rights.sudo.iter().map(|rule| &rule.run_as));
        if let Some(account) = accounts.into_iter().find(|a| self.ceiling.forbidden_accounts.contains(a)) {
            return Err(Refusal::Account(account.clone()));
        }
        if let Some(group) = rights.groups.iter().find(|g| self.ceiling.forbidden_groups.contains(g)) {
            return Err(Refusal::Group(group.clone()));
        }
        if let Some(allowed) = &self.ceiling.allowed_groups
            && let Some(group) = rights.groups.iter().find(|g| !allowed.contains(g))
        {
            return Err(Refusal::Group(group.clone()));
        }
        let root = rights.groups.iter().find_map(|g| groups::root_equivalent(g).map(|why| (g, why)));
        if let Some((group, why)) = root
            && !rights.is_full_root()
        {
            return Err(Refusal::RootGroup { group: group.clone(), why: why.to_owned() });
        }
        Ok(())
    }

    /// What the ceiling cannot say: last, so that only what was reviewed makes the host look around.
    fn check_facts(&self, terms: &CheckedTerms) -> Result<(), Refusal> {
        if terms.rights.account.is_some() && self.host.is_foreign(&terms.user) {
            return Err(Refusal::AccountStands(terms.user.clone()));
        }
        for group in &terms.rights.groups {
            match self.host.group(group) {
                GroupFact::Plain => {}
                GroupFact::Root(_) if terms.rights.is_full_root() => {}
                GroupFact::Root(why) => return Err(Refusal::RootGroup { group: group.clone(), why }),
                GroupFact::Unusable(why) => return Err(Refusal::HostGroup { group: group.clone(), why }),
            }
        }
        Ok(())
    }

    fn check_reviews(&self, terms: &CheckedTerms) -> Result<Vec<Principal>, Refusal> {
        let reviewers: Vec<Principal> = self.reviewers_of(terms).into_iter().collect();
        let needed = self.reviews_needed(terms);
        if reviewers.len() < needed as usize {
            return Err(Refusal::Reviews { found: reviewers.len(), needed });
        }
        Ok(reviewers)
    }

    /// Different people, not the requester, who approved these very terms with a key of theirs in the roster.
    fn reviewers_of(&self, terms: &CheckedTerms) -> BTreeSet<Principal> {
        let Some(roster) = self.roster else { return BTreeSet::new() };
        self.reviews
            .iter()
            .filter(|review| review.statement.contains(terms.digest().as_str()))
            .filter_map(|review| crate::review::verify(review, roster).ok())
            .filter(|review| approves(review, terms))
            .map(|review| review.reviewer.clone())
            .collect()
    }

    /// The most that any right of the grant demands.
    fn reviews_needed(&self, terms: &CheckedTerms) -> u32 {
        let (needed, rights) = (&self.ceiling.reviews, &terms.rights);
        let free = |matches: &dyn Fn(&crate::host_config::Unreviewed) -> bool| {
            self.ceiling.unreviewed.iter().any(|u| u.user == terms.user && matches(u))
        };
        let for_login =
            if terms.user.as_str() == "root" { needed.login.max(needed.root) } else { needed.login };
        // The host frees the login of an account, and not what else a connection may carry.
        let is_free = |login: &LoginRight| login.forwarding == Forwarding::NONE && free(&|u| u.login);
        let login = rights.login.iter().filter(|login| !is_free(login)).map(|_| for_login);
        let sudo = rights
            .sudo
            .iter()
            .filter(|rule| !(rule.is_exact() && free(&|u| u.sudo.as_ref() == Some(*rule))))
            .map(|rule| if rule.amounts_to_root() { needed.sudo.max(needed.root) } else { needed.sudo });
        let groups = rights.groups.iter().filter(|group| !free(&|u| u.groups.contains(group))).map(|group| {
            if groups::root_equivalent(group).is_some() {
                needed.group.max(needed.root)
            } else {
                needed.group
            }
        });
        let account = rights.account.iter().map(|_| needed.account);
        // What a code opens is nobody's to look at first: nothing of it comes without a review, whatever is free otherwise.
        let sealed = terms.is_sealed().then_some(self.ceiling.break_glass.reviews);
        let login = login.chain(sealed);
        login.chain(sudo).chain(groups).chain(account).max().unwrap_or(0)
    }
}

/// A rule that amounts to root, or the root account itself.
fn amounts_to_root(terms: &CheckedTerms) -> bool {
    terms.user.as_str() == "root" || terms.rights.sudo.iter().any(SudoRule::amounts_to_root)
}

fn approves(review: &VerifiedReview, terms: &CheckedTerms) -> bool {
    review.decision == ReviewDecision::Approve
        && review.request == terms.request
        && review.terms == *terms.digest()
        && review.reviewer != terms.principal
}

fn check_memory(grant: &Grant, terms: &CheckedTerms, memory: Option<&GrantMemory>) -> Result<(), Refusal> {
    match memory {
        Some(m) if m.terms != *terms.digest() || m.from != grant.from => Err(Refusal::Changed),
        Some(m) if m.ended => Err(Refusal::EndedBefore),
        _ => Ok(()),
    }
}
