//! S3.

pub mod error;
pub mod request;
