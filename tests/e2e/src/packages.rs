//! Where the packages under test are.

use std::path::{Path, PathBuf};

/// The package files that `cargo xtask dist` made.
#[derive(Debug, Clone)]
pub struct Packages {
    /// For hosts.
    pub host: PathBuf,
    /// The command line.
    pub cli: PathBuf,
    /// The broker.
    pub broker: PathBuf,
}

impl Packages {
    /// From the environment of `cargo xtask test`, or `target/dist`.
    ///
    /// # Panics
    /// When they are not there: nothing can be tested without them.
    pub fn find() -> Self {
        let find = |variable: &str, name: &str| {
            let path = std::env::var_os(variable).map_or_else(|| dist().join(name), PathBuf::from);
            assert!(path.exists(), "{} is missing: run `cargo xtask dist` first", path.display());
            path
        };
        Self {
            host: find("STINT_HOST_DEB", "stint-host.deb"),
            cli: find("STINT_CLI_DEB", "stint.deb"),
            broker: find("STINT_BROKER_DEB", "stint-broker.deb"),
        }
    }
}

/// `target/dist` of the workspace.
fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/dist")
}
