//! What UploadPart and UploadPartCopy have in common: a part is sealed as a message of its own and recorded.

use http::HeaderMap;
use storage::blob::BlobOwner;
use storage::catalog::{Bucket, CatalogError, OWN_BLOB, Part, StoredChecksum, Trailer, Upload};
use storage::kv::KvError;
use storage::name::{PartNumber, Timestamp};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::S3Request;
use crate::api::s3::wire::checksum::{self, RequestChecksum};
use crate::app::App;
use crate::http::header;
use crate::seal::{ContentKeys, SealContext};
use crate::sse::{CustomerHeaders, CustomerKey, Sse, SseError, SseInfo, customer_key, response_headers};
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::ingest::{self, Announced, Expected, IngestError, Intake, Source};
use crate::transfer::journal;

/// The longest part, in bytes: 5 GiB.
pub(super) const MAX_LEN: u64 = 5 << 30;

/// The encryption of an upload, opened for one part.
pub(super) struct Opened {
    pub(super) keys: ContentKeys,
    pub(super) info: SseInfo,
    /// Of the caller's key, where there is one.
    pub(super) customer: Option<CustomerKey>,
}

/// Opens an upload's envelope. Under SSE-C every part brings the key that the upload was created with.
pub(super) async fn open(
    app: &App,
    bucket: &Bucket,
    upload: &Upload,
    request: &S3Request,
) -> Result<Opened, S3Error> {
    let channel = request.channel(app);
    let customer = customer_key(&request.headers, CustomerHeaders::Object, channel)?;
    let info = Sse::info(&upload.envelope)?;
    let place = super::place(bucket, &upload.object, upload.id);
    let keys = app
        .sse
        .open(&upload.envelope, place, customer.as_ref(), &request.kms_caller())
        .await
        .map_err(|error| match error {
            // AWS has one text for both.
            SseError::CustomerKeyMissing | SseError::NotCustomerEncrypted => S3Error::invalid_request(
                "The multipart upload initiate requested encryption. Subsequent part requests must include the \
                 appropriate encryption parameters.",
            ),
            SseError::WrongCustomerKey => S3Error::invalid_request(
                "The provided encryption parameters did not match the ones used originally.",
            ),
            error => error.into(),
        })?;
    check_named_encryption(app, &request.headers, &info)?;
    Ok(Opened { keys, info, customer })
}

/// Some clients name the encryption of their upload again with its parts: what they name must be what it is.
pub(super) fn check_named_encryption(app: &App, headers: &HeaderMap, info: &SseInfo) -> Result<(), S3Error> {
    let in_force: Vec<_> = response_headers(info, None).collect();
    for name in [header::SSE, header::SSE_KMS_KEY_ID] {
        let Some(named) = headers.get(&name) else { continue };
        let own = in_force.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        let is_key = || {
            let entry = named.to_str().ok().and_then(|named| app.kms.find(named).ok());
            entry.is_some_and(|entry| {
                own.is_some_and(|own| own.as_bytes() == app.kms.arn(&entry.key).as_bytes())
            })
        };
        if own != Some(named) && !(name == header::SSE_KMS_KEY_ID && is_key()) {
            return Err(S3Error::invalid_argument(
                format!("{name} header is not supported for this operation."),
                name.as_str(),
                String::from_utf8_lossy(named.as_bytes()),
            ));
        }
    }
    Ok(())
}

/// The checksum to compute of a part, if any: the upload's algorithm, which a part must name where the object's is composite; of
/// an upload without one the part's own.
pub(super) fn checksum(
    declared: Option<&(String, bool)>,
    given: Option<RequestChecksum>,
) -> Result<Option<(ChecksumAlgorithm, Expected)>, S3Error> {
    let declared = match declared {
        None => None,
        Some((name, composite)) => {
            Some((ChecksumAlgorithm::parse(name).ok_or(Code::InternalError)?, *composite))
        }
    };
    match (declared, given) {
        (Some((expected, _)), Some(given)) if given.algorithm != expected => {
            Err(type_mismatch(expected, Some(given.algorithm)))
        }
        (Some((expected, true)), None) => Err(type_mismatch(expected, None)),
        (_, Some(RequestChecksum { algorithm, value })) => {
            Ok(Some((algorithm, value.map_or(Expected::Trailer, Expected::Value))))
        }
        (Some((algorithm, false)), None) => Ok(Some((algorithm, Expected::Nothing))),
        (None, None) => Ok(None),
    }
}

/// What is computed of every part, beside its own checksum, of an upload that declared none: the object gets it of the whole.
/// AWS does so only where it may know the bytes' digest itself, with SSE-S3.
fn of_undeclared(upload: &Upload, info: &SseInfo) -> Option<ChecksumAlgorithm> {
    (upload.checksum.is_none() && info.etag_is_md5()).then_some(ChecksumAlgorithm::Crc64Nvme)
}

