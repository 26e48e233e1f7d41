//! What operators see.

pub mod access_log;
pub mod audit;
pub mod bucket_log;
pub mod detail;
pub mod encryption_summary;
pub mod history;
pub mod jobs;
pub mod json;
mod line_log;
pub mod live;
pub mod metrics;
pub mod process;
pub mod reopen;
pub mod request;
pub mod server_access;
mod shard;
pub mod texts;
