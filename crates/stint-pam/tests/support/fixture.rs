//! A host in a folder, with a gate of truly signed documents.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use nix::time::{ClockId, clock_gettime};
use stint_grant::bundle::{Ending, Grant, Head, Lock, Pulse, Shard};
use stint_grant::dsse;
use stint_grant::gate::{Current, Opening, RefusedGrant, UserHeader, user_file, user_file_bytes};
use stint_grant::ids::{GrantId, Sha256Hex, UserName};
use stint_grant::keys::PublicKey;
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::sudo::Program;
use stint_grant::rights::{Arguments, Command, LoginRight, Rights, SudoRule};
use stint_grant::root::{Keys, Role, Root, pin_of};
use stint_grant::terms::{Class, Terms};
use stint_grant::time::{Floor, Seconds, UnixTime};
use stint_grant::tree;
use tempfile::TempDir;

use super::libpam::{self, Session};

pub(crate) const ALICE: &str = "alice";
pub(crate) const GRANT: &str = "aaaaaaaaaaaa";

/// The fleet's keys and the host's.
pub(crate) struct FleetKeys {
    pub(crate) root: SigningKey,
    pub(crate) roster: SigningKey,
    pub(crate) bundle: SigningKey,
    pub(crate) pulse: SigningKey,
    pub(crate) host: SigningKey,
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

impl Default for FleetKeys {
    fn default() -> Self {
        Self { root: key(1), roster: key(2), bundle: key(3), pulse: key(4), host: key(5) }
    }
}

/// What the gate of one account holds.
#[derive(Clone, Default)]
pub(crate) struct Holding {
    pub(crate) grants: Vec<Grant>,
    pub(crate) endings: Vec<Ending>,
    pub(crate) refused: Vec<RefusedGrant>,
    /// Grants that the warden did not accept.
    pub(crate) unaccepted: Vec<GrantId>,
}

/// What is to be in the gate; then [`Host::write`] makes it so.
pub(crate) struct Plan {
    pub(crate) generation: u64,
    pub(crate) version: u64,
    pub(crate) accounts: BTreeMap<String, Holding>,
    pub(crate) locks: Vec<Lock>,
    pub(crate) ended: Vec<GrantId>,
    /// Windows that codes have opened.
    pub(crate) opened: Vec<Opening>,
    /// How old the pulse is.
    pub(crate) pulse_age: i64,
    pub(crate) floor: Floor,
    /// Signs the head; another key than the fleet's forges it.
    pub(crate) bundle_signer: SigningKey,
    pub(crate) head_expires: UnixTime,
}

/// A host in a folder.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) keys: FleetKeys,
    pub(crate) now: UnixTime,
}

pub(crate) fn reading() -> (UnixTime, u64, String) {
    let (wall, boot) =
        (clock_gettime(ClockId::CLOCK_REALTIME).unwrap(), clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap());
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let millis = boot.tv_sec() * 1000 + boot.tv_nsec() / 1_000_000;
    (UnixTime(wall.tv_sec()), millis.unsigned_abs(), boot_id)
}

pub(crate) fn id(text: &str) -> GrantId {
    GrantId::new(text).unwrap()
}

pub(crate) fn command() -> SudoRule {
    SudoRule {
        run_as: "root".parse().unwrap(),
        command: Command::Program(Program {
            path: "/usr/bin/systemctl".to_owned(),
            arguments: Arguments::Exact(vec!["restart".to_owned(), "nginx".to_owned()]),
        }),
        digest: None,
        noexec: true,
    }
}

pub(crate) fn full_root() -> SudoRule {
    SudoRule { run_as: "root".parse().unwrap(), command: Command::All, digest: None, noexec: false }
}

/// Terms of a login by sshd, su and cron, and one exact sudo command.
pub(crate) fn terms(grant: &str, user: &str) -> Terms {
    Terms {
        format: 1,
        fleet: "acme".parse().unwrap(),
        request: id(grant),
        entitlement: "nginx-restart".parse().unwrap(),
        hosts: vec!["web-01".parse().unwrap()],
        principal: "alice@example.org".parse().unwrap(),
        user: user.parse().unwrap(),
        class: Class::Routine,
        reason: "OPS-12 certificate rollover".to_owned(),
        ticket: Some("OPS-12".to_owned()),
        rights: Rights {
            login: Some(LoginRight {
                services: ["sshd", "login", "su", "cron"].map(str::to_owned).to_vec(),
                origins: Vec::new(),
                forwarding: Forwarding { port: false, agent: false, x11: false },
            }),
            sudo: vec![command()],
            groups: Vec::new(),
            account: None,
        },
        record: stint_grant::record::CommandRecord::COMMANDS,
        credentials: Vec::new(),
        not_before: UnixTime(0),
        claim_by: UnixTime(4_000_000_000),
        max_window: Seconds(3600),
        max_extension: Seconds(0),
        max_staleness: Seconds(900),
        idle_limit: None,
        end_on_logout: false,
        codes: Vec::new(),
    }
}

