//! An update from the courier: from bytes to a plan. Nothing here is stored; a plan exists only after the last check.
//!
//! The steps of [`examine`] stand in the order of trust: who may sign (roots), what is signed (head, pulse), what time it is by that,
//! what the head commits to (shards), who may review (roster), and what of it this host takes (each grant alone).

use std::collections::BTreeMap;

use stint_api::hosts::HostUpdate;
use stint_grant::acceptance::{AcceptedGrant, HostFacts, Judge, Refusal};
use stint_grant::bundle::{self, BundleError, Grant, Head, HostIdentity, Pulse, PulseError, VerifiedShard};
use stint_grant::dsse::Verified;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::{FleetName, GrantId, Sha256Hex};
use stint_grant::review::{self, SignedReview};
use stint_grant::root::{self, Root, RootError};
use stint_grant::roster::{self, Roster, RosterError};
use stint_grant::terms;
use stint_grant::time::{ClockFault, ClockReading, Floor, UnixTime};
use stint_grant::tree::{self, Proof};

use super::memory::Memory;
use super::store::{KnownRoot, KnownRoster, State};
use super::time;
use super::trust::Trust;

/// More roots than any fleet will have.
const MAX_ROOTS: usize = 4096;

/// What an update is judged by.
#[derive(Clone, Copy)]
pub(crate) struct Knowledge<'a> {
    /// What enrolment pinned.
    pub(crate) trust: &'a Trust,
    /// This host's name and identity key.
    pub(crate) me: &'a HostIdentity,
    /// What was seen last.
    pub(crate) state: &'a State,
    /// What is remembered of grants.
    pub(crate) memory: &'a Memory,
    /// The host's own rules.
    pub(crate) config: &'a HostConfig,
    /// What the host knows of what a grant names.
    pub(crate) host: &'a dyn HostFacts,
}

/// What the host will hold once the plan is carried out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The newest root, and its envelope.
    pub(crate) root: (Verified<Root>, String),
    /// The head, and its envelope.
    pub(crate) head: (Verified<Head>, String),
    /// The newest pulse, and its envelope.
    pub(crate) pulse: (Verified<Pulse>, String),
    /// The roster that counts.
    pub(crate) roster: Option<KnownRoster>,
    /// The accounts, in the order of their names.
    pub(crate) accounts: Vec<AccountPlan>,
    /// The floor of time.
    pub(crate) floor: Floor,
    /// The host's now when the plan was made.
    pub(crate) now: UnixTime,
    /// What people must hear of although the update was taken.
    pub(crate) alarms: Vec<Alarm>,
}

/// What one account will have.
#[derive(Clone, Debug)]
pub(crate) struct AccountPlan {
    /// Its shard.
    pub(crate) shard: VerifiedShard,
    /// The shard's bytes.
    pub(crate) bytes: String,
    /// The shard's place in the head's tree.
    pub(crate) proof: Proof,
    /// What the host says to each grant in it.
    pub(crate) verdicts: Vec<(GrantId, Verdict)>,
}

/// What the host says to a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken.
    Accepted(Box<AcceptedGrant>),
    /// It ended here; the broker may not know yet, or wants it to live again.
    EndedBefore {
        /// When the broker would have it end.
        until: UnixTime,
    },
    /// Not taken, and why.
    Refused(String),
}

/// Something that must reach a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// One word.
    pub(crate) what: &'static str,
    /// The whole of it.
    pub(crate) detail: String,
}

/// Why an update was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntakeError {
    /// The chain of roots does not hold.
    #[error("{0}")]
    Root(#[from] RootError),
    /// No root at all, or far too many.
    #[error("root: the update holds {0} roots")]
    Roots(usize),
    /// An older root than the host has: what a newer one revoked would be believed again.
    #[error("root: version {found} is behind version {known} that this host has")]
    RootRollback {
        /// The newest in the update.
        found: u64,
        /// What the host has.
        known: u64,
    },
    /// Another root under a version that the host has.
    #[error("root: version {0} was seen before with other contents: the root's keys may be in other hands")]
    RootEquivocation(u64),
    /// A root of another fleet.
    #[error("root: it is for fleet {0}, not for the one that this host joined")]
    OtherFleet(FleetName),
    /// The head or the shards do not hold.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// The pulse does not hold.
    #[error("{0}")]
    Pulse(#[from] PulseError),
    /// A pulse that is older than the one at hand.
    #[error("pulse: it was signed at {found}, before the one at hand ({known})")]
    OldPulse {
        /// When it was signed.
        found: UnixTime,
        /// When the one at hand was.
        known: UnixTime,
    },
    /// A pulse alone, before any bundle.
    #[error("pulse: this host has no bundle yet")]
    NoBundle,
    /// The bundle at hand, with ever other things around it that nobody signed as a whole.
    #[error(
        "bundle: version {0} came too often in this hour, each time with another roster or other reviews"
    )]
    Repeated(u64),
    /// The time cannot be told, or the signed time is not believable.
    #[error("{0}")]
    Clock(#[from] ClockFault),
}

