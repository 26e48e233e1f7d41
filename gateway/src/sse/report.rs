//! What an envelope tells of the keys that wrap its content, without any of them.

use kms_core::kms::Kms;
use serde_bytes::ByteBuf;

use super::envelope::{Envelope, KmsTier};
use super::{Sse, SseError};

/// The keys that a version's content is under, from its envelope alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvelopeReport {
    /// `SSE-S3`, `SSE-KMS`, `DSSE-KMS`, `SSE-C`.
    pub mode: &'static str,
    /// ARN of the KMS key; `None` where the gateway's own key, or its caller's, wraps it.
    pub key_arn: Option<String>,
    /// The encryption context that the caller gave.
    pub context: Vec<(String, String)>,
    /// The encryption context that KMS binds the data key to.
    pub bound: Vec<(String, String)>,
    /// The shared key between KMS and ContentKey: of SSE-S3, and of a bucket-level key.
    pub epoch: Option<Epoch>,
    /// The backing keys that the ciphertexts of KMS name, one per layer.
    pub backing_keys: Vec<BackingKey>,
    /// How many layers seal the content.
    pub layers: usize,
}

/// An epoch, by its random id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Hexadecimal.
    pub id: String,
    /// Is it a bucket-level key? Else one of SSE-S3.
    pub is_bucket_key: bool,
}

/// A backing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingKey {
    /// The id of its material: hexadecimal.
    pub id: String,
    /// Is it its key's current one?
    pub is_current: bool,
}

impl Sse {
    /// Tells the keys that an envelope needs.
    ///
    /// # Errors
    /// When the envelope can't be read.
    pub fn report(&self, envelope: &[u8]) -> Result<EnvelopeReport, SseError> {
        let backing = |ciphertexts: &[ByteBuf]| backing_keys(&self.kms, ciphertexts);
        Ok(match Envelope::decode(envelope)? {
            // Its key is not rotated: the epochs under it are.
            Envelope::S3 { epoch, .. } => EnvelopeReport {
                mode: "SSE-S3",
                backing_keys: backing(std::slice::from_ref(&epoch.ciphertext))
                    .into_iter()
                    .map(|backing| BackingKey { is_current: true, ..backing })
                    .collect(),
                epoch: Some(Epoch { id: hex::encode(epoch.id), is_bucket_key: false }),
                layers: 1,
                ..EnvelopeReport::default()
            },
            Envelope::Customer { .. } => {
                EnvelopeReport { mode: "SSE-C", layers: 1, ..EnvelopeReport::default() }
            }
            Envelope::Kms { key_arn, context, bound, tier, wrapped } => {
                let (epoch, backing_keys) = match tier {
                    KmsTier::Direct(ciphertexts) => (None, backing(&ciphertexts)),
                    KmsTier::Bucket(epoch) => (
                        Some(Epoch { id: hex::encode(epoch.id), is_bucket_key: true }),
                        backing(std::slice::from_ref(&epoch.ciphertext)),
                    ),
                };
                EnvelopeReport {
                    mode: if wrapped.len() == 2 { "DSSE-KMS" } else { "SSE-KMS" },
                    key_arn: Some(key_arn),
                    context,
                    bound,
                    epoch,
                    backing_keys,
                    layers: wrapped.len(),
                }
            }
        })
    }
}

fn backing_keys(kms: &Kms, ciphertexts: &[ByteBuf]) -> Vec<BackingKey> {
    let each = ciphertexts.iter().filter_map(|ciphertext| {
        let id = kms.material_of(ciphertext)?.to_string();
        Some(BackingKey { id, is_current: kms.is_under_newest(ciphertext) })
    });
    each.collect()
}
