//! `pam_stint.so`: decides each login and each sudo from the gate, inside sshd, login, sudo, su, cron and at.
//!
//! It reads a few small files of root's, verifies their signatures, and asks [`stint_grant::decision::decide`]. It needs neither the
//! warden nor the broker to be alive. It has no threads, no network, no environment and no state that outlives a call, and whatever
//! it cannot decide it denies.
//!
//! Start with [`line::run`]: one PAM line, from arguments to [`pam::Answer`]. [`ffi`] is the edge to C and the only place with
//! `unsafe`; above it everything talks to the traits [`pam::Pam`] and [`host::Host`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::exit,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod account;
pub mod asks;
pub mod call;
pub mod cause;
pub mod ffi;
pub mod files;
pub mod gate;
pub mod glass;
pub mod host;
pub mod limit;
pub mod line;
pub mod pam;
pub mod place;
pub mod register;
pub mod rescue;
pub mod settings;
pub mod ssh_auth;
pub mod tell;
pub mod warden;
