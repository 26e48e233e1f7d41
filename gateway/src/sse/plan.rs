//! The encryption headers of a request, and those of an answer.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use kms_core::context::EncryptionContext;
use kms_core::secret::Secret32;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{BucketEncryption, CustomerKey, DefaultAlgorithm, SseInfo, SsePlan};
use crate::config::SseCOverHttp;
use crate::http::header;

/// The pair that S3 adds to every encryption context.
pub(super) const S3_ARN: &str = "aws:s3:arn";
/// AWS's text for a customer key that is none.
pub const INVALID_KEY: &str = "The secret key was invalid for the specified algorithm.";
/// The longest context that is taken, in bytes of JSON; the headers of a request are bounded anyway.
const MAX_CONTEXT_LEN: usize = 8 * 1024;

/// Why the encryption headers of a request are refused, as AWS has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// 400 InvalidArgument, with the header's name.
    #[error("{message}")]
    InvalidArgument {
        /// AWS's text.
        message: &'static str,
        /// The header.
        name: HeaderName,
        /// What was given; empty for secrets.
        value: String,
    },
    /// 400 InvalidEncryptionAlgorithmError, with what was given.
    #[error("the customer algorithm is not AES256")]
    CustomerAlgorithm(String),
    /// A key whose MD5 is not told: of a write 400 InvalidArgument, of a read 403 AccessDenied.
    #[error("the customer key comes without its MD5")]
    CustomerMd5Missing,
    /// 400 InvalidRequest with this text.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// 403 AccessDenied: the bucket's configuration blocks SSE-C.
    #[error("the bucket blocks SSE-C")]
    CustomerKeysBlocked,
    /// 500: the bucket's default can't be read.
    #[error("the bucket's default encryption can't be read")]
    CorruptDefault,
}

/// Which three headers carry a caller's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerHeaders {
    /// Those of the object itself.
    Object,
    /// Those of the source of a copy.
    CopySource,
}

impl CustomerHeaders {
    fn names(self) -> [HeaderName; 3] {
        match self {
            Self::Object => [header::SSE_C_ALGORITHM, header::SSE_C_KEY, header::SSE_C_KEY_MD5],
            Self::CopySource => [
                header::COPY_SOURCE_SSE_C_ALGORITHM,
                header::COPY_SOURCE_SSE_C_KEY,
                header::COPY_SOURCE_SSE_C_KEY_MD5,
            ],
        }
    }
}

/// The caller's key of a request; `None` where none of its three headers is there. `channel`: is it TLS, who is the peer, and
/// what the setting says of plain HTTP.
pub fn customer_key(
    headers: &HeaderMap,
    which: CustomerHeaders,
    channel: (bool, IpAddr, SseCOverHttp),
) -> Result<Option<CustomerKey>, PlanError> {
    let [algorithm, secret, md5] = which.names();
    if ![&algorithm, &secret, &md5].iter().any(|name| headers.contains_key(*name)) {
        return Ok(None);
    }
    let (is_tls, peer, over_http) = channel;
    let may_pass = is_tls
        || match over_http {
            SseCOverHttp::Deny => false,
            SseCOverHttp::Loopback => peer.to_canonical().is_loopback(),
            SseCOverHttp::Allow => true,
        };
    if !may_pass {
        return Err(PlanError::InvalidRequest(
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.",
        ));
    }
    // Whichever of the three it is about, AWS names the header of the encryption.
    let refuse =
        |message| Err(PlanError::InvalidArgument { message, name: header::SSE, value: "null".to_owned() });
    match text(headers, &algorithm) {
        None => {
            return refuse(
                "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.",
            );
        }
        Some("AES256") => {}
        Some(other) => return Err(PlanError::CustomerAlgorithm(other.to_owned())),
    }
    let Some(given) = text(headers, &secret) else {
        return refuse(
            "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.",
        );
    };
    let Some(given_md5) = text(headers, &md5).filter(|md5| !md5.is_empty()) else {
        return Err(PlanError::CustomerMd5Missing);
    };
    let decoded = STANDARD.decode(given).map(Zeroizing::new);
    let Some(mut bytes) = decoded.ok().and_then(|d| <[u8; 32]>::try_from(&d[..]).ok()) else {
        return refuse(INVALID_KEY);
    };
    let digest = Md5::digest(bytes);
    let matches = STANDARD.decode(given_md5).is_ok_and(|claimed| claimed.ct_eq(&digest).into());
    if !matches {
        bytes.zeroize();
        return refuse("The calculated MD5 hash of the key did not match the hash that was provided.");
    }
    Ok(Some(CustomerKey { secret: Secret32::take(&mut bytes), md5_base64: given_md5.to_owned() }))
}

