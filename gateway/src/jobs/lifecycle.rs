//! Lifecycle rules at work: every bucket that has some is walked, version by version, and what is due is done. A walk goes on where it
//! stood when the process ended, takes a page at a time, and does no more per second than the setting says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::catalog::{
    Authority, Bucket, Catalog, CatalogError, ListRequest, ListRow, ObjectVersion, Precondition, VersionRef,
    VersionSummary, Versioning,
};
use storage::figures::Counter;
use storage::name::{ObjectKey, Timestamp};
use tokio::sync::watch;

use crate::app::App;
use crate::bucket::{Lifecycle, Rule, Setting, Transition, When, is_due};
use crate::observe::jobs::{LifecycleRun, LifecycleWalk};
use crate::observe::metrics::LIFECYCLE;
use crate::transfer::journal::ChangeError;
use crate::work;

/// Of gateways that share their records one walks.
const JOB: &str = "lifecycle";
/// Rows per page.
const PAGE_LEN: usize = 500;
/// Where the walk stands, in the data folder.
const CURSOR_FILE: &str = "lifecycle-cursor.json";
/// Where it is kept by gateways that share their records.
const CURSOR_SHELF: &str = "jobs";
const CURSOR_NAME: &str = "lifecycle";
/// Objects smaller than this change their class only by a rule that speaks of sizes.
const TRANSITION_MIN_LEN: u64 = 128 << 10;

/// How the job goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two walks.
    pub interval: Duration,
    /// At most so many changes per second.
    pub rate: u32,
}

/// What a walk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Versions that were looked at.
    pub seen: u64,
    /// Current versions that were deleted, or hidden by a delete marker.
    pub expired: u64,
    /// Versions that were not current, deleted.
    pub noncurrent: u64,
    /// Delete markers that nothing was behind, deleted.
    pub markers: u64,
    /// Versions that have another storage class now.
    pub transitions: u64,
    /// Uploads that were ended.
    pub uploads: u64,
    /// What object lock kept.
    pub locked: u64,
}

/// Walks again and again until it is told to stop.
pub async fn run(app: Arc<App>, pace: Pace, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(pace.interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = interval.tick() => {}
        }
        // By a clock that is wrong versions would go too early; and of gateways that share them one is enough.
        if !app.clock.is_right() {
            continue;
        }
        let Some(lease) = super::lease(&app, JOB).await else { continue };
        let mut walk = Walk::new(&app, lease.catalog().clone(), pace.rate);
        *app.job_states.lifecycle_walk.lock() =
            Some(LifecycleWalk { began_unix_ms: Timestamp::now().unix_ms(), ..LifecycleWalk::default() });
        let result = tokio::select! {
            _ = stopped.changed() => return,
            result = work::timed(walk.all()) => result,
        };
        *app.job_states.lifecycle_walk.lock() = None;
        LIFECYCLE.has_walked(result.is_ok());
        *app.job_states.lifecycle.lock() = Some(LifecycleRun {
            ended_unix_ms: Timestamp::now().unix_ms(),
            is_whole: result.is_ok(),
            seen: walk.done.seen,
            changes: walk.done.changes(),
        });
        match result {
            Ok(()) if walk.done.changes() == 0 => {
                tracing::debug!(done = ?walk.done, "nothing was due by lifecycle rules")
            }
            Ok(()) => tracing::info!(done = ?walk.done, "lifecycle rules were applied"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "lifecycle rules could not be applied to the end; it is tried again"
            ),
        }
    }
}

impl Done {
    fn changes(&self) -> u64 {
        self.expired + self.noncurrent + self.markers + self.transitions + self.uploads + self.locked
    }
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    bucket: String,
    /// Go on behind this object.
    object: Option<String>,
}

impl Cursor {
    /// The stored one; none where it can't be read: then the walk begins anew.
    fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// The one of whichever gateway walked before.
    async fn load_shared(catalog: &Catalog) -> Option<Self> {
        let (_, documents) = catalog.documents(CURSOR_SHELF).await.ok()?;
        serde_json::from_slice(&documents.into_iter().find(|(name, _)| name == CURSOR_NAME)?.1).ok()
    }

