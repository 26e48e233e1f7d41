//! Checksums in headers: what a request says of its body, and what an answer says of an object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use storage::catalog::StoredChecksum;

use crate::api::s3::error::{Code, S3Error};
use crate::http::header;
use crate::transfer::digest::ChecksumAlgorithm;

/// The standard header, which the `http` crate has no name for.
pub const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// What a request says of its body's checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestChecksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// The value, or `None` where a trailer will tell it.
    pub value: Option<Vec<u8>>,
}

/// `Content-MD5`, or `InvalidDigest`.
pub fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, S3Error> {
    let Some(value) = headers.get(CONTENT_MD5) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(Some)
        .ok_or_else(|| S3Error::new(Code::InvalidDigest).field("Content-MD5", text))
}

/// The checksum that a request's body must have: at most one, in a header or in a trailer.
pub fn request_checksum(headers: &HeaderMap) -> Result<Option<RequestChecksum>, S3Error> {
    let declared = match headers.get(header::SDK_CHECKSUM_ALGORITHM) {
        Some(value) => Some(algorithm(value, &header::SDK_CHECKSUM_ALGORITHM)?),
        None => None,
    };
    let mut found: Option<RequestChecksum> = None;
    let trailer = trailer_checksum(headers)?.map(|algorithm| RequestChecksum { algorithm, value: None });
    for checksum in header_checksums(headers).chain(trailer.map(Ok)) {
        if found.replace(checksum?).is_some() {
            return Err(many_checksums());
        }
    }
    match (declared, &found) {
        (Some(_), None) => Err(S3Error::invalid_request(format!(
            "{} specified, but no corresponding {}* or {} headers were found.",
            header::SDK_CHECKSUM_ALGORITHM,
            header::CHECKSUM_PREFIX,
            header::TRAILER
        ))),
        (Some(declared), Some(found)) if declared != found.algorithm => Err(S3Error::invalid_request(
            format!("Value for {} header is invalid.", header::SDK_CHECKSUM_ALGORITHM),
        )),
        _ => Ok(found),
    }
}

/// The refusal of more than one checksum.
pub fn many_checksums() -> S3Error {
    S3Error::invalid_request(format!(
        "Expecting a single {} header. Multiple checksum Types are not allowed.",
        header::CHECKSUM_PREFIX
    ))
}

/// The value of a checksum as it is on the wire; `None` unless it is base64 of the right length.
pub fn parse_value(algorithm: ChecksumAlgorithm, text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok().filter(|value| value.len() == algorithm.len())
}

/// A checksum's value as it is on the wire.
pub fn format_value(value: &[u8]) -> String {
    STANDARD.encode(value)
}

/// The value of a trailer, or of a header, that should be a checksum.
pub fn parse_named_value(algorithm: ChecksumAlgorithm, text: &str) -> Result<Vec<u8>, S3Error> {
    parse_value(algorithm, text).ok_or_else(|| {
        S3Error::invalid_request(format!("Value for {} header is invalid.", algorithm.header()))
    })
}

/// `BadDigest` of a checksum that does not fit the body.
pub fn mismatch(algorithm: ChecksumAlgorithm) -> S3Error {
    S3Error::new(Code::BadDigest)
        .message(format!("The {} you specified did not match the calculated checksum.", algorithm.name()))
}

/// `BadDigest` of a `Content-MD5` that does not fit the body. How the expected digest is written depends on the operation.
pub fn md5_mismatch(expected: String, calculated: &[u8; 16]) -> S3Error {
    S3Error::new(Code::BadDigest)
        .field("ExpectedDigest", expected)
        .field("CalculatedDigest", STANDARD.encode(calculated))
}

/// The algorithm that a CreateMultipartUpload names, and whether the object's checksum is to be composite.
pub fn upload_checksum(headers: &HeaderMap) -> Result<Option<(ChecksumAlgorithm, bool)>, S3Error> {
    let composite = checksum_type(headers)?;
    let Some(value) = headers.get(header::CHECKSUM_ALGORITHM) else {
        return match composite {
            None => Ok(None),
            Some(_) => Err(S3Error::invalid_request(format!(
                "The {} header can only be used with the {} header.",
                header::CHECKSUM_TYPE,
                header::CHECKSUM_ALGORITHM
            ))),
        };
    };
    let algorithm = algorithm(value, &header::CHECKSUM_ALGORITHM)?;
    let only_full = algorithm.is_full_object_alone();
    match composite {
        Some(true) if only_full => Err(unfit_type("COMPOSITE", algorithm)),
        Some(false) if !algorithm.combines() => Err(unfit_type("FULL_OBJECT", algorithm)),
        composite => Ok(Some((algorithm, composite.unwrap_or(!only_full)))),
    }
}

