//! The harness of the end-to-end tests, the demo and the benches: everything is installed from the packages, run as people
//! run it, and watched from outside.
//!
//! `cargo xtask test` builds the packages and runs these tests; to run one by hand, call `cargo xtask dist` first.
//!
//! [`Fleet`] is a broker, its people and one host, enrolled and armed. [`battery`] is every known way to stay, [`lock_out`] who gets in
//! whatever is broken.

pub mod battery;
mod broker;
mod error;
mod fleet;
mod hardware_key;
pub mod lock_out;
mod packages;
mod person;
pub mod sudo_rs;
mod watch;
mod x_server;

pub use broker::Broker;
pub use error::E2eError;
pub use fleet::{Fleet, HOST, Options};
pub use hardware_key::HardwareKey;
pub use packages::Packages;
pub use person::{Person, Signing};
pub use watch::{
    Dropins, first_login, kill_warden, processes_of, sessions_of, unix_now, wait_for_denial, wait_for_end,
};
pub use x_server::XServer;
