//! sudo: what a live grant allows, as a drop-in of its own in `/etc/sudoers.d`, there only as long as the grant lives.
//!
//! - [`render`] writes the text, and nothing else may write one;
//! - [`implementation`] tells which sudo this host has, and what it understands;
//! - [`check`] has sudo's own tools read the text back, and compares what they understood with what was meant;
//! - [`plan`] says what must change in the folder, as a pure function of what should and what does stand there;
//! - [`reconcile`] does it. It can run at any time, any number of times;
//! - [`groups`] tells which groups the host's own rules give something to;
//! - [`tickets`] takes away what sudo remembers of a user.
//!
//! sudo-rs knows no NOTAFTER: there a rule ends because the warden removes it, and because PAM's account phase denies once the window is
//! over, warden or not.

mod check;
mod groups;
mod implementation;
mod plan;
mod reconcile;
mod render;
pub(crate) mod tickets;

pub(crate) use groups::{GroupRights, rights_of_groups};
pub(crate) use implementation::program;
pub(crate) use plan::is_ours;
pub(crate) use reconcile::{Refusals, SudoersError, reconcile};
pub(crate) use render::is_our_text;