/// The algorithm that a CopyObject names for the new object.
pub fn copy_checksum(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, S3Error> {
    headers
        .get(header::CHECKSUM_ALGORITHM)
        .map(|value| algorithm(value, &header::CHECKSUM_ALGORITHM))
        .transpose()
}

/// The checksum type that a request names: composite?
pub fn checksum_type(headers: &HeaderMap) -> Result<Option<bool>, S3Error> {
    match headers.get(header::CHECKSUM_TYPE).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"COMPOSITE") => Ok(Some(true)),
        Some(b"FULL_OBJECT") => Ok(Some(false)),
        Some(_) => {
            Err(S3Error::invalid_request(format!("Value for {} header is invalid.", header::CHECKSUM_TYPE)))
        }
    }
}

/// Does the request ask for the stored checksum?
pub fn mode_enabled(headers: &HeaderMap) -> bool {
    headers.get(header::CHECKSUM_MODE).is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"ENABLED"))
}

/// `COMPOSITE` or `FULL_OBJECT`.
pub fn type_name(composite: bool) -> &'static str {
    if composite { "COMPOSITE" } else { "FULL_OBJECT" }
}

/// Puts a stored checksum and its type into an answer.
pub fn write_headers(checksum: &StoredChecksum, headers: &mut HeaderMap) {
    let Some(algorithm) = ChecksumAlgorithm::parse(&checksum.algorithm) else { return };
    if let Ok(value) = HeaderValue::from_str(&checksum.value) {
        headers.insert(algorithm.header(), value);
        headers.insert(header::CHECKSUM_TYPE, HeaderValue::from_static(type_name(checksum.composite)));
    }
}

/// The element of a checksum in XML: `ChecksumCRC32`, …
pub fn element(algorithm: ChecksumAlgorithm) -> &'static str {
    use ChecksumAlgorithm as A;
    match algorithm {
        A::Crc32 => "ChecksumCRC32",
        A::Crc32c => "ChecksumCRC32C",
        A::Crc64Nvme => "ChecksumCRC64NVME",
        A::Sha1 => "ChecksumSHA1",
        A::Sha256 => "ChecksumSHA256",
        A::Sha512 => "ChecksumSHA512",
        A::Md5 => "ChecksumMD5",
        A::Xxhash64 => "ChecksumXXHASH64",
        A::Xxhash3 => "ChecksumXXHASH3",
        A::Xxhash128 => "ChecksumXXHASH128",
    }
}

/// The algorithm whose element in XML has this name.
pub fn of_element(name: &str) -> Option<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL.into_iter().find(|&algorithm| element(algorithm) == name)
}

/// Checksums in headers, each with its value.
fn header_checksums(headers: &HeaderMap) -> impl Iterator<Item = Result<RequestChecksum, S3Error>> + '_ {
    ChecksumAlgorithm::ALL.into_iter().flat_map(move |algorithm| {
        headers.get_all(algorithm.header()).iter().map(move |value| {
            let value = parse_named_value(algorithm, value.to_str().unwrap_or_default())?;
            Ok(RequestChecksum { algorithm, value: Some(value) })
        })
    })
}

/// The checksum that the request says will trail its body.
fn trailer_checksum(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, S3Error> {
    let mut found = None;
    for value in headers.get_all(header::TRAILER) {
        // Commas at the end are nothing; what is empty before them is a name that nobody knows.
        let names = value.to_str().unwrap_or_default().trim().trim_end_matches(',');
        for name in names.split(',').map(str::trim) {
            let algorithm = name
                .get(..header::CHECKSUM_PREFIX.len())
                .filter(|prefix| prefix.eq_ignore_ascii_case(header::CHECKSUM_PREFIX))
                .and_then(|prefix| ChecksumAlgorithm::parse(&name[prefix.len()..]));
            match algorithm {
                Some(algorithm) if found.is_none() => found = Some(algorithm),
                Some(_) => return Err(many_checksums()),
                None => {
                    return Err(S3Error::invalid_request(format!(
                        "The value specified in the {} header is not supported",
                        header::TRAILER
                    )));
                }
            }
        }
    }
    Ok(found)
}

fn algorithm(value: &HeaderValue, name: &HeaderName) -> Result<ChecksumAlgorithm, S3Error> {
    value.to_str().ok().and_then(ChecksumAlgorithm::parse).ok_or_else(|| {
        let names: Vec<_> = ChecksumAlgorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
        S3Error::invalid_request(format!(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{}]",
            names.join(", ")
        ))
        .field("Header", name.as_str())
    })
}

