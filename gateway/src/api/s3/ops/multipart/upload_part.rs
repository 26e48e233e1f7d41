//! UploadPart.

use http::HeaderValue;

use super::part::{self, Incoming};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::{checksum, etag};
use crate::app::App;
use crate::authz::Permit;
use crate::http::body::ResponseBody;
use crate::sse::response_headers;
use crate::transfer::ingest::Source;

/// Stores a part, in place of an earlier one of its number.
pub async fn upload_part(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let number = super::part_number(&request.query)?;
    let plain_len = request.plain_len()?;
    if plain_len > part::MAX_LEN {
        return Err(S3Error::new(Code::EntityTooLarge)
            .field("ProposedSize", plain_len.to_string())
            .field("MaxSizeAllowed", part::MAX_LEN.to_string()));
    }
    let content_md5 = checksum::content_md5(&request.headers)?;
    let given = checksum::request_checksum(&request.headers)?;
    let upload = super::upload(app, bucket, &request).await?;
    let checksum = part::checksum(upload.checksum.as_ref(), given)?;
    let opened = part::open(app, bucket, &upload, &request).await?;
    let source = Source::Body { body: request.body, payload: request.payload };
    let incoming = Incoming { source, plain_len, content_md5, checksum };
    let stored = part::store(app, bucket, &upload, number, &opened, incoming).await?;

    let mut response = S3Response::new(ResponseBody::empty());
    let answer = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag::quoted(&stored.part.etag)) {
        answer.insert(http::header::ETAG, etag);
    }
    if let Some(sum) = stored.checksum {
        checksum::write_headers(&sum, answer);
        // A part's checksum has no type; the object's will have.
        answer.remove(crate::http::header::CHECKSUM_TYPE);
    }
    answer.extend(response_headers(&opened.info, opened.customer.as_ref().map(|c| c.md5_base64.as_str())));
    Ok(response)
}
