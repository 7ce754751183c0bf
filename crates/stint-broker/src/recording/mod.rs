//! What commands printed on hosts: taken from a host only as its own signed journal names it, kept as files, given to auditors.
//!
//! - [`store`]: what the journals say of recordings, in the database;
//! - [`folder`]: the files;
//! - [`routes`]: how they come and go.

pub mod folder;
pub(crate) mod routes;
pub mod store;

pub use folder::Folder;
