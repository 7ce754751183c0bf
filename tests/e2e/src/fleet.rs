//! The fixture of the full story: a broker, its people, and one host, enrolled and armed.

use std::time::{Duration, Instant};

use stint_lab::{BROKER_NAME, Host, Lab, PATIENCE, until};

use crate::broker::{ADMIN, Broker};
use crate::error::E2eError;
use crate::packages::Packages;
use crate::person::{Person, Signing, text};

/// How long a host takes to be set up where nothing else goes on.
const SET_UP_AT_REST: Duration = Duration::from_secs(4);
/// The host's name.
pub const HOST: &str = "web-01";

/// The host's own ceiling in tests: the break-glass account of the lab, and full root where a test asks for it. It is patient with the
/// warden: the machine may be busy with other hosts.
const HOST_TOML: &str = "
[managed]
break_glass_uid = 1900

[limits]
register_timeout_ms = 5000

[ceiling]
full_root = true
";

/// How a fleet is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/etc/stint/host.toml`.
    pub host_toml: String,
    /// `broker.toml`: how often a pulse goes out.
    pub pulse_interval: String,
    /// `broker.toml`: how often a connection is probed.
    pub keep_alive: String,
    /// `broker.toml`: how long a host's certificate holds.
    pub certificate_life: String,
    /// Further files of the broker's catalog, by name.
    pub catalog: &'static [(&'static str, &'static str)],
    /// Whether the host is armed and confirmed.
    pub armed: bool,
    /// The host's release of Debian, by its name; none is that of the machine.
    pub suite: Option<&'static str>,
    /// Further packages of Debian's on a host of the machine's own release.
    pub packages: &'static [&'static str],
    /// Whether the host is a virtual machine, with a kernel and a clock of its own.
    pub virtual_machine: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host_toml: HOST_TOML.into(),
            pulse_interval: "20s".into(),
            keep_alive: "10s".into(),
            certificate_life: "7d".into(),
            catalog: &[],
            armed: true,
            suite: None,
            packages: &[],
            virtual_machine: false,
        }
    }
}

/// A broker on the control side, people with homes there, and one host.
#[derive(Debug)]
pub struct Fleet {
    /// The host, first so that it goes down before the lab.
    pub host: Host,
    /// The broker.
    pub broker: Broker,
    /// The administrator.
    pub admin: Person,
    /// May request.
    pub alice: Person,
    /// May request and review.
    pub bob: Person,
    /// May request, revoke, lock, and read the record.
    pub carol: Person,
    /// The lab.
    pub lab: Lab,
    /// How long the host took from its installation until it was ready.
    took: Duration,
}

impl Fleet {
    /// A fleet as most tests need it: the host enforces.
    pub fn new() -> Result<Self, E2eError> {
        Self::with(&Options::default())
    }

    /// A fleet of one's own.
    pub fn with(options: &Options) -> Result<Self, E2eError> {
        let lab = match options.suite {
            Some(suite) => Lab::of(Some(suite))?,
            None if options.packages.is_empty() => Lab::new()?,
            None => Lab::with_packages(options.packages)?,
        };
        // First, since it may have to wait for its turn.
        let machine = options.virtual_machine.then(|| lab.virtual_host(HOST)).transpose()?;
        let packages = Packages::find();
        let stint = packages.unpack_cli(&lab)?;
        let Options { pulse_interval, keep_alive, certificate_life, .. } = options;
        let pace = format!(
            "pulse_interval = \"{pulse_interval}\"\nkeep_alive = \"{keep_alive}\"\n\
             host_certificate_life = \"{certificate_life}\"\n"
        );
        let broker = Broker::init(&lab, &packages, &pace, options.catalog)?;
        broker.start()?;

        let person = |name: &str, signing: Signing| -> Result<Person, E2eError> {
            let person = Person::new(&lab, &stint, name, signing)?;
            person.login(&broker.url(), &broker.pins().ca, &broker.pins().root)?;
            Ok(person)
        };
        let admin = person(ADMIN, broker.admin())?;
        let add = |name: &str, roles: &[&str]| -> Result<Person, E2eError> {
            let mut args = vec!["user", "add", name];
            for role in roles {
                args.extend(["--role", role]);
            }
            let secrets = admin.json(&args)?;
            let signing = Signing::read(&secrets)?;
            person(name, signing)
        };
        let alice = add("alice", &["requester"])?;
        let bob = add("bob", &["requester", "reviewer"])?;
        let carol = add("carol", &["requester", "security", "auditor"])?;
        broker.publish_roster(&admin, &["bob"])?;

        let start = Instant::now();
        let host = machine.map_or_else(|| lab.host(HOST), Ok)?;
        host.install_deb(&packages.host)?;
        prepare(&host, &options.host_toml)?;
        let mut fleet = Self { host, broker, admin, alice, bob, carol, lab, took: Duration::ZERO };
        fleet.enroll()?;
        if options.armed {
            fleet.arm()?;
        }
        fleet.took = start.elapsed();
        Ok(fleet)
    }

    /// Invites the host and enrols it, as an administrator does.
    pub fn enroll(&self) -> Result<(), E2eError> {
        self.enroll_host(&self.host)
    }

