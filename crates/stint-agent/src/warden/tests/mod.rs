//! A broker that signs whatever a test wants, and a host that must not believe it.

#[path = "../../../../stint-grant/tests/common/mod.rs"]
mod common;
mod hostile_broker;
mod intake;
mod keeper;
mod sealed;
mod warnings;
mod whole;

use stint_api::hosts::{HostUpdate, WireReview};
use stint_grant::bundle::{Ending, Grant, Head, HostIdentity, Lock, Shard};
use stint_grant::dsse;
use stint_grant::host_config::HostConfig;
use stint_grant::ids::{GrantId, Sha256Hex};
use stint_grant::review::SignedReview;
use stint_grant::root::{self, Root};
use stint_grant::terms::Terms;
use stint_grant::time::{ClockReading, UnixTime};
use stint_grant::tree;
use stint_log::record::Event;

use common::{World, at, id};

use super::intake::{IntakeError, Knowledge, Plan, Verdict, examine};
use super::memory::Memory;
use super::store::State;
use super::trust::Trust;
use crate::journal::Recorder;

/// Takes down events in memory.
#[derive(Default)]
struct Notes(Vec<Event>);

impl Recorder for Notes {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }
}

impl Notes {
    fn kinds(&self) -> Vec<&'static str> {
        self.0.iter().map(Event::kind).collect()
    }
    fn has(&self, kind: &str) -> bool {
        self.kinds().contains(&kind)
    }
}

/// What the broker sends, to be changed before it is signed.
struct Broker {
    world: World,
    roots: Vec<String>,
    roster: Option<String>,
    shards: Vec<Shard>,
    reviews: Vec<SignedReview>,
    version: u64,
    epoch: u64,
    locks: Vec<Lock>,
    pulse_at: UnixTime,
    expires_at: UnixTime,
}

/// Two accounts with one grant each, both reviewed by bob.
fn broker() -> Broker {
    let world = World::new();
    let terms = [world.terms.clone(), dave(&world.terms)];
    let reviews = terms.iter().map(|t| world.approval_of(t, "bob", &world.bob)).collect();
    Broker {
        roots: vec![text(world.root_envelope())],
        roster: Some(text(world.roster_envelope())),
        shards: terms.iter().map(|t| shard(t.user.as_str(), vec![grant(t)])).collect(),
        reviews,
        version: 7,
        epoch: 1,
        locks: Vec::new(),
        pulse_at: at(0),
        expires_at: at(86_400),
        world,
    }
}

fn dave(terms: &Terms) -> Terms {
    Terms { request: id("bbbbbbbbbbbb"), principal: id("dave"), user: id("dave"), ..terms.clone() }
}
fn alices() -> GrantId {
    id("aaaaaaaaaaaa")
}
fn daves() -> GrantId {
    id("bbbbbbbbbbbb")
}
fn grant(terms: &Terms) -> Grant {
    Grant {
        id: terms.request.clone(),
        terms: terms.to_text(),
        from: at(-60),
        until: at(1800),
        policy: "1".to_owned(),
    }
}
fn shard(user: &str, grants: Vec<Grant>) -> Shard {
    Shard { format: 1, fleet: id("example"), host: id("web-01"), user: id(user), grants, endings: Vec::new() }
}
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
fn reading(offset: i64) -> ClockReading {
    ClockReading {
        wall: at(offset),
        boottime_ms: u64::try_from(50_000 + offset * 1000).unwrap(),
        boot_id: "b0".to_owned(),
    }
}

