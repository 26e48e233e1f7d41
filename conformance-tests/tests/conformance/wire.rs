//! What SDKs can't say, byte by byte: every checksum in every place, signed chunks and tampered ones, presigned URLs.

use std::io::{Read, Write};
use std::net::TcpStream;

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use conformance_tests::signer::{Signer, in_minutes};
use http::Request;

/// Its checksums were computed by hashlib, zlib, awscrt and xxhash of Python.
const BODY: &[u8] = b"The quick brown fox jumps over the lazy dog";
const CHECKSUMS: [(&str, &str); 10] = [
    ("crc32", "QU+jOQ=="),
    ("crc32c", "ImIEBA=="),
    ("crc64nvme", "12xUBUlUwUM="),
    ("sha1", "L9ThxnotKPzthJ7hu3bnORuT6xI="),
    ("sha256", "16j7swfXgJRpypq8sAguT41WUeRtPNt2LQLQvzfJ5ZI="),
    ("sha512", "B+VH2VhvanP3P7rAQ17XaVEhj7fQyNeIownXhUNru2Quk6JSqVTyORJUfR6KO17W4b/XCXghIz+gU489uFT+5g=="),
    ("md5", "nhB9nTcrtoJr2B01QqQZ1g=="),
    ("xxhash64", "CyQtNh/acbw="),
    ("xxhash3", "zn0ZpUGPs2U="),
    ("xxhash128", "3dZQIFyj5/okocwuOop2UQ=="),
];

struct Wire {
    server: Server,
    host: String,
    signer: Signer,
}

struct Answer {
    status: u16,
    /// With names in lower case.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }

    #[track_caller]
    fn refuses(&self, status: u16, code: &str) {
        let text = self.text();
        assert!(self.status == status && text.contains(&format!("<Code>{code}</Code>")), "{code}: {text}");
    }
}

impl Wire {
    fn start() -> Self {
        let server = Server::start().unwrap();
        let host = server.endpoint.strip_prefix("http://").unwrap().to_owned();
        let wire = Self { server, host, signer: Signer::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY) };
        assert_eq!(wire.signed(wire.request("PUT", "/wire", &[]), b"").status, 200);
        wire
    }

    fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(target).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn signed(&self, mut request: Request<()>, body: &[u8]) -> Answer {
        self.signer.sign(&mut request);
        self.send(&request, body)
    }

    fn send(&self, request: &Request<()>, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method(), request.uri());
        head += &format!("content-length: {}\r\n", body.len());
        for (name, value) in request.headers() {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A refusal may come before all is sent.
        let _ = stream.write_all(body);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer") + 4;
        let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: all.split_off(end) }
    }

    /// A PUT whose body is aws-chunked, signed or not, with a trailer or without, changed by `tamper` at the end.
    fn put_chunked(
        &self,
        key: &str,
        payload: &str,
        trailers: &[(&str, &str)],
        tamper: impl FnOnce(&mut Vec<u8>),
    ) -> Answer {
        let decoded = BODY.len().to_string();
        let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
        let names = names.join(",");
        let mut headers =
            vec![("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", &*decoded)];
        if !trailers.is_empty() {
            headers.push(("x-amz-trailer", &names));
        }
        let mut request = self.request("PUT", &format!("/wire/{key}"), &headers);
        let seed = self.signer.sign_as(&mut request, payload);
        let chunks = [&BODY[..20], &BODY[20..]];
        let mut body = if payload.starts_with("STREAMING-AWS4") {
            self.signer.chunked(&seed, &chunks, trailers)
        } else {
            let mut body = Vec::new();
            for chunk in chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(&[chunk, b"\r\n"].concat());
            }
            body.extend_from_slice(b"0\r\n");
            for (name, value) in trailers {
                body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
            body
        };
        tamper(&mut body);
        self.send(&request, &body)
    }

    #[track_caller]
    fn holds(&self, key: &str, checksum: Option<(&str, &str)>) {
        let request = self.request("GET", &format!("/wire/{key}"), &[("x-amz-checksum-mode", "ENABLED")]);
        let found = self.signed(request, b"");
        assert_eq!((found.status, &found.body[..]), (200, BODY), "{key}: {}", found.text());
        if let Some((algorithm, value)) = checksum {
            let line = format!("x-amz-checksum-{algorithm}: {}\r\n", value.to_ascii_lowercase());
            assert!(found.head.contains(&line), "{line}: {}", found.head);
            assert!(found.head.contains("x-amz-checksum-type: full_object\r\n"), "{}", found.head);
        }
    }

    #[track_caller]
    fn lacks(&self, key: &str) {
        let found = self.signed(self.request("GET", &format!("/wire/{key}"), &[]), b"");
        found.refuses(404, "NoSuchKey");
    }
}

