//! The battery, and its table. `cargo xtask battery` builds the packages and runs this.
//!
//! Arguments: names of families, or numbers of techniques; none means all. `--table` prints the table as it is published.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use stint_e2e::battery::{self, FAMILIES, Report};

fn main() -> ExitCode {
    let wanted: BTreeSet<String> = std::env::args().skip(1).collect();
    if wanted.contains("--table") {
        print!("{}", battery::markdown());
        return ExitCode::SUCCESS;
    }
    let mut all = Report::default();
    let mut broken = false;
    for family in FAMILIES {
        let whole = wanted.is_empty() || wanted.contains(family.name);
        let start = Instant::now();
        match battery::run(family, |number| whole || wanted.contains(number)) {
            Ok(report) if report.rows.is_empty() => {}
            Ok(report) => {
                eprintln!("==> {}: {:.0} s", family.name, start.elapsed().as_secs_f64());
                all.rows.extend(report.rows);
            }
            Err(error) => {
                eprintln!("battery: {}: {error}", family.name);
                broken = true;
            }
        }
    }
    print!("{}", battery::text(&all));
    if broken || !all.is_good() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
