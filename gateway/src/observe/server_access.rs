//! A request as a line of S3's server access log.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{Method, Version};
use kms_core::policy::Principal;
use time::OffsetDateTime;

use super::detail::{CopiedObject, RequestDetail, Requester, SignaturePlace};
use super::request::RequestRecord;
use super::texts::Text;
use crate::decimal::push_decimal;

/// The canonical user id of an account, by its 12 digits; `None`: there is no such account.
pub type CanonicalIds = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What stands for a value that is unknown, not there, or not of this kind of request.
const ABSENT: &[u8] = b"-";
/// The longest quoted value that is told, in bytes.
const MAX_QUOTED_LEN: usize = 8 << 10;

/// Writes the line of a request, without a line feed.
pub fn write(record: &RequestRecord, ids: &CanonicalIds, line: &mut Vec<u8>) {
    let none = RequestDetail::default();
    let detail = record.detail.as_deref().unwrap_or(&none);
    let subject = Subject {
        object: detail.object(),
        version_id: detail.texts.text(Text::VersionId),
        error_code: record.error_code,
        status: record.status.map(|status| status.as_u16()),
        object_len: detail.object_len,
    };
    let operation = operation(record.operation, &record.method, detail);
    let whole = Some((record.sent_len, record.duration, record.turnaround));
    entry(record, (detail, None), ids, operation, &subject, whole, line);
}

/// Writes the line that the log of a copy's source has of it, with its line feed. It is of the read alone.
pub fn write_copied(record: &RequestRecord, copied: &CopiedObject, ids: &CanonicalIds, lines: &mut Vec<u8>) {
    let none = RequestDetail::default();
    let detail = record.detail.as_deref().unwrap_or(&none);
    let resource = if record.operation == Some("UploadPartCopy") { "PART_GET" } else { "OBJECT_GET" };
    let is_found = copied.object_len.is_some();
    let subject = Subject {
        object: Some(&copied.object),
        version_id: copied.version_id.as_deref(),
        // What failed after the source was found was not the read.
        error_code: record.error_code.filter(|_| !is_found),
        status: if is_found { Some(200) } else { record.status.map(|status| status.as_u16()) },
        object_len: copied.object_len,
    };
    let of = (copied.bucket.as_str(), copied.bucket_owner.as_str());
    entry(record, (detail, Some(of)), ids, ("REST.COPY", resource), &subject, None, lines);
    lines.push(b'\n');
}

/// Writes the line of a request, and one for each object that a multi-object delete was about, each with its line feed.
pub fn write_all(record: &RequestRecord, ids: &CanonicalIds, lines: &mut Vec<u8>) {
    write(record, ids, lines);
    lines.push(b'\n');
    let Some(detail) = record.detail.as_deref() else { return };
    for deleted in &detail.deleted {
        let subject = Subject {
            object: Some(&deleted.object),
            version_id: deleted.version_id.as_deref(),
            error_code: deleted.error_code,
            status: Some(deleted.status),
            object_len: None,
        };
        entry(record, (detail, None), ids, ("BATCH.DELETE", "OBJECT"), &subject, None, lines);
        lines.push(b'\n');
    }
}

/// What one entry is about.
struct Subject<'a> {
    object: Option<&'a str>,
    version_id: Option<&'a str>,
    error_code: Option<&'a str>,
    status: Option<u16>,
    object_len: Option<u64>,
}

