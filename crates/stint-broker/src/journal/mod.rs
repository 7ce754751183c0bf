//! The hosts' journals: taken in without a gap, verified, kept, and given to auditors.

pub mod intake;
pub(crate) mod routes;
pub mod store;
