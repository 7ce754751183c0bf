//! Pinned trust.
