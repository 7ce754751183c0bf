//! The wall clock, for what is not decided by it: the life of a TLS certificate, and messages. Decisions take the warden's own time.

use std::time::{SystemTime, UNIX_EPOCH};

use stint_grant::time::UnixTime;

/// What the wall clock says.
pub(crate) fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
