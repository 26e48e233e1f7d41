//! Headers that are stored with an object and returned with it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use storage::catalog::SystemHeaders;

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::Query;
use crate::http::header as amz;

/// The most bytes that names and values of user metadata have together.
const USER_METADATA_MAX_LEN: usize = 2048;
/// The longest website redirect location, in bytes.
const REDIRECT_MAX_LEN: usize = 2048;
/// The storage class of an object that names none.
pub const STANDARD_CLASS: &str = "STANDARD";
/// Storage classes whose objects can be read at once: kept as labels.
const STORAGE_CLASSES: [&str; 6] =
    [STANDARD_CLASS, "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"];
/// Storage classes whose objects must be restored before they can be read.
const ARCHIVE_CLASSES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// The system headers of a write.
pub fn system_headers(headers: &HeaderMap) -> Result<SystemHeaders, S3Error> {
    let website_redirect_location = text(headers, &amz::WEBSITE_REDIRECT_LOCATION);
    if let Some(location) = &website_redirect_location {
        let begins_well = ["/", "http://", "https://"].iter().any(|start| location.starts_with(start));
        if !begins_well || location.len() > REDIRECT_MAX_LEN {
            return Err(Code::InvalidRedirectLocation.into());
        }
    }
    Ok(SystemHeaders {
        // An empty one says no more than none does.
        content_type: text(headers, &header::CONTENT_TYPE).filter(|text| !text.is_empty()),
        content_encoding: content_encoding(headers),
        content_language: text(headers, &header::CONTENT_LANGUAGE),
        content_disposition: text(headers, &header::CONTENT_DISPOSITION),
        cache_control: text(headers, &header::CACHE_CONTROL),
        expires: text(headers, &header::EXPIRES),
        website_redirect_location,
    })
}

/// `Content-Encoding` as it was sent, but for `aws-chunked`, which is of the transfer and not of the object.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    let whole = values.iter().map(|value| lossless(value.as_bytes())).collect::<Vec<_>>().join(",");
    let kept: Vec<_> =
        whole.split(',').filter(|coding| !coding.trim().eq_ignore_ascii_case("aws-chunked")).collect();
    let kept = kept.join(",").trim().to_owned();
    (!kept.is_empty()).then_some(kept)
}

/// The user metadata of a write: names without their prefix, values as text.
pub fn user_metadata(headers: &HeaderMap) -> Result<Vec<(String, String)>, S3Error> {
    let mut metadata = Vec::new();
    let mut len = 0;
    for name in headers.keys() {
        let Some(short) = name.as_str().strip_prefix(amz::META_PREFIX).filter(|short| !short.is_empty())
        else {
            continue;
        };
        // A name that comes more than once has all its values, with commas between.
        let mut value = String::new();
        for (index, part) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                value.push(',');
            }
            value.push_str(&decode_words(&lossless(part.as_bytes())));
        }
        len += short.len() + value.len();
        if len > USER_METADATA_MAX_LEN {
            return Err(S3Error::new(Code::MetadataTooLarge)
                .field("Size", len.to_string())
                .field("MaxSizeAllowed", USER_METADATA_MAX_LEN.to_string()));
        }
        metadata.push((short.to_owned(), value));
    }
    Ok(metadata)
}

/// The storage class of a write.
pub fn storage_class(headers: &HeaderMap) -> Result<String, S3Error> {
    let Some(class) = text(headers, &amz::STORAGE_CLASS).filter(|class| !class.is_empty()) else {
        return Ok(STANDARD_CLASS.to_owned());
    };
    if is_archived(&class) || STORAGE_CLASSES.contains(&class.as_str()) {
        Ok(class)
    } else {
        Err(S3Error::new(Code::InvalidStorageClass).field("StorageClassRequested", class))
    }
}

/// Must objects of this class be restored before they can be read?
pub fn is_archived(class: &str) -> bool {
    ARCHIVE_CLASSES.contains(&class)
}

/// Puts an object's stored headers into an answer, those that the query overrides (`response-…`) as it says.
pub fn write_object_headers(
    system: &SystemHeaders,
    user: &[(String, String)],
    overrides: &Query,
    headers: &mut HeaderMap,
) {
    if system.content_type.is_none() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    }
    for (name, parameter, stored) in [
        (header::CONTENT_TYPE, "response-content-type", system.content_type.as_deref()),
        (header::CONTENT_ENCODING, "response-content-encoding", system.content_encoding.as_deref()),
        (header::CONTENT_LANGUAGE, "response-content-language", system.content_language.as_deref()),
        (header::CONTENT_DISPOSITION, "response-content-disposition", system.content_disposition.as_deref()),
        (header::CACHE_CONTROL, "response-cache-control", system.cache_control.as_deref()),
        (header::EXPIRES, "response-expires", system.expires.as_deref()),
    ] {
        let value = match overrides.get(parameter).filter(|value| !value.is_empty()) {
            Some(value) => latin1(value).and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()),
            None => stored.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()),
        };
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    if let Some(location) = &system.website_redirect_location
        && let Ok(value) = HeaderValue::from_bytes(location.as_bytes())
    {
        headers.insert(amz::WEBSITE_REDIRECT_LOCATION, value);
    }
    let mut missing = 0_u32;
    for (name, value) in user {
        let name = HeaderName::try_from(format!("{}{name}", amz::META_PREFIX));
        let value = HeaderValue::from_str(&encode_words(value));
        match (name, value) {
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            _ => missing += 1,
        }
    }
    if missing > 0 {
        headers.insert(amz::MISSING_META, missing.into());
    }
}