/// The same length, another value.
fn wrong(value: &str) -> String {
    let mut bytes = value.as_bytes().to_vec();
    bytes[0] = if bytes[0] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

#[test]
fn all_ten_checksums_in_headers_and_trailers() {
    let wire = Wire::start();
    for (algorithm, value) in CHECKSUMS {
        let (name, bad) = (format!("x-amz-checksum-{algorithm}"), wrong(value));
        let put = |key: &str, value: &str| {
            wire.signed(wire.request("PUT", &format!("/wire/{key}"), &[(&name, value)]), BODY)
        };
        let key = format!("header-{algorithm}");
        let answer = put(&key, value);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.text().to_ascii_lowercase().contains(&format!("{name}: {}", value.to_ascii_lowercase()))
        );
        wire.holds(&key, Some((algorithm, value)));
        put("bad", &bad).refuses(400, "BadDigest");
        wire.lacks("bad");
        put("bad", "AAAA").refuses(400, "InvalidRequest");
        for payload in [SIGNED_TRAILER, UNSIGNED_TRAILER] {
            let key = format!("{payload}-{algorithm}");
            let answer = wire.put_chunked(&key, payload, &[(&name, value)], |_| {});
            assert_eq!(answer.status, 200, "{}", answer.text());
            wire.holds(&key, Some((algorithm, value)));
            wire.put_chunked("bad", payload, &[(&name, &bad)], |_| {}).refuses(400, "BadDigest");
            wire.lacks("bad");
        }
    }
    let md5 = |value: &str| wire.signed(wire.request("PUT", "/wire/md5", &[("content-md5", value)]), BODY);
    md5(&wrong(CHECKSUMS[6].1)).refuses(400, "BadDigest");
    md5("AAAA").refuses(400, "InvalidDigest");
    wire.lacks("md5");
    assert_eq!(md5(CHECKSUMS[6].1).status, 200);
    wire.holds("md5", None);
}

#[test]
fn every_byte_of_a_signed_chunk_counts() {
    let wire = Wire::start();
    let crc = [("x-amz-checksum-crc32", CHECKSUMS[0].1)];
    let position = |body: &[u8], of: &[u8]| body.windows(of.len()).position(|w| w == of).unwrap();
    assert_eq!(wire.put_chunked("signed", SIGNED, &[], |_| {}).status, 200);
    wire.holds("signed", None);
    let refused = |payload: &str, trailers: &[(&str, &str)], tamper: &dyn Fn(&mut Vec<u8>), code: &str| {
        let status = if code == "SignatureDoesNotMatch" { 403 } else { 400 };
        wire.put_chunked("bad", payload, trailers, tamper).refuses(status, code);
        wire.lacks("bad");
    };
    for of in [&b"quick"[..], b"lazy"] {
        let flip = |body: &mut Vec<u8>| {
            let at = position(body, of);
            body[at] ^= 1;
        };
        refused(SIGNED, &[], &flip, "SignatureDoesNotMatch");
        refused(SIGNED_TRAILER, &crc, &flip, "SignatureDoesNotMatch");
        refused(UNSIGNED_TRAILER, &crc, &flip, "BadDigest");
    }
    // The first chunk's signature, then the last one's, then the trailer's.
    for of in [&b"14;chunk-signature="[..], b"\r\n0;chunk-signature=", b"x-amz-trailer-signature:"] {
        let change = |body: &mut Vec<u8>| {
            let at = position(body, of) + of.len();
            body[at] = if body[at] == b'0' { b'1' } else { b'0' };
        };
        refused(SIGNED_TRAILER, &crc, &change, "SignatureDoesNotMatch");
    }
    let swap_trailer = |body: &mut Vec<u8>| {
        let at = position(body, CHECKSUMS[0].1.as_bytes());
        body[at] = b'B';
    };
    refused(SIGNED_TRAILER, &crc, &swap_trailer, "SignatureDoesNotMatch");
    // Chunks that are gone, and bodies that end early.
    let drop_chunk = |body: &mut Vec<u8>| drop(body.drain(..position(body, b"17;chunk-signature=")));
    refused(SIGNED, &[], &drop_chunk, "SignatureDoesNotMatch");
    let cut_end = |body: &mut Vec<u8>| body.truncate(position(body, b"\r\n0;chunk") + 2);
    refused(SIGNED, &[], &cut_end, "IncompleteBody");
    let cut_trailer = |body: &mut Vec<u8>| body.truncate(position(body, b"x-amz-trailer-signature"));
    let answer = wire.put_chunked("bad", SIGNED_TRAILER, &crc, cut_trailer);
    assert!(answer.status == 400 || answer.status == 403, "{}", answer.text());
    wire.lacks("bad");
    let garble = |body: &mut Vec<u8>| body[0] = b'z';
    let answer = wire.put_chunked("bad", UNSIGNED_TRAILER, &crc, garble);
    assert_eq!(answer.status, 400, "{}", answer.text());
    wire.lacks("bad");
}

