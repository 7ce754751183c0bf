//! The broker as its package and its unit run it: on a booted host, under its sandbox, with its keys taken away.

use std::time::Duration;

use serde_json::Value;
use stint_e2e::{E2eError, Packages, Person, Signing};
use stint_lab::{Host, Lab, until};

type Tested = Result<(), E2eError>;
const BOUND: Duration = stint_lab::PATIENCE;
const NAME: &str = "broker-01";
const DATA: &str = "/var/lib/stint-broker";

const CATALOG: &str = r#"name = "look"
description = "Look at web hosts"
hosts = { labels = { role = "web" } }
login = {}
max_window = "1h"
reviews = 1
"#;

/// A broker from its package on a host of its own, its administrator, somebody who asks, and an enrolled host.
struct Installed {
    broker: Host,
    _web: Host,
    admin: Person,
    alice: Person,
    _lab: Lab,
}

fn is_active(host: &Host) -> bool {
    host.sh("systemctl is-active stint-broker").is_ok_and(|said| said.stdout.trim() == "active")
}

fn answers(host: &Host) -> bool {
    host.sh("bash -c 'exec 3<>/dev/tcp/127.0.0.1/7443'").is_ok_and(|said| said.success())
}

/// Installs the package and makes the fleet, as an administrator does. Answers what `init` said.
fn init(host: &Host) -> Result<Value, E2eError> {
    host.install_deb(&Packages::find().broker)?;
    assert!(!is_active(host), "nothing runs before there is a fleet");
    host.sh("umask 77; echo 'offline keys of the lab' > /root/passphrase")?.check("the passphrase")?;
    let line = format!(
        "stint-broker init --fleet lab --name {NAME} --passphrase-file /root/passphrase --output json"
    );
    let made = host.sh(&line)?.check("stint-broker init")?;
    Ok(serde_json::from_str(&made.stdout).expect("init answers with JSON"))
}

fn installed() -> Result<Installed, E2eError> {
    let lab = Lab::new()?;
    let packages = Packages::find();
    let broker = lab.host(NAME)?;
    let made = init(&broker)?;
    // With the keys still there it says so, and does not serve.
    broker.sh("systemctl start stint-broker")?;
    until("it to say why it does not serve", BOUND, || {
        broker.sh("journalctl -u stint-broker -o cat").is_ok_and(|log| log.stdout.contains("take-away"))
    })?;
    assert!(!answers(&broker));
    broker
        .sh(&format!("systemctl stop stint-broker; mv {DATA}/take-away /root/away"))?
        .check("taking the keys away")?;
    broker.sh(&format!("cat > {DATA}/catalog/look.toml <<'EOT'\n{CATALOG}EOT"))?.check("the catalog")?;
    broker
        .sh("systemctl reset-failed stint-broker; systemctl start stint-broker")?
        .check("starting the unit")?;
    until("the broker to answer", BOUND, || answers(&broker))?;

    let url = format!("https://{NAME}:7443");
    let pin = |field: &str| made[field].as_str().expect("a pin").to_owned();
    let (ca, root) = (pin("ca_pin"), pin("root"));
    let stint = packages.unpack_cli(&lab)?;
    let admin = Person::new(&lab, &stint, "admin", Signing::read(&made["admin"])?)?;
    admin.login(&url, &ca, &root)?;
    let secrets = admin.json(&["user", "add", "alice", "--role", "requester"])?;
    let alice = Person::new(&lab, &stint, "alice", Signing::read(&secrets)?)?;
    alice.login(&url, &ca, &root)?;

    let web = lab.host("web-01")?;
    web.install_deb(&packages.host)?;
    web.sh(&format!("echo '{} {NAME}' >> /etc/hosts", broker.address()))?.check("naming the broker")?;
    let invitation = admin.json(&["host", "join", "web-01", "--label", "role=web"])?;
    let token = invitation["token"].as_str().expect("a token");
    web.exec(&["stintd", "enroll", "--broker", &url, "--token", token])?.check("stintd enroll")?;
    until("the host to be connected", BOUND, || {
        admin.json(&["host", "show", "web-01"]).is_ok_and(|host| host["connected"] == true)
    })?;
    Ok(Installed { broker, _web: web, admin, alice, _lab: lab })
}

