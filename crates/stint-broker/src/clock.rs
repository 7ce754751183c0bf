//! The broker's clock. Read once for each change; tests stop and move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use stint_grant::time::UnixTime;

/// An instant in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds since 1970.
    pub ms: i64,
}

impl Now {
    /// In whole seconds.
    pub fn unix(self) -> UnixTime {
        UnixTime(self.ms.div_euclid(1000))
    }
    /// Seconds since 1970.
    pub fn secs(self) -> i64 {
        self.unix().0
    }
}

/// The system's clock, and for tests an offset to it, or one that stands still until it is moved.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    stands_at_ms: Option<i64>,
}

impl Clock {
    /// One that stands still: what a test does takes no time by it.
    pub fn stopped() -> Self {
        Self { stands_at_ms: Some(wall_ms()), ..Self::default() }
    }
    /// What time it is.
    pub fn now(&self) -> Now {
        let wall = self.stands_at_ms.unwrap_or_else(wall_ms);
        Now { ms: wall.saturating_add(self.offset_ms.load(Ordering::Relaxed)) }
    }
    /// Moves the clock.
    pub fn advance(&self, seconds: i64) {
        self.offset_ms.fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
    }
}

fn wall_ms() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    i64::try_from(wall).unwrap_or(i64::MAX)
}
