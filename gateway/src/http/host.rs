//! Which host a request is for: one answer, for routing and for signatures.

use http::Version;
use http::header::HOST;
use http::request::Parts;

/// Why a request does not say which host it is for. Each is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// HTTP/1.1 must have one, RFC 9112 section 3.2.
    #[error("The request has no Host header.")]
    Missing,
    /// RFC 9112 section 3.2.
    #[error("The request has more than one Host header.")]
    Repeated,
    /// The target (RFC 9112 section 3.2.2) or `:authority` (RFC 9113 section 8.3.1) says another.
    #[error("The Host header is not the host that the request's target names.")]
    Disagrees,
    /// It is no `host[:port]`, RFC 9110 section 7.2.
    #[error("The Host header is malformed.")]
    Malformed,
}

/// The host of a request, with its port where it has one: that of its target (absolute form, `:authority`), else of `Host`. What
/// names none, as HTTP/1.0 may, is for "".
pub fn of(parts: &Parts) -> Result<&str, HostError> {
    let mut headers = parts.headers.get_all(HOST).iter();
    let header = headers.next().map(|value| value.to_str().map_err(|_| HostError::Malformed)).transpose()?;
    if headers.next().is_some() {
        return Err(HostError::Repeated);
    }
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    if header.is_none() && parts.version == Version::HTTP_11 {
        return Err(HostError::Missing);
    }
    let header = header.map(str::trim_ascii);
    // A signature is of the header's letters, so these are the ones to go by.
    let host = match (header, target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => {
            return Err(HostError::Disagrees);
        }
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => "",
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&b);
    if host.bytes().all(is_plain) { Ok(host) } else { Err(HostError::Malformed) }
}

/// As [`of`], of a request that has passed it; any other is for "".
pub fn checked(parts: &Parts) -> &str {
    of(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(version: Version, uri: &str, hosts: &[&[u8]]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_host_or_a_refusal() {
        use HostError::{Disagrees, Malformed, Missing, Repeated};
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        type Case<'a> = (Version, &'a str, &'a [&'a [u8]], Result<&'a str, HostError>);
        let cases: &[Case<'_>] = &[
            (h1, "/k", &[b"a.s3.test:9000"], Ok("a.s3.test:9000")),
            (h1, "/k", &[b"[::1]:9000"], Ok("[::1]:9000")),
            (h1, "/k", &[b""], Ok("")),
            (h1, "/k", &[], Err(Missing)),
            (Version::HTTP_10, "/k", &[], Ok("")),
            (h1, "/k", &[b"a", b"a"], Err(Repeated)),
            (h1, "/k", &[b"a", b"b"], Err(Repeated)),
            (h1, "http://b.s3.test/k", &[b"a.s3.test"], Err(Disagrees)),
            (h1, "http://A.s3.test/k", &[b"a.s3.test"], Ok("a.s3.test")),
            (h1, "http://a.s3.test/k", &[], Err(Missing)),
            (h1, "http://a.s3.test:80/k", &[b"a.s3.test"], Err(Disagrees)),
            (h2, "http://a.s3.test/k", &[], Ok("a.s3.test")),
            (h2, "http://a.s3.test/k", &[b"a.s3.test"], Ok("a.s3.test")),
            (h2, "http://a.s3.test/k", &[b"b.s3.test"], Err(Disagrees)),
            (h2, "http://u@a.s3.test/k", &[], Err(Malformed)),
            (h1, "/k", &[b"a.s3.test/x"], Err(Malformed)),
            (h1, "/k", &[b"a,b"], Err(Malformed)),
            (h1, "/k", &[b"a b"], Err(Malformed)),
            (h1, "/k", &[b"\xc3\xa9"], Err(Malformed)),
        ];
        for (version, uri, hosts, expected) in cases {
            let parts = parts(*version, uri, hosts);
            assert_eq!(of(&parts), *expected, "{version:?} {uri} {hosts:?}");
            assert_eq!(checked(&parts), expected.unwrap_or_default());
        }
    }
}
