//! The client against a small HTTPS server that says what the test wants, and keeps what it was asked.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pin(ca: &Ca) -> PinnedCa {
    PinnedCa::from_hex(&tls::pin_of_pem(&ca.pem()).unwrap()).unwrap()
}

fn acceptor(ca: &Ca) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), ca.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Answers one call with `answer`; the task gives the text of the call.
async fn serve(ca: &Ca, answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let acceptor = acceptor(ca);
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return String::new() };
        let mut call = Vec::new();
        while !is_whole(&call) {
            let mut part = [0; 4096];
            let n = stream.read(&mut part).await.unwrap();
            assert!(n > 0, "the call ended early");
            call.extend_from_slice(&part[..n]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        // The client may be gone already.
        let _ = stream.shutdown().await;
        String::from_utf8(call).unwrap()
    });
    (url, task)
}

fn is_whole(call: &[u8]) -> bool {
    let text = String::from_utf8_lossy(call);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned));
    body.len() >= length.map_or(0, |l| l.parse().unwrap())
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_call_carries_the_token_the_query_and_the_path_in_one_piece() {
    let ca = ca();
    let (url, server) = serve(&ca, answer("200 OK", "[]")).await;
    let client = Client::new(&url, &pin(&ca)).unwrap().with_token("abc");
    let filter = Filter { state: Some("active".into()), all: true };
    assert!(client.grants(&filter).await.unwrap().is_empty());
    let call = server.await.unwrap();
    assert!(call.starts_with("GET /v1/grants?state=active&all=true HTTP/1.1\r\n"), "{call}");
    assert!(call.contains("authorization: Bearer abc\r\n"), "{call}");
}

#[tokio::test]
async fn a_name_from_outside_stays_one_part_of_the_path() {
    let ca = ca();
    let (url, server) =
        serve(&ca, answer("404 Not Found", r#"{"code":"not-found","message":"no","next":null}"#)).await;
    let error = Client::new(&url, &pin(&ca)).unwrap().host("../users?x#y").await.unwrap_err();
    assert_eq!(error.code(), Some("not-found"));
    let call = server.await.unwrap();
    assert!(call.starts_with("GET /v1/hosts/..%2Fusers%3Fx%23y HTTP/1.1\r\n"), "{call}");
}

#[tokio::test]
async fn a_change_is_sent_as_json_and_a_204_is_an_answer() {
    let ca = ca();
    let (url, server) = serve(&ca, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".into()).await;
    let change = ChangePassword { old: "a".into(), new: "b".into() };
    Client::new(&url, &pin(&ca)).unwrap().change_password(&change).await.unwrap();
    let call = server.await.unwrap();
    assert!(call.starts_with("POST /v1/me/password HTTP/1.1\r\n"), "{call}");
    assert!(call.ends_with(r#"{"old":"a","new":"b"}"#), "{call}");
}

#[tokio::test]
async fn another_server_than_the_pinned_one_gets_no_password() {
    let (ours, theirs) = (ca(), ca());
    let (url, server) = serve(&theirs, answer("200 OK", "{}")).await;
    let who = SignIn { user: "alice".into(), password: "secret".into(), totp: "123456".into() };
    let error = Client::new(&url, &pin(&ours)).unwrap().sign_in(&who).await.err().unwrap();
    assert!(matches!(error, ClientError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("does not hold the pinned CA"), "{error}");
    assert_eq!(server.await.unwrap(), "");
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_else_there() {
    // The port is taken, so nobody else's test gets it, and nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://{}", taken.local_addr().unwrap());
    let error = Client::new(&url, &pin(&ca())).unwrap().me().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let ca = ca();
    let answer = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, _server) = serve(&ca, answer.into()).await;
    let error = Client::new(&url, &pin(&ca)).unwrap().with_token("abc").me().await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
}

#[test]
fn only_a_plain_https_url_is_a_brokers() {
    let pin = pin(&ca());
    for bad in ["http://b", "b", "https://", "https://u:p@b", "https://b/path", "https://b/?q=1", "ftp://b"] {
        assert!(matches!(Client::new(bad, &pin), Err(ClientError::BadUrl(_))), "{bad}");
    }
    assert_eq!(Client::new("https://b:7443/", &pin).unwrap().broker(), "https://b:7443");
}

#[test]
fn a_refusal_keeps_the_brokers_code_and_next_step() {
    let body = br#"{"code":"not-found","message":"no request 7f3a","next":"stint request ls"}"#;
    let error = refusal("GET /v1/requests/7f3a", StatusCode::NOT_FOUND, body);
    assert_eq!(error.code(), Some("not-found"));
    assert_eq!(error.to_string(), "no request 7f3a");
}

#[test]
fn a_proxys_page_is_not_taken_for_the_brokers_word() {
    let error = refusal("GET /v1/me", StatusCode::BAD_GATEWAY, b"<html>502</html>");
    assert_eq!(
        error.to_string(),
        "the broker's answer to GET /v1/me cannot be read (HTTP status 502 Bad Gateway without a cause): are both of the same version?"
    );
}
