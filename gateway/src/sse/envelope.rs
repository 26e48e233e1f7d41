//! The envelope of a version: its ContentKeys, wrapped, and all that is needed to unwrap them but the keys themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hkdf::Hkdf;
use kms_core::context::EncryptionContext;
use kms_core::kms::DataKey;
use kms_core::secret::Secret32;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::epoch::{Epoch, StoredEpoch, wrapping_key};
use super::{CustomerKey, EnvelopePlace, SseError, SseInfo};
use crate::seal::ContentKey;
use crate::seal::xaes::Xaes;

/// The version of the encoding, in its first byte.
const VERSION: u8 = 1;

/// An envelope, as it is stored (in a sealed record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Envelope {
    /// SSE-S3: the ContentKey under an epoch of the gateway's own.
    S3 { epoch: StoredEpoch, wrapped: ByteBuf },
    /// SSE-KMS.
    Kms {
        key_arn: String,
        /// The context that the caller gave.
        context: Vec<(String, String)>,
        /// The context that the ciphertexts are bound to: the caller's and what S3 adds. Kept as it was, since an object
        /// may be renamed.
        bound: Vec<(String, String)>,
        tier: KmsTier,
        /// One wrap per layer.
        wrapped: Vec<ByteBuf>,
    },
    /// SSE-C: the ContentKey under a key derived from the caller's. Nothing else of the caller's key is kept.
    Customer { salt: [u8; 32], wrapped: ByteBuf },
}

/// What a KMS key's ciphertext stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KmsTier {
    /// A data key of this version alone; one per layer.
    Direct(Vec<ByteBuf>),
    /// The bucket-level key.
    Bucket(StoredEpoch),
}

impl Envelope {
    pub(super) fn s3(content_key: &ContentKey, place: EnvelopePlace<'_>, epoch: &Epoch) -> Self {
        let aad = Binding { mode: b's', layer: 0, place, key_arn: "", bound: &[] }.to_bytes();
        Self::S3 { epoch: epoch.stored.clone(), wrapped: wrap(&epoch.wrapping, &aad, content_key) }
    }

    pub(super) fn bucket_key(
        content_key: &ContentKey,
        place: EnvelopePlace<'_>,
        epoch: &Epoch,
        context: &EncryptionContext,
        bound: EncryptionContext,
    ) -> Self {
        let (key_arn, bound) = (epoch.key_arn.clone(), pairs(&bound));
        let aad = Binding { mode: b'k', layer: 0, place, key_arn: &key_arn, bound: &bound }.to_bytes();
        let wrapped = vec![wrap(&epoch.wrapping, &aad, content_key)];
        let tier = KmsTier::Bucket(epoch.stored.clone());
        Self::Kms { key_arn, context: pairs(context), bound, tier, wrapped }
    }

    pub(super) fn kms(
        content_keys: &[ContentKey],
        place: EnvelopePlace<'_>,
        data_keys: &[DataKey],
        context: &EncryptionContext,
        bound: EncryptionContext,
    ) -> Result<Self, SseError> {
        let key_arn = data_keys.first().ok_or(SseError::Tampered)?.key_arn.clone();
        let bound = pairs(&bound);
        let mut wrapped = Vec::with_capacity(content_keys.len());
        for (layer, (content_key, data_key)) in content_keys.iter().zip(data_keys).enumerate() {
            let aad = Binding { mode: b'k', layer, place, key_arn: &key_arn, bound: &bound }.to_bytes();
            wrapped.push(wrap(&wrapping_key(&data_key.plaintext)?, &aad, content_key));
        }
        let tier =
            KmsTier::Direct(data_keys.iter().map(|key| ByteBuf::from(key.ciphertext_blob.clone())).collect());
        Ok(Self::Kms { key_arn, context: pairs(context), bound, tier, wrapped })
    }

