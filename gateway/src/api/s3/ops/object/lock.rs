//! Retention and legal hold of objects. Whether a lock may change is decided in the catalog's commit.

use bytes::Bytes;
use storage::catalog::{Authority, ObjectRecord};

use super::lookup::{self, Found};
use super::record_change::change;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::lock;
use crate::api::s3::wire::xml::MalformedXml;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{ObjectLock, Setting};

/// What a version has whose legal hold was ever set: only of such a one S3 tells that it is off.
pub(super) const LEGAL_HOLD_ATTRIBUTE: &str = "legal-hold";

/// `PutObjectRetention`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html>.
pub async fn put_object_retention(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let asked = lock::parse_retention(&document(&mut request).await?)?;
    expect_lock(&permit)?;
    let authority = request.authority(app, permit.bucket(), request.object()?, request.version).await?;
    set(app, &permit, &request, authority, |record| {
        record.lock = asked.apply(&record.lock, authority.now)?;
        Ok(())
    })
    .await
}

/// `PutObjectLegalHold`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLegalHold.html>.
pub async fn put_object_legal_hold(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let legal_hold = lock::parse_legal_hold(&document(&mut request).await?)?;
    expect_lock(&permit)?;
    set(app, &permit, &request, Authority::usual(), |record| {
        record.attributes.insert(LEGAL_HOLD_ATTRIBUTE.to_owned(), Bytes::new());
        record.lock.legal_hold = legal_hold;
        Ok(())
    })
    .await
}

/// The body: one that is empty is no document.
async fn document(request: &mut S3Request) -> Result<Bytes, S3Error> {
    let body = request_document::read(request, request_document::CONFIG_MAX_LEN).await?;
    if body.is_empty() { Err(MalformedXml.into()) } else { Ok(body) }
}

async fn set(
    app: &App,
    permit: &Permit,
    request: &S3Request,
    authority: Authority,
    next: impl Fn(&mut ObjectRecord) -> Result<(), S3Error>,
) -> Result<S3Response, S3Error> {
    change(app, permit.bucket(), request.object()?, request.version, authority, next).await?;
    Ok(response::empty())
}

/// `GetObjectRetention`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html>.
pub async fn get_object_retention(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let lock = read(app, &permit, &request).await?.record.lock;
    Ok(response::xml(lock::write_retention(&lock).ok_or(Code::NoSuchObjectLockConfiguration)?))
}

/// `GetObjectLegalHold`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLegalHold.html>.
pub async fn get_object_legal_hold(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let record = read(app, &permit, &request).await?.record;
    let hold = legal_hold(&record).ok_or(Code::NoSuchObjectLockConfiguration)?;
    Ok(response::xml(lock::write_legal_hold(hold)))
}

/// Is the legal hold of a version on? `None`: it was never set.
pub(super) fn legal_hold(record: &ObjectRecord) -> Option<bool> {
    let was_set = record.lock.legal_hold || record.attributes.contains_key(LEGAL_HOLD_ATTRIBUTE);
    was_set.then_some(record.lock.legal_hold)
}

async fn read(app: &App, permit: &Permit, request: &S3Request) -> Result<Found, S3Error> {
    expect_lock(permit)?;
    lookup::find(app, permit.bucket(), request.object()?, request.version).await
}

fn expect_lock(permit: &Permit) -> Result<(), S3Error> {
    ObjectLock::of(permit.bucket())?.map(drop).ok_or_else(lock::missing_configuration)
}
