//! Judging anew what is open: after the catalog, a person or a host's labels changed, inside that very change.
//!
//! One rule for all ([`judge`]). A pending request that it does not let stand is cancelled; a grant that waits for its activation, or
//! that is live, is revoked, and its hosts hear of it with the next bundle. Each is an event that says why.

use std::collections::BTreeMap;

use serde_json::json;

use crate::catalog::Catalog;
use crate::catalog::judge::{self, Holder};
use crate::error::Outcome;
use crate::grant;
use crate::host;
use crate::identity;
use crate::request;
use crate::request::state::State as RequestState;
use crate::review;
use crate::store::Change;

/// Judges all that is open, or all of one person. Answers how much of it was ended. `actor` is who brought the change about.
pub async fn rejudge(
    change: &mut Change,
    catalog: &Catalog,
    actor: &str,
    person: Option<&str>,
) -> Outcome<usize> {
    let open = request::store::open(change.conn(), person).await?;
    if open.is_empty() {
        return Ok(0);
    }
    let hosts = host::store::list(change.conn()).await?;
    let hosts: BTreeMap<_, _> = hosts.into_iter().map(|host| (host.name.clone(), host.labels())).collect();
    let mut ended = 0;
    for request in open {
        let terms = request.checked_terms()?;
        let holder = identity::store::find(change.conn(), &request.principal).await?;
        let roles = holder.as_ref().map(identity::Person::roles).unwrap_or_default();
        let holder =
            holder.as_ref().map(|p| Holder { account: &p.account, roles: &roles, enabled: p.enabled });
        let pending = request.facts(0)?.state == RequestState::Pending;
        let reviews = if pending {
            request.reviews_needed()
        } else {
            review::store::approvals(change.conn(), &request.id).await?
        };
        let Err(cause) = judge::judge(catalog, &terms, holder, &hosts, reviews) else { continue };
        ended += 1;
        let why = cause.to_string();
        if pending {
            request::store::cancel(change.conn(), &request.id, &why).await?;
            change.record(actor, "request.cancelled", &request.id, json!({ "reason": why })).await?;
        } else {
            grant::withdraw(change, actor, &request.id, &why).await?;
        }
    }
    Ok(ended)
}