/// How a new object is to be encrypted: the request's headers over the bucket's default. `object_arn` is what `aws:s3:arn`
/// must be where the caller gives it.
pub fn plan(
    headers: &HeaderMap,
    default: Option<&BucketEncryption>,
    object_arn: &str,
    channel: (bool, IpAddr, SseCOverHttp),
) -> Result<SsePlan, PlanError> {
    let default = default.ok_or(PlanError::CorruptDefault)?;
    let algorithm = text(headers, &header::SSE);
    if let Some(customer) = customer_key(headers, CustomerHeaders::Object, channel)? {
        if let Some(algorithm) = algorithm {
            return Err(PlanError::InvalidArgument {
                message: "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
                name: header::SSE,
                value: algorithm.to_owned(),
            });
        }
        refuse_kms_headers(headers)?;
        if default.sse_c_blocked {
            return Err(PlanError::CustomerKeysBlocked);
        }
        return Ok(SsePlan::Customer(customer));
    }
    let algorithm = match algorithm {
        None => {
            refuse_kms_headers(headers)?;
            None
        }
        Some(name) => Some(DefaultAlgorithm::parse(name).ok_or_else(|| PlanError::InvalidArgument {
            message: "The encryption method specified is not supported",
            name: header::SSE,
            value: name.to_owned(),
        })?),
    };
    match algorithm.unwrap_or(default.algorithm) {
        DefaultAlgorithm::S3 => {
            refuse_kms_headers(headers)?;
            Ok(SsePlan::S3)
        }
        chosen => {
            let dsse = chosen == DefaultAlgorithm::KmsDsse;
            // A default's key and bucket key go with a default of KMS; a request that names KMS without a key takes them too.
            let default_is_kms = default.algorithm != DefaultAlgorithm::S3;
            let default_key_id = default.kms_key_id.clone().filter(|_| default_is_kms);
            let key_id = text(headers, &header::SSE_KMS_KEY_ID).map(str::to_owned).or(default_key_id);
            let bucket_key = bucket_key(headers)?.unwrap_or(default.bucket_key_enabled && default_is_kms);
            let context = context(headers, object_arn)?;
            Ok(SsePlan::Kms { key_id, context, bucket_key: bucket_key && !dsse, dsse })
        }
    }
}

/// The encryption headers of an answer.
pub fn response_headers(
    info: &SseInfo,
    customer_md5: Option<&str>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let fixed = |name, value| Some((name, HeaderValue::from_static(value)));
    let of = |name, value: &str| Some((name, HeaderValue::from_str(value).ok()?));
    let headers = match info {
        SseInfo::S3 => [fixed(header::SSE, DefaultAlgorithm::S3.name()), None, None, None],
        SseInfo::Kms { key_arn, context_base64, bucket_key, dsse } => {
            let algorithm = if *dsse { DefaultAlgorithm::KmsDsse } else { DefaultAlgorithm::Kms };
            [
                fixed(header::SSE, algorithm.name()),
                of(header::SSE_KMS_KEY_ID, key_arn),
                context_base64.as_deref().and_then(|context| of(header::SSE_CONTEXT, context)),
                bucket_key.then(|| fixed(header::SSE_BUCKET_KEY_ENABLED, "true")).flatten(),
            ]
        }
        SseInfo::Customer => {
            let md5 = customer_md5.and_then(|md5| of(header::SSE_C_KEY_MD5, md5));
            [fixed(header::SSE_C_ALGORITHM, "AES256"), md5, None, None]
        }
    };
    headers.into_iter().flatten()
}

