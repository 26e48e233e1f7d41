//! Does an object store do what blobs need? Tried with objects of its own below `PREFIX/trial/`.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutResult};

use super::{Blobs, Scheme};

/// Where the objects of trials are, below the prefix.
pub const TRIAL_FOLDER: &str = "trial";
/// How long one request of a trial may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a part of the multipart trial: the least that S3 takes.
const PART_LEN: usize = 5 << 20;

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it has to be.
    Holds,
    /// It works, and something should be known of it.
    Warning,
    /// Blobs would be lost, or space: the store is not used.
    Refused,
}

/// A trial, what came of it, and what to do.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What was tried.
    pub check: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What was seen, and what to do about it.
    pub detail: String,
}

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What would lose data: some requests, at each start.
    Start,
    /// Everything that blobs use.
    All,
}

/// Tries the store, and ends at the first thing that can't be tried any further.
pub async fn probe(blobs: &Blobs, depth: Depth) -> Vec<Observation> {
    let mut trial = Trial { blobs, observed: Vec::new() };
    let name = trial.name("object");
    let came = trial.run(&name, depth).await;
    if let Err(failure) = came {
        trial.tell(failure.check, Verdict::Refused, failure.detail);
    }
    // What is left of it is nobody's.
    let _ = tokio::time::timeout(DEADLINE, blobs.store.delete(&name)).await;
    trial.observed
}

struct Trial<'a> {
    blobs: &'a Blobs,
    observed: Vec<Observation>,
}

/// A request that failed: nothing can be tried further.
struct Failure {
    check: &'static str,
    detail: String,
}

/// Waits for a request, and not for ever.
async fn ask<T>(
    check: &'static str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<object_store::Result<T>, Failure> {
    tokio::time::timeout(DEADLINE, request)
        .await
        .map_err(|_| Failure { check, detail: format!("no answer within {} s", DEADLINE.as_secs()) })
}

