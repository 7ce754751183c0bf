//! A warden that answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use stint_grant::register::{DecisionNote, Register, RegisterAnswer};

use super::fixture::Host;

/// Longer than any answer here takes.
const BOUND: Duration = Duration::from_mins(2);

/// The module waits as long as it may: the thread that answers may get its turn late.
const PATIENT: &str = "[limits]\nregister_timeout_ms = 60000\n";

/// Where decisions arrive.
pub(crate) struct Decisions(UnixDatagram);

impl Decisions {
    pub(crate) fn listen(host: &Host) -> Self {
        let socket = UnixDatagram::bind(host.path("run/stint/decisions.sock")).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        Self(socket)
    }
    /// The next one. The module sends before it answers, so it is there already.
    pub(crate) fn next(&self) -> DecisionNote {
        let mut buffer = vec![0; 65536];
        let size = self.0.recv(&mut buffer).expect("a decision");
        serde_json::from_slice(&buffer[..size]).unwrap()
    }
    pub(crate) fn none_left(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        self.0.recv(&mut [0; 16]).is_err()
    }
}

/// What the warden does with a registration.
pub(crate) enum Behaviour {
    Answers(RegisterAnswer),
    Says(&'static [u8]),
    HangsUp,
    Waits,
    /// A byte now and then, and never a whole line.
    Drips,
}

/// A warden that takes registrations.
pub(crate) struct Warden(Receiver<Register>);

impl Warden {
    pub(crate) fn listen(host: &Host, behaviour: Behaviour) -> Self {
        if matches!(behaviour, Behaviour::Answers(_)) && !host.path("etc/stint/host.toml").exists() {
            host.host_toml(PATIENT);
        }
        Self::serve(UnixListener::bind(host.path("run/stint/warden.sock")).unwrap(), behaviour)
    }
    /// Somebody who is not root listens where the warden should, and says yes.
    pub(crate) fn listen_as(host: &Host, uid: u32) -> Self {
        let path = host.path("run/stint/warden.sock");
        std::os::unix::fs::chown(path.parent().unwrap(), Some(uid), None).unwrap();
        std::fs::set_permissions(host.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        // The raw call changes this thread alone.
        let listener = std::thread::spawn(move || {
            #[allow(unsafe_code, reason = "a thread with another uid")]
            // SAFETY: three integers, and no memory.
            let code = unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) };
            assert_eq!(code, 0, "setresuid");
            UnixListener::bind(path).unwrap()
        });
        let yes = RegisterAnswer { ok: true, message: String::new() };
        Self::serve(listener.join().unwrap(), Behaviour::Answers(yes))
    }
    fn serve(listener: UnixListener, behaviour: Behaviour) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
                // The module may be gone already: then nobody reads.
                let _ = match &behaviour {
                    Behaviour::Answers(answer) => {
                        let mut answer = serde_json::to_vec(answer).unwrap();
                        answer.push(b'\n');
                        stream.write_all(&answer)
                    }
                    Behaviour::Says(bytes) => stream.write_all(bytes),
                    Behaviour::HangsUp => Ok(()),
                    Behaviour::Drips => {
                        std::thread::spawn(move || {
                            while stream.write_all(b" ").is_ok() {
                                std::thread::sleep(Duration::from_millis(5));
                            }
                        });
                        continue;
                    }
                    Behaviour::Waits => {
                        held.push(stream);
                        continue;
                    }
                };
            }
        });
        Self(receiver)
    }
    pub(crate) fn says_yes(host: &Host) -> Self {
        Self::listen(host, Behaviour::Answers(RegisterAnswer { ok: true, message: String::new() }))
    }
    /// The next registration.
    pub(crate) fn next(&self) -> Register {
        self.0.recv_timeout(BOUND).expect("a registration")
    }
    pub(crate) fn none_left(&self) -> bool {
        self.0.try_recv().is_err()
    }
}
