//! Revoking a grant without anybody asking for this one.

use serde_json::json;

use crate::error::Outcome;
use crate::grant::state::State;
use crate::grant::{effect, store};
use crate::store::Change;

/// Revokes a grant, tells its hosts, and records why. One that is over stays as it is.
pub async fn withdraw(change: &mut Change, actor: &str, id: &str, why: &str) -> Outcome<()> {
    let now = change.now;
    let row = store::get(change.conn(), id).await?;
    let Ok(over) = row.grant()?.finish(State::Revoked, now.unix()) else { return Ok(()) };
    store::set(change.conn(), id, &over, Some(actor), Some(why)).await?;
    if over.from.is_some() {
        let hosts = store::hosts(change.conn(), id).await?;
        effect::begin(change.conn(), "grant", id, &hosts, now).await?;
    }
    change.record(actor, "grant.revoked", id, json!({ "reason": why })).await
}
