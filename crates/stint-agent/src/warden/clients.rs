//! Who talks to the warden: the courier, the module's sessions and its decisions. Each is read apart, with bounds, and comes to the one
//! loop as a [`Message`].

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use stint_grant::ids::GrantId;
use stint_grant::register::{DecisionNote, MAX_MESSAGE_BYTES, Register, RegisterAnswer, UseCode};
use stint_log::record::IoLog;
use stint_sudolog::entry::Entry;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use zeroize::Zeroizing;

use super::codes::Trial;
use super::sudo_log::{Attribution, Told};
use crate::quiet;
use crate::warden::logins::Login;
use crate::wire::{MAX_LINE_BYTES, ToCourier, ToWarden};

/// How long the module may take to say who opens a session.
const REGISTER_BOUND: Duration = Duration::from_secs(2);
/// How many sessions may be on their way at once; more wait in the socket's queue.
const MAX_REGISTERING: usize = 128;
/// How many couriers may be connected at once: the one that counts, and others that have not noticed yet that it came. An account that
/// connects without end takes no descriptor that a session or a kill needs.
const MAX_COURIERS: usize = 4;
/// A line up to this, such as a pulse, is read at once: another thread would take longer to start.
const READ_AT_ONCE: usize = 64 * 1024;
/// What may wait for the courier.
const COURIER_QUEUE: usize = 64;
/// One code is hashed at a time: each takes up to 64 MiB.
static HASHING: Semaphore = Semaphore::const_new(1);
/// How long a code that is right waits for the end of what its grant's last window left, and how often it is looked. No longer, since whoever
/// types a code is in need; with what comes before it stays below [`stint_grant::register::CODE_TIMEOUT_MS`].
const LAST_WINDOW_BOUND: Duration = Duration::from_secs(12);
const LAST_WINDOW_EVERY: Duration = Duration::from_millis(100);
/// How long to pause when a socket gives an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What the loop hears.
#[derive(Debug)]
pub(crate) enum Message {
    /// A courier has come. The newest one counts.
    CourierCame {
        /// Which.
        id: u64,
        /// Where to answer.
        to: mpsc::Sender<ToCourier>,
    },
    /// It says something.
    CourierSays {
        /// Which.
        id: u64,
        /// What.
        what: Box<ToWarden>,
        /// Given back when it was heard. Until then this courier is not read any further: however fast it talks, it fills neither the
        /// memory nor the queue in which sessions wait.
        heard: OwnedSemaphorePermit,
    },
    /// It is gone.
    CourierLeft {
        /// Which.
        id: u64,
    },
    /// A session opens.
    Register {
        /// What the module says of it.
        register: Box<Register>,
        /// The process at the other end, as the kernel says.
        peer_pid: u32,
        /// For the answer.
        answer: oneshot::Sender<RegisterAnswer>,
    },
    /// Somebody typed a break-glass code.
    TryCode {
        /// What was typed, by whom.
        attempt: Box<UseCode>,
        /// For what is to be checked, or the words of the refusal.
        answer: oneshot::Sender<Result<Trial, String>>,
    },
    /// A code is right, and its grant's last window is to be over before it opens another one.
    IsLastWindowOver {
        /// Which grant.
        grant: GrantId,
        /// For the answer.
        answer: oneshot::Sender<bool>,
    },
    /// A code was checked.
    CodeChecked {
        /// The attempt.
        trial: Box<Trial>,
        /// The grant that it is for, if it is right.
        right: Option<GrantId>,
        /// For the answer.
        answer: oneshot::Sender<RegisterAnswer>,
    },
    /// The module decided.
    Decision(Box<DecisionNote>),
    /// sudo tells of a command.
    Command {
        /// What.
        told: Box<Told>,
        /// To what it belongs, once it is on record; `None` if it cannot be recorded.
        recorded: oneshot::Sender<Option<Attribution>>,
    },
    /// A recording lay open when the warden began: what there is of it.
    RecordingCut {
        /// The run.
        run: String,
        /// What was recorded.
        io: IoLog,
    },
    /// Somebody else than sudo came to tell of commands.
    Stranger {
        /// Who.
        detail: String,
    },
    /// Somebody wrote something to the host's journal.
    Logged(Box<Entry>),
    /// The host's journal is not read.
    JournalLost {
        /// Why.
        detail: String,
    },
    /// The process that opened a login, or that runs a command, has ended.
    LoginClosed {
        /// Which.
        login: Login,
    },
}

