//! Root on a virtual machine, past its network and its PAM: QEMU's guest agent, on a serial port of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::LabError;
use crate::run::{Outcome, Patience};
use crate::wait::poll;

/// How long one answer may take: the emulated machine is slow, and others run beside it.
const ANSWER: Duration = Duration::from_mins(5);
/// How long before it is asked anew whether it is there: what is asked while the host boots is lost.
const KNOCK: Duration = Duration::from_secs(3);
/// Beyond a program's own bound, for the machine that is to end it.
const GRACE: Duration = Duration::from_mins(1);

/// The port of one virtual machine.
#[derive(Debug)]
pub(crate) struct Agent {
    host: String,
    socket: PathBuf,
    /// The port has room for one who asks; what it holds is the number of the last knock.
    turn: Mutex<u64>,
}

impl Agent {
    pub(crate) fn new(host: &str, socket: PathBuf) -> Self {
        Self { host: host.into(), socket, turn: Mutex::new(1) }
    }

    /// Runs a program as root to its end, within ten minutes, with this on its standard input.
    pub(crate) fn exec(&self, argv: &[String], input: &[u8]) -> Result<Outcome, LabError> {
        let seconds = Patience::EMULATED.run.as_secs().to_string();
        let own = [
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LANG=C.UTF-8",
            "timeout",
            "--kill-after=5",
            &seconds,
        ];
        let args: Vec<&str> = own.into_iter().chain(argv.iter().map(String::as_str)).collect();
        let started = self.call(
            "guest-exec",
            &json!({ "path": "/usr/bin/env", "arg": args, "capture-output": true, "input-data": BASE64.encode(input) }),
        )?;
        let pid = &started["pid"];
        let what = format!("a program on {} to end: {}", self.host, argv.join(" "));
        let ended = poll(&what, Patience::EMULATED.run + GRACE, || {
            match self.call("guest-exec-status", &json!({ "pid": pid })) {
                Ok(status) if status["exited"] == true => Some(Ok(status)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        })??;
        let number = |field: &str| ended[field].as_i64().and_then(|number| i32::try_from(number).ok());
        let text = |field: &str| {
            let bytes = BASE64.decode(ended[field].as_str().unwrap_or_default().as_bytes());
            bytes
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|error| self.silent(&error))
        };
        Ok(Outcome {
            status: number("exitcode").or_else(|| number("signal").map(|signal| 128 + signal)).unwrap_or(-1),
            stdout: text("out-data")?,
            stderr: text("err-data")?,
        })
    }

    /// One question and its answer.
    fn call(&self, what: &str, arguments: &Value) -> Result<Value, LabError> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.ask(&mut turn, what, arguments).map_err(|error| self.silent(&error))?;
        match answer.get("return") {
            Some(value) => Ok(value.clone()),
            None => Err(self.silent(&answer)),
        }
    }

    /// Knocks until it answers, which may be asked again and again; the question itself is put once.
    fn ask(&self, turn: &mut u64, what: &str, arguments: &Value) -> io::Result<Value> {
        let start = Instant::now();
        let mut lines = loop {
            *turn += 1;
            match self.knock(*turn) {
                Ok(lines) => break lines,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < ANSWER => {}
                Err(error) => return Err(error),
            }
        };
        let question = json!({ "execute": what, "arguments": arguments });
        let port = lines.get_mut();
        port.set_read_timeout(Some(ANSWER))?;
        port.write_all(format!("{question}\n").as_bytes())?;
        next(&mut lines)
    }

    /// The port, once it has answered to this number. Answers of questions that were given up may still come: all before it is thrown away.
    fn knock(&self, number: u64) -> io::Result<BufReader<UnixStream>> {
        let mut port = UnixStream::connect(&self.socket)?;
        port.set_read_timeout(Some(KNOCK))?;
        let sync = json!({ "execute": "guest-sync", "arguments": { "id": number } });
        port.write_all(format!("{sync}\n").as_bytes())?;
        let mut lines = BufReader::new(port);
        while next(&mut lines)?["return"].as_u64() != Some(number) {}
        Ok(lines)
    }

    fn silent(&self, why: &impl std::fmt::Display) -> LabError {
        LabError::State { host: self.host.clone(), state: format!("without an answer of its agent: {why}") }
    }
}

/// The next answer; null if the line is none.
fn next(lines: &mut BufReader<UnixStream>) -> io::Result<Value> {
    let mut line = String::new();
    if lines.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line).unwrap_or_default())
}