/// One entry. `whole`: bytes and times of the request, where the entry is of all of it; `of`: the bucket and its account, where they are
/// not the request's.
fn entry(
    record: &RequestRecord,
    (detail, of): (&RequestDetail, Option<(&str, &str)>),
    ids: &CanonicalIds,
    (verb, resource): (&str, &str),
    subject: &Subject<'_>,
    whole: Option<(u64, Duration, Option<Duration>)>,
    line: &mut Vec<u8>,
) {
    let account = of.map(|(_, account)| account).or(detail.bucket_owner());
    push(line, account.and_then(ids).as_deref());
    space(line);
    push(line, of.map(|(bucket, _)| bucket).or(detail.bucket()));
    space(line);
    push_time(line, record.arrived);
    space(line);
    push_ip(line, record.remote.ip());
    space(line);
    push_requester(line, detail.requester.as_ref(), ids);
    space(line);
    push(line, Some(detail.request_id()));
    space(line);
    line.extend_from_slice(verb.as_bytes());
    line.push(b'.');
    line.extend_from_slice(resource.as_bytes());
    space(line);
    push_key(line, subject.object);
    space(line);
    match whole {
        Some(_) => push_request_uri(line, record, detail),
        None => line.extend_from_slice(ABSENT),
    }
    space(line);
    push_number(line, subject.status.map(u64::from));
    space(line);
    push(line, subject.error_code);
    space(line);
    push_number(line, whole.map(|(sent_len, _, _)| sent_len).filter(|len| *len > 0));
    space(line);
    push_number(line, subject.object_len);
    space(line);
    push_number(line, whole.map(|(_, duration, _)| millis(duration)));
    space(line);
    push_number(line, whole.and_then(|(_, _, turnaround)| turnaround).map(millis));
    space(line);
    match whole {
        Some(_) => {
            push_quoted(line, detail.texts.bytes(Text::Referer));
            space(line);
            push_quoted(line, detail.texts.bytes(Text::UserAgent));
        }
        None => line.extend_from_slice(b"- -"),
    }
    space(line);
    push(line, subject.version_id);
    space(line);
    push(line, Some(detail.host_id()));
    space(line);
    push(line, detail.signature.map(|signature| if signature.version == 2 { "SigV2" } else { "SigV4" }));
    space(line);
    push(line, detail.tls.as_ref().and_then(|tls| tls.cipher));
    space(line);
    push(line, detail.signature.map(|signature| authentication_type(signature.place)));
    space(line);
    push_plain(line, detail.texts.bytes(Text::Host));
    space(line);
    push(line, detail.tls.as_ref().and_then(|tls| tls.version).map(tls_version));
    space(line);
    // There are no access points.
    line.extend_from_slice(ABSENT);
    space(line);
    push(line, detail.is_by_acl.then_some("Yes"));
    space(line);
    // Where the client is nobody knows.
    line.extend_from_slice(ABSENT);
}

fn authentication_type(place: SignaturePlace) -> &'static str {
    match place {
        SignaturePlace::Header => "AuthHeader",
        SignaturePlace::Query => "QueryString",
        SignaturePlace::Form => "POST",
    }
}

