//! Authentication against AWS's documented examples and against AWS's own signer.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::Request;
use proptest::prelude::*;

use super::*;
use crate::iam::{IamOptions, Principal, Session, SessionOf};
use kms_core::secret::Secret32;
use storage::catalog::Catalog;
use storage::kv::memory::MemoryKv;

const AKID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z, the time of AWS's examples.
const NOW_S: u64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What requests are checked against.
struct Known {
    iam: Iam,
    failures: Failures,
}

impl Known {
    fn keys(&self) -> Keys<'_> {
        Keys { iam: &self.iam, failures: &self.failures, counts_unknown: true }
    }
}

fn known() -> Known {
    let catalog = Catalog::new(std::sync::Arc::new(MemoryKv::new()));
    let options = IamOptions { main: "111122223333".to_owned(), ..IamOptions::default() };
    let root = (AKID.to_owned(), Zeroizing::new(SECRET.to_owned()));
    let iam = Iam::empty(catalog, &Secret32::random(), options, root).unwrap();
    Known { iam, failures: Failures::new(0) }
}

fn at(now_s: u64) -> Expected<'static> {
    let source = std::net::Ipv4Addr::LOCALHOST.into();
    Expected { region: "us-east-1", service: "s3", now_unix_ms: now_s * 1000, source }
}

fn check_at(request: &Request<()>, now_s: u64) -> Result<Authenticated, AuthError> {
    authenticate(&request.clone().into_parts().0, known().keys(), at(now_s))
}

fn check(request: &Request<()>) -> Result<Authenticated, AuthError> {
    check_at(request, NOW_S)
}

/// How the oracle signs.
struct Signing {
    akid: &'static str,
    secret: &'static str,
    region: &'static str,
    service: &'static str,
    at_s: u64,
    payload: String,
    expires_s: Option<u64>,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            akid: AKID,
            secret: SECRET,
            region: "us-east-1",
            service: "s3",
            at_s: NOW_S,
            payload: EMPTY.into(),
            expires_s: None,
        }
    }
}

impl Signing {
    fn presigned() -> Self {
        Self { payload: UNSIGNED_PAYLOAD.into(), expires_s: Some(86400), ..Self::default() }
    }

