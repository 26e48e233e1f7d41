//! The operations: one file each, called with a permit.

pub mod bucket;
pub mod multipart;
pub mod object;
