//! The harness of the end-to-end tests: everything is installed from the packages, run as people run it, and watched
//! from outside.
//!
//! `cargo xtask test` builds the packages and runs these tests; to run one by hand, call `cargo xtask dist` first.

mod packages;

pub use packages::Packages;
