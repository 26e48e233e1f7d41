//! What the front doors write down of a request for whoever is told of it.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response};
use storage::catalog::Bucket;

use super::s3::error::S3Error;
use super::s3::operation::Operation;
use super::s3::target::Target;
use crate::auth::{AuthType, Signed};
use crate::bucket::{Logging, Setting};
use crate::http::body::ResponseBody;
use crate::http::header;
use crate::iam::Identity;
use crate::observe::audit::parameters;
use crate::observe::bucket_log::{self, LogSource};
use crate::observe::request::{self, DeletedObject, RequestDetail, Requester, Signature, SignaturePlace};

/// The most parameters of a body that are told.
const MAX_PARAMETERS: usize = 64;

/// Who asks.
pub(super) fn requester(detail: &mut RequestDetail, identity: &Identity) {
    detail.requester = identity.account().map(|account| Requester {
        subject: identity.subject.clone(),
        account: account.id.clone(),
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

/// The request's id, and for S3 the host's.
pub(super) fn ids(request_id: &str, host_id: &str) {
    request::detail(|detail| {
        request_id.clone_into(&mut detail.request_id);
        host_id.clone_into(&mut detail.host_id);
    });
}

/// Which operation of S3 a request asks for, and of what.
pub(super) fn of_operation(operation: Operation, target: &Target, headers: &HeaderMap) {
    request::note(|record| {
        record.operation = Some(operation.name());
        let Some(detail) = &mut record.detail else { return };
        detail.bucket = target.bucket.as_ref().map(|bucket| bucket.as_str().to_owned());
        detail.object = target.object.as_ref().map(|object| object.as_str().to_owned());
        if matches!(operation, Operation::PutObject | Operation::UploadPart | Operation::PutObjectAnnotation)
        {
            let decoded = number(headers, &header::DECODED_CONTENT_LENGTH);
            detail.object_len = decoded.or_else(|| number(headers, &CONTENT_LENGTH));
        }
    });
}

/// Of which account the bucket is, and where its access logs go.
pub(super) fn of_bucket(bucket: &Bucket) {
    let setting = bucket.configs.get(Logging::NAME);
    if setting.is_some() {
        bucket_log::is_needed_from_now();
    }
    request::detail(|detail| {
        detail.bucket_owner = Some(bucket.owner.clone());
        detail.log_source = setting.map(|setting| LogSource {
            bucket: bucket.name.as_str().to_owned(),
            account: bucket.owner.clone(),
            region: bucket.region.clone(),
            setting: setting.clone(),
        });
    });
}

/// Parameters that its body has. Secrets are not told.
pub(super) fn parameters<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) {
    request::detail(|detail| {
        let told = all.map(|(name, value)| (name.to_owned(), parameters::told(name, value)));
        detail.parameters = told.take(MAX_PARAMETERS).collect();
    });
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
    request::detail(|detail| detail.version_id = version.map(str::to_owned));
}

/// What the head of S3's answer tells of the object.
pub(super) fn of_answer(response: &Response<ResponseBody>) {
    request::note(|record| {
        let operation = record.operation;
        let Some(detail) = &mut record.detail else { return };
        let headers = response.headers();
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        detail.sse = match text(&header::SSE) {
            Some("AES256") => Some("AES256"),
            Some("aws:kms") => Some("aws:kms"),
            Some("aws:kms:dsse") => Some("aws:kms:dsse"),
            _ => text(&header::SSE_C_ALGORITHM).map(|_| "SSE-C"),
        };
        if let Some(version) = text(&header::VERSION_ID) {
            detail.version_id = Some(version.to_owned());
        }
        let reads = matches!(operation, Some("GetObject" | "HeadObject"));
        if reads && response.status().is_success() {
            let whole = text(&CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.parse().ok());
            detail.object_len = whole.or_else(|| number(headers, &CONTENT_LENGTH));
        }
    });
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
