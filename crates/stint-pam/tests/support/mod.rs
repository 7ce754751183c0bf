//! What the tests stand on: a host in a folder with truly signed documents, and real libpam.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod fixture;
pub(crate) mod libpam;
pub(crate) mod warden;
