//! The broker's own certificate authority: its server certificate, and one for each host.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use sha2::Digest;
use stint_grant::time::Seconds;
use zeroize::Zeroizing;

const DAY: i64 = 24 * 3600;
/// How long the CA holds.
const CA_LIFE: i64 = 3650 * DAY;
/// How long the server's certificate holds. Made anew at each start, and each month.
const SERVER_LIFE: i64 = 397 * DAY;
/// Clocks differ. But a life that is short is not made much longer by it: its owner would renew it at once, again and again.
const BACKDATED: i64 = 10 * 60;

/// What is wrong with the CA or a signing request.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The CA's files.
    #[error("the CA's certificate or key is not usable ({0}): restore `tls` from the backup")]
    Ca(String),
    /// A name for the certificate.
    #[error("{0:?} is neither a DNS name nor an address")]
    Name(String),
    /// What a host sent.
    #[error("the certificate signing request is not usable: {0}")]
    Request(String),
}

/// The certificate authority.
#[derive(Debug)]
pub struct Ca {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate, its hash and its end.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub pem: String,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
    /// Its end (unix seconds).
    pub not_after: i64,
}

/// The server's chain (with the CA, which clients pin) and key.
pub type ServerIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn params(now: i64, life: i64) -> CertificateParams {
    let at = |secs: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs.max(0).unsigned_abs());
    let mut params = CertificateParams::default();
    params.not_before = at(now - BACKDATED.min(life / 10));
    params.not_after = at(now + life);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// SHA-256 of a certificate, hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(der))
}

/// Makes a CA: certificate and key as PEM.
pub fn create(fleet: &str, now: i64) -> Result<(String, Zeroizing<String>), CaError> {
    let fault = |e: rcgen::Error| CaError::Ca(e.to_string());
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = params(now, CA_LIFE);
    params.distinguished_name.push(DnType::CommonName, format!("stint {fleet}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

impl Ca {
    /// From certificate and key as PEM.
    pub fn load(certificate: &str, key: &str) -> Result<Self, CaError> {
        let fault = |e: rcgen::Error| CaError::Ca(e.to_string());
        let key = KeyPair::from_pem(key).map_err(fault)?;
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| CaError::Ca(e.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(fault)?;
        Ok(Self { pem: certificate.to_owned(), der, issuer })
    }
    /// Its certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
    /// Its certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
    /// What clients pin.
    pub fn pin(&self) -> String {
        fingerprint(&self.der)
    }

    /// A server certificate for some names, with a key of its own.
    pub fn server(&self, names: &[String], now: i64) -> Result<ServerIdentity, CaError> {
        let fault = |e: rcgen::Error| CaError::Ca(e.to_string());
        let mut params = params(now, SERVER_LIFE);
        for name in names {
            if ServerName::try_from(name.as_str()).is_err() {
                return Err(CaError::Name(name.clone()));
            }
            let one = CertificateParams::new(vec![name.clone()]).map_err(|_| CaError::Name(name.clone()))?;
            params.subject_alt_names.extend(one.subject_alt_names);
        }
        params.distinguished_name.push(DnType::CommonName, "stint-broker");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(fault)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(fault)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate.der().clone(), self.der.clone()], key))
    }

    /// A client certificate for a host. Of the request only the key is taken, once its signature shows that the host holds it.
    pub fn host(&self, host: &str, request: &str, now: i64, life: Seconds) -> Result<Issued, CaError> {
        let fault = |e: rcgen::Error| CaError::Request(e.to_string());
        let request = CertificateSigningRequestParams::from_pem(request).map_err(fault)?;
        let life = i64::try_from(life.0).map_err(|e| CaError::Request(e.to_string()))?;
        let mut params = params(now, life);
        let name = CertificateParams::new(vec![host.to_owned()]).map_err(fault)?;
        params.subject_alt_names = name.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(fault)?;
        Ok(Issued { pem: certificate.pem(), sha256: fingerprint(certificate.der()), not_after: now + life })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_444_800;
    const LIFE: Seconds = Seconds(7 * 24 * 3600);

    fn ca() -> Ca {
        let (certificate, key) = create("test", NOW).unwrap();
        Ca::load(&certificate, &key).unwrap()
    }

    fn request(key: &KeyPair) -> String {
        CertificateParams::new(vec!["root.evil".to_owned()])
            .unwrap()
            .serialize_request(key)
            .unwrap()
            .pem()
            .unwrap()
    }

    #[test]
    fn a_host_gets_its_own_name_whatever_it_asked_for() {
        let issued = ca().host("web-01", &request(&KeyPair::generate().unwrap()), NOW, LIFE).unwrap();
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=web-01");
        assert!(!issued.pem.contains("evil"));
        assert!(!parsed.is_ca());
        assert_eq!(parsed.validity().not_after.timestamp(), issued.not_after);
    }

    #[test]
    fn a_short_certificate_has_most_of_its_life_before_it() {
        for life in [30, 3600, 7 * DAY] {
            let request = request(&KeyPair::generate().unwrap());
            let issued = ca().host("web-01", &request, NOW, Seconds(life.unsigned_abs())).unwrap();
            let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
            assert_eq!(parsed.validity().not_after.timestamp(), NOW + life);
            let past = NOW - parsed.validity().not_before.timestamp();
            assert!(past <= BACKDATED && past * 10 <= life, "{past} of {life}");
        }
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let good = request(&KeyPair::generate().unwrap());
        let mut der =
            rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        let body = data_encoding::BASE64.encode(&der);
        let bad = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
        assert!(matches!(ca().host("web-01", &bad, NOW, LIFE), Err(CaError::Request(_))));
        assert!(matches!(ca().host("web-01", "no PEM", NOW, LIFE), Err(CaError::Request(_))));
    }
}
