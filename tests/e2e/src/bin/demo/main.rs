//! The demo: the story of one grant on a booted host. `cargo xtask demo` builds the packages and runs this.
//!
//! Each step shows what really happened, and is checked: a step that does not hold ends the demo with an error.

mod story;
mod tell;

use std::process::ExitCode;

fn main() -> ExitCode {
    match story::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo stopped: {error}");
            ExitCode::FAILURE
        }
    }
}
