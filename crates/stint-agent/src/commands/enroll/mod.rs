//! `stintd enroll`: this host joins a fleet. All or nothing.
//!
//! 1. The token says by which CA the broker is known, and by which hash the fleet's first root: nothing is trusted on first use.
//! 2. The host makes its own keys. The transport key is the courier's, the identity key is the warden's; neither leaves the host.
//! 3. The broker is asked, over TLS that is pinned by the token.
//! 4. Its answer is checked whole ([`answer`]) before anything is stored.
//! 5. All files are written beside their places, then put there ([`install`]); a failure puts the old ones back.

mod answer;
mod install;

use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Url;
use stint_api::hosts::{ENROLL_PAYLOAD_TYPE, EnrollRequest, Enrolled};
use stint_api::tls::{self, PinnedCa};
use stint_api::token::JoinToken;
use stint_grant::dsse::{self, Document};
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_grant::root::Root;

use super::arm::pam::{self, CommonFiles, Wiring};
use super::failure::{Exit, Failure, root_only};
use super::system;
use crate::clock::wall_clock;
use crate::courier::broker::{CallError, body, parse, refusal};
use crate::courier::renewal::new_key;
use crate::courier::store::{CourierConfig, transport_pem};
use crate::warden::paths::Paths;
use crate::warden::trust::{self, Trust};
use answer::Asked;
use install::Installation;

/// The largest answer, in bytes: many roots and certificates.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The longest token, in bytes.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The broker's URL.
    pub(crate) broker: String,
    /// Where the token is.
    pub(crate) token: TokenSource,
    /// Whether an enrolment that stands is replaced.
    pub(crate) again: bool,
    /// Whether the services are started.
    pub(crate) start: bool,
}

/// Where the token comes from.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// The command line. `-` is standard input.
    Word(String),
    /// A file.
    File(PathBuf),
}

/// Joins a fleet.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    root_only("enroll")?;
    let paths = Paths::system();
    let before = Before::look(&paths)?;
    if before.enrolled && !order.again {
        return Err(Failure::new(Exit::State, "this host is enrolled already")
            .next("to replace the enrolment, ask for a new token and add --again; `stintd status` shows what stands"));
    }
    let broker = broker_url(&order.broker)?;
    let token = read_token(&order.token)?;
    let ca = PinnedCa::from_hex(&token.ca_pin).map_err(Failure::failed)?;
    let root_pin = Sha256Hex::new(&token.root).map_err(Failure::failed)?;

    println!("Making this host's keys ...");
    let mut installation = Installation::begin(&paths, before.keeps_identity)?;
    let transport = new_key().map_err(|e| Failure::failed(format!("no transport key could be made: {e}")))?;
    let request = EnrollRequest {
        secret: token.secret,
        identity_key: data_encoding::BASE64.encode(PublicKey::of(installation.identity()).as_bytes()),
        transport_csr: transport.request.clone(),
        machine: before.machine.as_str().to_owned(),
        formats: Root::FORMAT,
    };
    let payload = serde_json::to_vec(&request).map_err(Failure::failed)?;
    let envelope = dsse::sign_bytes(ENROLL_PAYLOAD_TYPE, &payload, &[installation.identity()]);

    println!("Asking {broker}, which must show the CA {} ...", ca.pin());
    let enrolled = ask(&broker, &ca, envelope)?;
    let asked = Asked { ca_pin: &ca.pin(), root_pin: &root_pin, key: &transport.key, now: wall_clock() };
    let known = answer::check(&enrolled, &asked)?;
    println!("The fleet {} vouches for itself by the root that the token names.", known.fleet);

    // A warden that runs would write down again what is put aside.
    let stopped = Stopped::now(before.enrolled);
    installation.put_aside_damaged();
    let identity_key = PublicKey::of(installation.identity());
    installation.commit(
        &Trust {
            format: trust::FORMAT,
            fleet: known.fleet.clone(),
            host: known.host.clone(),
            root_pin,
            machine: before.machine.clone(),
        },
        &CourierConfig {
            broker: broker.as_str().trim_end_matches('/').to_owned(),
            fleet: known.fleet.clone(),
            host: known.host.clone(),
            machine: before.machine,
            identity_key,
        },
        &enrolled.ca,
        &transport_pem(&enrolled.certificate, &transport.key),
    )?;
    println!("This host is {} of the fleet {} now.", known.host, known.fleet);
    if order.start {
        stopped.forget();
        start_services()?;
    }
    if pam::wiring(&CommonFiles::read(&paths.pam)) == Wiring::None {
        println!("Nothing is gated yet. Look at `stintd status`, then arm it: `stintd arm --rollback 10m`.");
    } else {
        println!("PAM asks the gate as before. Look at `stintd status`.");
    }
    Ok(())
}

/// What there is before.
struct Before {
    enrolled: bool,
    /// The identity key stays with the machine, so that its journal goes on; a copied disk gets a new one.
    keeps_identity: bool,
    machine: Sha256Hex,
}

impl Before {
    fn look(paths: &Paths) -> Result<Self, Failure> {
        let machine = trust::machine().map_err(Failure::failed)?;
        let has_key = paths.identity_key().exists();
        let trust = trust::read(paths).ok();
        let keeps_identity = has_key && trust.as_ref().is_some_and(|old| old.machine == machine);
        Ok(Self { enrolled: has_key && trust.is_some(), keeps_identity, machine })
    }
}

