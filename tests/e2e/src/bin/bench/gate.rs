//! A gate of any size, signed with keys made here: what a warden would have written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use stint_grant::bundle::{Grant, Head, Pulse, Shard};
use stint_grant::gate::{Current, UserHeader, generation_dir, user_file, user_file_bytes};
use stint_grant::ids::{GrantId, HostName, Sha256Hex, UserName};
use stint_grant::keys::PublicKey;
use stint_grant::rights::login::Forwarding;
use stint_grant::rights::{LoginRight, Rights};
use stint_grant::root::{Keys, Role, Root, pin_of};
use stint_grant::terms::{Class, Terms};
use stint_grant::time::{Floor, Seconds, UnixTime};
use stint_grant::{dsse, tree};

type Failed = Box<dyn std::error::Error>;

/// How many grants each account has. Names are sorted by the map, as the head wants them.
pub(crate) type Layout = BTreeMap<String, usize>;

/// One grant for each of many accounts, and `own` for alice.
pub(crate) fn layout(others: usize, own: usize) -> Layout {
    let mut layout: Layout = (0..others).map(|n| (format!("user{n:05}"), 1)).collect();
    layout.insert("alice".into(), own);
    layout
}

/// The bytes of a gate, for the files and for the breakdown.
pub(crate) struct Gate {
    pub(crate) current: Current,
    pub(crate) root: Vec<u8>,
    pub(crate) head: Vec<u8>,
    pub(crate) users: BTreeMap<String, Vec<u8>>,
}

/// Makes a gate with these accounts, fresh at this time.
pub(crate) fn make(layout: &Layout, floor: Floor) -> Result<Gate, Failed> {
    let now = floor.time;
    let key = SigningKey::from_bytes(&[7; 32]);
    let host_key = PublicKey::of(&SigningKey::from_bytes(&[8; 32]));
    let (fleet, host): (stint_grant::ids::FleetName, HostName) = ("bench".parse()?, "web-01".parse()?);
    let public = PublicKey::of(&key);
    let offline = PublicKey::of(&SigningKey::from_bytes(&[6; 32]));
    let role = |key: &PublicKey| Role { keys: vec![key.id()], threshold: 1 };
    let day = Seconds(24 * 3600);
    let root = Root {
        format: 1,
        fleet: fleet.clone(),
        version: 1,
        issued_at: now,
        expires_at: now.plus(day),
        epoch: 1,
        keys: Keys([&public, &offline].into_iter().map(|key| (key.id(), key.clone())).collect()),
        root: role(&offline),
        roster: role(&offline),
        bundle: role(&public),
        pulse: role(&public),
        certificate: role(&public),
    };
    let root = dsse::sign(&root, &[&key]);

    let mut shards = Vec::new();
    for (number, (user, count)) in layout.iter().enumerate() {
        let user: UserName = user.parse()?;
        let grants: Vec<Grant> =
            (0..*count).map(|n| grant(&host, &user, number, n, now)).collect::<Result<_, _>>()?;
        let shard =
            Shard { format: 1, fleet: fleet.clone(), host: host.clone(), user, grants, endings: Vec::new() };
        shards.push((serde_json::to_vec(&shard)?, shard));
    }
    let bytes: Vec<&[u8]> = shards.iter().map(|(bytes, _)| bytes.as_slice()).collect();
    let head = Head {
        format: 1,
        fleet: fleet.clone(),
        host: host.clone(),
        host_key: host_key.clone(),
        epoch: 1,
        version: 1,
        issued_at: now,
        expires_at: now.plus(day),
        locks: Vec::new(),
        shard_count: shards.len() as u64,
        shard_root: tree::root(&bytes),
    };
    let digest = Sha256Hex::of(&serde_json::to_vec(&head)?);
    let pulse = Pulse {
        format: 1,
        fleet,
        host: host.clone(),
        head: digest.clone(),
        epoch: 1,
        version: 1,
        issued_at: now,
    };
    let current = Current {
        format: Current::FORMAT,
        generation: 1,
        host,
        host_key,
        root: pin_of(&root),
        head: digest.clone(),
        pulse: String::from_utf8(dsse::sign(&pulse, &[&key]))?,
        floor,
        ended: Vec::new(),
        opened: Vec::new(),
    };
    let users = shards
        .iter()
        .zip(tree::proofs(&bytes))
        .map(|((bytes, shard), proof)| {
            let accepted = shard.grants.iter().map(|grant| grant.id.clone()).collect();
            let header = UserHeader { head: digest.clone(), proof, accepted, refused: Vec::new() };
            (shard.user.to_string(), user_file_bytes(&header, bytes))
        })
        .collect();
    Ok(Gate { current, root, head: dsse::sign(&head, &[&key]), users })
}

