//! How large a host's bundle may become: what its host would refuse is refused here, before anybody relies on it.
//!
//! Two bounds. Before a request or an activation the size is estimated from above, so that there is a clear error for the person. When a
//! bundle is made its very size counts: one that is too large is not kept, and its host stays behind, which is told.

use stint_api::hosts::MAX_UPDATE_BYTES;
use stint_grant::bundle::{MAX_GRANTS_PER_USER, MAX_SHARD_BYTES};
use stint_grant::dsse::MAX_ENVELOPE_BYTES;

use crate::bundle::build::{Built, MOST_ENDINGS};
use crate::bundle::publish::ENDINGS;
use crate::error::{Outcome, Problem};
use crate::grant;
use crate::review;
use crate::store::Change;

/// The most locks at once. They all stand in the head, which is one envelope: so many fit, each with the longest reason.
pub const MOST_LOCKS: i64 = 1000;

/// A text in a text, both JSON: a quotation mark becomes four bytes, and nothing that may stand in terms becomes more.
const NESTED: u64 = 4;
/// The same, once.
const QUOTED: u64 = 2;
/// What a grant needs beside its terms, or a review beside its texts.
const BESIDE: u64 = 512;
/// One ending.
const ENDING: u64 = 256;
/// Roots, roster, head with its locks, and pulse.
const REST: u64 = 12 * 1024 * 1024;

/// What is active for an account on a host, or for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Load {
    /// Grants.
    pub grants: i64,
    /// The bytes of their terms.
    pub bytes: i64,
}

impl Load {
    fn and(self, terms: &str) -> Self {
        let bytes = i64::try_from(terms.len()).unwrap_or(i64::MAX);
        Self { grants: self.grants.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }
    fn as_json(self, factor: u64) -> u64 {
        let (grants, bytes) = (self.grants.unsigned_abs(), self.bytes.unsigned_abs());
        bytes.saturating_mul(factor).saturating_add(grants.saturating_mul(BESIDE))
    }
    /// Whether a shard with this in it may be larger than a host takes. Half of the grants are left for those that end.
    fn fills_a_shard(self) -> bool {
        let endings = ENDING * MOST_ENDINGS as u64;
        self.grants.unsigned_abs() > MAX_GRANTS_PER_USER as u64 / 2
            || self.as_json(QUOTED) + endings > MAX_SHARD_BYTES as u64
    }
}

/// Refuses what would make the bundle of one of these hosts too large for it.
pub async fn refuse_too_large(
    change: &mut Change,
    account: &str,
    hosts: &[String],
    terms: &str,
) -> Outcome<()> {
    let since = change.now.secs().saturating_sub(ENDINGS);
    let conn = change.conn();
    for host in hosts {
        let theirs = grant::store::load_of(conn, Some(account), host).await?;
        if theirs.and(terms).fills_a_shard() {
            return Err(Problem::conflict(
                format!("{account} has {} active grants on {host}: no more fit", theirs.grants),
                "end some of them first: `stint grant end`",
            ));
        }
        let all = grant::store::load_of(conn, None, host).await?;
        let reviews = review::store::load_of(conn, host).await?;
        let endings =
            grant::store::endings_of(conn, host, since).await?.unsigned_abs().saturating_mul(ENDING * QUOTED);
        let size =
            all.and(terms).as_json(NESTED).saturating_add(reviews.as_json(QUOTED)).saturating_add(endings);
        if size > MAX_UPDATE_BYTES as u64 - REST {
            return Err(Problem::conflict(
                format!("{host} has {} active grants: no more fit into what it takes at once", all.grants),
                "let some of them end first, or spread the work over more hosts",
            ));
        }
    }
    Ok(())
}

/// Refuses a bundle that its host would not take. `others` are the bytes of all that travels with it.
pub fn check(built: &Built, reviews: &str, others: usize) -> Outcome<()> {
    let text = serde_json::to_string(&built.shards).map_err(Problem::internal)?;
    let update = text.len() + reviews.len() + 2 * (built.head.len() + others);
    let shard = built.shards.iter().map(String::len).max().unwrap_or(0);
    for (what, bytes, most) in [
        ("the head with its locks", built.head.len(), MAX_ENVELOPE_BYTES),
        ("one account's part", shard, MAX_SHARD_BYTES),
        ("all of it", update, MAX_UPDATE_BYTES),
    ] {
        if bytes > most {
            return Err(Problem::conflict(
                format!("the bundle is too large for its host: {what} has {bytes} bytes, {most} are taken"),
                "let grants end, or remove locks",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stint_grant::ids::Sha256Hex;

    use super::*;

    fn built(head: usize, shards: &[usize]) -> Built {
        Built {
            head: "h".repeat(head),
            digest: Sha256Hex::of(b""),
            shards: shards.iter().map(|bytes| "s".repeat(*bytes)).collect(),
        }
    }

    #[test]
    fn what_the_host_would_refuse_is_not_made() {
        check(&built(1000, &[1000, MAX_SHARD_BYTES]), "[]", 1000).unwrap();
        for (why, too_large, reviews) in [
            ("the head", built(MAX_ENVELOPE_BYTES + 1, &[]), 0),
            ("one account", built(1000, &[MAX_SHARD_BYTES + 1]), 0),
            ("all of it", built(1000, &[MAX_SHARD_BYTES; 120]), 1024),
            ("all of it", built(1000, &[]), MAX_UPDATE_BYTES),
        ] {
            let problem = check(&too_large, &"r".repeat(reviews), 1000).unwrap_err().to_string();
            assert!(problem.contains(why), "{problem}");
        }
    }

    #[test]
    fn an_account_has_room_until_its_shard_might_be_too_large() {
        let of = |grants, bytes| Load { grants, bytes }.and("");
        assert!(!of(0, 60_000).fills_a_shard());
        assert!(of(0, 300_000).fills_a_shard());
        assert!(!of(127, 0).fills_a_shard());
        assert!(of(128, 0).fills_a_shard());
    }

    #[test]
    fn the_longest_terms_fit_for_somebody_who_has_none() {
        let terms = "t".repeat(stint_grant::terms::MAX_TERMS_BYTES);
        assert!(!Load::default().and(&terms).fills_a_shard());
    }

    #[test]
    fn the_estimate_is_never_below_the_real_size() {
        let text = "\"\\".repeat(1000);
        let shard = serde_json::to_string(&[&text]).unwrap();
        let update = serde_json::to_string(&[&shard]).unwrap();
        let load = Load::default().and(&text);
        assert!(load.as_json(QUOTED) >= shard.len() as u64);
        assert!(load.as_json(NESTED) >= update.len() as u64);
    }
}
