//! How recordings come from hosts, and go to auditors.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put as putting};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use stint_api::recordings::{MAX_PART_BYTES, MAX_RECORDING_BYTES, RecordingHeld, RecordingView};
use stint_grant::dsse;
use stint_grant::ids::{HostName, Sha256Hex};
use stint_grant::mark::RecordingMark;
use tokio::io::AsyncReadExt;
use utoipa::IntoParams;

use crate::error::{Outcome, Problem};
use crate::host::PeerHost;
use crate::host::store::Host;
use crate::identity::{Caller, Role};
use crate::recording::folder::Turn;
use crate::recording::store;
use crate::server::{App, Asked, Raw};

const MAY_READ: [Role; 2] = [Role::Auditor, Role::Administrator];
const READ_BYTES: usize = 256 * 1024;

pub(crate) fn routes() -> Router<App> {
    let taking = putting(put).layer(DefaultBodyLimit::max(MAX_PART_BYTES));
    Router::new()
        .route("/v1/host/recordings/{run}", taking)
        .route("/v1/recordings", get(list))
        .route("/v1/recordings/{host}/{run}", get(fetch))
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct From {
    /// Where the body begins in the recording.
    at: u64,
}

/// Takes the next part of a recording that the host's journal names. The answer comes after it is durable.
#[utoipa::path(put, path = "/v1/host/recordings/{run}", params(From), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = RecordingHeld)))]
pub(crate) async fn put(
    State(app): State<App>,
    PeerHost(host): PeerHost,
    Path(run): Path<String>,
    Asked(from): Asked<From>,
    Raw(bytes): Raw,
) -> Outcome<Json<RecordingHeld>> {
    // First of all: what another connection of this host does meanwhile is done before the database is asked.
    let turn = app.recordings.turn(&host.name).ok_or_else(|| {
        Problem::busy(format!("{} sends a recording over another connection", host.name), "wait for its end")
    })?;
    let turn = Arc::new(turn);
    let (known, held_bytes) = {
        let conn = &mut *app.db.read().await?;
        (store::get(conn, &host.name, &run).await?, store::held_bytes(conn).await?)
    };
    let known = known.filter(|_| is_a_run(&run));
    let Some((length, sha256)) = known.as_ref().and_then(store::Known::named) else {
        return Err(Problem::conflict(
            format!("no record of {} that is held here names a recording of run {:?}", host.name, &run),
            "ship the journal first; what no record names is not taken",
        ));
    };
    if length > MAX_RECORDING_BYTES {
        let next = format!("a recording has at most {MAX_RECORDING_BYTES} bytes");
        return Err(Problem::bad_input(format!("the recording of run {run} has {length} bytes"), next));
    }
    if known.as_ref().is_some_and(store::Known::is_here) {
        return held(&app, &host, &run, length, sha256);
    }
    let quota = app.config.recordings_quota_mib.saturating_mul(1024 * 1024);
    if held_bytes.saturating_add(length) > quota {
        return Err(no_room(&app, held_bytes).await?);
    }
    let taken = {
        let (turn, run) = (turn.clone(), run.clone());
        blocking(move || take_part(&turn, &run, from.at, &bytes, length)).await?
    };
    match taken {
        Taken::Part(have) => Ok(Json(RecordingHeld { have, mark: None })),
        Taken::Whole(found) if found == sha256 => {
            let (kept, name) = (turn.clone(), run.clone());
            blocking(move || kept.keep(&name)).await?;
            let mut change = app.db.change(app.clock.now()).await?;
            let now = change.now.secs();
            store::set_received(change.conn(), &host.name, &run, now).await?;
            let detail = json!({ "host": host.name, "bytes": length, "sha256": sha256 });
            change.record(&host.name, "recording.received", &run, detail).await?;
            change.commit().await?;
            app.recordings.set_full(false);
            held(&app, &host, &run, length, sha256)
        }
        Taken::Whole(found) => {
            let (dropped, name) = (turn.clone(), run.clone());
            blocking(move || dropped.drop_part(&name)).await?;
            let mut change = app.db.change(app.clock.now()).await?;
            let detail = json!({ "host": host.name, "record": sha256, "sent": found });
            change.record(&host.name, "alarm.recording", &run, detail).await?;
            change.commit().await?;
            Err(Problem::conflict(
                format!(
                    "the recording of run {run} is not the one that the record names: it has SHA-256 {found}"
                ),
                "this was reported; look at the host: somebody changed the recording, or what carries it",
            ))
        }
    }
}

/// What became of a part.
enum Taken {
    /// So much is here.
    Part(u64),
    /// All of it, with this SHA-256.
    Whole(String),
}

fn take_part(turn: &Turn, run: &str, at: u64, bytes: &Bytes, length: u64) -> io::Result<Taken> {
    let mut have = turn.have(run)?;
    // What begins elsewhere is sent again from where this ends, and what goes beyond the end is not the recording: it is begun anew.
    if have > length {
        turn.drop_part(run)?;
        have = 0;
    }
    if at == have && !bytes.is_empty() && have + bytes.len() as u64 <= length {
        turn.append(run, bytes)?;
        have += bytes.len() as u64;
    }
    if have == length { turn.sha256(run).map(Taken::Whole) } else { Ok(Taken::Part(have)) }
}

/// Says what is held in a way that the host can believe: it deletes its own by it.
fn held(app: &App, host: &Host, run: &str, bytes: u64, sha256: &str) -> Outcome<Json<RecordingHeld>> {
    let document = RecordingMark {
        format: 1,
        fleet: app.config.fleet.clone(),
        host: HostName::new(host.name.as_str())?,
        host_key: host.identity()?,
        run: run.to_owned(),
        bytes,
        sha256: Sha256Hex::new(sha256)?,
    };
    let envelope = dsse::sign(&document, &[&app.keys.pulse]);
    let mark = String::from_utf8(envelope).map_err(Problem::internal)?;
    Ok(Json(RecordingHeld { have: bytes, mark: Some(mark) }))
}

/// There is no room: told once, until there is some again.
async fn no_room(app: &App, held: u64) -> Outcome<Problem> {
    let quota = app.config.recordings_quota_mib;
    if app.recordings.set_full(true) {
        let mut change = app.db.change(app.clock.now()).await?;
        let detail = json!({ "bytes": held, "quota_mib": quota });
        change.record("broker", "alarm.recordings_full", "recordings", detail).await?;
        change.commit().await?;
    }
    Ok(Problem::unavailable(
        format!(
            "the broker's room for recordings is full ({held} bytes of {quota} MiB): nothing was taken, nothing deleted"
        ),
        "raise recordings_quota_mib in broker.toml and restart the broker; until then hosts keep theirs",
    ))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(|e| of_the_disk(&e))
}

fn of_the_disk(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::StorageFull {
        return Problem::unavailable(
            "the broker's disk is full: the recording was not taken",
            "make room on the broker's data directory, then try again",
        );
    }
    Problem::internal(format_args!("recordings: {error}"))
}

/// Ids are base32 in lower case; nothing else becomes a file's name.
fn is_a_run(run: &str) -> bool {
    (1..=64).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[derive(Deserialize, IntoParams)]
pub(crate) struct Which {
    /// Of this host only.
    host: Option<String>,
    /// Of this grant only.
    grant: Option<String>,
    /// Of runs that begin like this only.
    run: Option<String>,
    /// How many at most: 500 if not given, 5000 at most.
    limit: Option<i64>,
}

/// What is known of recordings, the newest first.
#[utoipa::path(get, path = "/v1/recordings", params(Which), responses((status = 200, body = Vec<RecordingView>)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(which): Asked<Which>,
) -> Outcome<Json<Vec<RecordingView>>> {
    caller.need(&MAY_READ, "see what was recorded")?;
    let limit = which.limit.unwrap_or(500).clamp(1, 5000);
    let conn = &mut *app.db.read().await?;
    let known =
        store::list(conn, which.host.as_deref(), which.grant.as_deref(), which.run.as_deref(), limit).await?;
    Ok(Json(known.into_iter().map(store::Known::view).collect::<Outcome<_>>()?))
}

/// A recording. That it was read is an event before the first byte goes out.
#[utoipa::path(get, path = "/v1/recordings/{host}/{run}", responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn fetch(
    State(app): State<App>,
    caller: Caller,
    Path((host, run)): Path<(String, String)>,
) -> Outcome<Response> {
    caller.need(&MAY_READ, "read what was recorded")?;
    let known = store::get(&mut *app.db.read().await?, &host, &run).await?.filter(|_| is_a_run(&run));
    let known = known.ok_or_else(|| {
        Problem::not_found(
            format!("there is no recording of run {run:?} on {host:?}"),
            "list them: stint session ls",
        )
    })?;
    if !known.is_here() {
        return Err(Problem::not_found(
            format!("the recording of run {run} is still on {host}"),
            "it is sent after the journal: see `stint session ls`, and `stintd status` on the host",
        ));
    }
    let path = app.recordings.file(&host, &run);
    let file = tokio::fs::File::open(&path).await.map_err(|e| gone(&path, &e))?;
    let length = file.metadata().await.map_err(|e| gone(&path, &e))?.len();
    let mut change = caller.change(&app).await?;
    change.record(&caller.name, "recording.read", &run, json!({ "host": host, "bytes": length })).await?;
    change.commit().await?;
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; READ_BYTES];
        let n = file.read(&mut buffer).await?;
        buffer.truncate(n);
        Ok::<_, io::Error>((n > 0).then(|| (Bytes::from(buffer), file)))
    });
    let head = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((head, Body::from_stream(pieces)).into_response())
}

fn gone(path: &std::path::Path, error: &io::Error) -> Problem {
    Problem::internal(format_args!("{}: {error}: restore it from the backup", path.display()))
}
