//! How much of one kind may be recorded: nonsense without end must not fill the disk.

/// How many records of one kind may be made in an hour of the boot clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    hour: u64,
    used: u32,
}

impl Allowance {
    const IN_AN_HOUR: u32 = 120;

    /// Takes one, if there is one left.
    pub(super) fn take(&mut self, boottime_ms: u64) -> bool {
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
