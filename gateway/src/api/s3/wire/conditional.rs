//! Conditions of a request on the object as it is.

use http::{HeaderMap, HeaderName, header};
use storage::catalog::Precondition;
use storage::name::Timestamp;

use super::etag::{self, ETagMatch};
use super::time::{http_date, parse_http_date};
use crate::api::s3::error::{Code, S3Error};
use crate::http::header as amz;

/// The conditions, spelled as errors name them.
pub const IF_MATCH: &str = "If-Match";
/// As [`IF_MATCH`].
pub const IF_NONE_MATCH: &str = "If-None-Match";

/// The four conditions of a read, or of a copy's source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Only if the tag is one of these.
    pub if_match: Option<ETagMatch>,
    /// Only if the tag is none of these.
    pub if_none_match: Option<ETagMatch>,
    /// Only if it was modified after this second.
    pub if_modified_since: Option<u64>,
    /// Only if it was not modified after this second.
    pub if_unmodified_since: Option<u64>,
}

/// What the conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They hold.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// This condition does not hold: 412.
    Failed(&'static str),
}

impl Conditions {
    /// Of a GET or HEAD.
    pub fn of_request(headers: &HeaderMap) -> Self {
        Self::of(
            headers,
            [
                &header::IF_MATCH,
                &header::IF_NONE_MATCH,
                &header::IF_MODIFIED_SINCE,
                &header::IF_UNMODIFIED_SINCE,
            ],
        )
    }

    /// Of the source of a CopyObject or UploadPartCopy.
    pub fn of_copy_source(headers: &HeaderMap) -> Self {
        Self::of(
            headers,
            [
                &amz::COPY_SOURCE_IF_MATCH,
                &amz::COPY_SOURCE_IF_NONE_MATCH,
                &amz::COPY_SOURCE_IF_MODIFIED_SINCE,
                &amz::COPY_SOURCE_IF_UNMODIFIED_SINCE,
            ],
        )
    }

    /// Of the source of a RenameObject.
    pub fn of_rename_source(headers: &HeaderMap) -> Self {
        Self::of(
            headers,
            [
                &amz::RENAME_SOURCE_IF_MATCH,
                &amz::RENAME_SOURCE_IF_NONE_MATCH,
                &amz::RENAME_SOURCE_IF_MODIFIED_SINCE,
                &amz::RENAME_SOURCE_IF_UNMODIFIED_SINCE,
            ],
        )
    }

    fn of(headers: &HeaderMap, names: [&HeaderName; 4]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let [if_match, if_none_match, modified, unmodified] = names;
        // A date that can't be read is no condition (RFC 9110, 13.1.3 and 13.1.4).
        Self {
            if_match: text(if_match).map(ETagMatch::parse),
            if_none_match: text(if_none_match).map(ETagMatch::parse),
            if_modified_since: text(modified).and_then(parse_http_date),
            if_unmodified_since: text(unmodified).and_then(parse_http_date),
        }
    }

    /// Weighs them as AWS does: a condition on the tag overrules the date of its kind, what ends in 412 comes first, and a date in
    /// the future is no condition.
    pub fn evaluate(&self, etag: &str, last_modified: Timestamp) -> Outcome {
        self.evaluate_at(etag, last_modified, Timestamp::now())
    }

    fn evaluate_at(&self, etag: &str, last_modified: Timestamp, now: Timestamp) -> Outcome {
        // Dates on the wire are whole seconds.
        let (modified_s, now_s) = (last_modified.unix_ms() / 1000, now.unix_ms() / 1000);
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !tags.matches(etag) => return Outcome::Failed(IF_MATCH),
            (None, Some(since)) if modified_s > since => return Outcome::Failed("If-Unmodified-Since"),
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if tags.matches(etag) => Outcome::NotModified,
            (None, Some(since)) if modified_s <= since && since <= now_s => Outcome::NotModified,
            _ => Outcome::Proceed,
        }
    }

    /// Refuses a GET or HEAD whose conditions do not hold, with 304 or 412.
    pub fn check_read(&self, etag: &str, last_modified: Timestamp) -> Result<(), S3Error> {
        match self.evaluate(etag, last_modified) {
            Outcome::Proceed => Ok(()),
            Outcome::NotModified => Err(S3Error::new(Code::NotModified)
                .header(header::ETAG, etag::quoted(etag))
                .header(header::LAST_MODIFIED, http_date(last_modified))),
            Outcome::Failed(condition) => Err(precondition_failed(condition)),
        }
    }

    /// Refuses a copy whose source does not meet its conditions: always with 412.
    pub fn check_copy_source(&self, etag: &str, last_modified: Timestamp) -> Result<(), S3Error> {
        let condition = match self.evaluate(etag, last_modified) {
            Outcome::Proceed => return Ok(()),
            Outcome::NotModified if self.if_none_match.is_some() => IF_NONE_MATCH,
            Outcome::NotModified => "If-Modified-Since",
            Outcome::Failed(condition) => condition,
        };
        Err(precondition_failed(format!("{}-{condition}", amz::COPY_SOURCE)))
    }
}

