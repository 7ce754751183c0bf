//! Making the bundles that are behind, and telling the streams.

use serde_json::json;
use stint_grant::ids::HostName;
use stint_grant::time::Seconds;

use crate::bundle::build::{self, Facts};
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
const AT_ONCE: i64 = 50;
/// How long a denial can still name how a grant ended.
const ENDINGS: i64 = 24 * 3600;
/// A bundle is made anew after this, so that old endings leave it and its end moves on.
const AGE: i64 = 12 * 3600;

/// Makes all bundles that are behind. One at a time; what changes meanwhile is seen by the next round.
pub(crate) async fn publish(app: &App) -> Outcome<()> {
    let _one = app.publishing.lock().await;
    loop {
        let behind = store::behind(&mut *app.db.read().await?, AT_ONCE).await?;
        if behind.is_empty() {
            return Ok(());
        }
        let mut change = app.db.change(app.clock.now()).await?;
        let trust = trust::store::load(change.conn()).await?;
        let mut made = Vec::with_capacity(behind.len());
        for host in behind {
            let version = make(app, &mut change, &trust, &host).await?;
            made.push((host, version));
        }
        change.commit().await?;
        for (host, version) in made {
            app.hub.announce(&host, version);
        }
    }
}

async fn make(app: &App, change: &mut Change, trust: &Trust, name: &str) -> Outcome<u64> {
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
    let built = build::build(facts, &app.keys.bundle)?;
    let new = New {
        host: name,
        epoch: i64::try_from(trust.root.epoch).map_err(Problem::internal)?,
        version,
        issued_at: now.0,
        digest: built.digest.as_str(),
        head: &built.head,
        shards: &built.shards,
        reviews: &reviews,
        built: host.wanted,
    };
    store::put(conn, &new).await?;
    grant::effect::bundled(conn, name, host.wanted, version).await?;
    change.record("broker", "bundle.made", name, json!({ "version": version, "head": built.digest })).await?;
    Ok(version.unsigned_abs())
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
