//! Locks: they block a person, a host or a grant now, whatever was granted.

pub(crate) mod routes;
pub mod store;

use crate::clock::Now;
use crate::error::{Outcome, Problem};
use crate::store::Conn;

async fn refuse(conn: &mut Conn, kind: &str, target: &str, now: Now, what: &str) -> Outcome<()> {
    match store::current(conn, kind, target, now.secs()).await? {
        None => Ok(()),
        Some(lock) => Err(Problem::denied(
            format!("{what} is locked: {} (by {})", lock.reason, lock.set_by),
            "ask somebody with the security role to remove the lock",
        )),
    }
}

/// Refuses a person who is locked.
pub async fn refuse_locked_person(conn: &mut Conn, name: &str, now: Now) -> Outcome<()> {
    refuse(conn, "principal", name, now, name).await
}

/// Refuses a host that is locked.
pub async fn refuse_locked_host(conn: &mut Conn, name: &str, now: Now) -> Outcome<()> {
    refuse(conn, "host", name, now, &format!("host {name}")).await
}

/// Refuses a grant that is locked.
pub async fn refuse_locked_grant(conn: &mut Conn, id: &str, now: Now) -> Outcome<()> {
    refuse(conn, "grant", id, now, &format!("grant {id}")).await
}
