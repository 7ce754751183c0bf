//! The commands of the host itself, run by its root.
//!
//! | File | Command |
//! |---|---|
//! | [`enroll`] | `stintd enroll`: joins a fleet, all or nothing |
//! | [`arm`] | `stintd arm`, `confirm`, `disarm`: wires PAM, with a way back |
//! | [`status`] | `stintd status`: what is in force, what is wrong, what to do |
//! | [`session`] | `stintd session`: what commands printed |
//! | [`check_config`] | `stintd check-config`: reads `host.toml` |
//! | [`fast_moves`] | `stintd fast-moves`: how the kernel moves a sudo to its group |
//! | [`failure`] | how a command fails, and the exit codes |
//! | [`system`] | the programs of the host that commands call |

pub(crate) mod arm;
pub(crate) mod check_config;
pub(crate) mod enroll;
pub(crate) mod failure;
pub(crate) mod fast_moves;
pub(crate) mod left;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod system;
