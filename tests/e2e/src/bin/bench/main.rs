//! The benches: `cargo xtask bench` builds what is shipped and runs this.

mod account;
mod baseline;
mod compile;
mod ends;
mod gate;
mod receipt;
mod report;
mod rest;
mod sudo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if runs("account") {
        account::run()?;
    }
    if runs("sudo") {
        sudo::run()?;
    }
    if runs("end") {
        ends::window()?;
    }
    if runs("revoke") {
        ends::revocation()?;
    }
    if runs("receipt") {
        receipt::run()?;
    }
    if runs("baseline") {
        baseline::run()?;
    }
    if runs("rest") {
        rest::run()?;
    }
    Ok(())
}