/// `PreconditionFailed`, naming the condition.
pub fn precondition_failed(condition: impl Into<String>) -> S3Error {
    S3Error::new(Code::PreconditionFailed).field("Condition", condition)
}

/// What a write's `If-Match` and `If-None-Match` demand of the object that it replaces. Like AWS it knows `If-None-Match: *` and
/// `If-Match` with a tag; everything else it refuses.
pub fn write_precondition(headers: &HeaderMap) -> Result<Precondition, S3Error> {
    match (tags(headers, &header::IF_MATCH), tags(headers, &header::IF_NONE_MATCH)) {
        (None, None) => Ok(Precondition::None),
        (None, Some(ETagMatch::Any)) => Ok(Precondition::Absent),
        (Some(ETagMatch::OneOf(tags)), None) if tags.len() == 1 => {
            Ok(Precondition::Etag(tags.into_iter().next().unwrap_or_default()))
        }
        (Some(_), Some(_)) => Err(condition_not_implemented(
            format!("{IF_MATCH},{IF_NONE_MATCH}"),
            "Multiple conditional request headers present in the request",
        )),
        (None, Some(_)) => Err(value_not_implemented(IF_NONE_MATCH)),
        (Some(_), None) => Err(value_not_implemented(IF_MATCH)),
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<ETagMatch> {
    headers.get(name).map(|value| ETagMatch::parse(&String::from_utf8_lossy(value.as_bytes())))
}

fn condition_not_implemented(name: impl Into<String>, why: impl Into<String>) -> S3Error {
    S3Error::new(Code::NotImplemented).field("Header", name).field("additionalMessage", why)
}

fn value_not_implemented(name: &str) -> S3Error {
    let why = format!("We don't accept the provided value of {name} header for this API");
    condition_not_implemented(name, why)
}

/// What a deletion demands of the current object: its tag, its size, its time.
pub fn delete_precondition(headers: &HeaderMap) -> Result<Precondition, S3Error> {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return Err(value_not_implemented(IF_NONE_MATCH));
    }
    // Unlike a write, a deletion may ask for any object: that there is one.
    let etag = match tags(headers, &header::IF_MATCH) {
        None => None,
        Some(ETagMatch::Any) => Some("*".to_owned()),
        Some(ETagMatch::OneOf(tags)) if tags.len() == 1 => tags.into_iter().next(),
        Some(ETagMatch::OneOf(_)) => return Err(value_not_implemented(IF_MATCH)),
    };
    let text = |name: &HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let invalid =
        |name: &HeaderName, value: &str| S3Error::invalid_argument("Invalid Argument", name.as_str(), value);
    let plain_len = text(&amz::IF_MATCH_SIZE);
    let plain_len =
        plain_len.map(|text| text.parse().map_err(|_| invalid(&amz::IF_MATCH_SIZE, &text))).transpose()?;
    let modified = text(&amz::IF_MATCH_LAST_MODIFIED_TIME);
    let last_modified_s = modified
        .map(|text| parse_http_date(&text).ok_or_else(|| invalid(&amz::IF_MATCH_LAST_MODIFIED_TIME, &text)))
        .transpose()?;
    Ok(match (etag, plain_len, last_modified_s) {
        (None, None, None) => Precondition::None,
        (etag, plain_len, last_modified_s) => Precondition::Like { etag, plain_len, last_modified_s },
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const MODIFIED: Timestamp = Timestamp(1_795_490_716_900);
    const BEFORE: &str = "Tue, 24 Nov 2026 03:25:15 GMT";
    const SAME: &str = "Tue, 24 Nov 2026 03:25:16 GMT";
    const AFTER: &str = "Tue, 24 Nov 2026 03:25:17 GMT";
    const NOW: Timestamp = Timestamp(1_795_490_720_000);
    const FUTURE: &str = "Tue, 24 Nov 2026 03:25:21 GMT";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn outcome(pairs: &[(HeaderName, &'static str)]) -> Outcome {
        Conditions::of_request(&headers(pairs)).evaluate_at("tag", MODIFIED, NOW)
    }

    #[test]
    fn single_conditions() {
        use Outcome::*;
        assert_eq!(outcome(&[]), Proceed);
        assert_eq!(outcome(&[(header::IF_MATCH, "\"tag\"")]), Proceed);
        assert_eq!(outcome(&[(header::IF_MATCH, "\"x\", \"tag\"")]), Proceed);
        assert_eq!(outcome(&[(header::IF_MATCH, "\"x\"")]), Failed("If-Match"));
        assert_eq!(outcome(&[(header::IF_NONE_MATCH, "\"tag\"")]), NotModified);
        assert_eq!(outcome(&[(header::IF_NONE_MATCH, "*")]), NotModified);
        assert_eq!(outcome(&[(header::IF_NONE_MATCH, "\"x\"")]), Proceed);
        assert_eq!(outcome(&[(header::IF_MODIFIED_SINCE, BEFORE)]), Proceed);
        assert_eq!(outcome(&[(header::IF_MODIFIED_SINCE, SAME)]), NotModified);
        assert_eq!(outcome(&[(header::IF_MODIFIED_SINCE, AFTER)]), NotModified);
        assert_eq!(outcome(&[(header::IF_MODIFIED_SINCE, FUTURE)]), Proceed);
        assert_eq!(outcome(&[(header::IF_UNMODIFIED_SINCE, SAME)]), Proceed);
        assert_eq!(outcome(&[(header::IF_UNMODIFIED_SINCE, BEFORE)]), Failed("If-Unmodified-Since"));
        assert_eq!(outcome(&[(header::IF_UNMODIFIED_SINCE, "soon")]), Proceed);
    }

    #[test]
    fn tags_overrule_dates() {
        use Outcome::*;
        let pairs = [(header::IF_MATCH, "\"tag\""), (header::IF_UNMODIFIED_SINCE, BEFORE)];
        assert_eq!(outcome(&pairs), Proceed);
        let pairs = [(header::IF_NONE_MATCH, "\"x\""), (header::IF_MODIFIED_SINCE, AFTER)];
        assert_eq!(outcome(&pairs), Proceed);
        let pairs = [(header::IF_NONE_MATCH, "\"tag\""), (header::IF_MODIFIED_SINCE, BEFORE)];
        assert_eq!(outcome(&pairs), NotModified);
        let pairs = [(header::IF_MATCH, "\"x\""), (header::IF_NONE_MATCH, "\"tag\"")];
        assert_eq!(outcome(&pairs), Failed("If-Match"));
    }

    #[test]
    fn refusals_carry_what_aws_tells() {
        let conditions = Conditions::of_request(&headers(&[(header::IF_NONE_MATCH, "\"tag\"")]));
        let error = conditions.check_read("tag", MODIFIED).unwrap_err();
        assert_eq!(error.status(), 304);
        assert_eq!(error.headers[0].1, "\"tag\"");
        let conditions = Conditions::of_copy_source(&headers(&[(amz::COPY_SOURCE_IF_NONE_MATCH, "\"tag\"")]));
        let error = conditions.check_copy_source("tag", MODIFIED).unwrap_err();
        assert_eq!(error.status(), 412);
        assert_eq!(error.fields[0].1, "x-amz-copy-source-If-None-Match");
    }

    #[test]
    fn writes() {
        let of = |pairs: &[(HeaderName, &'static str)]| {
            write_precondition(&headers(pairs)).map_err(|error| error.code)
        };
        assert_eq!(of(&[]), Ok(Precondition::None));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Ok(Precondition::Absent));
        assert_eq!(of(&[(header::IF_MATCH, "\"t\"")]), Ok(Precondition::Etag("t".to_owned())));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"t\"")]), Err(Code::NotImplemented));
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Err(Code::NotImplemented));
        assert_eq!(of(&[(header::IF_MATCH, "\"t\", \"u\"")]), Err(Code::NotImplemented));
        assert_eq!(
            of(&[(header::IF_MATCH, "\"t\""), (header::IF_NONE_MATCH, "*")]),
            Err(Code::NotImplemented)
        );
    }
}
