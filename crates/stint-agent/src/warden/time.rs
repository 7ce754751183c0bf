//! What the host's clocks say, and when a signed time may anchor them.

use nix::time::{ClockId, clock_gettime};
use stint_grant::time::{ClockFault, ClockReading, Floor, Seconds, UnixTime};

/// Reads the clocks. `None` if the kernel does not tell the boot's id (no /proc).
pub(crate) fn read_clocks() -> Option<ClockReading> {
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).ok()?;
    // As PID 1 sees it, which is what the module sees in sshd and sudo. In a container the id is a file laid over /proc, and our
    // sandbox's own /proc does not have it: with two ids, neither would believe the other's floor in this boot.
    let boot_id = std::fs::read_to_string("/proc/1/root/proc/sys/kernel/random/boot_id")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/random/boot_id"))
        .ok()?;
    Some(ClockReading {
        wall: UnixTime(wall.tv_sec()),
        boottime_ms: boottime_ms(),
        boot_id: boot_id.trim().to_owned(),
    })
}

/// `CLOCK_BOOTTIME` in milliseconds.
pub(crate) fn boottime_ms() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or((0, 0), |t| (t.tv_sec(), t.tv_nsec()));
    u64::try_from(time.0).unwrap_or(0) * 1000 + u64::try_from(time.1).unwrap_or(0) / 1_000_000
}

/// The floor of a host that has seen no signed time yet: any wall clock is ahead of it.
pub(crate) fn first_floor() -> Floor {
    Floor { time: UnixTime(0), boot_id: String::new(), boottime_ms: 0 }
}

/// The floor after a signed time was authenticated.
///
/// In a boot that has seen no signed time yet, only news becomes the boot's anchor: a signed time that was not seen before, and that
/// lies no further behind the wall clock than news may be old. Else a courier that replays an old pulse after a long power-off could
/// turn the host's time back to it, and what ended in between would live again.
pub(crate) fn advance(
    floor: &Floor,
    signed: UnixTime,
    staleness: Seconds,
    reading: &ClockReading,
) -> Result<Floor, ClockFault> {
    let new_boot = floor.boot_id != reading.boot_id;
    if new_boot && (signed <= floor.time || signed.plus(staleness) < reading.wall) {
        return Ok(Floor { time: floor.time.max(signed), ..floor.clone() });
    }
    floor.advance(signed, reading)
}

/// The moment on CLOCK_BOOTTIME, in milliseconds, at which the host's time reaches `at`.
pub(crate) fn boottime_of(at: UnixTime, floor: &Floor, reading: &ClockReading) -> Option<u64> {
    let now = floor.now(reading).ok()?;
    if floor.boot_id == reading.boot_id && reading.boottime_ms >= floor.boottime_ms {
        // Exactly when the floor's second ticks over, not up to a second later.
        return Some(floor.boottime_ms.saturating_add(at.since(floor.time).0.saturating_mul(1000)));
    }
    Some(reading.boottime_ms.saturating_add(at.since(now).0.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boottime_ms: u64, boot: &str) -> ClockReading {
        ClockReading { wall: UnixTime(wall), boottime_ms, boot_id: boot.to_owned() }
    }
    fn floor(time: i64, boottime_ms: u64, boot: &str) -> Floor {
        Floor { time: UnixTime(time), boot_id: boot.to_owned(), boottime_ms }
    }
    const STALENESS: Seconds = Seconds(900);

    #[test]
    fn an_old_pulse_after_a_long_power_off_does_not_turn_the_time_back() {
        let before = floor(1_000_000, 5_000, "first");
        let now = reading(1_036_000, 20_000, "second");
        let after = advance(&before, UnixTime(1_000_001), STALENESS, &now).unwrap();
        assert_eq!(after.now(&now), Ok(UnixTime(1_036_000)));
        assert_eq!(after.time, UnixTime(1_000_001));
    }

    #[test]
    fn a_fresh_pulse_anchors_a_new_boot() {
        let before = floor(1_000_000, 5_000, "first");
        let now = reading(1_036_000, 20_000, "second");
        let after = advance(&before, UnixTime(1_035_990), STALENESS, &now).unwrap();
        assert_eq!(after, floor(1_035_990, 20_000, "second"));
    }

    #[test]
    fn a_wall_clock_behind_is_mended_by_a_signed_time() {
        let before = floor(1_000_000, 5_000, "first");
        let now = reading(10, 20_000, "second");
        assert!(before.now(&now).is_err());
        let after = advance(&before, UnixTime(1_000_060), STALENESS, &now).unwrap();
        assert_eq!(after.now(&now), Ok(UnixTime(1_000_060)));
    }

    #[test]
    fn a_pulse_that_was_seen_before_the_reboot_mends_no_wall_clock() {
        let before = floor(1_000_000, 5_000, "first");
        let now = reading(10, 20_000, "second");
        let after = advance(&before, UnixTime(1_000_000), STALENESS, &now).unwrap();
        assert!(after.now(&now).is_err());
    }

    #[test]
    fn no_pulse_of_the_boot_before_mends_a_wall_clock_whenever_in_that_boot_it_was_seen() {
        let first = floor(1_000_000, 5_000, "first");
        // As pulses come: signed in this second, or the one before.
        let (mut seen, mut boottime_ms) = (first.clone(), 5_000);
        for signed in [1_000_019, 1_000_040, 1_000_060] {
            boottime_ms += 20_400;
            let now = reading(1_000_000, boottime_ms, "first");
            let before = seen.now(&now).unwrap();
            seen = advance(&seen, UnixTime(signed), STALENESS, &now).unwrap();
            assert_eq!((seen.now(&now).unwrap(), seen.time), (before, UnixTime(signed)));
        }
        let booted = reading(999_000, 20_000, "second");
        let after = advance(&seen, UnixTime(1_000_060), STALENESS, &booted).unwrap();
        assert!(after.now(&booted).is_err());
    }

    #[test]
    fn a_signed_time_far_ahead_raises_nothing() {
        let before = floor(1_000_000, 5_000, "boot");
        let now = reading(1_000_000, 5_000, "boot");
        advance(&before, UnixTime(2_000_000), STALENESS, &now).unwrap_err();
    }

    #[test]
    fn a_deadline_is_met_on_the_boot_clock_whatever_the_wall_clock_does() {
        let anchor = floor(1_000, 50_500, "boot");
        for wall in [0, 1_000, 999_999] {
            let now = reading(wall, 60_700, "boot");
            assert_eq!(boottime_of(UnixTime(1_030), &anchor, &now), Some(80_500));
        }
    }
}
