//! The web console: files of a page on an origin of its own, where no object is ever served. The page speaks to S3, KMS, IAM, STS and the
//! admin API with its user's credentials, as any other client; this origin has no power of its own, and knows no credentials.

mod assets;
mod cors;

use std::net::{IpAddr, SocketAddr};

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

pub use self::cors::ConsoleOrigins;
use crate::app::App;
use crate::config::{Config, ConsoleConfig, is_authority};
use crate::http::body::ResponseBody;
use crate::http::host;
use assets::Asset;

/// The page.
const INDEX: &str = "index.html";
/// What the page is told before anybody has signed in.
const CONFIG: &str = "config.json";
/// The most identity providers that it is told of.
const MAX_PROVIDERS: usize = 32;
/// Of files whose names change with what is in them.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Of all others: they are asked for again each time.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");
/// Headers of every answer, beside the content security policy.
const ISOLATION: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// Serves the console.
#[derive(Debug, Clone)]
pub struct Console {
    endpoint: Option<String>,
    main: SocketAddr,
    is_tls: bool,
    region: String,
    has_ldap: bool,
}

/// An identity provider that a user may sign in with.
struct Provider {
    issuer: String,
    client_id: String,
    /// Where browsers reach it.
    origin: String,
    /// Where it hands them tokens, if that is known, and elsewhere.
    token_origin: Option<String>,
}

impl Console {
    /// One that tells browsers to speak to what listens at `main`.
    pub fn new(config: &Config, main: SocketAddr) -> Self {
        let ConsoleConfig { endpoint, .. } = &config.console;
        Self {
            endpoint: endpoint.clone(),
            main,
            is_tls: config.tls.is_some(),
            region: config.region.clone(),
            has_ldap: config.ldap.is_some(),
        }
    }

    /// Answers a request. A gateway that is sealed serves the page too: it tells that.
    pub fn handle<B>(&self, app: Option<&App>, request: Request<B>) -> Response<ResponseBody> {
        let (parts, _) = request.into_parts();
        let endpoint = self.endpoint_of(&parts);
        let providers = app.map(providers).unwrap_or_default();
        let mut response = self.answer(&parts, &endpoint, &providers);
        let headers = response.headers_mut();
        headers.extend(ISOLATION);
        if let Ok(policy) = HeaderValue::from_str(&content_security_policy(&endpoint, &providers)) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if parts.method == Method::HEAD {
            *response.body_mut() = ResponseBody::empty();
        }
        response
    }

    fn answer(&self, parts: &Parts, endpoint: &str, providers: &[Provider]) -> Response<ResponseBody> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "This address serves the console's page alone.\n");
        }
        match parts.uri.path().trim_start_matches('/') {
            CONFIG => self.config(endpoint, providers),
            "" => asset(INDEX, &parts.headers),
            path => asset(path, &parts.headers),
        }
    }

    fn config(&self, endpoint: &str, providers: &[Provider]) -> Response<ResponseBody> {
        let providers: Vec<_> = providers
            .iter()
            .map(|Provider { issuer, client_id, token_origin, .. }| {
                let name = issuer.split_once("://").map_or(issuer.as_str(), |(_, name)| name);
                json!({ "name": name, "issuer": issuer, "client_id": client_id, "token_origin": token_origin })
            })
            .collect();
        let told = json!({
            "endpoint": endpoint,
            "region": self.region,
            "version": env!("CARGO_PKG_VERSION"),
            "providers": providers,
            "ldap": self.has_ldap,
        });
        let mut response = Response::new(ResponseBody::full(told.to_string()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Where the page finds the APIs: what is set, else the main listener, by the name that the console was opened at where that can
    /// be the same host.
    fn endpoint_of(&self, parts: &Parts) -> String {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.clone();
        }
        let asked = Some(host::checked(parts)).filter(|host| is_authority(host));
        let asked = asked.map(|host| match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => host,
        });
        let ip = self.main.ip();
        let own = || match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let host = match asked {
            Some(asked) if ip.is_unspecified() => asked.to_owned(),
            Some("localhost") if ip.is_loopback() => "localhost".to_owned(),
            _ => own(),
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{host}:{}", self.main.port())
    }
}

/// The providers of the account that owns the gateway; those of its tenants are not told to everybody.
fn providers(app: &App) -> Vec<Provider> {
    let state = app.iam.state();
    let main = state.account(&app.iam.main_account().id);
    let all = main.into_iter().flat_map(|account| account.providers.values());
    let each = all.flat_map(|provider| {
        let origin = origin_of(&provider.url);
        let endpoint = app.web_identities.token_endpoint(&provider.url);
        let token_origin =
            endpoint.and_then(|url| origin_of(&url)).filter(|other| Some(other) != origin.as_ref());
        provider.client_ids.iter().filter_map(move |client_id| {
            Some(Provider {
                issuer: provider.url.clone(),
                client_id: client_id.clone(),
                origin: origin.clone()?,
                token_origin: token_origin.clone(),
            })
        })
    });
    each.take(MAX_PROVIDERS).collect()
}

fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    (matches!(scheme, "https" | "http") && is_authority(authority)).then(|| format!("{scheme}://{authority}"))
}

