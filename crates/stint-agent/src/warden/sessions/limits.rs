//! PID 1's own limits on sessions, when the end of a window moves.
//!
//! They cannot be set on a scope that runs. A runtime drop-in and a reload of the units can; the limit counts from the scope's start.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use stint_grant::time::Seconds;

use super::enforcer::{Enforcer, Moment, alarm};
use crate::journal::Recorder;
use crate::warden::live::LiveGrant;

impl Enforcer {
    /// Makes PID 1's limits follow the ends of the live grants, up and down.
    pub(crate) async fn extend(&mut self, live: &[LiveGrant], at: Moment, recorder: &mut dyn Recorder) {
        let mut moved = Vec::new();
        for index in 0..self.sessions.len() {
            let Some(until) = self.sessions[index].permitted_until(live) else { continue };
            if until == self.sessions[index].limit {
                continue;
            }
            let Some(unit) = self.sessions[index].unit().map(str::to_owned) else { continue };
            match self.write_limit(&unit, until.since(at.now)).await {
                Ok(Some(wanted_us)) => moved.push((index, unit, until, wanted_us)),
                // It ended by itself in between.
                Ok(None) => {}
                Err(detail) => alarm(recorder, "limit-not-moved", detail),
            }
        }
        if moved.is_empty() {
            return;
        }
        if let Err(error) = self.bus.reload().await {
            alarm(recorder, "limit-not-moved", error.to_string());
            return;
        }
        for (index, unit, until, wanted_us) in moved {
            match self.bus.scope(&unit).await {
                Ok(Some(facts)) if facts.runtime_max_us != wanted_us => {
                    let found = facts.runtime_max_us;
                    alarm(
                        recorder,
                        "limit-not-moved",
                        format!("{unit} has {found} us instead of {wanted_us}"),
                    );
                }
                Ok(_) => self.sessions[index].limit = until,
                Err(error) => alarm(recorder, "limit-not-moved", error.to_string()),
            }
        }
        self.save();
    }

    async fn write_limit(&mut self, unit: &str, left: Seconds) -> Result<Option<u64>, String> {
        let Some(facts) = self.bus.scope(unit).await.map_err(|e| e.to_string())? else { return Ok(None) };
        let elapsed = monotonic_us().saturating_sub(facts.began_monotonic_us);
        let wanted_us = elapsed.saturating_add(left.0.saturating_mul(1_000_000));
        self.units.limit(unit, Duration::from_micros(wanted_us)).map_err(|e| e.to_string())?;
        Ok(Some(wanted_us))
    }
}

fn monotonic_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0) / 1000
    })
}
