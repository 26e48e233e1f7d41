//! `/_sealgate/metrics`: what is counted, for Prometheus. On a listener of its own it needs no signature; beside S3 its callers sign, and
//! need the action `sealgate:GetMetrics`; a bearer token as `mc admin prometheus generate` makes it is as good as a signature there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use storage::catalog::Usage;
use storage::figures::{BLOBS, COMMITS};
use storage::kv::Standing;
use tokio::sync::Mutex;

use super::query::{self, Code, Refusal, now_unix_ms};
use super::ready::Closed;
use super::{minio, ready};
use crate::app::App;
use crate::auth::{self, Expected, bearer};
use crate::authz::GlobalKeys;
use crate::bucket::usage::{self, UsageReport};
use crate::config::Config;
use crate::http::body::ResponseBody;
use crate::http::host;
use crate::http::listener::Peer;
use crate::http::tls;
use crate::iam::IamError;
use crate::observe::metrics::{self, REQUESTS, Text};
use crate::observe::{process, request};

/// The path.
pub const PATH: &str = "/_sealgate/metrics";
/// The same, as those configure it who come from MinIO.
const MINIO_PATH: &str = "/minio/v2/metrics/cluster";
/// A figure of each bucket: the metric's name, what it tells, and where it is.
type BucketFigure = (&'static str, &'static str, fn(&Usage) -> u64);

/// How old what is told of buckets may be.
const USAGE_AGE: Duration = Duration::from_secs(5);
/// How long who asks waits for it.
const USAGE_PATIENCE: Duration = Duration::from_secs(5);
/// Buckets that are looked at for the largest.
const MAX_BUCKETS: usize = 10_000;
/// What a caller needs who signs.
const ACTION: &str = "sealgate:GetMetrics";

/// Is it what a request asks for?
pub(super) fn asks(path: &str) -> bool {
    path == PATH || path == MINIO_PATH
}

/// Answers on the listener that serves nothing but this and health checks.
pub async fn handle<B>(
    app: Result<&App, Closed>,
    config: &Config,
    request: &Request<B>,
) -> Response<ResponseBody> {
    let path = request.uri().path();
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET alone\n");
    }
    if asks(path) {
        return answer(app, config, request.headers()).await;
    }
    if path == ready::PATH {
        return ready::answer(app);
    }
    if let Some(rest) = path.strip_prefix("/minio/").filter(|rest| rest.starts_with("health/")) {
        return minio::health(rest, app.is_ok_and(App::is_ready));
    }
    match path.strip_prefix(super::HEALTH) {
        Some(rest) => super::health(rest, app),
        None => plain(StatusCode::NOT_FOUND, "here are /_sealgate/metrics and /_sealgate/health/ready\n"),
    }
}

/// Answers a signed caller.
pub(super) async fn serve(app: &App, parts: &Parts, peer: Peer) -> Response<ResponseBody> {
    request::note(|record| record.operation = Some("GetMetrics"));
    let request_id = query::request_id();
    super::record::id(&request_id);
    match authorize(app, parts, peer).await {
        Ok(()) => answer(Ok(app), &app.config, &parts.headers).await,
        Err(refusal) => {
            super::record::refused(refusal.code.name(), &refusal.message);
            plain(refusal.code.status(), format!("{}: {}\n", refusal.code.name(), refusal.message))
        }
    }
}

async fn authorize(app: &App, parts: &Parts, peer: Peer) -> Result<(), Refusal> {
    let now_unix_ms = now_unix_ms();
    let expected = Expected { region: &app.region, service: "s3", now_unix_ms, source: peer.address.ip() };
    host::of(parts).map_err(|error| Refusal::new(Code::ValidationError, error.to_string()))?;
    app.watch.identities().await.map_err(IamError::from)?;
    let identity = match bearer::token(&parts.headers) {
        Some(token) => {
            let identity = bearer::authenticate(token, app.keys(), expected)?;
            super::record::authenticated(&identity, None);
            identity
        }
        None => {
            let authenticated = auth::authenticate(parts, app.keys(), expected)?;
            super::record::authenticated(&authenticated.identity, authenticated.signed);
            authenticated.identity
        }
    };
    let global_keys = GlobalKeys::of(parts, peer, &app.region, now_unix_ms);
    app.authorizer.authorize_action(&identity, ACTION, "*", || global_keys.context())?;
    // They name every account's buckets.
    match identity.account().is_some_and(|account| account.id == app.iam.main_account().id) {
        true => Ok(()),
        false => {
            Err(Refusal::new(Code::AccessDenied, "Metrics are for callers of the gateway's main account."))
        }
    }
}

