//! Where the packages under test are.

use std::path::{Path, PathBuf};

use stint_lab::Lab;

use crate::error::E2eError;

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

impl Packages {
    /// Unpacks the command line for the control side, from its package. Answers the program's path.
    pub fn unpack_cli(&self, lab: &Lab) -> Result<PathBuf, E2eError> {
        Ok(unpack(lab, &self.cli)?.join("usr/bin/stint"))
    }

    /// Unpacks the broker for the control side, from its package. Answers the program's path.
    pub(crate) fn unpack_broker(&self, lab: &Lab) -> Result<PathBuf, E2eError> {
        Ok(unpack(lab, &self.broker)?.join("usr/bin/stint-broker"))
    }
}

fn unpack(lab: &Lab, deb: &Path) -> Result<PathBuf, E2eError> {
    let tree = lab.dir().join("packages").join(deb.file_stem().unwrap_or_default());
    let (deb, to) = (deb.to_string_lossy(), tree.to_string_lossy());
    std::fs::create_dir_all(&tree).map_err(E2eError::file(&tree))?;
    lab.control(&["dpkg-deb", "-x", &deb, &to])?.check("unpacking a package")?;
    Ok(tree)
}
