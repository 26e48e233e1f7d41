//! Which operation a request asks for, and whether it asks for something that is not here.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header as http_header;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::error::{Code, S3Error};
use super::model::{self, Known};
use super::operation::{Level, Operation, Row, Selector, Status, TABLE};
use super::request::Query;
use super::target::Target;
use super::wire::metadata;
use crate::auth::{V2_SIGNED_PARAMETERS, V2_TEXT};
use crate::http::header;

/// The operation that a request asks for.
pub fn route(
    method: &Method,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    let level = target.level();
    if method == Method::OPTIONS && level != Level::Service {
        return Ok(Operation::Preflight);
    }
    let candidate = |selector| {
        TABLE
            .iter()
            // What costs least first: most rows have more markers than most requests have parameters.
            .filter(|row| row.level == level && row.selector == selector && row.query.len() <= query.0.len())
            .filter(|row| row.method == method.as_str())
            .filter(|row| row.query.iter().all(|marker| is_marked(query, marker)))
            // The most exactly marked row; of equals the first.
            .reduce(|best, row| if row.query.len() > best.query.len() { row } else { best })
    };
    // A copy's header elevates a plain PUT; on an operation with a marker of its own it means nothing.
    let direct = candidate(Selector::Direct);
    let copy = headers.contains_key(header::COPY_SOURCE).then(|| candidate(Selector::Copy)).flatten();
    let row = match (copy, direct) {
        (Some(copy), Some(direct)) if copy.query.len() >= direct.query.len() => Some(copy),
        (_, direct) => direct,
    };
    if level == Level::Object && method == Method::GET {
        refuse_listing_of_key(query)?;
    }
    match row {
        // Another method's sub-resource with this method: `POST ?acl`, `HEAD ?policy`.
        Some(row) if foreign_marker(row, level, query).is_some() => Err(method_not_allowed(level)),
        Some(row) => Ok(row.operation),
        None => Err(method_not_allowed(level)),
    }
}

/// Refuses to list what is listed of a bucket and not of a key.
fn refuse_listing_of_key(query: &Query) -> Result<(), S3Error> {
    if query.has("versions") {
        return Err(S3Error::invalid_request(
            "There is no such thing as the ?versions sub-resource for a key",
        ));
    }
    if query.has("uploads") {
        return Err(S3Error::invalid_request("Key is not expected for the GET method ?uploads subresource"));
    }
    Ok(())
}

/// Conditions, which S3 takes from the query of a presigned URL too.
const CONDITIONS: [HeaderName; 4] = [
    http_header::IF_MATCH,
    http_header::IF_NONE_MATCH,
    http_header::IF_MODIFIED_SINCE,
    http_header::IF_UNMODIFIED_SINCE,
];

/// The headers of a request with those that stand in its query; `None` where none do. Whoever makes a presigned URL may
/// put any `x-amz-` header and a condition into it, and S3 takes it for one. Of two `x-amz-` headers of a name, both of which are
/// signed, the header itself holds; conditions, which need not be signed as headers, must not contradict the query.
pub fn hoisted(headers: &HeaderMap, query: &Query) -> Result<Option<HeaderMap>, S3Error> {
    let mut hoisted: Option<HeaderMap> = None;
    for (name, value) in &query.0 {
        let prefix = name.get(..header::AMZ_PREFIX.len());
        let is_amz = prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(header::AMZ_PREFIX));
        let is_condition = || CONDITIONS.iter().any(|header| name.eq_ignore_ascii_case(header.as_str()));
        // SDKs that presign put in the checksum of a body that they do not have; S3 takes no notice of it.
        if !(is_amz || query.is_presigned() && is_condition()) || is_of_checksums(name) {
            continue;
        }
        let invalid = || S3Error::invalid_argument("Invalid Argument", name, value);
        let header = HeaderName::try_from(name).map_err(|_| invalid())?;
        if header::is_signing_parameter(header.as_str()) || is_amz && headers.contains_key(&header) {
            continue;
        }
        metadata::expect_latin1(name, value)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
        if hoisted.as_ref().unwrap_or(headers).get_all(&header).iter().any(|other| *other != value) {
            return Err(invalid());
        }
        hoisted.get_or_insert_with(|| headers.clone()).insert(header, value);
    }
    Ok(hoisted)
}

