//! Residue: what a grant leaves behind in files, and the receipt that says so.
//!
//! When a grant's first session opens, a **baseline** is taken, before the session gets control. When the grant has ended and its
//! processes are dead, a **sweep** takes the same picture again, compares, undoes or reports, and looks again until two looks in a row
//! agree. The receipt is recorded then.
//!
//! - data and pure: [`watchlist`] (what is looked at), [`picture`] (what was seen), [`compare`] (from two pictures to findings),
//!   [`accounts`], [`receipt`];
//! - outside: [`tree`] (opens without following anything), [`capture`], [`kernel`], [`mounts`], [`processes`], [`walk`], [`undo`];
//! - together: [`store`], [`sweep`] (the process that sweeps, in a unit of its own: the warden cannot write where users' files are),
//!   [`desk`] (the warden's side).
//!
//! A baseline on disk means that a receipt is owed. So a warden that is killed, or a host that goes down, owes it still.

pub(super) mod accounts;
pub(super) mod capture;
pub(super) mod compare;
pub(super) mod desk;
pub(super) mod kernel;
pub(super) mod mounts;
pub(super) mod picture;
mod processes;
pub(super) mod receipt;
pub(super) mod store;
mod sweep;
pub(super) mod tree;
pub(super) mod undo;
pub(super) mod walk;
pub(super) mod watchlist;

pub(super) use desk::{Desk, Holding, Turn};
pub(crate) use sweep::run as sweep;

#[cfg(test)]
mod tests;
