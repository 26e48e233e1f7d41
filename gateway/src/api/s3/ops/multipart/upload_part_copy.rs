//! UploadPartCopy.

use storage::catalog::ObjectRecord;

use super::part::{self, Incoming};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::object::copy::{find_source, readable_bucket, write_source_version};
use crate::api::s3::ops::object::{archive, lookup};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::conditional::Conditions;
use crate::api::s3::wire::copy_source::CopySource;
use crate::api::s3::wire::multipart::write_copied;
use crate::api::s3::wire::range::copy_source_range;
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::seal::PlainRange;
use crate::sse::{CustomerHeaders, response_headers};
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::ingest::{Expected, Source};

/// `UploadPartCopy`, which stores a range of another object as a part:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>.
pub async fn upload_part_copy(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    match copy_once(app, &permit, &request).await? {
        Some(response) => Ok(response),
        // Once more with the source's record as it is now: nothing was written yet.
        None => copy_once(app, &permit, &request).await?.ok_or_else(|| Code::InternalError.into()),
    }
}

/// `None`: the record of the source was out of date.
async fn copy_once(app: &App, permit: &Permit, request: &S3Request) -> Result<Option<S3Response>, S3Error> {
    let bucket = permit.bucket();
    let number = super::part_number(&request.query)?;
    let source = CopySource::of(request)?;
    let source_bucket = readable_bucket(app, request, &source).await?;
    let upload = super::upload(app, bucket, request).await?;
    let opened = part::open(app, bucket, &upload, request).await?;

    let found = find_source(app, request, &source_bucket, &source).await?;
    archive::expect_readable(&found.record)?;
    let customer = lookup::customer_key(app, request, CustomerHeaders::CopySource, &found.sse)?;
    Conditions::of_copy_source(&request.headers)
        .check_copy_source(&found.record.etag, found.last_modified)?;
    let range = range(&request.headers, &found.record)?;
    let keys = found.open(app, request, &source_bucket, &source.object, customer.as_ref()).await?;
    let Some(stream) = found.read(app, keys, range).await? else { return Ok(None) };

    // The bytes are ours: nobody else can tell their checksum.
    let declared = match upload.checksum.as_ref() {
        Some((name, _)) => Some(ChecksumAlgorithm::parse(name).ok_or(Code::InternalError)?),
        None => None,
    };
    let checksum = declared.map(|algorithm| (algorithm, Expected::Nothing));
    let incoming =
        Incoming { source: Source::Stream(stream), plain_len: range.len, content_md5: None, checksum };
    let stored = part::store(app, bucket, &upload, number, &opened, incoming).await?;
    let part = &stored.part;
    let sum = stored.checksum.as_ref();
    let mut response = response::xml(write_copied("CopyPartResult", &part.etag, part.last_modified, sum));
    let customer_md5 = opened.customer.as_ref().map(|customer| customer.md5_base64.as_str());
    response.headers_mut().extend(response_headers(&opened.info, customer_md5));
    write_source_version(&source_bucket, &found, response.headers_mut());
    Ok(Some(response))
}

/// The bytes to copy: all of the source, or the range named.
fn range(headers: &http::HeaderMap, record: &ObjectRecord) -> Result<PlainRange, S3Error> {
    let range = match headers.get(header::COPY_SOURCE_RANGE) {
        None => PlainRange { offset: 0, len: record.plain_len },
        // An empty one copies all.
        Some(value) if value.is_empty() => PlainRange { offset: 0, len: record.plain_len },
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
