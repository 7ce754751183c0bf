//! How much of one kind may be recorded: nonsense without end must not fill the disk.

use super::decisions::Denials;

/// How much may be recorded of what others can make without end. Each for itself: what one makes uses up nothing of what is told of
/// another, and no user silences what is told of a courier.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Refused news: a courier can bring ever new nonsense.
    pub(super) refusals: Allowance,
    /// Refused news that is an alarm.
    pub(super) alarms: Allowance,
    /// Users who say that they are sudo.
    pub(super) strangers: Allowance,
    /// Codes that come while somebody has to wait.
    pub(super) waits: Allowance,
    /// Denials.
    pub(super) denials: Denials,
}

/// How many records of one kind may be made in an hour of the boot clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    hour: u64,
    used: u32,
}

impl Allowance {
    const IN_AN_HOUR: u32 = 120;

    /// Takes one, if there is one left.
    pub(crate) fn take(&mut self, boottime_ms: u64) -> bool {
        let hour = boottime_ms / 3_600_000;
        if hour != self.hour {
            *self = Self { hour, used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used <= Self::IN_AN_HOUR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_without_end_makes_a_bounded_number_of_records_in_each_hour() {
        let mut refusals = Allowance::default();
        for hour in [0, 1, 7] {
            let made = (0..10_000).filter(|n| refusals.take(hour * 3_600_000 + n)).count();
            assert_eq!(made, Allowance::IN_AN_HOUR as usize);
        }
    }
}
