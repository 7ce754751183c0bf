//! Small C programs that time from inside a host, compiled for this machine's libc, which is the host's as well.

use std::path::Path;
use std::process::Command;

use stint_lab::Host;

/// Compiles a source of this folder into the host's `/root`, under its name without `.c`.
pub(crate) fn install(
    host: &Host,
    source: &str,
    libraries: &[&str],
) -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench").join(source);
    let program = host.root_path()?.join("root").join(source.trim_end_matches(".c"));
    let compiled =
        Command::new("cc").args(["-O2", "-Wall", "-o"]).arg(&program).arg(&path).args(libraries).status()?;
    if compiled.success() { Ok(()) } else { Err(format!("cc could not compile {}", path.display()).into()) }
}
