//! PID 1 and logind, over the system bus: only the calls that the warden needs.
//!
//! [`Bus`] is the one door. It connects when it is first needed and again after the bus was restarted, and no call waits longer than
//! its bound: a bus that hangs must not hold up the end of a session.

mod bus;
mod proxies;

pub(crate) use bus::{Bus, BusError, LogindSession, ScopeFacts, ScopeRequest};