impl Broker {
    /// Signs it all with the broker's own online keys.
    fn update(&self) -> HostUpdate {
        let shards: Vec<String> = self.shards.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        let head = self.head(&shards);
        let head_envelope = self.world.sign_head(&head);
        HostUpdate {
            roots: self.roots.clone(),
            roster: self.roster.clone(),
            pulse: self.pulse(&head),
            head: text(head_envelope),
            shards,
            reviews: self
                .reviews
                .iter()
                .map(|r| WireReview { statement: r.statement.clone(), signature: r.signature.clone() })
                .collect(),
        }
    }
    fn head(&self, shards: &[String]) -> Head {
        let leaves: Vec<Vec<u8>> = shards.iter().map(|s| s.clone().into_bytes()).collect();
        Head {
            version: self.version,
            epoch: self.epoch,
            locks: self.locks.clone(),
            expires_at: self.expires_at,
            shard_root: tree::root(&leaves),
            ..self.world.head(&leaves)
        }
    }
    fn pulse(&self, head: &Head) -> String {
        let pulse = stint_grant::bundle::Pulse {
            format: 1,
            fleet: id("example"),
            host: id("web-01"),
            head: Sha256Hex::of(&serde_json::to_vec(head).unwrap()),
            epoch: head.epoch,
            version: head.version,
            issued_at: self.pulse_at,
        };
        text(dsse::sign(&pulse, &[&self.world.pulse_key]))
    }
    /// A pulse alone, for the bundle as it is.
    fn pulse_alone(&self) -> String {
        self.update().pulse
    }
    fn terms(&self) -> Terms {
        self.world.terms.clone()
    }
    /// Puts other terms into alice's grant, under the old reviews.
    fn change_alices_terms(&mut self, change: impl Fn(&mut Terms)) {
        let mut terms = self.terms();
        change(&mut terms);
        self.shards[0].grants = vec![grant(&terms)];
    }
    fn end_alices(&mut self, how: stint_grant::bundle::EndingKind) {
        self.shards[0].grants.clear();
        self.shards[0].endings = vec![Ending { grant: alices(), how, by: Some(id("carol")), at: at(0) }];
    }
    fn next_root(&mut self, change: impl Fn(&mut Root)) {
        let mut root = self.world.root.clone();
        root.version += 1;
        change(&mut root);
        self.roots.push(text(dsse::sign(&root, &[&self.world.root_key])));
        self.world.root = root;
    }
    fn trust(&self) -> Trust {
        Trust {
            format: 1,
            fleet: id("example"),
            host: id("web-01"),
            root_pin: root::pin_of(self.roots[0].as_bytes()),
            machine: Sha256Hex::of(b"machine"),
        }
    }
}

/// What a host knows, without files.
struct Host {
    trust: Trust,
    me: HostIdentity,
    state: State,
    memory: Memory,
    config: HostConfig,
}

impl Host {
    fn new(broker: &Broker) -> Self {
        Self {
            trust: broker.trust(),
            me: broker.world.me(),
            state: State::new(),
            memory: Memory::default(),
            config: HostConfig::default(),
        }
    }
    fn examine(&self, update: &HostUpdate) -> Result<Plan, IntakeError> {
        self.examine_at(update, &reading(0))
    }
    fn examine_at(&self, update: &HostUpdate, reading: &ClockReading) -> Result<Plan, IntakeError> {
        let known = Knowledge {
            trust: &self.trust,
            me: &self.me,
            state: &self.state,
            memory: &self.memory,
            config: &self.config,
            host: &common::AnyGroup,
        };
        examine(update, known, reading)
    }
    /// Takes a plan as the keeper does.
    fn take(&mut self, plan: &Plan) {
        for grant in plan.accepted() {
            self.memory.remember(grant);
        }
        self.state = State {
            root: Some(super::store::KnownRoot {
                version: plan.root.0.version,
                epoch: plan.root.0.epoch,
                pin: root::pin_of(plan.root.1.as_bytes()),
            }),
            roster: plan.roster.clone(),
            seen: Some(stint_grant::bundle::Seen {
                epoch: plan.head.0.epoch,
                version: plan.head.0.version,
                head: plan.head.0.digest().clone(),
            }),
            pulse: Some(plan.pulse.1.clone()),
            floor: plan.floor.clone(),
            ..self.state.clone()
        };
    }
    fn having_taken(broker: &Broker) -> Self {
        let mut host = Self::new(broker);
        let plan = host.examine(&broker.update()).unwrap();
        host.take(&plan);
        host
    }
}

fn accepted(plan: &Plan) -> Vec<GrantId> {
    plan.accepted().map(|g| g.grant.id.clone()).collect()
}
/// Why a grant was refused.
#[track_caller]
fn cause(plan: &Plan, grant: &GrantId) -> String {
    match plan.verdicts().find(|(id, _)| id == grant) {
        Some((_, Verdict::Refused(cause))) => cause.clone(),
        other => panic!("not refused: {other:?}"),
    }
}
