//! The scopes of elevations: one of PID 1's for each set of grants, and in it a group for each sudo, su or doas.
//!
//! To start a scope is a job of PID 1's that sudo would wait for, 10 ms and more; to move a process between groups costs 0.2 ms. So a scope
//! is started once, at the first elevation under its grants, around a process that does nothing, and holds PID 1's limit: the end of those
//! grants. Each elevation is moved into a group of its own below, which can be killed for itself. When one of the grants has ended, the
//! scope goes as soon as nothing that is still permitted is in it.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stint_grant::ids::GrantId;
use stint_grant::time::{Seconds, UnixTime};

use super::book::{Basis, Session};
use super::cgroup::Killable;
use super::enforcer::Enforcer;
use super::sweep;
use crate::warden::live::LiveGrant;
use crate::warden::systemd::{BusError, ScopeRequest};

/// How long PID 1 may take to start one, whatever `register_timeout_ms` says: the loop waits for it.
const LONGEST_START: Duration = Duration::from_secs(2);
/// How often it is looked whether it did.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// So many scopes may be in the way of a new one: left by a warden that was killed, or without the process that kept them.
const MAX_NAMES: u32 = 4;

/// A scope that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    /// PID 1's unit.
    pub(super) unit: String,
    /// The grants whose end it has.
    pub(super) grants: Vec<GrantId>,
    /// The process that keeps it.
    pub(super) keeper: u32,
    /// When that began.
    pub(super) keeper_started: u64,
    /// One of its grants has ended: nothing new comes in.
    pub(super) over: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScopeError {
    /// The process that keeps it cannot be started.
    #[error("its keeper cannot be started: {0}")]
    Keeper(#[from] io::Error),
    /// PID 1 refused, or did not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// PID 1 did not move the keeper in time.
    #[error("PID 1 did not start {0} in time")]
    Late(String),
}

impl Scope {
    /// Its group.
    pub(super) fn path(&self) -> String {
        path_of(&self.unit)
    }
}

/// The group of a unit of ours.
pub(super) fn path_of(unit: &str) -> String {
    format!("/stint.slice/{unit}")
}

/// The name of the scope for a set of grants that ends then: `stint-GRANT-END-NUMBER.scope`. Another set, and another end, is another scope:
/// what is in one has the same limit.
pub(super) fn unit_name(basis: &[Basis], until: UnixTime, again: u32) -> Option<String> {
    let first = &basis.first()?.grant;
    let mut hash = Sha256::new();
    for basis in basis {
        hash.update(basis.grant.as_str());
    }
    let hash = hash.finalize();
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).wrapping_add(again);
    Some(format!("stint-{first}-{}-{number}.scope", until.0.max(0)))
}

impl Enforcer {
    /// The scope for an elevation; started if it is the first under these grants.
    pub(super) async fn scope_for(
        &mut self,
        basis: &[Basis],
        until: UnixTime,
        left: Seconds,
    ) -> Result<String, ScopeError> {
        let mut last = None;
        for unit in (0..MAX_NAMES).filter_map(|again| unit_name(basis, until, again)) {
            if let Some(scope) = self.scopes.iter().find(|scope| scope.unit == unit) {
                if self.is_kept(scope) {
                    return Ok(unit);
                }
            } else if !self.cgroups.exists(&path_of(&unit)) {
                match self.start_scope(&unit, basis, left).await {
                    Ok(()) => return Ok(unit),
                    // The keeper of one that is going down: another name is free.
                    Err(error @ ScopeError::Bus(BusError::Call { .. })) => last = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| ScopeError::Late("a scope".to_owned())))
    }

    async fn start_scope(&mut self, unit: &str, basis: &[Basis], left: Seconds) -> Result<(), ScopeError> {
        let keeper = start_keeper()?;
        let started = self.proc.stat(keeper).map_or(0, |stat| stat.started);
        let mut grants: Vec<GrantId> = basis.iter().map(|basis| basis.grant.clone()).collect();
        grants.sort();
        grants.dedup();
        let names: Vec<&str> = grants.iter().map(GrantId::as_str).collect();
        let request = ScopeRequest {
            name: unit.to_owned(),
            description: format!("sudo, su and doas by grant {}", names.join(", ")),
            pid: keeper,
            runtime_max: Duration::from_secs(left.0.max(1)),
            bound: start_bound(self.config.limits.register_timeout_ms),
        };
        let scope = Scope { unit: unit.to_owned(), grants, keeper, keeper_started: started, over: false };
        let outcome = match self.bus.start_scope(&request).await {
            Ok(()) => self.wait_for_keeper(&scope).await,
            Err(error) => Err(error.into()),
        };
        if outcome.is_err() {
            sweep::kill_one(&self.proc, keeper, started);
            return outcome;
        }
        self.scopes.push(scope);
        Ok(())
    }

    /// PID 1 answers when the job is queued.
    async fn wait_for_keeper(&self, scope: &Scope) -> Result<(), ScopeError> {
        let moved = async {
            while !self.is_kept(scope) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let late = |_| ScopeError::Late(scope.unit.clone());
        let bound = start_bound(self.config.limits.register_timeout_ms);
        tokio::time::timeout(bound, moved).await.map_err(late)
    }

    /// Whether it stands: its keeper lives, and is in it. Root inside may have moved or killed the keeper; then it is no place for more.
    fn is_kept(&self, scope: &Scope) -> bool {
        !scope.over
            && self.proc.is_alive(scope.keeper, scope.keeper_started)
            && self.proc.cgroup(scope.keeper).as_deref() == Some(scope.path().as_str())
    }

    /// What rests on a grant that is not live any more takes nothing new in, and goes if it is empty.
    pub(super) fn close_scopes(&mut self, live: &[LiveGrant]) {
        for scope in &mut self.scopes {
            scope.over |= scope.grants.iter().any(|id| !live.iter().any(|grant| grant.id() == id));
        }
        self.release_scopes();
    }

    /// Kills the scopes that are over and in which no session is, and whatever put itself beside the groups of the others.
    pub(super) fn release_scopes(&mut self) {
        let is_used = |scope: &Scope, sessions: &[Session]| {
            sessions.iter().any(|session| session.unit() == Some(scope.unit.as_str()))
        };
        for scope in self.scopes.iter().filter(|scope| scope.over) {
            let path = scope.path();
            if is_used(scope, &self.sessions) {
                let others = self.cgroups.direct_members(&path);
                for pid in others.into_iter().filter(|pid| *pid != scope.keeper) {
                    sweep::kill_process(pid);
                }
            } else if let Some(Err(error)) = Killable::new(&path).map(|group| self.cgroups.kill(&group)) {
                tracing::error!(%error, unit = scope.unit, "not killed; PID 1 ends it at its limit");
            }
        }
        let (proc, sessions) = (&self.proc, &self.sessions);
        self.scopes.retain(|scope| {
            is_used(scope, sessions) || (!scope.over && proc.is_alive(scope.keeper, scope.keeper_started))
        });
    }
}

/// Of the time that the module waits for the whole answer, most: on a busy host its administrator makes that longer, and PID 1 is what
/// takes so long there.
fn start_bound(register_timeout_ms: u32) -> Duration {
    (Duration::from_millis(register_timeout_ms.into()) * 7 / 10).min(LONGEST_START)
}

/// A process that does nothing, until it is told to end. It outlives the warden: the scope is PID 1's.
fn start_keeper() -> io::Result<u32> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg("keep").env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // tokio collects it when it has ended.
    let keeper = tokio::process::Command::from(command).spawn()?;
    keeper.id().ok_or_else(|| io::Error::other("it ended at once"))
}

#[cfg(test)]
mod tests {
    use super::super::book::grant_of_scope;
    use super::super::book::tests::{example, grant};
    use super::*;

