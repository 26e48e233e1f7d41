//! Operations on the service and on buckets.

mod config;
mod create;
mod delete;
mod head;
mod list_buckets;
mod list_objects;
mod location;
mod quota;
mod unserved_setting;

use http::{HeaderMap, HeaderValue};
use storage::blob::BlobError;
use storage::catalog::{Bucket, CatalogError, Trailer};

pub use config::*;
pub use create::create_bucket;
pub(super) use create::create_recorded;
pub use delete::delete_bucket;
pub use head::head_bucket;
pub use list_buckets::list_buckets;
pub use list_objects::{list_object_versions, list_objects, list_objects_v2};
pub use location::get_bucket_location;
pub use quota::set_quota;
pub use unserved_setting::read_as_unset;

use crate::api::s3::error::S3Error;
use crate::app::App;
use crate::http::header;

/// Tells where a bucket is, as the answers do by which SDKs find its region.
fn tell_region(bucket: &Bucket, headers: &mut HeaderMap) {
    if let Ok(region) = HeaderValue::from_str(&bucket.region) {
        headers.insert(header::BUCKET_REGION, region);
    }
}

/// Writes the journal that records `bucket` for a rebuild, and lets it refer to it.
async fn with_journal(app: &App, mut bucket: Bucket) -> Result<Bucket, BlobError> {
    let trailer = Trailer::Bucket(bucket.clone());
    bucket.journal = app.records().write_journal(&trailer).await?;
    Ok(bucket)
}

/// Changes a bucket's record and its journal together; again and again where others change it meanwhile.
async fn change_bucket(
    app: &App,
    expected: &Bucket,
    change: impl Fn(&mut Bucket) -> Result<(), S3Error>,
) -> Result<(), S3Error> {
    const MAX_ATTEMPTS: usize = 8;
    let mut expected = expected.clone();
    for _ in 0..MAX_ATTEMPTS {
        let mut bucket = expected.clone();
        change(&mut bucket)?;
        if bucket == expected {
            return Ok(());
        }
        let bucket = with_journal(app, bucket).await?;
        let replaced = app.catalog.replace_bucket(&expected, &bucket).await;
        if let (Err(_), Some(unused)) = (&replaced, bucket.journal) {
            // What is left behind here is found by the sweep of orphans.
            let _ = app.blobs.delete(&unused.id).await;
        }
        match replaced {
            Err(CatalogError::Contended) => expected = app.catalog.bucket(&expected.name).await?,
            result => return Ok(result?),
        }
    }
    Err(CatalogError::Contended.into())
}