fn tls_version(version: &'static str) -> &'static str {
    match version {
        "1.2" => "TLSv1.2",
        "1.3" => "TLSv1.3",
        other => other,
    }
}

/// `REST.VERB` and the resource of an operation.
pub fn operation(
    name: Option<&'static str>,
    method: &Method,
    detail: &RequestDetail,
) -> (&'static str, &'static str) {
    let verb = match name {
        Some("CopyObject" | "UploadPartCopy") => "REST.COPY",
        _ => match method.as_str() {
            "GET" => "REST.GET",
            "PUT" => "REST.PUT",
            "POST" => "REST.POST",
            "DELETE" => "REST.DELETE",
            "HEAD" => "REST.HEAD",
            "OPTIONS" => "REST.OPTIONS",
            _ => "REST.UNKNOWN",
        },
    };
    let of_target = || match (detail.object(), detail.bucket()) {
        (Some(_), _) => "OBJECT",
        (None, Some(_)) => "BUCKET",
        (None, None) => "SERVICE",
    };
    (verb, name.map_or_else(of_target, |name| resource(name).unwrap_or_else(of_target)))
}

/// What AWS's logs call what an operation is about.
fn resource(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "ListBuckets" => "SERVICE",
        "GetBucketLocation" => "LOCATION",
        "ListObjectVersions" => "BUCKETVERSIONS",
        "DeleteObjects" => "MULTI_OBJECT_DELETE",
        "GetObjectAttributes" => "OBJECT_ATTRIBUTES",
        "RenameObject" => "RENAME_OBJECT",
        "GetObjectTorrent" => "TORRENT",
        "RestoreObject" => "RESTORE_OBJECT",
        "SelectObjectContent" => "SELECT_OBJECT_CONTENT",
        "CreateMultipartUpload" | "ListMultipartUploads" => "UPLOADS",
        "UploadPart" | "UploadPartCopy" => "PART",
        "CompleteMultipartUpload" | "AbortMultipartUpload" | "ListParts" => "UPLOAD",
        "UpdateObjectEncryption"
        | "PutBucketEncryption"
        | "GetBucketEncryption"
        | "DeleteBucketEncryption" => "ENCRYPTION",
        "PutBucketVersioning" | "GetBucketVersioning" => "VERSIONING",
        "PutObjectLockConfiguration" | "GetObjectLockConfiguration" => "OBJECT_LOCK_CONFIGURATION",
        "PutObjectRetention" | "GetObjectRetention" => "OBJECT_LOCK_RETENTION",
        "PutObjectLegalHold" | "GetObjectLegalHold" => "OBJECT_LOCK_LEGALHOLD",
        "PutObjectTagging" | "GetObjectTagging" | "DeleteObjectTagging" => "OBJECT_TAGGING",
        "PutBucketTagging" | "GetBucketTagging" | "DeleteBucketTagging" => "TAGGING",
        "PutObjectAnnotation"
        | "GetObjectAnnotation"
        | "ListObjectAnnotations"
        | "DeleteObjectAnnotation" => "OBJECT_ANNOTATION",
        "PutBucketAcl" | "GetBucketAcl" | "PutObjectAcl" | "GetObjectAcl" => "ACL",
        "PutBucketOwnershipControls" | "GetBucketOwnershipControls" | "DeleteBucketOwnershipControls" => {
            "OWNERSHIP_CONTROLS"
        }
        "PutBucketPolicy" | "GetBucketPolicy" | "DeleteBucketPolicy" => "BUCKETPOLICY",
        "GetBucketPolicyStatus" => "POLICY_STATUS",
        "PutPublicAccessBlock" | "GetPublicAccessBlock" | "DeletePublicAccessBlock" => "PUBLIC_ACCESS_BLOCK",
        "PutBucketAbac" | "GetBucketAbac" => "ABAC",
        "PutBucketCors" | "GetBucketCors" | "DeleteBucketCors" => "CORS",
        "Preflight" => "PREFLIGHT",
        "PutBucketLogging" | "GetBucketLogging" => "LOGGING_STATUS",
        "PutBucketRequestPayment" | "GetBucketRequestPayment" => "REQUEST_PAYMENT",
        "PutBucketAccelerateConfiguration" | "GetBucketAccelerateConfiguration" => "ACCELERATE",
        other => {
            return [
                ("Lifecycle", "LIFECYCLE"),
                ("Notification", "NOTIFICATION"),
                ("Replication", "REPLICATION"),
                ("Website", "WEBSITE"),
                ("Inventory", "INVENTORY"),
                ("Analytics", "ANALYTICS"),
                ("BucketMetrics", "METRICS"),
                ("IntelligentTiering", "INTELLIGENT_TIERING"),
                ("Metadata", "METADATA_CONFIGURATION"),
            ]
            .into_iter()
            .find_map(|(part, resource)| other.contains(part).then_some(resource));
        }
    })
}

fn space(line: &mut Vec<u8>) {
    line.push(b' ');
}

fn push(line: &mut Vec<u8>, value: Option<&str>) {
    push_plain(line, value.map(str::as_bytes));
}

/// A value that has no blanks: what would end it is encoded.
fn push_plain(line: &mut Vec<u8>, value: Option<&[u8]>) {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => encode(line, value, |byte| byte.is_ascii_graphic() && byte != b'"'),
        None => line.extend_from_slice(ABSENT),
    }
}

fn push_quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.push(b'"');
    match value.filter(|value| !value.is_empty()) {
        Some(value) => {
            let value = &value[..value.len().min(MAX_QUOTED_LEN)];
            encode(line, value, |byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b'"');
        }
        None => line.extend_from_slice(ABSENT),
    }
    line.push(b'"');
}

/// An object's name, URL-encoded but for `/`.
fn push_key(line: &mut Vec<u8>, key: Option<&str>) {
    match key {
        Some(key) => encode(line, key.as_bytes(), |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/')
        }),
        None => line.extend_from_slice(ABSENT),
    }
}

