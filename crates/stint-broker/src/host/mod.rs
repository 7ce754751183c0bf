//! Hosts: invited with a one-time token, enrolled with keys of their own, connected by one stream.

pub(crate) mod ack;
pub(crate) mod enroll;
mod hub;
mod peer;
pub(crate) mod routes;
pub mod store;
pub(crate) mod stream;

pub use hub::Hub;
pub use peer::{PeerCertificate, PeerHost};
