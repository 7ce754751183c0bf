//! Acknowledgements, records and recordings, to the broker. A call that fails is made again; nothing is dropped but what a newer one replaces.

use data_encoding::BASE64;

use super::Shared;
use super::backoff::Backoff;
use crate::wire::{RecordingPart, ToWarden};

/// Sends acknowledgements, in order.
pub(crate) async fn acknowledgements(shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    loop {
        let mut envelope = shared.acknowledgements.take().await;
        while let Err(error) = shared.broker().acknowledge(&envelope).await {
            if error.is_final() {
                tracing::error!("an acknowledgement was not taken: {error}");
                break;
            }
            tell(&backoff, &format_args!("an acknowledgement waits: {error}"));
            backoff.pause().await;
            // Those that came meanwhile say more: only the newest is worth sending late.
            envelope = shared.acknowledgements.take_newest().unwrap_or(envelope);
        }
        backoff.reset();
    }
}

/// Ships records, and tells the warden what the broker holds: after each shipment, and whenever that is asked for.
///
/// A shipment that fails is forgotten here. What the broker holds is asked for until it answers, and the warden, hearing that,
/// ships from there: so what must be sent again is decided in one place.
pub(crate) async fn records(shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    // A shipment that is refused, asked about and sent again must not go round at full speed.
    let mut ship_failed = false;
    loop {
        let answer = tokio::select! {
            records = shared.shipments.take() => {
                let answer = shared.broker().ship(&records).await;
                ship_failed = answer.is_err();
                answer
            }
            () = shared.want_high_water.notified() => shared.broker().high_water().await,
        };
        if answer.is_ok() && !ship_failed {
            backoff.reset();
        }
        match answer {
            Ok(high_water) => shared.outbox.high_water(high_water),
            Err(error) => {
                tell(&backoff, &format_args!("records wait: {error}"));
                backoff.pause().await;
                shared.want_high_water.notify_one();
            }
        }
    }
}

/// Sends parts of recordings, one at a time, and tells the warden what the broker said. What the warden sends next replaces one that
/// still waits: it says anew where it begins.
pub(crate) async fn recordings(shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    loop {
        let mut part = shared.recordings.take().await;
        let said = loop {
            let RecordingPart { run, at, data } = part.clone();
            let Ok(bytes) = BASE64.decode(data.as_bytes()) else {
                break ToWarden::RecordingRefused { run, cause: "a part is not base64".to_owned() };
            };
            match shared.broker().record(&run, at, bytes).await {
                Ok(held) => break ToWarden::RecordingHeld { run, held },
                // What it has no room for goes back to the warden as well, which says so to people, and tries again later.
                Err(error) if error.is_final() || error.is_want_of_room() => {
                    break ToWarden::RecordingRefused { run, cause: error.to_string() };
                }
                Err(error) => tell(&backoff, &format_args!("the recording of run {run} waits: {error}")),
            }
            backoff.pause().await;
            part = shared.recordings.take_newest().unwrap_or(part);
        };
        backoff.reset();
        shared.outbox.recording(said);
    }
}

/// Aloud the first time in a row.
pub(crate) fn tell(backoff: &Backoff, what: &std::fmt::Arguments<'_>) {
    if backoff.is_fresh() {
        tracing::warn!("{what}");
    } else {
        tracing::debug!("{what}");
    }
}
