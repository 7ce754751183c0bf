//! How the demo speaks: a numbered step, what was run, what it said.

use std::time::Instant;

use stint_lab::Outcome;

/// The teller: numbers steps and knows how long the demo has run.
pub(crate) struct Teller {
    start: Instant,
    step: u32,
}

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A step did not hold.
    #[error("step {step} does not hold: {what}")]
    Step { step: u32, what: String },
    /// The harness could not go on.
    #[error(transparent)]
    Harness(#[from] stint_e2e::E2eError),
    /// The lab could not go on.
    #[error(transparent)]
    Lab(#[from] stint_lab::LabError),
}

impl Teller {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), step: 0 }
    }

    /// Announces a step.
    pub(crate) fn step(&mut self, what: &str) {
        self.step += 1;
        println!("\n{:>3}. {what}  [{:.0} s]", self.step, self.start.elapsed().as_secs_f64());
    }

    /// What the step claims. It holds, or the demo is over.
    pub(crate) fn holds(&self, what: &str, held: bool) -> Result<(), DemoError> {
        if held {
            println!("     ok: {what}");
            Ok(())
        } else {
            Err(DemoError::Step { step: self.step, what: what.into() })
        }
    }
}

/// Shows a line as somebody typed it.
pub(crate) fn typed(who: &str, line: &str) {
    println!("     {who}$ {line}");
}

/// Shows what was said, indented; host key and banner noise does not come from anybody.
pub(crate) fn said(text: &str) {
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        println!("       {line}");
    }
}

/// Shows a command and what it said.
pub(crate) fn ran(who: &str, line: &str, outcome: &Outcome) {
    typed(who, line);
    said(&outcome.text());
}
