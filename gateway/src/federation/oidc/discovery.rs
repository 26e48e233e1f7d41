//! Where a provider publishes its keys. <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig>

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use serde::Deserialize;
use ureq::Agent;

use super::keys::KeySet;

/// The longest description of a provider, in bytes.
const MAX_DOCUMENT_LEN: u64 = 64 << 10;
/// The longest set of keys, in bytes: two hundred RSA keys with their certificates.
const MAX_KEY_SET_LEN: u64 = 1 << 20;

/// Why a provider's keys are not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// It does not answer, or answers that it is out of order.
    #[error("the provider does not answer: {0}")]
    Unreachable(String),
    /// What it answers is not what OpenID Connect wants.
    #[error("the provider can't be used: {0}")]
    Unusable(String),
}

/// Can this be the issuer of a provider? `https://host[:port][/path]`; `http://` for this host alone, on which tests run providers.
pub fn is_issuer(url: &str) -> bool {
    scheme_of(url).is_some() && !url.contains(['?', '#'])
}

/// How a provider describes itself.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    token_endpoint: Option<String>,
}

/// The keys that this issuer publishes now. Blocks for two requests at most.
pub(super) fn fetch(agent: &Agent, issuer: &str) -> Result<KeySet, FetchError> {
    let document = describe(agent, issuer)?;
    if !may_name(issuer, &document.jwks_uri) {
        return Err(FetchError::Unusable("its jwks_uri is no https:// URL".to_owned()));
    }
    let keys = get(agent, &document.jwks_uri, MAX_KEY_SET_LEN)?;
    KeySet::parse(&keys).ok_or_else(|| FetchError::Unusable("its jwks_uri holds no set of keys".to_owned()))
}

/// Where this issuer hands tokens out; `None`: it does not say so, or names what it may not. Blocks for one request.
pub(super) fn token_endpoint(agent: &Agent, issuer: &str) -> Result<Option<String>, FetchError> {
    Ok(describe(agent, issuer)?.token_endpoint.filter(|endpoint| may_name(issuer, endpoint)))
}

/// A provider elsewhere must not make us, or a browser, ask this host.
fn may_name(issuer: &str, url: &str) -> bool {
    scheme_of(url).is_some_and(|scheme| scheme == "https" || !is_https(issuer))
}

fn describe(agent: &Agent, issuer: &str) -> Result<Document, FetchError> {
    let unusable = |why: &str| FetchError::Unusable(why.to_owned());
    if !is_issuer(issuer) {
        return Err(unusable("its issuer is no https:// URL"));
    }
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let document = get(agent, &format!("{base}/.well-known/openid-configuration"), MAX_DOCUMENT_LEN)?;
    let document: Document = serde_json::from_slice(&document)
        .map_err(|_| unusable("its openid-configuration has no issuer and jwks_uri"))?;
    if document.issuer != issuer {
        return Err(unusable("its openid-configuration names another issuer"));
    }
    Ok(document)
}

fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}

/// The scheme of what may be asked.
fn scheme_of(url: &str) -> Option<&'static str> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host();
    match uri.scheme_str()? {
        "https" if !host.is_empty() => Some("https"),
        "http" if is_loopback(host) => Some("http"),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || bare.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback())
}

/// The body behind a URL.
fn get(agent: &Agent, url: &str, max_len: u64) -> Result<Vec<u8>, FetchError> {
    let unreachable = |error: ureq::Error| FetchError::Unreachable(format!("{url}: {error}"));
    let mut response = agent.get(url).header("Accept", "application/json").call().map_err(unreachable)?;
    let status = response.status();
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(FetchError::Unreachable(format!("{url}: HTTP {status}")));
    }
    if status.as_u16() != 200 {
        return Err(FetchError::Unusable(format!("{url}: HTTP {status}")));
    }
    response.body_mut().with_config().limit(max_len).read_to_vec().map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => {
            FetchError::Unusable(format!("{url}: longer than {max_len} bytes"))
        }
        error => unreachable(error),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::http::client;

    #[test]
    fn https_or_this_host() {
        for url in [
            "https://idp",
            "https://idp.example:8443/realms/a/",
            "http://localhost:1",
            "http://127.8.0.1:1/x",
        ] {
            assert!(is_issuer(url), "{url}");
        }
        assert!(is_issuer("http://[::1]:8080"));
        for url in [
            "http://idp",
            "http://localhost.idp",
            "http://localhost@idp/",
            "http://10.0.0.1",
            "https://",
            "https://idp?x",
            "https://idp/#x",
            "ftp://idp",
            "idp",
            "",
        ] {
            assert!(!is_issuer(url), "{url}");
        }
    }

    /// Answers one request with each of these heads and bodies; `ISSUER` is this server.
    fn served(answers: &[(&str, &str)]) -> Result<KeySet, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for (head, body) in answers {
                    let (mut stream, _) = listener.accept().unwrap();
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                    let (head, body) = (head.replace("ISSUER", &issuer), body.replace("ISSUER", &issuer));
                    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n", body.len());
                    // A body that is too long is not taken.
                    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
                }
            });
            fetch(&client::agent(Duration::from_secs(5)), &issuer)
        })
    }

    #[test]
    fn where_tokens_are_handed_out_is_told_if_it_may_be() {
        let agent = client::agent(Duration::from_secs(5));
        let told = |endpoint: &str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let issuer = format!("http://{}", listener.local_addr().unwrap());
            let body = format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{issuer}/jwks"{endpoint}}}"#);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
                    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
                });
                token_endpoint(&agent, &issuer).unwrap()
            })
        };
        assert_eq!(told(""), None);
        let elsewhere = "https://tokens.example/oauth2/token";
        assert_eq!(told(&format!(r#", "token_endpoint": "{elsewhere}""#)).as_deref(), Some(elsewhere));
        assert_eq!(told(r#", "token_endpoint": "http://10.0.0.1/token""#), None);
        assert!(!may_name("https://idp.example", "http://127.0.0.1:9000/"));
    }

    fn refusal(answers: &[(&str, &str)]) -> String {
        served(answers).err().unwrap().to_string()
    }

    #[test]
    fn keys_are_found_by_discovery() {
        const DOCUMENT: &str = r#"{"issuer": "ISSUER", "jwks_uri": "ISSUER/jwks"}"#;
        assert!(served(&[("200 OK", DOCUMENT), ("200 OK", r#"{"keys": []}"#)]).is_ok());
        assert!(refusal(&[("200 OK", DOCUMENT), ("200 OK", "[]")]).contains("no set of keys"));
        assert!(refusal(&[("200 OK", DOCUMENT), ("404 No", "")]).contains("HTTP 404"));
        assert!(refusal(&[("503 Out", "")]).contains("does not answer"));
        assert!(refusal(&[("302 There\r\nLocation: ISSUER/there", "")]).contains("HTTP 302"));
        assert!(refusal(&[("200 OK", "{}")]).contains("has no issuer"));
        let other = r#"{"issuer": "https://other", "jwks_uri": "ISSUER/jwks"}"#;
        assert!(refusal(&[("200 OK", other)]).contains("another issuer"));
        let plain = r#"{"issuer": "ISSUER", "jwks_uri": "http://10.0.0.1/jwks"}"#;
        assert!(refusal(&[("200 OK", plain)]).contains("no https"));
        let long = " ".repeat(MAX_DOCUMENT_LEN as usize + 1);
        assert!(refusal(&[("200 OK", &long)]).contains("longer than"));
    }
}
