//! An account that is ended whole: what it keeps for later, and what logind and the kernel keep for it.
//!
//! logind takes away the rest once it is told that the account has ended: the user's own service manager, `/run/user/UID`, and (unless
//! `RemoveIPC=no`) the shared memory, semaphores and queues. It is not done here a second time; it is looked whether it was, and what is
//! left is told.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use stint_grant::words::printable;

use super::super::enforcer::{Enforcer, Moment};
use super::super::spool::{Owner, changed_within};
use super::Closing;
use crate::warden::live::EndedGrant;
use crate::warden::systemd::BusError;

/// `USER_HZ`: what the kernel tells times by.
const MS_PER_TICK: u64 = 10;
/// The kernel's lists of System V objects, and the column that says whose one is.
const IPC: [(&str, &str); 3] = [("shm", "shared memory"), ("sem", "semaphores"), ("msg", "message queues")];

impl Enforcer {
    /// How long the account has had rights without a gap. A warden that was away knows it by the account's sessions.
    pub(super) fn window(&self, ended: &EndedGrant, at: Moment) -> Option<Duration> {
        let by_grants = ended.since.map(|since| Duration::from_secs(at.now.since(since).0));
        let theirs = self.sessions.iter().chain(&self.past).filter(|s| s.rests_on_account(&ended.user));
        let oldest = theirs.map(|session| session.started).min();
        let by_sessions = oldest.map(|ticks| age_of(ticks, at.boottime_ms));
        by_grants.max(by_sessions)
    }

    /// Takes out what cron and at keep for an account that is ended whole. Says whether nothing is left that should not be.
    pub(super) fn clear_spools(&self, closing: &mut Closing) -> bool {
        let Some(uid) = closing.whole else { return true };
        let owner = Owner { user: &closing.user, uid, grant: &closing.grant, window: window_now(closing) };
        let cleared = self.spools.clear(&owner);
        closing.removed.extend(cleared.removed);
        // What stays is looked at again with each attempt, and told once.
        closing.reported = cleared.reported.into_iter().chain(cleared.failed.iter().cloned()).collect();
        cleared.failed.is_empty()
    }

    /// Takes away lingering that was turned on in the window: with it the user's own service manager would be started again. Says whether
    /// the bus answers.
    pub(super) async fn stop_lingering(&mut self, closing: &mut Closing) -> bool {
        let Some(uid) = closing.whole else { return true };
        if !self.lingers(closing).is_some_and(|ctime| changed_within(ctime, window_now(closing))) {
            return true;
        }
        match self.bus.stop_lingering(uid).await {
            Ok(()) => {
                closing.removed.push(format!("lingering of {}", closing.user));
                true
            }
            Err(error) => {
                tracing::error!(%error, user = %closing.user, "lingering was not taken away");
                !matches!(error, BusError::Silent { .. })
            }
        }
    }

    /// Tells logind of accounts whose processes are dead that they have ended: else it keeps what is theirs for ten seconds, or for ever.
    pub(super) async fn dismiss(&mut self, due: &mut [Closing]) {
        for closing in due.iter_mut().filter(|closing| closing.whole.is_some() && !closing.dismissed) {
            closing.dismissed = true;
            if !self.stop_lingering(closing).await {
                return;
            }
            let Some(uid) = closing.whole.filter(|uid| self.runtime_folder(*uid).exists()) else { continue };
            if let Err(error) = self.bus.terminate_user(uid).await {
                // Mostly: it knows of none.
                tracing::debug!(%error, user = %closing.user, "logind was not told that an account has ended");
                if matches!(error, BusError::Silent { .. }) {
                    return;
                }
            }
        }
    }

    /// What logind and the kernel still keep for an account that is ended whole, in words.
    pub(super) fn remains(&self, closing: &Closing) -> Vec<String> {
        let Some(uid) = closing.whole else { return Vec::new() };
        let mut remains = Vec::new();
        match self.lingers(closing) {
            Some(ctime) if changed_within(ctime, window_now(closing)) => {
                remains.push(format!("{} lingers still", closing.user));
            }
            // Its service manager is to go on without a session, and the folder with it.
            Some(_) => return vec![format!("{} lingered before the window", closing.user)],
            None => {}
        }
        let folder = self.runtime_folder(uid);
        if folder.exists() {
            remains.push(printable(&folder.display().to_string()));
        }
        for (list, what) in IPC {
            let text = fs::read_to_string(self.root.join("proc/sysvipc").join(list)).unwrap_or_default();
            let count = of_owner(&text, uid);
            if count > 0 {
                remains.push(format!("{count} of {what} of {} (ipcs, ipcrm)", closing.user));
            }
        }
        remains
    }

    /// When lingering was turned on, if it is.
    fn lingers(&self, closing: &Closing) -> Option<i64> {
        let path = self.root.join("var/lib/systemd/linger").join(closing.user.as_str());
        fs::symlink_metadata(path).ok().map(|seen| seen.ctime())
    }

    fn runtime_folder(&self, uid: u32) -> PathBuf {
        self.root.join("run/user").join(uid.to_string())
    }
}

/// How old a process was at that time of the boot clock.
pub(super) fn age_of(started_ticks: u64, boottime_ms: u64) -> Duration {
    Duration::from_millis(boottime_ms.saturating_sub(started_ticks.saturating_mul(MS_PER_TICK)))
}

/// How long ago the account's window began.
fn window_now(closing: &Closing) -> Option<Duration> {
    closing.window.map(|window| window + closing.began.elapsed())
}

/// How many lines of a list of the kernel's have this owner, or were made by this account. The columns have names, since each list has others.
fn of_owner(list: &str, uid: u32) -> usize {
    let mut lines = list.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let owners: Vec<usize> = (0..columns.len()).filter(|n| matches!(columns[*n], "uid" | "cuid")).collect();
    let is_theirs = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        owners.iter().any(|n| fields.get(*n).is_some_and(|field| field.parse() == Ok(uid)))
    };
    lines.filter(is_theirs).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_owner_and_maker_whatever_the_order_of_columns() {
        let shm = "       key      shmid perms  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime\n\
                   0  1  600  1001  77  77  0  1001  1001  1001  1001  0\n\
                   0  2  600  4096  77  77  0     0     0  1001  1001  0\n\
                   0  3  600  4096  77  77  0  1002  1002  1002  1002  0\n";
        assert_eq!(of_owner(shm, 1001), 2);
        assert_eq!(of_owner(shm, 1002), 1);
        assert_eq!(of_owner(shm, 600), 0);
        let queues = "key msqid perms cbytes qnum lspid lrpid uid gid cuid cgid\n 5 0 644 0 0 0 0 1001 1001 1001 1001\n";
        assert_eq!(of_owner(queues, 1001), 1);
        assert_eq!(of_owner("", 0), 0);
    }
}
