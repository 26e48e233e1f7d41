//! Keys, and who may use them: a key management service with AWS semantics. It knows no HTTP and no objects.

pub(crate) mod alias;
pub mod audit;
pub mod backup;
pub mod clock;
pub mod context;
pub(crate) mod crypto;
pub mod directory;
pub mod error;
pub mod grant;
pub mod key;
pub mod kms;
pub mod ops;
pub mod policy;
pub mod root;
pub mod secret;
pub mod store;
