//! The actions of KMS: names, checks, answers. <https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html>

mod aliases;
mod create;
mod data;
mod keys;
mod policies;

pub use aliases::Alias;
pub use create::CreateKey;
pub use data::{Encrypted, ReEncrypted};
pub use keys::Page;