fn plain(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn answer(app: Result<&App, Closed>, config: &Config, headers: &HeaderMap) -> Response<ResponseBody> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut text = gather(app, config);
    if let Ok(app) = app
        && let Some(usage) = usage(app).await
    {
        of_buckets(&usage, config.metrics_buckets, &mut text);
    }
    let (text, kind) = match accept.contains("application/openmetrics-text") {
        true => (text.open_metrics(), "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        false => (text.prometheus(), "text/plain; version=0.0.4; charset=utf-8"),
    };
    let mut response = Response::new(ResponseBody::full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn one(value: impl Into<f64>) -> [(metrics::Labels<'static>, f64); 1] {
    [(vec![], value.into())]
}

fn count(value: u64) -> [(metrics::Labels<'static>, f64); 1] {
    [(vec![], value as f64)]
}

/// Everything that is known now. Without open stores that is what the process is.
fn gather(app: Result<&App, Closed>, config: &Config) -> Text {
    let mut text = Text::default();
    let build = vec![("version", env!("CARGO_PKG_VERSION"))];
    text.gauge("sealgate_build_info", "The version that runs, always 1", [(build, 1.0)]);
    text.gauge(
        "sealgate_sealed",
        "Does the gateway wait for the passphrase of its root key (1), or not (0)",
        one(truth(app.err() == Some(Closed::Sealed))),
    );
    let app = app.ok();
    of_readiness(app, &mut text);
    process::write(&mut text);
    metrics::write_connections(&mut text);
    REQUESTS.write(&mut text);
    of_engines(&mut text);
    of_disk(config, &mut text);
    of_certificate(config, &mut text);
    metrics::write_traces(&mut text);
    metrics::write_logs(&mut text);
    let walk = app.and_then(|app| app.job_states.lifecycle_walk.lock().clone());
    metrics::write_jobs(walk.as_ref(), &mut text);
    if let Some(app) = app {
        text.gauge(
            "sealgate_uptime_seconds",
            "Since the stores were opened",
            one(app.started.elapsed().as_secs_f64()),
        );
        of_jobs(app, &mut text);
    }
    text
}

/// What buckets hold, as it was at most [`USAGE_AGE`] ago; `None`: the records can't be read now.
async fn usage(app: &App) -> Option<Arc<UsageReport>> {
    static LAST: Mutex<Option<(Instant, Arc<UsageReport>)>> = Mutex::const_new(None);
    // One reads and the others wait for it: how often somebody asks must not be how often all buckets are read.
    let mut last = tokio::time::timeout(USAGE_PATIENCE, LAST.lock()).await.ok()?;
    if let Some((at, report)) = &*last
        && at.elapsed() < USAGE_AGE
    {
        return Some(report.clone());
    }
    let read = app.catalog.request(usage::report(&app.catalog, None, MAX_BUCKETS));
    match tokio::time::timeout(USAGE_PATIENCE, read).await {
        Ok(Ok(mut report)) => {
            report.buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.usage.stored_bytes));
            let report = Arc::new(report);
            *last = Some((Instant::now(), report.clone()));
            Some(report)
        }
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "metrics lack what buckets hold");
            None
        }
        Err(_) => None,
    }
}

fn of_buckets(report: &UsageReport, most: usize, text: &mut Text) {
    text.gauge("sealgate_buckets", "Buckets", count(report.bucket_count));
    text.gauge(
        "sealgate_usage_counted",
        "Is everything counted (1), or are objects missing below that an earlier build wrote (0)",
        one(truth(report.is_counted)),
    );
    let total = &report.total;
    text.gauge("sealgate_objects", "Objects of all buckets", count(total.objects));
    text.gauge(
        "sealgate_size_bytes",
        "Plain bytes of all versions and of parts of incomplete uploads of all buckets",
        count(total.bytes),
    );
    text.gauge("sealgate_stored_bytes", "The same as they are stored", count(total.stored_bytes));
    let largest = || report.buckets.iter().take(most);
    let figures: [BucketFigure; 7] = [
        ("sealgate_bucket_objects", "Objects of a bucket, without those hidden by delete markers", |u| {
            u.objects
        }),
        ("sealgate_bucket_versions", "Versions of objects of a bucket", |u| u.versions),
        ("sealgate_bucket_delete_markers", "Delete markers of a bucket", |u| u.delete_markers),
        (
            "sealgate_bucket_size_bytes",
            "Plain bytes of all versions and of parts of incomplete uploads of a bucket",
            |u| u.bytes,
        ),
        ("sealgate_bucket_stored_bytes", "The same as they are stored", |u| u.stored_bytes),
        ("sealgate_bucket_incomplete_uploads", "Multipart uploads of a bucket that are not completed", |u| {
            u.uploads
        }),
        ("sealgate_bucket_incomplete_upload_bytes", "Plain bytes of their parts", |u| u.upload_bytes),
    ];
    for (name, help, of) in figures {
        text.gauge(name, help, largest().map(|b| (vec![("bucket", b.name.as_str())], of(&b.usage) as f64)));
    }
    let quotas = largest().filter_map(|b| Some((vec![("bucket", b.name.as_str())], b.quota? as f64)));
    text.gauge("sealgate_bucket_quota_bytes", "Bytes that a bucket may hold, where it has a quota", quotas);
}

fn of_readiness(app: Option<&App>, text: &mut Text) {
    let checks = ready::checks(app);
    let is_ready = app.is_some_and(ready::is_ready);
    text.gauge("sealgate_ready", "May requests be sent here (1), or not (0)", one(truth(is_ready)));
    text.gauge(
        "sealgate_ready_check",
        "What readiness is judged by: 1 is well",
        checks.into_iter().map(|(name, ok)| (vec![("check", name)], truth(ok))),
    );
}

fn of_engines(text: &mut Text) {
    text.counter(
        "sealgate_catalog_commits",
        "Transactions on records and shared keys, by outcome",
        [("ok", &COMMITS.committed), ("conflict", &COMMITS.conflicts), ("failed", &COMMITS.failed)]
            .map(|(outcome, counter)| (vec![("outcome", outcome)], counter.get() as f64)),
    );
    text.histogram_s(
        "sealgate_catalog_commit_wait_seconds",
        "From a transaction's request to its answer",
        [(vec![], &COMMITS.wait)],
    );
    text.histogram_of_counts(
        "sealgate_catalog_commit_batch_transactions",
        "Transactions of one commit",
        [(vec![], &COMMITS.batch)],
    );
    text.histogram_s(
        "sealgate_catalog_commit_sync_seconds",
        "How long a commit took to become durable, or the metadata server to answer it",
        [(vec![], &COMMITS.sync)],
    );
    text.counter("sealgate_blob_writes", "Blobs that were written", count(BLOBS.written.get()));
    text.counter("sealgate_blob_written_bytes", "Their stored bytes", count(BLOBS.written_len.get()));
    text.counter("sealgate_blob_reads", "Reads of ranges of blobs", count(BLOBS.reads.get()));
    text.counter("sealgate_blob_read_bytes", "Bytes of blobs that were read", count(BLOBS.read_len.get()));
    text.histogram_s(
        "sealgate_blob_sync_seconds",
        "How long files of blobs took to become durable; an object store has none",
        [(vec![], &BLOBS.sync)],
    );
    text.counter(
        "sealgate_blob_errors",
        "Reads and writes of blobs that failed",
        [("read", &BLOBS.read_errors), ("write", &BLOBS.write_errors)]
            .map(|(what, counter)| (vec![("operation", what)], counter.get() as f64)),
    );
}

fn of_disk(config: &Config, text: &mut Text) {
    // Before the first start there is no folder yet.
    let Ok(found) = rustix::fs::statvfs(&config.data) else { return };
    let bytes = |blocks: u64| one(blocks.saturating_mul(found.f_frsize) as f64);
    text.gauge("sealgate_disk_free_bytes", "Free on the data folder's file system", bytes(found.f_bavail));
    text.gauge("sealgate_disk_size_bytes", "Size of that file system", bytes(found.f_blocks));
    text.gauge(
        "sealgate_disk_reserve_bytes",
        "Free space below which writes are refused",
        one(config.min_free_len as f64),
    );
}

fn of_certificate(config: &Config, text: &mut Text) {
    let Some((certificates, _)) = &config.tls else { return };
    let Some(expires_unix_s) = tls::expiry_unix_s(certificates) else { return };
    text.gauge(
        "sealgate_certificate_expiry_timestamp_seconds",
        "When the TLS certificate on the disk expires, in seconds since the Unix epoch",
        one(expires_unix_s as f64),
    );
}

fn of_jobs(app: &App, text: &mut Text) {
    let standing = app.catalog.standing();
    text.gauge(
        "sealgate_catalog_standing",
        "How the records stand, as the state that is 1: verifying while they are compared with what was committed",
        [
            ("verifying", Standing::Verifying),
            ("verified", Standing::Verified),
            ("damaged", Standing::Damaged),
            ("failed", Standing::Failed),
        ]
        .map(|(name, state)| (vec![("state", name)], truth(standing == state))),
    );
    text.gauge(
        "sealgate_catalog_damaged_records",
        "Records that were met since the start and can't be read",
        count(app.catalog.damaged_records_met() as u64),
    );
    let reclaim = app.job_states.reclaim.lock().clone();
    text.counter(
        "sealgate_reclaim_blobs",
        "Blobs whose space was freed or that were moved, by reason",
        [("displaced", reclaim.displaced), ("orphan", reclaim.orphans), ("moved", reclaim.moved)]
            .map(|(reason, count)| (vec![("reason", reason)], count as f64)),
    );
    text.counter(
        "sealgate_reclaim_sweeps",
        "Looks at all blobs for those without a record",
        count(reclaim.sweeps),
    );
    text.counter(
        "sealgate_quarantined_blobs",
        "Blobs put into quarantine, since nobody could account for them",
        count(reclaim.quarantined),
    );
    let in_quarantine = reclaim.in_quarantine.map(|blobs| (vec![], blobs as f64));
    text.gauge("sealgate_quarantine_blobs", "Blobs that are in quarantine", in_quarantine);
    text.gauge(
        "sealgate_reclaim_backlog_records",
        "Records of displaced blobs that wait to be deleted: at most 10000 are counted",
        count(reclaim.backlog.waiting),
    );
    let seconds = |unix_ms: u64| (vec![], unix_ms as f64 / 1000.0);
    let oldest = reclaim.backlog.oldest_unix_ms;
    let waits_s = oldest.map_or(0.0, |since| now_unix_ms().saturating_sub(since) as f64 / 1000.0);
    text.gauge(
        "sealgate_reclaim_oldest_waiting_seconds",
        "For how long the oldest of them waits; 0: none does",
        one(waits_s),
    );
    text.gauge(
        "sealgate_reclaim_last_end_timestamp_seconds",
        "When space was last reclaimed without an error, in seconds since the Unix epoch",
        reclaim.ended_unix_ms.map(seconds),
    );
    let scrub = app.job_states.scrub.lock().clone();
    let running = scrub.current.as_ref();
    text.gauge("sealgate_scrub_running", "Is a round of the scrub under way", one(truth(running.is_some())));
    let rounds = [("current", running), ("last", scrub.last.as_ref())];
    let of_rounds = |of: fn(&crate::observe::jobs::ScrubRound) -> u64| {
        rounds
            .iter()
            .filter_map(move |(name, round)| round.map(|round| (vec![("round", *name)], of(round) as f64)))
    };
    text.gauge("sealgate_scrub_blobs", "Blobs that a round of the scrub has read", of_rounds(|r| r.blobs));
    text.gauge("sealgate_scrub_read_bytes", "Their stored bytes", of_rounds(|r| r.bytes));
    text.gauge(
        "sealgate_scrub_faults",
        "Damage that a round of the scrub has found",
        of_rounds(|r| r.faults),
    );
    let ended = scrub.last.and_then(|round| round.ended_unix_ms);
    text.gauge(
        "sealgate_scrub_last_end_timestamp_seconds",
        "When the last round of the scrub ended, in seconds since the Unix epoch",
        ended.into_iter().map(|ms| (vec![], ms as f64 / 1000.0)),
    );
    if let Some(run) = app.job_states.lifecycle.lock().clone() {
        text.gauge(
            "sealgate_lifecycle_last_end_timestamp_seconds",
            "When the last walk of lifecycle rules ended, in seconds since the Unix epoch",
            one(run.ended_unix_ms as f64 / 1000.0),
        );
        text.gauge("sealgate_lifecycle_last_whole", "Did it come to its end", one(truth(run.is_whole)));
        text.gauge("sealgate_lifecycle_last_versions", "Versions that it looked at", count(run.seen));
        text.gauge(
            "sealgate_lifecycle_last_changes",
            "Versions that it expired or changed",
            count(run.changes),
        );
    }
}
