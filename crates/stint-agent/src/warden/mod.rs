//! The warden: root, no network. It verifies what the courier brings, enforces it, and records it.

pub(crate) mod live;
