//! The socket to the warden: lines of JSON, both ways. It is connected again for ever.

use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;

use super::Shared;
use super::backoff::Backoff;
use super::upload::tell;
use crate::quiet::{self, Reader, Writer};
use crate::wire::{MAX_LINE_BYTES, ToCourier};

/// Keeps the link, for ever.
pub(crate) async fn run(socket: PathBuf, shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    let mut refusals = Backoff::new(shared.pace.after_refusal);
    loop {
        match UnixStream::connect(&socket).await {
            Ok(stream) => {
                tracing::info!("connected to the warden");
                let (from_warden, to_warden) = match quiet::split(stream) {
                    Ok(halves) => halves,
                    Err(error) => {
                        tracing::error!(%error, "the connection to the warden cannot be used");
                        backoff.pause().await;
                        continue;
                    }
                };
                shared.outbox.warden_is_new();
                // What was on its way when the last connection broke may be lost: both are asked for again.
                shared.want_update.notify_one();
                shared.want_high_water.notify_one();
                let mut heard = false;
                let end = tokio::select! {
                    end = carry(&shared, to_warden) => end,
                    end = listen(&shared, from_warden, &mut refusals, &mut heard) => end,
                };
                if heard {
                    backoff.reset();
                }
                tracing::warn!("the link to the warden ended: {end}");
            }
            Err(error) => {
                tell(
                    &backoff,
                    &format_args!("the warden cannot be reached at {}: {error}", socket.display()),
                );
            }
        }
        backoff.pause().await;
    }
}

async fn carry(shared: &Shared, mut to_warden: Writer) -> String {
    loop {
        let message = shared.outbox.next().await;
        let mut line = match serde_json::to_vec(&message) {
            Ok(line) => line,
            Err(error) => return error.to_string(),
        };
        drop(message);
        if line.len() >= MAX_LINE_BYTES {
            tracing::error!(bytes = line.len(), "too large for the warden: it is not sent on");
            continue;
        }
        line.push(b'\n');
        // If it breaks here, the next connection asks the broker for it again.
        if let Err(error) = to_warden.write_all(&line).await {
            return error.to_string();
        }
    }
}

async fn listen(shared: &Shared, from_warden: Reader, refusals: &mut Backoff, heard: &mut bool) -> String {
    let mut lines = BufReader::new(from_warden);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = MAX_LINE_BYTES as u64;
        match (&mut lines).take(limit).read_until(b'\n', &mut line).await {
            Err(error) => return error.to_string(),
            Ok(0) => return "the warden closed it".to_owned(),
            Ok(_) if line.last() != Some(&b'\n') => return "a line without an end".to_owned(),
            Ok(_) => {}
        }
        *heard = true;
        match serde_json::from_slice(&line) {
            Err(error) => return format!("the warden said what is not known here ({error})"),
            Ok(ToCourier::Acknowledge(envelope)) => {
                refusals.reset();
                shared.acknowledgements.put(envelope);
            }
            Ok(ToCourier::Recording(part)) => shared.recordings.put(part),
            Ok(ToCourier::Ship(records)) => shared.shipments.put(records),
            Ok(ToCourier::Refused(cause)) => ask_again_later(shared, &cause, refusals),
        }
        if line.capacity() > 1024 * 1024 {
            line = Vec::new();
        }
    }
}

/// After an update that the warden refused whole. It is not asked for at once, or a bad broker would be asked for ever.
fn ask_again_later(shared: &Shared, cause: &str, refusals: &mut Backoff) {
    let wait = refusals.after_failure(super::backoff::random());
    tracing::warn!(
        seconds = wait.as_secs(),
        "the warden refused the update ({cause}): it is asked for again"
    );
    let want_update = shared.want_update.clone();
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        want_update.notify_one();
    });
}
