//! What objects need which key, and moving them to another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use storage::session::Lease;

use super::{Out, root_user};
use crate::api::admin::{CountDependents, Dependents};
use crate::api::s3::ops::object::rewrap::{Rewrapped, Under, rewrap_object};
use crate::app::App;
use crate::bucket::usage::report;
use crate::bucket::walk::{Pages, Versions};
use crate::observe::metrics::REWRAP;

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// Failures that are told one by one.
const MAX_TOLD_FAILURES: u64 = 20;

/// Counts what needs a key, and tells it.
pub(super) async fn dependents(
    app: &Arc<App>,
    key: &str,
    as_json: bool,
    out: &Out,
) -> anyhow::Result<Dependents> {
    let mut counting = CountDependents::of(app, app.kms.arn(&app.kms.find(key)?.key));
    let mut pace = Pace::new(None);
    let mut told = 0;
    while counting.step().await? {
        for bucket in counting.found.default_of[told..].iter().filter(|_| !as_json) {
            out.line(format!("bucket s3://{bucket} has it as its default")).await?;
        }
        told = counting.found.default_of.len();
        pace.steps(out, counting.found.versions_looked_at, "versions looked at").await?;
    }
    let Dependents { objects, bytes, uploads, buckets, .. } = counting.found;
    if as_json {
        let told = json!({
            "key": counting.arn(),
            "objects": objects,
            "buckets": buckets,
            "bytes": bytes,
            "uploads": uploads,
            "default_of": counting.found.default_of,
        });
        out.line(told.to_string()).await?;
        return Ok(counting.found);
    }
    for (name, count) in [("objects", objects), ("bytes", bytes), ("uploads", uploads)] {
        out.fact(name, count).await?;
    }
    out.fact("key", counting.arn()).await?;
    out.fact("default_of", &*counting.found.default_of).await?;
    out.line(format!("key      {}", counting.arn())).await?;
    out.line(format!("objects  {objects} in {buckets} buckets, {bytes} bytes")).await?;
    out.line(format!("uploads  {uploads} under way")).await?;
    out.line(format!("buckets  {told} with it as their default encryption")).await?;
    Ok(counting.found)
}

/// Tells what needs a key, and schedules its deletion if that is said.
pub(super) async fn schedule_deletion(
    app: &Arc<App>,
    key: &str,
    days: u64,
    yes: bool,
    out: &Out,
) -> anyhow::Result<bool> {
    let count = dependents(app, key, false, out).await?;
    let needed = count.objects + count.uploads;
    if needed > 0 {
        out.line(format!(
            "{needed} objects and uploads become unreadable when the key is deleted; `sealgate kms rewrap` moves objects to another key"
        ))
        .await?;
    }
    out.fact("is_scheduled", yes).await?;
    if !yes {
        out.line("nothing was changed; add --yes to schedule the deletion").await?;
        return Ok(false);
    }
    let kms = app.kms.clone();
    let entry = kms.find(key)?;
    let caller = root_user(&entry.key.account, "host schedule-deletion");
    // Management takes no aliases.
    let id = entry.key.id.to_string();
    let scheduled = tokio::task::spawn_blocking(move || kms.schedule_key_deletion(&caller, &id, Some(days)));
    scheduled.await??;
    out.line(format!(
        "the key is deleted in {days} days, and can't be used until then; CancelKeyDeletion calls it off"
    ))
    .await?;
    Ok(true)
}

/// Stands for a key where objects under SSE-S3 are meant.
const SSE_S3: &str = "sse-s3";

/// What is to be moved where.
pub(super) struct Rewrap {
    pub(super) key: String,
    pub(super) to: Option<String>,
    pub(super) bucket: Option<String>,
    pub(super) prefix: String,
    pub(super) rate: Option<u32>,
    pub(super) dry_run: bool,
}

