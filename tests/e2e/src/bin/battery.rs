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
    for family in FAMILIES {
        let whole = wanted.is_empty() || wanted.contains(family.name);
        let start = Instant::now();
        let report = battery::run(family, |number| whole || wanted.contains(number));
        if !report.rows.is_empty() {
            eprintln!("==> {}: {:.0} s", family.name, start.elapsed().as_secs_f64());
        }
        all.rows.extend(report.rows);
    }
    print!("{}", battery::text(&all));
    if all.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