    async fn store_shared(cursor: Option<&Self>, catalog: &Catalog) -> anyhow::Result<()> {
        let (state, documents) = catalog.documents(CURSOR_SHELF).await?;
        if cursor.is_none() && documents.is_empty() {
            return Ok(());
        }
        let text = cursor.map(serde_json::to_vec).transpose()?.map(Into::into);
        catalog.change_documents(CURSOR_SHELF, state, vec![(CURSOR_NAME.to_owned(), text)]).await?;
        Ok(())
    }
}

struct Walk<'a> {
    app: &'a App,
    /// Its commits are conditional on the lease.
    catalog: Catalog,
    path: PathBuf,
    day_ms: u64,
    rate: u32,
    done: Done,
}

/// A version and what is known of those above it.
struct Row<'a> {
    summary: &'a VersionSummary,
    /// When it stopped being current; `None` for the current one.
    noncurrent_since: Option<Timestamp>,
    /// How many versions that are not current either are newer.
    newer_noncurrent: u32,
}

impl<'a> Walk<'a> {
    fn new(app: &'a App, catalog: Catalog, rate: u32) -> Self {
        let path = app.stores.folder.path.join(CURSOR_FILE);
        Self { app, catalog, path, day_ms: app.lifecycle_day_ms, rate, done: Done::default() }
    }

    async fn cursor(&self) -> Option<Cursor> {
        match self.app.watch.is_shared() {
            true => Cursor::load_shared(&self.catalog).await,
            false => Cursor::load(&self.path),
        }
    }

    /// Writes down where it stands; `None`: it came to the end. A cursor that is lost costs a walk from the beginning, and nothing else.
    async fn keep_cursor(&self, cursor: Option<&Cursor>) {
        let kept = match (self.app.watch.is_shared(), cursor) {
            (true, cursor) => Cursor::store_shared(cursor, &self.catalog).await,
            (false, Some(cursor)) => serde_json::to_vec(cursor)
                .map_err(Into::into)
                .and_then(|text| Ok(std::fs::write(&self.path, text)?)),
            (false, None) => {
                let _ = std::fs::remove_file(&self.path);
                Ok(())
            }
        };
        if let Err(error) = kept {
            tracing::debug!(%error, "the lifecycle cursor was not written");
        }
    }

    /// How much a walk that goes on from here has to look at, as far as counters tell.
    async fn total(&self, from: Option<&Cursor>) -> Result<u64, CatalogError> {
        let usages = self.catalog.usage_of_buckets().await?;
        let (mut total, mut after) = (0, None);
        loop {
            let request =
                ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
            let page = self.catalog.list_buckets(None, &request).await?;
            for row in &page.rows {
                let ListRow::Item(bucket) = row else { continue };
                after = Some(bucket.name.as_str().to_owned());
                let is_behind = from.is_none_or(|from| bucket.name.as_str() >= from.bucket.as_str());
                if is_behind && bucket.configs.contains_key(Lifecycle::NAME) {
                    let held = usages.get(&bucket.id).copied().unwrap_or_default();
                    total += held.versions + held.delete_markers;
                }
            }
            if !page.truncated {
                return Ok(total);
            }
        }
    }

    async fn all(&mut self) -> Result<(), ChangeError> {
        let from = self.cursor().await;
        let total = self.total(from.as_ref()).await?;
        if let Some(walk) = &mut *self.app.job_states.lifecycle_walk.lock() {
            walk.total = total;
        }
        // The listing goes on behind a name: the bucket that the walk stands in is asked for by itself.
        let mut after = None;
        if let Some(from) = &from
            && let Ok(name) = storage::name::BucketName::parse(&from.bucket)
        {
            match self.catalog.bucket(&name).await {
                Ok(bucket) => self.bucket_or_tell(&bucket, from.object.clone()).await?,
                Err(CatalogError::NoSuchBucket) => {}
                Err(error) => return Err(error.into()),
            }
            after = Some(from.bucket.clone());
        }
        loop {
            let request =
                ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
            let page = self.catalog.list_buckets(None, &request).await?;
            for row in &page.rows {
                let ListRow::Item(bucket) = row else { continue };
                after = Some(bucket.name.as_str().to_owned());
                self.bucket_or_tell(bucket, None).await?;
            }
            if !page.truncated {
                break;
            }
        }
        self.keep_cursor(None).await;
        Ok(())
    }

