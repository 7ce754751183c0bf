//! Timers of the kernel: one on CLOCK_BOOTTIME, which counts through suspend and which nobody can set, and one that wakes when somebody
//! sets the wall clock.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// Wakes at a moment of CLOCK_BOOTTIME.
pub(crate) struct Deadline {
    timer: TimerFd,
    wake: AsyncFd<OwnedFd>,
    set_for: Option<u64>,
}

impl Deadline {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let (timer, wake) = timer(ClockId::CLOCK_BOOTTIME)?;
        Ok(Self { timer, wake, set_for: None })
    }

    /// Sets it to a moment (milliseconds of CLOCK_BOOTTIME), or unsets it.
    pub(crate) fn set(&mut self, at_ms: Option<u64>) -> io::Result<()> {
        if at_ms == self.set_for {
            return Ok(());
        }
        match at_ms {
            // Zero would unset it.
            Some(ms) => self.timer.set(
                Expiration::OneShot(TimeSpec::from_duration(Duration::from_millis(ms.max(1)))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?,
            None => self.timer.unset()?,
        }
        self.set_for = at_ms;
        Ok(())
    }

    /// Waits until the moment has come.
    pub(crate) async fn reached(&mut self) -> io::Result<()> {
        wait(&self.wake).await?;
        self.set_for = None;
        Ok(())
    }
}

/// Wakes when somebody sets the wall clock.
pub(crate) struct ClockWatch {
    timer: TimerFd,
    wake: AsyncFd<OwnedFd>,
}

impl ClockWatch {
    /// Begins to watch.
    pub(crate) fn new() -> io::Result<Self> {
        let (timer, wake) = timer(ClockId::CLOCK_REALTIME)?;
        let watch = Self { timer, wake };
        watch.arm()?;
        Ok(watch)
    }

    fn arm(&self) -> io::Result<()> {
        // Far enough that it never goes off by itself; the kernel takes no more than about 292 years.
        let far = TimeSpec::from_duration(Duration::from_secs(8_000_000_000));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Ok(self.timer.set(Expiration::OneShot(far), flags)?)
    }

    /// Waits until the wall clock was set.
    pub(crate) async fn jumped(&mut self) -> io::Result<()> {
        wait(&self.wake).await?;
        self.arm()
    }
}

#[allow(
    deprecated,
    reason = "`register` is unsafe for want of a proof that the descriptor stays open; an `OwnedFd` is one"
)]
fn timer(clock: ClockId) -> io::Result<(TimerFd, AsyncFd<OwnedFd>)> {
    let timer = TimerFd::new(clock, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let wake = std::os::fd::AsFd::as_fd(&timer).try_clone_to_owned()?;
    Ok((timer, AsyncFd::new(wake)?))
}

async fn wait(wake: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = wake.readable().await?;
        match nix::unistd::read(wake.get_ref(), &mut [0_u8; 8]) {
            // The kernel's word for "the clock was set".
            Ok(_) | Err(Errno::ECANCELED) => return Ok(()),
            Err(Errno::EAGAIN) => ready.clear_ready(),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
