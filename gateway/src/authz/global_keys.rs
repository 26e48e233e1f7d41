//! What every request tells to conditions, whichever service it is for.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use std::net::IpAddr;

use http::header::USER_AGENT;
use http::request::Parts;

use super::Context;
use crate::http::listener::Peer;
use crate::iam::iso8601;

/// Where, when and how a request came.
#[derive(Debug, Clone, Copy)]
pub struct GlobalKeys<'a> {
    /// `aws:SourceIp`.
    pub source_ip: IpAddr,
    /// `aws:SecureTransport`.
    pub secure_transport: bool,
    /// `aws:UserAgent`.
    pub user_agent: Option<&'a str>,
    /// `aws:RequestedRegion`.
    pub requested_region: &'a str,
    /// `aws:CurrentTime` and `aws:EpochTime`, milliseconds since the Unix epoch.
    pub now_unix_ms: u64,
}

impl<'a> GlobalKeys<'a> {
    /// Of a request that came from this peer, to this region.
    pub fn of(parts: &'a Parts, peer: Peer, requested_region: &'a str, now_unix_ms: u64) -> Self {
        Self {
            source_ip: peer.address.ip(),
            secure_transport: peer.secure,
            user_agent: parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            requested_region,
            now_unix_ms,
        }
    }

    /// As values of condition keys, by their lower-case names.
    pub fn context(&self) -> Context {
        let mut context = time(self.now_unix_ms);
        let mut put = |name: &str, value: String| context.insert(name.to_owned(), vec![value]);
        put("aws:sourceip", self.source_ip.to_canonical().to_string());
        put("aws:securetransport", self.secure_transport.to_string());
        put("aws:requestedregion", self.requested_region.to_owned());
        // Whoever signs a request is no service, and none makes it for him.
        put("aws:principalisawsservice", false.to_string());
        put("aws:viaawsservice", false.to_string());
        if let Some(user_agent) = self.user_agent {
            put("aws:useragent", user_agent.to_owned());
        }
        context
    }
}

/// `aws:CurrentTime` and `aws:EpochTime`.
pub fn time(now_unix_ms: u64) -> Context {
    let now_unix_s = now_unix_ms / 1000;
    Context::from([
        ("aws:currenttime".to_owned(), vec![iso8601(now_unix_s)]),
        ("aws:epochtime".to_owned(), vec![now_unix_s.to_string()]),
    ])
}
