//! What a write sets beside the content: tags, protection, ACL. And what answers tell of the bucket's rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage::catalog::{Bucket, Lock, OWNER_ATTRIBUTE, ObjectRecord, Upload, object_owner};
use storage::name::{ObjectKey, Timestamp};

use super::lock::LEGAL_HOLD_ATTRIBUTE;
use super::lookup::insert;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::S3Request;
use crate::api::s3::request_document;
use crate::api::s3::wire::{acl, checksum, lock, tagging, time};
use crate::app::App;
use crate::authz::ACL_ATTRIBUTE;
use crate::bucket::{Acl, Lifecycle, ObjectLock, Ownership, OwnershipControls, PublicAccessBlock, Setting};
use crate::http::header;
use crate::iam::{ANONYMOUS, Account};

/// What a write sets beside the content.
#[derive(Default)]
pub(in crate::api::s3::ops) struct Properties {
    pub(in crate::api::s3::ops) tags: Vec<(String, String)>,
    pub(in crate::api::s3::ops) lock: Lock,
    pub(in crate::api::s3::ops) attributes: BTreeMap<String, Bytes>,
}

impl Properties {
    /// As the headers of a write ask for it.
    pub(in crate::api::s3::ops) fn of_request(
        app: &App,
        bucket: &Bucket,
        request: &S3Request,
    ) -> Result<Self, S3Error> {
        let headers = &request.headers;
        let asks_for_lock = headers.keys().any(|name| name.as_str().starts_with(header::OBJECT_LOCK_PREFIX));
        let is_checked =
            headers.contains_key(checksum::CONTENT_MD5) || checksum::request_checksum(headers)?.is_some();
        if asks_for_lock
            && !is_checked
            && request.object.is_some()
            && request.method == http::Method::PUT
            && !headers.contains_key(header::COPY_SOURCE)
        {
            return Err(S3Error::invalid_request(format!(
                "Content-MD5 OR {} HTTP header is required for Put Object requests with Object Lock parameters",
                header::CHECKSUM_PREFIX
            )));
        }
        let mut attributes = BTreeMap::new();
        if headers.contains_key(header::OBJECT_LOCK_LEGAL_HOLD) {
            attributes.insert(LEGAL_HOLD_ATTRIBUTE.to_owned(), Bytes::new());
        }
        if let Some(writer) = writer(bucket, request)? {
            attributes.insert(OWNER_ATTRIBUTE.to_owned(), writer.to_owned().into());
        }
        let owner = owner(app, bucket, &attributes)?;
        if let Some(acl) = object_acl(app, bucket, headers, &owner)? {
            attributes.insert(ACL_ATTRIBUTE.to_owned(), encode(&acl));
        }
        Ok(Self {
            tags: tagging::of_headers(headers)?,
            lock: lock::of_headers(headers, ObjectLock::of(bucket)?.as_ref(), Timestamp::now())?,
            attributes,
        })
    }

    /// As the headers of a copy ask for it: tags are copied unless they are replaced, everything else is new.
    pub(in crate::api::s3::ops) fn of_copy(
        app: &App,
        bucket: &Bucket,
        request: &S3Request,
        source: &ObjectRecord,
    ) -> Result<Self, S3Error> {
        let mut properties = Self::of_request(app, bucket, request)?;
        match request.headers.get(header::TAGGING_DIRECTIVE).map(|value| value.as_bytes()) {
            None | Some(b"COPY") => properties.tags.clone_from(&source.tags),
            Some(b"REPLACE") => {}
            Some(other) => {
                return Err(S3Error::invalid_argument(
                    "Unknown tagging directive.",
                    header::TAGGING_DIRECTIVE.as_str(),
                    String::from_utf8_lossy(other),
                ));
            }
        }
        Ok(properties)
    }
}

/// Who owns what a request writes, where that is not the bucket's owner.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>
fn writer<'a>(bucket: &Bucket, request: &'a S3Request) -> Result<Option<&'a str>, S3Error> {
    let is_handed_over = || request.headers.get(header::ACL).is_some_and(|acl| acl == TO_BUCKET_OWNER);
    let belongs_to_bucket = match OwnershipControls::in_force(bucket)? {
        Ownership::BucketOwnerEnforced => true,
        Ownership::BucketOwnerPreferred => is_handed_over(),
        Ownership::ObjectWriter => false,
    };
    let writer = request.identity.account().map_or(ANONYMOUS, |account| account.id.as_str());
    Ok(Some(writer).filter(|writer| !belongs_to_bucket && *writer != bucket.owner))
}

/// Who owns an object of these attributes.
pub(in crate::api::s3::ops) fn owner(
    app: &App,
    bucket: &Bucket,
    attributes: &BTreeMap<String, Bytes>,
) -> Result<Arc<Account>, S3Error> {
    let writer = if OwnershipControls::has_acls(bucket)? { object_owner(attributes) } else { None };
    Ok(app.account_of(writer.unwrap_or(&bucket.owner)))
}

