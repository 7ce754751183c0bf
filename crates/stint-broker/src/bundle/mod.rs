//! Bundles and pulses: what the broker signs for each host.
//!
//! A change raises the host's `wanted` in its own transaction; [`publish`] makes the bundles that are behind, durably, before
//! anybody sees them. So a broker that dies between a change and its push makes the bundle when it starts again.

pub mod build;
mod publish;
pub mod size;
pub mod store;

use stint_api::hosts::HostUpdate;
use stint_grant::bundle::Pulse;
use stint_grant::dsse;
use stint_grant::ids::{HostName, Sha256Hex};

pub(crate) use publish::{publish, refresh};

use crate::error::{Outcome, Problem};
use crate::review;
use crate::server::App;
use crate::store::Conn;
use crate::trust;

/// A fresh pulse for a bundle.
pub fn pulse(app: &App, bundle: &store::Bundle) -> Outcome<String> {
    let pulse = Pulse {
        format: 1,
        fleet: app.config.fleet.clone(),
        host: HostName::new(bundle.host.as_str())?,
        head: Sha256Hex::new(bundle.digest.as_str())?,
        epoch: bundle.epoch.unsigned_abs(),
        version: bundle.version.unsigned_abs(),
        issued_at: app.clock.now().unix(),
    };
    String::from_utf8(dsse::sign(&pulse, &[&app.keys.pulse])).map_err(Problem::internal)
}

/// All that a host needs with a bundle.
pub async fn update(app: &App, conn: &mut Conn, bundle: &store::Bundle) -> Outcome<HostUpdate> {
    let (roots, roster) = trust::store::texts(conn).await?;
    Ok(HostUpdate {
        roots,
        roster,
        head: bundle.head.clone(),
        shards: bundle.shards()?,
        reviews: review::store::from_text(&bundle.reviews)?,
        pulse: pulse(app, bundle)?,
    })
}