/// Refuses an operation that is known by a parameter which version 2 of signatures does not sign: whoever has a presigned URL would
/// make another one of it. Both ways to list ask for the same.
pub fn refuse_unsigned(operation: Operation) -> Result<(), S3Error> {
    let names = operation.row().query.iter().map(|marker| marker.split('=').next().unwrap_or_default());
    match names.into_iter().find(|name| *name != "list-type" && !V2_SIGNED_PARAMETERS.contains(name)) {
        Some(_) => Err(S3Error::invalid_request(V2_TEXT)),
        None => Ok(()),
    }
}

fn is_of_checksums(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(header::CHECKSUM_PREFIX) || name == header::SDK_CHECKSUM_ALGORITHM.as_str()
}

/// Refuses what would change the request's meaning and is not honoured: by name, before anything is done.
pub fn refuse_unsupported(operation: Operation, headers: &HeaderMap, query: &Query) -> Result<(), S3Error> {
    if operation.status() == Status::NotImplemented {
        return Err(S3Error::not_implemented(operation));
    }
    if operation == Operation::Preflight {
        return Ok(());
    }
    let row = operation.row();
    for (name, value) in &query.0 {
        if query.is_presigned() && is_header_of(operation, &name.to_ascii_lowercase()) {
            let what = format_args!("The header {name} in the query of a presigned URL for {operation}");
            return Err(S3Error::not_implemented(what).field("QueryParameter", name));
        }
        refuse_parameter(row, name, value)?;
    }
    for (name, value) in headers {
        if name.as_str().starts_with(header::AMZ_PREFIX) {
            refuse_header(operation, name, value.as_bytes())?;
        }
    }
    Ok(())
}

/// Refuses the request if it names an owner of the bucket that is another than its owner.
pub fn check_expected_owner(headers: &HeaderMap, name: &HeaderName, owner: &str) -> Result<(), S3Error> {
    match headers.get(name) {
        Some(expected) if expected.as_bytes() != owner.as_bytes() => {
            let digits = expected.as_bytes();
            if digits.len() == 12 && digits.iter().all(u8::is_ascii_digit) {
                Err(Code::AccessDenied.into())
            } else {
                let message = format!(
                    "The value of the expected bucket owner parameter must be an AWS Account ID... [{}]",
                    String::from_utf8_lossy(digits)
                );
                Err(S3Error::new(Code::InvalidBucketOwnerAwsAccountId).message(message))
            }
        }
        _ => Ok(()),
    }
}

/// Is this marker (`name`, or `name=value`) in the query?
fn is_marked(query: &Query, marker: &str) -> bool {
    match marker.split_once('=') {
        Some((name, value)) => query.get(name) == Some(value),
        None => query.has(marker),
    }
}

/// A marker in the query that belongs to other operations of this level but not to this one.
fn foreign_marker<'a>(row: &Row, level: Level, query: &'a Query) -> Option<&'a str> {
    query.0.iter().map(|(name, _)| name.as_str()).find(|name| {
        !row.query.iter().chain(row.accepts).any(|own| own == name || own.split('=').next() == Some(name))
            && row.query.is_empty()
            && TABLE
                .iter()
                .any(|other| other.level == level && other.query.len() == 1 && other.query[0] == *name)
    })
}

fn method_not_allowed(level: Level) -> S3Error {
    let resource = match level {
        Level::Service => "SERVICE",
        Level::Bucket => "BUCKET",
        Level::Object => "OBJECT",
    };
    S3Error::new(Code::MethodNotAllowed).field("ResourceType", resource)
}

/// Parameters that sign a request, that only name it, or that [`hoisted`] makes headers of.
fn is_no_parameter_of_operations(name: &str) -> bool {
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
    starts("x-") || ["AWSAccessKeyId", "Signature", "Expires"].contains(&name)
}

/// Is it (in lower case) a header of HTTP that means something to the operation, and that [`hoisted`] does not take from a query?
fn is_header_of(operation: Operation, name: &str) -> bool {
    use Operation as Op;
    match name {
        "range" => matches!(operation, Op::GetObject | Op::HeadObject),
        "cache-control"
        | "content-disposition"
        | "content-encoding"
        | "content-language"
        | "content-type"
        | "expires" => matches!(operation, Op::PutObject | Op::CopyObject | Op::CreateMultipartUpload),
        "content-length" | "content-md5" | "expect" => ["PUT", "POST"].contains(&operation.row().method),
        _ => false,
    }
}

