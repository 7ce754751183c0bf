//! What a fresh Debian machine lacks. Every part is skipped when it is there.

use std::path::Path;
use std::process::Command;

use crate::compile::MUSL;
use crate::shell::{TaskError, output, root, step};

/// A file that shows that a package is installed, and the package.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/cc", "gcc"),
    ("/usr/include/stdio.h", "libc6-dev"),
    ("/usr/bin/musl-gcc", "musl-tools"),
    ("/usr/include/security/pam_modules.h", "libpam0g-dev"),
    ("/usr/bin/strip", "binutils"),
    // visudo and cvtsudoers, by which drop-ins are checked; used on temporary files only.
    ("/usr/sbin/visudo", "sudo"),
    // Reviews are checked against ssh-keygen.
    ("/usr/bin/ssh-keygen", "openssh-client"),
];

/// A tool from the registry, at the version that this project was tried with.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Makes Debian packages.
pub(crate) const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0" };
/// Checks licences, sources and bans.
pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Debian packages, the lab's needs, and the musl target.
pub(crate) fn all() -> Result<(), TaskError> {
    if output("id", &["-u"]).is_none_or(|uid| uid.trim() != "0") {
        return Err(TaskError::Other("hosts are booted and packages installed: run this as root".into()));
    }
    debian()?;
    stint_lab::install_dependencies()?;
    musl_target()
}

fn debian() -> Result<(), TaskError> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    step("apt-get update", apt().args(["update", "-qq"]))?;
    let name = format!("apt-get install {}", missing.join(" "));
    step(&name, apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing))
}

fn musl_target() -> Result<(), TaskError> {
    let sysroot = output("rustc", &["--print", "sysroot"])
        .ok_or_else(|| TaskError::Other("rustc is not on the PATH: install Rust with rustup".into()))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(MUSL).exists() {
        return Ok(());
    }
    step(&format!("rustup target add {MUSL}"), Command::new("rustup").args(["target", "add", MUSL]))
}

impl Tool {
    /// The tool's program, installed into target/tools first when it is not there at this version.
    pub(crate) fn ensure(&self) -> Result<Command, TaskError> {
        let tools = root().join("target/tools");
        let program = tools.join("bin").join(self.name);
        let there = output(&program.to_string_lossy(), &["--version"]);
        if there.is_none_or(|text| !text.split_whitespace().any(|word| word == self.version)) {
            let mut install = crate::shell::cargo();
            install.args(["install", "--quiet", "--locked", "--debug", self.name, "--version", self.version]);
            install.arg("--root").arg(&tools);
            // Its own folder, so that it can be built while the workspace is.
            install.arg("--target-dir").arg(tools.join("build"));
            step(&format!("cargo install {} {}", self.name, self.version), &mut install)?;
            std::fs::remove_dir_all(tools.join("build")).map_err(TaskError::file(tools.join("build")))?;
        }
        let mut command = Command::new(program);
        command.current_dir(root());
        Ok(command)
    }
}
