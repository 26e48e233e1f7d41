//! Between the wire and the domain: pure functions, bounded and free of panics, over what clients send and what they get.

pub mod time;
pub mod xml;
