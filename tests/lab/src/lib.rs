//! Booted Debian hosts for tests and the demo: real systemd, logind, sshd, sudo, cron and PAM, in systemd-nspawn, or in a virtual machine.
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
//! What such hosts cannot show: a power cut ends every process at once, but what was written and not synced survives, since the
//! kernel lives on; and the clock and the kernel are the machine's. For these there is [`Lab::virtual_host`], of the same packages and on the
//! same switch, with a kernel and a clock of its own. It is emulated: half a minute to boot, 1 GB of memory, and several times slower.
//! Root reaches it past its PAM and its network, as it does the others ([`Host::exec`]), but what needs the host's processes or files seen from
//! this machine ([`Host::command`], [`Host::root_path`], [`Host::leader`], [`Host::disk_path`]) it does not have.
//!
//! It needs root and a Debian machine with a kernel that has overlayfs and cgroup v2.

mod agent;
mod base;
mod deps;
mod error;
mod host;
mod lab;
mod leftovers;
mod machine;
mod run;
mod ssh;
mod virtual_image;
mod wait;

pub use deps::install as install_dependencies;
pub use error::LabError;
pub use host::Host;
pub use lab::{BROKER_NAME, CONTROL_ADDRESS, Lab, USERS};
pub use leftovers::leftovers;
pub use run::Outcome;
pub use ssh::{CONNECT_TIMEOUT, Session};
pub use wait::{PATIENCE, poll, until};
