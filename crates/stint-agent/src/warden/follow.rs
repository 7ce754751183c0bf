//! How groups, accounts and sshd follow the grants in force, and what follows a logout and an end.

use std::collections::BTreeSet;

use stint_grant::ids::GrantId;
use stint_log::record::Event;

use super::files;
use super::gate::Look;
use super::live::LiveGrant;
use super::logins::Login;
use super::residue::{Holding, Turn};
use super::ssh;
use super::warden::Warden;
use crate::journal::Recorder;

impl Warden {
    /// Makes what sshd reads equal to the live grants.
    pub(super) fn reconcile_ssh(&mut self) {
        let passwd = files::text(&self.paths.passwd);
        let enforces = self.enforces();
        let facts = ssh::Facts {
            live: self.keeper.live(),
            root: self.keeper.plan().map(|plan| &*plan.root.0),
            host: &self.keeper.me().host,
            config: self.keeper.config(),
            passwd: &passwd,
            enforces,
        };
        self.faults.ssh = match ssh::reconcile(&self.paths.state, &facts, &mut self.journal) {
            Ok(changed) => {
                // Without the file that includes it, sshd has nothing to read anew.
                if changed && ssh::drop_in(&self.paths.ssh).exists() {
                    self.sshd.has_changed();
                }
                None
            }
            Err(error) => {
                tracing::error!(%error, "trying again");
                let ssh::SshError::File(cause) = &error;
                self.watch.note_held(cause);
                Some(error.to_string())
            }
        };
        let has_sshd = self.paths.ssh.join("sshd_config").exists();
        let unread = enforces && has_sshd && !ssh::drop_in(&self.paths.ssh).exists();
        self.faults.sshd = unread.then(|| {
            "sshd does not know of the grants: it takes no certificate, and logins may forward what sshd_config lets them. \
             Run `stintd arm` again"
                .to_owned()
        });
    }

    /// Has sshd read what changed for it. What ends is ended before: this waits for another.
    pub(super) async fn settle_sshd(&mut self) {
        if let Err(error) = self.sshd.settle().await {
            tracing::error!(%error, "sshd was not told to read its configuration anew; trying again");
            self.faults.ssh.get_or_insert_with(|| format!("sshd goes by an older configuration: {error}"));
        }
    }

    /// Makes the host's groups as the live grants say, and ends what still holds one that was taken back. In observe mode no grant gives
    /// one. `again` tries what was refused before.
    pub(super) async fn reconcile_groups(&mut self, again: bool) {
        let Some(reading) = self.read_clocks() else { return };
        let enforces = self.enforces();
        let live = if enforces { self.keeper.live() } else { &[] };
        let mut emptied = BTreeSet::new();
        for account in self.steward.ending(live) {
            if !self.enforcer.is_ending(&account.user)
                && self.enforcer.end_account(&account, &mut self.journal).await
            {
                emptied.insert(account.user);
            }
        }
        let range = &self.keeper.config().ceiling.accounts;
        self.steward.reconcile(live, &reading, range, again, &emptied, &mut self.journal).await;
        for grant in self.steward.take_foreign() {
            let change = self.keeper.withdraw(&grant, &reading, &mut self.journal);
            let at = self.moment(&reading);
            self.reconcile_drop_ins();
            self.reconcile_ssh();
            let mut recorder = Holding { journal: &mut self.journal, drafts: &mut self.desk.drafts };
            self.enforcer.end(&change.ended, self.keeper.live(), at, &mut recorder).await;
        }
        for over in self.steward.released().to_vec() {
            // Who was asked to end a moment ago is left the time for it.
            if self.enforcer.is_ending(&over.user)
                || !self.enforcer.end_holders(&over, &mut self.journal).await
            {
                continue;
            }
            self.steward.forget(&over);
            if over.given {
                self.journal.record(Event::GroupTakenBack {
                    grant: over.grant.to_string(),
                    user: over.user.to_string(),
                    group: over.group.to_string(),
                });
            }
        }
    }

    /// The logins whose end may be the end of a grant.
    pub(super) fn logins_to_end_with(&self) -> BTreeSet<Login> {
        let ends = self.keeper.live().iter().filter(|grant| grant.ends_on_logout());
        let ends: BTreeSet<&GrantId> = ends.map(LiveGrant::id).collect();
        if ends.is_empty() { BTreeSet::new() } else { self.enforcer.logins_by(&ends) }
    }

    /// Ends grants that were to last no longer than their last login.
    pub(super) async fn end_on_logout(&mut self) {
        let out = self.enforcer.take_logged_out();
        let over = self.keeper.live().iter().filter(|g| g.ends_on_logout() && out.contains(g.id()));
        let over: Vec<GrantId> = over.map(|grant| grant.id().clone()).collect();
        let Some(reading) = self.read_clocks().filter(|_| !over.is_empty() && self.enforces()) else {
            return;
        };
        let change = self.keeper.end_on_logout(&over, &reading, &mut self.journal);
        self.owes_acknowledgement = true;
        self.enforce(change, &reading).await;
    }

    /// Grants whose processes are dead are swept after, and get their receipts.
    pub(super) async fn look_for_residue(&mut self) {
        let Some(reading) = self.read_clocks() else { return };
        if self.desk.root_is_waiting() {
            self.keeper.look_at_current(&mut self.journal);
        }
        self.note_tampering();
        let turn = Turn {
            live: self.keeper.live(),
            closing: &self.enforcer.ending(),
            reading: &reading,
            rules: &self.keeper.config().residue,
            max_window: self.keeper.config().ceiling.max_window.0,
        };
        self.desk.turn(&turn, &mut self.journal).await;
        if self.desk.take_root_end() {
            self.look_at_pam(true);
            self.look_at_gate(Look::Whole).await;
            self.note_tampering();
        }
        if self.desk.waits_for_commit() && self.commit().is_ok() {
            self.desk.forget_done();
        }
    }
}