/// The refusal of another algorithm than the upload's.
pub(super) fn type_mismatch(expected: ChecksumAlgorithm, actual: Option<ChecksumAlgorithm>) -> S3Error {
    let lower = |algorithm: ChecksumAlgorithm| algorithm.name().to_ascii_lowercase();
    S3Error::invalid_request(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        lower(expected),
        actual.map_or("null".to_owned(), lower)
    ))
}

/// What a part is made of.
pub(super) struct Incoming {
    pub(super) source: Source,
    pub(super) plain_len: u64,
    pub(super) content_md5: Option<[u8; 16]>,
    pub(super) checksum: Option<(ChecksumAlgorithm, Expected)>,
}

/// A part that is stored.
pub(super) struct Stored {
    pub(super) part: Part,
    /// The checksum that the request spoke of, or that the upload declared.
    pub(super) checksum: Option<StoredChecksum>,
}

/// Seals, stores and records a part.
pub(super) async fn store(
    app: &App,
    bucket: &Bucket,
    upload: &Upload,
    number: PartNumber,
    opened: &Opened,
    incoming: Incoming,
) -> Result<Stored, S3Error> {
    let etag_is_md5 = opened.info.etag_is_md5();
    let replaced_len = async {
        let (found, _) = app.catalog.list_parts(upload.id, number.get() - 1, 1).await?;
        let replaced = found.iter().find(|part| part.number == number);
        Ok(replaced.map_or(0, |part| part.plain_len))
    };
    app.catalog.expect_room(bucket, incoming.plain_len, replaced_len).await?;
    let owner = BlobOwner::Content {
        bucket: bucket.id,
        object: upload.object.clone(),
        version: upload.id.0,
        part: Some(number),
    };
    let intake = Intake {
        announced: Announced::Exactly(incoming.plain_len),
        keys: &opened.keys,
        context: SealContext { version: upload.id.0, part: number.get() },
        owner,
        md5: etag_is_md5,
        content_md5: incoming.content_md5,
        checksum: incoming.checksum,
        second: of_undeclared(upload, &opened.info),
        keep_len: 0,
    };
    // While it is pinned, the sweep of orphans lets the blob alone though no record refers to it yet.
    let _pin = app.catalog.pin(upload.id.0);
    let received =
        ingest::receive(&app.blobs, incoming.source, intake).await.map_err(|error| match error {
            // Of a part AWS tells it as it came, of an object in hexadecimal.
            IngestError::Md5 { claimed, computed } => {
                checksum::md5_mismatch(checksum::format_value(&claimed), &computed)
            }
            error => error.into(),
        })?;
    let md5 = received.md5.filter(|_| etag_is_md5);
    let as_stored = |(algorithm, value): &(ChecksumAlgorithm, Vec<u8>)| StoredChecksum {
        algorithm: algorithm.name().to_owned(),
        composite: false,
        value: checksum::format_value(value),
    };
    let checksum = received.checksum.as_ref().map(as_stored);
    let kept = if upload.checksum.is_some() { &checksum } else { &received.second.as_ref().map(as_stored) };
    let mut part = Part {
        number,
        plain_len: received.plain_len,
        etag: hex::encode(md5.unwrap_or_else(super::total::opaque_tag)),
        md5,
        checksum: kept.clone(),
        last_modified: Timestamp::now(),
        blob: OWN_BLOB,
        salt: Some(received.salt),
    };
    let trailer = Trailer::Part { bucket: bucket.id, upload: upload.clone(), part: part.clone() };
    part.blob = received.finish(journal::seal(&app.metadata_key, &trailer)).await?;
    if let Err(error) = app.catalog.put_part(bucket, upload, &part).await {
        // Unless it may have been recorded after all, the blob is nobody's.
        if !matches!(error, CatalogError::Kv(KvError::Unavailable(_))) {
            app.blobs.delete(&part.blob.id).await?;
        }
        return Err(super::upload_error(error, upload.id));
    }
    Ok(Stored { part, checksum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChecksumAlgorithm as A;

    fn given(algorithm: A) -> Option<RequestChecksum> {
        Some(RequestChecksum { algorithm, value: None })
    }

    #[test]
    fn checksum_rules() {
        let chosen = |declared: Option<(A, bool)>, given| {
            let declared = declared.map(|(algorithm, composite)| (algorithm.name().to_owned(), composite));
            checksum(declared.as_ref(), given)
                .map(|chosen| chosen.map(|(algorithm, _)| algorithm))
                .map_err(|e| e.client_message().to_owned())
        };
        assert_eq!(chosen(None, None), Ok(None));
        assert_eq!(chosen(None, given(A::Sha1)), Ok(Some(A::Sha1)));
        assert_eq!(chosen(Some((A::Crc32, false)), None), Ok(Some(A::Crc32)));
        assert_eq!(chosen(Some((A::Crc32, true)), given(A::Crc32)), Ok(Some(A::Crc32)));
        assert_eq!(
            chosen(Some((A::Crc32, true)), None),
            Err("Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: null"
                .into())
        );
        assert_eq!(
            chosen(Some((A::Crc32, false)), given(A::Sha256)),
            Err("Checksum Type mismatch occurred, expected checksum Type: crc32, actual checksum Type: sha256".into())
        );
    }
}
