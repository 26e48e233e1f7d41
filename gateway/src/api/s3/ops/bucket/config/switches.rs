//! Settings of a word: who pays for requests, acceleration, attribute-based access control.

use super::set;
use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::settings::{parse_word, word};
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Abac, Accelerate, RequestPayment, Setting};

/// `PutBucketRequestPayment`.
pub async fn put_bucket_request_payment(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let payer = parse_word(&body, "RequestPaymentConfiguration", "Payer", &["BucketOwner", "Requester"])?;
    set(app, permit.bucket(), &RequestPayment { payer }).await?;
    Ok(response::empty())
}

/// `GetBucketRequestPayment`.
pub async fn get_bucket_request_payment(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let payer =
        RequestPayment::of(permit.bucket())?.map_or("BucketOwner".to_owned(), |payment| payment.payer);
    Ok(response::xml(word("RequestPaymentConfiguration", Some(("Payer", &payer)))))
}

/// `PutBucketAccelerateConfiguration`.
pub async fn put_bucket_accelerate(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let status = parse_word(&body, "AccelerateConfiguration", "Status", &["Enabled", "Suspended"])?;
    if permit.bucket().name.as_str().contains('.') {
        return Err(S3Error::invalid_request(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names",
        ));
    }
    set(app, permit.bucket(), &Accelerate { status }).await?;
    Ok(response::empty())
}

/// `GetBucketAccelerateConfiguration`.
pub async fn get_bucket_accelerate(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let accelerate = Accelerate::of(permit.bucket())?;
    let status = accelerate.as_ref().map(|accelerate| ("Status", accelerate.status.as_str()));
    Ok(response::xml(word("AccelerateConfiguration", status)))
}

/// `PutBucketAbac`.
pub async fn put_bucket_abac(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let enabled = parse_word(&body, "AbacStatus", "Status", &["Enabled", "Disabled"])? == "Enabled";
    set(app, permit.bucket(), &Abac { enabled }).await?;
    Ok(response::empty())
}

/// `GetBucketAbac`.
pub async fn get_bucket_abac(_app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let enabled = Abac::of(permit.bucket())?.is_some_and(|abac| abac.enabled);
    Ok(response::xml(word("AbacStatus", Some(("Status", if enabled { "Enabled" } else { "Disabled" })))))
}
