//! Retention and legal hold of objects. Whether a lock may change is decided in the catalog's commit.

use storage::catalog::{Authority, Lock};

use super::lookup;
use super::record_change::change;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::lock;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{ObjectLock, Setting};

/// `PutObjectRetention`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html>.
pub async fn put_object_retention(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    expect_lock(&permit)?;
    let body = request_document::read_config(&mut request).await?;
    let asked = lock::parse_retention(&body)?;
    let authority = request.authority(app, permit.bucket(), request.object()?, request.version).await?;
    set(app, &permit, &request, authority, |former| asked.apply(former, authority.now)).await
}

/// `PutObjectLegalHold`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLegalHold.html>.
pub async fn put_object_legal_hold(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    expect_lock(&permit)?;
    let body = request_document::read_config(&mut request).await?;
    let legal_hold = lock::parse_legal_hold(&body)?;
    set(app, &permit, &request, Authority::usual(), |former| Ok(Lock { legal_hold, ..*former })).await
}

async fn set(
    app: &App,
    permit: &Permit,
    request: &S3Request,
    authority: Authority,
    next: impl Fn(&Lock) -> Result<Lock, S3Error>,
) -> Result<S3Response, S3Error> {
    change(app, permit.bucket(), request.object()?, request.version, authority, |record| {
        record.lock = next(&record.lock)?;
        Ok(())
    })
    .await?;
    Ok(response::empty())
}

/// `GetObjectRetention`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html>.
pub async fn get_object_retention(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let lock = read(app, &permit, &request).await?;
    Ok(response::xml(lock::write_retention(&lock).ok_or(Code::NoSuchObjectLockConfiguration)?))
}

/// `GetObjectLegalHold`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLegalHold.html>.
pub async fn get_object_legal_hold(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let lock = read(app, &permit, &request).await?;
    Ok(response::xml(lock::write_legal_hold(lock.legal_hold)))
}

async fn read(app: &App, permit: &Permit, request: &S3Request) -> Result<Lock, S3Error> {
    expect_lock(permit)?;
    Ok(lookup::find(app, permit.bucket(), request.object()?, request.version).await?.record.lock)
}

fn expect_lock(permit: &Permit) -> Result<(), S3Error> {
    ObjectLock::of(permit.bucket())?.map(drop).ok_or_else(lock::missing_configuration)
}
