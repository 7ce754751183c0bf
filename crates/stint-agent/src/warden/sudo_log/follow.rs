//! Follows the host's journal, as long as the warden waits for a line: a child of its own, `journalctl`, which knows the files' format.
//! The warden itself is static, and reads none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use stint_sudolog::entry::{Entry, FIELDS};
use tokio::io::BufReader;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::awaited::{From, Wanted};
use crate::warden::clients::{Message, read_line};

/// Lines of one entry are short: its fields are, and journalctl leaves out what is long.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// The first pause before journalctl is started anew, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(15);
/// Lines of auth, by syslog(3): where sudo-rs writes, and few others do. Who wrote them is looked at here.
const MATCHES: [&str; 2] = ["_TRANSPORT=syslog", "SYSLOG_FACILITY=4"];

/// The journal, while it is followed.
pub(in crate::warden) struct Follow {
    to_loop: mpsc::Sender<Message>,
    running: Option<JoinHandle<()>>,
}

impl Follow {
    /// Not yet.
    pub(in crate::warden) fn new(to_loop: mpsc::Sender<Message>) -> Self {
        Self { to_loop, running: None }
    }

    /// Follows it from somewhere, or no more. One that is followed is followed on.
    pub(in crate::warden) fn set(&mut self, listens: bool, wanted: impl FnOnce() -> Option<Wanted>) {
        match (&self.running, listens) {
            (None, true) => {
                let Some(wanted) = wanted() else { return };
                self.running = Some(tokio::spawn(follow(wanted, self.to_loop.clone())));
            }
            (Some(running), false) => {
                // Its child goes with it.
                running.abort();
                self.running = None;
            }
            _ => {}
        }
    }
}

/// Where journalctl is.
pub(in crate::warden) fn journalctl() -> Option<PathBuf> {
    ["/usr/bin/journalctl", "/bin/journalctl"].map(PathBuf::from).into_iter().find(|path| path.is_file())
}

/// Whether what is written by syslog(3) comes to systemd's journal, and is kept there.
pub(crate) fn hears_syslog(root: &Path) -> bool {
    let socket = std::fs::read_link(root.join("dev/log"));
    let is_journald_s = socket.is_ok_and(|to| to.ends_with("run/systemd/journal/dev-log"));
    let stores = ["run/log/journal", "var/log/journal"].into_iter().any(|folder| {
        let machines = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        machines.into_iter().any(|machine| machine.path().join("system.journal").is_file())
    });
    is_journald_s && stores && journalctl().is_some()
}

async fn follow(mut wanted: Wanted, to_loop: mpsc::Sender<Message>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut heard_any = false;
        let read = async {
            // What is followed is of one boot.
            if std::mem::take(&mut wanted.past) {
                let mut from = wanted.from.clone();
                read_on(&mut from, None, &to_loop, &mut heard_any).await?;
            }
            read_on(&mut wanted.from, Some(&wanted.boot), &to_loop, &mut heard_any).await
        };
        // Else the loop is gone.
        let Ok(why) = read.await else { return };
        let detail =
            format!("the host's journal cannot be followed ({why}): commands of sudo-rs are not on record");
        if to_loop.send(Message::JournalLost { detail }).await.is_err() {
            return;
        }
        pause = if heard_any { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

/// Reads until journalctl ends: follows a boot, or reads what is there of all. Answers why it ended.
async fn read_on(
    from: &mut From,
    boot: Option<&str>,
    to_loop: &mpsc::Sender<Message>,
    heard_any: &mut bool,
) -> Result<String, ()> {
    let Some(program) = journalctl() else { return Ok("there is no journalctl".to_owned()) };
    let place = match &*from {
        From::Cursor(cursor) => format!("--after-cursor={cursor}"),
        From::Since(wall) => format!("--since=@{wall}"),
    };
    // Told by its name: what journalctl itself takes for this boot, in a container is not.
    let follows = boot.map(|boot| format!("--boot={boot}"));
    let follows = follows.iter().flat_map(|boot| ["--follow", "--no-tail", boot]);
    let spawned = Command::new(&program)
        .args(["--quiet", "--no-pager", "--output=json"])
        .args(follows)
        .arg(format!("--output-fields={FIELDS}"))
        .arg(place)
        .args(MATCHES)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Ok(format!("{}: {error}", program.display())),
    };
    let Some(out) = child.stdout.take() else { return Ok("it has no output".to_owned()) };
    let mut lines = BufReader::new(out);
    loop {
        match read_line(&mut lines, MAX_LINE_BYTES).await {
            Ok(Some(line)) => {
                // Other lines than entries come by the way, and entries of other ways of logging do not count.
                let Ok(entry) = Entry::read(&line) else { continue };
                *heard_any = true;
                *from = From::Cursor(entry.cursor.clone());
                to_loop.send(Message::Logged(Box::new(entry))).await.map_err(|_| ())?;
            }
            Ok(None) => break,
            Err(error) => return Ok(error.to_string()),
        }
    }
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    Ok(format!("journalctl: {status}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_host_whose_syslog_is_somebody_else_s_or_whose_journal_keeps_nothing_does_not_hear_sudo_rs() {
        if journalctl().is_none() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir_all(path("dev")).unwrap();
        std::fs::create_dir_all(path("run/log/journal/0123")).unwrap();
        assert!(!hears_syslog(root.path()));
        symlink("/run/systemd/journal/dev-log", path("dev/log")).unwrap();
        assert!(!hears_syslog(root.path()), "nothing is kept");
        std::fs::write(path("run/log/journal/0123/system.journal"), "x").unwrap();
        assert!(hears_syslog(root.path()));
        std::fs::remove_file(path("dev/log")).unwrap();
        std::fs::write(path("dev/log"), "").unwrap();
        assert!(!hears_syslog(root.path()), "another log daemon");
    }
}