/// Writes the gate's folder anew.
pub(crate) fn write(gate: &Gate, dir: &Path) -> Result<(), Failed> {
    let generation = dir.join(generation_dir(gate.current.generation));
    if generation.exists() {
        fs::remove_dir_all(&generation)?;
    }
    fs::create_dir_all(generation.join("users"))?;
    fs::write(generation.join("root.json"), &gate.root)?;
    fs::write(generation.join("head.json"), &gate.head)?;
    for (user, bytes) in &gate.users {
        fs::write(generation.join("users").join(user_file(user)), bytes)?;
    }
    fs::write(dir.join("current"), serde_json::to_vec(&gate.current)?)?;
    Ok(())
}

fn grant(host: &HostName, user: &UserName, account: usize, n: usize, now: UnixTime) -> Result<Grant, Failed> {
    let id: GrantId = id(account * 1000 + n).parse()?;
    let rights = Rights {
        login: Some(LoginRight {
            services: vec!["sshd".into()],
            origins: Vec::new(),
            forwarding: Forwarding { port: false, agent: false, x11: false },
        }),
        sudo: Vec::new(),
        groups: Vec::new(),
        account: None,
    };
    let terms = Terms {
        format: Terms::FORMAT,
        fleet: "bench".parse()?,
        request: id.clone(),
        entitlement: "web-login".parse()?,
        hosts: vec![host.clone()],
        principal: user.as_str().parse()?,
        user: user.clone(),
        class: Class::Routine,
        reason: "OPS-12 certificate rollover on the web hosts".into(),
        ticket: Some("OPS-12".into()),
        rights,
        record: stint_grant::record::CommandRecord::COMMANDS,
        credentials: Vec::new(),
        not_before: now,
        claim_by: now.plus(Seconds(3600)),
        max_window: Seconds(3600),
        max_extension: Seconds(0),
        max_staleness: Seconds(900),
        idle_limit: None,
        end_on_logout: false,
        codes: Vec::new(),
    };
    Ok(Grant { id, terms: terms.to_text(), from: now, until: now.plus(Seconds(3600)), policy: "1".into() })
}

/// A number in the letters of a grant's id.
fn id(mut number: usize) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut id = String::new();
    for _ in 0..12 {
        id.push(char::from(letters[number % letters.len()]));
        number /= letters.len();
    }
    id
}

#[cfg(test)]
mod tests {
    use stint_grant::decision::{Purpose, Question, Verdict, decide};
    use stint_grant::gate::{GateFiles, OpenGate};
    use stint_grant::host_config::HostConfig;
    use stint_grant::time::{ClockReading, Floor, UnixTime};

    use super::{layout, make};

    #[test]
    fn the_gate_of_the_bench_lets_alice_in_and_nobody_else() {
        let floor = Floor { time: UnixTime(1_800_000_000), boot_id: "b".into(), boottime_ms: 0 };
        let reading = ClockReading { wall: floor.time, boottime_ms: 1000, boot_id: "b".into() };
        let gate = make(&layout(20, 3), floor).expect("a gate");
        let verdict = |user: &str| {
            let account = gate.users.get(user).map(Vec::as_slice);
            let files = GateFiles { root: &gate.root, head: &gate.head, user: account };
            let user = user.parse().expect("a name");
            let open = OpenGate::open(&gate.current, &files, &user, &reading).expect("it opens");
            let purpose = Purpose::Login { service: "sshd" };
            let question = Question { purpose, origin: None, credentials: None };
            decide(&open, &HostConfig::default(), &question)
        };
        assert!(matches!(verdict("alice"), Verdict::Allow(permit) if permit.grants.len() == 3));
        assert!(matches!(verdict("mallory"), Verdict::Deny(_)));
    }
}
