//! Somebody else's hand on the gate: seen, told once, and written over.

use stint_log::record::Event;

use super::Keeper;
use crate::journal::Recorder;
use crate::warden::gate::Look;

/// Up to so many accounts the gate is looked at whole before it is replaced.
const LOOKED_AT_WHOLE: usize = 1000;

impl Keeper {
    /// What the warden writes next hides what somebody else wrote there: it is told before.
    pub(super) fn note_touched_gate(&mut self, recorder: &mut dyn Recorder) {
        if self.gate.generation().is_none() {
            return;
        }
        let touched = self.gate.was_touched();
        if let Some(detail) = &touched
            && !self.gate_is_changed
        {
            self.tell_of_gate(detail.clone(), recorder);
        }
        self.gate_is_changed = touched.is_some();
    }

    /// The same without a write: what somebody writes again and again is there at one look and not at the next.
    pub(crate) fn look_at_current(&mut self, recorder: &mut dyn Recorder) {
        if self.is_written() {
            self.note_touched_gate(recorder);
        }
    }

    fn tell_of_gate(&mut self, detail: String, recorder: &mut dyn Recorder) {
        tracing::error!(detail, "the gate was changed by somebody; it is written anew");
        self.tampering.push(format!("the gate was changed by somebody, and written anew: {detail}"));
        recorder.record(Event::Alarm { what: "gate-damaged".to_owned(), detail });
    }

    /// What somebody did to the gate since this was asked last, in words.
    pub(crate) fn take_tampering(&mut self) -> Vec<String> {
        std::mem::take(&mut self.tampering)
    }

    /// What could not be written because somebody holds it, since this was asked last.
    pub(crate) fn take_held(&mut self) -> Option<String> {
        self.held.take()
    }

    /// Looks whether the gate stands as it was written; if not, the next [`Self::refresh`] writes it anew. True if it does not.
    pub(crate) fn look_at_gate(&mut self, look: Look, recorder: &mut dyn Recorder) -> bool {
        let plan = self.plan.as_ref().filter(|_| self.is_written());
        let Some(detail) = plan.and_then(|plan| self.gate.damage(plan, look)) else { return false };
        if !std::mem::replace(&mut self.gate_is_changed, true) {
            self.tell_of_gate(detail, recorder);
        }
        if let Err(error) = self.gate.begin_anew() {
            tracing::error!(%error, "the gate's folder cannot be made");
        }
        (self.unwritten.generation, self.unwritten.current) = (true, true);
        true
    }

    /// The same, before a new generation takes the place of the one that stands. On a host with very many accounts their files are not
    /// looked at: an end must not wait for that.
    pub(crate) fn look_before_it_goes(&mut self, recorder: &mut dyn Recorder) {
        let few = self.plan.as_ref().is_some_and(|plan| plan.accounts.len() <= LOOKED_AT_WHOLE);
        self.look_at_gate(if few { Look::Whole } else { Look::Common }, recorder);
    }
}
