//! What the warden does with what sudo tells it.

use stint_api::recordings::RecordingHeld;
use stint_grant::mark;
use stint_log::record::{Event, IoLog};

use super::told::What;
use super::{Attribution, RECEIVER, Told, records};
use crate::journal::Recorder;
use crate::warden::time;
use crate::warden::warden::Warden;
use crate::wire::ToCourier;

impl Warden {
    /// What sudo tells of a command: to what it belongs, once it is on record.
    pub(in crate::warden) fn note_command(&mut self, told: Told) -> Option<Attribution> {
        self.read_clocks();
        self.missed.told(told.pid, time::boottime_ms());
        let of = told.of.clone().unwrap_or_else(|| {
            let place = self.enforcer.session_of(told.pid);
            let allowing =
                told.what.command().and_then(|what| Attribution::allowing(self.keeper.live(), what));
            let (session, through) = place.map_or((None, None), |(name, grant)| (Some(name), grant));
            Attribution { session, grant: allowing.or(through) }
        });
        if self.journal.fault().is_some() && self.commit().is_err() {
            return None;
        }
        if let What::Ended { io: Some(_), .. } = &told.what {
            self.outgoing.note_end(&told.run);
        }
        self.journal.record(records(told, &of));
        Some(of)
    }

    /// A recording that nobody closed: the warden was away when its command ended.
    pub(in crate::warden) fn note_cut(&mut self, run: String, io: IoLog) {
        self.read_clocks();
        self.outgoing.note_end(&run);
        self.journal.record(Event::RecordingCut { run, io });
    }

    /// Hands the next part of a recording to the courier: last of all, and only what the broker can find in the journal.
    pub(in crate::warden) fn send_recording(&mut self) {
        if self.journal.is_held()
            && let Some(part) = self.outgoing.next()
        {
            self.tell_courier(ToCourier::Recording(part));
        }
    }

    /// What the broker holds of a recording. Nothing is deleted here but by its signature.
    pub(in crate::warden) fn note_recording_held(&mut self, run: &str, held: RecordingHeld) {
        let Some(envelope) = held.mark else { return self.outgoing.heard(run, held.have) };
        let Some(root) = self.keeper.plan().map(|plan| &plan.root.0) else {
            return self
                .outgoing
                .put_off(run, "there is no root yet by which the broker's word can be judged");
        };
        let taken = mark::open_recording(envelope.as_bytes(), root, self.keeper.me())
            .map_err(|error| error.to_string())
            .and_then(|mark| self.outgoing.is_held(&mark));
        if let Err(why) = taken {
            self.outgoing.put_off(run, &why);
        }
    }

    /// Somebody else than sudo came to tell of commands.
    pub(in crate::warden) fn note_stranger(&mut self, detail: String) {
        self.read_clocks();
        if self.room.strangers.take(time::boottime_ms()) {
            self.journal.record(Event::Alarm { what: "sudo-log-stranger".to_owned(), detail });
        }
    }

    /// systemd gave no socket for what sudo tells.
    pub(in crate::warden) fn nobody_hears_sudo(&mut self) {
        let detail = format!(
            "there is no socket at {RECEIVER}: commands whose record is demanded are refused. \
             See `systemctl status stint-warden-sudo.socket`, then restart stint-warden.service"
        );
        tracing::error!("{detail}");
        self.faults.sudo_log = Some(detail);
    }
}
