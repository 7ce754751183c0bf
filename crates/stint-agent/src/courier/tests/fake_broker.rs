//! A broker for tests: real TLS with client certificates, HTTP/1.1 written by hand, and a test that decides each answer.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A request that waits for its answer.
pub(super) struct Request {
    pub(super) call: String,
    pub(super) body: String,
    /// What the host showed when it connected (DER).
    pub(super) certificate: Vec<u8>,
    answer: mpsc::UnboundedSender<Answer>,
}

enum Answer {
    Whole(u16, String),
    Stream(mpsc::UnboundedReceiver<String>),
}

impl Request {
    pub(super) fn answer(self, status: u16, body: &str) {
        let _ = self.answer.send(Answer::Whole(status, body.to_owned()));
    }
    /// Answers with a stream. It ends when the sender is dropped.
    pub(super) fn stream(self) -> mpsc::UnboundedSender<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = self.answer.send(Answer::Stream(receiver));
        sender
    }
}

pub(super) struct FakeBroker {
    pub(super) url: String,
    pub(super) ca: CertifiedIssuer<'static, KeyPair>,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl FakeBroker {
    pub(super) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();

        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = stint_api::tls::provider();
        let clients =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), sender));
        Self { url, ca, requests }
    }

    /// The next request; all others fail the test.
    pub(super) async fn next(&mut self) -> Request {
        tokio::time::timeout(Duration::from_mins(2), self.requests.recv()).await.expect("a request").unwrap()
    }
    /// The next request for this call. Those before it are answered as a broker without news would.
    pub(super) async fn next_for(&mut self, call: &str) -> Request {
        loop {
            let request = self.next().await;
            if request.call == call {
                return request;
            }
            request.answer(503, "{\"code\":\"unavailable\",\"message\":\"not now\",\"next\":null}");
        }
    }

    /// A certificate for a host's request, as old as it is told.
    pub(super) fn certificate(&self, request: &str, begun: Duration, life: Duration) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let from = std::time::SystemTime::now() - begun;
        request.params.not_before = from.into();
        request.params.not_after = (from + life).into();
        request.signed_by(&self.ca).unwrap().pem()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, requests: mpsc::UnboundedSender<Request>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, requests) = (tls.clone(), requests.clone());
        tokio::spawn(async move {
            // A client that is refused sees why; the test asks it.
            if let Ok(stream) = tls.accept(stream).await {
                let _ = serve(stream, requests).await;
            }
        });
    }
}

async fn serve(
    stream: TlsStream<tokio::net::TcpStream>,
    requests: mpsc::UnboundedSender<Request>,
) -> std::io::Result<()> {
    let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
    let certificate = shown.map(|shown| shown.to_vec()).unwrap_or_default();
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (answer, mut answers) = mpsc::unbounded_channel();
        let call = first.rsplit_once(' ').unwrap().0.to_owned();
        let (body, certificate) = (String::from_utf8(body).unwrap(), certificate.clone());
        let _ = requests.send(Request { call, body, certificate, answer });
        match answers.recv().await {
            None => return Ok(()),
            Some(Answer::Whole(status, body)) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(head.as_bytes()).await?;
                stream.flush().await?;
            }
            Some(Answer::Stream(mut pieces)) => {
                stream
                    .write_all(
                        b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
                    )
                    .await?;
                stream.flush().await?;
                while let Some(piece) = pieces.recv().await {
                    stream.write_all(piece.as_bytes()).await?;
                    stream.flush().await?;
                }
                return stream.shutdown().await;
            }
        }
    }
}
