//! A small fleet in memory: keys, documents, and a host's files, so that each test changes one thing.

#![allow(dead_code, unused_imports, missing_docs, unreachable_pub, clippy::pedantic)]

use ed25519_dalek::SigningKey;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};
use stint_grant::acceptance::{AcceptedGrant, GrantMemory, GroupFact, HostFacts, Judge, Refusal};
use stint_grant::bundle::{Grant, Head, HostIdentity, Lock, LockTarget, Pulse, Shard};
use stint_grant::dsse::{self, Verified};
use stint_grant::gate::{self, Current, GateFault, GateFiles, OpenGate, RefusedGrant, UserHeader};
use stint_grant::host_config::Ceiling;
use stint_grant::ids::*;
use stint_grant::keys::PublicKey;
use stint_grant::record::CommandRecord;
use stint_grant::review::{self, ReviewDecision, SignedReview, Statement};
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, LoginRight, Rights, SudoRule};
use stint_grant::root::{self, Keys, Role, Root};
use stint_grant::roster::{self, Reviewer, Roster};
use stint_grant::terms::{Class, Terms};
use stint_grant::time::{ClockReading, Floor, Seconds, UnixTime};
use stint_grant::tree;

pub const NOW: UnixTime = UnixTime(1_790_000_000);

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
pub fn ssh_key(n: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[n; 32]))
}
pub fn at(offset: i64) -> UnixTime {
    UnixTime(NOW.0 + offset)
}
pub fn id<T: std::str::FromStr>(s: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    s.parse().unwrap()
}

/// All secrets of a fleet, and one of each document, to be changed before it is signed.
pub struct World {
    pub root_key: SigningKey,
    pub roster_key: SigningKey,
    pub bundle_key: SigningKey,
    pub pulse_key: SigningKey,
    pub host_key: SigningKey,
    pub bob: PrivateKey,
    pub root: Root,
    pub roster: Roster,
    pub terms: Terms,
}

pub fn role(keys: &[&SigningKey], threshold: u32) -> Role {
    Role { keys: keys.iter().map(|k| PublicKey::of(k).id()).collect(), threshold }
}
pub fn keys(list: &[&SigningKey]) -> Keys {
    Keys(list.iter().map(|k| (PublicKey::of(k).id(), PublicKey::of(k))).collect())
}
pub fn restart_nginx() -> SudoRule {
    SudoRule {
        run_as: id("root"),
        command: Command::Program(Program {
            path: "/usr/bin/systemctl".into(),
            arguments: Arguments::Exact(vec!["restart".into(), "nginx.service".into()]),
        }),
        digest: None,
        noexec: true,
    }
}
pub fn rights() -> Rights {
    Rights {
        login: Some(LoginRight {
            services: vec!["sshd".into()],
            origins: vec![],
            forwarding: Forwarding { port: false, agent: false, x11: false },
        }),
        sudo: vec![restart_nginx()],
        groups: vec![],
        account: None,
    }
}

/// A host that has every group, and none that gives more than its name says.
pub struct AnyGroup;
impl HostFacts for AnyGroup {
    fn group(&self, _: &GroupName) -> GroupFact {
        GroupFact::Plain
    }
    fn is_foreign(&self, _: &UserName) -> bool {
        false
    }
}

