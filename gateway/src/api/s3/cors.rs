//! Cross-origin requests: what a browser is told of them.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use storage::catalog::Bucket;

use super::error::S3Error;
use crate::bucket::{Cors, CorsRule, Setting};

/// The method that a browser asks for, `Access-Control-Request-Method`.
pub fn requested_method(headers: &HeaderMap) -> Option<String> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Some(String::from_utf8_lossy(asked.as_bytes()).into_owned())
}

/// The headers that a browser asks for, `Access-Control-Request-Headers`, in lower case.
pub fn requested_headers(headers: &HeaderMap) -> Vec<String> {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).map(HeaderValue::as_bytes);
    let asked = String::from_utf8_lossy(asked.unwrap_or_default());
    let names = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// A request from a page of another origin, and the rule that allows it.
pub struct Asked {
    origin: HeaderValue,
    rule: CorsRule,
}

impl Asked {
    /// The rule for a request; `None` where no rule allows it, and then the answer says nothing of it. What a preflight request
    /// would ask for counts in any other too.
    pub fn of(bucket: &Bucket, origin: &HeaderValue, method: &Method, headers: &HeaderMap) -> Option<Self> {
        let asked = requested_method(headers);
        Self::with_headers(
            bucket,
            origin,
            asked.as_deref().unwrap_or(method.as_str()),
            &requested_headers(headers),
        )
    }

    /// The rule for a request with these headers.
    pub fn with_headers(
        bucket: &Bucket,
        origin: &HeaderValue,
        method: &str,
        headers: &[String],
    ) -> Option<Self> {
        let cors = Cors::of(bucket).ok()??;
        let rule = cors.rule(origin.to_str().ok()?, method, headers)?.clone();
        Some(Self { origin: origin.clone(), rule })
    }

    /// Says in an answer that it is for this origin.
    pub fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    /// As [`Asked::write`], for the answer that a refusal becomes.
    pub fn add_to(&self, error: &mut S3Error) {
        for (name, value) in self.headers() {
            error.headers.push((name, value.to_str().unwrap_or_default().to_owned()));
        }
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        if self.rule.allows_every_origin() {
            headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")));
        } else {
            headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone()));
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        let mut list = |name: HeaderName, values: &[String]| {
            if let Ok(value) = HeaderValue::from_str(&values.join(", "))
                && !values.is_empty()
            {
                headers.push((name, value));
            }
        };
        list(header::ACCESS_CONTROL_ALLOW_METHODS, &self.rule.methods);
        list(header::ACCESS_CONTROL_EXPOSE_HEADERS, &self.rule.exposed);
        if let Some(age) = self.rule.max_age_s {
            headers.push((header::ACCESS_CONTROL_MAX_AGE, age.into()));
        }
        let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
        headers.push((header::VARY, HeaderValue::from_static(vary)));
        headers
    }
}
