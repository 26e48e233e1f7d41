//! PostObject: an upload from a form.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use storage::catalog::VersionRef;
use storage::name::Timestamp;

use super::put::store;
use super::write::MAX_WRITE_LEN;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::operation::Operation;
use crate::api::s3::permissions;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::target::parse_key;
use crate::api::s3::wire::etag;
use crate::api::s3::wire::post_policy::PostPolicy;
use crate::api::s3::wire::tagging;
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::{response, route};
use crate::app::App;
use crate::auth::{self, Expected, SignedForm};
use crate::authz::Permit;
use crate::http::body::{ByteStream, RequestBody, StreamError};
use crate::http::header;
use crate::transfer::ingest::{Announced, Source};

/// The most bytes of the fields before the file.
const FIELDS_MAX_LEN: usize = 20 << 10;
/// The most fields.
const MAX_FIELDS: usize = 100;
/// Stands in the key for the name of the user's file.
const FILENAME: &str = "${filename}";

/// Fields that are headers of a PUT by the same name.
const HEADER_FIELDS: [HeaderName; 6] = [
    http::header::CACHE_CONTROL,
    http::header::CONTENT_TYPE,
    http::header::CONTENT_DISPOSITION,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LANGUAGE,
    http::header::EXPIRES,
];

/// Stores the file of a form as its fields ask for it.
pub async fn post_object(app: &App, permit: Permit, mut request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let content_type = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|text| multer::parse_boundary(text).ok());
    let boundary = boundary.ok_or(Code::RequestIsNotMultiPartContent)?;
    let announced_len = request.headers.get(http::header::CONTENT_LENGTH);
    let announced_len = announced_len.and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    let announced_len = announced_len.ok_or(Code::MissingContentLength)?;
    let (body, _) = request.take_body();
    let form = Form::read(body, boundary).await?;

    let policy = match form.get("policy") {
        None => None,
        Some(text) => {
            let required = |name: &'static str| {
                form.get(name).ok_or_else(|| {
                    S3Error::new(Code::InvalidArgument)
                        .message(format!(
                            "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of \
                             the fields."
                        ))
                        .field("ArgumentName", name)
                })
            };
            if form.get("awsaccesskeyid").is_some() {
                return Err(S3Error::invalid_request(auth::V2_TEXT));
            }
            let signed = SignedForm {
                algorithm: required(header::ALGORITHM_FIELD)?,
                credential: required(header::CREDENTIAL_FIELD)?,
                date: required(header::DATE_NAME)?,
                signature: required(header::SIGNATURE_PARAMETER)?,
                policy: text,
                security_token: form.get(header::SECURITY_TOKEN.as_str()),
            };
            let expected = Expected {
                region: &app.region,
                service: "s3",
                now_unix_ms: Timestamp::now().unix_ms(),
                source: request.peer,
            };
            request.identity = auth::authenticate_form(signed, app.keys(), expected)?;
            let policy = PostPolicy::parse(text)?;
            policy.check(bucket.name.as_str(), &form.fields, Timestamp::now())?;
            Some(policy)
        }
    };
    let key = form.get("key").ok_or_else(|| {
        S3Error::new(Code::InvalidArgument)
            .message("Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.")
            .field("ArgumentName", "key")
            .field("ArgumentValue", "")
    })?;
    request.object = Some(parse_key(&key.replace(FILENAME, &form.filename))?);
    request.version = VersionRef::Current;
    request.headers = form.headers(&request.headers)?;
    route::refuse_unsupported(Operation::PutObject, &request.headers, &request.query)?;
    let object = request.object()?.clone();
    for action in permissions::of(Operation::PutObject, &request).into_iter().chain(["s3:PutObject"]) {
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
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
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

/// A form up to its file.
struct Form {
    /// By lower-case names, in order.
    fields: Vec<(String, String)>,
    /// The base name of the user's file.
    filename: String,
    file: ByteStream,
}

impl Form {
    async fn read(body: RequestBody, boundary: String) -> Result<Self, S3Error> {
        let malformed = |_| S3Error::new(Code::MalformedPostRequest);
        let stream = futures_util::stream::unfold(body, |mut body| async move {
            body.next().await.map(|piece| (piece, body))
        });
        let mut parts = multer::Multipart::new(stream, boundary);
        let mut fields = Vec::new();
        let mut len = 0;
        while let Some(mut part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_ascii_lowercase();
            if name == "file" {
                let filename = part.file_name().unwrap_or_default();
                let filename = filename.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                let file = part.map_err(|error| Box::new(error) as StreamError);
                return Ok(Self { fields, filename, file: file.boxed() });
            }
            let mut value = Vec::new();
            while let Some(piece) = part.chunk().await.map_err(malformed)? {
                len += piece.len();
                if len > FIELDS_MAX_LEN {
                    return Err(Code::MaxPostPreDataLengthExceededError.into());
                }
                value.extend_from_slice(&piece);
            }
            len += name.len();
            if len > FIELDS_MAX_LEN || fields.len() == MAX_FIELDS {
                return Err(Code::MaxPostPreDataLengthExceededError.into());
            }
            let value = String::from_utf8(value).map_err(|_| Code::MalformedPostRequest)?;
            fields.push((name, value));
        }
        Err(S3Error::new(Code::InvalidArgument)
            .message("POST requires exactly one file upload per request.")
            .field("ArgumentName", "file")
            .field("ArgumentValue", "0"))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The headers of a PUT that comes to the same; what only signs the form is left out.
    fn headers(&self, of_request: &HeaderMap) -> Result<HeaderMap, S3Error> {
        let mut headers = HeaderMap::new();
        for name in
            [http::header::HOST, http::header::REFERER, http::header::USER_AGENT, http::header::ORIGIN]
        {
            if let Some(value) = of_request.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let aliases: BTreeMap<&str, HeaderName> = [("acl", header::ACL)].into();
        for (field, value) in &self.fields {
            let name = match aliases.get(field.as_str()) {
                Some(name) => name.clone(),
                None if header::is_signing_parameter(field) => continue,
                None => match HeaderName::try_from(field.as_str()) {
                    Ok(name) if field.starts_with(header::AMZ_PREFIX) || HEADER_FIELDS.contains(&name) => {
                        name
                    }
                    _ => continue,
                },
            };
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| S3Error::invalid_argument("Invalid Argument", field, value))?;
            headers.insert(name, value);
        }
        if let Some(document) = self.get("tagging") {
            let tags = tagging::parse(document.as_bytes(), tagging::OBJECT_MAX)?;
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pairs: Vec<String> =
                tags.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect();
            put(&mut headers, header::TAGGING, &pairs.join("&"));
        }
        Ok(headers)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