impl IntakeError {
    /// One word for records.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Root(_) | Self::Roots(_) | Self::OtherFleet(_) => "root",
            Self::RootRollback { .. } | Self::Bundle(BundleError::Rollback { .. }) => "rollback",
            Self::RootEquivocation(_) | Self::Bundle(BundleError::Equivocation(_)) => "equivocation",
            Self::Bundle(_) | Self::Repeated(_) => "bundle",
            Self::OldPulse { .. } => "replay",
            Self::Pulse(_) | Self::NoBundle => "pulse",
            Self::Clock(_) => "clock",
        }
    }
    /// Whether a person must hear of it: somebody signed two truths, went back, or told an impossible time.
    pub(crate) fn is_alarm(&self) -> bool {
        matches!(self.code(), "rollback" | "equivocation")
            || matches!(self, Self::Clock(ClockFault::FarAhead { .. }))
    }
}

/// Examines an update. What comes back is not yet in force, and nothing was changed if an error comes back.
pub(crate) fn examine(
    update: &HostUpdate,
    known: Knowledge<'_>,
    reading: &ClockReading,
) -> Result<Plan, IntakeError> {
    examine_as(Origin::Courier, update, known, reading)
}

/// Examines the update that this host took before. It may be over: then what is sealed holds and nothing else does, as when its end
/// passed while the warden ran.
pub(crate) fn examine_stored(
    update: &HostUpdate,
    known: Knowledge<'_>,
    reading: &ClockReading,
) -> Result<Plan, IntakeError> {
    examine_as(Origin::Disk, update, known, reading)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Courier,
    Disk,
}

fn examine_as(
    origin: Origin,
    update: &HostUpdate,
    known: Knowledge<'_>,
    reading: &ClockReading,
) -> Result<Plan, IntakeError> {
    let state = known.state;
    // 1. Who may sign: from the pinned root, one by one; never behind the newest that was seen (a key that was revoked stays revoked).
    let (root, root_envelope) = walk_roots(&update.roots, known.trust, state.root.as_ref())?;

    // 2. What is signed: this host's head in this root's epoch, no version behind, none twice. Its end is judged by the time known so
    //    far, and again in step 4.
    let new_epoch = state.root.as_ref().is_some_and(|old| root.epoch > old.epoch);
    let provisional = state.floor.now(reading).unwrap_or(state.floor.time);
    let seen = state.seen.as_ref().filter(|_| !new_epoch);
    let provisional = if new_epoch { UnixTime(i64::MIN) } else { provisional };
    let bytes = update.head.as_bytes();
    let head = bundle::open_head_that_may_be_over(bytes, &root, known.me, seen, provisional)?;
    if origin == Origin::Courier {
        head.check_time(provisional)?;
    }

    // 3. The pulse must name that head. Of two for one head the newer counts, so a replayed one freshens nothing.
    let offered = bundle::open_pulse(update.pulse.as_bytes(), &root, &head)?;
    let pulse = newer_pulse((offered, update.pulse.clone()), state.pulse.as_deref(), &root, &head);

    // 4. What time it is by that, and whether root and head hold at that time.
    let floor = advance_floor(&pulse.0, known, new_epoch, reading)?;
    let now = floor.now(reading)?;
    root.check_time(now)?;
    if origin == Origin::Courier {
        head.check_time(now)?;
    }

    // 5. What the head commits to: all shards, each account once.
    let bytes: Vec<Vec<u8>> = update.shards.iter().map(|shard| shard.clone().into_bytes()).collect();
    let shards = bundle::open_all_shards(&head, &bytes)?;

    // 6. Who may review. A bad roster keeps no lock out: the last good one counts.
    let mut alarms = Vec::new();
    let (roster, kept) = choose_roster(update.roster.as_deref(), &root, state, now, &mut alarms);

    // 7. Each grant alone.
    let reviews = by_terms(update);
    let proofs = tree::proofs(&bytes);
    let judging = Judging { known, roster: roster.as_ref(), reviews: &reviews };
    let accounts = shards
        .into_iter()
        .zip(proofs)
        .zip(&update.shards)
        .map(|((shard, proof), bytes)| AccountPlan {
            verdicts: judging.verdicts(&shard),
            shard,
            bytes: bytes.clone(),
            proof,
        })
        .collect();
    Ok(Plan {
        root: (root, root_envelope),
        head: (head, update.head.clone()),
        pulse,
        roster: kept,
        accounts,
        floor,
        now,
        alarms,
    })
}

