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
    /// For benches: what is on the host as shipped, the others optimised without link-time optimisation (the broker's
    /// alone takes minutes, and no bench times it).
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

    /// The profile of what is on the host (`stintd` and the module), and that of the others; each with its folder under
    /// target.
    fn profiles(self) -> [(&'static str, &'static str); 2] {
        let (dev, lab, release) = (("dev", "debug"), ("lab", "lab"), ("release", "release"));
        match self {
            Self::Test => [dev, dev],
            Self::Bench => [release, lab],
            Self::Release => [release, release],
        }
    }
}

/// Builds everything that is shipped.
pub(crate) fn all(build: Build) -> Result<Built, TaskError> {
    let [(host_profile, host_folder), (profile, folder)] = build.profiles();
    let programs = |profile: &str, packages: &[&str]| {
        let mut programs = cargo();
        programs.args(["build", "--locked", "--profile", profile, "--target", MUSL]);
        for package in packages {
            programs.args(["-p", package]);
        }
        step(&format!("building {}", packages.join(" and ")), &mut programs)
    };
    if host_profile == profile {
        programs(profile, &["stint-agent", "stint-cli", "stint-broker"])?;
    } else {
        programs(host_profile, &["stint-agent"])?;
        programs(profile, &["stint-cli", "stint-broker"])?;
    }
    let mut module = cargo();
    module.args(["build", "--locked", "--profile", host_profile, "-p", "stint-pam"]);
    step("building pam_stint.so", &mut module)?;

    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = |folder: &str, name: &str| target.join(MUSL).join(folder).join(name);
    Ok(Built {
        programs: [program(host_folder, "stintd"), program(folder, "stint"), program(folder, "stint-broker")],
        module: target.join(host_folder).join("libpam_stint.so"),
    })
}
