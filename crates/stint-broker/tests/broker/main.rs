//! The broker from outside: a real server on loopback, real TLS, a real database.

#![allow(clippy::unwrap_used, reason = "tests")]

mod break_glass;
mod certificates;
mod durability;
mod fleet;
mod hardening;
mod host;
mod journal;
mod limits;
mod recordings;
mod refusals;
mod story;
mod withdrawal;
