//! The operations: one file each, called with a permit.

pub mod bucket;
pub mod object;
