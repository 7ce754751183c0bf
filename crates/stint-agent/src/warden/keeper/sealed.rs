//! Sealed grants: what a code may open, and what it has opened.

use stint_grant::acceptance::AcceptedGrant;
use stint_grant::codes::CodePlace;
use stint_grant::gate::Opening;
use stint_grant::ids::{CodeId, GrantId, UserName};
use stint_grant::register::UseCode;
use stint_grant::time::{ClockReading, UnixTime};

use super::{Change, Keeper, circumstances};
use crate::journal::Recorder;
use crate::warden::codes::{CodeRefusal, Trial};
use crate::warden::intake::Plan;
use crate::warden::live::Standing;

/// More grants with a code of one id than an honest account has.
const MOST_CANDIDATES: usize = 4;

impl Keeper {
    /// Why no code is taken on this host, if none can be.
    pub(crate) fn codes_fault(&self) -> Option<&str> {
        self.codes.fault()
    }

    /// Counts an attempt, durably, before it is looked at.
    pub(crate) fn count_code(&mut self, user: &UserName, reading: &ClockReading) -> Result<(), CodeRefusal> {
        let now = self.sealed_now(reading)?;
        self.codes.count(user, now)
    }

    /// What is to be checked of an attempt that was counted.
    pub(crate) fn trial(&self, user: &UserName, attempt: UseCode) -> Result<Trial, CodeRefusal> {
        let id = attempt.code.id();
        let of_user = self.sealed().filter(|sealed| sealed.terms.user == *user);
        let candidates: Vec<_> = of_user
            .flat_map(|sealed| sealed.terms.codes.iter().map(move |code| (sealed, code)))
            .filter(|(_, code)| code.id == id)
            .map(|(sealed, code)| (sealed.grant.id.clone(), code.clone()))
            .take(MOST_CANDIDATES)
            .collect();
        if candidates.is_empty() {
            return Err(CodeRefusal::Wrong(user.clone()));
        }
        let place =
            CodePlace { fleet: self.trust.fleet.clone(), host: self.me.host.clone(), user: user.clone() };
        Ok(Trial { attempt, place, candidates })
    }

    /// Uses up a code that was right, durably. What comes back is not open yet.
    pub(crate) fn burn_code(
        &mut self,
        user: &UserName,
        (grant, code): (&GrantId, &CodeId),
        reading: &ClockReading,
    ) -> Result<Opening, CodeRefusal> {
        let now = self.sealed_now(reading)?;
        if let Some(at) = self.codes.used_at(grant, code) {
            return Err(CodeRefusal::Used(at));
        }
        let not_now = |why| CodeRefusal::NotNow { grant: grant.clone(), why };
        let Some((plan, sealed)) =
            self.plan.as_ref().and_then(|plan| Some((plan, self.sealed().find(|s| s.grant.id == *grant)?)))
        else {
            return Err(not_now("does not stand on this host any more"));
        };
        if plan.root.0.check_time(now).is_err() {
            return Err(not_now("rests on a root that is over"));
        }
        match circumstances(plan, &self.memory.ended(), now, &self.opened).standing(sealed) {
            Standing::Sealed | Standing::Live => {}
            Standing::Ended => return Err(not_now("ended on this host")),
            Standing::Expired => return Err(not_now("is over")),
            Standing::NotYet => return Err(not_now("has not begun")),
            Standing::Locked => return Err(not_now("is locked")),
        }
        let ceiling = &self.config.ceiling.break_glass;
        let longest = sealed.terms.max_window.min(ceiling.max_window);
        let (until, last) = (now.plus(longest).min(sealed.grant.until), sealed.grant.until);
        let opening = Opening {
            grant: grant.clone(),
            from: now,
            until,
            boot_id: reading.boot_id.clone(),
            ends_ms: reading.boottime_ms.saturating_add(until.since(now).0.saturating_mul(1000)),
        };
        self.codes.burn(user, (grant, code), now, last)?;
        Ok(opening)
    }

    /// Opens a sealed grant: on disk, in the gate, and then in force. An error leaves it as it was.
    pub(crate) fn open_sealed(
        &mut self,
        opening: Opening,
        reading: &ClockReading,
        recorder: &mut dyn Recorder,
    ) -> Result<Change, CodeRefusal> {
        let now = self.sealed_now(reading)?;
        let grant = opening.grant.clone();
        self.codes.open_window(opening, now, reading)?;
        let change = self.settle(reading, recorder);
        if self.live.iter().any(|live| *live.id() == grant) {
            return Ok(change);
        }
        let why = self.fault.clone().unwrap_or_else(|| "the gate could not be written".to_owned());
        self.codes.close_window(&grant);
        self.settle(reading, recorder);
        Err(CodeRefusal::Unwritten(why))
    }

    /// When on the boot clock, in milliseconds, the next window of a sealed grant is over.
    pub(crate) fn next_end_of_opened(&self) -> Option<u64> {
        self.opened.iter().map(|opening| opening.ends_ms).min()
    }

    /// Whether a grant is sealed.
    pub(super) fn is_sealed(&self, grant: &GrantId) -> bool {
        self.sealed().any(|sealed| sealed.grant.id == *grant)
    }

    fn sealed(&self) -> impl Iterator<Item = &AcceptedGrant> {
        self.plan.iter().flat_map(Plan::accepted).filter(|grant| grant.terms.is_sealed())
    }

    fn sealed_now(&self, reading: &ClockReading) -> Result<UnixTime, CodeRefusal> {
        self.state.floor.now(reading).map_err(|fault| CodeRefusal::Clock(fault.to_string()))
    }
}
