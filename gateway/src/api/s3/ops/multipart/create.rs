//! CreateMultipartUpload.

use http::HeaderValue;
use storage::catalog::{Trailer, Upload};
use storage::name::{Timestamp, UploadId};

use crate::api::s3::error::S3Error;
use crate::api::s3::ops::object::properties::{self, Properties};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::{checksum, metadata, multipart};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::sse::{BucketEncryption, Sse, SsePlan, plan, response_headers};

/// Begins an upload: makes the version's id, its ContentKeys and their envelope.
pub async fn create_multipart_upload(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let object = request.object()?;
    let headers = &request.headers;
    let declared = checksum::upload_checksum(headers)?;
    let id = UploadId::of(object);
    let arn = format!("arn:aws:s3:::{}/{object}", bucket.name);
    let plan = plan(headers, BucketEncryption::of(bucket).as_ref(), &arn, request.channel(app))?;
    request.expect_v4_for_kms(matches!(plan, SsePlan::Kms { .. }))?;
    let (envelope, _) =
        app.sse.create(&plan, super::place(bucket, object, id), &request.kms_caller()).await?;
    let properties = Properties::of_request(app, bucket, &request)?;
    let mut upload = Upload {
        id,
        object: object.clone(),
        initiated: Timestamp::now(),
        initiator: request.identity.arn().to_owned(),
        headers: metadata::system_headers(headers)?,
        user_metadata: metadata::user_metadata(headers)?,
        tags: properties.tags,
        storage_class: metadata::storage_class(headers)?,
        checksum: declared.map(|(algorithm, composite)| (algorithm.name().to_owned(), composite)),
        lock: properties.lock,
        attributes: properties.attributes,
        envelope,
        journal: None,
    };
    let trailer = Trailer::Upload { bucket: bucket.id, upload: upload.clone() };
    upload.journal = app.records().write_journal(&trailer).await?;
    app.catalog.create_upload(bucket, &upload).await?;

    let mut response = response::xml(multipart::write_initiated(&bucket.name, object, id));
    let customer_md5 = match &plan {
        SsePlan::Customer(customer) => Some(customer.md5_base64.as_str()),
        _ => None,
    };
    let answer = response.headers_mut();
    properties::write_abort_date(app, bucket, &upload, answer);
    answer.extend(response_headers(&Sse::info(&upload.envelope)?, customer_md5));
    if let Some((algorithm, composite)) = declared {
        answer.insert(header::CHECKSUM_ALGORITHM, HeaderValue::from_static(algorithm.name()));
        answer.insert(header::CHECKSUM_TYPE, HeaderValue::from_static(checksum::type_name(composite)));
    }
    Ok(response)
}
