//! Which key: the plan (request over bucket default), and the envelope that keeps a version's ContentKeys wrapped.

mod default;
mod envelope;
mod epoch;
mod plan;
mod report;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::kms::{Caller, Kms};
use kms_core::secret::Secret32;
use storage::name::{BucketId, BucketName, ObjectKey, VersionId};

pub use default::{BucketEncryption, DefaultAlgorithm};
pub use plan::{CustomerHeaders, INVALID_KEY, PlanError, customer_key, plan, response_headers};
pub use report::EnvelopeReport;

use crate::observe::metrics::SSE_KMS;
use crate::seal::{ContentKey, ContentKeys};
use crate::watch::Watch;
use envelope::{Envelope, KmsTier};
use epoch::{BucketKeyUse, BucketKeys, Epochs};

/// How an object is to be encrypted: the request's headers over the bucket's default over SSE-S3.
#[derive(Debug)]
pub enum SsePlan {
    /// SSE-S3 (`AES256`).
    S3,
    /// SSE-KMS (`aws:kms`, or `aws:kms:dsse` with `dsse`).
    Kms {
        /// Key id, key ARN, alias name or alias ARN as given; `None`: the AWS managed key.
        key_id: Option<String>,
        /// The caller's encryption context, without what the gateway adds.
        context: EncryptionContext,
        /// Use the bucket-level key.
        bucket_key: bool,
        /// Two independent layers.
        dsse: bool,
    },
    /// SSE-C.
    Customer(CustomerKey),
}

/// A caller's key, as its three headers gave it, checked against its MD5.
#[derive(Debug)]
pub struct CustomerKey {
    /// The key.
    pub secret: Secret32,
    /// Base64 of its MD5, echoed in answers; never stored.
    pub md5_base64: String,
}

/// What an envelope tells of itself without any key: for response headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseInfo {
    /// SSE-S3.
    S3,
    /// SSE-KMS.
    Kms {
        /// ARN of the key.
        key_arn: String,
        /// The caller's context in its wire form (base64 JSON), where one was given.
        context_base64: Option<String>,
        /// The bucket-level key was used.
        bucket_key: bool,
        /// Two layers.
        dsse: bool,
    },
    /// SSE-C.
    Customer,
}

impl SseInfo {
    /// How many layers seal the content.
    pub fn layers(&self) -> usize {
        match self {
            Self::Kms { dsse: true, .. } => 2,
            _ => 1,
        }
    }

    /// Is the ETag the MD5 of the plain bytes? (SSE-S3 only.)
    pub fn etag_is_md5(&self) -> bool {
        matches!(self, Self::S3)
    }
}

impl SsePlan {
    /// How many layers it seals the content with.
    pub fn layers(&self) -> usize {
        if matches!(self, Self::Kms { dsse: true, .. }) { 2 } else { 1 }
    }
}

/// The place that an envelope is bound to.
#[derive(Debug, Clone, Copy)]
pub struct EnvelopePlace<'a> {
    /// The bucket's identity: what the wrap is bound to.
    pub bucket: BucketId,
    /// The version that the content is sealed for.
    pub version: VersionId,
    /// The bucket's name, for `aws:s3:arn`.
    pub bucket_name: &'a BucketName,
    /// The object, for `aws:s3:arn`.
    pub object: &'a ObjectKey,
}

/// The KMS key that an envelope depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependence {
    /// Its ARN.
    pub key_arn: String,
    /// Is it under the key's current backing key?
    pub is_newest: bool,
}

/// Why there is no ContentKey.
#[derive(Debug, thiserror::Error)]
pub enum SseError {
    /// The object is under SSE-C and no key was given: 400 InvalidRequest.
    #[error("the object was stored using a form of SSE-C and no key was given")]
    CustomerKeyMissing,
    /// A customer key was given for an object that has none: 400 InvalidRequest.
    #[error("the encryption parameters are not applicable to this object")]
    NotCustomerEncrypted,
    /// Another customer key than the object's: 403 AccessDenied.
    #[error("the provided encryption key is not the object's")]
    WrongCustomerKey,
    /// KMS refused: `KMS.` + its exception, but AccessDenied as AccessDenied.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The envelope was tampered with or belongs elsewhere: 500.
    #[error("an envelope does not open")]
    Tampered,
}

