//! What buckets and accounts hold, and how much they may.

use serde::Deserialize;
use serde_json::{Value, json};
use storage::catalog::{CatalogError, Usage};
use storage::name::BucketName;

use super::Admin;
use super::error::AdminError;
use crate::api::s3::ops::bucket::set_quota;
use crate::bucket::usage::{UsageReport, report};

/// Buckets that are told one by one at the most.
const MAX_BUCKETS: usize = 10_000;

/// GetUsage.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Value, AdminError> {
    Ok(as_value(&report(&admin.app.catalog, admin.only_account(), MAX_BUCKETS).await?))
}

/// PutQuota: of a bucket of the caller's account, or of an account, which the gateway's own account alone may.
pub(super) async fn put_quota(admin: &Admin<'_>, body: &[u8]) -> Result<Value, AdminError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Quota {
        bytes: Option<u64>,
    }
    // Without the member it could be a mistake, and null takes a quota away.
    let has_bytes = serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("bytes").is_some());
    let quota = serde_json::from_slice::<Quota>(body).ok().filter(|_| has_bytes);
    let Some(Quota { bytes }) = quota else {
        return Err(AdminError::invalid(
            "The body must be {\"bytes\": N}, or {\"bytes\": null} for no quota.",
        ));
    };
    match (admin.query.get("bucket"), admin.query.get("account")) {
        (Some(bucket), None) => {
            let name = BucketName::parse(bucket).map_err(|_| CatalogError::NoSuchBucket)?;
            let found = admin.app.catalog.bucket(&name).await?;
            if name.is_internal() || admin.only_account().is_some_and(|own| own != found.owner) {
                return Err(CatalogError::NoSuchBucket.into());
            }
            set_quota(admin.app, &name, bytes).await?;
        }
        (None, Some(account)) => {
            admin.authorize_host("sealgate:PutQuota")?;
            if admin.app.iam.state().account(account).is_none() {
                return Err(AdminError::not_found(format!("There is no account {account}.")));
            }
            admin.app.catalog.set_account_quota(account, bytes).await?;
        }
        _ => return Err(AdminError::invalid("Give the parameter bucket, or the parameter account.")),
    }
    Ok(json!({ "bytes": bytes }))
}

/// A report for programs.
pub fn as_value(found: &UsageReport) -> Value {
    let buckets = found.buckets.iter().map(|bucket| {
        let mut told = usage_value(&bucket.usage);
        told["name"] = bucket.name.clone().into();
        told["account"] = bucket.owner.clone().into();
        told["quota_bytes"] = bucket.quota.into();
        told
    });
    let accounts = found.accounts.iter().map(|(id, account)| {
        let mut told = usage_value(&account.usage);
        told["id"] = id.clone().into();
        told["buckets"] = account.buckets.into();
        told["quota_bytes"] = account.quota.into();
        told
    });
    let mut total = usage_value(&found.total);
    total["buckets"] = found.bucket_count.into();
    json!({
        "counted": found.is_counted,
        "buckets": buckets.collect::<Vec<_>>(),
        "accounts": accounts.collect::<Vec<_>>(),
        "total": total,
    })
}

/// What something holds.
pub fn usage_value(usage: &Usage) -> Value {
    json!({
        "objects": usage.objects,
        "versions": usage.versions,
        "delete_markers": usage.delete_markers,
        "bytes": usage.bytes,
        "stored_bytes": usage.stored_bytes,
        "uploads": usage.uploads,
        "upload_bytes": usage.upload_bytes,
        "upload_stored_bytes": usage.upload_stored_bytes,
    })
}
