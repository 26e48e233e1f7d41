//! Between the wire and the domain: pure functions, bounded and free of panics, over what clients send and what they get.

pub mod acl;
pub mod checksum;
pub mod conditional;
pub mod copy_source;
pub mod cors;
pub mod delete;
pub mod encryption;
pub mod etag;
pub mod lifecycle;
pub mod listing;
pub mod location;
pub mod lock;
pub mod logging;
pub mod metadata;
pub mod multipart;
pub mod post_policy;
pub mod range;
pub mod settings;
pub mod tagging;
pub mod time;
pub mod tree;
pub mod version;
pub mod xml;