/// Headers that say something of KMS need `aws:kms` beside them.
fn refuse_kms_headers(headers: &HeaderMap) -> Result<(), PlanError> {
    for (name, message) in [
        (
            header::SSE_KMS_KEY_ID,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        ),
        (
            header::SSE_CONTEXT,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        ),
    ] {
        if let Some(value) = text(headers, &name) {
            return Err(PlanError::InvalidArgument { message, value: value.to_owned(), name });
        }
    }
    // AWS takes the bucket-key header with any algorithm; it means nothing but for KMS.
    bucket_key(headers).map(|_| ())
}

fn bucket_key(headers: &HeaderMap) -> Result<Option<bool>, PlanError> {
    match text(headers, &header::SSE_BUCKET_KEY_ENABLED) {
        None => Ok(None),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(value) => Err(PlanError::InvalidArgument {
            message: "The value of the bucket key header must be true or false.",
            name: header::SSE_BUCKET_KEY_ENABLED,
            value: value.to_owned(),
        }),
    }
}

/// The caller's encryption context: base64 of a JSON object of strings.
fn context(headers: &HeaderMap, object_arn: &str) -> Result<EncryptionContext, PlanError> {
    let Some(given) = text(headers, &header::SSE_CONTEXT) else { return Ok(EncryptionContext::new()) };
    let malformed = || PlanError::InvalidArgument {
        message: "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map",
        name: header::SSE_CONTEXT,
        value: given.to_owned(),
    };
    let json = STANDARD.decode(given).map_err(|_| malformed())?;
    if json.len() > MAX_CONTEXT_LEN {
        return Err(malformed());
    }
    let context: EncryptionContext =
        serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&json)
            .map_err(|_| malformed())?
            .into_iter()
            .collect();
    // The gateway adds this pair itself; a caller may only say the same.
    match context.get(S3_ARN) {
        Some(arn) if arn != object_arn => Err(malformed()),
        _ => Ok(context),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    // A value that isn't ASCII is none that any of these headers can have.
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: (bool, IpAddr, SseCOverHttp) =
        (false, IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), SseCOverHttp::Loopback);

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| ((*n).clone(), HeaderValue::from_str(v).unwrap())).collect()
    }

    fn plan_of(pairs: &[(&HeaderName, &str)], default: &BucketEncryption) -> Result<SsePlan, PlanError> {
        plan(&headers(pairs), Some(default), "arn:aws:s3:::b/o", CHANNEL)
    }

    fn customer(secret: &[u8]) -> (String, String) {
        (STANDARD.encode(secret), STANDARD.encode(Md5::digest(secret)))
    }

    #[test]
    fn no_header_takes_the_default_and_the_default_of_defaults_is_s3() {
        assert!(matches!(plan_of(&[], &BucketEncryption::default()), Ok(SsePlan::S3)));
        let kms = BucketEncryption {
            algorithm: DefaultAlgorithm::Kms,
            kms_key_id: Some("k".to_owned()),
            bucket_key_enabled: true,
            sse_c_blocked: false,
        };
        for pairs in [vec![], vec![(&header::SSE, "aws:kms")]] {
            match plan_of(&pairs, &kms).unwrap() {
                SsePlan::Kms { key_id, bucket_key, dsse, .. } => {
                    assert_eq!((key_id.as_deref(), bucket_key, dsse), (Some("k"), true, false));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(plan_of(&[(&header::SSE, "AES256")], &kms), Ok(SsePlan::S3)));
        match plan_of(&[(&header::SSE, "aws:kms"), (&header::SSE_KMS_KEY_ID, "other")], &kms).unwrap() {
            SsePlan::Kms { key_id, .. } => assert_eq!(key_id.as_deref(), Some("other")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn customer_keys_are_taken_whole_or_refused_by_header() {
        let (secret, md5) = customer(&[5; 32]);
        let all = [
            (&header::SSE_C_ALGORITHM, "AES256"),
            (&header::SSE_C_KEY, &secret[..]),
            (&header::SSE_C_KEY_MD5, &md5[..]),
        ];
        assert!(matches!(plan_of(&all, &BucketEncryption::default()), Ok(SsePlan::Customer(_))));
        for missing in 0..3 {
            let mut some = all.to_vec();
            let (name, _) = some.remove(missing);
            let refused = plan_of(&some, &BucketEncryption::default()).unwrap_err();
            if *name == header::SSE_C_KEY_MD5 {
                assert_eq!(refused, PlanError::CustomerMd5Missing);
            } else {
                assert!(matches!(refused, PlanError::InvalidArgument { .. }), "{refused:?}");
            }
        }
        let (_, other_md5) = customer(&[6; 32]);
        let (short, _) = customer(&[5; 16]);
        for (at, value) in [(0, "AES128"), (1, &short), (2, &other_md5)] {
            let mut wrong = all;
            wrong[at].1 = value;
            assert!(plan_of(&wrong, &BucketEncryption::default()).is_err(), "{value}");
        }
        let both = [all[0], all[1], all[2], (&header::SSE, "AES256")];
        assert!(plan_of(&both, &BucketEncryption::default()).is_err());
        let blocked = BucketEncryption { sse_c_blocked: true, ..BucketEncryption::default() };
        assert_eq!(plan_of(&all, &blocked).unwrap_err(), PlanError::CustomerKeysBlocked);
    }

    #[test]
    fn customer_keys_pass_plain_http_only_as_the_setting_says() {
        let (secret, md5) = customer(&[5; 32]);
        let headers = headers(&[
            (&header::SSE_C_ALGORITHM, "AES256"),
            (&header::SSE_C_KEY, &secret),
            (&header::SSE_C_KEY_MD5, &md5),
        ]);
        let far: IpAddr = "192.0.2.7".parse().unwrap();
        let near: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        for (channel, passes) in [
            ((true, far, SseCOverHttp::Deny), true),
            ((false, far, SseCOverHttp::Loopback), false),
            ((false, near, SseCOverHttp::Loopback), true),
            ((false, near, SseCOverHttp::Deny), false),
            ((false, far, SseCOverHttp::Allow), true),
        ] {
            let taken = customer_key(&headers, CustomerHeaders::Object, channel);
            assert_eq!(taken.is_ok(), passes, "{channel:?}");
        }
    }

    #[test]
    fn what_speaks_of_kms_needs_kms() {
        let default = BucketEncryption::default();
        for pairs in [
            vec![(&header::SSE_KMS_KEY_ID, "k")],
            vec![(&header::SSE, "AES256"), (&header::SSE_KMS_KEY_ID, "k")],
            vec![(&header::SSE, "AES256"), (&header::SSE_CONTEXT, "e30=")],
            vec![(&header::SSE, "aws:kms"), (&header::SSE_CONTEXT, "not base64!")],
            vec![(&header::SSE, "aws:kms"), (&header::SSE_CONTEXT, "WzFd")],
            vec![(&header::SSE, "aws:kms"), (&header::SSE_BUCKET_KEY_ENABLED, "perhaps")],
            vec![(&header::SSE, "rot13")],
        ] {
            assert!(matches!(plan_of(&pairs, &default), Err(PlanError::InvalidArgument { .. })), "{pairs:?}");
        }
        let given = STANDARD.encode(r#"{"dept":"it","aws:s3:arn":"arn:aws:s3:::b/o"}"#);
        match plan_of(&[(&header::SSE, "aws:kms"), (&header::SSE_CONTEXT, &given)], &default).unwrap() {
            SsePlan::Kms { context, .. } => assert_eq!(context.get("dept"), Some("it")),
            other => panic!("{other:?}"),
        }
        let foreign = STANDARD.encode(r#"{"aws:s3:arn":"arn:aws:s3:::b/other"}"#);
        assert!(plan_of(&[(&header::SSE, "aws:kms"), (&header::SSE_CONTEXT, &foreign)], &default).is_err());
    }
}
