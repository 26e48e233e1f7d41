//! GetObject and HeadObject.

use http::{HeaderValue, StatusCode};
use storage::catalog::{Layout, StoredChecksum};
use storage::name::PartNumber;

use super::archive;
use super::lookup::{self, Found, insert};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::checksum;
use crate::api::s3::wire::conditional::Conditions;
use crate::api::s3::wire::metadata;
use crate::api::s3::wire::range::{RangeSpec, content_range};
use crate::app::App;
use crate::authz::Permit;
use crate::http::body::ResponseBody;
use crate::http::header;
use crate::seal::PlainRange;
use crate::sse::{CustomerHeaders, SseInfo};

/// `GetObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.
pub async fn get_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    match get_once(app, &permit, &request).await? {
        Some(response) => Ok(response),
        // Once more with the record as it is now.
        None => get_once(app, &permit, &request).await?.ok_or_else(|| Code::InternalError.into()),
    }
}

/// `None`: the record that was read was out of date.
async fn get_once(app: &App, permit: &Permit, request: &S3Request) -> Result<Option<S3Response>, S3Error> {
    let bucket = permit.bucket();
    let object = request.object()?;
    let found = lookup::find(app, bucket, object, request.version).await?;
    archive::expect_readable(&found.record)?;
    let customer = lookup::customer_key(app, request, CustomerHeaders::Object, &found.sse)?;
    let selected = select(app, request, &found).await?;
    let keys = found.open(app, request, bucket, object, customer.as_ref()).await?;
    let Some(stream) = found.read(app, keys, selected.range).await? else { return Ok(None) };
    let body = ResponseBody::stream(stream, selected.range.len);
    let mut response = selected.respond(request, &found, body);
    found.write_headers(app, (bucket, object), &request.query, customer.as_ref(), response.headers_mut());
    Ok(Some(response))
}

/// `HeadObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>. Touches no blob and asks no KMS.
pub async fn head_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let object = request.object()?;
    let found = lookup::find(app, bucket, object, request.version).await?;
    let customer = lookup::customer_key(app, &request, CustomerHeaders::Object, &found.sse)?;
    if found.sse == SseInfo::Customer {
        found.open(app, &request, bucket, object, customer.as_ref()).await?;
    }
    let selected = select(app, &request, &found).await?;
    let mut response = selected.respond(&request, &found, ResponseBody::empty());
    let headers = response.headers_mut();
    found.write_headers(app, (bucket, object), &request.query, customer.as_ref(), headers);
    headers.insert(http::header::CONTENT_LENGTH, selected.range.len.into());
    Ok(response)
}

/// What of an object a request selects.
struct Selected {
    range: PlainRange,
    /// By `Range` or `partNumber`: 206 and Content-Range.
    is_partial: bool,
    /// By `partNumber`: how many parts there are, for an object in parts.
    parts_count: Option<u16>,
    /// The checksum of just this.
    checksum: Option<StoredChecksum>,
}

/// Weighs conditions, range and part number.
async fn select(app: &App, request: &S3Request, found: &Found) -> Result<Selected, S3Error> {
    if metadata::overrides_headers(&request.query)? && request.identity.is_anonymous() {
        return Err(S3Error::invalid_request(
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    let record = &found.record;
    Conditions::of_request(&request.headers).check_read(&record.etag, found.last_modified)?;
    let range = request.headers.get(http::header::RANGE);
    if let Some(number) = request.query.get("partNumber") {
        if range.is_some() {
            return Err(S3Error::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        return select_part(app, found, number).await;
    }
    let spec = range.and_then(|value| RangeSpec::parse(value.to_str().ok()?));
    Ok(match spec {
        Some(spec) => {
            let range = spec.resolve(record.plain_len)?;
            let checksum = record.checksum.clone().filter(|_| range == found.whole());
            Selected { range, is_partial: true, parts_count: None, checksum }
        }
        None => Selected {
            range: found.whole(),
            is_partial: false,
            parts_count: None,
            checksum: record.checksum.clone(),
        },
    })
}

async fn select_part(app: &App, found: &Found, number: &str) -> Result<Selected, S3Error> {
    let part = number.parse().ok().and_then(|n| PartNumber::new(n).ok()).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        S3Error::invalid_argument(message, "partNumber", number)
    })?;
    match &found.record.content.layout {
        Layout::Single(_) | Layout::Inline(_) if part.get() == 1 => Ok(Selected {
            range: found.whole(),
            is_partial: true,
            parts_count: None,
            checksum: found.record.checksum.clone(),
        }),
        Layout::Single(_) | Layout::Inline(_) => Err(no_such_part(part, 1)),
        Layout::Parts(directory) => {
            let found_part = app.catalog.part(&found.record.content, part).await?;
            let (offset, found_part) = found_part.ok_or_else(|| no_such_part(part, directory.part_count))?;
            Ok(Selected {
                range: PlainRange { offset, len: found_part.plain_len },
                is_partial: true,
                parts_count: Some(directory.part_count),
                // Only where the object's is made of them the parts' checksums are kept for clients.
                checksum: found_part
                    .checksum
                    .filter(|_| found.record.checksum.as_ref().is_some_and(|whole| whole.composite))
                    .map(|own| StoredChecksum { composite: true, ..own }),
            })
        }
    }
}

fn no_such_part(asked: PartNumber, part_count: u16) -> S3Error {
    S3Error::new(Code::InvalidPartNumber)
        .field("PartNumberRequested", asked.get().to_string())
        .field("ActualPartCount", part_count.to_string())
}

impl Selected {
    fn respond(&self, request: &S3Request, found: &Found, body: ResponseBody) -> S3Response {
        let mut response = S3Response::new(body);
        if self.is_partial {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            // An empty part has no first byte to name.
            if self.range.len > 0 {
                let value = content_range(self.range, found.record.plain_len);
                insert(response.headers_mut(), http::header::CONTENT_RANGE, value);
            }
        }
        let headers = response.headers_mut();
        if let Some(count) = self.parts_count {
            headers.insert(header::MP_PARTS_COUNT, HeaderValue::from(count));
        }
        if let Some(stored) = &self.checksum
            && checksum::mode_enabled(&request.headers)
        {
            checksum::write_headers(stored, headers);
        }
        response
    }
}