fn encode(line: &mut Vec<u8>, value: &[u8], is_plain: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        line.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        line.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
}

/// Method, target and version as they came, but for signatures and tokens: who reads logs shall not use a presigned URL.
fn push_request_uri(line: &mut Vec<u8>, record: &RequestRecord, detail: &RequestDetail) {
    let mut target = Vec::with_capacity(128);
    target.extend_from_slice(record.method.as_str().as_bytes());
    target.push(b' ');
    push_target(&mut target, detail);
    target.push(b' ');
    target.extend_from_slice(match detail.version {
        Version::HTTP_10 => b"HTTP/1.0".as_slice(),
        Version::HTTP_2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    });
    push_quoted(line, Some(&target));
}

/// Path and query of a request, without what opens something.
pub fn push_target(out: &mut Vec<u8>, detail: &RequestDetail) {
    push_target_by(out, detail, |out, piece| out.extend_from_slice(piece));
}

/// The same, each piece of it as `push` has it.
pub(super) fn push_target_by(out: &mut Vec<u8>, detail: &RequestDetail, push: impl Fn(&mut Vec<u8>, &[u8])) {
    push(out, detail.texts.bytes(Text::Path).unwrap_or(b"/"));
    let Some(query) = detail.texts.text(Text::Query) else { return };
    out.push(b'?');
    let mut is_first = true;
    for pair in query.split('&') {
        if !std::mem::take(&mut is_first) {
            out.push(b'&');
        }
        match pair.split_once('=') {
            Some((name, _)) if opens_something(name) => {
                push(out, name.as_bytes());
                out.extend_from_slice(b"=REDACTED");
            }
            _ => push(out, pair.as_bytes()),
        }
    }
}

/// Is a query parameter of this name a signature or a token?
fn opens_something(name: &str) -> bool {
    let ends_with = |end: &str| {
        let start = name.len().checked_sub(end.len());
        start.and_then(|start| name.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    name.eq_ignore_ascii_case("signature") || ends_with("-signature") || ends_with("-security-token")
}

/// The canonical id of an account's root user, the ARN of everybody else; `-` for nobody.
fn push_requester(line: &mut Vec<u8>, requester: Option<&Requester>, ids: &CanonicalIds) {
    match requester {
        None => line.extend_from_slice(ABSENT),
        // A service of AWS's, as AWS writes it.
        Some(Requester { subject, .. }) if matches!(subject.other, Some(Principal::Service(_))) => {
            line.extend_from_slice(b"svc:");
            push(line, Some(&subject.arn));
        }
        Some(requester) if requester.subject.is_root() => match ids(requester.account()) {
            Some(id) => push(line, Some(&id)),
            None => push(line, Some(requester.account())),
        },
        Some(requester) => push(line, Some(&requester.subject.arn)),
    }
}

fn push_number(line: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => push_decimal(line, number),
        None => line.extend_from_slice(ABSENT),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An address without the detour over IPv6 that dual listeners tell.
pub(super) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            for (number, octet) in v4.octets().into_iter().enumerate() {
                if number > 0 {
                    out.push(b'.');
                }
                push_decimal(out, octet.into());
            }
        }
        IpAddr::V6(v6) => out.extend_from_slice(v6.to_string().as_bytes()),
    }
}

/// `[06/Feb/2019:00:00:38 +0000]`.
fn push_time(line: &mut Vec<u8>, at: SystemTime) {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let at = OffsetDateTime::from(at);
    line.push(b'[');
    push_two(line, at.day());
    line.push(b'/');
    line.extend_from_slice(MONTHS[usize::from(u8::from(at.month()) - 1)]);
    line.push(b'/');
    push_decimal(line, u64::try_from(at.year()).unwrap_or_default());
    line.push(b':');
    push_two(line, at.hour());
    line.push(b':');
    push_two(line, at.minute());
    line.push(b':');
    push_two(line, at.second());
    line.extend_from_slice(b" +0000]");
}

/// Two digits.
pub(super) fn push_two(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}
