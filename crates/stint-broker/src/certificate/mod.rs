//! SSH certificates: for a login by a live grant, and for nothing else.
//!
//! - [`issue`] says what a certificate says, as a pure function of the grant, its terms and where the caller is;
//! - [`routes`] is the call. What was issued is an event before it is answered.
//!
//! A certificate is bound to grant and host (its one principal, which the host knows only as long as the grant lives there), person (its
//! id), key, time, and addresses. What it lets a connection forward stands in it; what it does not name, sshd does not allow.

pub mod issue;
pub(crate) mod routes;