/// Makes and opens envelopes.
pub struct Sse {
    kms: Arc<Kms>,
    region: String,
    watch: Arc<Watch>,
    epochs: Epochs,
    bucket_keys: BucketKeys,
}

/// The name under which S3's managed KMS key is known.
const S3_SERVICE: &str = "s3";
/// The purpose of the gateway's own keys for SSE-S3.
const SSE_S3_PURPOSE: &str = "sse-s3";

/// Makes the gateway's own key for SSE-S3 where there is none yet. It waits for the store, so that no request has to: of threads that
/// serve requests none may wait for a store in a server, whose answers come by them.
pub fn prepare(kms: &Kms) -> Result<(), KmsError> {
    kms.generate_internal_key(SSE_S3_PURPOSE, &EncryptionContext::new()).map(drop)
}

impl Sse {
    /// Over this KMS, whose keys are in `region`. An allowed use of a bucket-level key is remembered for `bucket_key_window`; before any
    /// other use of a KMS key `watch` sees what other gateways changed.
    pub fn new(kms: Arc<Kms>, region: String, bucket_key_window: Duration, watch: Arc<Watch>) -> Self {
        let (epochs, bucket_keys) = (Epochs::default(), BucketKeys::new(bucket_key_window));
        Self { kms, region, watch, epochs, bucket_keys }
    }

    /// New ContentKeys for a version and the envelope that keeps them. SSE-KMS asks KMS as `caller`
    /// (its `via_service` is set here).
    pub async fn create(
        &self,
        plan: &SsePlan,
        place: EnvelopePlace<'_>,
        caller: &Caller,
    ) -> Result<(Bytes, ContentKeys), SseError> {
        let layers = (0..plan.layers()).map(|_| ContentKey(Secret32::random())).collect();
        let keys = ContentKeys { layers };
        let envelope = self.rewrap(&keys, plan, place, caller).await?;
        Ok((envelope, keys))
    }

    /// Is it the name of the key that S3 has in the caller's account, which is made when it is first used?
    fn is_managed(&self, id: &str, account: &str) -> bool {
        let alias = format!("alias/aws/{S3_SERVICE}");
        id == alias || id == format!("arn:aws:kms:{}:{account}:{alias}", self.region)
    }