    fn sign(&self, mut request: Request<()>) -> Request<()> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.excluded_headers = None;
        if self.expires_s.is_some() {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = self.expires_s.map(Duration::from_secs);
        } else {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = Credentials::new(self.akid, self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(UNIX_EPOCH + Duration::from_secs(self.at_s))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let instructions = {
            let headers = request
                .headers()
                .iter()
                .map(|(n, v)| (n.as_str(), std::str::from_utf8(v.as_bytes()).unwrap()));
            let body = SignableBody::Precomputed(self.payload.clone());
            let signable =
                SignableRequest::new(request.method().as_str(), request.uri().to_string(), headers, body)
                    .unwrap();
            sign(signable, &params).unwrap().into_parts().0
        };
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).header("host", "examplebucket.s3.amazonaws.com").body(()).unwrap()
}

fn signed(uri: &str) -> Request<()> {
    Signing::default().sign(get(uri))
}

fn set(mut request: Request<()>, name: &'static str, value: &str) -> Request<()> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn with_authorization(edit: impl Fn(&str) -> String) -> Request<()> {
    let request = signed("https://examplebucket.s3.amazonaws.com/test.txt");
    let authorization = edit(request.headers()["authorization"].to_str().unwrap());
    set(request, "authorization", &authorization)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
#[test]
fn documented_header_examples() {
    let put_sha256 = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    for (method, uri, headers, sha256, signed_headers, signature) in [
        (
            "GET",
            "/test.txt",
            vec![("range", "bytes=0-9"), ("x-amz-date", "20130524T000000Z")],
            EMPTY,
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            vec![
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            put_sha256,
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            vec![("x-amz-date", "20130524T000000Z")],
            EMPTY,
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            vec![("x-amz-date", "20130524T000000Z")],
            EMPTY,
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        for separator in [", ", ","] {
            let mut request = get(uri);
            *request.method_mut() = method.parse().unwrap();
            for (name, value) in &headers {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let authorization = [
                format!("AWS4-HMAC-SHA256 Credential={AKID}/20130524/us-east-1/s3/aws4_request"),
                format!("SignedHeaders={signed_headers}"),
                format!("Signature={signature}"),
            ]
            .join(separator);
            let request = set(set(request, "x-amz-content-sha256", sha256), "authorization", &authorization);
            let authenticated = check(&request).unwrap();
            assert_eq!(authenticated.identity.arn(), "arn:aws:iam::111122223333:root");
            let PayloadAuth::Sha256(payload) = authenticated.payload else { panic!("another payload") };
            assert_eq!(hex::encode(payload), sha256);
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
#[test]
fn documented_presigned_example() {
    let request = get(
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
    assert!(matches!(check(&request).unwrap().payload, PayloadAuth::Unsigned));
    assert!(check_at(&request, NOW_S + 86400).is_ok());
    assert_eq!(
        check_at(&request, NOW_S + 86401).unwrap_err(),
        AuthError::Expired {
            expires_s: Some(86400),
            expired_at: "2013-05-25T00:00:00Z".into(),
            server_time: "2013-05-25T00:00:01Z".into()
        }
    );
    assert_eq!(
        check_at(&request, NOW_S - 901).unwrap_err(),
        AuthError::AccessDenied("Request is not valid yet")
    );
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
#[test]
fn documented_streaming_seed() {
    let mut request =
        Request::put("/examplebucket/chunkObject.txt").header("host", "s3.amazonaws.com").body(()).unwrap();
    for (name, value) in [
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let PayloadAuth::StreamingSigned { mut signer, trailer: false } = check(&request).unwrap().payload else {
        panic!("another payload")
    };
    assert_eq!(signer.scope, "20130524/us-east-1/s3/aws4_request");
    let first = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";
    let sha256: [u8; 32] = sha2::Sha256::digest(vec![b'a'; 65536]).into();
    assert!(!signer.verify_chunk(&[0; 32], first));
    assert!(signer.verify_chunk(&sha256, first));
    assert_eq!(signer.previous_signature, first);
}

#[test]
fn anonymous() {
    let authenticated = check(&get("/b/k?prefix=x")).unwrap();
    assert_eq!(authenticated.identity.principal, Principal::Anonymous);
    let request = set(get("/b/k"), "x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert!(matches!(check(&request).unwrap().payload, PayloadAuth::StreamingUnsignedTrailer));
    let request = set(get("/b/k"), "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    assert!(matches!(check(&request), Err(AuthError::InvalidRequest(_))));
}

#[test]
fn the_authority_stands_for_a_missing_host() {
    let mut request = signed("https://examplebucket.s3.amazonaws.com/test.txt");
    request.headers_mut().remove("host");
    *request.version_mut() = http::Version::HTTP_2;
    assert!(check(&request).is_ok());
    *request.uri_mut() = "https://other.s3.amazonaws.com/test.txt".parse().unwrap();
    assert!(matches!(check(&request), Err(AuthError::SignatureDoesNotMatch { .. })));
}

#[test]
fn every_part_of_a_request_is_signed() {
    let uri = "https://examplebucket.s3.amazonaws.com/a/b?prefix=x";
    for signing in [Signing::default(), Signing::presigned()] {
        let original = signing.sign(set(get(uri), "x-amz-meta-a", "1"));
        assert!(check(&original).is_ok());
        let refused = |edit: &dyn Fn(&mut Request<()>)| {
            let mut request = original.clone();
            edit(&mut request);
            let error = check(&request).unwrap_err();
            assert!(matches!(error, AuthError::SignatureDoesNotMatch { .. }), "{error:?}");
        };
        let uri_edit = |from: &str, to: &str| {
            refused(&|r| *r.uri_mut() = r.uri().to_string().replacen(from, to, 1).parse().unwrap());
        };
        refused(&|r| *r.method_mut() = http::Method::PUT);
        refused(&|r| drop(r.headers_mut().insert("x-amz-meta-a", "2".parse().unwrap())));
        refused(&|r| assert!(r.headers_mut().append("x-amz-meta-a", "2".parse().unwrap())));
        refused(&|r| drop(r.headers_mut().remove("x-amz-meta-a")));
        refused(&|r| drop(r.headers_mut().insert("host", "other".parse().unwrap())));
        uri_edit("/a/b", "/a//b");
        uri_edit("prefix=x", "prefix=y");
        uri_edit("prefix=x", "prefix=x&uploads");
        uri_edit("prefix=x", "");
    }
}

#[test]
fn a_mismatch_tells_what_was_signed() {
    let original = signed("https://examplebucket.s3.amazonaws.com/test.txt");
    let request = with_authorization(|a| format!("{}{}", &a[..a.len() - 64], "0".repeat(64)));
    let Err(AuthError::SignatureDoesNotMatch {
        access_key_id,
        string_to_sign,
        signature_provided,
        canonical_request,
    }) = check(&request)
    else {
        panic!("accepted")
    };
    assert_eq!(access_key_id, AKID);
    assert_eq!(signature_provided, "0".repeat(64));
    assert!(canonical_request.starts_with("GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"));
    let hash = hex::encode(sha2::Sha256::digest(&canonical_request));
    assert_eq!(
        string_to_sign,
        format!("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{hash}")
    );
    // The text that was handed out, signed with the secret, is what the client should have sent.
    let (date, region, service) = ("20130524", "us-east-1", "s3");
    let scope = crate::iam::Scope { date, region, service, now_unix_ms: NOW_S * 1000 };
    let (_, signing_key) = known().iam.signing_key(AKID, None, scope).unwrap();
    let signature = hex::encode(sigv4::hmac_sha256(&signing_key[..], string_to_sign.as_bytes()));
    assert!(original.headers()["authorization"].to_str().unwrap().ends_with(&signature));
}

#[test]
fn wrong_keys() {
    let uri = "https://examplebucket.s3.amazonaws.com/";
    let request = Signing { akid: "AKIAOTHER", ..Default::default() }.sign(get(uri));
    assert_eq!(
        check(&request).unwrap_err(),
        AuthError::InvalidAccessKeyId { access_key_id: "AKIAOTHER".into() }
    );
    let request = Signing { secret: "other", ..Default::default() }.sign(get(uri));
    assert!(matches!(check(&request), Err(AuthError::SignatureDoesNotMatch { .. })));
}

#[test]
fn clocks() {
    let request = signed("https://examplebucket.s3.amazonaws.com/");
    for now_s in [NOW_S - 900, NOW_S + 900] {
        assert!(check_at(&request, now_s).is_ok());
    }
    for (now_s, server_time) in [(NOW_S - 901, "2013-05-23T23:44:59Z"), (NOW_S + 901, "2013-05-24T00:15:01Z")]
    {
        assert_eq!(
            check_at(&request, now_s).unwrap_err(),
            AuthError::RequestTimeTooSkewed {
                request_time: "20130524T000000Z".into(),
                server_time: server_time.into()
            }
        );
    }
    for (name, value) in
        [("x-amz-date", "2013-05-24"), ("x-amz-date", "20131324T000000Z"), ("x-amz-date", "20130524t000000Z")]
    {
        assert!(matches!(check(&set(request.clone(), name, value)), Err(AuthError::AccessDenied(_))));
    }
    let mut request = request;
    request.headers_mut().remove("x-amz-date");
    assert!(matches!(check(&request), Err(AuthError::AccessDenied(_))));
}

/// A `Date` header in place of `x-amz-date`, which AWS's signer cannot do.
#[test]
fn date_in_place_of_x_amz_date() {
    for date in ["Fri, 24 May 2013 00:00:00 GMT", "20130524T000000Z"] {
        let canonical = format!(
            "GET\n/\n\ndate:{date}\nhost:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:{EMPTY}\n\ndate;host;x-amz-content-sha256\n{EMPTY}"
        );
        let hash = hex::encode(sha2::Sha256::digest(canonical));
        let to_sign =
            format!("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{hash}");
        let time = UNIX_EPOCH + Duration::from_secs(NOW_S);
        let signing_key = v4::generate_signing_key(SECRET, time, "us-east-1", "s3");
        let signature = v4::calculate_signature(signing_key, to_sign.as_bytes());
        let request = set(set(get("/"), "date", date), "x-amz-content-sha256", EMPTY);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={AKID}/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;date,Signature={signature}"
        );
        assert!(check(&set(request, "authorization", &authorization)).is_ok());
    }
}

#[test]
fn scopes() {
    let uri = "https://examplebucket.s3.amazonaws.com/";
    let message = |signing: Signing| match check(&signing.sign(get(uri))).unwrap_err() {
        AuthError::AuthorizationHeaderMalformed { message, region } => (message, region),
        AuthError::QueryParametersError(message) => (message, None),
        error => panic!("{error:?}"),
    };
    assert_eq!(
        message(Signing { region: "eu-west-1", ..Default::default() }),
        (
            "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
                .into(),
            Some("us-east-1".into())
        )
    );
    assert_eq!(
        message(Signing { service: "ec2", ..Default::default() }).0,
        "The authorization header is malformed; incorrect service \"ec2\". This endpoint belongs to \"s3\"."
    );
    assert_eq!(
        message(Signing { region: "eu-west-1", ..Signing::presigned() }).0,
        "Error parsing the X-Amz-Credential parameter; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
    );
    for (from, to, expected) in [
        (
            "aws4_request",
            "aws4_reques",
            "incorrect terminal \"aws4_reques\". This endpoint uses \"aws4_request\".",
        ),
        (
            "/20130524/",
            "/20130525/",
            "Invalid credential date \"20130525\". This date is not the same as X-Amz-Date: \"20130524\".",
        ),
        (
            "/20130524/",
            "/2013/",
            "incorrect date format \"2013\". This date in the credential must be in the format \"yyyyMMdd\".",
        ),
        (AKID, "", "a non-empty Access Key (AKID) must be provided in the credential."),
        (
            "/us-east-1/s3",
            "",
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ),
        ("Signature=", "Sig=", "the authorization component \"Sig="),
        ("SignedHeaders=", "SignedHeaders=;", "the authorization component \"SignedHeaders\" is malformed."),
        ("Credential=", "Credential=a, Credential=", "the authorization component \"Credential="),
    ] {
        let Err(AuthError::AuthorizationHeaderMalformed { message, region: None }) =
            check(&with_authorization(|a| a.replacen(from, to, 1)))
        else {
            panic!("{expected}")
        };
        assert!(
            message.starts_with(&format!("The authorization header is malformed; {expected}")),
            "{message}"
        );
    }
    let request = with_authorization(|a| a.split(", Signature").next().unwrap().to_owned());
    let Err(AuthError::AuthorizationHeaderMalformed { message, .. }) = check(&request) else {
        panic!("accepted")
    };
    assert!(message.contains("requires three components"), "{message}");
}

#[test]
fn other_mechanisms() {
    let header = |value: &str| check(&set(get("/"), "authorization", value)).unwrap_err();
    assert_eq!(header("AWS AKID:signature"), AuthError::InvalidRequest(sigv4::V2_TEXT));
    assert_eq!(header("AWS4-ECDSA-P256-SHA256 Credential=a"), AuthError::NotImplemented(sigv4::V4A_TEXT));
    for value in ["Basic abc", "", "aws4-hmac-sha256 Credential=a"] {
        let expected = AuthError::InvalidArgument {
            message: "Unsupported Authorization Type",
            name: "Authorization",
            value: value.into(),
        };
        assert_eq!(header(value), expected);
    }
    let v2 = check(&get("/?AWSAccessKeyId=a&Expires=1&Signature=b")).unwrap_err();
    assert_eq!(v2, AuthError::InvalidRequest(sigv4::V2_TEXT));
    // An object's own query parameter of that name is no credential.
    assert!(check(&get("/?Signature=b")).is_ok());
}

#[test]
fn only_one_mechanism() {
    let presigned = Signing::presigned().sign(get("https://examplebucket.s3.amazonaws.com/"));
    let both = set(presigned, "authorization", "AWS4-HMAC-SHA256 Credential=a");
    assert!(matches!(check(&both), Err(AuthError::InvalidArgument { name: "Authorization", .. })));
    let mut twice = signed("https://examplebucket.s3.amazonaws.com/");
    let authorization = twice.headers()["authorization"].clone();
    twice.headers_mut().append("authorization", authorization);
    assert!(matches!(check(&twice), Err(AuthError::InvalidArgument { .. })));
}

#[test]
fn foreign_session_tokens_are_refused() {
    // Added on the way: it has to be signed.
    let request = set(signed("https://examplebucket.s3.amazonaws.com/"), "x-amz-security-token", "t");
    assert!(matches!(check(&request), Err(AuthError::HeadersNotSigned { .. })));
    let request = set(get("https://examplebucket.s3.amazonaws.com/"), "x-amz-security-token", "t");
    assert_eq!(check(&Signing::default().sign(request)).unwrap_err(), AuthError::InvalidToken);
    let request = get("https://examplebucket.s3.amazonaws.com/?X-Amz-Security-Token=t");
    assert_eq!(check(&Signing::presigned().sign(request)).unwrap_err(), AuthError::InvalidToken);
}

/// The signing key of nobody's, by which an unknown access key is judged, lets nobody in.
#[test]
fn an_unknown_access_key_signs_nothing() {
    let signing = Signing { akid: "AKIAUNKNOWN", secret: "", ..Signing::default() };
    let request = signing.sign(get("https://examplebucket.s3.amazonaws.com/"));
    assert!(matches!(check(&request), Err(AuthError::InvalidAccessKeyId { .. })));
}

#[test]
fn headers_that_must_be_signed() {
    let request = set(signed("https://examplebucket.s3.amazonaws.com/"), "x-amz-acl", "public-read");
    let request = set(request, "x-amz-meta-a", "b");
    assert_eq!(
        check(&request).unwrap_err(),
        AuthError::HeadersNotSigned { headers: "x-amz-acl, x-amz-meta-a".into() }
    );
    let request = set(
        Signing::presigned().sign(get("https://examplebucket.s3.amazonaws.com/")),
        "x-amz-acl",
        "private",
    );
    assert_eq!(check(&request).unwrap_err(), AuthError::HeadersNotSigned { headers: "x-amz-acl".into() });
    let request = with_authorization(|a| a.replacen("SignedHeaders=host;", "SignedHeaders=", 1));
    assert_eq!(check(&request).unwrap_err(), AuthError::HeadersNotSigned { headers: "host".into() });
    // What the body is may be said unsigned where the URL does not say it, and then it is held against it.
    let url = "https://examplebucket.s3.amazonaws.com/";
    let presigned = |url: &str| Signing::presigned().sign(get(url));
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let with_hash = check(&set(presigned(url), "x-amz-content-sha256", hash)).unwrap();
    assert!(matches!(with_hash.payload, PayloadAuth::Sha256(_)));
    assert!(check(&set(presigned(url), "x-amz-content-sha256", UNSIGNED_PAYLOAD)).is_ok());
    let fixed = Signing { payload: hash.into(), ..Signing::presigned() };
    let lower = fixed.sign(get(&format!("{url}?x-amz-content-sha256={hash}")));
    assert!(matches!(check(&lower).unwrap().payload, PayloadAuth::Sha256(_)));
    let fixed = fixed.sign(get(&format!("{url}?X-Amz-Content-Sha256={hash}")));
    assert!(matches!(check(&fixed).unwrap().payload, PayloadAuth::Sha256(_)));
    assert_eq!(
        check(&set(fixed, "x-amz-content-sha256", UNSIGNED_PAYLOAD)).unwrap_err(),
        AuthError::HeadersNotSigned { headers: "x-amz-content-sha256".into() }
    );
    // Other headers may come unsigned.
    assert!(check(&set(signed("https://examplebucket.s3.amazonaws.com/"), "user-agent", "x")).is_ok());
}

#[test]
fn payload_hashes() {
    let uri = "https://examplebucket.s3.amazonaws.com/";
    let check =
        |payload: &str| check(&Signing { payload: payload.into(), ..Default::default() }.sign(get(uri)));
    assert!(matches!(check(UNSIGNED_PAYLOAD).unwrap().payload, PayloadAuth::Unsigned));
    assert!(matches!(
        check("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER").unwrap().payload,
        PayloadAuth::StreamingSigned { trailer: true, .. }
    ));
    assert!(matches!(
        check("STREAMING-UNSIGNED-PAYLOAD-TRAILER").unwrap().payload,
        PayloadAuth::StreamingUnsignedTrailer
    ));
    assert!(matches!(check("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), Err(AuthError::NotImplemented(_))));
    for wrong in ["", "abc", "required", &EMPTY[1..]] {
        assert!(matches!(check(wrong), Err(AuthError::InvalidArgument { name: "x-amz-content-sha256", .. })));
    }
    let mut request = signed(uri);
    request.headers_mut().remove("x-amz-content-sha256");
    assert_eq!(
        super::tests::check(&request).unwrap_err(),
        AuthError::InvalidRequest("Missing required header for this request: x-amz-content-sha256")
    );
}

#[test]
fn presigned_parameters() {
    let presigned =
        Signing::presigned().sign(get("https://examplebucket.s3.amazonaws.com/a")).uri().to_string();
    let refused = |from: &str, to: &str| match check(&get(&presigned.replacen(from, to, 1))).unwrap_err() {
        AuthError::QueryParametersError(message) => message,
        error => panic!("{error:?}"),
    };
    for name in ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"] {
        let message = refused(&format!("X-Amz-{name}="), "other=");
        assert!(message.starts_with("Query-string authentication version 4 requires"), "{message}");
    }
    for (to, expected) in [
        ("604801", "X-Amz-Expires must be less than a week"),
        ("99999999999999999999999", "X-Amz-Expires must be less than a week"),
        ("-1", "X-Amz-Expires must be non-negative"),
        ("1d", "X-Amz-Expires should be a number"),
        ("", "X-Amz-Expires should be a number"),
    ] {
        assert!(refused("Expires=86400", &format!("Expires={to}")).starts_with(expected), "{to}");
    }
    assert!(refused("Date=2013", "Date=13").starts_with("X-Amz-Date must be in the ISO8601 Long Format"));
    assert!(refused("AWS4-HMAC-SHA256", "AWS4").starts_with("X-Amz-Algorithm only supports"));
}

#[test]
fn bodies_at_hand() {
    let expected = Expected { service: "kms", ..at(NOW_S) };
    let payload = hex::encode(sha2::Sha256::digest(b"{}"));
    let mut request = Request::post("https://kms/")
        .header("host", "kms")
        .header("x-amz-target", "TrentService.CreateKey")
        .body(())
        .unwrap();
    request = Signing { service: "kms", payload, ..Default::default() }.sign(request);
    let parts = request.into_parts().0;
    let identity = authenticate_body(&parts, b"{}", known().keys(), expected).unwrap();
    assert_eq!(identity.arn(), "arn:aws:iam::111122223333:root");
    let error = authenticate_body(&parts, b"{ }", known().keys(), expected).unwrap_err();
    assert!(matches!(error, AuthError::SignatureDoesNotMatch { .. }));
    assert!(authenticate_body(&parts, b"{}", known().keys(), at(NOW_S)).is_err());
}

const RESERVED: percent_encoding::AsciiSet =
    percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names and values as clients encode them: what AWS's signer and we must agree on.
fn encoded() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..8).prop_map(|text| {
        let text: String = text.iter().collect();
        percent_encoding::utf8_percent_encode(&text, &RESERVED).to_string()
    })
}

proptest! {
    #[test]
    fn agrees_with_the_oracle(
        path in proptest::collection::vec(encoded(), 0..5),
        query in proptest::collection::vec((encoded(), proptest::option::of(encoded())), 0..6),
        headers in proptest::collection::vec(("[a-z][a-z-]{0,8}", "[ -~é]{0,20}"), 0..6),
        expires_s in proptest::option::of(1..604800u64),
    ) {
        let query: Vec<String> = query.into_iter().filter(|(name, _)| !name.is_empty()).map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        }).collect();
        let uri = format!("https://examplebucket.s3.amazonaws.com/{}?{}", path.join("/"), query.join("&"));
        let mut request = get(uri.trim_end_matches('?'));
        for (name, value) in headers {
            let name = format!("x-{name}");
            if !name.starts_with("x-amz") {
                request.headers_mut().append(http::HeaderName::try_from(name).unwrap(), http::HeaderValue::from_str(value.trim()).unwrap());
            }
        }
        let signing = Signing {
            expires_s,
            payload: if expires_s.is_some() { UNSIGNED_PAYLOAD.into() } else { EMPTY.into() },
            ..Default::default()
        };
        let request = signing.sign(request);
        if let Err(error) = check(&request) {
            prop_assert!(false, "{error:#?}");
        }
    }

    #[test]
    fn arbitrary_headers_do_not_panic(authorization in "[ -~]{0,200}", query in "[!-~]{0,100}") {
        let mut request = get("/");
        if let Ok(uri) = format!("/?X-Amz-Signature=1&{query}").parse() {
            *request.uri_mut() = uri;
        }
        let _ = check(&request);
        let _ = check(&set(request.clone(), "authorization", &authorization));
        let _ = check(&set(get("/"), "authorization", &format!("AWS4-HMAC-SHA256 {authorization}")));
    }
}

/// A session's token is its own proof: it is taken until it ends, with its own access key alone, and from its own gateway alone.
#[tokio::test]
async fn sessions() {
    let known = known();
    let session = |id: &str, expires_unix_s| Session {
        access_key_id: id.to_owned(),
        secret_access_key: Zeroizing::new(SECRET.to_owned()),
        account: "111122223333".to_owned(),
        of: SessionOf::User { id: None },
        issued_unix_s: NOW_S - 900,
        expires_unix_s,
        policies: None,
        tags: Vec::new(),
        transitive: Vec::new(),
        source_identity: None,
        claims: Default::default(),
    };
    let sign = |known: &Known, session: &Session| {
        let request = get("https://examplebucket.s3.amazonaws.com/");
        let request = set(request, "x-amz-security-token", &known.iam.seal_session(session));
        let signing = Signing { akid: "ASIATEMPORARY", ..Signing::default() };
        signing.sign(request).into_parts().0
    };
    let good = session("ASIATEMPORARY", NOW_S + 1);
    let taken = authenticate(&sign(&known, &good), known.keys(), at(NOW_S)).unwrap();
    assert_eq!(taken.identity.principal, Principal::Root);
    assert!(taken.identity.session.is_some());
    let refused = |parts: &Parts, now_s| authenticate(parts, known.keys(), at(now_s)).unwrap_err();
    assert_eq!(refused(&sign(&known, &good), NOW_S + 1), AuthError::ExpiredToken);
    assert_eq!(refused(&sign(&known, &session("ASIAOTHER", NOW_S + 1)), NOW_S), AuthError::InvalidToken);
    let foreign = self::known();
    assert_eq!(refused(&sign(&foreign, &good), NOW_S), AuthError::InvalidToken);
    let mut gone = good.clone();
    gone.of = SessionOf::User { id: Some("AIDAGONE".to_owned()) };
    assert!(matches!(refused(&sign(&known, &gone), NOW_S), AuthError::InvalidAccessKeyId { .. }));
}
