//! Break-glass codes, from what was typed to an open grant: counted, on record, checked, used up, on record again, and only then open.

use stint_grant::ids::{GrantId, UserName};
use stint_grant::register::{MAX_REASON, RegisterAnswer, UseCode};
use stint_grant::words::printable;
use stint_log::record::Event;

use super::codes::{CodeRefusal, Trial};
use super::time;
use super::warden::{Warden, clip};
use crate::journal::Recorder;

/// What whoever typed a code is told when the journal takes nothing.
const NO_RECORD: &str = "no break-glass code can be used while this host cannot record it: its administrator must make room on its disk";

impl Warden {
    /// Somebody typed a code. An error is what they are told; else it is on record, and to be checked.
    pub(super) fn try_code(&mut self, attempt: UseCode) -> Result<Trial, String> {
        if !self.enforces() {
            return Err("nothing is enforced on this host: no break-glass code is needed".to_owned());
        }
        let Ok(user) = UserName::new(attempt.user.as_str()) else {
            return Err("no grant can be for an account of this name".to_owned());
        };
        let Some(reading) = self.read_clocks() else {
            return Err("the clocks of this host cannot be read".to_owned());
        };
        let code = attempt.code.id().to_string();
        if let Err(refusal) = self.keeper.count_code(&user, &reading) {
            return Err(self.refuse_code(None, user.as_str(), &code, &refusal));
        }
        self.journal.record(Event::CodeTried {
            user: user.to_string(),
            service: clip(attempt.service.clone()),
            origin: attempt.origin.clone().map(clip),
            code: code.clone(),
            reason: reason_of(&attempt),
        });
        if self.commit().is_err() {
            return Err(NO_RECORD.to_owned());
        }
        self.keeper
            .trial(&user, attempt)
            .map_err(|refusal| self.refuse_code(None, user.as_str(), &code, &refusal))
    }

    /// Whether nothing of a grant's last window is left to be killed, undone or recorded. One that is open has no last window.
    pub(super) fn is_last_window_over(&self, grant: &GrantId) -> bool {
        let is_open = self.keeper.live().iter().any(|live| live.id() == grant);
        is_open || !(self.enforcer.ending().contains(grant) || self.desk.owes(grant))
    }

    /// A code was checked: `right` is the grant that it is for.
    pub(super) async fn code_checked(&mut self, trial: Trial, right: Option<GrantId>) -> RegisterAnswer {
        let message = match self.use_code(&trial, right).await {
            Ok(()) => return RegisterAnswer { ok: true, message: String::new() },
            Err(message) => message,
        };
        RegisterAnswer { ok: false, message }
    }

    async fn use_code(&mut self, trial: &Trial, right: Option<GrantId>) -> Result<(), String> {
        let (user, code) = (&trial.place.user, trial.attempt.code.id());
        let Some(reading) = self.read_clocks() else {
            return Err("the clocks of this host cannot be read".to_owned());
        };
        let Some(grant) = right else {
            let wrong = CodeRefusal::Wrong(user.clone());
            return Err(self.refuse_code(None, user.as_str(), code.as_str(), &wrong));
        };
        let opening = match self.keeper.burn_code(user, (&grant, &code), &reading) {
            Ok(opening) => opening,
            Err(refusal) => {
                return Err(self.refuse_code(Some(&grant), user.as_str(), code.as_str(), &refusal));
            }
        };
        tracing::warn!(%grant, %user, %code, "a break-glass code is used");
        self.journal.record(Event::CodeUsed {
            grant: grant.to_string(),
            user: user.to_string(),
            service: clip(trial.attempt.service.clone()),
            origin: trial.attempt.origin.clone().map(clip),
            code: code.to_string(),
            reason: reason_of(&trial.attempt),
            until: opening.until.0,
        });
        if self.commit().is_err() {
            // The code is lost. What cannot be recorded does not open.
            return Err(NO_RECORD.to_owned());
        }
        match self.keeper.open_sealed(opening, &reading, &mut self.journal) {
            Ok(change) => {
                self.enforce(change, &reading).await;
                Ok(())
            }
            Err(refusal) => Err(self.refuse_code(Some(&grant), user.as_str(), code.as_str(), &refusal)),
        }
    }

    fn refuse_code(
        &mut self,
        grant: Option<&GrantId>,
        user: &str,
        code: &str,
        refusal: &CodeRefusal,
    ) -> String {
        tracing::warn!(user, code, "break-glass code refused: {refusal}");
        // Attempts are few by their waits; those that come while somebody waits must not fill the disk.
        if !matches!(refusal, CodeRefusal::Wait(_)) || self.room.waits.take(time::boottime_ms()) {
            self.journal.record(Event::CodeRefused {
                grant: grant.map(ToString::to_string),
                user: user.to_owned(),
                code: code.to_owned(),
                cause: refusal.code().to_owned(),
            });
        }
        refusal.to_string()
    }
}

/// The user's own words, with nothing in them that drives a terminal.
fn reason_of(attempt: &UseCode) -> String {
    printable(&attempt.reason).chars().take(MAX_REASON).collect()
}
