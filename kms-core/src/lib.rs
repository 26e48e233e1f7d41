//! Keys, and who may use them: a key management service with AWS semantics. It knows no HTTP and no objects.

pub mod context;
pub mod error;
pub mod kms;
pub mod root;
pub mod secret;
