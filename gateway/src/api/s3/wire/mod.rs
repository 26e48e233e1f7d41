//! Between the wire and the domain: pure functions, bounded and free of panics, over what clients send and what they get.

pub mod checksum;
pub mod conditional;
pub mod copy_source;
pub mod delete;
pub mod encryption;
pub mod etag;
pub mod listing;
pub mod location;
pub mod metadata;
pub mod multipart;
pub mod range;
pub mod time;
pub mod xml;
