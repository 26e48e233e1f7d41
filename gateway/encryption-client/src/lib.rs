#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "aws-sdk-s3")]
pub mod aws_s3;
mod cipher;
mod content;
mod description;
pub mod envelope;
mod error;
mod gcm;
#[cfg(any(feature = "aws-sdk-s3", feature = "object-store", feature = "object-store-0-13"))]
mod hold;
mod key;
pub mod keyring;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "object-store-0-13")]
pub mod object_store_0_13;
mod release;
mod suite;

pub use self::cipher::{ObjectCipher, Settings};
pub use self::content::{Opener, OpeningKey, Sealer, SealingKey, Verifier, plain_len, sealed_len};
pub use self::description::Description;
pub use self::envelope::{Envelope, Located, Metadata, Placement};
pub use self::error::{EnvelopeError, Error, KeyringError, KmsError, PolicyError};
pub use self::key::DataKey;
pub use self::release::Release;
pub use self::suite::{CommitmentPolicy, ContentSuite, MAX_PLAIN_LEN, TAG_LEN, WrapAlgorithm};