/// Examines a pulse for the bundle at hand: it must be newer than the one at hand.
pub(crate) fn examine_pulse(
    envelope: &str,
    plan: &Plan,
    known: Knowledge<'_>,
    reading: &ClockReading,
) -> Result<(Verified<Pulse>, Floor), IntakeError> {
    let pulse = bundle::open_pulse(envelope.as_bytes(), &plan.root.0, &plan.head.0)?;
    if pulse.issued_at < plan.pulse.0.issued_at {
        return Err(IntakeError::OldPulse { found: pulse.issued_at, known: plan.pulse.0.issued_at });
    }
    let floor = advance_floor(&pulse, known, false, reading)?;
    Ok((pulse, floor))
}

fn walk_roots(
    roots: &[String],
    trust: &Trust,
    known: Option<&KnownRoot>,
) -> Result<(Verified<Root>, String), IntakeError> {
    let pinned = roots.iter().position(|root| root::pin_of(root.as_bytes()) == trust.root_pin).unwrap_or(0);
    let chain = roots.get(pinned..).unwrap_or_default();
    let Some((first, rest)) = chain.split_first().filter(|_| roots.len() <= MAX_ROOTS) else {
        return Err(IntakeError::Roots(roots.len()));
    };
    let mut current = root::open_pinned(first.as_bytes(), &trust.root_pin)?;
    let mut envelope = first;
    check_known(known, current.version, envelope)?;
    for next in rest {
        current = root::rotate(&current, next.as_bytes())?;
        envelope = next;
        check_known(known, current.version, envelope)?;
    }
    if current.fleet != trust.fleet {
        return Err(IntakeError::OtherFleet(current.fleet.clone()));
    }
    match known.filter(|known| current.version < known.version) {
        Some(known) => Err(IntakeError::RootRollback { found: current.version, known: known.version }),
        None => Ok((current, envelope.clone())),
    }
}

fn check_known(known: Option<&KnownRoot>, version: u64, envelope: &str) -> Result<(), IntakeError> {
    match known.filter(|known| known.version == version) {
        Some(known) if root::pin_of(envelope.as_bytes()) != known.pin => {
            Err(IntakeError::RootEquivocation(version))
        }
        _ => Ok(()),
    }
}

fn newer_pulse(
    offered: (Verified<Pulse>, String),
    at_hand: Option<&str>,
    root: &Verified<Root>,
    head: &Verified<Head>,
) -> (Verified<Pulse>, String) {
    let at_hand = at_hand
        .and_then(|envelope| Some((bundle::open_pulse(envelope.as_bytes(), root, head).ok()?, envelope)));
    match at_hand {
        Some((pulse, envelope)) if pulse.issued_at > offered.0.issued_at => (pulse, envelope.to_owned()),
        _ => offered,
    }
}

/// The floor after the pulse. Only an epoch that the root's keys signed lowers it, and only if it is further off than news may be old.
fn advance_floor(
    pulse: &Pulse,
    known: Knowledge<'_>,
    new_epoch: bool,
    reading: &ClockReading,
) -> Result<Floor, ClockFault> {
    let (floor, staleness) = (&known.state.floor, known.config.limits.staleness);
    let ahead = floor.now(reading).unwrap_or(floor.time);
    if new_epoch && pulse.issued_at.plus(staleness) < ahead {
        let fresh = Floor { time: UnixTime(0), boot_id: String::new(), boottime_ms: 0 };
        return fresh.advance(pulse.issued_at, reading);
    }
    time::advance(floor, pulse.issued_at, staleness, reading)
}