    /// Wires PAM, enforces, and confirms.
    pub fn arm(&self) -> Result<(), E2eError> {
        arm(&self.host)
    }

    /// An sshd of 9.8 or later turns an address away for a while from which many were denied, whoever comes next. Where everybody comes from
    /// one address, and is denied again and again, it is told not to.
    pub fn make_sshd_patient(&self) -> Result<(), E2eError> {
        let patient = "! sshd -T | grep -qi ^persourcepenalties || \
                       { echo 'PerSourcePenalties no' >/etc/ssh/sshd_config.d/01-patient.conf && systemctl restart ssh; }";
        self.host.sh(patient)?.check("a patient sshd")?;
        Ok(())
    }

    /// One more host of the fleet, enrolled and armed like the first.
    pub fn another_host(&self, name: &str) -> Result<Host, E2eError> {
        let host = self.lab.host(name)?;
        host.install_deb(&Packages::find().host)?;
        prepare(&host, HOST_TOML)?;
        self.enroll_host(&host)?;
        arm(&host)?;
        Ok(host)
    }

    fn enroll_host(&self, host: &Host) -> Result<(), E2eError> {
        let name = host.name();
        let invitation = self.admin.json(&["host", "join", name, "--label", "role=web"])?;
        let token = text(&invitation, "token")?;
        let url = self.broker.url();
        let enrolled = host.exec(&["stintd", "enroll", "--broker", &url, "--token", &token])?;
        enrolled.check("stintd enroll")?;
        until("the host to be connected", PATIENCE, || {
            self.admin.json(&["host", "show", name]).is_ok_and(|host| host["connected"] == true)
        })?;
        Ok(())
    }

    /// A grant of alice's, requested, reviewed by bob, and active on the host. Answers its id.
    pub fn grant(&self, entitlement: &str, length: &str) -> Result<String, E2eError> {
        self.grant_to(&self.alice, entitlement, length)
    }

    /// A grant of somebody's, requested, reviewed by bob, and active on the host. Answers its id.
    pub fn grant_to(&self, person: &Person, entitlement: &str, length: &str) -> Result<String, E2eError> {
        let id = person.request(entitlement, HOST, length)?;
        self.bob.approve(&id)?;
        person.activate(&id)?;
        Ok(id)
    }

    /// So many seconds of a machine that has nothing else to do, as they are on this one now, by what setting up the host took: for windows
    /// in which something has to be done before they end. At most six times as many.
    pub fn seconds(&self, at_rest: u64) -> u64 {
        let slower = self.took.as_secs_f64() / SET_UP_AT_REST.as_secs_f64();
        Duration::from_secs(at_rest).mul_f64(slower.clamp(1.0, 6.0)).as_secs()
    }

    /// [`Self::seconds`], as a length on the command line.
    pub fn window(&self, at_rest: u64) -> String {
        format!("{}s", self.seconds(at_rest))
    }

    /// The host's identity key as the host itself shows it, in base64.
    pub fn host_key(&self) -> Result<String, E2eError> {
        let path = "/var/lib/stint/courier/courier.json";
        let config = self.host.exec(&["cat", path])?.check("reading the host's identity")?.stdout;
        let config =
            serde_json::from_str(&config).map_err(|error| E2eError::answer("courier.json", error))?;
        text(&config, "identity_key")
    }

    /// When a grant ends, in unix seconds.
    pub fn end_of(&self, id: &str) -> Result<f64, E2eError> {
        let grant = self.alice.json(&["grant", "show", id])?;
        grant["until"].as_f64().ok_or_else(|| E2eError::answer("field until", grant))
    }
}

fn arm(host: &Host) -> Result<(), E2eError> {
    host.exec(&["stintd", "arm", "--rollback", "10m"])?.check("stintd arm")?;
    // From a new login, as it asks: it proves the way in. sshd reads its configuration anew, and refuses for a moment.
    let mut said = host.ssh("rescue", "sudo -n stintd confirm")?;
    until("sshd to listen again", PATIENCE, || {
        let refused = said.status == 255 && said.stderr.contains("Connection refused");
        if refused && let Ok(again) = host.ssh("rescue", "sudo -n stintd confirm") {
            said = again;
        }
        !refused
    })?;
    said.check("stintd confirm")?;
    Ok(())
}

/// The service that the story is about, the break-glass account's own sudo, and the host's own ceiling.
fn prepare(host: &Host, host_toml: &str) -> Result<(), E2eError> {
    host.write("/etc/systemd/system/nginx.service", b"[Service]\nExecStart=/bin/sleep infinity\n")?;
    host.write("/etc/sudoers.d/rescue", b"rescue ALL = (ALL) NOPASSWD: ALL\n")?;
    host.exec(&["chmod", "440", "/etc/sudoers.d/rescue"])?.check("closing a rule of sudo")?;
    host.write("/etc/stint/host.toml", host_toml.as_bytes())?;
    host.sh("systemctl daemon-reload && systemctl start nginx")?.check("starting the service")?;
    Ok(())
}

/// The broker's name and port, as hosts and people reach it.
pub(crate) fn broker_url(port: u16) -> String {
    format!("https://{BROKER_NAME}:{port}")
}
