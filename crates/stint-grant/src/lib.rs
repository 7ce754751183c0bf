//! What a grant is: the signed documents, the trust root, and the decision.
//!
//! Pure functions over bytes and a given time. This crate does no I/O, reads no clock, starts no thread. The module on the login path
//! needs one call: [`gate::OpenGate::open`] turns the gate's bytes into something verified, and [`decision::decide`] answers.
//!
//! The types follow trust: bytes become a [`dsse::Verified`] document, verified documents become an [`gate::OpenGate`], and only that can
//! be decided on.

#![forbid(unsafe_code)]

#[cfg(feature = "reviews")]
pub mod acceptance;
pub mod bundle;
pub mod codes;
pub mod decision;
pub mod dsse;
pub mod gate;
pub mod host_config;
pub mod ids;
pub mod keys;
pub mod mark;
pub mod record;
pub mod register;
pub mod residue;
#[cfg(feature = "reviews")]
pub mod review;
pub mod rights;
pub mod root;
pub mod roster;
mod strict;
pub mod terms;
pub mod time;
pub mod tree;
pub mod words;