/// Nothing but the page's own files runs; it speaks to the APIs and to identity providers, and to nobody else.
fn content_security_policy(endpoint: &str, providers: &[Provider]) -> String {
    let each = providers.iter().flat_map(|provider| {
        let Provider { origin, token_origin, .. } = provider;
        [Some(origin.as_str()), token_origin.as_deref()]
    });
    let mut origins: Vec<&str> = each.flatten().collect();
    origins.sort_unstable();
    origins.dedup();
    let origins: String = origins.into_iter().flat_map(|origin| [" ", origin]).collect();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob: data:; \
         connect-src 'self' {endpoint}{origins}; media-src 'none'; object-src 'none'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'self'"
    )
}

fn asset(path: &str, headers: &HeaderMap) -> Response<ResponseBody> {
    let Some(asset) = assets::find(path) else {
        return plain(StatusCode::NOT_FOUND, "The console has no such file.\n");
    };
    let Asset { plain, gzip, .. } = *asset;
    let takes_gzip = headers.get(ACCEPT_ENCODING).is_some_and(|value| takes_gzip(value.as_bytes()));
    let (bytes, encoding) = match takes_gzip && gzip.len() < plain.len() {
        true => (gzip, Some("gzip")),
        false => (plain, None),
    };
    let etag = asset.etag();
    // Browsers keep a page's content security policy when they are told that the page is the same, and it goes by who is registered.
    let is_page = path == INDEX;
    let is_known =
        !is_page && headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = match is_known {
        true => {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => {
            let mut response = Response::new(ResponseBody::full(bytes));
            response.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type()));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(CACHE_CONTROL, if asset.is_hashed() { FOR_EVER } else { REVALIDATED });
    if let Some(etag) = HeaderValue::from_str(&etag).ok().filter(|_| !is_page) {
        headers.insert(ETAG, etag);
    }
    response
}

/// Does `Accept-Encoding` name gzip without refusing it?
fn takes_gzip(accepted: &[u8]) -> bool {
    let accepted = String::from_utf8_lossy(accepted).to_ascii_lowercase();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_refused = |weight: &str| {
            weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        };
        matches!(parts.next(), Some("gzip" | "*")) && !parts.any(is_refused)
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(main: &str) -> Console {
        let main = main.parse().unwrap();
        Console { endpoint: None, main, is_tls: false, region: "us-east-1".to_owned(), has_ldap: false }
    }

    fn opened_at(host: &str) -> Parts {
        http::Request::builder().uri("/").header("host", host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_endpoint_is_where_the_browser_reaches_it() {
        for (main, host, endpoint) in [
            ("127.0.0.1:9000", "127.0.0.1:9001", "http://127.0.0.1:9000"),
            ("127.0.0.1:9000", "localhost:9001", "http://localhost:9000"),
            ("127.0.0.1:9000", "evil.example:9001", "http://127.0.0.1:9000"),
            ("0.0.0.0:9000", "store.example:9001", "http://store.example:9000"),
            ("[::]:9000", "[2001:db8::1]:9001", "http://[2001:db8::1]:9000"),
            ("0.0.0.0:9000", "a;script-src *", "http://0.0.0.0:9000"),
            ("10.0.0.1:9000", "store.example", "http://10.0.0.1:9000"),
        ] {
            assert_eq!(console(main).endpoint_of(&opened_at(host)), endpoint, "{main} {host}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_that_take_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted.as_bytes()), takes, "{accepted}");
        }
    }
}
