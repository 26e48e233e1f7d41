//! UploadPartCopy.

use storage::catalog::{ObjectRecord, ObjectVersion, VersionKind};

use super::part::{self, Incoming};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::conditional::Conditions;
use crate::api::s3::wire::copy_source::CopySource;
use crate::api::s3::wire::multipart::write_copied;
use crate::api::s3::wire::range::copy_source_range;
use crate::app::App;
use crate::authz::{self, Permit};
use crate::http::header;
use crate::seal::PlainRange;
use crate::sse::{CustomerHeaders, EnvelopePlace, customer_key, response_headers};
use crate::transfer::egress;
use crate::transfer::ingest::Source;

/// Stores a range of another object as a part.
pub async fn upload_part_copy(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let number = super::part_number(&request.query)?;
    let headers = &request.headers;
    let source = headers.get(header::COPY_SOURCE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let source = CopySource::parse(source)?;
    let source_bucket = app.catalog.bucket(&source.bucket).await?;
    let read_permit = authz::authorize(&request.identity, "s3:GetObject", Some(source_bucket))?;
    let source_bucket = read_permit.bucket();
    let upload = super::upload(app, bucket, &request).await?;
    let opened = part::open(app, bucket, &upload, &request)?;

    let found = app.catalog.current(source_bucket, &source.object).await?;
    let Some(ObjectVersion { kind: VersionKind::Object(record), last_modified, .. }) = found else {
        return Err(S3Error::new(Code::NoSuchKey).field("Key", source.object.as_str()));
    };
    Conditions::of_copy_source(headers).check_copy_source(&record.etag, last_modified)?;
    let range = range(headers, &record)?;
    let customer = customer_key(headers, CustomerHeaders::CopySource, request.channel(app))?;
    let place = EnvelopePlace {
        bucket: source_bucket.id,
        version: record.content.version,
        bucket_name: &source_bucket.name,
        object: &source.object,
    };
    let keys = app.sse.open(&record.envelope, place, customer.as_ref(), &request.kms_caller())?;
    let stream =
        egress::read(&app.catalog, &app.blobs, &record.content, keys, record.plain_len, range).await?;

    let given = match upload.checksum.as_ref() {
        // The bytes are ours: nobody else can tell their checksum.
        Some((name, _)) => {
            let algorithm =
                crate::transfer::digest::ChecksumAlgorithm::parse(name).ok_or(Code::InternalError)?;
            (algorithm, crate::transfer::ingest::Expected::Nothing)
        }
        None => part::checksum(None, None)?,
    };
    let incoming =
        Incoming { source: Source::Stream(stream), plain_len: range.len, content_md5: None, checksum: given };
    let stored = part::store(app, bucket, &upload, number, &opened, incoming).await?;
    let sum = stored.checksum.as_ref().filter(|_| upload.checksum.is_some());
    let mut response = response::xml(write_copied("CopyPartResult", &stored.etag, stored.last_modified, sum));
    let customer_md5 = opened.customer.as_ref().map(|customer| customer.md5_base64.as_str());
    response.headers_mut().extend(response_headers(&opened.info, customer_md5));
    Ok(response)
}

/// The bytes to copy: all of the source, or the range named.
fn range(headers: &http::HeaderMap, record: &ObjectRecord) -> Result<PlainRange, S3Error> {
    let range = match headers.get(header::COPY_SOURCE_RANGE) {
        None => PlainRange { offset: 0, len: record.plain_len },
        Some(value) => copy_source_range(value.to_str().unwrap_or_default(), record.plain_len)?,
    };
    if range.len > part::MAX_LEN {
        return Err(S3Error::invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {}",
            part::MAX_LEN
        )));
    }
    Ok(range)
}
