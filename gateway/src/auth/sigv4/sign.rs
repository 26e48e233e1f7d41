//! The other side: signs requests, as a client does.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{ALGORITHM, TERMINATOR, hmac_sha256};
use crate::http::header;
use crate::iam::derive_signing_key;

const QUERY_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH_SET: &AsciiSet = &QUERY_SET.remove(b'/');

/// Who signs, and for which service.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) secret_access_key: &'a str,
    pub(crate) session_token: Option<&'a str>,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// A request to be signed: path and query as they go over the wire, the query in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// By lower-case name; `host` is among them.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body in hexadecimal digits, or a word in place of it.
    pub(crate) payload_hash: &'a str,
}

impl Signer<'_> {
    /// All headers that the request goes with: its own, which are all signed, and those that sign it.
    pub(crate) fn sign(&self, request: Unsigned<'_>) -> Vec<(String, String)> {
        let timestamp = OffsetDateTime::now_utc()
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("a time of this century can be written");
        let date = &timestamp[..8];
        let (date_name, payload_name) = (header::DATE, header::CONTENT_SHA256);
        let token_name = header::SECURITY_TOKEN;
        let mut headers: BTreeMap<&str, &str> = request.headers.iter().copied().collect();
        headers.insert(date_name.as_str(), &timestamp);
        headers.insert(payload_name.as_str(), request.payload_hash);
        if let Some(token) = self.session_token {
            headers.insert(token_name.as_str(), token);
        }
        let signed_names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let header_lines: String = headers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let Unsigned { method, path, query, payload_hash, .. } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{header_lines}\n{signed_names}\n{payload_hash}");
        let scope = format!("{date}/{}/{}/{TERMINATOR}", self.region, self.service);
        let hash = hex::encode(Sha256::digest(canonical));
        let to_sign = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{hash}");
        let signing_key = derive_signing_key(self.secret_access_key, date, self.region, self.service);
        let signature = hex::encode(hmac_sha256(&signing_key[..], to_sign.as_bytes()));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_names}, Signature={signature}",
            self.access_key_id
        );
        let mut all: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        all.push(("authorization".to_owned(), authorization));
        all
    }
}

/// A path, percent-encoded.
pub(crate) fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, PATH_SET).to_string()
}

/// `name=value&…`, percent-encoded and in order: a query, or a form.
pub(crate) fn encoded_pairs(pairs: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, QUERY_SET);
    let mut pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort_unstable();
    pairs.join("&")
}
