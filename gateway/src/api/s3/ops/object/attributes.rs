//! GetObjectAttributes.

use http::HeaderMap;
use storage::catalog::{Layout, PartDirectory, StoredChecksum};
use storage::name::UploadId;

use super::lookup::{self, Found, insert};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::checksum::type_name;
use crate::api::s3::wire::multipart::write_checksum;
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::wire::{time, version};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::sse::{CustomerHeaders, SseInfo};

const MAX_PARTS: u64 = 1000;

/// `GetObjectAttributes`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>.
pub async fn get_object_attributes(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let asked = Asked::of(&request.headers)?;
    let bucket = permit.bucket();
    let object = request.object()?;
    let found = lookup::find(app, bucket, object, request.version).await?;
    let customer = lookup::customer_key(app, &request, CustomerHeaders::Object, &found.sse)?;
    if found.sse == SseInfo::Customer {
        found.open(app, &request, bucket, object, customer.as_ref()).await?;
    }
    let record = &found.record;
    let mut xml = XmlWriter::document(1024);
    xml.root("GetObjectAttributesResponse");
    if asked.etag {
        xml.text("ETag", &record.etag);
    }
    if let Some(stored) = record.checksum.as_ref().filter(|_| asked.checksum) {
        xml.open("Checksum");
        // Without the number of parts, which is told apart from it.
        let value = stored.value.split('-').next().unwrap_or_default().to_owned();
        write_checksum(&mut xml, &StoredChecksum { value, ..stored.clone() });
        xml.text("ChecksumType", type_name(stored.composite));
        xml.close("Checksum");
    }
    if let Layout::Parts(directory) = &record.content.layout
        && asked.parts
    {
        write_parts(app, &request.headers, &found, directory, &mut xml).await?;
    }
    if asked.storage_class {
        xml.text("StorageClass", &record.storage_class);
    }
    if asked.size {
        xml.number("ObjectSize", record.plain_len);
    }
    xml.close("GetObjectAttributesResponse");
    let mut response = response::xml(xml.finish());
    insert(response.headers_mut(), http::header::LAST_MODIFIED, time::http_date(found.last_modified));
    version::write_header(bucket, found.version, found.is_null, response.headers_mut());
    Ok(response)
}

async fn write_parts(
    app: &App,
    headers: &HeaderMap,
    found: &Found,
    directory: &PartDirectory,
    xml: &mut XmlWriter,
) -> Result<(), S3Error> {
    let number = |name: &http::HeaderName, default: u64| match headers.get(name) {
        None => Ok(default),
        Some(value) => value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| {
            S3Error::invalid_argument(
                "Provided value is not an integer or not within integer range",
                name.as_str(),
                String::from_utf8_lossy(value.as_bytes()),
            )
        }),
    };
    let max_parts = number(&header::MAX_PARTS, MAX_PARTS)?.min(MAX_PARTS);
    let marker = number(&header::PART_NUMBER_MARKER, 0)?.min(u64::from(u16::MAX)) as u16;
    xml.open("ObjectParts");
    xml.number("PartsCount", u64::from(directory.part_count));
    // AWS lists single parts, and pages of them, only where they have checksums of their own.
    if !found.record.checksum.as_ref().is_some_and(|checksum| checksum.composite) {
        xml.close("ObjectParts");
        return Ok(());
    }
    let upload = UploadId(found.record.content.version);
    let (mut parts, truncated) = app.catalog.list_parts(upload, marker, max_parts as usize).await?;
    // Parts that the completion left out may still wait to be reclaimed.
    parts.retain(|part| directory.names(part.number.get()));
    xml.number("PartNumberMarker", u64::from(marker));
    xml.number("NextPartNumberMarker", parts.last().map_or(0, |part| u64::from(part.number.get())));
    xml.number("MaxParts", max_parts);
    xml.boolean("IsTruncated", truncated);
    for part in parts.iter().filter(|part| part.checksum.is_some()) {
        xml.open("Part");
        xml.number("PartNumber", u64::from(part.number.get()));
        xml.number("Size", part.plain_len);
        if let Some(stored) = &part.checksum {
            write_checksum(xml, stored);
        }
        xml.close("Part");
    }
    xml.close("ObjectParts");
    Ok(())
}

/// Which attributes are asked for.
#[derive(Default)]
struct Asked {
    etag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut asked = Self::default();
        let mut any = false;
        for value in headers.get_all(header::OBJECT_ATTRIBUTES) {
            for name in value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|n| !n.is_empty())
            {
                any = true;
                match name {
                    "ETag" => asked.etag = true,
                    "Checksum" => asked.checksum = true,
                    "ObjectParts" => asked.parts = true,
                    "StorageClass" => asked.storage_class = true,
                    "ObjectSize" => asked.size = true,
                    _ => {
                        return Err(S3Error::invalid_argument(
                            "Invalid attribute name specified.",
                            header::OBJECT_ATTRIBUTES.as_str(),
                            name,
                        ));
                    }
                }
            }
        }
        match any {
            true => Ok(asked),
            false => Err(S3Error::new(Code::InvalidRequest)
                .message("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")),
        }
    }
}
