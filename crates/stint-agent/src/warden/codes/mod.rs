//! Break-glass codes on this host: what was tried, what was used, and what is open. On disk before it counts.
//!
//! - [`tries`]: how long somebody who typed wrong codes waits;
//! - [`book`]: all of it, durably, in `codes.json`;
//! - [`trial`]: an attempt on its way, from what was typed to whether it fits.

mod book;
mod trial;
mod tries;

pub(crate) use book::{CodeRefusal, Codes};
pub(crate) use trial::Trial;

#[cfg(test)]
mod tests;
