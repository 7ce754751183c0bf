//! The programs: static ones for any distribution, and the PAM module for the host's libc.

use std::path::PathBuf;

use crate::shell::{TaskError, cargo, root, step};

/// The target of everything but the PAM module and the test harness.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// For tests and the demo: the development profile. Its dependencies are those of the unit tests, so a cold machine
    /// compiles them once.
    Test,
    /// For benches: the module as shipped, the programs optimised without link-time optimisation (the broker's alone
    /// takes minutes, and no bench times it).
    Bench,
    /// As shipped.
    Release,
}

/// Where the built programs are.
pub(crate) struct Built {
    /// `stintd`, `stint`, `stint-broker`.
    pub(crate) programs: [PathBuf; 3],
    /// `libpam_stint.so`.
    pub(crate) module: PathBuf,
}

impl Build {
    /// From the command line's `--release`.
    pub(crate) fn from_flag(release: bool) -> Self {
        if release { Self::Release } else { Self::Test }
    }

    /// The profile of the programs, and that of the module; each with its folder under target.
    fn profiles(self) -> [(&'static str, &'static str); 2] {
        let (dev, lab, release) = (("dev", "debug"), ("lab", "lab"), ("release", "release"));
        match self {
            Self::Test => [dev, dev],
            Self::Bench => [lab, release],
            Self::Release => [release, release],
        }
    }
}

/// Builds everything that is shipped.
pub(crate) fn all(build: Build) -> Result<Built, TaskError> {
    let [(profile, folder), (module_profile, module_folder)] = build.profiles();
    let mut programs = cargo();
    programs.args(["build", "--locked", "--profile", profile, "--target", MUSL]);
    programs.args(["-p", "stint-agent", "-p", "stint-cli", "-p", "stint-broker"]);
    step("building stintd, stint and stint-broker", &mut programs)?;
    let mut module = cargo();
    module.args(["build", "--locked", "--profile", module_profile, "-p", "stint-pam"]);
    step("building pam_stint.so", &mut module)?;

    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = |name: &str| target.join(MUSL).join(folder).join(name);
    Ok(Built {
        programs: ["stintd", "stint", "stint-broker"].map(program),
        module: target.join(module_folder).join("libpam_stint.so"),
    })
}
