//! Bytes in and out: ingest, egress, aws-chunked, digests.

pub mod aws_chunked;
pub mod digest;
pub mod egress;
pub mod ingest;
pub mod journal;
pub mod md5;
mod pool;
