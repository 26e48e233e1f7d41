//! What the front doors write down of a request for whoever is told of it.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;
use serde_json::Value;
use storage::catalog::{Bucket, VersionRef};
use storage::name::ObjectKey;

use super::s3::error::S3Error;
use super::s3::operation::Operation;
use super::s3::target::Target;
use super::s3::wire::tree::Element;
use crate::auth::{AuthType, Signed};
use crate::bucket::{Logging, Setting};
use crate::http::body::ResponseBody;
use crate::http::header;
use crate::iam::Identity;
use crate::observe::audit;
use crate::observe::audit::parameters::{self, camel_case, told_value};
use crate::observe::bucket_log::{self, LogSource};
use crate::observe::detail::{
    CopiedObject, DeletedObject, RequestDetail, Requester, Signature, SignaturePlace,
};
use crate::observe::request;
use crate::observe::texts::Text;

/// Headers of S3 that the audit tells: what a write asks for. None is a secret.
static TOLD_HEADERS: [HeaderName; 9] = [
    header::ACL,
    header::COPY_SOURCE,
    header::SSE,
    header::SSE_KMS_KEY_ID,
    header::STORAGE_CLASS,
    header::METADATA_DIRECTIVE,
    header::OBJECT_LOCK_MODE,
    header::OBJECT_LOCK_RETAIN_UNTIL_DATE,
    header::BYPASS_GOVERNANCE_RETENTION,
];

/// Headers of S3's answers that the audit tells of changes.
static TOLD_ANSWERS: [HeaderName; 5] = [
    header::VERSION_ID,
    header::COPY_SOURCE_VERSION_ID,
    header::SSE,
    header::SSE_KMS_KEY_ID,
    header::DELETE_MARKER,
];

/// The most parameters of a body that are told.
const MAX_PARAMETERS: usize = 64;

/// Who asks.
pub(super) fn requester(detail: &mut RequestDetail, identity: &Identity) {
    detail.requester = identity.account().map(|account| Requester {
        subject: identity.subject.clone(),
        acts_for: (account.id != identity.subject.account).then(|| account.id.clone()),
        access_key_id: identity.access_key_id.clone(),
    });
}

/// Who asks for an operation of S3, and how that is signed.
pub(super) fn authenticated(identity: &Identity, signed: Option<Signed>) {
    request::detail(|detail| {
        requester(detail, identity);
        detail.signature = signed.map(|signed| Signature {
            place: match signed.by {
                AuthType::Header => SignaturePlace::Header,
                AuthType::Query => SignaturePlace::Query,
                AuthType::Form => SignaturePlace::Form,
            },
            version: if signed.is_v2 { 2 } else { 4 },
        });
    });
}

/// The same of services whose requests are signed with their bodies.
pub(super) fn authenticated_body(identity: &Identity, parts: &Parts) {
    request::detail(|detail| {
        requester(detail, identity);
        let place = match parts.headers.contains_key(AUTHORIZATION) {
            true => SignaturePlace::Header,
            false => SignaturePlace::Query,
        };
        detail.signature = detail.requester.is_some().then_some(Signature { place, version: 4 });
    });
}

/// A refusal: the code, and what the client is told.
pub(super) fn refused(code: &'static str, message: &dyn std::fmt::Display) {
    request::note(|record| {
        record.error_code = Some(code);
        if let Some(detail) = &mut record.detail {
            detail.error_message = Some(message.to_string());
        }
    });
}

/// A refusal of S3's.
pub(super) fn refused_s3(error: &S3Error) {
    refused(error.code.name(), &error.client_message());
}

/// The request's id.
pub(super) fn id(request_id: &str) {
    request::detail(|detail| detail.texts.set(Text::RequestId, request_id));
}

/// The ids of a request of S3: its own, and the host's.
pub(super) fn ids(request_id: &HeaderValue, host_id: &HeaderValue) {
    request::detail(|detail| {
        detail.texts.set(Text::RequestId, request_id);
        detail.texts.set(Text::HostId, host_id);
    });
}

/// Which operation of S3 a request asks for, and of what.
pub(super) fn of_operation(operation: Operation, target: &Target, headers: &HeaderMap) {
    request::note(|record| {
        record.operation = Some(operation.name());
        let Some(detail) = &mut record.detail else { return };
        if let Some(bucket) = &target.bucket {
            detail.texts.set(Text::Bucket, bucket.as_str());
        }
        if let Some(object) = &target.object {
            detail.texts.set(Text::Object, object.as_str());
        }
        if matches!(operation, Operation::PutObject | Operation::UploadPart | Operation::PutObjectAnnotation)
        {
            let decoded = number(headers, &header::DECODED_CONTENT_LENGTH);
            detail.object_len = decoded.or_else(|| number(headers, &CONTENT_LENGTH));
        }
        let told: &[HeaderName] = if detail.wants_parameters { &TOLD_HEADERS } else { &[] };
        for name in told {
            if let Some(value) = headers.get(name) {
                let value = String::from_utf8_lossy(value.as_bytes());
                let told = parameters::told(name.as_str(), &value);
                detail.parameters.push((name.as_str().to_owned(), told.into()));
            }
        }
    });
}

/// Of which account the bucket is, and where its access logs go.
pub(super) fn of_bucket(bucket: &Bucket) {
    let log_source = log_source(bucket);
    request::detail(|detail| {
        detail.texts.set(Text::BucketOwner, &bucket.owner);
        detail.log_source = log_source.map(Box::new);
    });
}