fn unfit_type(kind: &str, algorithm: ChecksumAlgorithm) -> S3Error {
    S3Error::invalid_request(format!(
        "The {kind} checksum type cannot be used with the {} checksum algorithm.",
        algorithm.name().to_ascii_lowercase()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn of(pairs: &[(HeaderName, &str)]) -> Result<Option<(ChecksumAlgorithm, bool)>, String> {
        request_checksum(&headers(pairs))
            .map(|found| found.map(|found| (found.algorithm, found.value.is_some())))
            .map_err(|error| error.client_message().to_owned())
    }

    #[test]
    fn body_checksums() {
        use ChecksumAlgorithm::*;
        let crc = (header::CHECKSUM_CRC32, "AAAAAA==");
        let name = header::CHECKSUM_CRC64NVME;
        let trailing = (header::TRAILER, name.as_str());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(std::slice::from_ref(&crc)), Ok(Some((Crc32, true))));
        assert_eq!(of(std::slice::from_ref(&trailing)), Ok(Some((Crc64Nvme, false))));
        assert_eq!(of(&[(header::SDK_CHECKSUM_ALGORITHM, "crc32"), crc.clone()]), Ok(Some((Crc32, true))));
        let message =
            of(&[crc.clone(), (header::CHECKSUM_SHA1, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]).unwrap_err();
        assert!(message.starts_with("Expecting a single"), "{message}");
        let message = of(&[crc.clone(), trailing]).unwrap_err();
        assert!(message.starts_with("Expecting a single"), "{message}");
        let message = of(&[(header::CHECKSUM_CRC32, "AAAA")]).unwrap_err();
        assert_eq!(message, format!("Value for {} header is invalid.", header::CHECKSUM_CRC32));
        let message = of(&[(header::SDK_CHECKSUM_ALGORITHM, "SHA1"), crc]).unwrap_err();
        assert_eq!(message, format!("Value for {} header is invalid.", header::SDK_CHECKSUM_ALGORITHM));
        assert!(of(&[(header::SDK_CHECKSUM_ALGORITHM, "SHA1")]).unwrap_err().contains("no corresponding"));
        assert!(of(&[(header::TRAILER, "etag")]).unwrap_err().contains("not supported"));
        assert!(of(&[(header::SDK_CHECKSUM_ALGORITHM, "MD4")]).unwrap_err().contains("unsupported"));
    }

    #[test]
    fn md5_of_the_content() {
        let of = |value: &str| content_md5(&headers(&[(CONTENT_MD5, value)])).map_err(|error| error.code);
        assert_eq!(of("1B2M2Y8AsgTpgAmY7PhCfg=="), Ok(Some(md5_of_nothing())));
        for bad in ["", "x", "1B2M2Y8AsgTpgAmY7PhC", "d41d8cd98f00b204e9800998ecf8427e"] {
            assert_eq!(of(bad), Err(Code::InvalidDigest), "{bad}");
        }
    }

    fn md5_of_nothing() -> [u8; 16] {
        hex::decode("d41d8cd98f00b204e9800998ecf8427e").unwrap().try_into().unwrap()
    }

    #[test]
    fn types_of_uploads() {
        use ChecksumAlgorithm::*;
        let of = |algorithm: Option<&str>, kind: Option<&str>| {
            let mut pairs = Vec::new();
            pairs.extend(algorithm.map(|value| (header::CHECKSUM_ALGORITHM, value)));
            pairs.extend(kind.map(|value| (header::CHECKSUM_TYPE, value)));
            upload_checksum(&headers(&pairs)).map_err(|error| error.code)
        };
        assert_eq!(of(None, None), Ok(None));
        assert_eq!(of(Some("CRC32"), None), Ok(Some((Crc32, true))));
        assert_eq!(of(Some("crc64nvme"), None), Ok(Some((Crc64Nvme, false))));
        assert_eq!(of(Some("CRC32C"), Some("FULL_OBJECT")), Ok(Some((Crc32c, false))));
        assert_eq!(of(Some("XXHASH3"), Some("COMPOSITE")), Ok(Some((Xxhash3, true))));
        let refused = Err(Code::InvalidRequest);
        assert_eq!(of(Some("SHA256"), Some("FULL_OBJECT")), refused);
        assert_eq!(of(Some("CRC64NVME"), Some("COMPOSITE")), refused);
        assert_eq!(of(None, Some("COMPOSITE")), refused);
        assert_eq!(of(Some("CRC32"), Some("HALF")), refused);
        assert_eq!(of(Some("MD4"), None), refused);
    }

    #[test]
    fn elements_name_their_algorithms() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(of_element(element(algorithm)), Some(algorithm));
            assert_eq!(element(algorithm), format!("Checksum{}", algorithm.name()));
        }
    }
}
