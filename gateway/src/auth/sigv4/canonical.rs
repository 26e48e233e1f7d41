//! The canonical request of SigV4: what both sides hash. Pure, over the request as it came on the wire.
//!
//! Hand-written because a signer's own library signs what it would send, and so differs on what others send: raw reserved
//! characters, lower-case hexadecimal digits, bytes that are not UTF-8, a `Date` in place of `x-amz-date`.

use http::request::Parts;

use crate::http::host;

/// What a client may do about `%2F` in a path: both stand for the same object, and signers disagree on which is canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodedSlash {
    /// `%2F` stays `%2F`, as signers have it that take the path as they send it.
    Kept,
    /// `%2F` becomes `/`, as in a path that is decoded and encoded anew.
    Decoded,
}

/// Writes the canonical request. `signed_headers` are lower-case and sorted; the query parameter `X-Amz-Signature` is left out.
pub(crate) fn canonical_request(
    parts: &Parts,
    signed_headers: &[&str],
    payload_hash: &str,
    slash: EncodedSlash,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    write_path(parts.uri.path().as_bytes(), slash, &mut out);
    out.push(b'\n');
    write_query(parts.uri.query().unwrap_or_default().as_bytes(), &mut out);
    out.push(b'\n');
    for name in signed_headers {
        write_header(parts, name, &mut out);
    }
    out.push(b'\n');
    for (index, name) in signed_headers.iter().enumerate() {
        if index > 0 {
            out.push(b';');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

/// Has the path an encoded slash? Only then the two forms of [`EncodedSlash`] differ.
pub(crate) fn has_encoded_slash(path: &str) -> bool {
    path.as_bytes().windows(3).any(|w| w.eq_ignore_ascii_case(b"%2f"))
}

/// Query parameters as they came, split but not decoded; empty ones are skipped.
pub(crate) fn raw_parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.iter().position(|&b| b == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        }
    })
}

fn write_path(path: &[u8], slash: EncodedSlash, out: &mut Vec<u8>) {
    if path.is_empty() {
        out.push(b'/');
    }
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, decode_triplet(rest)) {
            (b'/', _) => out.push(b'/'),
            (_, Some(decoded)) => {
                if decoded == b'/' && slash == EncodedSlash::Decoded {
                    out.push(b'/');
                } else {
                    write_encoded(decoded, out);
                }
                rest = &rest[3..];
                continue;
            }
            (byte, None) => write_encoded(byte, out),
        }
        rest = tail;
    }
}

/// Each name and value decoded and encoded anew, sorted by encoded name, then value. A `+` is a space, as forms have it.
fn write_query(query: &[u8], out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let mut encoded = Vec::with_capacity(query.len() + 32);
    // Where a name begins, where it ends, where its value ends.
    let mut pairs: Vec<[usize; 3]> = Vec::with_capacity(16);
    for (name, value) in raw_parameters(query) {
        let start = encoded.len();
        write_parameter(name, &mut encoded);
        let name_end = encoded.len();
        if &encoded[start..] == b"X-Amz-Signature" {
            encoded.truncate(start);
            continue;
        }
        write_parameter(value, &mut encoded);
        pairs.push([start, name_end, encoded.len()]);
    }
    let name_and_value =
        |&[start, name_end, end]: &[usize; 3]| (&encoded[start..name_end], &encoded[name_end..end]);
    pairs.sort_unstable_by(|a, b| name_and_value(a).cmp(&name_and_value(b)));
    for (index, pair) in pairs.iter().enumerate() {
        let (name, value) = name_and_value(pair);
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn write_parameter(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        match decode_triplet(rest) {
            Some(decoded) => {
                write_encoded(decoded, out);
                rest = &rest[3..];
            }
            None => {
                write_encoded(if byte == b'+' { b' ' } else { byte }, out);
                rest = tail;
            }
        }
    }
}

/// `name:values` with values joined by commas, each trimmed and its runs of spaces collapsed. A header that is not there is empty.
fn write_header(parts: &Parts, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    if name == "host" {
        // The one that the request is served for.
        out.extend_from_slice(host::checked(parts).as_bytes());
        out.push(b'\n');
        return;
    }
    for (index, value) in parts.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut after_space = false;
        for &byte in value.as_bytes().trim_ascii() {
            if byte != b' ' || !after_space {
                out.push(byte);
            }
            after_space = byte == b' ';
        }
    }
    out.push(b'\n');
}

/// The byte that `%XX` at the front stands for.
pub(crate) fn decode_triplet(bytes: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    match bytes {
        [b'%', high, low, ..] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    }
}

fn write_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str, slash: EncodedSlash) -> String {
        let mut out = Vec::new();
        write_path(raw.as_bytes(), slash, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn query(raw: &[u8]) -> String {
        let mut out = Vec::new();
        write_query(raw, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/b//a/../c/./", "/b//a/../c/./"),
            ("/b/a%c3%a9", "/b/a%C3%A9"),
            ("/b/%ff", "/b/%FF"),
            ("/b/a+b c", "/b/a%2Bb%20c"),
            ("/b/a%2Bb%20c", "/b/a%2Bb%20c"),
            ("/b/!$&'()*,;=:@", "/b/%21%24%26%27%28%29%2A%2C%3B%3D%3A%40"),
            ("/b/%41%7e~", "/b/A~~"),
            ("/b/100%", "/b/100%25"),
            ("/b/%zz%4", "/b/%25zz%254"),
        ] {
            assert_eq!(path(raw, EncodedSlash::Kept), canonical);
        }
        assert_eq!(path("/b/a%2fb%2Fc", EncodedSlash::Kept), "/b/a%2Fb%2Fc");
        assert_eq!(path("/b/a%2fb%2Fc", EncodedSlash::Decoded), "/b/a/b/c");
        assert!(has_encoded_slash("/a%2fb") && !has_encoded_slash("/a%2b"));
    }

    #[test]
    fn queries() {
        for (raw, canonical) in [
            (&b""[..], ""),
            (b"uploads", "uploads="),
            (b"b=2&a=1", "a=1&b=2"),
            (b"a=2&a=1&a", "a=&a=1&a=2"),
            (b"prefix=a/b&delimiter=/", "delimiter=%2F&prefix=a%2Fb"),
            (b"a-b=1&a=2&a.b=3", "a=2&a-b=1&a.b=3"),
            (b"x=%c3%A9+%2b", "x=%C3%A9%20%2B"),
            (b"x=\xff%fe", "x=%FF%FE"),
            (b"&&a=b==&&", "a=b%3D%3D"),
            (b"X-Amz-Signature=0&A=1&X%2DAmz-Signature=1", "A=1"),
        ] {
            assert_eq!(query(raw), canonical);
        }
    }

    #[test]
    fn headers() {
        let (parts, ()) = http::Request::get("http://example.com/")
            .version(http::Version::HTTP_2)
            .header("a", "  x   y  z ")
            .header("a", "second")
            .header("utf8", "é")
            .body(())
            .unwrap()
            .into_parts();
        let canonical =
            canonical_request(&parts, &["a", "host", "missing", "utf8"], "HASH", EncodedSlash::Kept);
        assert_eq!(
            String::from_utf8(canonical).unwrap(),
            "GET\n/\n\na:x y z,second\nhost:example.com\nmissing:\nutf8:é\n\na;host;missing;utf8\nHASH"
        );
    }
}
