//! Asking the warden: one line of JSON there, one back, all within one deadline.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, recv, send, socket,
};
use serde::Serialize;
use stint_grant::register::{MAX_MESSAGE_BYTES, Register, RegisterAnswer, UseCode};
use zeroize::Zeroizing;

/// How long to wait before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// More than a message has that holds a code.
const ROOM: usize = 8192;

/// Registers a session, within `timeout_ms` in all.
pub fn register(path: &Path, message: &Register, timeout_ms: u32) -> Result<RegisterAnswer, String> {
    ask(path, message, timeout_ms)
}

/// Uses a break-glass code, within `timeout_ms` in all.
pub fn use_code(path: &Path, message: &UseCode, timeout_ms: u32) -> Result<RegisterAnswer, String> {
    ask(path, message, timeout_ms)
}

fn ask(path: &Path, message: &impl Serialize, timeout_ms: u32) -> Result<RegisterAnswer, String> {
    let deadline = Deadline::after(timeout_ms);
    // It may hold a code: wiped, and with room enough that it is not moved while it is written.
    let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
    serde_json::to_writer(&mut *line, message).map_err(|e| e.to_string())?;
    line.push(b'\n');
    let stream = reach(path, &deadline)?;
    send_all(&stream, &line, &deadline)?;
    let answer = receive_line(&stream, &deadline)?;
    serde_json::from_slice(&answer).map_err(|e| format!("its answer is malformed: {e}"))
}

struct Deadline {
    at: Option<Instant>,
    timeout_ms: u32,
}

impl Deadline {
    fn after(timeout_ms: u32) -> Self {
        Self { at: Instant::now().checked_add(Duration::from_millis(timeout_ms.into())), timeout_ms }
    }
    /// What is left of it, rounded up to a whole millisecond.
    fn left(&self) -> Result<PollTimeout, String> {
        let left = self.at.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
        if left.is_zero() {
            return Err(format!("no answer within {} ms", self.timeout_ms));
        }
        let millis = i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        PollTimeout::try_from(millis).map_err(|e| e.to_string())
    }
}

fn reach(path: &Path, deadline: &Deadline) -> Result<OwnedFd, String> {
    let failed = |e: Errno| format!("{}: {}", path.display(), e.desc());
    let address = UnixAddr::new(path).map_err(failed)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
    loop {
        match connect(stream.as_raw_fd(), &address) {
            Ok(()) => break,
            // The queue is full: poll tells nothing about that, so a short pause it is.
            Err(Errno::EAGAIN | Errno::EINTR) => {
                deadline.left()?;
                pause();
            }
            Err(error) => return Err(failed(error)),
        }
    }
    // Whoever could put a socket there must still not answer in the warden's place.
    match getsockopt(&stream, PeerCredentials).map_err(failed)?.uid() {
        0 => Ok(stream),
        uid => Err(format!("{} belongs to uid {uid}, not to root", path.display())),
    }
}

fn pause() {
    let millis = u16::try_from(QUEUE_PAUSE.as_millis()).unwrap_or(1);
    // An interrupted pause is a shorter one.
    let _ = poll(&mut [], millis);
}

fn wait(stream: &OwnedFd, events: PollFlags, deadline: &Deadline) -> Result<(), String> {
    loop {
        let left = deadline.left()?;
        match poll(&mut [PollFd::new(stream.as_fd(), events)], left) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.desc().to_owned()),
        }
    }
}

fn send_all(stream: &OwnedFd, mut bytes: &[u8], deadline: &Deadline) -> Result<(), String> {
    while !bytes.is_empty() {
        wait(stream, PollFlags::POLLOUT, deadline)?;
        // Without MSG_NOSIGNAL a warden that goes away would kill sshd or sudo by SIGPIPE.
        match send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(format!("it hung up: {}", error.desc())),
        }
    }
    Ok(())
}

fn receive_line(stream: &OwnedFd, deadline: &Deadline) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut chunk = [0_u8; 4096];
    loop {
        wait(stream, PollFlags::POLLIN, deadline)?;
        let part = match recv(stream.as_raw_fd(), &mut chunk, MsgFlags::empty()) {
            Ok(0) => return Err("it hung up without an answer".to_owned()),
            Ok(n) => chunk.get(..n).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error.desc().to_owned()),
        };
        if let Some(end) = part.iter().position(|b| *b == b'\n') {
            line.extend_from_slice(part.get(..end).unwrap_or_default());
            return Ok(line);
        }
        line.extend_from_slice(part);
        if line.len() > MAX_MESSAGE_BYTES {
            return Err("its answer is too long".to_owned());
        }
    }
}
