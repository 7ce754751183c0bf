//! Grants: approved rights with two clocks. One runs from approval until the grant must be activated, the other is the window.
//!
//! The holder activates, ends and extends. Security and administrators revoke, and so do the reviewers who approved the grant.

pub mod effect;
pub(crate) mod routes;
pub mod state;
pub mod store;
mod withdraw;

pub use withdraw::withdraw;