/// Do `response-…` parameters override stored headers? Only a signed request may. `InvalidArgument` for a value that no header can have.
pub fn overrides_headers(query: &Query) -> Result<bool, S3Error> {
    let mut overrides = false;
    for (name, value) in query.0.iter().filter(|(name, _)| name.starts_with("response-")) {
        expect_latin1(name, value)?;
        overrides = true;
    }
    Ok(overrides)
}

/// Refuses a value from a query that is to become a header and cannot.
pub fn expect_latin1(name: &str, value: &str) -> Result<(), S3Error> {
    let message = match latin1(value) {
        None => "Header value cannot be represented using ISO-8859-1.",
        Some(bytes) if HeaderValue::from_bytes(&bytes).is_err() => "Header value has control characters.",
        Some(_) => return Ok(()),
    };
    Err(S3Error::invalid_argument(message, name, value))
}

/// Text in ISO 8859-1; `None` if it has other characters.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| lossless(value.as_bytes()).into_owned())
}

/// A header's bytes as text: UTF-8 where they are, else ISO 8859-1.
fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// Decodes RFC 2047's encoded words of UTF-8, which is how clients say in headers what is not ASCII; leaves the rest.
fn decode_words(value: &str) -> Cow<'_, str> {
    if !value.contains("=?") {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    // Blanks between two encoded words are part of neither.
    let mut after_word = false;
    while let Some(at) = rest.find("=?") {
        match encoded_word(&rest[at..]) {
            Some((decoded, len)) => {
                let between = &rest[..at];
                if !(after_word && between.bytes().all(|byte| byte == b' ' || byte == b'\t')) {
                    out.push_str(between);
                }
                out.push_str(&decoded);
                after_word = true;
                rest = &rest[at + len..];
            }
            None => {
                out.push_str(&rest[..at + 2]);
                after_word = false;
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// One encoded word at the start of `text`, decoded, and its length.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let mut fields = text.strip_prefix("=?")?.splitn(3, '?');
    let (charset, encoding, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let end = rest.find("?=")?;
    let payload = &rest[..end];
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(payload).ok()?,
        "Q" | "q" => percent_encoding::percent_decode_str(
            &payload.replace('%', "=25").replace('_', " ").replace('=', "%"),
        )
        .collect(),
        _ => return None,
    };
    let len = 2 + charset.len() + 1 + encoding.len() + 1 + end + 2;
    Some((String::from_utf8(bytes).ok()?, len))
}

/// The most characters that an encoded word has between its frame (RFC 2047, 2: 75 in all).
const WORD_MAX_LEN: usize = 63;

/// A value as a header can carry it: as it is where it is printable ASCII, else in encoded words, as S3 makes them.
fn encode_words(value: &str) -> Cow<'_, str> {
    let is_plain = |unit: u16| matches!(unit, 0x20..=0x7e | 0x09);
    let (plain, other): (Vec<_>, Vec<_>) = value.encode_utf16().partition(|unit| is_plain(*unit));
    if other.is_empty() {
        return Cow::Borrowed(value);
    }
    let mut words = String::new();
    push_words(value, plain.len() > other.len(), &mut words);
    Cow::Owned(words)
}

/// Appends text as encoded words, with blanks between: in `Q` or in `B`. What is too long for one is halved.
fn push_words(text: &str, in_q: bool, words: &mut String) {
    let payload = if in_q { q_encoded(text) } else { STANDARD.encode(text) };
    let units = text.encode_utf16().count();
    if payload.len() > WORD_MAX_LEN && units > 1 {
        let mut before = 0;
        let half = text.char_indices().find_map(|(at, char)| {
            before += char.len_utf16();
            (before > units / 2).then_some(at)
        });
        let (first, second) = text.split_at(half.unwrap_or(text.len()));
        push_words(first, in_q, words);
        push_words(second, in_q, words);
        return;
    }
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(if in_q { "=?UTF-8?Q?" } else { "=?UTF-8?B?" });
    words.push_str(&payload);
    words.push_str("?=");
}

/// The `Q` encoding of RFC 2047, 4.2.
fn q_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('_'),
            b'=' | b'_' | b'?' | 0..=0x1f | 0x7f.. => encoded.push_str(&format!("={byte:02X}")),
            byte => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        headers
    }

    fn meta(name: &str) -> String {
        format!("{}{name}", amz::META_PREFIX)
    }

    #[test]
    fn content_encoding_loses_aws_chunked() {
        let of = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|v| ("content-encoding", v.as_bytes())).collect();
            system_headers(&headers(&pairs)).unwrap().content_encoding
        };
        assert_eq!(of(&["aws-chunked"]), None);
        assert_eq!(of(&["aws-chunked,gzip"]).as_deref(), Some("gzip"));
        assert_eq!(of(&["gzip, AWS-Chunked", "br"]).as_deref(), Some("gzip,br"));
        assert_eq!(of(&["aws-chunked, gzip , br"]).as_deref(), Some("gzip , br"));
        assert_eq!(of(&["gzip, br"]).as_deref(), Some("gzip, br"));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn user_metadata_is_read_in_all_its_forms() {
        let pairs: [(String, &[u8]); 5] = [
            (meta("a"), b"1"),
            (meta("a"), b"2"),
            (meta("utf8"), "grün".as_bytes()),
            (meta("latin"), b"gr\xfcn"),
            (meta("word"), b"x =?UTF-8?B?Z3LDvG4=?= =?utf-8?Q?=C3=BC_y?= =?nonsense"),
        ];
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut metadata = user_metadata(&headers(&pairs)).unwrap();
        metadata.sort();
        let expected = [("a", "1,2"), ("latin", "grün"), ("utf8", "grün"), ("word", "x grünü y =?nonsense")];
        assert_eq!(metadata, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn user_metadata_is_bounded() {
        let name = meta("n");
        let fits = "v".repeat(2047);
        assert!(user_metadata(&headers(&[(&name, fits.as_bytes())])).is_ok());
        let over = "v".repeat(2048);
        let error = user_metadata(&headers(&[(&name, over.as_bytes())])).unwrap_err();
        assert_eq!(error.code, Code::MetadataTooLarge);
    }

    #[test]
    fn answers_carry_what_was_stored() {
        let system = SystemHeaders {
            content_type: Some("text/plain".to_owned()),
            cache_control: Some("no-cache".to_owned()),
            ..SystemHeaders::default()
        };
        let user = [("a".to_owned(), "plain".to_owned()), ("b".to_owned(), "grün".to_owned())];
        let overrides = Query(vec![("response-content-type".to_owned(), "text/html".to_owned())]);
        let mut out = HeaderMap::new();
        write_object_headers(&system, &user, &overrides, &mut out);
        assert_eq!(out[header::CONTENT_TYPE], "text/html");
        assert_eq!(out[header::CACHE_CONTROL], "no-cache");
        assert_eq!(out[meta("a").as_str()], "plain");
        assert_eq!(out[meta("b").as_str()], "=?UTF-8?Q?gr=C3=BCn?=");
        let again = user_metadata(&out).unwrap();
        assert_eq!(again, user);
        let mut out = HeaderMap::new();
        write_object_headers(&SystemHeaders::default(), &[], &Query::default(), &mut out);
        assert_eq!(out[header::CONTENT_TYPE], "binary/octet-stream");
    }

    #[test]
    fn words_are_in_q_where_most_is_ascii() {
        assert_eq!(encode_words("a\tb"), "a\tb");
        assert_eq!(encode_words("ÄMÄZÕÑ S3"), "=?UTF-8?Q?=C3=84M=C3=84Z=C3=95=C3=91_S3?=");
        assert_eq!(encode_words("ÄÄ"), "=?UTF-8?B?w4TDhA==?=");
        assert_eq!(encode_words("äb"), "=?UTF-8?B?w6Ri?=");
        assert_eq!(encode_words("a=?_ ü"), "=?UTF-8?Q?a=3D=3F=5F_=C3=BC?=");
        let long = encode_words(&"é".repeat(40)).into_owned();
        assert_eq!(long.split(' ').count(), 2);
        assert!(long.split(' ').all(|word| word.len() <= 75), "{long}");
    }

    #[test]
    fn overrides_are_of_latin_1() {
        let query = |value: &str| Query(vec![("response-expires".to_owned(), value.to_owned())]);
        assert!(overrides_headers(&query("é")).unwrap());
        assert!(!overrides_headers(&Query::default()).unwrap());
        let error = overrides_headers(&query("文")).unwrap_err();
        assert_eq!((error.code, &error.fields[1].1[..]), (Code::InvalidArgument, "文"));
    }

    #[test]
    fn storage_classes() {
        let of = |class: &str| {
            storage_class(&headers(&[(amz::STORAGE_CLASS.as_str(), class.as_bytes())])).map_err(|e| e.code)
        };
        assert_eq!(storage_class(&HeaderMap::new()).unwrap(), "STANDARD");
        assert_eq!(of("STANDARD_IA"), Ok("STANDARD_IA".to_owned()));
        assert_eq!(of("GLACIER"), Ok("GLACIER".to_owned()));
        assert_eq!(of("GOLD"), Err(Code::InvalidStorageClass));
    }

    proptest::proptest! {
        #[test]
        fn words_survive_anything(value in "[=?UTFutf8BQ_%a-c -]{0,32}") {
            let _ = decode_words(&value);
        }

        #[test]
        fn what_is_not_ascii_comes_back(value in "\\PC{0,20}é") {
            let encoded = encode_words(&value);
            proptest::prop_assert_eq!(decode_words(&encoded), value.as_str());
        }
    }
}