impl Host {
    /// A host with accounts, and a gate in which alice has one grant that runs for 40 minutes more.
    pub(crate) fn new() -> (Self, Plan) {
        assert!(
            nix::unistd::Uid::effective().is_root(),
            "these tests make files of root's: run them as root"
        );
        let dir = TempDir::with_prefix("stint-pam-").unwrap();
        let (now, boottime_ms, boot_id) = reading();
        let host = Self { dir, keys: FleetKeys::default(), now };
        for folder in ["etc/stint", "var/lib/stint/gate", "run/stint", "proc/self", "pam"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        fs::write(
            host.path("etc/passwd"),
            "root:x:0\nalice:x:1000\nbob:x:1001\ncarol:x:1002\ndaemon:x:1\ntoor:x:0\nOdd.Name:x:1003\nglass:x:1900\n",
        )
        .unwrap();
        let plan = Plan {
            generation: 1,
            version: 1,
            accounts: BTreeMap::from([(
                ALICE.to_owned(),
                Holding { grants: vec![host.grant(&terms(GRANT, ALICE))], ..Holding::default() },
            )]),
            locks: Vec::new(),
            ended: Vec::new(),
            opened: Vec::new(),
            pulse_age: 5,
            floor: Floor { time: now, boot_id, boottime_ms },
            bundle_signer: key(3),
            head_expires: now.plus(Seconds(86400)),
        };
        (host, plan)
    }

    /// The same, written.
    pub(crate) fn ready() -> Self {
        let (host, plan) = Self::new();
        host.write(&plan);
        host
    }

    /// The same, written after a change.
    pub(crate) fn with(change: impl FnOnce(&Self, &mut Plan)) -> Self {
        let (host, mut plan) = Self::new();
        change(&host, &mut plan);
        host.write(&plan);
        host
    }

    /// A grant that began 20 minutes ago and ends in 40.
    pub(crate) fn grant(&self, terms: &Terms) -> Grant {
        Grant {
            id: terms.request.clone(),
            terms: terms.to_text(),
            from: UnixTime(self.now.0 - 1200),
            until: UnixTime(self.now.0 + 2400),
            policy: "1".to_owned(),
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
    pub(crate) fn generation(&self, file: &str) -> PathBuf {
        self.path("var/lib/stint/gate/gen-1").join(file)
    }
    pub(crate) fn current(&self) -> PathBuf {
        self.path("var/lib/stint/gate/current")
    }
    pub(crate) fn user_path(&self, user: &str) -> PathBuf {
        self.generation("users").join(user_file(user))
    }
    pub(crate) fn host_toml(&self, text: &str) -> &Self {
        write(&self.path("etc/stint/host.toml"), text.as_bytes());
        self
    }
    pub(crate) fn mode(&self, text: &str) -> &Self {
        write(&self.path("var/lib/stint/mode"), text.as_bytes());
        self
    }
    pub(crate) fn real_uid(&self, uid: u32) -> &Self {
        write(&self.path("real-uid"), uid.to_string().as_bytes());
        self
    }
    pub(crate) fn login_uid(&self, uid: u32) -> &Self {
        write(&self.path("proc/self/loginuid"), uid.to_string().as_bytes());
        self
    }

    /// Writes a generation and lets `current` name it.
    pub(crate) fn write(&self, plan: &Plan) {
        let gate = self.path("var/lib/stint/gate");
        let generation = gate.join(format!("gen-{}", plan.generation));
        fs::create_dir_all(generation.join("users")).unwrap();
        let root = self.root();
        write(&generation.join("root.json"), &root);

        let shards: Vec<Vec<u8>> = plan.accounts.iter().map(|(user, holding)| shard(user, holding)).collect();
        let head = Head {
            format: 1,
            fleet: "acme".parse().unwrap(),
            host: "web-01".parse().unwrap(),
            host_key: PublicKey::of(&self.keys.host),
            epoch: 1,
            version: plan.version,
            issued_at: self.now,
            expires_at: plan.head_expires,
            locks: plan.locks.clone(),
            shard_count: shards.len() as u64,
            shard_root: tree::root(&shards),
        };
        let digest = Sha256Hex::of(&serde_json::to_vec(&head).unwrap());
        write(&generation.join("head.json"), &dsse::sign(&head, &[&plan.bundle_signer]));
        for ((user, holding), (bytes, proof)) in
            plan.accounts.iter().zip(shards.iter().zip(tree::proofs(&shards)))
        {
            let refused = |id: &GrantId| holding.refused.iter().any(|r| r.grant == *id);
            let accepted = holding.grants.iter().map(|g| g.id.clone());
            let accepted = accepted.filter(|id| !refused(id) && !holding.unaccepted.contains(id)).collect();
            let header =
                UserHeader { head: digest.clone(), proof, accepted, refused: holding.refused.clone() };
            write(&generation.join("users").join(user_file(user)), &user_file_bytes(&header, bytes));
        }
        let pulse = Pulse {
            format: 1,
            fleet: head.fleet.clone(),
            host: head.host.clone(),
            head: digest.clone(),
            epoch: 1,
            version: plan.version,
            issued_at: UnixTime(self.now.0 - plan.pulse_age),
        };
        let current = Current {
            format: 1,
            generation: plan.generation,
            host: head.host.clone(),
            host_key: head.host_key.clone(),
            root: pin_of(&root),
            head: digest,
            pulse: String::from_utf8(dsse::sign(&pulse, &[&self.keys.pulse])).unwrap(),
            floor: plan.floor.clone(),
            ended: plan.ended.clone(),
            opened: plan.opened.clone(),
        };
        let new = gate.join(".current");
        write(&new, &serde_json::to_vec(&current).unwrap());
        fs::rename(new, gate.join("current")).unwrap();
    }

    fn root(&self) -> Vec<u8> {
        let keys =
            [&self.keys.root, &self.keys.roster, &self.keys.bundle, &self.keys.pulse].map(PublicKey::of);
        let [root, roster, bundle, pulse] =
            keys.clone().map(|key| Role { keys: vec![key.id()], threshold: 1 });
        let document = Root {
            format: 1,
            fleet: "acme".parse().unwrap(),
            version: 1,
            issued_at: UnixTime(0),
            expires_at: self.now.plus(Seconds(86400)),
            epoch: 1,
            keys: Keys(keys.into_iter().map(|key| (key.id(), key)).collect()),
            root,
            roster,
            bundle,
            certificate: pulse.clone(),
            pulse,
        };
        dsse::sign(&document, &[&self.keys.root])
    }

    /// Writes a PAM service. `@` stands for the module of the tests; each of its lines is told where the host is.
    pub(crate) fn service(&self, name: &str, lines: &[&str]) -> &Self {
        let module = libpam::module();
        let text: String = lines
            .iter()
            .chain(&["password required @"])
            .map(|line| match line.split_once('@') {
                Some((control, words)) => {
                    format!("{control}{}{words} root={}\n", module.display(), self.dir.path().display())
                }
                None => format!("{line}\n"),
            })
            .collect();
        write(&self.path("pam").join(name), text.as_bytes());
        self
    }

    /// The line `account` as it ships, in a stack that allows otherwise.
    pub(crate) fn gated(&self, name: &str) -> &Self {
        self.service(name, &[ACCOUNT, "account required pam_permit.so"])
    }
    /// Both session lines as they ship, in a stack that allows otherwise.
    pub(crate) fn gated_sessions(&self, name: &str) -> &Self {
        self.service(name, &[LIMIT, "session required pam_permit.so", REGISTER])
    }

    pub(crate) fn start(&self, service: &str, user: &str) -> Session {
        Session::start(&self.path("pam"), service, user)
    }
    /// An SSH login from an address.
    pub(crate) fn ssh(&self, user: &str) -> Session {
        self.start("sshd", user).remote("192.0.2.7").terminal("ssh")
    }
}

/// The lines as `pam/` ships them.
pub(crate) const ACCOUNT: &str =
    "account [success=ok new_authtok_reqd=ok ignore=ignore module_unknown=ignore default=die] @ account";
pub(crate) const LIMIT: &str =
    "session [success=ok ignore=ignore module_unknown=ignore default=ignore] @ session limit";
pub(crate) const REGISTER: &str =
    "session [success=ok ignore=ignore module_unknown=ignore default=die] @ session register";

fn shard(user: &str, holding: &Holding) -> Vec<u8> {
    let shard = Shard {
        format: 1,
        fleet: "acme".parse().unwrap(),
        host: "web-01".parse().unwrap(),
        user: UserName::new(user).unwrap(),
        grants: holding.grants.clone(),
        endings: holding.endings.clone(),
    };
    serde_json::to_vec(&shard).unwrap()
}

/// Writes a file that only its owner may change.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}
