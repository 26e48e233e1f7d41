//! A gateway whose clock runs ahead: it must not serve, and must not delete what is still protected.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::cluster::Cluster;
use conformance_tests::server::Server;
use conformance_tests::signer::in_minutes;
use http::Method;

use super::asking::{PATIENCE, ask, until};
use super::stage::USUAL;
use super::{Options, Verdict};

/// Debian's, by the architecture.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];
/// A clock is looked at every 30 s.
const NOTICED: Duration = Duration::from_secs(45);
/// How long the jobs of the gateway with the wrong clock are let run.
const JOBS: Duration = Duration::from_secs(15);

pub(crate) async fn run(_: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    let library = library.ok_or_else(|| anyhow::anyhow!("install faketime"))?;
    let cluster = tokio::task::block_in_place(Cluster::start)?;
    let right = tokio::task::block_in_place(|| cluster.gateway(&USUAL))?;
    let mut caller = Caller::open(&right.endpoint, Credentials::root()).await?;
    let lock = [("x-amz-bucket-object-lock-enabled", "true".to_owned())];
    ask(&mut caller, Method::PUT, "/locked", &lock, "").await?.success()?;
    let retain_until = in_minutes(30).format(&time::format_description::well_known::Rfc3339)?;
    let headers = [
        ("x-amz-object-lock-mode", "COMPLIANCE".to_owned()),
        ("x-amz-object-lock-retain-until-date", retain_until),
    ];
    let body = "protected ".repeat(1000);
    let md5 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        <md5::Md5 as md5::Digest>::digest(body.as_bytes()),
    );
    let mut with_md5 = headers.to_vec();
    with_md5.push(("content-md5", md5));
    let put = ask(&mut caller, Method::PUT, "/locked/object", &with_md5, body.clone()).await?.success()?;
    let version =
        put.headers.get("x-amz-version-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = format!("/locked/object?versionId={version}");
    let refused = ask(&mut caller, Method::DELETE, &target, &[], "").await?;
    verdict.expect(refused.status.as_u16() == 403, || format!("a locked version: {}", refused.status));

    // Once it starts with the wrong clock, once its clock jumps while it serves.
    let file = tempfile::NamedTempFile::new()?;
    for jumps in [false, true] {
        std::fs::write(file.path(), if jumps { "+0" } else { "+1h" })?;
        let prepare = |command: &mut std::process::Command| {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file.path());
            command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        };
        let started = tokio::task::block_in_place(|| Cluster::gateway_in(&cluster.places(), &USUAL, prepare));
        let wrong = match started {
            Ok(server) => server,
            Err(error) if !jumps => {
                verdict.tell(format!("with a clock an hour ahead it does not start: {error:#}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if jumps {
            let ready = is_ready(&wrong).await?;
            verdict.expect(ready, || "it is not ready before its clock jumps".to_owned());
            std::fs::write(file.path(), "+1h")?;
        }
        let (is_noticed, noticed) = until(NOTICED, async || Ok(!is_ready(&wrong).await?)).await?;
        verdict.expect(is_noticed, || format!("it is ready with a clock an hour ahead (jumps: {jumps})"));
        verdict.tell(format!(
            "not ready {noticed:.1?} after its clock {}",
            if jumps { "jumped by an hour" } else { "started an hour ahead" }
        ));
        // Signed by its own clock, and by the right one.
        for minutes in [0, 60] {
            let mut caller =
                Caller::open_at(&wrong.endpoint, Credentials::root(), in_minutes(minutes)).await?;
            let deleted = ask(&mut caller, Method::DELETE, &target, &[], "").await?;
            verdict.expect(deleted.status.as_u16() == 503, || {
                format!(
                    "DELETE of a locked version by a clock an hour ahead: {} {:.300}",
                    deleted.status,
                    deleted.text()
                )
            });
        }
        tokio::time::sleep(JOBS).await;
        let found = ask(&mut caller, Method::GET, &target, &[], "").await?;
        verdict.expect(found.text() == body, || format!("the locked version is {}", found.status));
        // A clock that is right again is one to serve by.
        std::fs::write(file.path(), "+0")?;
        let (is_back, took) = until(NOTICED, async || is_ready(&wrong).await).await?;
        verdict.expect(is_back, || "it is not ready though its clock is right again".to_owned());
        verdict.tell(format!("ready {took:.1?} after its clock was right again"));
    }
    Ok(())
}

async fn is_ready(server: &Server) -> anyhow::Result<bool> {
    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await?;
    let asked = caller.s3(Method::GET, "/_sealgate/health/ready", "");
    Ok(tokio::time::timeout(PATIENCE, asked).await.context("readiness is not told")??.status.is_success())
}
