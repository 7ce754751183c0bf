//! One conversation with sudo.

use std::io;
use std::time::{Duration, Instant};

use stint_sudolog::conversation::{Conversation, Exit, Heard, Unexpected, without_environments};
use stint_sudolog::frame::{self, FrameError, HEADER_BYTES};
use stint_sudolog::message::{ClientKind, ClientMessage, ServerHello, ServerKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::peer::Peer;
use super::recordings::{RecordingError, Recordings, Writing};
use super::told::{Attribution, Told, What};
use crate::warden::clients::Message;

/// How long sudo may take to say what it is there for, and for the rest of a message that has begun.
const BOUND: Duration = Duration::from_secs(10);
/// How often what was recorded is made durable while a command runs.
const SYNC_EVERY: Duration = Duration::from_secs(10);
/// A message up to this is read at once: another thread would take longer to start.
const READ_AT_ONCE: usize = 64 * 1024;

/// Why a conversation ends before its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Connection(#[from] io::Error),
    #[error("sudo took too long")]
    Slow,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Unexpected(#[from] Unexpected),
    #[error("this host cannot record what is done on it")]
    NotRecorded,
    #[error("what the command prints cannot be recorded: {0}")]
    Recording(#[from] RecordingError),
}

/// One command, from its greeting to its end.
struct Run<'a> {
    stream: TcpStream,
    peer: Peer,
    name: String,
    of: Option<Attribution>,
    accepted: Option<Instant>,
    exit: Option<Exit>,
    writing: Option<Writing>,
    synced: Instant,
    conversation: Conversation,
    recordings: &'a Recordings,
    to: &'a mpsc::Sender<Message>,
}

/// Holds a conversation to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: Peer,
    recordings: &Recordings,
    to: &mpsc::Sender<Message>,
) {
    // What sudo waits for is a few bytes.
    let _ = stream.set_nodelay(true);
    let mut run = Run {
        stream,
        peer,
        name: run_name(),
        of: None,
        accepted: None,
        exit: None,
        writing: None,
        synced: Instant::now(),
        conversation: Conversation::default(),
        recordings,
        to,
    };
    let outcome = run.converse().await;
    if let Err(broken) = &outcome {
        tracing::warn!(run = run.name, pid = peer.pid, "the record of a command ends: {broken}");
        run.break_off(broken).await;
    }
    run.close().await;
}