/// Moves every object under a key to its newest backing key, or to another key. What is there already is left, so a job that was
/// cut off goes on when it is run again.
pub(super) async fn rewrap(app: &Arc<App>, asked: Rewrap, out: &Out) -> anyhow::Result<bool> {
    let arn_of = |key: &str| Ok::<_, anyhow::Error>(app.kms.arn(&app.kms.find(key)?.key));
    let to = asked.to.as_deref().map(arn_of).transpose()?;
    let from = match (asked.key.as_str(), &to) {
        (SSE_S3, Some(_)) => Under::SseS3,
        (SSE_S3, None) => {
            anyhow::bail!("say with --to which KMS key objects under SSE-S3 are to be moved to")
        }
        (key, _) => Under::Key(arn_of(key)?),
    };
    let owner = match &from {
        Under::Key(arn) => app.kms.find(arn)?.key.account.clone(),
        Under::SseS3 => app.kms.find(to.as_deref().unwrap_or_default())?.key.account.clone(),
    };
    let caller = root_user(&owner, "host rewrap");
    // A bucket-level key that is remembered may still be under the former backing key.
    app.sse.forget_bucket_keys();
    let mut running = REWRAP.begin(total(app, &asked).await?);
    // Who only counts needs no lease.
    let held = Held(if asked.dry_run { None } else { Some(lease(app, out).await?) });
    let (mut moved, mut already, mut failed) = (0u64, 0u64, 0u64);
    let mut pace = Pace::new(asked.rate);
    let mut buckets = Pages::default();
    while let Some(page) = buckets.next(async |r| app.catalog.list_buckets(None, &r).await).await? {
        for bucket in page {
            if asked.bucket.as_ref().is_some_and(|only| only != bucket.name.as_str()) {
                continue;
            }
            let mut versions = Versions::below(&asked.prefix);
            while let Some(page) = versions.next(&app.catalog, &bucket).await? {
                // Whether it is held still is seen before each page; a commit that comes too late fails.
                let lease = if asked.dry_run { None } else { Some(lease(app, out).await?) };
                let catalog = lease.as_ref().map_or(&app.catalog, Lease::catalog);
                for (object, which) in page {
                    pace.step(out, "versions looked at").await?;
                    running.has_seen();
                    let way = (&from, to.as_deref());
                    let over = (&**app, catalog);
                    match rewrap_object(over, &bucket, (&object, which), way, &caller, asked.dry_run).await {
                        Ok(Rewrapped::NotOfThisKey) => {}
                        Ok(Rewrapped::Already) => already += 1,
                        Ok(Rewrapped::Moved) => {
                            moved += 1;
                            REWRAP.moved.add(u64::from(!asked.dry_run));
                            pace.throttle().await;
                        }
                        Err(error) => {
                            failed += 1;
                            REWRAP.failed.add(1);
                            if failed <= MAX_TOLD_FAILURES {
                                let name = &bucket.name;
                                out.line(format!("FAILED   s3://{name}/{object}: {error}")).await?;
                            }
                        }
                    }
                }
            }
        }
    }
    drop(held);
    let done = if asked.dry_run { "to be rewrapped" } else { "rewrapped" };
    for (name, count) in [("moved", moved), ("already", already), ("failed", failed)] {
        out.fact(name, count).await?;
    }
    out.fact("dry_run", asked.dry_run).await?;
    out.line(format!("objects  {moved} {done}, {already} were there already, {failed} failed")).await?;
    Ok(failed == 0)
}

/// How many versions it has to look at, as far as counters tell: they know of no prefixes.
async fn total(app: &App, asked: &Rewrap) -> anyhow::Result<u64> {
    let usage = report(&app.catalog, None, usize::MAX).await?;
    let is_asked = |name: &str| asked.bucket.as_deref().is_none_or(|only| only == name);
    Ok(usage.buckets.iter().filter(|held| is_asked(&held.name)).map(|held| held.usage.versions).sum())
}

/// The lease of the job, of gateways that share their records; waits for another one that does it.
async fn lease(app: &App, out: &Out) -> anyhow::Result<Lease> {
    loop {
        if let Some(lease) = app.catalog.lease("rewrap").await? {
            return Ok(lease);
        }
        out.progress("another gateway rewraps objects, or its session is not ended yet: waiting".to_owned())
            .await?;
        tokio::time::sleep(TOLD_EVERY).await;
    }
}

/// Gives the lease back when this is dropped, also where the command is cut off.
struct Held(Option<Lease>);

impl Drop for Held {
    fn drop(&mut self) {
        // One who is alone holds nothing.
        let Some(lease) = self.0.take().filter(|lease| lease.number().is_some()) else { return };
        tokio::spawn(async move {
            if let Err(error) = lease.release().await {
                tracing::debug!(%error, "the lease of the rewrap was not given back");
            }
        });
    }
}

/// Tells how far long work is, and holds it back where a rate is given.
struct Pace {
    looked_at: u64,
    told: Instant,
    pause: Duration,
    next: tokio::time::Instant,
}

impl Pace {
    fn new(per_second: Option<u32>) -> Self {
        let pause = per_second.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { looked_at: 0, told: Instant::now(), pause, next: tokio::time::Instant::now() }
    }

    async fn step(&mut self, out: &Out, what: &str) -> anyhow::Result<()> {
        self.looked_at += 1;
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            out.progress(format!("{} {what}", self.looked_at)).await?;
        }
        Ok(())
    }

    /// So many steps in all.
    async fn steps(&mut self, out: &Out, looked_at: u64, what: &str) -> anyhow::Result<()> {
        self.looked_at = looked_at.saturating_sub(1);
        self.step(out, what).await
    }

    async fn throttle(&mut self) {
        if !self.pause.is_zero() {
            tokio::time::sleep_until(self.next).await;
            self.next = self.next.max(tokio::time::Instant::now()) + self.pause;
        }
    }
}
