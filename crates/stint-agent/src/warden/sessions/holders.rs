//! Processes that still hold a group which was taken back (the kernel keeps it in a process until the process ends), and those of an
//! account that is to be removed.

use std::time::{Duration, Instant};

use stint_log::record::Event;

use super::enforcer::Enforcer;
use super::proc::{Credentials, Proc};
use super::sweep;
use crate::journal::Recorder;
use crate::warden::accounts::{Account, Membership};

/// Looks, at most. A process that forks is caught by the next look.
const MAX_ROUNDS: u32 = 50;

impl Enforcer {
    /// Whether the sessions of an account are being ended: what obeys is left its grace.
    pub(crate) fn is_ending(&self, user: &stint_grant::ids::UserName) -> bool {
        self.closings.iter().any(|closing| closing.is_of(user))
    }

    /// Ends every process of an account that holds a group by a grant that is over, in whatever session it is. Says whether none is
    /// left. In observe mode none is ended.
    pub(crate) async fn end_holders(&self, over: &Membership, recorder: &mut dyn Recorder) -> bool {
        if !self.armed {
            return true;
        }
        let since = if over.boot_id == self.boot_id { over.since } else { 0 };
        let how = format!("group {}", over.group);
        let kill = || round(&self.proc, over.uid, over.gid, since);
        until_clean(kill, over.grant.as_str(), how, recorder).await
    }

    /// Ends every process of an account that was made for a grant which is over. It is ours, so this is done in any mode. Says whether
    /// none is left.
    pub(crate) async fn end_account(&mut self, account: &Account, recorder: &mut dyn Recorder) -> bool {
        let how = format!("account {}", account.user);
        let theirs =
            until_clean(|| round_of_account(&self.proc, account.uid), account.grant.as_str(), how, recorder);
        theirs.await
    }
}

/// Kills until two looks in a row find nothing.
async fn until_clean(kill: impl Fn() -> u32, grant: &str, how: String, recorder: &mut dyn Recorder) -> bool {
    let (began, mut killed, mut clean) = (Instant::now(), 0, 0);
    for _ in 0..MAX_ROUNDS {
        let found = kill();
        killed += found;
        clean = if found == 0 { clean + 1 } else { 0 };
        if clean == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(found > 0))).await;
    }
    if killed > 0 {
        recorder.record(Event::ProcessesKilled {
            grant: grant.to_owned(),
            scope: String::new(),
            count: killed,
            how,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
    clean == 2
}

/// Kills every process that an account of ours has in any way, once.
fn round_of_account(proc: &Proc, uid: u32) -> u32 {
    let theirs = |pid: &u32| proc.credentials(*pid).is_some_and(|c| c.uids.contains(&uid));
    let killed = proc.all().into_iter().filter(theirs).filter(|pid| {
        let alive = proc.stat(*pid).filter(|stat| !matches!(stat.state, 'Z' | 'X'));
        alive.is_some_and(|stat| sweep::kill_one(proc, *pid, stat.started))
    });
    u32::try_from(killed.count()).unwrap_or(u32::MAX)
}

fn round(proc: &Proc, uid: u32, gid: u32, since: u64) -> u32 {
    let mut killed = 0;
    for pid in proc.all() {
        if !proc.credentials(pid).is_some_and(|c| holds(&c, uid, gid)) {
            continue;
        }
        let Some(stat) = proc.stat(pid).filter(|s| !matches!(s.state, 'Z' | 'X')) else { continue };
        if pid > 1 && stat.started >= since && sweep::kill_one(proc, pid, stat.started) {
            killed += 1;
        }
    }
    killed
}

/// Whether a process of the account holds the group: among its groups, or as its own by `newgrp`. A program that is setgid has it as
/// effective group only: whoever may run it may do so without a grant.
fn holds(credentials: &Credentials, uid: u32, gid: u32) -> bool {
    credentials.uids.contains(&uid)
        && (credentials.groups.contains(&gid) || credentials.gids.first() == Some(&gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uid: u32, gids: [u32; 4], groups: &[u32]) -> Credentials {
        Credentials { uids: vec![uid; 4], gids: gids.to_vec(), groups: groups.to_vec() }
    }

    #[test]
    fn a_group_is_held_as_one_of_several_or_by_newgrp_and_not_by_a_setgid_program() {
        assert!(holds(&of(1001, [1001; 4], &[1001, 4]), 1001, 4));
        assert!(holds(&of(1001, [4; 4], &[1001]), 1001, 4));
        assert!(!holds(&of(1001, [1001, 4, 4, 4], &[1001]), 1001, 4));
        assert!(!holds(&of(1002, [1002; 4], &[1002, 4]), 1001, 4), "another account");
        assert!(!holds(&of(1001, [1001; 4], &[1001]), 1001, 4));
    }
}
