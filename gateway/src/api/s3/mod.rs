//! S3.

mod authorize;
mod cors;
pub mod error;
pub mod log_delivery;
mod model;
pub mod operation;
pub mod ops;
mod permissions;
pub mod request;
pub mod request_context;
mod request_document;
pub mod response;
pub mod route;
pub mod service;
pub mod target;
pub mod wire;
