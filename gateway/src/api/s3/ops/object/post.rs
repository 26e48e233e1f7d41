//! PostObject: an upload from a form.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage::catalog::VersionRef;
use storage::name::Timestamp;

use super::post_form::Form;
use super::put::store;
use super::write::MAX_WRITE_LEN;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::operation::Operation;
use crate::api::s3::permissions;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::target::parse_key;
use crate::api::s3::wire::conditional::precondition_failed;
use crate::api::s3::wire::etag;
use crate::api::s3::wire::post_policy::PostPolicy;
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::{response, route};
use crate::app::App;
use crate::auth::{self, Expected, SignedForm, SignedFormV2};
use crate::authz::Permit;
use crate::config::SignatureV2;
use crate::http::header;
use crate::transfer::ingest::{Announced, Source};

/// What a parameter of a redirection has escaped: all but RFC 3986's unreserved characters.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Stores the file of a form as its fields ask for it.
pub async fn post_object(app: &App, permit: Permit, mut request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let content_type = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|text| multer::parse_boundary(text).ok());
    let boundary = boundary.ok_or_else(|| {
        precondition_failed("Bucket POST must be of the enclosure-type multipart/form-data")
    })?;
    let announced_len = request.plain_len()?;
    let (body, _) = request.take_body();
    let form = Form::read(body, boundary).await?;

    let policy = match form.get("policy") {
        None => None,
        Some(text) => {
            let required = |name: &str| {
                form.get(&name.to_ascii_lowercase()).ok_or_else(|| field_missing(&capitalized(name)))
            };
            let security_token = form.get(header::SECURITY_TOKEN.as_str());
            let expected = Expected {
                region: &app.region,
                service: "s3",
                now_unix_ms: Timestamp::now().unix_ms(),
                source: request.peer,
            };
            let is_v2 = form.get("awsaccesskeyid").or(form.get("signature")).is_some();
            let is_signed = is_v2 || form.fields.iter().any(|(name, _)| header::is_signing_parameter(name));
            let (identity, signed) = match (is_v2, app.signature_v2) {
                // A policy that nobody signed allows nothing.
                _ if !is_signed => return Err(Code::AccessDenied.into()),
                (true, SignatureV2::Off) => return Err(S3Error::invalid_request(auth::V2_TEXT)),
                (true, SignatureV2::Presigned | SignatureV2::All) => {
                    let access_key_id = required("AWSAccessKeyId")?;
                    let signature = required("Signature")?;
                    let form = SignedFormV2 { access_key_id, signature, policy: text, security_token };
                    auth::authenticate_form_v2(form, app.keys(), expected)?
                }
                (false, _) => {
                    let form = SignedForm {
                        algorithm: required(header::ALGORITHM_FIELD)?,
                        credential: required(header::CREDENTIAL_FIELD)?,
                        date: required(header::DATE_NAME)?,
                        signature: required(header::SIGNATURE_PARAMETER)?,
                        policy: text,
                        security_token,
                    };
                    auth::authenticate_form(form, app.keys(), expected)?
                }
            };
            (request.identity, request.signed) = (identity, Some(signed));
            let policy = PostPolicy::parse(text)?;
            policy.check(bucket.name.as_str(), &form.fields, Timestamp::now())?;
            Some(policy)
        }
    };
    let key = form.get("key").ok_or_else(|| field_missing("key"))?;
    request.object = Some(parse_key(key)?);
    request.version = VersionRef::Current;
    request.headers = form.headers(&request.headers)?;
    route::refuse_unsupported(Operation::PutObject, &request.headers, &request.query)?;
    let object = request.object()?.clone();
    let further = permissions::of(Operation::PutObject, &request, Some(bucket));
    for action in further.into_iter().chain(["s3:PutObject"]) {
        request.authorize(app, action, bucket, Some(&object), VersionRef::Current).await?;
    }

    let (min, max) = policy.map_or((0, u64::MAX), |policy| policy.length());
    let success = Success::of(&form)?;
    // The form is longer than its file in any case.
    let announced = Announced::Between { min, max: max.min(MAX_WRITE_LEN).min(announced_len) };
    let stored = store(app, bucket, &request, Source::Stream(form.file), announced).await?;
    let location = request.url_of(bucket, &object);
    let mut response = match success {
        Success::Redirect(url) => {
            let separator = if url.contains('?') { '&' } else { '?' };
            let encoded = |text: &str| utf8_percent_encode(text, &RESERVED).to_string();
            let to = format!(
                "{url}{separator}bucket={}&key={}&etag={}",
                encoded(bucket.name.as_str()),
                encoded(object.as_str()),
                encoded(&etag::quoted(&stored.etag))
            );
            let mut response = response::empty();
            *response.status_mut() = StatusCode::SEE_OTHER;
            put(response.headers_mut(), http::header::LOCATION, &to);
            response
        }
        Success::Created => {
            let mut xml = XmlWriter::document(512);
            xml.open("PostResponse");
            xml.text("Location", &location);
            xml.text("Bucket", bucket.name.as_str());
            xml.text("Key", object.as_str());
            xml.etag("ETag", &stored.etag);
            xml.close("PostResponse");
            let mut response = response::xml(xml.finish());
            *response.status_mut() = StatusCode::CREATED;
            put(response.headers_mut(), http::header::LOCATION, &location);
            response
        }
        Success::Empty(status) => {
            let mut response = response::empty();
            *response.status_mut() = status;
            put(response.headers_mut(), http::header::LOCATION, &location);
            response
        }
    };
    response.headers_mut().extend(stored.headers);
    Ok(response)
}

/// The refusal of a form without this field.
fn field_missing(name: &str) -> S3Error {
    let message = format!(
        "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    );
    S3Error::invalid_argument(message, name, "")
}

/// The name of a field as AWS writes it: a lower-case one with each word's first letter capital.
fn capitalized(name: &str) -> String {
    if name.contains(|letter: char| letter.is_ascii_uppercase()) {
        return name.to_owned();
    }
    let words = name.split('-').map(|word| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join("-")
}

/// How success is answered.
enum Success {
    Redirect(String),
    Created,
    Empty(StatusCode),
}

impl Success {
    fn of(form: &Form) -> Result<Self, S3Error> {
        let url = form.get("success_action_redirect").or(form.get("redirect"));
        if let Some(url) = url.filter(|url| url.starts_with("http://") || url.starts_with("https://")) {
            return Ok(Self::Redirect(url.to_owned()));
        }
        // What is no URL, and what is no status that can be asked for, is answered as if nothing was said.
        Ok(match form.get("success_action_status") {
            Some("200") => Self::Empty(StatusCode::OK),
            Some("201") => Self::Created,
            _ => Self::Empty(StatusCode::NO_CONTENT),
        })
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
