//! How an object is encrypted: facts, and the chain of keys from the root key to its bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use storage::catalog::{Bucket, Layout, ObjectRecord, VersionRef};
use storage::name::{ObjectKey, UploadId};

use super::lookup;
use crate::api::s3::error::S3Error;
use crate::api::s3::wire::version;
use crate::app::App;
use crate::seal::{CHUNK_LEN_PLAIN, PlainLen, stored_len};
use crate::sse::EnvelopeReport;

/// Parts that are told one by one; an object may have 10,000.
const MAX_PARTS: usize = 1000;
/// What seals chunks.
const CONTENT_ALGORITHM: &str = "AES-256-GCM in chunks (C2SP chunked-encryption)";
const WRAP_ALGORITHM: &str = "XAES-256-GCM";
const KMS_ALGORITHM: &str = "AES-256-GCM, key by HMAC-SHA256 (SP 800-108)";

/// How an object is encrypted.
#[derive(Debug, Serialize)]
pub struct ObjectEncryption {
    bucket: String,
    key: String,
    version_id: String,
    /// `SSE-S3`, `SSE-KMS`, `DSSE-KMS`, `SSE-C`.
    mode: &'static str,
    bucket_key_enabled: bool,
    kms_key_id: Option<String>,
    kms_key_alias: Option<String>,
    kms_key_state: Option<&'static str>,
    backing_key_id: Option<String>,
    /// Is it the key's current one? A rewrap brings the object under it.
    backing_key_is_current: bool,
    /// Of SSE-S3 and of a bucket-level key.
    epoch_id: Option<String>,
    /// What the caller gave.
    encryption_context: BTreeMap<String, String>,
    /// What the wrap of the content key is bound to: with anything else it does not open.
    bound_fields: Vec<Field>,
    algorithm: &'static str,
    /// Plain bytes of a chunk.
    chunk_size: usize,
    layers: usize,
    chunks: u64,
    plain_len: u64,
    stored_len: u64,
    parts: Vec<PartReport>,
    part_count: usize,
    chain: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct PartReport {
    /// 0: the object is not in parts.
    number: u16,
    plain_len: u64,
    stored_len: u64,
    chunks: u64,
}

/// A key, and what it wraps.
#[derive(Debug, Serialize)]
struct Link {
    kind: &'static str,
    id: Option<String>,
    wraps: Option<&'static str>,
    algorithm: String,
}

/// How many chunks a message has: the last one is always short.
pub(super) fn chunks(plain_len: u64) -> u64 {
    plain_len / CHUNK_LEN_PLAIN as u64 + 1
}

/// Tells how a version of an object is encrypted. Asks no key, and reads no content.
///
/// # Errors
/// When there is no such version, or its records can't be read.
pub async fn describe(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    which: VersionRef,
) -> Result<ObjectEncryption, S3Error> {
    let found = lookup::find(app, bucket, object, which).await?;
    let report = app.sse.report(&found.record.envelope)?;
    let part = |number: u16, plain_len: u64| PartReport {
        number,
        plain_len,
        stored_len: stored_len(PlainLen(plain_len), report.layers).0,
        chunks: chunks(plain_len),
    };
    let parts: Vec<PartReport> =
        part_lens(app, &found.record).await?.into_iter().map(|(number, len)| part(number, len)).collect();
    let key = report.key_arn.as_ref().and_then(|arn| app.kms.find(arn).ok());
    let aliases = key.as_ref().and_then(|entry| {
        let all = app.kms.entries();
        all.into_iter().find(|(known, _)| known.key.id == entry.key.id).map(|(_, aliases)| aliases)
    });
    let backing = report.backing_keys.first();
    let content_version = found.record.content.version.to_string();
    let chunk_count = parts.iter().map(|part| part.chunks).sum();
    Ok(ObjectEncryption {
        bucket: bucket.name.to_string(),
        key: object.to_string(),
        version_id: version::text(found.version, found.is_null),
        mode: report.mode,
        bucket_key_enabled: report.epoch.as_ref().is_some_and(|epoch| epoch.is_bucket_key),
        kms_key_id: report.key_arn.clone(),
        kms_key_alias: aliases.and_then(|aliases| aliases.into_iter().next()),
        kms_key_state: key.map(|entry| entry.key.state.name()),
        backing_key_id: backing.map(|backing| backing.id.clone()),
        backing_key_is_current: backing.is_some_and(|backing| backing.is_current),
        epoch_id: report.epoch.as_ref().map(|epoch| epoch.id.clone()),
        encryption_context: report.context.iter().cloned().collect(),
        bound_fields: bound_fields(bucket, &report, &content_version),
        algorithm: CONTENT_ALGORITHM,
        chunk_size: CHUNK_LEN_PLAIN,
        layers: report.layers,
        chunks: chunk_count,
        plain_len: found.record.plain_len,
        stored_len: parts.iter().map(|part| part.stored_len).sum(),
        chain: chain(app, &report, &content_version, chunk_count),
        part_count: parts.len(),
        parts: parts.into_iter().take(MAX_PARTS).collect(),
    })
}

/// The messages that an object's content is sealed as: part number (0 where there are no parts) and plain length of each.
pub(super) async fn part_lens(app: &App, record: &ObjectRecord) -> Result<Vec<(u16, u64)>, S3Error> {
    let Layout::Parts(directory) = &record.content.layout else { return Ok(vec![(0, record.plain_len)]) };
    let upload = UploadId(record.content.version);
    let (mut lens, mut after) = (Vec::with_capacity(usize::from(directory.part_count)), 0);
    loop {
        let (page, truncated) = app.catalog.list_parts(upload, after, MAX_PARTS).await?;
        after = page.last().map_or(u16::MAX, |part| part.number.get());
        // Parts that the completion left out may still wait to be reclaimed.
        let own = page.iter().filter(|part| directory.names(part.number.get()));
        lens.extend(own.map(|part| (part.number.get(), part.plain_len)));
        if !truncated {
            return Ok(lens);
        }
    }
}

fn bound_fields(bucket: &Bucket, report: &EnvelopeReport, content_version: &str) -> Vec<Field> {
    let mut fields = vec![
        Field { name: "mode", value: report.mode.to_owned() },
        Field { name: "bucket id", value: bucket.id.to_string() },
        Field { name: "version id", value: content_version.to_owned() },
        Field { name: "layer", value: if report.layers == 2 { "0 and 1" } else { "0" }.to_owned() },
    ];
    fields.extend(report.key_arn.clone().map(|value| Field { name: "KMS key", value }));
    let bound = report.bound.iter();
    fields.extend(
        bound.map(|(name, value)| Field { name: "encryption context", value: format!("{name}={value}") }),
    );
    fields
}

/// From the root key to the chunks, each wrapping the next.
fn chain(app: &App, report: &EnvelopeReport, content_version: &str, chunk_count: u64) -> Vec<Link> {
    let link = |kind, id: Option<String>, wraps, algorithm: &str| Link {
        kind,
        id,
        wraps: Some(wraps),
        algorithm: algorithm.to_owned(),
    };
    let mut chain = Vec::new();
    if report.mode == "SSE-C" {
        chain.push(link("customer_key", None, "content_key", "HKDF-SHA-256, XAES-256-GCM"));
    } else {
        let root = app.stores.root.id().to_owned();
        let domain = format!("number {}", app.kms.counts().domain_generation);
        chain.push(link("root_key", Some(root), "domain_key", "AES-256-GCM"));
        chain.push(link("domain_key", Some(domain), "backing_key", "AES-256-GCM"));
        if let Some(arn) = &report.key_arn {
            chain.push(link("kms_key", Some(arn.clone()), "backing_key", "names its backing keys"));
        }
        let (kind, id) = match &report.epoch {
            Some(epoch) if epoch.is_bucket_key => ("bucket_key", Some(epoch.id.clone())),
            Some(epoch) => ("epoch", Some(epoch.id.clone())),
            None => ("data_key", None),
        };
        let backing = report.backing_keys.first().map(|backing| backing.id.clone());
        chain.push(link("backing_key", backing, kind, KMS_ALGORITHM));
        chain.push(link(kind, id, "content_key", WRAP_ALGORITHM));
    }
    let content = Some(content_version.to_owned());
    chain.push(link("content_key", content.clone(), "chunks", "HKDF-SHA-512 with salt and commitment"));
    if report.layers == 2 {
        chain.push(link(
            "inner_content_key",
            content,
            "chunks",
            "a second layer, under a data key of its own",
        ));
    }
    chain.push(Link {
        kind: "chunks",
        id: Some(format!("{chunk_count} of {CHUNK_LEN_PLAIN} bytes")),
        wraps: None,
        algorithm: "AES-256-GCM".to_owned(),
    });
    chain
}