#[test]
fn signed_payload_hashes_are_verified() {
    let wire = Wire::start();
    let hash = |body: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(body));
    let put = |hash: &str| {
        let mut request = wire.request("PUT", "/wire/hashed", &[]);
        wire.signer.sign_as(&mut request, hash);
        wire.send(&request, BODY)
    };
    put(&hash(b"another")).refuses(400, "XAmzContentSHA256Mismatch");
    wire.lacks("hashed");
    assert_eq!(put(&hash(BODY)).status, 200);
    wire.holds("hashed", None);
}

#[test]
fn presigned_urls_and_clocks() {
    let wire = Wire::start();
    let put = wire.request("PUT", "/wire/pre%20signed", &[]);
    let target = wire.signer.presign(&put, 60);
    assert_eq!(wire.send(&wire.request("PUT", &target, &[]), BODY).status, 200);
    wire.holds("pre%20signed", None);
    let get = wire.request("GET", "/wire/pre%20signed", &[]);
    let url = |signer: &Signer, expires_s| signer.presign(&get, expires_s);
    let fetch = |target: &str| wire.send(&wire.request("GET", target, &[]), b"");
    let good = url(&wire.signer, 604_800);
    assert_eq!(fetch(&good).body, BODY);
    fetch(&good.replace("pre%20signed", "other")).refuses(403, "SignatureDoesNotMatch");
    fetch(&good.replace("604800", "604799")).refuses(403, "SignatureDoesNotMatch");
    fetch(&url(&wire.signer, 604_801)).refuses(400, "AuthorizationQueryParametersError");
    // A day's edge changes the scope too, as it should.
    let old = Signer::at(ACCESS_KEY_ID, SECRET_ACCESS_KEY, in_minutes(-3));
    let expired = fetch(&url(&old, 120));
    expired.refuses(403, "AccessDenied");
    assert!(expired.text().contains("Request has expired"), "{}", expired.text());
    assert_eq!(fetch(&url(&old, 3600)).body, BODY);
    for minutes in [-16, 16] {
        let skewed = Signer::at(ACCESS_KEY_ID, SECRET_ACCESS_KEY, in_minutes(minutes));
        let mut request = wire.request("GET", "/wire/pre%20signed", &[]);
        skewed.sign(&mut request);
        wire.send(&request, b"").refuses(403, "RequestTimeTooSkewed");
    }
    let near = Signer::at(ACCESS_KEY_ID, SECRET_ACCESS_KEY, in_minutes(-14));
    let mut request = wire.request("GET", "/wire/pre%20signed", &[]);
    near.sign(&mut request);
    assert_eq!(wire.send(&request, b"").body, BODY);
    // A header that was signed must come, and come unchanged.
    let bound = wire.request("GET", "/wire/pre%20signed", &[("x-amz-meta-bound", "yes")]);
    let target = wire.signer.presign(&bound, 60);
    fetch(&target).refuses(403, "SignatureDoesNotMatch");
    assert_eq!(wire.send(&wire.request("GET", &target, &[("x-amz-meta-bound", "yes")]), b"").body, BODY);
    drop(wire.server);
}