    fn basis(grants: &[&str]) -> Vec<Basis> {
        let one = example().basis.remove(0);
        grants.iter().map(|id| Basis { grant: GrantId::new(*id).unwrap(), ..one.clone() }).collect()
    }

    #[test]
    fn pid_1_has_most_of_the_time_that_the_module_waits_and_never_holds_the_loop_for_long() {
        assert_eq!(start_bound(500), Duration::from_millis(350));
        assert_eq!(start_bound(2000), Duration::from_millis(1400));
        assert_eq!(start_bound(60_000), LONGEST_START);
    }

    #[test]
    fn other_grants_and_another_end_are_another_scope() {
        let (a, ab) = (basis(&["aaaabbbbcccc"]), basis(&["aaaabbbbcccc", "ddddeeeeffff"]));
        let name = |basis: &[Basis], until, again| unit_name(basis, UnixTime(until), again).unwrap();
        let all = [name(&a, 100, 0), name(&ab, 100, 0), name(&a, 101, 0), name(&a, 100, 1)];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[n + 1..].contains(one), "{all:?}");
            assert_eq!(grant_of_scope(one).unwrap().as_str(), "aaaabbbbcccc");
            assert!(Killable::new(&path_of(one)).is_some());
        }
        assert_eq!(name(&a, 100, 0), name(&a, 100, 0));
        assert_eq!(unit_name(&[], UnixTime(1), 0), None);
    }

    #[test]
    fn a_scope_goes_with_the_first_of_its_grants() {
        let root = tempfile::tempdir().unwrap();
        let mut enforcer = Enforcer::new(&crate::warden::paths::Paths::under(root.path()));
        enforcer.cgroups = super::super::cgroup::Cgroups::at(root.path());
        let own = std::process::id();
        let scope = Scope {
            unit: "stint-aaaabbbbcccc-100-1.scope".to_owned(),
            grants: vec![GrantId::new("aaaabbbbcccc").unwrap(), GrantId::new("ddddeeeeffff").unwrap()],
            keeper: own,
            keeper_started: enforcer.proc.stat(own).unwrap().started,
            over: false,
        };
        let folder = root.path().join("stint.slice").join(&scope.unit);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cgroup.kill"), "").unwrap();
        enforcer.scopes.push(scope);
        let live = |id: &str| grant(id, "alice", 100, &["sshd"], serde_json::json!([]));
        enforcer.close_scopes(&[live("aaaabbbbcccc"), live("ddddeeeeffff")]);
        assert_eq!(enforcer.scopes.len(), 1);
        assert_eq!(std::fs::read_to_string(folder.join("cgroup.kill")).unwrap(), "");
        enforcer.close_scopes(&[live("ddddeeeeffff")]);
        assert!(enforcer.scopes.is_empty());
        assert_eq!(std::fs::read_to_string(folder.join("cgroup.kill")).unwrap(), "1");
    }
}
