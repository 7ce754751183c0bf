//! The broker as a running program: its state, its one TLS port, its background work.

mod app;
mod background;
mod extract;
mod openapi;
mod places;
mod router;
mod run;
mod start;
mod tls;
pub mod wait;

pub use app::{App, OnlineKeys};
pub use extract::{Asked, Body, PeerAddress, Raw, plain_line};
pub use places::{Places, network_of};
pub use run::{Running, run};
pub use start::{Layout, StartError, open, reload_catalog};