    /// The same ContentKeys under a plan of the same number of layers: moves no data.
    pub async fn rewrap(
        &self,
        keys: &ContentKeys,
        plan: &SsePlan,
        place: EnvelopePlace<'_>,
        caller: &Caller,
    ) -> Result<Bytes, SseError> {
        let envelope = match plan {
            SsePlan::S3 => {
                let epoch = self.epochs.current(&self.kms)?;
                Envelope::s3(&keys.layers[0], place, &epoch)
            }
            SsePlan::Customer(customer) => Envelope::customer(&keys.layers[0], place, customer),
            SsePlan::Kms { key_id, context, bucket_key, dsse } => {
                let caller = self.through_s3(caller);
                let key_id = match key_id {
                    Some(id) if !self.is_managed(id, caller.account()) => id.clone(),
                    _ => self.managed_key(caller.account()).await?,
                };
                let bound = envelope::kms_context(context, place, *bucket_key && !dsse);
                if *bucket_key && !dsse {
                    let uses =
                        BucketKeyUse { kms: &self.kms, caller: &caller, bucket: place.bucket, bound: &bound };
                    let remembered = self.bucket_keys.remembered_for_writing(uses, &key_id);
                    SSE_KMS.looked_for(&remembered);
                    let epoch = match remembered {
                        Some(epoch) => epoch,
                        None => {
                            self.see_keys().await?;
                            self.bucket_keys.for_writing(uses, &key_id)?
                        }
                    };
                    Envelope::bucket_key(&keys.layers[0], place, &epoch, context, bound)
                } else {
                    self.see_keys().await?;
                    let data_keys = keys
                        .layers
                        .iter()
                        .map(|_| {
                            let generated = self.kms.generate_data_key(&caller, &key_id, &bound);
                            SSE_KMS.generated(&generated);
                            generated
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    Envelope::kms(&keys.layers, place, &data_keys, context, bound)?
                }
            }
        };
        Ok(envelope.encode())
    }

    /// The ContentKeys of a version.
    pub async fn open(
        &self,
        envelope: &[u8],
        place: EnvelopePlace<'_>,
        customer: Option<&CustomerKey>,
        caller: &Caller,
    ) -> Result<ContentKeys, SseError> {
        let envelope = Envelope::decode(envelope)?;
        if customer.is_some() && !matches!(envelope, Envelope::Customer { .. }) {
            return Err(SseError::NotCustomerEncrypted);
        }
        let layers = match &envelope {
            Envelope::Customer { .. } => {
                let customer = customer.ok_or(SseError::CustomerKeyMissing)?;
                vec![envelope.open_customer(place, customer)?]
            }
            Envelope::S3 { epoch, .. } => {
                let epoch = self.epochs.opened(&self.kms, epoch)?;
                vec![envelope.open_layer(place, 0, &epoch.wrapping)?]
            }
            Envelope::Kms { tier: KmsTier::Bucket(epoch), key_arn, bound, .. } => {
                let caller = self.through_s3(caller);
                let context = bound.iter().cloned().collect();
                let uses =
                    BucketKeyUse { kms: &self.kms, caller: &caller, bucket: place.bucket, bound: &context };
                let remembered = self.bucket_keys.remembered_for_reading(uses, epoch);
                SSE_KMS.looked_for(&remembered);
                let epoch = match remembered {
                    Some(epoch) => epoch,
                    None => {
                        self.see_keys().await?;
                        self.bucket_keys.for_reading(uses, key_arn, epoch)?
                    }
                };
                vec![envelope.open_layer(place, 0, &epoch.wrapping)?]
            }
            Envelope::Kms { tier: KmsTier::Direct(data_keys), key_arn, bound, .. } => {
                let caller = self.through_s3(caller);
                let context: EncryptionContext = bound.iter().cloned().collect();
                self.see_keys().await?;
                let mut layers = Vec::with_capacity(data_keys.len());
                for (layer, ciphertext) in data_keys.iter().enumerate() {
                    let opened = self.kms.decrypt(&caller, Some(key_arn), ciphertext, &context);
                    SSE_KMS.decrypted(&opened);
                    let opened = opened?;
                    let wrapping = epoch::wrapping_key(&opened.plaintext)?;
                    layers.push(envelope.open_layer(place, layer, &wrapping)?);
                }
                layers
            }
        };
        Ok(ContentKeys { layers })
    }

    /// The key that S3 has in an account. Whoever makes it waits for the medium, and not on a thread that serves requests.
    async fn managed_key(&self, account: &str) -> Result<String, KmsError> {
        if let Some(arn) = self.kms.made_managed_key(S3_SERVICE, account) {
            return Ok(arn);
        }
        let (kms, account) = (self.kms.clone(), account.to_owned());
        let made = tokio::task::spawn_blocking(move || kms.managed_key(S3_SERVICE, &account)).await;
        made.map_err(|error| KmsError::Internal(error.to_string()))?
    }

    /// Takes over what other gateways changed of keys.
    async fn see_keys(&self) -> Result<(), KmsError> {
        Ok(self.watch.keys().await?)
    }

    /// The KMS key that an envelope depends on; `None`: it depends on none.
    pub fn dependence(&self, envelope: &[u8]) -> Result<Option<Dependence>, SseError> {
        let Envelope::Kms { key_arn, tier, .. } = Envelope::decode(envelope)? else { return Ok(None) };
        let is_newest = match &tier {
            KmsTier::Direct(data_keys) => data_keys.iter().all(|blob| self.kms.is_under_newest(blob)),
            KmsTier::Bucket(epoch) => self.kms.is_under_newest(&epoch.ciphertext),
        };
        Ok(Some(Dependence { key_arn, is_newest }))
    }

    /// Makes a new bucket-level key for whatever is written next.
    pub fn forget_bucket_keys(&self) {
        self.bucket_keys.forget();
    }

    /// What an envelope tells without any key.
    pub fn info(envelope: &[u8]) -> Result<SseInfo, SseError> {
        Ok(Envelope::decode(envelope)?.info())
    }

    /// The caller, speaking to KMS through S3 (`kms:ViaService`).
    fn through_s3(&self, caller: &Caller) -> Caller {
        Caller { via_service: Some(format!("s3.{}.amazonaws.com", self.region)), ..caller.clone() }
    }
}
