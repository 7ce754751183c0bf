//! Pinned trust: the broker's own CA, known by the SHA-256 of its certificate, and no other authority in the world.
//!
//! ```no_run
//! # fn main() -> Result<(), stint_api::tls::TlsError> {
//! use stint_api::tls::{self, PinnedCa};
//! // On first contact only the hash is known: the server sends its CA along, and it must have this hash.
//! let ca = PinnedCa::from_hex("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")?;
//! let client = tls::client(&ca)?;
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// How long a connection may take to open, its TLS handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle connection is probed, by TCP, and by HTTP/2 where a person waits.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The longest chain that a server may send.
const MAX_CHAIN: usize = 4;

/// What went wrong with keys or certificates, before any connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The pin is not a hash.
    #[error("the CA's pin is not a SHA-256 in hexadecimal: copy it again from where the broker printed it")]
    BadPin,
    /// A PEM file does not hold what it should.
    #[error("no {what} in the PEM text: {cause}")]
    BadPem {
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        cause: String,
    },
    /// The key and the certificate cannot be used.
    #[error("the client's certificate and key cannot be used: {0}")]
    BadIdentity(#[source] rustls::Error),
    /// The TLS settings contradict each other.
    #[error("TLS could not be set up: {0}")]
    Setup(#[source] rustls::Error),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[source] reqwest::Error),
}

/// Why a server was not believed. Found inside the error of a failed connection; see [`describe`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server's certificate chain does not hold the pinned CA {pinned}: this is not the broker that was meant, \
     or somebody stands between"
)]
struct NotPinned {
    pinned: String,
}

/// The cryptography: aws-lc-rs, given explicitly, so that no process-wide default is needed.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The broker's CA, known by its hash.
///
/// As a [`ServerCertVerifier`] it takes a server if its chain holds a certificate with this hash, and the leaf verifies
/// under that CA for the server's name and the time. Once the CA itself is known, the server need not send it.
///
/// A clock that is behind the leaf's beginning is wrong: the pinned CA says that it is later. That beginning is taken for now then, so that a
/// host whose clock lost its time still hears its broker, and from it the time. The end of a certificate holds as ever.
#[derive(Clone, Debug)]
pub struct PinnedCa {
    sha256: [u8; 32],
    known: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl PinnedCa {
    /// By the SHA-256 of the CA certificate's DER.
    pub fn new(sha256: [u8; 32]) -> Self {
        Self { sha256, known: None, provider: provider() }
    }
    /// By that hash in hexadecimal, as a join token carries it.
    pub fn from_hex(pin: &str) -> Result<Self, TlsError> {
        let bytes =
            data_encoding::HEXLOWER_PERMISSIVE.decode(pin.as_bytes()).map_err(|_| TlsError::BadPin)?;
        Ok(Self::new(bytes.try_into().map_err(|_| TlsError::BadPin)?))
    }
    /// By the CA itself, as it was stored at enrolment.
    pub fn from_ca_pem(pem: &str) -> Result<Self, TlsError> {
        let der = certificates(pem, "CA certificate")?.swap_remove(0);
        Ok(Self { sha256: sha256(&der), known: Some(der), provider: provider() })
    }
    /// The hash in hexadecimal.
    pub fn pin(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.sha256)
    }

    /// The pinned CA: the one that is known, or the last certificate of the chain if it has the hash.
    fn find<'a>(&'a self, chain: &'a [CertificateDer<'_>]) -> Result<&'a [u8], rustls::Error> {
        if let Some(known) = &self.known {
            return Ok(known);
        }
        match chain.last() {
            Some(last) if chain.len() <= MAX_CHAIN && sha256(last) == self.sha256 => Ok(last),
            _ => {
                let cause = NotPinned { pinned: self.pin() };
                Err(CertificateError::Other(OtherError(Arc::new(cause))).into())
            }
        }
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ca = CertificateDer::from(self.find(intermediates)?.to_vec());
        let mut roots = RootCertStore::empty();
        roots.add(ca)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        let begin = beginning(end_entity).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().max(begin)));
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that trusts the pinned CA alone and has no certificate of its own: for people's tools, and for enrolment.
pub fn client(ca: &PinnedCa) -> Result<reqwest::Client, TlsError> {
    let builder = http_client(client_config(ca)?);
    let builder = builder.http2_keep_alive_interval(KEEP_ALIVE).http2_keep_alive_timeout(KEEP_ALIVE);
    builder.http2_keep_alive_while_idle(true).build().map_err(TlsError::Client)
}

/// A client that trusts the pinned CA alone and shows a certificate: for the courier.
///
/// It wakes nobody by itself: the courier gives up a stream that is silent, and each call has its own limit. The kernel probes the
/// connection.
pub fn client_with_certificate(
    ca: &PinnedCa,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<reqwest::Client, TlsError> {
    let builder = http_client(client_config_with_certificate(ca, certificate_pem, key_pem)?);
    builder.pool_idle_timeout(None).build().map_err(TlsError::Client)
}

/// The TLS settings behind [`client`].
pub fn client_config(ca: &PinnedCa) -> Result<ClientConfig, TlsError> {
    Ok(with_verifier(ca)?.with_no_client_auth())
}

/// The TLS settings behind [`client_with_certificate`].
pub fn client_config_with_certificate(
    ca: &PinnedCa,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<ClientConfig, TlsError> {
    let chain = certificates(certificate_pem, "client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|e| TlsError::BadPem { what: "private key", cause: e.to_string() })?;
    with_verifier(ca)?.with_client_auth_cert(chain, key).map_err(TlsError::BadIdentity)
}

type WantsClientCert = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn with_verifier(ca: &PinnedCa) -> Result<WantsClientCert, TlsError> {
    // Both ends are ours: nothing older than TLS 1.3 is spoken.
    let builder = ClientConfig::builder_with_provider(ca.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(ca.clone())))
}

/// HTTP/2 where the server has it, no proxy, no redirect, no overall time limit: a stream may last for days, so each
/// call sets its own.
fn http_client(mut config: ClientConfig) -> reqwest::ClientBuilder {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("stint/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE)
}

/// The SHA-256 by which a CA is pinned, in hexadecimal, from its PEM.
pub fn pin_of_pem(pem: &str) -> Result<String, TlsError> {
    Ok(PinnedCa::from_ca_pem(pem)?.pin())
}

/// When a certificate begins and ends (unix seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it begins.
    pub not_before: i64,
    /// When it ends.
    pub not_after: i64,
}

/// When the first certificate of a PEM text begins and ends.
pub fn validity_of_pem(pem: &str) -> Result<Validity, TlsError> {
    let der = certificates(pem, "certificate")?.swap_remove(0);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der)
        .map_err(|e| TlsError::BadPem { what: "certificate", cause: e.to_string() })?;
    let validity = certificate.validity();
    Ok(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// Unix seconds.
fn beginning(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(certificate.validity().not_before.timestamp()).ok()
}

/// All that an error says about its causes, in one line: the cause of a refused connection lies deep.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = words(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = words(cause);
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// One error's own words. A cause that the verifier gave is shown as its words, not as its type.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = inner.map_or_else(|| error.downcast_ref(), |inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause)))) => {
            cause.to_string()
        }
        _ => error.to_string(),
    }
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |cause: String| TlsError::BadPem { what, cause };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    if found.is_empty() { Err(bad("there is no certificate".to_owned())) } else { Ok(found) }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
