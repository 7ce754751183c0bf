//! Reading the whole catalog: all of it is right, or none of it is taken.

use std::path::{Path, PathBuf};

use sha2::Digest;
use stint_grant::time::Seconds;

use super::{Catalog, file};
use crate::config::FileError;

/// Pulses that may be late or lost before a grant stops for want of news.
const PULSES_WITHIN_STALENESS: u64 = 2;

/// Reads all `*.toml` of a folder. All mistakes are told at once. `pulse` is how often hosts hear from the broker.
pub fn load(folder: &Path, longest: Seconds, pulse: Seconds) -> Result<Catalog, Vec<FileError>> {
    let mut catalog = Catalog::default();
    let mut mistakes = Vec::new();
    let mut hasher = sha2::Sha256::new();
    for path in files(folder).map_err(|e| vec![e])? {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => {
                mistakes.push(FileError::new(&path, format!("cannot be read: {e}")));
                continue;
            }
        };
        hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(&text);
        match file::parse(&path, &text, longest) {
            Err(mistake) => mistakes.push(mistake),
            Ok(entitlement) if entitlement.max_staleness.0 < PULSES_WITHIN_STALENESS * pulse.0 => {
                let message = format!(
                    "max_staleness: a host hears from the broker each {pulse} (pulse_interval of broker.toml): \
                     write at least {PULSES_WITHIN_STALENESS} times that"
                );
                mistakes.push(FileError::at(&path, &text, text.find("max_staleness").unwrap_or(0), message));
            }
            Ok(entitlement) => {
                let name = entitlement.name.clone();
                if catalog.entitlements.insert(name.clone(), entitlement).is_some() {
                    let message = format!(
                        "there is an entitlement {name} in another file already: give this one another name"
                    );
                    let at = text.find("name").unwrap_or(0);
                    mistakes.push(FileError::at(&path, &text, at, message));
                }
            }
        }
    }
    catalog.version = data_encoding::HEXLOWER.encode(&hasher.finalize()[..8]);
    if mistakes.is_empty() { Ok(catalog) } else { Err(mistakes) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let fault = |e: std::io::Error| FileError::new(folder, format!("the catalog cannot be read: {e}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
