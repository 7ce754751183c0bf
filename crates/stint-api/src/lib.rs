//! Types on the wire between broker, courier and clients.
//!
//! Plain data only: signed documents travel as the text that was signed, and what they mean is said in `stint-grant`. Times are unix
//! seconds, lengths of time are seconds. [`client::Client`] is the one typed client for people's tools; [`tls`] holds the pinned trust
//! that both the client and the courier use.

#![forbid(unsafe_code)]

pub mod audit;
pub mod client;
pub mod error;
pub mod grants;
pub mod hosts;
pub mod locks;
pub mod people;
pub mod requests;
pub mod tls;
pub mod token;

pub use error::ApiError;