fn refuse_parameter(row: &Row, name: &str, value: &str) -> Result<(), S3Error> {
    let own = |marker: &&str| marker.split('=').next() == Some(name);
    if row.query.iter().any(own) || row.accepts.contains(&name) {
        return Ok(());
    }
    if is_no_parameter_of_operations(name) {
        return Ok(());
    }
    if name == "list-type" {
        return Err(S3Error::invalid_argument("Invalid List Type", "list-type", value));
    }
    let known = TABLE.iter().any(|other| other.query.iter().any(own) || other.accepts.contains(&name));
    // What has no value is a sub-resource; other parameters that AWS does not know it ignores, and so do we.
    if known || value.is_empty() {
        return Err(S3Error::not_implemented(format_args!("The query parameter {name} with {}", row.name))
            .field("QueryParameter", name));
    }
    Ok(())
}

/// Refuses a header that would change what the request means and is not honoured. One of this operation's is honoured or refused by name.
/// One of other operations' does what it does at AWS, which is nothing but for those that are named here. One of nobody's is ignored,
/// unless it begins like those that protect data.
fn refuse_header(operation: Operation, name: &HeaderName, value: &[u8]) -> Result<(), S3Error> {
    use Operation as Op;
    let (text, value) = (name.as_str(), value.trim_ascii());
    if text.starts_with(header::META_PREFIX) {
        return Ok(());
    }
    let invalid = |message: String| S3Error::invalid_argument(message, text, String::from_utf8_lossy(value));
    let honoured = match model::header(operation, text) {
        Known::Own => match name {
            _ if *name == header::BUCKET_NAMESPACE => value == b"global",
            _ if *name == header::ANNOTATION_DIRECTIVE => [&b"COPY"[..], b"EXCLUDE"].contains(&value),
            _ => {
                ![header::WRITE_OFFSET_BYTES, header::IF_MATCH_INITIATED_TIME].contains(name)
                    && header::is_known(text)
            }
        },
        Known::Foreign => {
            let writes_part = matches!(operation, Op::UploadPart | Op::UploadPartCopy);
            if writes_part && (*name == header::ACL || text.starts_with(header::GRANT_PREFIX)) {
                return Err(invalid("The specified header is not valid in this context".to_owned()));
            }
            // Parts and their completion are compared with what their upload says.
            let is_compared = matches!(operation, Op::UploadPart | Op::CompleteMultipartUpload);
            if header::ENCRYPTION.contains(name) && !is_compared {
                return Err(invalid(format!("{text} header is not supported for this operation.")));
            }
            true
        }
        Known::Unknown if header::is_known(text) => true,
        Known::Unknown if header::PROTECTING.iter().any(|beginning| text.starts_with(beginning)) => false,
        Known::Unknown => {
            let ignored = IGNORED_HEADERS.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(header = text, %operation, ignored, "a header that nobody knows is ignored");
            true
        }
    };
    if honoured {
        return Ok(());
    }
    Err(S3Error::not_implemented(format_args!("The header {text} with this value for {operation}"))
        .field("Header", text))
}

