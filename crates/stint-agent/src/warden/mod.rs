//! The warden: root, no network. It verifies what the courier brings, enforces it, and records it.
//!
//! The parts, from the inside out:
//!
//! - pure: [`intake`] (from bytes to a plan), [`live`] (what is in force), [`memory`], [`time`], [`warnings`];
//! - durable: [`files`], [`store`], [`gate`], [`trust`], [`keys`];
//! - [`keeper`]: what is in force and how it changes, on top of both;
//! - outside: [`sudoers`], [`sessions`], [`systemd`], and the sockets and timers of [`event_loop`].

pub(crate) mod files;
mod gate;
mod intake;
mod keeper;
pub(crate) mod keys;
pub(crate) mod live;
mod memory;
pub(crate) mod paths;
mod store;
pub(crate) mod time;
pub(crate) mod trust;
