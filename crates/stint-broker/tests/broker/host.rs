//! A host for tests: keys of its own, and it believes nothing that does not verify from the pinned root.

use std::net::SocketAddr;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use futures_util::StreamExt;
use stint_api::ApiError;
use stint_api::audit::{ShipRecords, SignedMark};
use stint_api::hosts::{
    ACK_PAYLOAD_TYPE, Acknowledgement, ENROLL_PAYLOAD_TYPE, EnrollRequest, Enrolled, HostUpdate,
    RefusedOnHost,
};
use stint_api::recordings::RecordingHeld;
use stint_api::tls;
use stint_api::token::JoinToken;
use stint_grant::bundle::{self, Head, HostIdentity, VerifiedShard};
use stint_grant::dsse::{self, Verified};
use stint_grant::ids::Sha256Hex;
use stint_grant::keys::PublicKey;
use stint_grant::mark::{self, JournalMark, RecordingMark};
use stint_grant::root;

use crate::fleet::Fleet;

const BOUND: Duration = Duration::from_mins(2);

pub(crate) struct TestHost {
    pub(crate) name: String,
    pub(crate) identity: SigningKey,
    pub(crate) http: reqwest::Client,
    url: String,
    pin: Sha256Hex,
    /// CA, certificate and key, as its disk has them.
    tls: [String; 3],
}

/// What a host knows after it verified an update.
pub(crate) struct Known {
    pub(crate) head: Verified<Head>,
    pub(crate) shards: Vec<VerifiedShard>,
}

pub(crate) fn enroll_body(secret: &str, identity: &SigningKey, csr: &str, machine: u8) -> Vec<u8> {
    let request = EnrollRequest {
        secret: secret.to_owned(),
        identity_key: data_encoding::BASE64.encode(identity.verifying_key().as_bytes()),
        transport_csr: csr.to_owned(),
        machine: Sha256Hex::of(&[machine]).to_string(),
        formats: 1,
    };
    dsse::sign_bytes(ENROLL_PAYLOAD_TYPE, &serde_json::to_vec(&request).unwrap(), &[identity])
}

