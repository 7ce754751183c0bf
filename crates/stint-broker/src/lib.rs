//! The broker: requests, reviews, grants, bundles, the record.
//!
//! A modular monolith: one module for each capability, with its types, rules, storage and routes together. What decides is pure
//! (`lockout`, `state`, `make`, `build`); what stores takes a connection inside the caller's transaction; handlers are thin.
//! Every change goes through [`store::Change`], which writes its event in the same transaction.
//!
//! Start with [`init::init`], which makes a fleet, then [`server::open`] and [`server::run`].

#![forbid(unsafe_code)]

pub mod bundle;
pub mod catalog;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod grant;
pub mod host;
pub mod identity;
pub mod init;
pub mod journal;
pub mod lock;
pub mod random;
pub mod recording;
pub mod request;
pub mod review;
pub mod server;
pub mod store;
pub mod trust;
