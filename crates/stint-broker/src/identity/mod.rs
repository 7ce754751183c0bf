//! Who calls: people with a password and TOTP, their roles, their short-lived tokens.

mod attempts;
mod caller;
pub mod lockout;
pub mod password;
mod role;
pub(crate) mod routes;
pub mod session;
pub mod store;
pub mod totp;
pub(crate) mod users;

pub use attempts::Attempts;
pub use caller::Caller;
pub use role::{Role, roles_from};
pub use store::Person;
