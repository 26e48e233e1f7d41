//! Asks a running gateway for everything that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use conformance_tests::caller::{Answer, Caller, Credentials};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::ledger::{KmsKey, Ledger, Object};
use super::write::send;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Buckets into which a rebuild puts objects whose bucket's own record is lost.
const RECOVERED: &str = "recovered-";

/// What is not as it was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Answers that are a lie.
    pub(crate) wrong: Vec<String>,
    /// Objects and uploads that are not served, by name, and why.
    pub(crate) lost: BTreeMap<String, Vec<String>>,
    /// Objects that no listing shows.
    pub(crate) unlisted: BTreeMap<String, Vec<String>>,
    /// Objects that are served as they were at another time.
    pub(crate) stale: BTreeMap<String, Vec<String>>,
    /// Objects that were deleted and are there.
    pub(crate) risen: Vec<String>,
    /// Keys that are not what they were.
    pub(crate) keys: Vec<String>,
    /// Users who may not what they might.
    pub(crate) users: Vec<String>,
    /// Listings that fail, or name what is not there.
    pub(crate) listings: Vec<String>,
    /// Buckets that are not there.
    pub(crate) buckets: BTreeSet<String>,
}

impl Findings {
    /// Adds what was found at another time.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { wrong, lost, unlisted, stale, risen, keys, users, listings, buckets } = other;
        for (ours, theirs) in
            [(&mut self.lost, lost), (&mut self.unlisted, unlisted), (&mut self.stale, stale)]
        {
            for (name, why) in theirs {
                ours.entry(name).or_insert(why);
            }
        }
        for (ours, theirs) in [
            (&mut self.wrong, wrong),
            (&mut self.risen, risen),
            (&mut self.keys, keys),
            (&mut self.users, users),
            (&mut self.listings, listings),
        ] {
            for what in theirs {
                if !ours.contains(&what) {
                    ours.push(what);
                }
            }
        }
        self.buckets.extend(buckets);
    }
}

/// Somebody who asks again over another connection when one breaks.
pub(crate) struct Asker {
    endpoint: String,
    credentials: Credentials,
    caller: Option<Caller>,
}

impl Asker {
    pub(crate) fn new(endpoint: &str, credentials: Credentials) -> Self {
        Self { endpoint: endpoint.to_owned(), credentials, caller: None }
    }

    async fn caller(&mut self) -> anyhow::Result<Caller> {
        match self.caller.take() {
            Some(caller) => Ok(caller),
            None => Caller::open(&self.endpoint, self.credentials.clone()).await,
        }
    }

    /// Asks S3. A connection that breaks is used no more.
    pub(crate) async fn s3(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let mut caller = self.caller().await?;
        let answer = timeout(PATIENCE, send(&mut caller, method, target, headers, body)).await??;
        self.caller = Some(caller);
        Ok(answer)
    }

    async fn kms(&mut self, operation: &str, body: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        let mut caller = self.caller().await?;
        let answer = timeout(PATIENCE, caller.kms(operation, body)).await??;
        self.caller = Some(caller);
        Ok(serde_json::from_slice(&answer.success()?.body)?)
    }
}

/// Asks for everything.
pub(crate) async fn verify(endpoint: &str, ledger: &Ledger) -> Findings {
    let mut findings = Findings::default();
    let mut asker = Asker::new(endpoint, Credentials::root());
    let recovered = buckets(&mut asker, ledger, &mut findings).await;
    for object in &ledger.objects {
        object_of(&mut asker, object, &recovered, &mut findings).await;
    }
    for (bucket, name) in &ledger.deleted {
        let target = format!("/{bucket}/{name}");
        match asker.s3(Method::GET, &target, &[], Vec::new()).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => {}
            // It can't be told whether it is there.
            Ok(answer) if !answer.status.is_success() => {}
            Ok(_) => findings.risen.push(target),
            Err(error) => findings.listings.push(format!("{target}: {error:#}")),
        }
    }
    for bucket in &ledger.buckets {
        if !findings.buckets.contains(bucket) {
            listing(&mut asker, bucket, ledger, &mut findings).await;
        }
    }
    for upload in &ledger.uploads {
        let target = format!("/{}/{}?uploadId={}", upload.bucket, upload.name, upload.id);
        let why = match asker.s3(Method::GET, &target, &[], Vec::new()).await {
            Ok(answer) if answer.text().contains(upload.e_tag.trim_matches('"')) => continue,
            Ok(answer) => format!("the upload's part: {} {}", answer.status, answer.code()),
            Err(error) => format!("{error:#}"),
        };
        findings.lost.entry(upload.name.clone()).or_default().push(why);
    }
    for key in &ledger.keys {
        if let Err(why) = key_of(&mut asker, key).await {
            findings.keys.push(format!("{}: {why:#}", key.alias));
        }
    }
    for user in &ledger.users {
        let mut asker = Asker::new(endpoint, user.credentials());
        for (target, may) in [(&user.may_read, true), (&user.may_not_read, false)] {
            match asker.s3(Method::GET, target, &[], Vec::new()).await {
                Ok(answer) if answer.status.is_success() && !may => {
                    findings.wrong.push(format!("{} reads {target}, which is denied", user.name));
                }
                Ok(answer) if answer.status == StatusCode::FORBIDDEN && may => {
                    findings.users.push(format!("{}: {}", user.name, answer.code()));
                }
                _ => {}
            }
        }
    }
    findings
}