impl World {
    pub fn new() -> Self {
        let (root_key, roster_key, bundle_key, pulse_key, host_key) =
            (key(1), key(2), key(3), key(4), key(5));
        let bob = ssh_key(20);
        let root = Root {
            format: 1,
            fleet: id("example"),
            version: 1,
            issued_at: at(-1000),
            expires_at: at(1_000_000),
            epoch: 1,
            keys: keys(&[&root_key, &roster_key, &bundle_key, &pulse_key, &key(60)]),
            root: role(&[&root_key], 1),
            roster: role(&[&roster_key], 1),
            bundle: role(&[&bundle_key], 1),
            pulse: role(&[&pulse_key], 1),
            certificate: role(&[&key(60)], 1),
        };
        let roster = Roster {
            format: 1,
            fleet: id("example"),
            version: 1,
            issued_at: at(-900),
            expires_at: at(900_000),
            reviewers: vec![Reviewer {
                name: id("bob"),
                keys: vec![bob.public_key().to_openssh().unwrap()],
                groups: vec![],
            }],
        };
        let terms = Terms {
            format: 1,
            fleet: id("example"),
            request: id("aaaaaaaaaaaa"),
            entitlement: id("nginx-restart"),
            hosts: vec![id("web-01")],
            principal: id("alice"),
            user: id("alice"),
            class: Class::Routine,
            reason: "OPS-12 certificate rollover".into(),
            ticket: None,
            rights: rights(),
            record: CommandRecord::COMMANDS,
            credentials: vec![],
            not_before: at(-300),
            claim_by: at(300),
            max_window: Seconds(3600),
            max_extension: Seconds(1800),
            max_staleness: Seconds(900),
            idle_limit: None,
            end_on_logout: false,
            codes: Vec::new(),
        };
        Self { root_key, roster_key, bundle_key, pulse_key, host_key, bob, root, roster, terms }
    }
    pub fn me(&self) -> HostIdentity {
        HostIdentity { host: id("web-01"), key: PublicKey::of(&self.host_key) }
    }
    pub fn root_envelope(&self) -> Vec<u8> {
        dsse::sign(&self.root, &[&self.root_key])
    }
    pub fn trusted_root(&self) -> Verified<Root> {
        let envelope = self.root_envelope();
        root::open_pinned(&envelope, &root::pin_of(&envelope)).unwrap()
    }
    pub fn roster_envelope(&self) -> Vec<u8> {
        dsse::sign(&self.roster, &[&self.roster_key])
    }
    pub fn trusted_roster(&self) -> Verified<Roster> {
        roster::open(&self.roster_envelope(), &self.trusted_root(), None, NOW).unwrap()
    }
    pub fn grant(&self) -> Grant {
        Grant {
            id: self.terms.request.clone(),
            terms: self.terms.to_text(),
            from: at(-60),
            until: at(1800),
            policy: "1".into(),
        }
    }
    pub fn shard(&self) -> Shard {
        Shard {
            format: 1,
            fleet: id("example"),
            host: id("web-01"),
            user: id("alice"),
            grants: vec![self.grant()],
            endings: vec![],
        }
    }
    pub fn head(&self, shards: &[Vec<u8>]) -> Head {
        Head {
            format: 1,
            fleet: id("example"),
            host: id("web-01"),
            host_key: PublicKey::of(&self.host_key),
            epoch: 1,
            version: 7,
            issued_at: at(-30),
            expires_at: at(86_400),
            locks: vec![],
            shard_count: shards.len() as u64,
            shard_root: tree::root(shards),
        }
    }
    pub fn pulse(&self, head: &Verified<Head>) -> Pulse {
        Pulse {
            format: 1,
            fleet: id("example"),
            host: id("web-01"),
            head: head.digest().clone(),
            epoch: head.epoch,
            version: head.version,
            issued_at: at(-10),
        }
    }
    pub fn sign_head(&self, head: &Head) -> Vec<u8> {
        dsse::sign(head, &[&self.bundle_key])
    }
    pub fn approval(&self) -> SignedReview {
        self.approval_of(&self.terms, "bob", &self.bob)
    }
    pub fn approval_of(&self, terms: &Terms, reviewer: &str, key: &PrivateKey) -> SignedReview {
        let statement = Statement {
            format: 1,
            fleet: id("example"),
            request: terms.request.clone(),
            terms: stint_grant::terms::digest_of(&terms.to_text()),
            decision: ReviewDecision::Approve,
            reviewer: id(reviewer),
            reviewed_at: at(-100),
        };
        review::sign(&statement, key).unwrap()
    }
    pub fn judge(
        &self,
        grant: &Grant,
        reviews: &[SignedReview],
        ceiling: &Ceiling,
    ) -> Result<AcceptedGrant, Refusal> {
        self.judge_remembering(grant, reviews, ceiling, None)
    }
    pub fn judge_remembering(
        &self,
        grant: &Grant,
        reviews: &[SignedReview],
        ceiling: &Ceiling,
        memory: Option<&GrantMemory>,
    ) -> Result<AcceptedGrant, Refusal> {
        let (roster, me) = (self.trusted_roster(), self.me());
        let judge = Judge {
            fleet: &id("example"),
            me: &me,
            ceiling,
            roster: Some(&roster),
            reviews,
            host: &AnyGroup,
        };
        judge.judge(&id("alice"), grant, memory)
    }
}