impl Message {
    /// Whether the answer is another one once somebody has armed or disarmed the host.
    pub(crate) fn depends_on_mode(&self) -> bool {
        match self {
            Self::Register { .. } | Self::TryCode { .. } => true,
            Self::CourierSays { what, .. } => matches!(**what, ToWarden::Update(_)),
            Self::CourierCame { .. }
            | Self::CourierLeft { .. }
            | Self::IsLastWindowOver { .. }
            | Self::CodeChecked { .. }
            | Self::Decision(_)
            | Self::Command { .. }
            | Self::RecordingCut { .. }
            | Self::Stranger { .. }
            | Self::Logged(_)
            | Self::JournalLost { .. }
            | Self::LoginClosed { .. } => false,
        }
    }
}

/// Takes couriers, for ever. Only root and the courier's own account may come.
pub(crate) async fn take_couriers(
    listener: UnixListener,
    courier_uid: Option<u32>,
    to: mpsc::Sender<Message>,
) {
    let room = Arc::new(Semaphore::new(MAX_COURIERS));
    for id in 0.. {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = accept(&listener).await;
        let to = to.clone();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || Some(peer.uid()) == courier_uid => {
                tokio::spawn(async move {
                    let _place = place;
                    serve_courier(id, stream, to).await;
                });
            }
            peer => tracing::warn!(?peer, "somebody else than the courier came to its socket; turned away"),
        }
    }
}

async fn serve_courier(id: u64, stream: UnixStream, to: mpsc::Sender<Message>) {
    let (from_courier, to_courier) = match quiet::split(stream) {
        Ok(halves) => halves,
        Err(error) => return tracing::error!(%error, "the courier's connection cannot be used"),
    };
    let (sender, answers) = mpsc::channel(COURIER_QUEUE);
    if to.send(Message::CourierCame { id, to: sender }).await.is_err() {
        return;
    }
    let end = tokio::select! {
        end = hear_courier(id, from_courier, &to) => end,
        end = tell_courier(to_courier, answers) => end,
    };
    tracing::info!("the courier left: {end}");
    let _ = to.send(Message::CourierLeft { id }).await;
}

async fn hear_courier(id: u64, from: impl AsyncRead + Unpin, to: &mpsc::Sender<Message>) -> String {
    let mut lines = BufReader::new(from);
    let turn = Arc::new(Semaphore::new(1));
    loop {
        let Ok(heard) = turn.clone().acquire_owned().await else { return "the warden ends".to_owned() };
        let line = match read_line(&mut lines, MAX_LINE_BYTES).await {
            Ok(Some(line)) => line,
            Ok(None) => return "it closed the connection".to_owned(),
            Err(error) => return error.to_string(),
        };
        match understand(line).await {
            Ok(what) => {
                if to.send(Message::CourierSays { id, what: Box::new(what), heard }).await.is_err() {
                    return "the warden ends".to_owned();
                }
            }
            Err(error) => {
                return format!("it said what is not known here ({error}): are both of one version?");
            }
        }
    }
}

/// Reads a line as JSON. A long one is read beside the loop's thread: sessions do not wait for what a courier says.
async fn understand(line: Vec<u8>) -> Result<ToWarden, String> {
    let read = |line: &[u8]| serde_json::from_slice(line).map_err(|error| error.to_string());
    if line.len() <= READ_AT_ONCE {
        return read(&line);
    }
    tokio::task::spawn_blocking(move || read(&line)).await.map_err(|error| error.to_string())?
}

async fn tell_courier(mut to: quiet::Writer, mut answers: mpsc::Receiver<ToCourier>) -> String {
    while let Some(answer) = answers.recv().await {
        let mut line = serde_json::to_vec(&answer).expect("what the courier is told is plain data");
        line.push(b'\n');
        if let Err(error) = to.write_all(&line).await {
            return error.to_string();
        }
    }
    "a newer one came".to_owned()
}

/// Takes sessions that open, for ever. Only root's processes may come.
pub(crate) async fn take_registrations(listener: UnixListener, to: mpsc::Sender<Message>) {
    let room = Arc::new(Semaphore::new(MAX_REGISTERING));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = accept(&listener).await;
        let to = to.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(cause) = serve_registration(stream, to).await {
                tracing::warn!("a session that opens was not registered: {cause}");
            }
        });
    }
}