/// Which buckets are missing; answers those that a rebuild made in their place.
async fn buckets(asker: &mut Asker, ledger: &Ledger, findings: &mut Findings) -> Vec<String> {
    let text = match asker.s3(Method::GET, "/", &[], Vec::new()).await {
        Ok(answer) if answer.status.is_success() => answer.text(),
        Ok(answer) => {
            findings.listings.push(format!("of buckets: {} {}", answer.status, answer.code()));
            return Vec::new();
        }
        Err(error) => {
            findings.listings.push(format!("of buckets: {error:#}"));
            return Vec::new();
        }
    };
    let there: Vec<String> = fields(&text, "Name").collect();
    findings.buckets = ledger.buckets.iter().filter(|name| !there.contains(name)).cloned().collect();
    there.into_iter().filter(|name| name.starts_with(RECOVERED)).collect()
}

async fn object_of(asker: &mut Asker, object: &Object, recovered: &[String], findings: &mut Findings) {
    let mut targets = vec![object.target()];
    if findings.buckets.contains(&object.bucket) {
        targets = recovered
            .iter()
            .map(|bucket| Object { bucket: bucket.clone(), ..object.clone() }.target())
            .collect();
    }
    let mut why = "its bucket is gone".to_owned();
    for target in targets {
        let answer = match asker.s3(Method::GET, &target, &object.sse.of_read(), Vec::new()).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                why = format!("{target}: {} {}", answer.status, answer.code());
                continue;
            }
            Err(error) => {
                why = format!("{target}: {error:#}");
                continue;
            }
        };
        let note = answer.headers.get("x-amz-meta-note").and_then(|note| note.to_str().ok());
        if answer.body == object.content.bytes() && note == Some(&object.note) {
            return;
        }
        let former = object.former.iter().any(|former| answer.body == former.bytes());
        if former || answer.body == object.content.bytes() {
            let note = format!("{target}: as it was earlier");
            findings.stale.entry(object.name.clone()).or_default().push(note);
        } else {
            findings.wrong.push(format!("{target}: wrong bytes"));
        }
        return;
    }
    findings.lost.entry(object.name.clone()).or_default().push(why);
}

async fn listing(asker: &mut Asker, bucket: &str, ledger: &Ledger, findings: &mut Findings) {
    let mut text = String::new();
    for target in [format!("/{bucket}?list-type=2"), format!("/{bucket}?versions=")] {
        match asker.s3(Method::GET, &target, &[], Vec::new()).await {
            Ok(answer) if answer.status.is_success() => text += &answer.text(),
            Ok(answer) => {
                return findings.listings.push(format!("{target}: {} {}", answer.status, answer.code()));
            }
            Err(error) => return findings.listings.push(format!("{target}: {error:#}")),
        }
    }
    let (names, versions): (BTreeSet<String>, BTreeSet<String>) =
        (fields(&text, "Key").collect(), fields(&text, "VersionId").collect());
    let mut known: BTreeSet<&str> =
        ledger.deleted.iter().filter(|(of, _)| of == bucket).map(|(_, name)| name.as_str()).collect();
    for object in ledger.objects.iter().filter(|object| object.bucket == bucket) {
        known.insert(&object.name);
        let is_listed =
            names.contains(&object.name) && object.version.as_ref().is_none_or(|id| versions.contains(id));
        if !is_listed {
            let why = format!("{} is not listed", object.target());
            findings.unlisted.entry(object.name.clone()).or_default().push(why);
        }
    }
    let unknown = names.iter().filter(|name| !known.contains(name.as_str()) && !name.starts_with("probe-"));
    findings.listings.extend(unknown.map(|name| format!("/{bucket} lists {name}, which was never there")));
}

async fn key_of(asker: &mut Asker, key: &KmsKey) -> anyhow::Result<()> {
    let described = asker.kms("DescribeKey", &json!({ "KeyId": key.alias })).await?;
    let state = described["KeyMetadata"]["KeyState"].as_str().unwrap_or_default().to_owned();
    let wanted = if key.is_enabled { "Enabled" } else { "Disabled" };
    anyhow::ensure!(state == wanted, "it is {state} instead of {wanted}");
    anyhow::ensure!(described["KeyMetadata"]["KeyId"] == key.id, "its alias names another key");
    for ciphertext in key.ciphertexts.iter().filter(|_| key.is_enabled) {
        let opened = asker.kms("Decrypt", &json!({ "CiphertextBlob": ciphertext })).await?;
        anyhow::ensure!(opened["Plaintext"] == KmsKey::PLAINTEXT, "it opens to something else");
    }
    Ok(())
}

/// The texts of all XML elements of a name.
fn fields<'t>(text: &'t str, name: &str) -> impl Iterator<Item = String> + 't {
    let begin = format!("<{name}>");
    text.split(begin.as_str())
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("</")?.0.to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

/// Does it take a write, and give it back?
pub(crate) async fn probe(endpoint: &str, bucket: &str) -> anyhow::Result<()> {
    let mut asker = Asker::new(endpoint, Credentials::root());
    let target = format!("/{bucket}/probe-{}", rustix::process::getpid().as_raw_nonzero());
    asker.s3(Method::PUT, &target, &[], b"probe".to_vec()).await?.success()?;
    let answer = asker.s3(Method::GET, &target, &[], Vec::new()).await?.success()?;
    anyhow::ensure!(&answer.body[..] == b"probe", "a new object is not served as it was written");
    Ok(())
}
