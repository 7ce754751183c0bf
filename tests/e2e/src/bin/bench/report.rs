//! What a bench found: printed for people, written for machines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One case: two percentiles, and how they stand to others of the same run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) name: String,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) unit: &'static str,
    /// p50 as a multiple of the named one's p50, in the same run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ratio: BTreeMap<String, f64>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, p50: f64, p99: f64, unit: &'static str) -> Self {
        Self { name: name.into(), p50: round(p50), p99: round(p99), unit, ratio: BTreeMap::new() }
    }

    /// From samples, sorted here.
    pub(crate) fn of(name: impl Into<String>, mut samples: Vec<f64>, unit: &'static str) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |percent: usize| samples.get((samples.len() * percent / 100).min(samples.len() - 1));
        let (p50, p99) = (at(50).copied().unwrap_or(f64::NAN), at(99).copied().unwrap_or(f64::NAN));
        Self::new(name, p50, p99, unit)
    }

    pub(crate) fn against(mut self, name: &str, other: &Self) -> Self {
        self.ratio.insert(name.into(), round(self.p50 / other.p50));
        self
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Prints the cases and writes `target/bench/NAME.json`.
pub(crate) fn close(name: &str, cases: &[Case]) -> Result<(), Box<dyn std::error::Error>> {
    println!("\n{name}");
    for case in cases {
        let ratios: Vec<_> = case.ratio.iter().map(|(to, ratio)| format!("{ratio:.2} x {to}")).collect();
        println!(
            "  {:<28} p50 {:>9.1} {unit}  p99 {:>9.1} {unit}  {}",
            case.name,
            case.p50,
            case.p99,
            ratios.join(", "),
            unit = case.unit
        );
    }
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(format!("{name}.json")), serde_json::to_vec_pretty(cases)?)?;
    Ok(())
}
