//! Making the bundles that are behind, and telling the streams.

use std::collections::BTreeSet;

use serde_json::json;
use stint_grant::ids::HostName;
use stint_grant::time::Seconds;

use crate::bundle::build::{self, Facts};
use crate::bundle::size;
use crate::bundle::store::{self, New};
use crate::error::{Outcome, Problem};
use crate::grant;
use crate::host;
use crate::lock;
use crate::review;
use crate::server::App;
use crate::store::Change;
use crate::trust::{self, Trust};

/// Hosts in one transaction.
const AT_ONCE: usize = 50;
/// How long a denial can still name how a grant ended.
pub(super) const ENDINGS: i64 = 24 * 3600;
/// A bundle is made anew after this, so that old endings leave it and its end moves on.
const AGE: i64 = 12 * 3600;

/// Makes all bundles that are behind. One at a time; what changes meanwhile is seen by the next round. A host whose bundle cannot be
/// made holds no other up: it is told of, stays behind, and gets no pulse meanwhile.
pub(crate) async fn publish(app: &App) -> Outcome<()> {
    let _one = app.publishing.lock().await;
    let mut failed = BTreeSet::new();
    loop {
        let mut behind = store::behind(&mut *app.db.read().await?).await?;
        behind.retain(|host| !failed.contains(host));
        behind.truncate(AT_ONCE);
        if behind.is_empty() {
            return Ok(());
        }
        let mut change = app.db.change(app.clock.now()).await?;
        let trust = trust::store::load(change.conn()).await?;
        let mut made = Vec::with_capacity(behind.len());
        for host in behind {
            match make(app, &mut change, &trust, &host).await {
                Ok(new) => made.push((host, keep(&mut change, &new).await?)),
                Err(problem) => {
                    tracing::error!(host, %problem, "the host's bundle could not be made: it stays behind");
                    failed.insert(host);
                }
            }
        }
        if made.is_empty() {
            continue;
        }
        change.commit().await?;
        for (host, version) in made {
            app.hub.announce(&host, version);
        }
    }
}

/// Reads and signs; writes nothing.
async fn make(app: &App, change: &mut Change, trust: &Trust, name: &str) -> Outcome<New> {
    let now = change.now.unix();
    let conn = change.conn();
    let host = host::store::get(conn, name).await?;
    let version = host.bundle_version + 1;
    let locks = lock::store::for_host(conn, name).await?;
    let reviews = review::store::to_text(&review::store::for_host(conn, name).await?)?;
    let facts = Facts {
        fleet: &app.config.fleet,
        host: HostName::new(name)?,
        host_key: host.identity()?,
        epoch: trust.root.epoch,
        version: version.unsigned_abs(),
        now,
        expires_at: now.plus(app.config.bundle_validity),
        locks: locks.iter().map(lock::store::Row::signed).collect::<Outcome<_>>()?,
        grants: grant::store::for_host(conn, name, now.0.saturating_sub(ENDINGS)).await?,
    };
    let epoch = i64::try_from(trust.root.epoch).map_err(Problem::internal)?;
    let built = build::build(facts, &app.keys.bundle)?;
    let others = trust.roots.iter().chain(&trust.roster).map(String::len).sum();
    size::check(&built, &reviews, others)?;
    Ok(New {
        host: name.to_owned(),
        epoch,
        version,
        issued_at: now.0,
        bundle: built,
        reviews,
        built: host.wanted,
    })
}

async fn keep(change: &mut Change, new: &New) -> Outcome<u64> {
    store::put(change.conn(), new).await?;
    grant::effect::bundled(change.conn(), &new.host, new.built, new.version).await?;
    let detail = json!({ "version": new.version, "head": new.bundle.digest });
    change.record("broker", "bundle.made", &new.host, detail).await?;
    Ok(new.version.unsigned_abs())
}

/// Lets old bundles be made anew, well before their end.
pub(crate) async fn refresh(app: &App) -> Outcome<()> {
    let Seconds(validity) = app.config.bundle_validity;
    let age = AGE.min(i64::try_from(validity / 2).unwrap_or(AGE));
    let mut change = app.db.change(app.clock.now()).await?;
    let before = change.now.secs().saturating_sub(age);
    let count = store::age(change.conn(), before).await?;
    if count == 0 {
        return Ok(());
    }
    change.record("broker", "bundle.aged", app.config.fleet.as_str(), json!({ "hosts": count })).await?;
    change.commit().await
}
