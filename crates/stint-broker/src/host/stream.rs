//! The push to a host: one stream of server-sent events for each, and the poll as its fallback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream};
use axum::{Extension, Json};
use serde_json::json;
use stint_api::hosts::HostUpdate;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use crate::bundle;
use crate::clock::Now;
use crate::error::{Outcome, Problem};
use crate::host::hub::Connected;
use crate::host::{PeerCertificate, PeerHost, store};
use crate::server::{App, PeerAddress};

/// Beside the time that a dead connection takes to be known as dead.
const MARGIN: Duration = Duration::from_secs(1);
/// How often the poll looks again while changes come faster than bundles are made.
const LOOKS: u32 = 5;

/// All that the host needs, now.
#[utoipa::path(get, path = "/v1/host/update", responses((status = 200, body = HostUpdate)))]
pub(crate) async fn update(State(app): State<App>, PeerHost(host): PeerHost) -> Outcome<Json<HostUpdate>> {
    for _ in 0..LOOKS {
        app.publish().await?;
        let conn = &mut *app.db.read().await?;
        // Behind means: this pulse would make an old bundle fresh, and hold back what it does not show.
        if !store::get(conn, &host.name).await?.is_behind() {
            let newest = bundle::store::newest(conn, &host.name).await?;
            return Ok(Json(bundle::update(&app, conn, &newest).await?));
        }
    }
    Err(Problem::unavailable(
        format!("the bundle of {} does not show the newest changes yet", host.name),
        "try again in a moment; if it stays so, look at the broker's log (journalctl -u stint-broker)",
    ))
}

/// A comment is sent when nothing else was for this long: couriers take a stream that is silent for two minutes for dead.
/// Longer than pulses are usually apart, so that a host at rest is not woken by both.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The stream: `update` at once and after each change, `pulse` in between.
#[utoipa::path(get, path = "/v1/host/stream", responses((status = 200, body = HostUpdate, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(app): State<App>,
    PeerHost(host): PeerHost,
    PeerAddress(from): PeerAddress,
    Extension(PeerCertificate(certificate)): Extension<PeerCertificate>,
) -> Outcome<Sse<KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>> {
    app.publish().await?;
    let connected = app.hub.connect(&host.name, from);
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let stream = Stream { certificate: certificate.unwrap_or_default(), from, to: sender };
        if let Err(problem) = push(&app, &host.name, connected, &stream).await {
            tracing::warn!(host = host.name, %problem, "the stream ends; the host will come again");
        }
    });
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// A stream, and whom it goes to.
struct Stream {
    certificate: String,
    from: SocketAddr,
    to: Sender,
}

/// A newer stream took over. If this one still lives, two machines have the host's key. But one that was cut off looks alive until its
/// connection has not answered for a while, and a host whose network was away comes back before that.
async fn taken_over(app: &App, host: &str, older: &Stream, newer: SocketAddr) -> Outcome<()> {
    let mut stopping = app.stopping();
    let lives = older.from == newer || {
        let twice = Duration::from_secs(app.config.keep_alive.0 * 2) + MARGIN;
        tokio::select! {
            () = older.to.closed() => false,
            () = stopping.wait() => false,
            () = tokio::time::sleep(twice) => true,
        }
    };
    if lives {
        tracing::warn!(host, older = %older.from, %newer, "two live streams of one host");
        if app.hub.may_tell_of_two(host) {
            return tell_of_two(app, host, older.from, newer).await;
        }
    }
    Ok(())
}

async fn tell_of_two(app: &App, host: &str, other: SocketAddr, newest: SocketAddr) -> Outcome<()> {
    let mut change = app.db.change(app.clock.now()).await?;
    let detail = json!({ "older": other.to_string(), "newer": newest.to_string() });
    change.record("broker", "alarm.two_streams", host, detail).await?;
    change.commit().await
}

type Sender = mpsc::Sender<Result<Event, Infallible>>;

/// Sends until the host is gone, its certificate does not count any more, a newer stream takes over, or the broker stops. Several
/// changes while a slow host reads become one.
async fn push(app: &App, name: &str, mut connected: Connected, stream: &Stream) -> Outcome<()> {
    let mut pulse = Instant::now() + to_the_second(app.clock.now(), Duration::from_secs(1));
    let mut stopping = app.stopping();
    let mut sent = None;
    loop {
        connected.version.mark_unchanged();
        let now = app.clock.now().secs();
        // Asked each time: the host may have been enrolled anew since, on another machine.
        let found = store::of_certificate(&mut *app.db.read().await?, &stream.certificate, now).await?;
        let Some(host) = found else { return Ok(()) };
        // What is behind waits for its bundle: a pulse now would make fresh what does not show the newest changes.
        if !host.is_behind() {
            let event = next_event(app, &host.name, &mut sent).await?;
            if stream.to.send(Ok(event)).await.is_err() {
                return Ok(());
            }
            app.hub.seen(&host.name, now);
        }
        tokio::select! {
            () = tokio::time::sleep_until(pulse) => {
                pulse = Instant::now() + to_the_second(app.clock.now(), app.config.pulse_every());
            }
            _ = connected.version.changed() => {}
            newer = connected.newer.stream() => return taken_over(app, name, stream, newer).await,
            () = stopping.wait() => return Ok(()),
            () = stream.to.closed() => return Ok(()),
        }
    }
}

/// How long to wait so that `after` is over and a second begins. Signed times are whole seconds, and a host takes the last one for now:
/// what is signed in the middle of a second would keep the host half a second behind, and each window open for so much longer.
fn to_the_second(now: Now, after: Duration) -> Duration {
    after.saturating_sub(Duration::from_millis(now.ms.rem_euclid(1000).unsigned_abs()))
}

/// A pulse if the host has the newest bundle, else the update. One read decides both, so no pulse names a bundle that was not sent.
async fn next_event(app: &App, host: &str, sent: &mut Option<i64>) -> Outcome<Event> {
    let conn = &mut *app.db.read().await?;
    let newest = bundle::store::newest(conn, host).await?;
    if *sent == Some(newest.version) {
        return Ok(Event::default().event("pulse").data(bundle::pulse(app, &newest)?));
    }
    let update = bundle::update(app, conn, &newest).await?;
    *sent = Some(newest.version);
    Ok(Event::default().event("update").data(serde_json::to_string(&update).map_err(Problem::internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_waits_for_the_beginning_of_a_second() {
        let wait = |ms, every| to_the_second(Now { ms }, Duration::from_secs(every)).as_millis();
        assert_eq!(wait(1_700_000_000_000, 1), 1000);
        assert_eq!(wait(1_700_000_000_730, 1), 270);
        assert_eq!(wait(1_700_000_000_003, 20), 19_997);
        assert_eq!(wait(-1, 1), 1);
    }
}
