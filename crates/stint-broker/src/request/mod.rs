//! Requests: somebody asks for an entitlement. The terms are made here once, as the text that reviewers sign and hosts enforce.

pub mod make;
pub(crate) mod routes;
pub mod state;
pub mod store;
