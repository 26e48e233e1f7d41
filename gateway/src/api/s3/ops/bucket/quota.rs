//! How many bytes a bucket may hold: no operation of S3's, but a setting of the bucket all the same.

use storage::catalog::{QUOTA_SETTING, quota_value};
use storage::name::BucketName;

use super::change_bucket;
use crate::api::s3::error::S3Error;
use crate::app::App;

/// Sets how many bytes a bucket may hold; `None`: as many as there are.
///
/// # Errors
/// When there is no such bucket, or its record can't be written.
pub async fn set_quota(app: &App, name: &BucketName, quota: Option<u64>) -> Result<(), S3Error> {
    let bucket = app.catalog.bucket(name).await?;
    change_bucket(app, &bucket, |bucket| {
        match quota {
            Some(bytes) => bucket.configs.insert(QUOTA_SETTING.to_owned(), quota_value(bytes)),
            None => bucket.configs.remove(QUOTA_SETTING),
        };
        Ok(())
    })
    .await
}
