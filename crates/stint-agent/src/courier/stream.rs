//! The stream of updates and pulses. While it cannot be had, the update is fetched in its place at each attempt.

use std::time::Duration;

use stint_api::hosts::HostUpdate;
use stint_api::tls::describe;

use super::Shared;
use super::backoff::Backoff;
use super::broker::CallError;
use super::sse::{Event, MAX_EVENT_BYTES, Parser, SseError};
use super::upload::tell;

/// How long the first update of a stream may take until it is fetched instead.
const UPDATE_GRACE: Duration = Duration::from_secs(5);

/// Between a stream that is given up and the next.
const BETWEEN_STREAMS: Duration = Duration::from_millis(250);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Broken(String),
    #[error("no byte for {0} s")]
    Silent(u64),
    #[error("the broker closed it")]
    Closed,
    #[error("{0}")]
    Unreadable(#[from] SseError),
    #[error("the certificate was renewed")]
    Renewed,
}

/// Keeps the stream open, for ever.
pub(crate) async fn run(mut shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    loop {
        let mut heard = false;
        let end = once(&mut shared, &mut heard).await;
        shared.outbox.connected(false);
        if heard {
            backoff.reset();
        }
        if matches!(end, StreamEnd::Renewed) {
            tracing::info!("the stream is opened anew: {end}");
            // The broker must see the old one end first: two at once look like two hosts with one key.
            tokio::time::sleep(BETWEEN_STREAMS).await;
            continue;
        }
        tell(&backoff, &format_args!("the stream to the broker ended: {end}"));
        if !heard {
            // A broker that answers but gives no stream, or something in between that breaks streams.
            fetch(&shared, &backoff).await;
        }
        backoff.pause().await;
    }
}

/// One stream, from its opening to its end. `heard` is set by the first event.
async fn once(shared: &mut Shared, heard: &mut bool) -> StreamEnd {
    let broker = shared.broker.borrow_and_update().clone();
    let mut answer = match broker.stream().await {
        Ok(answer) => answer,
        Err(error) => return error.into(),
    };
    tracing::info!("the stream to the broker is open");
    shared.outbox.connected(true);
    shared.want_high_water.notify_one();
    let mut parser = Parser::new(MAX_EVENT_BYTES);
    // The broker sends the update first. If it does not, it is fetched: what changed while the stream was away must come.
    let mut has_update = false;
    let grace = tokio::time::sleep(UPDATE_GRACE);
    tokio::pin!(grace);
    loop {
        let piece = tokio::select! {
            piece = tokio::time::timeout(shared.pace.stream_silence, answer.chunk()) => piece,
            () = &mut grace, if !has_update => {
                has_update = true;
                shared.want_update.notify_one();
                continue;
            }
            Ok(()) = shared.broker.changed() => return StreamEnd::Renewed,
        };
        let events = match piece {
            Err(_) => return StreamEnd::Silent(shared.pace.stream_silence.as_secs()),
            Ok(Err(error)) => return StreamEnd::Broken(describe(&error.without_url())),
            Ok(Ok(None)) => return StreamEnd::Closed,
            Ok(Ok(Some(bytes))) => match parser.feed(&bytes) {
                Ok(events) => events,
                Err(error) => return error.into(),
            },
        };
        shared.awake.notify_one();
        for event in events {
            *heard = true;
            has_update |= event.name == "update";
            take(shared, event);
        }
    }
}

fn take(shared: &Shared, event: Event) {
    match event.name.as_str() {
        "update" => match serde_json::from_str::<HostUpdate>(&event.data) {
            Ok(update) => shared.outbox.update(Box::new(update)),
            Err(error) => {
                tracing::warn!(%error, "an update on the stream cannot be read: it is fetched");
                shared.want_update.notify_one();
            }
        },
        "pulse" => shared.outbox.pulse(event.data),
        // What a newer broker may say.
        name => tracing::debug!(name, "an event that is not known here"),
    }
}

/// Fetches the update when it is asked for: after a refusal, and for a warden that is new.
pub(crate) async fn poll_on_demand(shared: Shared) {
    let mut backoff = Backoff::new(shared.pace.retry);
    loop {
        shared.want_update.notified().await;
        backoff.reset();
        while !fetch(&shared, &backoff).await {
            backoff.pause().await;
        }
    }
}

async fn fetch(shared: &Shared, backoff: &Backoff) -> bool {
    match shared.broker().update().await {
        Ok(update) => shared.outbox.update(update),
        Err(error) => {
            tell(backoff, &format_args!("no update: {error}"));
            return error.is_final();
        }
    }
    true
}