/// How many headers were ignored that nobody knows.
static IGNORED_HEADERS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use storage::name::{BucketName, ObjectKey};

    use super::*;

    fn target(level: Level) -> Target {
        let bucket = BucketName::parse("bucket").unwrap();
        match level {
            Level::Service => Target { bucket: None, object: None },
            Level::Bucket => Target { bucket: Some(bucket), object: None },
            Level::Object => Target { bucket: Some(bucket), object: Some(ObjectKey::parse("key").unwrap()) },
        }
    }

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    fn asked(method: &str, level: Level, pairs: &[(&str, &str)]) -> Result<Operation, Code> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        route(&method, &target(level), &query(pairs), &HeaderMap::new()).map_err(|e| e.code)
    }

    #[test]
    fn every_row_is_found_by_its_own_request() {
        for row in TABLE.iter().filter(|row| [Selector::Direct, Selector::Copy].contains(&row.selector)) {
            if row.operation == Operation::WriteGetObjectResponse {
                continue; // Its host is another service's.
            }
            let pairs: Vec<_> = row.query.iter().map(|m| m.split_once('=').unwrap_or((m, ""))).collect();
            let mut headers = HeaderMap::new();
            if row.selector == Selector::Copy {
                headers.insert(header::COPY_SOURCE, HeaderValue::from_static("a/b"));
            }
            let mut pairs = query(&pairs);
            pairs.0.push(("x-id".to_owned(), row.name.to_owned()));
            let method = Method::from_bytes(row.method.as_bytes()).unwrap();
            let found = route(&method, &target(row.level), &pairs, &headers).map_err(|e| e.code);
            assert_eq!(found, Ok(row.operation), "{}", row.name);
        }
    }

    #[test]
    fn methods_that_nothing_has_are_refused() {
        assert_eq!(asked("PUT", Level::Service, &[]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("POST", Level::Object, &[]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("POST", Level::Bucket, &[("acl", "")]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("HEAD", Level::Bucket, &[("policy", "")]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("DELETE", Level::Bucket, &[("versioning", "")]), Err(Code::MethodNotAllowed));
        assert_eq!(asked("PATCH", Level::Object, &[]), Err(Code::MethodNotAllowed));
    }

    #[test]
    fn headers_in_the_query_are_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACL, HeaderValue::from_static("private"));
        let pairs = [
            ("X-Amz-Signature", "0"),
            ("x-amz-acl", "public-read"),
            ("X-Amz-Tagging", "a=b"),
            ("prefix", "x"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ];
        let hoisted = super::hoisted(&headers, &query(&pairs)).unwrap().unwrap();
        assert_eq!(hoisted.len(), 2);
        assert_eq!(hoisted[header::ACL], "private");
        assert_eq!(hoisted[header::TAGGING], "a=b");
        refuse_unsupported(Operation::GetObject, &hoisted, &query(&pairs[..3])).unwrap();
        assert_eq!(super::hoisted(&headers, &query(&pairs[..1])).unwrap(), None);
        assert!(super::hoisted(&headers, &query(&[("x-amz- bad", "")])).is_err());
        let twice = [("x-amz-tagging", "a=b"), ("X-Amz-Tagging", "c=d")];
        assert!(super::hoisted(&HeaderMap::new(), &query(&twice)).is_err());
    }

    #[test]
    fn conditions_of_a_presigned_url_hold() {
        let presigned = |pairs: &[(&str, &str)], headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect();
            let pairs = [&[("X-Amz-Signature", "0")], pairs].concat();
            super::hoisted(&headers, &query(&pairs))
                .map(Option::unwrap_or_default)
                .map_err(|error| error.code)
        };
        let none_match = ("If-None-Match", "*");
        assert_eq!(presigned(&[none_match], &[]).unwrap()[http_header::IF_NONE_MATCH], "*");
        assert_eq!(presigned(&[("if-match", "\"e\"")], &[]).unwrap()[http_header::IF_MATCH], "\"e\"");
        // A header that nobody signed can't take a condition away.
        let same = [(http_header::IF_NONE_MATCH, "*")];
        assert_eq!(presigned(&[none_match], &same).unwrap().len(), 1);
        let other = [(http_header::IF_NONE_MATCH, "\"x\"")];
        assert_eq!(presigned(&[none_match], &other).unwrap_err(), Code::InvalidArgument);
        assert!(presigned(&[("If-Match", "a"), ("if-match", "b")], &[]).is_err());
        // Without a signature it is a parameter that S3 does not know.
        assert_eq!(super::hoisted(&HeaderMap::new(), &query(&[none_match])).unwrap(), None);
    }

    #[test]
    fn other_headers_in_the_query_of_a_presigned_url_are_refused() {
        use Operation as Op;
        let signed = ("X-Amz-Signature", "0");
        for (operation, name) in [
            (Op::GetObject, "Range"),
            (Op::PutObject, "Content-Type"),
            (Op::PutObject, "content-md5"),
            (Op::PutObject, "Expires"),
            (Op::UploadPart, "Content-MD5"),
        ] {
            assert!(refused(operation, &[signed, (name, "x")], &[]).unwrap().contains(name), "{name}");
        }
        for (operation, name) in
            [(Op::GetObject, "content-type"), (Op::PutObject, "range"), (Op::GetObject, "x")]
        {
            assert_eq!(refused(operation, &[signed, (name, "x")], &[]), None, "{name}");
        }
        assert_eq!(refused(Op::GetObject, &[("range", "x")], &[]), None);
    }

    fn refused(
        operation: Operation,
        pairs: &[(&str, &str)],
        headers: &[(HeaderName, &str)],
    ) -> Option<String> {
        let headers = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect();
        refuse_unsupported(operation, &headers, &query(pairs)).err().map(|e| e.client_message().to_owned())
    }

    #[test]
    fn what_changes_meaning_is_refused_by_name() {
        use Operation as Op;
        let message = refused(Op::PutObject, &[], &[(header::WRITE_OFFSET_BYTES, "0")]).unwrap();
        assert!(message.contains("write-offset") && message.contains("PutObject"), "{message}");
        for (name, value) in [
            (HeaderName::from_static("x-amz-object-lock-future"), "1"),
            (HeaderName::from_static("x-amz-server-side-encryption-future"), "1"),
        ] {
            assert!(refused(Op::PutObject, &[], &[(name.clone(), value)]).is_some(), "{name}");
        }
        let message = refused(Op::UploadPart, &[], &[(header::ACL, "private")]).unwrap();
        assert_eq!(message, "The specified header is not valid in this context");
        assert!(refused(Op::GetObject, &[], &[(header::SSE, "AES256")]).is_some());
        assert!(refused(Op::PutObject, &[("partNumber", "1")], &[]).is_some());
        assert!(refused(Op::GetObject, &[("unheardOf", "")], &[]).is_some());
        assert!(refused(Op::ListObjects, &[("list-type", "3")], &[]).is_some());
        assert!(refused(Op::PutBucketWebsite, &[("website", "")], &[]).unwrap().contains("PutBucketWebsite"));
    }

    #[test]
    fn what_version_2_does_not_sign_is_refused() {
        use Operation as Op;
        for operation in
            [Op::GetObject, Op::PutObject, Op::ListObjectsV2, Op::UploadPart, Op::PutObjectTagging]
        {
            assert!(refuse_unsigned(operation).is_ok(), "{operation}");
        }
        for operation in
            [Op::RenameObject, Op::PutObjectAnnotation, Op::GetObjectAttributes, Op::PutBucketAbac]
        {
            assert!(refuse_unsigned(operation).is_err(), "{operation}");
        }
    }

    #[test]
    fn what_is_honoured_or_harmless_passes() {
        use Operation as Op;
        let harmless = [
            (header::CONTENT_SHA256, "UNSIGNED-PAYLOAD"),
            (header::ACL, "private"),
            (header::STORAGE_CLASS, "STANDARD"),
            (header::REQUEST_PAYER, "requester"),
            (HeaderName::from_static("x-amz-meta-anything"), "1"),
            (header::SSE, "aws:kms"),
            (HeaderName::from_static("x-amz-future"), "1"),
            (HeaderName::from_static("x-amz-te"), "append-md5"),
        ];
        assert_eq!(refused(Op::PutObject, &[("x-id", "PutObject")], &harmless), None);
        let presigned = [("X-Amz-Signature", "0"), ("versionId", "null"), ("cache", "1")];
        assert_eq!(refused(Op::GetObject, &presigned, &[]), None);
        assert_eq!(refused(Op::ListObjectsV2, &[("list-type", "2"), ("prefix", "")], &[]), None);
        assert_eq!(refused(Op::UploadPart, &[("uploadId", "u"), ("partNumber", "1")], &[]), None);
        // Of other operations.
        for (operation, name) in [
            (Op::CreateMultipartUpload, header::METADATA_DIRECTIVE),
            (Op::UploadPart, header::TAGGING),
            (Op::GetObject, header::ACL),
            (Op::GetObject, header::OBJECT_LOCK_MODE),
            (Op::PutObject, header::IF_MATCH_SIZE),
            (Op::PutObject, header::RENAME_SOURCE),
        ] {
            assert_eq!(refused(operation, &[], &[(name.clone(), "x")]), None, "{name}");
        }
    }
}
