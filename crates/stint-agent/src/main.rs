//! `stintd`: the warden, the courier, and the commands of the host itself.

mod wire;
fn main() {}
