//! `stintd`: the warden, the courier, and the commands of the host itself.

mod journal;
mod warden;
mod wire;
fn main() {}
