//! The gateway that is attacked, and what is in it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use conformance_tests::signer::Signer;
use http::Method;

/// `idle_timeout_s` of the gateway.
pub(crate) const IDLE: Duration = Duration::from_secs(3);
/// `body_idle_timeout_s` of the gateway.
pub(crate) const BODY_IDLE: Duration = Duration::from_secs(5);
/// A bucket.
pub(crate) const BUCKET: &str = "attacked";
/// An object in it, and what it contains.
pub(crate) const SMALL: &str = "/attacked/small";
pub(crate) const CONTENT: &str = "what the small object contains";
/// An object in it that no buffer on the way can hold.
pub(crate) const LARGE: &str = "/attacked/large";
pub(crate) const LARGE_LEN: usize = 16 << 20;
/// A bucket that somebody does not mean, and its object.
pub(crate) const OTHER_BUCKET: &str = "unmeant";
pub(crate) const OTHER_CONTENT: &str = "what nobody asked for";

/// A running gateway with buckets and objects.
pub(crate) struct Door {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
}

impl Door {
    pub(crate) async fn prepare(server: Server) -> anyhow::Result<Self> {
        let host = server.endpoint.strip_prefix("http://").context("it serves plain HTTP")?.to_owned();
        let door = Self { address: host.parse()?, host, server };
        let mut caller = door.caller().await?;
        for bucket in [BUCKET, OTHER_BUCKET] {
            caller.s3(Method::PUT, &format!("/{bucket}"), "").await?.success()?;
        }
        caller.s3(Method::PUT, SMALL, CONTENT).await?.success()?;
        caller.s3(Method::PUT, &format!("/{OTHER_BUCKET}/small"), OTHER_CONTENT).await?.success()?;
        let put = caller.send(Method::PUT, LARGE, &[], Bytes::from(vec![b'x'; LARGE_LEN])).await?;
        anyhow::ensure!(put.status().is_success(), "{}", put.status());
        Ok(door)
    }

    /// A connection of the root user.
    pub(crate) async fn caller(&self) -> anyhow::Result<Caller> {
        Caller::open(&self.server.endpoint, Credentials::root()).await
    }

    /// The head of a signed request, with these headers.
    pub(crate) fn signed(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        self.signed_for(&self.host, method, target, headers)
    }

    /// As [`Door::signed`], for another host.
    pub(crate) fn signed_for(
        &self,
        host: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let mut request = http::Request::builder().method(method).uri(target).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(())?;
        Signer::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY).sign(&mut request);
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in request.headers() {
            head += &format!("{name}: {}\r\n", value.to_str()?);
        }
        Ok(head + "\r\n")
    }

    /// Bytes of memory that the gateway has.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
    }
}
