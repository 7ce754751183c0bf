//! A stream between warden and courier that wakes its owner when something comes, and at no other time.
//!
//! tokio's own stream asks the kernel for both directions, and so is woken once more each time that the other side has read what was
//! written: for nothing, a thousand times a day.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::UnixStream;

/// What comes.
#[derive(Debug)]
pub(crate) struct Reader(Arc<AsyncFd<OwnedFd>>);

/// What goes.
#[derive(Debug)]
pub(crate) struct Writer(Arc<AsyncFd<OwnedFd>>);

/// Both directions of a stream.
pub(crate) fn split(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    // It stays as it is: never waiting.
    let both = Arc::new(watched(stream.into_std()?.into(), Interest::READABLE)?);
    Ok((Reader(both.clone()), Writer(both)))
}

#[allow(
    deprecated,
    reason = "`register` is unsafe for want of a proof that the descriptor stays open; an `OwnedFd` is one"
)]
fn watched(stream: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            match nix::unistd::read(self.0.as_fd(), into.initialize_unfilled()) {
                Ok(bytes) => {
                    into.advance(bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl Writer {
    /// Writes all of it.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match nix::unistd::write(self.0.as_fd(), bytes) {
                Ok(written) => bytes = &bytes[written..],
                // The other side is slow: only now it matters when it has read.
                Err(Errno::EAGAIN) => {
                    let room = watched(self.0.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?;
                    let _ = room.writable().await?;
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_is_more_than_the_kernel_holds_arrives_whole_and_then_the_end() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut to = split(near).unwrap().1;
        let mut from = split(far).unwrap().0;
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[(n % 4) as usize]).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move { to.write_all(&sent).await });
        let mut heard = Vec::new();
        // The other half of the near side is gone as well, so the end comes once all is written.
        from.read_to_end(&mut heard).await.unwrap();
        sending.await.unwrap().unwrap();
        assert_eq!(heard, expected);
    }

    #[tokio::test]
    async fn who_has_gone_is_an_end_to_read_and_an_error_to_write() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut from, mut to) = split(near).unwrap();
        drop(far);
        assert_eq!(from.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(to.write_all(b"x").await.is_err());
    }
}