/// The gate's files for alice on web-01, whole and good, to be changed before they are opened.
pub struct Gate {
    pub current: Current,
    pub root: Vec<u8>,
    pub head: Vec<u8>,
    pub user: Option<Vec<u8>>,
    pub reading: ClockReading,
}

impl Gate {
    pub fn of(world: &World) -> Self {
        Self::with(world, world.shard(), |_| {}, |_| {})
    }
    pub fn with(world: &World, shard: Shard, head: impl Fn(&mut Head), pulse: impl Fn(&mut Pulse)) -> Self {
        let shard = serde_json::to_vec(&shard).unwrap();
        let other = br#"{"another":"account"}"#.to_vec();
        let shards = vec![shard.clone(), other];
        let mut document = world.head(&shards);
        head(&mut document);
        let envelope = world.sign_head(&document);
        let verified: Verified<Head> =
            dsse::verify(&envelope, &[world.trusted_root().bundle_signers()]).unwrap();
        let mut beat = world.pulse(&verified);
        pulse(&mut beat);
        let header = UserHeader {
            head: verified.digest().clone(),
            proof: tree::proofs(&shards)[0].clone(),
            accepted: vec![world.terms.request.clone()],
            refused: vec![],
        };
        let root = world.root_envelope();
        Self {
            current: Current {
                format: 1,
                generation: 1,
                host: id("web-01"),
                host_key: PublicKey::of(&world.host_key),
                root: root::pin_of(&root),
                head: verified.digest().clone(),
                pulse: String::from_utf8(dsse::sign(&beat, &[&world.pulse_key])).unwrap(),
                floor: Floor { time: NOW, boot_id: "boot-1".into(), boottime_ms: 50_000 },
                ended: vec![],
                opened: vec![],
            },
            root,
            head: envelope,
            user: Some(gate::user_file_bytes(&header, &shard)),
            reading: ClockReading { wall: NOW, boottime_ms: 50_000, boot_id: "boot-1".into() },
        }
    }
    pub fn edit_header(&mut self, edit: impl Fn(&mut UserHeader)) {
        let bytes = self.user.take().unwrap();
        let end = bytes.iter().position(|b| *b == b'\n').unwrap();
        let mut header: UserHeader = serde_json::from_slice(&bytes[..end]).unwrap();
        edit(&mut header);
        self.user = Some(gate::user_file_bytes(&header, &bytes[end + 1..]));
    }
    pub fn open(&self) -> Result<OpenGate, GateFault> {
        let files = GateFiles { root: &self.root, head: &self.head, user: self.user.as_deref() };
        OpenGate::open(&self.current, &files, &id("alice"), &self.reading)
    }
    pub fn refuse(&mut self, cause: &str) {
        let refused = RefusedGrant { grant: id("aaaaaaaaaaaa"), cause: cause.into() };
        self.edit_header(|h| {
            h.accepted.clear();
            h.refused.push(refused.clone());
        });
    }
}

pub fn lock(target: LockTarget) -> Lock {
    Lock {
        id: id("lllllllllllk".replace('l', "b").as_str()),
        target,
        reason: "laptop stolen".into(),
        since: at(-5),
        until: None,
    }
}
pub fn pem(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}
