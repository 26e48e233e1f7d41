//! Questions about keys, and the one change that no policy can forbid.

use std::path::PathBuf;

use anyhow::Context;
use kms_core::context::EncryptionContext;
use kms_core::key::{KeyManager, KeyState};
use kms_core::kms::{Caller, Kms};
use kms_core::policy::Document;
use kms_core::secret::SecretBytes;
use kms_core::store::{CopyReport, StoreReport};
use serde_json::{Value, json};
use storage::name::Timestamp;

use super::{Host, Out};
use crate::api::s3::wire::time::iso8601;
use crate::app::App;
use crate::authz::condition_keys;
use crate::instance::write_new;

pub(super) async fn status(host: &Host, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    let counts = host.kms.counts();
    if as_json {
        let told = json!({
            "root_key": host.root,
            "keys": counts.keys,
            "backing_keys": counts.backing_keys,
            "grants": counts.grants,
            "aliases": counts.aliases,
            "domain_key": counts.domain_generation,
            "has_recovery_kit": counts.has_recovery_kit,
        });
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    out.line(format!("root key      {}", host.root)).await?;
    for (what, count) in [
        ("keys", counts.keys),
        ("backing keys", counts.backing_keys),
        ("grants", counts.grants),
        ("aliases", counts.aliases),
    ] {
        out.line(format!("{what:12}  {count}")).await?;
    }
    out.line(format!("domain key    number {}", counts.domain_generation)).await?;
    let kit = match counts.has_recovery_kit {
        true => "was made",
        false => "none: make one with `sealgate kms recovery-kit export FILE`, and keep it away from here",
    };
    out.line(format!("recovery kit  {kit}")).await?;
    out.line("every record was unsealed and every key unwrapped").await?;
    out.line("without this root key nothing can be read: keep a copy of it away from the data").await?;
    Ok(true)
}

pub(super) async fn verify_store(
    host: &Host,
    accept: bool,
    as_json: bool,
    out: &Out,
) -> anyhow::Result<bool> {
    anyhow::ensure!(!accept, "a loss is accepted on a stopped gateway");
    let (kms, places) = (host.kms.clone(), host.places.clone());
    let report = tokio::task::spawn_blocking(move || kms.verify_store(places)).await??;
    let lines = if as_json { vec![report_json(&report)] } else { report_lines(&report) };
    for line in lines {
        out.line(line).await?;
    }
    Ok(report.is_whole())
}

/// A look at the key store's copies, as one JSON object.
pub fn report_json(report: &StoreReport) -> String {
    let copies = report.parts.iter().map(|CopyReport { name, path, number, entries, fault }| {
        json!({ "copy": name, "place": path, "commit": number, "entries": entries, "fault": fault })
    });
    json!({ "whole": report.is_whole(), "copies": copies.collect::<Vec<_>>(), "faults": report.faults })
        .to_string()
}

/// A look at the key store's copies, as a table.
pub fn report_lines(report: &StoreReport) -> Vec<String> {
    let width = report.parts.iter().map(|part| part.path.display().to_string().len()).max().unwrap_or(0);
    let mut lines =
        vec![format!("{:6}  {:width$}  {:>10}  {:>8}  digest", "copy", "place", "commit", "entries")];
    for CopyReport { name, path, number, entries, fault } in &report.parts {
        let or_none = |count: Option<String>| count.unwrap_or_else(|| "-".to_owned());
        let (number, entries) =
            (or_none(number.map(|n| n.to_string())), or_none(entries.map(|n| n.to_string())));
        let (path, fault) = (path.display().to_string(), fault.as_deref().unwrap_or("fits"));
        lines.push(format!("{name:6}  {path:width$}  {number:>10}  {entries:>8}  {fault}"));
    }
    lines.extend(report.faults.iter().cloned());
    lines.push(match report.is_whole() {
        true => "the key store is whole".to_owned(),
        false => "the key store is not as it was written: a start mends what the other copy has".to_owned(),
    });
    lines
}

pub(super) async fn list(kms: &Kms, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    if as_json {
        for (entry, aliases) in kms.entries() {
            let key = &entry.key;
            let told = json!({
                "key": key.id.to_string(),
                "arn": kms.arn(key),
                "state": key.state.name(),
                "origin": key.origin.name(),
                "manager": key.manager.name(),
                "spec": key.spec.name(),
                "aliases": aliases,
            });
            out.line(told.to_string()).await?;
        }
        return Ok(true);
    }
    out.line(format!(
        "{:36}  {:15}  {:8}  {:8}  {:17}  aliases",
        "key", "state", "origin", "manager", "spec"
    ))
    .await?;
    for (entry, aliases) in kms.entries() {
        let key = &entry.key;
        let (state, origin, manager) = (key.state.name(), key.origin.name(), key.manager.name());
        let (id, spec, aliases) = (key.id.to_string(), key.spec.name(), aliases.join(" "));
        out.line(format!("{id:36}  {state:15}  {origin:8}  {manager:8}  {spec:17}  {aliases}")).await?;
    }
    Ok(true)
}

pub(super) async fn describe(kms: &Kms, key: &str, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    let entry = kms.find(key)?;
    let key = &entry.key;
    if as_json {
        let deletion = match key.state {
            KeyState::PendingDeletion { deletion_unix_ms } => Some(iso8601(Timestamp(deletion_unix_ms))),
            _ => None,
        };
        // A policy is a document by itself; one that were none is told as it is.
        let policy =
            serde_json::from_str(&entry.policy.text).unwrap_or_else(|_| Value::from(&*entry.policy.text));
        let told = json!({
            "arn": kms.arn(key),
            "spec": key.spec.name(),
            "usage": key.usage.name(),
            "state": key.state.name(),
            "deletion": deletion,
            "manager": key.manager.name(),
            "origin": key.origin.name(),
            "description": key.description,
            "rotation_days": key.rotation.map(|rotation| rotation.period_days),
            "backing_keys": entry.backing().len(),
            "policy": policy,
        });
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    out.line(format!("key           {}", kms.arn(key))).await?;
    out.line(format!("kind          {}, {}", key.spec.name(), key.usage.name())).await?;
    out.line(format!("state         {}", key.state.name())).await?;
    if let KeyState::PendingDeletion { deletion_unix_ms } = key.state {
        out.line(format!("deletion      {}", iso8601(Timestamp(deletion_unix_ms)))).await?;
    }
    out.line(format!("manager       {}, origin {}", key.manager.name(), key.origin.name())).await?;
    out.line(format!("description   {}", key.description)).await?;
    let rotation = match key.rotation {
        Some(rotation) => format!("every {} days", rotation.period_days),
        None if key.manager == KeyManager::Aws => "by the gateway".to_owned(),
        None => "none".to_owned(),
    };
    out.line(format!("rotation      {rotation}")).await?;
    out.line(format!("backing keys  {}", entry.backing().len())).await?;
    out.line(format!("policy        {}", entry.policy.text)).await?;
    Ok(true)
}

/// Who wants to do what.
pub(super) struct Question {
    pub(super) principal: String,
    pub(super) action: String,
    pub(super) context: Vec<String>,
    pub(super) via: Option<String>,
    pub(super) json: bool,
}

pub(super) async fn who_can(app: &App, key: &str, asked: Question, out: &Out) -> anyhow::Result<bool> {
    let (kms, iam) = (&app.kms, &app.iam);
    let pairs = asked.context.iter().map(|pair| {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| anyhow::anyhow!("{pair} is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let context: EncryptionContext = pairs.collect::<anyhow::Result<_>>()?;
    let subject = iam.state().subject(&asked.principal);
    let request_id = "who-can".into();
    let caller = Caller { via_service: asked.via, request_id, ..Caller::of(subject) };
    let policy = kms.find(key).ok().and_then(|entry| Document::parse_resource(&entry.policy.text).ok());
    let unknown: Vec<_> =
        policy.iter().flat_map(|policy| condition_keys::unknown_to("kms", policy)).collect();
    let explained = kms.explain(&caller, &asked.action, key, &context);
    if asked.json {
        let (is_allowed, by, why) = match &explained {
            Ok(None) => (true, Some("key policy".to_owned()), None),
            Ok(Some(grant)) => (true, Some(format!("grant {grant}")), None),
            Err(error) => (false, None, Some(error.to_string())),
        };
        let told = json!({ "allowed": is_allowed, "by": by, "why": why, "unknown_condition_keys": unknown });
        out.line(told.to_string()).await?;
        return Ok(is_allowed);
    }
    for name in unknown {
        out.line(format!("warning: the key policy asks for {name}, which no request to KMS has")).await?;
    }
    match explained {
        Ok(None) => out.line("yes: the key policy allows it").await?,
        Ok(Some(grant)) => out.line(format!("yes: grant {grant} allows it")).await?,
        Err(error) => {
            out.line(format!("no: {error}")).await?;
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) async fn reset_policy(host: &Host, key: String, out: &Out) -> anyhow::Result<bool> {
    let kms = host.kms.clone();
    let entry = tokio::task::spawn_blocking(move || kms.reset_key_policy(&key)).await??;
    let arn = host.kms.arn(&entry.key);
    out.fact("key", &*arn).await?;
    out.line(format!("{arn} has the default policy again: the account decides")).await?;
    Ok(true)
}

pub(super) async fn recovery_kit(
    host: &Host,
    file: PathBuf,
    passphrase: SecretBytes,
    out: &Out,
) -> anyhow::Result<bool> {
    let kms = host.kms.clone();
    let kit = tokio::task::spawn_blocking(move || kms.recovery_kit(&passphrase)).await??;
    let mut text = serde_json::to_vec_pretty(&kit)?;
    text.push(b'\n');
    anyhow::ensure!(!file.exists(), "{} exists already", file.display());
    write_new(&file, &text).with_context(|| format!("can't write {}", file.display()))?;
    out.fact("recovery_root", &*kit.root_id).await?;
    out.fact("file", file.display().to_string()).await?;
    out.line(format!("recovery kit  {} in {}", kit.root_id, file.display())).await?;
    out.line("keep it and its passphrase away from this machine, and apart from one another").await?;
    out.line("if the root key is lost: sealgate kms recovery-kit restore FILE --new-root-key FILE").await?;
    Ok(true)
}
