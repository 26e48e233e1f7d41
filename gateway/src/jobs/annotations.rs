//! Annotations whose object is gone: overwritten, or deleted by whoever did not see to them. Each tells which content it is of, and under
//! which name that was written.

use std::collections::HashMap;

use storage::catalog::{
    Authority, Bucket, Catalog, CatalogError, ListRequest, ListRow, Precondition, VersionRef,
};
use storage::name::{BucketName, ObjectKey, VersionId};

use crate::bucket::ANNOTATED_OBJECT;

/// Rows per page.
const PAGE_LEN: usize = 500;

/// Deletes what belongs to no object; answers how many there were. `catalog`: the one of the job's lease.
pub async fn sweep(catalog: &Catalog) -> Result<u64, CatalogError> {
    let mut buckets: HashMap<BucketName, Bucket> = HashMap::new();
    let mut after = None;
    loop {
        let request =
            ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
        let page = catalog.list_buckets(None, &request).await?;
        for row in page.rows {
            let ListRow::Item(bucket) = row else { continue };
            after = Some(bucket.name.to_string());
            buckets.insert(bucket.name.clone(), bucket);
        }
        if !page.truncated {
            break;
        }
    }
    let mut swept = 0;
    for bucket in buckets.values() {
        if let Some(hidden) = buckets.get(&BucketName::internal(bucket.id)) {
            swept += sweep_bucket(catalog, bucket, hidden).await?;
        }
    }
    Ok(swept)
}

async fn sweep_bucket(catalog: &Catalog, bucket: &Bucket, hidden: &Bucket) -> Result<u64, CatalogError> {
    let (mut swept, mut after) = (0, None);
    // The last content that was looked at, and whether an object holds it.
    let mut last: Option<(VersionId, bool)> = None;
    loop {
        let request =
            ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
        let page = catalog.list_objects(hidden, &request).await?;
        for row in &page.rows {
            let ListRow::Item(row) = row else { continue };
            after = Some(row.object.to_string());
            let content = row.object.as_str().split('/').next().and_then(|id| VersionId::parse(id).ok());
            let Some(content) = content else { continue };
            if last.is_none_or(|(seen, _)| seen != content) {
                last = Some((content, is_held(catalog, bucket, hidden, &row.object, content).await?));
            }
            if last.is_some_and(|(_, is_held)| !is_held) {
                let (current, none) = (VersionRef::Current, Precondition::None);
                catalog.delete_version(hidden, &row.object, current, &none, Authority::usual()).await?;
                swept += 1;
            }
        }
        if !page.truncated {
            return Ok(swept);
        }
    }
}

async fn is_held(
    catalog: &Catalog,
    bucket: &Bucket,
    hidden: &Bucket,
    annotation: &ObjectKey,
    content: VersionId,
) -> Result<bool, CatalogError> {
    let Some(version) = catalog.current(hidden, annotation).await? else { return Ok(true) };
    let record = version.object().ok_or(CatalogError::Corrupt("an annotation"))?;
    let name = record.user_metadata.iter().find(|(name, _)| name == ANNOTATED_OBJECT);
    let object = name.and_then(|(_, object)| ObjectKey::parse(object).ok());
    let object = object.ok_or(CatalogError::Corrupt("an annotation's object"))?;
    catalog.holds_content(bucket, &object, content).await
}