impl Run<'_> {
    async fn converse(&mut self) -> Result<(), Broken> {
        while let Some(body) = self.next().await? {
            let message = understand(&body).await?;
            // Kept as it came, after it was found to belong there.
            let piece = message.kind.clone().filter(|kind| matches!(kind, ClientKind::Accept(_)));
            match self.conversation.hear(message)? {
                Heard::Hello => {
                    let hello = ServerHello {
                        server_id: concat!("stint ", env!("CARGO_PKG_VERSION")).to_owned(),
                        subcommands: true,
                        ..ServerHello::default()
                    };
                    self.say(ServerKind::Hello(hello)).await?;
                }
                Heard::Accepted { what, sub, io } => {
                    self.accepted.get_or_insert_with(Instant::now);
                    let of = self.tell(What::Accepted { what, sub, io }).await?;
                    self.of.get_or_insert(of);
                    if let Some(ClientKind::Accept(accept)) = piece.filter(|_| io) {
                        self.writing = Some(self.recordings.begin(&self.name)?);
                        let kind = Some(ClientKind::Accept(without_environments(accept)));
                        let first = frame::client(&ClientMessage { kind });
                        self.keep(&[&first])?;
                        self.say(ServerKind::LogId(self.name.clone())).await?;
                    }
                }
                Heard::Rejected { what, sub, reason } => {
                    self.tell(What::Rejected { what, sub, reason }).await?;
                }
                Heard::Alert { reason } => {
                    self.tell(What::Alert { reason }).await?;
                }
                Heard::Recorded => {
                    self.keep_frame(&body)?;
                    if self.synced.elapsed() >= SYNC_EVERY {
                        self.commit().await?;
                    }
                }
                Heard::Exited(exit) => {
                    if self.writing.is_some() {
                        self.keep_frame(&body)?;
                        self.commit().await?;
                    }
                    self.exit = Some(exit);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next message; `None` when sudo has closed the connection between two of them.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut header = [0; HEADER_BYTES];
        let begun = async { self.stream.read(&mut header[..1]).await };
        // A command may run for hours without a word; one that has not begun may not.
        let begun = if self.accepted.is_some() {
            begun.await?
        } else {
            timeout(BOUND, begun).await.map_err(|_| Broken::Slow)??
        };
        if begun == 0 {
            return Ok(None);
        }
        let rest = async {
            self.stream.read_exact(&mut header[1..]).await?;
            let mut body = vec![0; frame::length(header)?];
            self.stream.read_exact(&mut body).await?;
            Ok::<_, Broken>(body)
        };
        timeout(BOUND, rest).await.map_err(|_| Broken::Slow)?.map(Some)
    }

    async fn say(&mut self, what: ServerKind) -> Result<(), Broken> {
        let bytes = frame::server(what);
        let said = timeout(BOUND, self.stream.write_all(&bytes)).await;
        Ok(said.map_err(|_| Broken::Slow)??)
    }

    /// Tells the loop, and waits until it has recorded that: one thing at a time, so no sudo fills the loop's queue.
    async fn tell(&self, what: What) -> Result<Attribution, Broken> {
        let told = Told { pid: self.peer.pid, run: self.name.clone(), of: self.of.clone(), what };
        let (recorded, answer) = oneshot::channel();
        let message = Message::Command { told: Box::new(told), recorded };
        self.to.send(message).await.map_err(|_| Broken::NotRecorded)?;
        answer.await.ok().flatten().ok_or(Broken::NotRecorded)
    }

    fn keep_frame(&mut self, body: &[u8]) -> Result<(), Broken> {
        let length = u32::try_from(body.len()).map_err(|_| FrameError::Length(u32::MAX))?;
        self.keep(&[&length.to_be_bytes(), body])
    }

    fn keep(&mut self, parts: &[&[u8]]) -> Result<(), Broken> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        Ok(self.recordings.write(writing, &parts.concat())?)
    }

    /// Makes durable what was recorded, and says so.
    async fn commit(&mut self) -> Result<(), Broken> {
        if let Some(writing) = self.writing.take() {
            let synced = tokio::task::spawn_blocking(move || (writing.sync(), writing)).await;
            let (outcome, writing) = synced.map_err(|e| Broken::Connection(io::Error::other(e)))?;
            self.writing = Some(writing);
            outcome?;
        }
        self.synced = Instant::now();
        let elapsed = self.conversation.elapsed();
        self.say(ServerKind::CommitPoint(elapsed)).await
    }

    /// Has sudo end a command that is not recorded any more. What did not begin is refused by sudo.
    async fn break_off(&mut self, broken: &Broken) {
        let words = format!("stint: {broken}");
        let last = if self.accepted.is_some() { ServerKind::Abort(words) } else { ServerKind::Error(words) };
        // It may be gone already.
        let _ = self.say(last).await;
    }

    /// Tells the end of a command that was accepted.
    async fn close(&mut self) {
        let Some(accepted) = self.accepted else { return };
        let whole = self.exit.is_some();
        let io = self.writing.take().map(|writing| {
            if !whole && let Err(error) = writing.sync() {
                tracing::error!(run = self.name, %error, "a recording may not be durable");
            }
            writing.summary(whole)
        });
        let mut exit = self.exit.take().unwrap_or_default();
        let took = u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
        exit.took_ms.get_or_insert(took);
        if self.tell(What::Ended { exit, io }).await.is_err() {
            tracing::error!(run = self.name, "the end of a command is not on record");
        }
    }
}

/// Reads a message. A long one is read beside the thread that all connections share.
async fn understand(body: &[u8]) -> Result<ClientMessage, Broken> {
    if body.len() <= READ_AT_ONCE {
        return Ok(frame::parse(body)?);
    }
    let body = body.to_owned();
    let read = tokio::task::spawn_blocking(move || frame::parse(&body)).await;
    Ok(read.map_err(|e| Broken::Connection(io::Error::other(e)))??)
}

/// A name that no other run has.
pub(super) fn run_name() -> String {
    let mut bytes = [0; 10];
    // Without chance the kernel does not even boot.
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase()
}
