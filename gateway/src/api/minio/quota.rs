//! `mc quota` (`mc admin bucket quota` before): how many bytes a bucket may hold. AWS has no such action: the caller needs
//! `iam:SetBucketQuota` (or `iam:GetBucketQuota`) on `*`.

use serde::Deserialize;
use serde_json::json;
use storage::catalog::{Bucket, bucket_quota};
use storage::name::BucketName;

use super::error::AdminError;
use super::{Admin, Told};
use crate::api::iam;
use crate::api::query::{Parameters, Refusal};
use crate::api::s3::ops::bucket::set_quota;

/// What is sent: `size` by clients since 2023, `quota` by those before. Limits of rate and requests are told as not implemented.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    size: u64,
    #[serde(default)]
    quota: u64,
    #[serde(default)]
    rate: u64,
    #[serde(default)]
    requests: u64,
    #[serde(default, rename = "quotatype")]
    kind: String,
}

/// SetBucketQuota. 0 takes it away.
pub(super) async fn set(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let bucket = bucket(admin, "SetBucketQuota").await?;
    let wanted: Wanted = serde_json::from_slice(admin.body)
        .map_err(|error| AdminError::Invalid(format!("The quota can't be read: {error}")))?;
    if !matches!(wanted.kind.as_str(), "" | "hard") {
        return Err(AdminError::Invalid(format!("A quota is hard; {:?} is none.", wanted.kind)));
    }
    if wanted.rate != 0 || wanted.requests != 0 {
        return Err(AdminError::NotImplemented("A bucket's limit of rate or requests".to_owned()));
    }
    let bytes = if wanted.size == 0 { wanted.quota } else { wanted.size };
    let set = set_quota(admin.app, &bucket.name, (bytes != 0).then_some(bytes)).await;
    set.map_err(Refusal::failure)?;
    Ok(Told::Nothing)
}

/// GetBucketQuota; 0 where there is none.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let bucket = bucket(admin, "GetBucketQuota").await?;
    let bytes = bucket_quota(&bucket).unwrap_or_default();
    let kind = if bytes == 0 { "" } else { "hard" };
    Ok(Told::Plain(json!({ "quota": bytes, "size": bytes, "rate": 0, "requests": 0, "quotatype": kind })))
}

/// The bucket that is spoken of, if it is the caller's account's and he may.
async fn bucket(admin: &Admin<'_>, action: &str) -> Result<Bucket, AdminError> {
    let state = iam::account_for_all(&admin.call(action, &Parameters::default()))?;
    let name = BucketName::parse(admin.required("bucket")?).map_err(|_| AdminError::NoSuchBucket)?;
    match admin.app.catalog.bucket(&name).await {
        Ok(bucket) if bucket.owner == state.account.id && !name.is_internal() => Ok(bucket),
        Ok(_) | Err(storage::catalog::CatalogError::NoSuchBucket) => Err(AdminError::NoSuchBucket),
        Err(error) => Err(Refusal::failure(error).into()),
    }
}