/// What whoever signs a URL writes into its query holds, or the URL is refused; nobody takes it away with a header that is not signed.
#[test]
fn headers_in_the_query_of_presigned_urls() {
    let wire = Wire::start();
    let url = |method: &str, target: &str| wire.signer.presign(&wire.request(method, target, &[]), 60);
    let put = |target: &str, headers: &[(&str, &str)], body: &[u8]| {
        wire.send(&wire.request("PUT", target, headers), body)
    };
    // A write-once URL writes once.
    let once = url("PUT", "/wire/once?If-None-Match=%2A");
    assert_eq!(put(&once, &[], BODY).status, 200);
    put(&once, &[], b"again").refuses(412, "PreconditionFailed");
    put(&once, &[("if-none-match", "\"other\"")], b"again").refuses(400, "InvalidArgument");
    put(&once, &[("if-match", "*")], b"again").refuses(501, "NotImplemented");
    wire.holds("once", None);
    let tag = "%229e107d9d372bb6826bd81d3542a419d6%22";
    put(&url("PUT", "/wire/once?if-match=%22other%22"), &[], b"x").refuses(412, "PreconditionFailed");
    assert_eq!(put(&url("PUT", &format!("/wire/once?if-match={tag}")), &[], BODY).status, 200);
    let get = |target: &str| wire.send(&wire.request("GET", &url("GET", target), &[]), b"");
    assert_eq!(get(&format!("/wire/once?If-None-Match={tag}")).status, 304);
    assert_eq!(get("/wire/once?If-Match=%22other%22").status, 412);
    assert_eq!(
        get("/wire/once?If-Unmodified-Since=Mon%2C%2001%20Jan%202024%2000%3A00%3A00%20GMT").status,
        412
    );
    // Others mean something, and are taken from no query.
    get("/wire/once?Range=bytes%3D0-1").refuses(501, "NotImplemented");
    put(&url("PUT", "/wire/typed?Content-Type=text%2Fx"), &[], BODY).refuses(501, "NotImplemented");
    put(&url("PUT", "/wire/typed?content-md5=x"), &[], BODY).refuses(501, "NotImplemented");
    wire.lacks("typed");
    drop(wire.server);
}

/// `x-amz-content-sha256` alone may come unsigned with a presigned URL; the body is held against it.
#[test]
fn an_unsigned_hash_of_a_presigned_body() {
    let wire = Wire::start();
    let target = wire.signer.presign(&wire.request("PUT", "/wire/hashed", &[]), 60);
    let put = |headers: &[(&str, &str)]| wire.send(&wire.request("PUT", &target, headers), BODY);
    let hash = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";
    for value in ["UNSIGNED-PAYLOAD", hash] {
        assert_eq!(put(&[("x-amz-content-sha256", value)]).status, 200, "{value}");
    }
    wire.holds("hashed", None);
    put(&[("x-amz-content-sha256", &wrong(hash))]).refuses(400, "XAmzContentSHA256Mismatch");
    put(&[("x-amz-meta-a", "b")]).refuses(403, "AccessDenied");
    // A URL that fixes the body is not freed of that.
    let fixed = wire.request("PUT", &format!("/wire/fixed?X-Amz-Content-Sha256={hash}"), &[]);
    let fixed = wire.signer.presign_as(&fixed, 60, hash);
    wire.send(&wire.request("PUT", &fixed, &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]), b"x")
        .refuses(403, "AccessDenied");
    wire.send(&wire.request("PUT", &fixed, &[]), b"x").refuses(400, "XAmzContentSHA256Mismatch");
    assert_eq!(wire.send(&wire.request("PUT", &fixed, &[]), BODY).status, 200);
    drop(wire.server);
}

#[test]
fn version_2_signs_urls_and_forms_and_headers_where_it_may() {
    let server = Server::start().unwrap();
    installed::run_client(&server, "signature_v2.py", &[]).unwrap();
    for taken in ["off", "all"] {
        // Few guesses, so that a slow machine makes them faster than they are forgiven.
        let arguments = ["--signature-v2", taken, "--auth-failures-per-minute", "60"];
        let server = Server::start_with(&arguments).unwrap();
        installed::run_client(&server, "signature_v2.py", &[("SIGNATURE_V2", taken.to_owned())]).unwrap();
    }
}
