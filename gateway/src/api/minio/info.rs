//! `mc admin info`, and what it tells of data.

use serde_json::{Map, Value, json};
use storage::name::Timestamp;

use super::error::AdminError;
use super::{Admin, Told};
use crate::api::iam;
use crate::api::query::{Parameters, Refusal};
use crate::api::s3::wire::time::iso8601;
use crate::bucket::usage::{UsageReport, report};

/// Buckets that are named in one answer.
const MAX_BUCKETS: usize = 10_000;

/// What there is of the caller's account, for him who may call GetAccountSummary.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let found = usage(admin, 0).await?;
    Ok(Told::Plain(json!({
        "mode": "online",
        "region": admin.app.region,
        "buckets": { "count": found.bucket_count },
        "objects": { "count": found.total.objects },
        "versions": { "count": found.total.versions },
        "deletemarkers": { "count": found.total.delete_markers },
        "usage": { "size": found.total.bytes },
        "backend": { "backendType": "FS" },
        "servers": [{
            "state": "online",
            "endpoint": admin.host,
            "uptime": admin.app.started.elapsed().as_secs(),
            "version": concat!("sealgate ", env!("CARGO_PKG_VERSION")),
        }],
    })))
}

/// DataUsageInfo: what each bucket holds, likewise. Beside MinIO's members each bucket has this gateway's own: bytes as stored,
/// unfinished uploads and their bytes, the quota.
pub(super) async fn data_usage(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let found = usage(admin, MAX_BUCKETS).await?;
    let (mut buckets, mut sizes) = (Map::new(), Map::new());
    for bucket in &found.buckets {
        let usage = &bucket.usage;
        sizes.insert(bucket.name.clone(), usage.bytes.into());
        let told = json!({
            "size": usage.bytes,
            "objectsCount": usage.objects,
            "versionsCount": usage.versions,
            "deleteMarkersCount": usage.delete_markers,
            "storedSize": usage.stored_bytes,
            "uploadsCount": usage.uploads,
            "uploadsSize": usage.upload_bytes,
            "quota": bucket.quota,
        });
        buckets.insert(bucket.name.clone(), told);
    }
    let quota = found.accounts.values().next().and_then(|account| account.quota);
    Ok(Told::Plain(json!({
        "lastUpdate": iso8601(Timestamp::now()),
        "objectsCount": found.total.objects,
        "versionsCount": found.total.versions,
        "deleteMarkersCount": found.total.delete_markers,
        "objectsTotalSize": found.total.bytes,
        "bucketsCount": found.bucket_count,
        "bucketsUsageInfo": Value::Object(buckets),
        "bucketsSizes": Value::Object(sizes),
        "isCounted": found.is_counted,
        "accountQuota": quota,
    })))
}

async fn usage(admin: &Admin<'_>, most: usize) -> Result<UsageReport, AdminError> {
    let state = iam::account_for_all(&admin.call("GetAccountSummary", &Parameters::default()))?;
    Ok(report(&admin.app.catalog, Some(&state.account.id), most).await.map_err(Refusal::failure)?)
}
