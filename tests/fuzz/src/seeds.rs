//! Writes the seeds of each target to `corpus/TARGET/`, for libFuzzer to begin with.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let seeds = [
        stint_fuzz::grant::seeds(),
        stint_fuzz::log::seeds(),
        stint_fuzz::sudolog::seeds(),
        stint_fuzz::token_checks::seeds(),
    ];
    for (number, (target, bytes)) in seeds.into_iter().flatten().enumerate() {
        let dir = Path::new("corpus").join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("seed-{number}")), bytes)?;
    }
    Ok(())
}
