//! Objects of classes that must be restored before they can be read, and RestoreObject. Their bytes lie here as all others do: what
//! is kept is what a client sees.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use storage::catalog::{Authority, ObjectRecord};
use storage::name::Timestamp;

use super::{lookup, record_change};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::tree::Element;
use crate::api::s3::wire::xml::MalformedXml;
use crate::api::s3::wire::{metadata, time, version};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;

const RESTORED_ATTRIBUTE: &str = "restored";

/// Until when a copy can be read.
#[derive(Serialize, Deserialize)]
struct Restored {
    until: Timestamp,
}

fn restored_until(record: &ObjectRecord) -> Option<Timestamp> {
    let stored = record.attributes.get(RESTORED_ATTRIBUTE)?;
    serde_json::from_slice::<Restored>(stored).ok().map(|restored| restored.until)
}

/// Refuses to read what is archived and not restored.
pub(in crate::api::s3::ops) fn expect_readable(record: &ObjectRecord) -> Result<(), S3Error> {
    let is_restored = restored_until(record).is_some_and(|until| until > Timestamp::now());
    if !metadata::is_archived(&record.storage_class) || is_restored {
        return Ok(());
    }
    Err(S3Error::new(Code::InvalidObjectState)
        .message("The operation is not valid for the object's storage class")
        .field("StorageClass", record.storage_class.clone()))
}

/// Tells until when an archived object can be read.
pub(in crate::api::s3::ops) fn write_header(record: &ObjectRecord, headers: &mut HeaderMap) {
    if let Some(until) = restored_until(record).filter(|until| *until > Timestamp::now()) {
        let value = format!("ongoing-request=\"false\", expiry-date=\"{}\"", time::http_date(until));
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header::RESTORE, value);
        }
    }
}

/// `RestoreObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>. Done at once: 202, and 200 for
/// what is restored already and gets another end.
pub async fn restore_object(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let root = Element::parse(&body, "RestoreRequest")?;
    if let Some(part) = ["OutputLocation", "SelectParameters", "Type"]
        .iter()
        .find(|name| matches!(root.child(name), Ok(Some(_))))
    {
        return Err(S3Error::not_implemented(format_args!("RestoreObject with {part}")));
    }
    let days: u32 = root.number_of("Days")?.filter(|days| *days > 0).ok_or(MalformedXml)?;
    let (bucket, object) = (permit.bucket(), request.object()?);
    let found = lookup::find(app, bucket, object, request.version).await?;
    if !metadata::is_archived(&found.record.storage_class) {
        return Err(Code::ObjectAlreadyInActiveTierError.into());
    }
    let now = Timestamp::now();
    let until = Timestamp(now.unix_ms() + u64::from(days) * 86_400_000);
    let is_again = restored_until(&found.record).is_some_and(|until| until > now);
    let stored = serde_json::to_vec(&Restored { until }).expect("a time can be written");
    let changed = record_change::change(app, bucket, object, request.version, Authority::usual(), |record| {
        record.attributes.insert(RESTORED_ATTRIBUTE.to_owned(), stored.clone().into());
        Ok(())
    });
    let changed = changed.await?;
    let mut response = response::empty();
    *response.status_mut() = if is_again { StatusCode::OK } else { StatusCode::ACCEPTED };
    version::write_header(bucket, changed.version, changed.is_null, response.headers_mut());
    Ok(response)
}
