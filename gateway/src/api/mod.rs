//! The front doors.

pub mod s3;