/// The canned ACL by which a writer hands an object over.
const TO_BUCKET_OWNER: &str = "bucket-owner-full-control";

/// The ACL that headers ask for, as far as the bucket lets them, for what `owner` is to own.
fn object_acl(
    app: &App,
    bucket: &Bucket,
    headers: &HeaderMap,
    owner: &Account,
) -> Result<Option<Acl>, S3Error> {
    let bucket_owner = app.owner_of(bucket);
    let accounts = acl::Accounts { owner, bucket_owner: &bucket_owner, all: &app.iam.state() };
    let Some(acl) = acl::of_headers(headers, accounts)? else { return Ok(None) };
    if !OwnershipControls::has_acls(bucket)? {
        // The owner's own control is what there is in any case.
        let is_usual = match headers.get(header::ACL) {
            Some(canned) => ["private", TO_BUCKET_OWNER].iter().any(|usual| canned == usual),
            None => acl == Acl::private(&acl::grantee(owner)),
        };
        return if is_usual { Ok(None) } else { Err(Code::AccessControlListNotSupported.into()) };
    }
    check_public(bucket, &acl)?;
    Ok(Some(acl))
}

/// The ACL that PutBucketAcl and PutObjectAcl ask for, in headers or in a document, of what `owner` owns.
pub(in crate::api::s3::ops) async fn asked_acl(
    app: &App,
    bucket: &Bucket,
    owner: &Account,
    request: &mut S3Request,
) -> Result<Acl, S3Error> {
    let bucket_owner = app.owner_of(bucket);
    let body = request_document::read(request, request_document::CONFIG_MAX_LEN).await?;
    let accounts = acl::Accounts { owner, bucket_owner: &bucket_owner, all: &app.iam.state() };
    // Whether it is one comes first, whether the bucket has any second.
    let acl = match (acl::of_headers(&request.headers, accounts)?, body.is_empty()) {
        (Some(_), false) => return Err(Code::UnexpectedContent.into()),
        (Some(acl), true) if OwnershipControls::has_acls(bucket)? => acl,
        (Some(_), true) => return Err(Code::AccessControlListNotSupported.into()),
        (None, false) => acl::parse(&body, accounts)?,
        (None, true) => {
            let missing = S3Error::new(Code::MissingSecurityHeader);
            return Err(missing.field("MissingHeaderName", header::ACL.as_str()));
        }
    };
    // The owner's own control, written out, says what is so in any case: clients that carry an ACL along with a copy send it.
    if !OwnershipControls::has_acls(bucket)? && acl != Acl::private(&acl::grantee(owner)) {
        return Err(Code::AccessControlListNotSupported.into());
    }
    check_public(bucket, &acl)?;
    Ok(acl)
}

/// Refuses an ACL that grants to everybody, where public ones are blocked.
fn check_public(bucket: &Bucket, acl: &Acl) -> Result<(), S3Error> {
    let block = PublicAccessBlock::in_force(bucket)?;
    if block.block_public_acls && acl.is_public() { Err(Code::AccessDenied.into()) } else { Ok(()) }
}

/// The stored form of an ACL.
pub(in crate::api::s3::ops) fn encode(acl: &Acl) -> Bytes {
    serde_json::to_vec(acl).expect("an ACL has only text keys").into()
}

/// What the id of a rule has encoded in a header.
const RULE_ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Tells when the object expires by the bucket's lifecycle, if it does.
pub(in crate::api::s3::ops) fn write_expiration(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    record: &ObjectRecord,
    last_modified: Timestamp,
    headers: &mut HeaderMap,
) {
    let Ok(Some(lifecycle)) = Lifecycle::of(bucket) else { return };
    let of = (object.as_str(), record.plain_len, &record.tags[..]);
    if let Some(due) = lifecycle.expiration(of, last_modified, app.lifecycle_day_ms) {
        let id = utf8_percent_encode(due.rule_id, RULE_ID);
        let value = format!("expiry-date=\"{}\", rule-id=\"{id}\"", time::http_date(due.at));
        insert(headers, header::EXPIRATION, value);
    }
}

/// Tells when an upload is ended by the bucket's lifecycle, if it is.
pub(in crate::api::s3::ops) fn write_abort_date(
    app: &App,
    bucket: &Bucket,
    upload: &Upload,
    headers: &mut HeaderMap,
) {
    let Ok(Some(lifecycle)) = Lifecycle::of(bucket) else { return };
    let due = lifecycle.upload_end(upload.object.as_str(), upload.initiated, app.lifecycle_day_ms);
    let Some(due) = due else { return };
    insert(headers, header::ABORT_DATE, time::http_date(due.at));
    insert(headers, header::ABORT_RULE_ID, due.rule_id);
}