    pub(super) fn customer(
        content_key: &ContentKey,
        place: EnvelopePlace<'_>,
        customer: &CustomerKey,
    ) -> Self {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).expect("the operating system gives random bytes");
        let aad = Binding { mode: b'c', layer: 0, place, key_arn: "", bound: &[] }.to_bytes();
        let wrapped = wrap(&customer_wrapping(customer, &salt), &aad, content_key);
        Self::Customer { salt, wrapped }
    }

    /// Unwraps one layer's ContentKey.
    pub(super) fn open_layer(
        &self,
        place: EnvelopePlace<'_>,
        layer: usize,
        wrapping: &Xaes,
    ) -> Result<ContentKey, SseError> {
        let (mode, key_arn, bound, wrapped) = match self {
            Self::S3 { wrapped, .. } => (b's', "", &[][..], wrapped),
            Self::Customer { wrapped, .. } => (b'c', "", &[][..], wrapped),
            Self::Kms { key_arn, bound, wrapped, .. } => {
                (b'k', key_arn.as_str(), &bound[..], wrapped.get(layer).ok_or(SseError::Tampered)?)
            }
        };
        let aad = Binding { mode, layer, place, key_arn, bound }.to_bytes();
        let opened = Zeroizing::new(wrapping.open(&aad, wrapped).map_err(|_| SseError::Tampered)?);
        let mut secret: [u8; 32] = opened[..].try_into().map_err(|_| SseError::Tampered)?;
        Ok(ContentKey(Secret32::take(&mut secret)))
    }

    /// Unwraps the ContentKey under a caller's key; that it unwraps is the check of the key.
    pub(super) fn open_customer(
        &self,
        place: EnvelopePlace<'_>,
        customer: &CustomerKey,
    ) -> Result<ContentKey, SseError> {
        let Self::Customer { salt, .. } = self else { return Err(SseError::NotCustomerEncrypted) };
        let wrapping = customer_wrapping(customer, salt);
        self.open_layer(place, 0, &wrapping).map_err(|_| SseError::WrongCustomerKey)
    }

    pub(super) fn info(&self) -> SseInfo {
        match self {
            Self::S3 { .. } => SseInfo::S3,
            Self::Customer { .. } => SseInfo::Customer,
            Self::Kms { key_arn, context, tier, wrapped, .. } => SseInfo::Kms {
                key_arn: key_arn.clone(),
                context_base64: (!context.is_empty()).then(|| STANDARD.encode(json_object(context))),
                bucket_key: matches!(tier, KmsTier::Bucket(_)),
                dsse: wrapped.len() == 2,
            },
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let encoded = postcard::to_extend(self, vec![VERSION]);
        encoded.expect("an envelope can always be encoded").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, SseError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| SseError::Tampered),
            _ => Err(SseError::Tampered),
        }
    }
}

/// A ContentKey, wrapped.
fn wrap(wrapping: &Xaes, aad: &[u8], content_key: &ContentKey) -> ByteBuf {
    wrapping.seal(aad, content_key.0.expose()).into()
}

/// What a wrap is bound to, so that it opens nowhere else.
struct Binding<'a> {
    mode: u8,
    layer: usize,
    place: EnvelopePlace<'a>,
    key_arn: &'a str,
    bound: &'a [(String, String)],
}

impl Binding<'_> {
    /// `"sealgate content key" 0x00 ‖ mode ‖ layer ‖ bucket uuid ‖ version uuid ‖ length of ARN (16 bits) ‖ ARN ‖ canonical context`.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"sealgate content key\0".to_vec();
        bytes.extend([self.mode, self.layer as u8]);
        bytes.extend(self.place.bucket.as_bytes());
        bytes.extend(self.place.version.as_bytes());
        bytes.extend((self.key_arn.len() as u16).to_be_bytes());
        bytes.extend(self.key_arn.as_bytes());
        bytes.extend(self.bound.iter().cloned().collect::<EncryptionContext>().canonical());
        bytes
    }
}

/// The context that KMS binds a data key to: the caller's, and the ARN of the object (or, with a bucket-level key, of the bucket).
pub(super) fn kms_context(
    given: &EncryptionContext,
    place: EnvelopePlace<'_>,
    bucket_key: bool,
) -> EncryptionContext {
    let mut context = given.clone();
    let arn = match bucket_key {
        true => format!("arn:aws:s3:::{}", place.bucket_name),
        false => format!("arn:aws:s3:::{}/{}", place.bucket_name, place.object),
    };
    context.insert(super::plan::S3_ARN, arn);
    context
}

/// The key that wraps under a caller's key: HKDF-SHA-256 with a random salt.
fn customer_wrapping(customer: &CustomerKey, salt: &[u8; 32]) -> Xaes {
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), customer.secret.expose())
        .expand(b"sealgate customer key", &mut derived)
        .expect("32 bytes are within what HKDF expands to");
    Xaes::new(&Secret32::take(&mut derived))
}

fn pairs(context: &EncryptionContext) -> Vec<(String, String)> {
    context.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// A JSON object of strings, in the order given.
fn json_object(pairs: &[(String, String)]) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        pairs.iter().map(|(n, v)| (n.clone(), v.clone().into())).collect();
    serde_json::Value::Object(object).to_string()
}