/// As [`ask`], where the request must not fail.
async fn need<T>(
    check: &'static str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    ask(check, request).await?.map_err(|error| Failure { check, detail: told(&error) })
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl Trial<'_> {
    /// A name that no other trial has.
    fn name(&self, what: &str) -> Path {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).expect("the operating system gives random bytes");
        self.blobs.prefix.clone().join(TRIAL_FOLDER).join(format!("{what}-{}", hex::encode(salt)))
    }

    fn tell(&mut self, check: &'static str, verdict: Verdict, detail: impl Into<String>) {
        self.observed.push(Observation { check, verdict, detail: detail.into() });
    }

    async fn create(
        &self,
        check: &'static str,
        name: &Path,
        content: &Bytes,
    ) -> Result<object_store::Result<PutResult>, Failure> {
        let options = PutOptions::from(PutMode::Create);
        ask(check, self.blobs.store.put_opts(name, content.clone().into(), options)).await
    }

    async fn run(&mut self, name: &Path, depth: Depth) -> Result<(), Failure> {
        let store = self.blobs.store.clone();
        let content = Bytes::from(name.to_string().repeat(40));

        let check = "write";
        let written = match self.create(check, name, &content).await? {
            Ok(written) => written,
            Err(error) => {
                let detail =
                    format!("{} (is the bucket there, and may these credentials write to it?)", told(&error));
                return Err(Failure { check, detail });
            }
        };
        self.tell(check, Verdict::Holds, format!("an object of {} bytes", content.len()));
        self.versions(written.version.as_deref());

        let check = "read after write";
        match ask(check, store.get(name)).await? {
            Ok(found) => match need(check, found.bytes()).await? {
                found if found == content => self.tell(check, Verdict::Holds, "an object is there as soon as it is written"),
                _ => self.tell(check, Verdict::Refused, "an object has other bytes than were written: blobs would be lost"),
            },
            Err(Error::NotFound { .. }) => self.tell(
                check,
                Verdict::Refused,
                "an object is not there right after it was written: blobs would be missing. Use a store that reads its own writes",
            ),
            Err(error) => return Err(Failure { check, detail: told(&error) }),
        }

        let check = "If-None-Match";
        match self.create(check, name, &Bytes::from_static(b"other")).await? {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.tell(check, Verdict::Holds, "what is there is not written over");
            }
            Ok(_) => self.tell(
                check,
                Verdict::Refused,
                "a second write with `If-None-Match: *` went over the first: a repeated request could put old bytes in the place of \
                 a blob. Use a store that has conditional writes (Garage has none by its design; SeaweedFS, Ceph, MinIO, AWS have)",
            ),
            Err(error) => self.tell(
                check,
                Verdict::Refused,
                format!("a write with `If-None-Match: *` was answered otherwise than by 412: {}", told(&error)),
            ),
        }

        let check = "range";
        let range = need(check, store.get_range(name, 3..17)).await?;
        match range == content[3..17] {
            true => self.tell(check, Verdict::Holds, "a range is what was asked for"),
            false => self.tell(check, Verdict::Refused, "a range has other bytes than were asked for"),
        }

        let check = "list after write";
        let folder = self.blobs.prefix.clone().join(TRIAL_FOLDER);
        let is_listed = self.is_listed(check, &folder, name).await?;
        match is_listed {
            true => self.tell(check, Verdict::Holds, "a listing has an object as soon as it is written"),
            // A sweep would find it later: nothing is lost.
            false => self.tell(
                check,
                Verdict::Warning,
                "a listing lags behind: space is reclaimed later than it could be",
            ),
        }
        if depth == Depth::All {
            self.parts().await?;
            self.copy(name, &content).await?;
        }

        let check = "delete";
        need(check, store.delete(name)).await?;
        match ask(check, store.get(name)).await? {
            Err(Error::NotFound { .. }) => {
                self.tell(check, Verdict::Holds, "a deleted object is gone at once")
            }
            Ok(_) => self.tell(
                check,
                Verdict::Refused,
                "a deleted object is still there: space would never be freed",
            ),
            Err(error) => return Err(Failure { check, detail: told(&error) }),
        }
        if depth == Depth::All {
            self.many().await?;
            self.what_is_it().await;
        }
        Ok(())
    }

    fn versions(&mut self, version: Option<&str>) {
        let check = "versioning";
        match version {
            Some(version) if version != "null" && self.blobs.url.scheme == Scheme::S3 => self.tell(
                check,
                Verdict::Refused,
                "the bucket keeps versions: a deletion would free nothing, for ever. Use a bucket that never had versioning \
                 (aws s3api get-bucket-versioning)",
            ),
            _ => self.tell(check, Verdict::Holds, "the bucket keeps no versions"),
        }
    }

    async fn is_listed(&self, check: &'static str, folder: &Path, name: &Path) -> Result<bool, Failure> {
        let mut listed = self.blobs.store.list(Some(folder));
        while let Some(object) = need(check, listed.try_next()).await? {
            if object.location == *name {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An object in two parts: it is not there before it is whole, and then it is.
    async fn parts(&mut self) -> Result<(), Failure> {
        let check = "upload in parts";
        let (store, name) = (self.blobs.store.clone(), self.name("parts"));
        let mut upload = need(check, store.put_multipart(&name)).await?;
        let (first, last) = (Bytes::from(vec![1; PART_LEN]), Bytes::from_static(b"the end"));
        need(check, upload.put_part(first.into())).await?;
        need(check, upload.put_part(last.clone().into())).await?;
        let is_early = ask(check, store.head(&name)).await?.is_ok();
        need(check, upload.complete()).await?;
        let end = need(check, store.get_range(&name, PART_LEN as u64..PART_LEN as u64 + 7)).await?;
        need(check, store.delete(&name)).await?;
        let mut given_up = need(check, store.put_multipart(&name)).await?;
        need(check, given_up.abort()).await?;
        match !is_early && end == last {
            true => {
                self.tell(check, Verdict::Holds, "an object is there once it is whole, and can be given up")
            }
            false => self.tell(
                check,
                Verdict::Refused,
                "an object in parts is there before it is whole, or has other bytes",
            ),
        }
        Ok(())
    }

    /// What puts a blob into quarantine.
    async fn copy(&mut self, name: &Path, content: &Bytes) -> Result<(), Failure> {
        let check = "copy";
        let (store, to) = (self.blobs.store.clone(), self.name("copy"));
        need(check, store.copy(name, &to)).await?;
        let found = need(check, async { store.get(&to).await?.bytes().await }).await?;
        need(check, store.delete(&to)).await?;
        match found == *content {
            true => self.tell(check, Verdict::Holds, "the store copies an object by itself"),
            false => self.tell(check, Verdict::Refused, "a copy has other bytes"),
        }
        Ok(())
    }

    /// Deletions by the hundred, as a sweep makes them.
    async fn many(&mut self) -> Result<(), Failure> {
        let check = "delete many";
        let store = self.blobs.store.clone();
        let names: Vec<Path> = (0..8).map(|_| self.name("many")).collect();
        for name in &names {
            if let Err(error) = self.create(check, name, &Bytes::from_static(b"x")).await? {
                return Err(Failure { check, detail: told(&error) });
            }
        }
        // One that is not there is no error.
        let all: Vec<_> = names.iter().cloned().chain([self.name("none")]).map(Ok).collect();
        let mut answers = store.delete_stream(futures_util::stream::iter(all).boxed());
        loop {
            match ask(check, answers.try_next()).await? {
                Ok(Some(_)) | Err(Error::NotFound { .. }) => {}
                Ok(None) => break,
                Err(error) => return Err(Failure { check, detail: told(&error) }),
            }
        }
        let folder = self.blobs.prefix.clone().join(TRIAL_FOLDER);
        let mut is_left = false;
        for name in &names {
            is_left |= self.is_listed(check, &folder, name).await?;
        }
        match is_left {
            false => self.tell(check, Verdict::Holds, "objects are deleted many at a time"),
            true => self.tell(check, Verdict::Refused, "objects that were deleted together are still there"),
        }
        Ok(())
    }

    /// What the server calls itself, where that is known to matter.
    async fn what_is_it(&mut self) {
        let Some(endpoint) = self.blobs.url.endpoint.clone() else { return };
        let asked = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder()
                .timeout_global(Some(Duration::from_secs(5)))
                .http_status_as_error(false);
            let answer = ureq::Agent::new_with_config(config.build()).get(&endpoint).call().ok()?;
            answer.headers().get("server")?.to_str().ok().map(str::to_ascii_lowercase)
        });
        let server = asked.await.ok().flatten().unwrap_or_default();
        let bucket = &self.blobs.url.bucket;
        if server.contains("seaweedfs") {
            let detail = format!(
                "this is SeaweedFS, which by itself answers before its writes are on the disk; that can't be seen from here. See to it \
                 that it syncs: `fs.configure -locationPrefix=/buckets/{bucket}/ -fsync -apply` in `weed shell`"
            );
            self.tell("durability", Verdict::Warning, detail);
            if !self.blobs.url.packs_small && self.blobs.pack_len > 0 {
                let detail = "SeaweedFS keeps small objects together by itself: with packs_small=true in the URL each is an object of its own";
                self.tell("packs", Verdict::Holds, detail);
            }
        } else if server.contains("garage") {
            let detail = "this is Garage, which has no conditional writes and slows down beyond some ten million objects";
            self.tell("store", Verdict::Warning, detail);
        }
    }
}
