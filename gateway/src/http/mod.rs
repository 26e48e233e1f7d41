//! The listener and the bodies that go through it.

pub mod body;
pub mod header;
pub mod listener;
pub mod tls;
