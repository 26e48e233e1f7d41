//! S3.

pub mod document;
pub mod error;
pub mod operation;
pub mod ops;
pub mod request;
pub mod response;
pub mod route;
pub mod service;
pub mod target;
pub mod wire;
