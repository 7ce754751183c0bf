//! Reviews: a reviewer's own SSH key signs the digest of the terms. The broker checks what the host will check again.

pub(crate) mod routes;
pub mod rule;
pub mod store;
