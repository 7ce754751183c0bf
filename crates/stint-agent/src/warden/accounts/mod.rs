//! Groups and accounts that a grant gives for its window: put into the host's files at its beginning, taken back at its end.
//!
//! - [`found`] reads what stands in `/etc/group` and `/etc/passwd`;
//! - [`facts`] tells what a group gives on this host;
//! - [`ledger`] is the durable list of what is ours, written before anything is changed: what is not in it is never taken away;
//! - [`plan`] (groups) and [`people`] (accounts) say what must change, as pure functions of the live grants, the ledger and what stands;
//! - [`order`] and [`hand`]: the warden may not write to `/etc`. It writes down what is to be done, and has PID 1 start
//!   `stint-accounts@N.service`, which does it with the host's own tools and has only the rights for that ([`homes`]: accounts);
//! - [`steward`] drives all of it. It can run at any time, any number of times, and finishes what a crash left.

mod facts;
mod found;
mod hand;
mod homes;
mod ledger;
mod order;
mod people;
mod plan;
mod steward;

pub(crate) use facts::Facts;
pub(crate) use hand::{release, run as run_hand};
pub(crate) use ledger::{Account, Membership};
pub(crate) use steward::Steward;