pub(crate) fn csr(key: &rcgen::KeyPair) -> String {
    rcgen::CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

pub(crate) async fn answer<T: serde::de::DeserializeOwned>(
    response: reqwest::Response,
) -> Result<T, ApiError> {
    let ok = response.status().is_success();
    let bytes = response.bytes().await.unwrap();
    if ok {
        let text = if bytes.is_empty() { &b"null"[..] } else { &bytes };
        Ok(serde_json::from_slice(text).unwrap())
    } else {
        Err(serde_json::from_slice(&bytes).unwrap())
    }
}

impl TestHost {
    pub(crate) async fn enroll(fleet: &Fleet, token: &str) -> Result<Self, ApiError> {
        let seed = *stint_broker::random::bytes::<32>();
        Self::enroll_as(fleet, token, SigningKey::from_bytes(&seed), seed[0]).await
    }

    pub(crate) async fn enroll_as(
        fleet: &Fleet,
        token: &str,
        identity: SigningKey,
        machine: u8,
    ) -> Result<Self, ApiError> {
        let token = JoinToken::parse(token).unwrap();
        assert_eq!(token.ca_pin, fleet.data.made.ca_pin);
        let key = rcgen::KeyPair::generate().unwrap();
        let body = enroll_body(&token.secret, &identity, &csr(&key), machine);
        let http = tls::client(&fleet.pinned()).unwrap();
        let response = http.post(fleet.url("/v1/host/enroll")).body(body).send().await.unwrap();
        let enrolled: Enrolled = answer(response).await?;
        let pin = Sha256Hex::new(token.root).unwrap();
        root::open_pinned(enrolled.roots[0].as_bytes(), &pin).unwrap();
        let ca = tls::PinnedCa::from_ca_pem(&enrolled.ca).unwrap();
        let tls = [enrolled.ca, enrolled.certificate, key.serialize_pem()];
        let http = tls::client_with_certificate(&ca, &tls[1], &tls[2]).unwrap();
        Ok(Self { name: enrolled.host, identity, http, url: fleet.url(""), pin, tls })
    }

    /// Another machine with a copy of this one's disk, or the same one over a new connection, by way of `address`.
    pub(crate) fn twin(&self, address: SocketAddr) -> Self {
        let ca = tls::PinnedCa::from_ca_pem(&self.tls[0]).unwrap();
        let http = tls::client_with_certificate(&ca, &self.tls[1], &self.tls[2]).unwrap();
        let (name, identity, url) = (self.name.clone(), self.identity.clone(), format!("https://{address}"));
        Self { name, identity, http, url, pin: self.pin.clone(), tls: self.tls.clone() }
    }

    /// The same host after the broker moved to another port.
    pub(crate) fn at(mut self, fleet: &Fleet) -> Self {
        self.url = fleet.url("");
        self
    }

    pub(crate) fn me(&self) -> HostIdentity {
        HostIdentity { host: self.name.parse().unwrap(), key: PublicKey::of(&self.identity) }
    }

    pub(crate) async fn update(&self) -> HostUpdate {
        let response = self.http.get(format!("{}/v1/host/update", self.url)).send().await.unwrap();
        answer(response).await.unwrap()
    }

    /// Everything from the pinned root on: roots, head, all shards, pulse.
    pub(crate) fn verify(&self, update: &HostUpdate) -> Known {
        let mut trusted = root::open_pinned(update.roots[0].as_bytes(), &self.pin).unwrap();
        for next in &update.roots[1..] {
            trusted = root::rotate(&trusted, next.as_bytes()).unwrap();
        }
        let now = trusted.issued_at;
        let head = bundle::open_head(update.head.as_bytes(), &trusted, &self.me(), None, now).unwrap();
        let shards: Vec<Vec<u8>> = update.shards.iter().map(|s| s.clone().into_bytes()).collect();
        let shards = bundle::open_all_shards(&head, &shards).unwrap();
        bundle::open_pulse(update.pulse.as_bytes(), &trusted, &head).unwrap();
        Known { head, shards }
    }

    pub(crate) async fn ack(&self, known: &Known, refused: &[(&str, &str)]) -> Result<(), ApiError> {
        self.ack_with(known, refused, &self.identity).await
    }

    pub(crate) async fn ack_with(
        &self,
        known: &Known,
        refused: &[(&str, &str)],
        key: &SigningKey,
    ) -> Result<(), ApiError> {
        self.ack_in(known, refused, key, "enforce", known.head.issued_at.0).await
    }

    /// As the host says it in a mode, at a time of its own.
    pub(crate) async fn ack_in(
        &self,
        known: &Known,
        refused: &[(&str, &str)],
        key: &SigningKey,
        mode: &str,
        at: i64,
    ) -> Result<(), ApiError> {
        let refused = refused
            .iter()
            .map(|(grant, cause)| RefusedOnHost { grant: (*grant).to_owned(), cause: (*cause).to_owned() })
            .collect();
        let ack = Acknowledgement {
            host: self.name.clone(),
            epoch: known.head.epoch,
            version: known.head.version,
            head: known.head.digest().to_string(),
            refused,
            mode: mode.to_owned(),
            at,
        };
        let body = dsse::sign_bytes(ACK_PAYLOAD_TYPE, &serde_json::to_vec(&ack).unwrap(), &[key]);
        answer(self.http.post(format!("{}/v1/host/ack", self.url)).body(body).send().await.unwrap()).await
    }

    pub(crate) async fn ship(
        &self,
        records: &[Vec<u8>],
        checkpoint: Option<String>,
    ) -> Result<JournalMark, ApiError> {
        let records = records.iter().map(|r| String::from_utf8(r.clone()).unwrap()).collect();
        let shipment = ShipRecords { records, checkpoint };
        let call = self.http.post(format!("{}/v1/host/audit", self.url)).json(&shipment);
        let signed: SignedMark = answer(call.send().await.unwrap()).await?;
        Ok(self.open_mark(&signed).await)
    }

    /// What the broker says it holds.
    pub(crate) async fn mark(&self) -> JournalMark {
        let call = self.http.get(format!("{}/v1/host/audit", self.url));
        let signed: SignedMark = answer(call.send().await.unwrap()).await.unwrap();
        self.open_mark(&signed).await
    }

    /// As the host's warden verifies it: by the newest root from the pinned one on.
    async fn open_mark(&self, signed: &SignedMark) -> JournalMark {
        let roots = self.update().await.roots;
        let mut trusted = root::open_pinned(roots[0].as_bytes(), &self.pin).unwrap();
        for next in &roots[1..] {
            trusted = root::rotate(&trusted, next.as_bytes()).unwrap();
        }
        mark::open(signed.envelope.as_bytes(), &trusted, &self.me()).unwrap().into_inner()
    }

    /// Sends a part of a recording; an empty one asks.
    pub(crate) async fn record(&self, run: &str, at: u64, part: &[u8]) -> Result<RecordingHeld, ApiError> {
        let url = format!("{}/v1/host/recordings/{run}?at={at}", self.url);
        answer(self.http.put(url).body(part.to_vec()).send().await.unwrap()).await
    }

    /// What the broker says by its signature that it holds, as the host's warden verifies it.
    pub(crate) async fn open_recording_mark(&self, envelope: &str) -> RecordingMark {
        let root = root::open_pinned(self.update().await.roots[0].as_bytes(), &self.pin).unwrap();
        mark::open_recording(envelope.as_bytes(), &root, &self.me()).unwrap().into_inner()
    }

    pub(crate) async fn stream(&self) -> Events {
        let response = self.http.get(format!("{}/v1/host/stream", self.url)).send().await.unwrap();
        assert!(response.status().is_success());
        let chunks = response.bytes_stream().map(|chunk| chunk.map_or_else(|_| Vec::new(), |c| c.to_vec()));
        Events {
            chunks: chunks.take_while(|c| std::future::ready(!c.is_empty())).boxed(),
            buffer: String::new(),
        }
    }
}

type Chunks = futures_util::stream::BoxStream<'static, Vec<u8>>;

/// Server-sent events.
pub(crate) struct Events {
    chunks: Chunks,
    buffer: String,
}

impl Events {
    /// The next event and its data; `None` when the stream ends.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|l| l.strip_prefix(name)).map(str::trim_start);
                    lines.collect::<Vec<_>>().join("\n")
                };
                let found = (field("event:"), field("data:"));
                let rest = rest.to_owned();
                self.buffer = rest;
                return Some(found);
            }
            let chunk = tokio::time::timeout(BOUND, self.chunks.next()).await.expect("an event in time")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next update, pulses skipped.
    pub(crate) async fn update(&mut self) -> HostUpdate {
        loop {
            let (event, data) = self.next().await.expect("the stream goes on");
            if event == "update" {
                return serde_json::from_str(&data).unwrap();
            }
        }
    }
}