#[test]
fn the_broker_of_the_package_serves_under_its_sandbox_and_knows_all_after_a_restart() -> Tested {
    let it = installed()?;
    let process = it.broker.sh("cat /proc/$(systemctl show stint-broker -p MainPID --value)/status")?;
    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2"] {
        assert!(process.stdout.contains(line), "{line} is not in {process}");
    }
    let account = it.broker.sh("id -u stint-broker")?.stdout.trim().to_owned();
    assert!(process.stdout.contains(&format!("Uid:\t{account}\t{account}")), "{process}");
    // The catalog is the administrator's, who writes it as root.
    let others = it.broker.sh(&format!(
        "find {DATA} -name catalog -prune -o '(' ! -user stint-broker -o -perm /077 ')' -print"
    ))?;
    assert_eq!(others.stdout, "", "others own or read a part of its data");

    let id = it.alice.request("look", "web-01", "10m")?;
    it.broker.sh("systemctl restart stint-broker")?.check("restarting the unit")?;
    until("the broker to answer", BOUND, || {
        it.alice.stint(&["request", "show", &id]).is_ok_and(|o| o.success())
    })?;
    let request = it.alice.json(&["request", "show", &id])?;
    assert_eq!((&request["state"], &request["principal"]), (&"pending".into(), &"alice".into()));
    assert_eq!(request["reason"], "OPS-12 rollover");
    until("the host to come back by itself", BOUND, || {
        it.admin.json(&["host", "show", "web-01"]).is_ok_and(|host| host["connected"] == true)
    })?;

    // A reload takes another catalog in, and judges what is open by it.
    it.broker
        .sh(&format!("rm {DATA}/catalog/look.toml && systemctl reload stint-broker"))?
        .check("reloading")?;
    until("the request to be cancelled", BOUND, || {
        it.alice.json(&["request", "show", &id]).is_ok_and(|request| request["state"] == "cancelled")
    })?;
    assert!(is_active(&it.broker));
    Ok(())
}

#[test]
fn on_a_full_disk_a_change_is_refused_whole_and_with_room_all_goes_on() -> Tested {
    let it = installed()?;
    let broker = &it.broker;
    broker
        .sh(&format!(
            "systemctl stop stint-broker && cp -a {DATA} /root/kept && \
             mount -t tmpfs -o size=3m,mode=700 tmpfs {DATA} && cp -a /root/kept/. {DATA} && \
             systemctl start stint-broker"
        ))?
        .check("giving the broker a small disk of its own")?;
    until("the broker to answer", BOUND, || it.alice.stint(&["whoami"]).is_ok_and(|o| o.success()))?;
    let first = it.alice.request("look", "web-01", "10m")?;
    let count = |person: &Person| -> Result<usize, E2eError> {
        Ok(person.json(&["request", "ls"])?.as_array().map_or(0, Vec::len))
    };

    let filled = broker.sh(&format!("dd if=/dev/zero of={DATA}/filler bs=512"))?;
    assert!(filled.text().contains("No space left"), "{filled}");
    let ask = ["request", "create", "look", "--host", "web-01", "--reason", "OPS-13", "--for", "10m"];
    // Each is taken whole or refused in so many words. The last pages, and those of the log that SQLite uses again, take some yet. It is
    // refused more often than there are connections to the database: a refusal must spoil none of them.
    let (mut made, mut refused) = (1, 0);
    for _ in 0..500 {
        let asked = it.alice.stint(&ask)?;
        if asked.success() {
            made += 1;
            continue;
        }
        assert!(asked.text().contains("disk is full") && asked.text().contains("make room"), "{asked}");
        refused += 1;
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "of {made} others");
    // Reading goes on, and shows what was before: nothing of what was refused.
    assert_eq!(count(&it.alice)?, made);
    assert_eq!(it.alice.json(&["request", "show", &first])?["state"], "pending");
    assert!(is_active(broker));

    broker.sh(&format!("rm {DATA}/filler"))?.check("making room")?;
    let after = it.alice.request("look", "web-01", "10m")?;
    assert_eq!(count(&it.alice)?, made + 1);
    // The start verifies the whole record, event by event.
    broker.sh("systemctl restart stint-broker")?.check("restarting the unit")?;
    until("the broker to answer", BOUND, || {
        it.alice.stint(&["request", "show", &after]).is_ok_and(|o| o.success())
    })?;
    assert_eq!(count(&it.alice)?, made + 1);
    Ok(())
}
