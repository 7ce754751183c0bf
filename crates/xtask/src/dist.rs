//! The Debian packages: staged, stripped, and put together by cargo-deb.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::compile::{self, Build};
use crate::setup::CARGO_DEB;
use crate::shell::{TaskError, output, root, step};

/// The package files.
pub(crate) struct Packages {
    /// `stint-host`: for hosts.
    pub(crate) host: PathBuf,
    /// `stint`: the command line.
    pub(crate) cli: PathBuf,
    /// `stint-broker`.
    pub(crate) broker: PathBuf,
}

/// Builds the programs and the packages into target/dist.
pub(crate) fn packages(build: Build) -> Result<Packages, TaskError> {
    // The packager is compiled beside the workspace: on a cold machine each has times at which it uses one core.
    let packager = thread::spawn(|| CARGO_DEB.ensure().map(drop));
    let built = compile::all(build)?;
    packager.join().unwrap_or_else(|_| Err(TaskError::Other("installing cargo-deb: panicked".into())))?;

    let dist = root().join("target/dist");
    let stage = dist.join("stage");
    fs::create_dir_all(&stage).map_err(TaskError::file(&stage))?;
    for program in &built.programs {
        let name = program.file_name().unwrap_or_default();
        strip(program, &stage.join(name))?;
    }
    strip(&built.module, &stage.join("pam_stint.so"))?;

    let variants = [("host", "stint-host.deb"), ("cli", "stint.deb"), ("broker", "stint-broker.deb")];
    for (variant, file) in variants {
        let mut deb = CARGO_DEB.ensure()?;
        deb.args(["--quiet", "--no-build", "--no-strip", "--package", "xtask", "--variant", variant]);
        deb.arg("--output").arg(dist.join(file));
        if build != Build::Release {
            // By the gzip program: the packager itself is built without optimisation.
            deb.args(["--fast", "--compress-type", "gz", "--compress-system"]);
        }
        step(&format!("packaging {file}"), &mut deb)?;
    }
    let [host, cli, broker] = variants.map(|(_, file)| dist.join(file));
    Ok(Packages { host, cli, broker })
}

/// A copy without symbols: what the program shows in a backtrace is not worth its weight on every host.
fn strip(from: &Path, to: &Path) -> Result<(), TaskError> {
    let stripped = output("strip", &[OsStr::new("-o"), to.as_os_str(), from.as_os_str()]);
    stripped.map(drop).ok_or_else(|| TaskError::Other(format!("strip could not copy {}", from.display())))
}
