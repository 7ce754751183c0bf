//! Sessions: who opened one by a grant, and their end.
//!
//! - [`book`] holds the sessions that live by grants, and says which of them a set of live grants still permits. Pure;
//! - [`Enforcer`] is what the warden's loop drives. Its work is in a file for each occasion: [`registration`] (a session opens),
//!   [`warning`], [`limits`] (the window's end moves), [`adoption`] (a warden starts), and
//! - [`idle`]: who uses a terminal no more; [`logout`]: whose last login has closed;
//! - [`ending`]: ask, wait a second and a half (or not), kill, look again until nothing is left, write a receipt;
//! - [`spool`] takes out what cron and at keep for an account that is ended whole;
//! - [`scopes`] keeps PID 1's scopes, in which elevations are;
//! - [`proc`], [`cgroup`] and [`terminal`] read and write the kernel's files; [`units`] those of PID 1.
//!
//! PID 1 stands behind all of it: each scope has a limit of its own, so a session ends on time with the warden dead.

mod adoption;
mod book;
mod cgroup;
mod ending;
mod enforcer;
mod idle;
mod limits;
mod logout;
mod proc;
mod registration;
mod scopes;
mod spool;
mod store;
mod sweep;
mod terminal;
mod units;
mod warning;

pub(crate) use enforcer::{Enforcer, Moment, alarm};
