//! The listener, who may hold a connection for how long, and the bodies that go through it.

mod answer;
pub mod body;
pub mod client;
mod connection;
pub mod gate;
pub mod header;
pub mod host;
mod incoming;
pub mod listener;
pub mod proxies;
pub mod proxy_protocol;
mod slots;
pub mod tls;
mod wire;

pub use slots::place;