/// Services that were stopped, and are started again however this ends.
struct Stopped(Vec<&'static str>);

const SERVICES: [&str; 5] = [
    "stint-courier.service",
    "stint-warden.service",
    "stint-warden-sudo.socket",
    "stint-warden-courier.socket",
    "stint-warden.socket",
];

impl Stopped {
    fn now(enrolled: bool) -> Self {
        if !enrolled || !system::systemd_runs() {
            return Self(Vec::new());
        }
        let running: Vec<_> =
            SERVICES.into_iter().filter(|unit| system::unit_state(unit) == "active").collect();
        // The sockets too: a login would start the warden again.
        if let Err(failure) = system::must("systemctl", &[&["stop"], &running[..]].concat()) {
            eprintln!("stintd: {failure}");
        }
        Self(running)
    }
    /// They are started otherwise.
    fn forget(mut self) {
        self.0.clear();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let units: Vec<_> = self.0.iter().rev().copied().collect();
        if let Err(failure) = system::must("systemctl", &[&["start"], &units[..]].concat()) {
            eprintln!("stintd: {failure}");
        }
    }
}

fn broker_url(text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| {
        Failure::new(Exit::Failed, format!("{text:?} is not the URL of a broker: {why}"))
            .next("write it as https://NAME or https://NAME:PORT")
    };
    let url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if url.scheme() != "https" {
        return Err(wrong("it must begin with https://"));
    }
    let bare = url.username().is_empty() && url.password().is_none();
    if !bare || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("there must be nothing but a name and a port"));
    }
    Ok(url)
}

fn read_token(source: &TokenSource) -> Result<JoinToken, Failure> {
    let mut text = String::new();
    let read = match source {
        TokenSource::Word(word) if word != "-" => {
            word.clone_into(&mut text);
            Ok(0)
        }
        TokenSource::Word(_) => std::io::stdin().take(MAX_TOKEN_BYTES).read_to_string(&mut text),
        TokenSource::File(path) => read_file(path, &mut text),
    };
    read.map_err(|e| Failure::failed(format!("the token cannot be read: {e}")))?;
    JoinToken::parse(&text).map_err(Failure::failed)
}

fn read_file(path: &Path, text: &mut String) -> std::io::Result<usize> {
    std::fs::File::open(path)?.take(MAX_TOKEN_BYTES).read_to_string(text)
}

fn ask(broker: &Url, ca: &PinnedCa, envelope: Vec<u8>) -> Result<Enrolled, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("no runtime for the network: {e}")))?;
    let client = tls::client(ca).map_err(Failure::failed)?;
    let url = broker.join("/v1/host/enroll").map_err(Failure::failed)?;
    let call = async {
        let answer = client
            .post(url)
            .header("content-type", "application/json")
            .timeout(std::time::Duration::from_mins(1))
            .body(envelope)
            .send()
            .await?;
        parse(&body(refusal(answer).await?, MAX_ANSWER_BYTES).await?)
    };
    runtime.block_on(call).map_err(|error: CallError| {
        let next = match &error {
            CallError::Refused { .. } => "a token holds once and for a short time: ask for a new one",
            CallError::NoAnswer(_) => {
                "check the URL, the network, and that the token is of this broker; the token was not used"
            }
            CallError::BadAnswer(_) => {
                "broker and host may be of different versions: ask for a new token and try again"
            }
        };
        Failure::new(Exit::Broker, format!("{broker}: {error}; nothing was stored")).next(next)
    })
}

/// The sockets first: their condition (a key) did not hold before.
fn start_services() -> Result<(), Failure> {
    if !system::systemd_runs() {
        println!("systemd does not run here: start stint-warden and stint-courier yourself.");
        return Ok(());
    }
    println!("Starting the warden and the courier ...");
    let sockets = ["stint-warden.socket", "stint-warden-courier.socket", "stint-warden-sudo.socket"];
    system::must("systemctl", &[&["start"], &sockets[..]].concat())
        .and_then(|_| {
            system::must("systemctl", &["restart", "stint-warden.service", "stint-courier.service"])
        })
        .map(|_| ())
        .map_err(|failure| {
            failure
                .next("the host is enrolled all the same: see `journalctl -u stint-warden -u stint-courier`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_https_and_nothing_else() {
        for good in [
            "https://broker.example",
            "https://broker.example:8443/",
            "https://127.0.0.1:1",
            "https://[::1]:9",
        ] {
            assert!(broker_url(good).is_ok(), "{good}");
        }
        for bad in [
            "broker.example",
            "http://broker.example",
            "https://user@broker.example",
            "https://broker.example/v1",
            "https://broker.example/?x",
            "https://broker.example/#x",
            "https://",
            "",
        ] {
            assert!(broker_url(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn a_token_is_read_from_the_command_line_and_from_a_file() {
        let token = JoinToken { secret: "s".into(), ca_pin: "00".repeat(32), root: "11".repeat(32) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{}\n", token.to_text())).unwrap();
        assert!(read_token(&TokenSource::Word(token.to_text())).unwrap() == token);
        assert!(read_token(&TokenSource::File(path)).unwrap() == token);
        assert!(read_token(&TokenSource::Word("stint".into())).is_err());
        assert!(read_token(&TokenSource::File(folder.path().join("none"))).is_err());
    }
}
