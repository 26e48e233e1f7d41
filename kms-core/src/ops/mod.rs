//! The actions of KMS: names, checks, answers. <https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html>

mod aliases;
mod asymmetric;
mod create;
mod data;
mod grants;
mod import;
mod keys;
mod policies;
mod rotation;
mod tags;
mod usage;

pub use aliases::Alias;
pub use asymmetric::{DataKeyPair, ToSign};
pub use create::CreateKey;
pub use data::{Encrypted, ReEncrypted, SYMMETRIC_DEFAULT, Side};
pub use grants::CreateGrant;
pub use import::{ImportKeyMaterial, ImportParameters, WrappingAlgorithm};
pub use keys::Page;
pub use rotation::{RotationStatus, ScheduledWork};

/// `kms:RequestAlias`, where the request names its key by alias.
fn request_alias(key_id: &str) -> Option<(&'static str, Vec<String>)> {
    let alias = &key_id[key_id.find("alias/")?..];
    Some(("kms:requestalias", vec![alias.to_owned()]))
}
