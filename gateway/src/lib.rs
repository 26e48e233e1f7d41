//! Sealgate: every front door, and S3 itself.
//!
//! Modules point downward only: `cli` → `api`, `jobs` → `auth`, `authz`, `sse`, `transfer` → `iam`, `seal`, `http`, `observe`
//! → the crates `storage` and `kms-core`.

pub mod admin;
pub mod api;
pub mod app;
pub mod auth;
pub mod authz;
pub mod blobs;
mod blocks;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod console;
pub mod decimal;
pub mod federation;
pub mod http;
pub mod iam;
pub mod instance;
pub mod jobs;
pub mod kv_key_store;
pub mod memory;
pub mod metadata_server;
pub mod observe;
pub mod root;
pub mod seal;
pub mod sealed_kv;
pub mod sse;
pub mod traces;
pub mod transfer;
pub mod watch;
pub mod work;
