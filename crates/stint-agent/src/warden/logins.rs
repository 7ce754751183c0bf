//! Hearing of the end of logins, from the kernel: a task for each waits on the handle of the process that opened it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::clients::Message;

/// A login: the process that opened it, and when that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Login {
    /// The process.
    pub(crate) pid: u32,
    /// In ticks since the boot: a pid may be used again.
    pub(crate) started: u64,
}

/// The logins that are waited for.
pub(crate) struct Logins {
    to_loop: mpsc::Sender<Message>,
    followed: BTreeSet<Login>,
}

impl Logins {
    /// None yet.
    pub(crate) fn new(to_loop: mpsc::Sender<Message>) -> Self {
        Self { to_loop, followed: BTreeSet::new() }
    }

    /// Waits for these as well. Each is told once.
    pub(crate) fn follow(&mut self, logins: BTreeSet<Login>) {
        for login in logins {
            if self.followed.insert(login) {
                tokio::spawn(wait(login, self.to_loop.clone()));
            }
        }
    }

    /// It was told.
    pub(crate) fn forget(&mut self, login: &Login) {
        self.followed.remove(login);
    }
}

async fn wait(login: Login, to_loop: mpsc::Sender<Message>) {
    if let Some(handle) = handle_of(login.pid)
        && let Err(error) = handle.readable().await
    {
        tracing::warn!(%error, "the end of a login may be heard of late");
        return;
    }
    // The loop is gone: so is all that could be told.
    let _ = to_loop.send(Message::LoginClosed { login }).await;
}

/// `None` if it is gone already.
#[allow(
    deprecated,
    reason = "`register` is unsafe for want of a proof that the descriptor stays open; an `OwnedFd` is one"
)]
fn handle_of(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    AsyncFd::new(pidfd_open(pid, PidfdFlags::empty()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_told_once_and_one_that_is_gone_at_once() {
        let (to_loop, mut heard) = mpsc::channel(8);
        let mut logins = Logins::new(to_loop);
        let mut child = std::process::Command::new("sleep").arg("infinity").spawn().unwrap();
        let login = Login { pid: child.id(), started: 1 };
        logins.follow(BTreeSet::from([login]));
        logins.follow(BTreeSet::from([login]));
        tokio::task::yield_now().await;
        assert!(heard.try_recv().is_err());
        child.kill().unwrap();
        let told = tokio::time::timeout(Duration::from_mins(2), heard.recv()).await.unwrap();
        assert!(matches!(told, Some(Message::LoginClosed { login: closed }) if closed == login));
        child.wait().unwrap();
        logins.forget(&login);
        logins.follow(BTreeSet::from([login]));
        let told = tokio::time::timeout(Duration::from_mins(2), heard.recv()).await.unwrap();
        assert!(told.is_some() && heard.try_recv().is_err());
    }
}