async fn serve_registration(mut stream: UnixStream, to: mpsc::Sender<Message>) -> Result<(), String> {
    let peer = stream.peer_cred().map_err(|e| e.to_string())?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).ok_or("its process is not known")?;
    if peer.uid() != 0 {
        return Err(format!("process {pid} belongs to uid {}, not to root", peer.uid()));
    }
    let line =
        tokio::time::timeout(REGISTER_BOUND, read_line(&mut BufReader::new(&mut stream), MAX_MESSAGE_BYTES))
            .await
            .map_err(|_| "it took too long".to_owned())?
            .map_err(|e| e.to_string())?
            .ok_or("nothing was said")?;
    let line = Zeroizing::new(line);
    let answer = match serde_json::from_slice::<Register>(&line) {
        Ok(register) => {
            let (answer, answered) = oneshot::channel();
            let message = Message::Register { register: Box::new(register), peer_pid: pid, answer };
            to.send(message).await.map_err(|_| "the warden ends")?;
            while_it_waits(&mut stream, pid, async {
                answered.await.map_err(|_| "the warden ends".to_owned())
            })
            .await?
        }
        Err(error) => {
            let attempt: UseCode = serde_json::from_slice(&line).map_err(|_| error.to_string())?;
            while_it_waits(&mut stream, pid, check_code(attempt, &to)).await?
        }
    };
    let mut line = serde_json::to_vec(&answer).expect("an answer is plain data");
    line.push(b'\n');
    stream.write_all(&line).await.map_err(|e| e.to_string())
}

/// The answer, unless whoever asked leaves. Then what would answer is dropped, and the loop sees that nobody waits.
async fn while_it_waits(
    stream: &mut UnixStream,
    pid: u32,
    answer: impl Future<Output = Result<RegisterAnswer, String>>,
) -> Result<RegisterAnswer, String> {
    let mut nothing = [0];
    tokio::select! {
        answer = answer => answer,
        _ = stream.read(&mut nothing) => Err(format!("process {pid} waits for the answer no more")),
    }
}

/// Has an attempt counted, hashes what was typed away from the loop, and tells the loop what came of it.
async fn check_code(attempt: UseCode, to: &mpsc::Sender<Message>) -> Result<RegisterAnswer, String> {
    let ends = |_| "the warden ends".to_owned();
    let (answer, answered) = oneshot::channel();
    let attempt = Message::TryCode { attempt: Box::new(attempt), answer };
    to.send(attempt).await.map_err(|_| "the warden ends")?;
    let trial = match answered.await.map_err(ends)? {
        Ok(trial) => trial,
        Err(message) => return Ok(RegisterAnswer { ok: false, message }),
    };
    let turn = HASHING.acquire().await.map_err(|e| e.to_string())?;
    // The turn goes with the work, which nobody can call off.
    let work = move || {
        let right = trial.grant();
        drop(turn);
        (Box::new(trial), right)
    };
    let (trial, right) = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?;
    if let Some(grant) = &right {
        wait_for_last_window(grant, to, LAST_WINDOW_BOUND).await?;
    }
    let (answer, answered) = oneshot::channel();
    to.send(Message::CodeChecked { trial, right, answer }).await.map_err(|_| "the warden ends")?;
    answered.await.map_err(ends)
}

/// What is killed and undone after a grant's last window must not be what its next one begins with.
async fn wait_for_last_window(
    grant: &GrantId,
    to: &mpsc::Sender<Message>,
    bound: Duration,
) -> Result<(), String> {
    let over = async {
        loop {
            let (answer, answered) = oneshot::channel();
            let question = Message::IsLastWindowOver { grant: grant.clone(), answer };
            to.send(question).await.map_err(|_| "the warden ends")?;
            if answered.await.map_err(|_| "the warden ends")? {
                return Ok(());
            }
            tokio::time::sleep(LAST_WINDOW_EVERY).await;
        }
    };
    tokio::time::timeout(bound, over).await.unwrap_or_else(|_| {
        tracing::warn!(%grant, "a code opens another window while what the last one left is looked for");
        Ok(())
    })
}

/// Hears decisions, for ever. What does not come from root's processes is dropped.
pub(crate) async fn hear_decisions(socket: UnixDatagram, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0_u8; MAX_MESSAGE_BYTES];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await;
        match received {
            Ok((length, Some(0))) => match serde_json::from_slice::<DecisionNote>(&buffer[..length]) {
                Ok(note) => {
                    if to.send(Message::Decision(Box::new(note))).await.is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "a decision that cannot be read"),
            },
            Ok((_, uid)) => tracing::warn!(?uid, "a decision that root's processes did not send; dropped"),
            Err(error) => {
                tracing::error!(%error, "decisions cannot be heard");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One datagram: its length, and the uid of its sender as the kernel says.
fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let uid = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.uid()),
        _ => None,
    });
    Ok((message.bytes, uid))
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::error!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One line without its newline; `None` at the end. A line over the bound is an error.
pub(super) async fn read_line<R: AsyncRead + Unpin>(
    lines: &mut BufReader<R>,
    max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    lines.take(max as u64).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() + 1 >= max => Err(io::Error::other(format!("a line of more than {max} bytes"))),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests;