fn choose_roster(
    offered: Option<&str>,
    root: &Verified<Root>,
    state: &State,
    now: UnixTime,
    alarms: &mut Vec<Alarm>,
) -> (Option<Verified<Roster>>, Option<KnownRoster>) {
    let known = state.roster.as_ref();
    if let Some(envelope) = offered {
        match open_roster(envelope, root, known, now) {
            Ok(roster) => {
                let kept = KnownRoster {
                    version: roster.version,
                    digest: roster.digest().clone(),
                    envelope: envelope.to_owned(),
                };
                return (Some(roster), Some(kept));
            }
            Err(detail) => alarms.push(Alarm { what: "roster-refused", detail }),
        }
    }
    let last_good = known.and_then(|k| roster::open(k.envelope.as_bytes(), root, None, now).ok());
    (last_good, known.cloned())
}

fn open_roster(
    envelope: &str,
    root: &Verified<Root>,
    known: Option<&KnownRoster>,
    now: UnixTime,
) -> Result<Verified<Roster>, String> {
    let roster = roster::open(envelope.as_bytes(), root, known.map(|k| k.version), now)
        .map_err(|e: RosterError| e.to_string())?;
    match known.filter(|k| k.version == roster.version && k.digest != *roster.digest()) {
        Some(k) => Err(format!("roster: version {} was seen before with other contents", k.version)),
        None => Ok(roster),
    }
}

/// The reviews by the terms that they name, so that each grant looks at its own only.
fn by_terms(update: &HostUpdate) -> BTreeMap<Sha256Hex, Vec<SignedReview>> {
    let mut map: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for wire in &update.reviews {
        let signed = SignedReview { statement: wire.statement.clone(), signature: wire.signature.clone() };
        if let Ok(statement) = review::peek(&signed) {
            map.entry(statement.terms).or_default().push(signed);
        }
    }
    map
}

struct Judging<'a> {
    known: Knowledge<'a>,
    roster: Option<&'a Verified<Roster>>,
    reviews: &'a BTreeMap<Sha256Hex, Vec<SignedReview>>,
}

impl Judging<'_> {
    fn verdicts(&self, shard: &VerifiedShard) -> Vec<(GrantId, Verdict)> {
        let twice = |grant: &Grant| shard.grants.iter().filter(|g| g.id == grant.id).count() > 1;
        shard
            .grants
            .iter()
            .map(|grant| {
                let verdict = if twice(grant) {
                    Verdict::Refused("it stands twice in the bundle".to_owned())
                } else {
                    self.verdict(shard, grant)
                };
                (grant.id.clone(), verdict)
            })
            .collect()
    }

    fn verdict(&self, shard: &VerifiedShard, grant: &Grant) -> Verdict {
        let reviews =
            self.reviews.get(&terms::digest_of(&grant.terms)).map(Vec::as_slice).unwrap_or_default();
        let judge = Judge {
            fleet: &self.known.trust.fleet,
            me: self.known.me,
            ceiling: &self.known.config.ceiling,
            roster: self.roster,
            reviews,
            host: self.known.host,
        };
        match judge.judge(&shard.user, grant, self.known.memory.of(&grant.id)) {
            Ok(accepted) => Verdict::Accepted(Box::new(accepted)),
            Err(Refusal::EndedBefore) => Verdict::EndedBefore { until: grant.until },
            Err(refusal) => Verdict::Refused(refusal.to_string()),
        }
    }
}

impl Plan {
    /// All verdicts.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = &(GrantId, Verdict)> {
        self.accounts.iter().flat_map(|account| &account.verdicts)
    }
    /// The grants that were taken.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &AcceptedGrant> {
        self.verdicts().filter_map(|(_, verdict)| match verdict {
            Verdict::Accepted(grant) => Some(grant.as_ref()),
            _ => None,
        })
    }
    /// Whether the generation of another plan would say the same. The envelope of a head may have other bytes, for one more signature.
    pub(crate) fn makes_the_same_gate(&self, other: &Self) -> bool {
        self.root.1 == other.root.1
            && self.head.0.digest() == other.head.0.digest()
            && self.verdicts().eq(other.verdicts())
    }
    /// What the broker must hear: the grants that it believes in force and that are not, and why.
    pub(crate) fn refused(&self) -> Vec<(GrantId, String)> {
        self.verdicts()
            .filter_map(|(id, verdict)| match verdict {
                Verdict::Refused(cause) => Some((id.clone(), cause.clone())),
                Verdict::EndedBefore { until } if *until > self.now => {
                    Some((id.clone(), Refusal::EndedBefore.to_string()))
                }
                _ => None,
            })
            .collect()
    }
}
