//! Booted Debian hosts for tests and the demo: real systemd, logind, sshd, sudo, cron and PAM, in systemd-nspawn.
//!
//! What is tested here is what people run: a host is installed from the package, entered through ssh, and can lose
//! its power or its network. A host boots in about half a second and costs some 10 MB of disk.
//!
//! ```no_run
//! let lab = stint_lab::Lab::new()?;
//! let web = lab.host("web-01")?;
//! assert_eq!(web.ssh("alice", "id -un")?.stdout.trim(), "alice");
//! web.power_cut()?;
//! web.start()?;
//! # Ok::<(), stint_lab::LabError>(())
//! ```
//!
//! How it is built:
//!
//! - One lab has an id, and everything it makes carries it: cgroups, network namespaces, folders. Several labs run
//!   side by side. The machine's own network namespace is never used.
//! - The switch is a namespace of its own. Its address is the *control* side, where the broker, the CLI and the ssh
//!   clients run ([`Lab::control_command`]). Its names are `broker.lab` and the names of the hosts.
//! - Hosts share one read-only image ([`base`](Lab::base_dir)), each with an overlay on disk that survives a power cut.
//! - A reaper process waits for the lab's process to end, in whatever way, and then removes everything by id. Dropping
//!   the [`Lab`] ends it the same way and waits for it.
//!
//! What it cannot show: a power cut ends every process at once, but what was written and not synced survives, since the
//! kernel lives on. Clocks, audit and memory limits need a virtual machine.
//!
//! It needs root and a Debian machine with a kernel that has overlayfs and cgroup v2.

mod base;
mod deps;
mod error;
mod host;
mod lab;
mod leftovers;
mod run;
mod ssh;
mod wait;

pub use deps::install as install_dependencies;
pub use error::LabError;
pub use host::Host;
pub use lab::{BROKER_NAME, CONTROL_ADDRESS, Lab, USERS};
pub use leftovers::leftovers;
pub use run::Outcome;
pub use ssh::{CONNECT_TIMEOUT, Session};
pub use wait::{PATIENCE, poll, until};
