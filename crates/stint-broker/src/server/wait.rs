//! Waiting for a newer version of something: how `--wait` gets its news without asking again and again.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::error::{Outcome, Problem};
use crate::server::App;

/// How long a waiting call is held open.
const HOLD: Duration = Duration::from_secs(25);

/// The query of a call that may wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
pub struct Waiting {
    /// Answer when the version is above this, or after 25 s.
    wait_version: Option<u64>,
}

/// Loads something again and again, each time that something changed in the database, until its version is above the one that the
/// caller knows. One person has a bounded number of such calls.
pub async fn newer<T, F: Future<Output = Outcome<T>>>(
    app: &App,
    caller: &str,
    waiting: Waiting,
    load: impl Fn() -> F,
    version: impl Fn(&T) -> u64,
) -> Outcome<T> {
    let until = Instant::now() + HOLD;
    let (mut changes, mut stopping) = (app.db.subscribe(), app.stopping());
    let mut place = None;
    loop {
        changes.mark_unchanged();
        let found = load().await?;
        if waiting.wait_version.is_none_or(|known| version(&found) > known) {
            return Ok(found);
        }
        if place.is_none() {
            place = app.places.waiting_call(caller);
        }
        if place.is_none() {
            return Err(Problem::busy(
                format!("{caller} has too many calls that wait for news"),
                "end some of the commands that wait, then try again",
            ));
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = stopping.wait() => return Ok(found),
            () = tokio::time::sleep_until(until) => return Ok(found),
        }
    }
}
