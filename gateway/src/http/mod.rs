//! The listener and the bodies that go through it.

pub mod body;
pub mod client;
pub mod header;
pub mod listener;
pub mod tls;