/// Where the access logs of a bucket go, if they go anywhere.
pub(super) fn log_source(bucket: &Bucket) -> Option<LogSource> {
    let setting = bucket.configs.get(Logging::NAME)?;
    bucket_log::is_needed_from_now();
    Some(LogSource {
        bucket: bucket.name.as_str().to_owned(),
        account: bucket.owner.clone(),
        region: bucket.region.clone(),
        setting: setting.clone(),
    })
}

/// What a copy reads, as it is named, and where the access logs of its bucket go.
pub(super) fn copies(bucket: &Bucket, object: &ObjectKey, version: VersionRef) {
    let log_source = log_source(bucket);
    request::detail(|detail| {
        let version_id = match version {
            VersionRef::Current => None,
            VersionRef::Null => Some("null".to_owned()),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id.to_string()),
        };
        detail.copied = Some(Box::new(CopiedObject {
            bucket: bucket.name.as_str().to_owned(),
            bucket_owner: bucket.owner.clone(),
            object: object.as_str().to_owned(),
            version_id,
            object_len: None,
            log_source,
        }));
    });
}

/// What a copy reads was found, and is so long.
pub(super) fn found_copied(object_len: u64) {
    request::detail(|detail| {
        if let Some(copied) = &mut detail.copied {
            copied.object_len = Some(object_len);
        }
    });
}

/// Parameters of a form. Secrets are not told.
pub(super) fn parameters<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) {
    request::parameters(|detail| {
        // These two say which operation it is.
        let all = all.filter(|(name, _)| !matches!(*name, "Action" | "Version"));
        let told = all.map(|(name, value)| (camel_case(name), parameters::told(name, value).into()));
        detail.parameters = told.take(MAX_PARAMETERS).collect();
    });
}

/// Members of a JSON document that asks for something. Secrets are not told.
pub(super) fn members(document: &Value) {
    request::parameters(|detail| detail.parameters = told_members(document));
}

/// Members of a JSON document that answers a change. Secrets are not told.
pub(super) fn answered(document: &Value) {
    changed(|detail| detail.response = told_members(document));
}

/// Writes down something of an operation whose answer the audit tells.
fn changed(write: impl FnOnce(&mut RequestDetail)) {
    request::detail_of_operation(|operation, detail| {
        if detail.wants_parameters && operation.is_some_and(audit::tells_answer) {
            write(detail);
        }
    });
}

/// The same of an XML document, of whose result is told.
pub(super) fn answered_xml(document: &[u8]) {
    changed(|detail| {
        let Ok(root) = Element::parse_any(document) else { return };
        let result = root.children.iter().find(|child| child.name.ends_with("Result"));
        detail.response = result.map_or_else(Vec::new, |result| told_members(&json_of(result)));
    });
}

fn told_members(document: &Value) -> Vec<(String, Value)> {
    let members = document.as_object().into_iter().flatten().take(MAX_PARAMETERS);
    members.map(|(name, value)| (camel_case(name), told_value(name, value))).collect()
}

fn json_of(element: &Element) -> Value {
    if element.children.is_empty() {
        return Value::String(element.text.clone());
    }
    if element.children.iter().all(|child| child.name == "member") {
        return element.children.iter().map(json_of).collect();
    }
    Value::Object(element.children.iter().map(|child| (child.name.clone(), json_of(child))).collect())
}

/// What became of an object of a multi-object delete.
pub(super) fn deleted(object: &str, version_id: Option<&str>, error: Option<&S3Error>) {
    request::detail(|detail| {
        detail.deleted.push(DeletedObject {
            object: object.to_owned(),
            version_id: version_id.map(str::to_owned),
            status: error.map_or(204, |error| error.status().as_u16()),
            error_code: error.map(|error| error.code.name()),
        });
    });
}

/// The version that the request names.
pub(super) fn version(version: Option<&str>) {
    if let Some(version) = version {
        request::detail(|detail| detail.texts.set(Text::VersionId, version));
    }
}

/// What the head of S3's answer tells of the object.
pub(super) fn of_answer(response: &Response<ResponseBody>) {
    request::detail_of_operation(|operation, detail| {
        let (mut whole, mut told) = (None, None);
        // One look at all of them costs less than one for each.
        for (name, value) in response.headers() {
            let text = || value.to_str().ok();
            if *name == header::SSE {
                detail.sse = text().and_then(mode);
            } else if *name == header::SSE_C_ALGORITHM {
                detail.sse = Some("SSE-C");
            } else if *name == header::VERSION_ID {
                detail.texts.set(Text::VersionId, value);
            } else if *name == CONTENT_RANGE {
                whole = text().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
            } else if *name == CONTENT_LENGTH {
                told = text().and_then(|len| len.parse().ok());
            }
        }
        if detail.wants_parameters && operation.is_some_and(audit::tells_answer) {
            let headers = response.headers();
            let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
            let told =
                TOLD_ANSWERS.iter().filter_map(|name| Some((name.as_str().to_owned(), text(name)?.into())));
            detail.response = told.collect();
        }
        let reads = matches!(operation, Some("GetObject" | "HeadObject"));
        if reads && response.status().is_success() {
            // Of a GET the body tells it, of a HEAD a header.
            let of_body = || response.body().size_hint().exact().filter(|_| operation == Some("GetObject"));
            detail.object_len = whole.or(told).or_else(of_body);
        }
    });
}

/// A mode of encryption, by its value in the header.
fn mode(value: &str) -> Option<&'static str> {
    ["AES256", "aws:kms", "aws:kms:dsse"].into_iter().find(|mode| *mode == value)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
