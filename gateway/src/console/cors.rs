//! Which browsers' pages beside a bucket's own rules may read what the APIs answer: the console's, and no others. It gives them no right
//! that a signature does not give to anybody. <https://fetch.spec.whatwg.org/#http-cors-protocol>

use std::net::SocketAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::config::ConsoleConfig;
use crate::http::body::ResponseBody;

/// What the APIs are asked with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, POST, DELETE");
/// How long a browser remembers that it may, in seconds: the longest that Chromium does.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");
/// What an answer's being there depends on.
const VARIES: HeaderValue = HeaderValue::from_static("Origin");
const VARIES_OF_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

/// The console's origins.
#[derive(Debug, Default)]
pub struct ConsoleOrigins(Vec<HeaderValue>);

impl ConsoleOrigins {
    /// Those that are set; else those of the console's listener, if it has one: a port that somebody else has is not trusted.
    pub fn of(config: &ConsoleConfig, listener: Option<SocketAddr>, is_tls: bool) -> Self {
        let own = |address: SocketAddr| {
            let scheme = if is_tls { "https" } else { "http" };
            let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            if address.is_ipv6() {
                hosts.push("[::1]".to_owned());
            }
            let (ip, port) = (address.ip(), address.port());
            if !ip.is_unspecified() && !ip.is_loopback() {
                let text = SocketAddr::new(ip, port).to_string();
                hosts.push(text.trim_end_matches(&format!(":{port}")).to_owned());
            }
            let usual = if is_tls { 443 } else { 80 };
            hosts
                .into_iter()
                .map(|host| match port == usual {
                    true => format!("{scheme}://{host}"),
                    false => format!("{scheme}://{host}:{port}"),
                })
                .collect::<Vec<_>>()
        };
        let all = match config.origins.is_empty() {
            true => listener.map(own).unwrap_or_default(),
            false => config.origins.clone(),
        };
        Self(all.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// The origin of a request, if it is the console's.
    pub fn origin_of<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        let origin = request.headers().get(ORIGIN)?;
        self.0.contains(origin).then(|| origin.clone())
    }

    /// The answer to a preflight request from there; `None`: it is none.
    pub fn preflight<B>(origin: &HeaderValue, request: &Request<B>) -> Option<Response<ResponseBody>> {
        let asked = request.headers();
        if request.method() != Method::OPTIONS || !asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        // A wildcard does not stand for Authorization.
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        headers.insert(VARY, VARIES_OF_PREFLIGHT);
        Some(response)
    }

    /// Says in an answer that a page from there may read it, whatever the bucket's rules say. It sends no cookies, so none are allowed.
    pub fn write(origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        headers.append(VARY, VARIES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OptionalListen;

    #[test]
    fn nobody_elses_port_is_trusted() {
        let config = ConsoleConfig { listen: OptionalListen::Off, endpoint: None, origins: Vec::new() };
        let of = |config: &ConsoleConfig, address: Option<&str>, is_tls| {
            let origins = ConsoleOrigins::of(config, address.map(|address| address.parse().unwrap()), is_tls);
            origins.0.iter().map(|origin| origin.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(of(&config, None, false).is_empty());
        assert_eq!(
            of(&config, Some("127.0.0.1:9001"), false),
            ["http://localhost:9001", "http://127.0.0.1:9001"]
        );
        assert_eq!(of(&config, Some("0.0.0.0:443"), true), ["https://localhost", "https://127.0.0.1"]);
        assert_eq!(of(&config, Some("10.0.0.1:9001"), true)[2], "https://10.0.0.1:9001");
        let set = ConsoleConfig { origins: vec!["https://console.example".to_owned()], ..config };
        assert_eq!(of(&set, Some("127.0.0.1:9001"), false), ["https://console.example"]);
    }
}
