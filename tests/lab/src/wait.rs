//! Waiting for a condition, with a bound: the only place in the lab and its tests that sleeps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::LabError;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a test waits for what must come. Long: where all is well nothing is lost by it, and the machine may be slow, and busy with
/// other tests.
pub const PATIENCE: Duration = Duration::from_mins(3);

thread_local! {
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread has waited in vain: a test that ends so tells what its hosts say, as one that panics does.
pub(crate) fn gave_up() -> bool {
    GAVE_UP.get()
}

/// Asks `found` until it answers with something, at most for `bound`.
pub fn poll<T>(what: &str, bound: Duration, mut found: impl FnMut() -> Option<T>) -> Result<T, LabError> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = found() {
            return Ok(answer);
        }
        if start.elapsed() >= bound {
            GAVE_UP.set(true);
            return Err(LabError::Timeout { what: what.to_owned(), seconds: bound.as_secs() });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks `holds` until it is true, at most for `bound`.
pub fn until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Result<(), LabError> {
    poll(what, bound, || holds().then_some(()))
}
