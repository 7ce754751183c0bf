//! The warden: root, no network. It verifies what the courier brings, enforces it, and records it.
//!
//! The parts, from the inside out:
//!
//! - pure: [`intake`] (from bytes to a plan), [`live`] (what is in force), [`memory`], [`telling`],
//!   [`time`], [`warnings`];
//! - durable: [`files`], [`store`], [`gate`], [`codes`], [`trust`], [`keys`], [`config`];
//! - [`keeper`]: what is in force and how it changes, on top of both;
//! - outside: [`accounts`], [`sudoers`], [`ssh`], [`sessions`], [`residue`], [`freeing`], [`sudo_log`], [`systemd`];
//! - [`warden`], [`follow`], [`break_glass`], [`tampering`]: all of it together; [`start`], [`event_loop`], [`clients`], [`changes`], [`logins`], [`sockets`], [`timers`] drive it; [`status`] and
//!   [`report`] say how it stands.

pub(crate) mod accounts;
pub(crate) mod allowance;
mod break_glass;
mod changes;
mod clients;
mod codes;
pub(crate) mod config;
mod decisions;
mod event_loop;
pub(crate) mod files;
mod follow;
pub(crate) mod freeing;
mod gate;
mod intake;
mod keeper;
pub(crate) mod keys;
pub(crate) mod live;
mod logins;
mod memory;
pub(crate) mod paths;
mod report;
pub(crate) mod residue;
mod run;
mod sessions;
mod sockets;
pub(crate) mod ssh;
mod start;
pub(crate) mod status;
mod store;
pub(crate) mod sudo_log;
mod sudoers;
mod systemd;
mod tampering;
mod telling;
pub(crate) mod time;
mod timers;
pub(crate) mod trust;
#[allow(clippy::module_inception, reason = "the thing itself, inside its folder")]
mod warden;
mod warnings;

pub(crate) use start::run;

#[cfg(test)]
mod tests;
