//! The module as the tests load it: the files of `src/` themselves, but for `place.rs`. Here a word of the PAM line says where the
//! host is, so that real libpam can be tested without touching the machine. What ships has none of this.
//!
//! What it leaves untested is `src/place.rs`: NSS, the real uid, `/proc/self/loginuid`. The lab does those.

#![allow(missing_docs, unreachable_pub, reason = "the files of src/, as private modules")]

#[path = "../../src/account.rs"]
pub mod account;
#[path = "../../src/asks.rs"]
pub mod asks;
#[path = "../../src/call.rs"]
pub mod call;
#[path = "../../src/cause.rs"]
pub mod cause;
#[path = "../../src/ffi.rs"]
pub mod ffi;
#[path = "../../src/files.rs"]
pub mod files;
#[path = "../../src/gate.rs"]
pub mod gate;
#[path = "../../src/host.rs"]
pub mod host;
#[path = "../../src/limit.rs"]
pub mod limit;
#[path = "../../src/line.rs"]
pub mod line;
#[path = "../../src/pam.rs"]
pub mod pam;
pub mod place;
#[path = "../../src/register.rs"]
pub mod register;
#[path = "../../src/settings.rs"]
pub mod settings;
#[path = "../../src/ssh_auth.rs"]
pub mod ssh_auth;
#[path = "../../src/tell.rs"]
pub mod tell;
#[path = "../../src/warden.rs"]
pub mod warden;
