//! Time: signed instants, and the rule for what time it is on a host.
//!
//! Now is the last signed time plus the boot clock elapsed since, in this boot. Before the first signed time of a boot it is the
//! wall clock, and a wall clock behind the stored floor denies. The floor is raised by signed times only, never by the wall clock.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::strict::document;

/// Seconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// This instant, later by some seconds (saturating).
    #[must_use]
    pub fn plus(self, seconds: Seconds) -> Self {
        Self(self.0.saturating_add_unsigned(seconds.0))
    }
    /// Seconds from `earlier` until this instant; zero if it is not later.
    pub fn since(self, earlier: Self) -> Seconds {
        // Not a saturating subtraction: between two extremes it would name half of the length.
        Seconds(if self > earlier { self.0.abs_diff(earlier.0) } else { 0 })
    }
    /// The same instant for printing and calendar work; `None` outside the calendar's range.
    pub fn to_timestamp(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_second(self.0).ok()
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_timestamp() {
            Some(t) => write!(f, "{}", t.strftime("%Y-%m-%d %H:%M:%S UTC")),
            None => write!(f, "second {}", self.0),
        }
    }
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    /// As people say it: `1 h 5 min`, `40 min`, `30 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (h, m, s) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        let mut parts = Vec::new();
        for (n, unit) in [(h, "h"), (m, "min"), (s, "s")] {
            if n > 0 {
                parts.push(format!("{n} {unit}"));
            }
        }
        f.write_str(if parts.is_empty() { "0 s" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

/// What the host's clocks say, read by the caller in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// `CLOCK_REALTIME`.
    pub wall: UnixTime,
    /// `CLOCK_BOOTTIME` in milliseconds: it counts through suspend and nobody can set it.
    pub boottime_ms: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

document! {
    /// The lower bound of time that the host has seen signed, and when in which boot it saw it.
    pub struct Floor {
        /// The highest authenticated time.
        pub time: UnixTime,
        /// The boot in which it was seen.
        pub boot_id: String,
        /// `CLOCK_BOOTTIME` in milliseconds when it was seen.
        pub boottime_ms: u64,
    }
}

/// Why it cannot be said what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The wall clock is behind what was signed already, and this boot has seen no signed time yet.
    #[error(
        "this host's clock ({wall}) is behind the last signed time ({floor}): set the clock, or wait for the broker"
    )]
    Behind {
        /// The wall clock.
        wall: UnixTime,
        /// The stored floor.
        floor: UnixTime,
    },
    /// A signed time lies more than a day ahead of both the wall clock and the floor.
    #[error(
        "a signed time ({signed}) is more than 24 h ahead of this host's clock ({now}): it was not believed"
    )]
    FarAhead {
        /// The signed time.
        signed: UnixTime,
        /// What the host takes for now.
        now: UnixTime,
    },
}

/// How far ahead a signed time may be before it is an alarm.
const FAR: Seconds = Seconds(24 * 3600);

impl Floor {
    /// What time it is.
    pub fn now(&self, reading: &ClockReading) -> Result<UnixTime, ClockFault> {
        if self.boot_id == reading.boot_id && reading.boottime_ms >= self.boottime_ms {
            return Ok(self.time.plus(Seconds((reading.boottime_ms - self.boottime_ms) / 1000)));
        }
        if reading.wall < self.time {
            return Err(ClockFault::Behind { wall: reading.wall, floor: self.time });
        }
        Ok(reading.wall)
    }

    /// The same line of time, anchored at a later signed time of this boot, which news usually is: it is a little behind now. Else what
    /// was signed since the first news of a boot would count as new after the next reboot, and vouch for a clock that lost its time.
    fn moved_along(&self, signed: UnixTime, reading: &ClockReading) -> Self {
        let here = self.boot_id == reading.boot_id && reading.boottime_ms >= self.boottime_ms;
        if !here || signed <= self.time {
            return self.clone();
        }
        let later_ms = signed.since(self.time).0.saturating_mul(1000);
        Self { time: signed, boottime_ms: self.boottime_ms.saturating_add(later_ms), ..self.clone() }
    }

    /// The floor after `signed` was authenticated. Time never goes back, and the wall clock never raises it.
    ///
    /// A signed time that is not later than what is known says nothing new, in a new boot either: else a pulse from before the
    /// reboot, shown again, would vouch for a clock that lost its time.
    pub fn advance(&self, signed: UnixTime, reading: &ClockReading) -> Result<Self, ClockFault> {
        let known = if self.boot_id == reading.boot_id { self.now(reading)? } else { self.time };
        if signed > known.plus(FAR) && signed > reading.wall.plus(FAR) {
            return Err(ClockFault::FarAhead { signed, now: known.max(reading.wall) });
        }
        if signed <= known {
            return Ok(self.moved_along(signed, reading));
        }
        Ok(Self { time: signed, boot_id: reading.boot_id.clone(), boottime_ms: reading.boottime_ms })
    }
}
