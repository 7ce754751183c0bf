//! The programs: static ones for any distribution, and the PAM module for the host's libc.

use std::path::PathBuf;

use crate::shell::{TaskError, cargo, root, step};

/// The target of everything but the PAM module and the test harness.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// Where the built programs are.
pub(crate) struct Built {
    /// `stintd`, `stint`, `stint-broker`.
    pub(crate) programs: [PathBuf; 3],
    /// `libpam_stint.so`.
    pub(crate) module: PathBuf,
}

/// Builds everything that is shipped. For tests the development profile: its dependencies are those of the unit tests,
/// so a cold machine compiles them once.
pub(crate) fn all(release: bool) -> Result<Built, TaskError> {
    let (profile, folder) = if release { ("release", "release") } else { ("dev", "debug") };
    let mut programs = cargo();
    programs.args(["build", "--locked", "--profile", profile, "--target", MUSL]);
    programs.args(["-p", "stint-agent", "-p", "stint-cli", "-p", "stint-broker"]);
    step("building stintd, stint and stint-broker", &mut programs)?;
    let mut module = cargo();
    module.args(["build", "--locked", "--profile", profile, "-p", "stint-pam"]);
    step("building pam_stint.so", &mut module)?;

    let target = root().join("target");
    let program = |name: &str| target.join(MUSL).join(folder).join(name);
    Ok(Built {
        programs: ["stintd", "stint", "stint-broker"].map(program),
        module: target.join(folder).join("libpam_stint.so"),
    })
}