    /// What can't be done in one bucket does not keep the others waiting; the next walk tries it again. A walk that is another gateway's
    /// by now ends.
    async fn bucket_or_tell(&mut self, bucket: &Bucket, after: Option<String>) -> Result<(), ChangeError> {
        let Err(error) = self.bucket(bucket, after).await else { return Ok(()) };
        if super::lease(self.app, JOB).await.is_none() {
            return Err(error);
        }
        tracing::error!(
            bucket = bucket.name.as_str(),
            error = &error as &dyn std::error::Error,
            "lifecycle rules of a bucket were not applied to the end"
        );
        Ok(())
    }

    async fn bucket(&mut self, bucket: &Bucket, after: Option<String>) -> Result<(), ChangeError> {
        let rules = match Lifecycle::of(bucket) {
            Ok(Some(lifecycle)) => lifecycle,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!(bucket = bucket.name.as_str(), %error, "the lifecycle rules of a bucket are passed over");
                return Ok(());
            }
        };
        let rules =
            Lifecycle { rules: rules.rules.into_iter().filter(|rule| rule.enabled).collect(), ..rules };
        if rules.rules.is_empty() {
            return Ok(());
        }
        self.versions(bucket, &rules, after).await?;
        self.uploads(bucket, &rules).await
    }

    async fn versions(
        &mut self,
        bucket: &Bucket,
        rules: &Lifecycle,
        mut after: Option<String>,
    ) -> Result<(), ChangeError> {
        let mut after_version = None;
        // Of the object that the last row was of: the version above, and how many are not current.
        let mut above: Option<(VersionSummary, u32)> = None;
        // A delete marker that nothing was seen behind so far.
        let mut lone_marker: Option<VersionSummary> = None;
        loop {
            let request =
                ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
            let page = self.catalog.list_versions(bucket, &request, after_version).await?;
            let seen = page.rows.len() as u64;
            LIFECYCLE.seen.add(seen);
            if let Some(walk) = &mut *self.app.job_states.lifecycle_walk.lock() {
                walk.seen += seen;
            }
            for row in &page.rows {
                let ListRow::Item(summary) = row else { continue };
                self.done.seen += 1;
                work::pause().await;
                let object = &summary.summary.object;
                if let Some(marker) = lone_marker.take().filter(|marker| marker.summary.object != *object) {
                    self.lone_marker(bucket, rules, &marker).await?;
                }
                let newer = above.take().filter(|(newer, _)| newer.summary.object == *object);
                let row = Row {
                    summary,
                    noncurrent_since: newer.as_ref().map(|(newer, _)| newer.summary.last_modified),
                    newer_noncurrent: newer.as_ref().map_or(0, |(_, count)| *count),
                };
                if summary.is_latest && summary.delete_marker {
                    lone_marker = Some(summary.clone());
                } else {
                    self.version(bucket, rules, &row).await?;
                }
                above = Some((summary.clone(), row.newer_noncurrent + u32::from(!summary.is_latest)));
                after = Some(object.to_string());
                after_version = Some(which(summary));
            }
            // The object that the page ended in is looked at again by whoever goes on from here.
            let cursor = Cursor {
                bucket: bucket.name.to_string(),
                object: above.as_ref().map(|(row, _)| before(row)),
            };
            self.keep_cursor(Some(&cursor)).await;
            if !page.truncated {
                break;
            }
        }
        match lone_marker {
            Some(marker) => self.lone_marker(bucket, rules, &marker).await,
            None => Ok(()),
        }
    }

    /// A version that is not a current delete marker.
    async fn version(
        &mut self,
        bucket: &Bucket,
        rules: &Lifecycle,
        row: &Row<'_>,
    ) -> Result<(), ChangeError> {
        let now = Timestamp::now();
        let summary = &row.summary.summary;
        let needs_tags = rules.rules.iter().any(|rule| !rule.filter.tags.is_empty());
        let record = if needs_tags && !row.summary.delete_marker {
            self.catalog.version(bucket, &summary.object, which(row.summary)).await?
        } else {
            None
        };
        let tags = record.as_ref().and_then(ObjectVersion::object).map_or(&[][..], |record| &record.tags[..]);
        let of_this = |rule: &&Rule| rule.filter.matches(summary.object.as_str(), summary.plain_len, tags);
        let same = match row.summary.delete_marker {
            true => Precondition::None,
            false => Precondition::Like {
                etag: Some(summary.etag.clone()),
                plain_len: None,
                last_modified_s: Some(summary.last_modified.unix_ms() / 1000),
            },
        };
        let Some(since) = row.noncurrent_since else {
            let expires = |rule: &Rule| {
                rule.expiration.is_some_and(|when| is_due(when, summary.last_modified, now, self.day_ms))
            };
            if rules.rules.iter().filter(of_this).any(expires) {
                let changed = self.expire(bucket, &summary.object, &same).await;
                return self.count(changed, (|done| &mut done.expired, &LIFECYCLE.expired)).await;
            }
            let transitions = rules.rules.iter().filter(of_this).flat_map(|rule| {
                let sized = rule.filter.larger_than.is_some() || rule.filter.smaller_than.is_some();
                rule.transitions.iter().map(move |transition| (transition, sized))
            });
            return self
                .transition(bucket, rules, row, transitions.collect(), summary.last_modified, now)
                .await;
        };
        // Whoever deletes the versions above meanwhile makes it the current one, and then it stays.
        let noncurrent = VersionRef::Noncurrent(row.summary.version);
        let expires = |rule: &Rule| {
            rule.noncurrent_expiration.is_some_and(|expiration| {
                row.newer_noncurrent >= expiration.newer_versions.unwrap_or(0)
                    && is_due(When::Days(expiration.days), since, now, self.day_ms)
            })
        };
        if rules.rules.iter().filter(of_this).any(expires) {
            let deleted = self
                .app
                .catalog
                .delete_version(bucket, &summary.object, noncurrent, &same, Authority::usual())
                .await;
            return self
                .count(
                    deleted.map(drop).map_err(ChangeError::from),
                    (|done| &mut done.noncurrent, &LIFECYCLE.noncurrent),
                )
                .await;
        }
        let transitions = rules.rules.iter().filter(of_this).flat_map(|rule| {
            let sized = rule.filter.larger_than.is_some() || rule.filter.smaller_than.is_some();
            let enough =
                |transition: &&Transition| row.newer_noncurrent >= transition.newer_versions.unwrap_or(0);
            rule.noncurrent_transitions.iter().filter(enough).map(move |transition| (transition, sized))
        });
        let transitions = transitions.collect();
        self.transition(bucket, rules, row, transitions, since, now).await
    }

    /// Deletes the current version, or hides it.
    async fn expire(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        same: &Precondition,
    ) -> Result<(), ChangeError> {
        if bucket.versioning == Versioning::Unversioned {
            let current = VersionRef::Current;
            self.catalog.delete_version(bucket, object, current, same, Authority::usual()).await?;
        } else {
            self.app.records_in(&self.catalog).mark_deleted(bucket, object, same).await?;
        }
        Ok(())
    }

    /// Gives a version the storage class of the latest transition that is due. Its bytes lie here as before.
    async fn transition(
        &mut self,
        bucket: &Bucket,
        rules: &Lifecycle,
        row: &Row<'_>,
        transitions: Vec<(&Transition, bool)>,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let summary = &row.summary.summary;
        let varies = rules.default_minimum.as_deref() == Some("varies_by_storage_class");
        let due = transitions.into_iter().filter(|(transition, sized)| {
            let cold = ["GLACIER", "DEEP_ARCHIVE"].contains(&transition.storage_class.as_str());
            (*sized || summary.plain_len >= TRANSITION_MIN_LEN || varies && cold)
                && colder(&transition.storage_class) > colder(&summary.storage_class)
                && is_due(transition.when, from, now, self.day_ms)
        });
        let coldest = due.max_by_key(|(transition, _)| colder(&transition.storage_class));
        let (Some((transition, _)), false) = (coldest, row.summary.delete_marker) else { return Ok(()) };
        let found = self.catalog.version(bucket, &summary.object, which(row.summary)).await?;
        let Some(former) = found.filter(|found| found.version == row.summary.version) else { return Ok(()) };
        let mut next = former.clone();
        if let Some(record) = next.object_mut() {
            record.storage_class.clone_from(&transition.storage_class);
        }
        let former = ObjectVersion { journal: None, ..former };
        let replaced = self
            .app
            .records_in(&self.catalog)
            .replace(bucket, &summary.object, &former, next, Authority::usual())
            .await;
        self.count(replaced, (|done| &mut done.transitions, &LIFECYCLE.transitions)).await
    }

    /// A delete marker that is the object's only version.
    async fn lone_marker(
        &mut self,
        bucket: &Bucket,
        rules: &Lifecycle,
        marker: &VersionSummary,
    ) -> Result<(), ChangeError> {
        let now = Timestamp::now();
        let object = &marker.summary.object;
        let expires = |rule: &Rule| {
            let by_age = rule.expiration.is_some_and(|when| {
                matches!(when, When::Days(_)) && is_due(when, marker.summary.last_modified, now, self.day_ms)
            });
            rule.filter.is_of_names_alone()
                && rule.filter.matches(object.as_str(), 0, &[])
                && (rule.expired_delete_marker || by_age)
        };
        if !rules.rules.iter().any(expires) {
            return Ok(());
        }
        let catalog = &self.catalog;
        let deleted = catalog
            .delete_version(bucket, object, which(marker), &Precondition::None, Authority::usual())
            .await;
        let deleted = deleted.map(drop).map_err(ChangeError::from);
        self.count(deleted, (|done| &mut done.markers, &LIFECYCLE.markers)).await
    }

    async fn uploads(&mut self, bucket: &Bucket, rules: &Lifecycle) -> Result<(), ChangeError> {
        if rules.rules.iter().all(|rule| rule.abort_uploads_after_days.is_none()) {
            return Ok(());
        }
        let (mut after, mut after_upload) = (None, None);
        loop {
            let request =
                ListRequest { prefix: String::new(), delimiter: None, after: after.take(), limit: PAGE_LEN };
            let page = self.catalog.list_uploads(bucket, &request, after_upload).await?;
            for row in &page.rows {
                let ListRow::Item(upload) = row else { continue };
                let now = Timestamp::now();
                let end = rules.upload_end(upload.object.as_str(), upload.initiated, self.day_ms);
                if end.is_some_and(|end| end.at <= now) {
                    let ended = self.catalog.abort_upload(bucket, &upload.object, upload.id).await;
                    let ended = ended.map_err(ChangeError::from);
                    self.count(ended, (|done| &mut done.uploads, &LIFECYCLE.uploads)).await?;
                }
                (after, after_upload) = (Some(upload.object.to_string()), Some(upload.id));
            }
            if !page.truncated {
                return Ok(());
            }
        }
    }

    /// Counts a change and waits for the next one's turn. What somebody else changed meanwhile is looked at by the next walk.
    async fn count(
        &mut self,
        changed: Result<(), ChangeError>,
        (counter, figure): (fn(&mut Done) -> &mut u64, &Counter),
    ) -> Result<(), ChangeError> {
        match changed {
            Ok(()) => {
                *counter(&mut self.done) += 1;
                figure.add(1);
            }
            Err(ChangeError::Catalog(CatalogError::Locked)) => {
                self.done.locked += 1;
                LIFECYCLE.locked.add(1);
            }
            Err(ChangeError::Catalog(
                CatalogError::PreconditionFailed
                | CatalogError::Contended
                | CatalogError::NoSuchKey
                | CatalogError::NoSuchVersion
                | CatalogError::NoSuchUpload
                | CatalogError::NoSuchBucket,
            )) => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_secs(1) / self.rate).await;
        Ok(())
    }
}

/// The name that a listing goes on behind so that it shows this row's object again.
fn before(row: &VersionSummary) -> String {
    let name = row.summary.object.as_str();
    let mut shorter = name.to_owned();
    // No name lies between a name and itself without its last character but those that begin so: they are looked at once more.
    shorter.pop();
    shorter
}

fn which(row: &VersionSummary) -> VersionRef {
    if row.is_null { VersionRef::Null } else { VersionRef::Id(row.version) }
}

/// Storage classes from warm to cold: transitions go one way.
fn colder(class: &str) -> usize {
    const WATERFALL: [&str; 6] =
        ["STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];
    WATERFALL.iter().position(|known| *known == class).map_or(0, |at| at + 1)
}
