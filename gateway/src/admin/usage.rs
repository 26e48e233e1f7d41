//! What buckets and accounts hold, and how much they may.

use std::sync::Arc;

use anyhow::{Context, ensure};
use storage::catalog::Usage;
use storage::name::BucketName;

use super::Out;
use crate::api::admin::{usage_as_value, usage_value};
use crate::api::s3::ops::bucket::set_quota;
use crate::app::App;
use crate::bucket::usage::{AccountUsage, BucketUsage, parse_size, report, size_text};

/// Tells what there is.
pub(super) async fn tell(app: &Arc<App>, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    let found = report(&app.catalog, None, usize::MAX).await?;
    if as_json {
        out.line(usage_as_value(&found).to_string()).await?;
        return Ok(true);
    }
    let width = found.buckets.iter().map(|bucket| bucket.name.len()).max().unwrap_or_default().max(12);
    let head =
        row(width, "bucket", ["objects", "versions", "markers", "uploads", "bytes", "stored", "quota"]);
    out.line(head).await?;
    for BucketUsage { name, usage, quota, .. } in &found.buckets {
        out.line(usage_row(width, name, usage, *quota)).await?;
    }
    out.line(String::new()).await?;
    for (id, AccountUsage { usage, quota, .. }) in &found.accounts {
        out.line(usage_row(width, id, usage, *quota)).await?;
    }
    out.line(usage_row(width, "all", &found.total, None)).await?;
    if !found.is_counted {
        out.line(
            "what was there before this build counted is being counted: the figures are not complete yet",
        )
        .await?;
    }
    Ok(true)
}

fn row(
    width: usize,
    name: &str,
    [objects, versions, markers, uploads, bytes, stored, quota]: [&str; 7],
) -> String {
    format!(
        "{name:width$}  {objects:>9}  {versions:>9}  {markers:>9}  {uploads:>7}  {bytes:>10}  {stored:>10}  {quota}"
    )
    .trim_end()
    .to_owned()
}

fn usage_row(width: usize, name: &str, usage: &Usage, quota: Option<u64>) -> String {
    let quota = quota.map_or_else(
        || "-".to_owned(),
        |quota| {
            let share = (u128::from(usage.bytes) * 100).checked_div(u128::from(quota));
            format!("{} ({} %)", size_text(quota), share.map_or("-".to_owned(), |share| share.to_string()))
        },
    );
    let numbers = [usage.objects, usage.versions, usage.delete_markers, usage.uploads].map(|n| n.to_string());
    let [objects, versions, markers, uploads] = numbers.each_ref().map(String::as_str);
    let (bytes, stored) = (size_text(usage.bytes), size_text(usage.stored_bytes));
    row(width, name, [objects, versions, markers, uploads, &bytes, &stored, &quota])
}

/// `none`, or a number of bytes.
fn quota_of(text: &str) -> anyhow::Result<Option<u64>> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let quota = parse_size(text)
        .with_context(|| format!("{text} is no size: write 500GiB, 1.5TB, 1048576, or none"))?;
    Ok(Some(quota))
}

/// Sets how much a bucket may hold, if asked to, and tells it.
pub(super) async fn bucket(
    app: &App,
    name: &str,
    (size, as_json): (Option<&str>, bool),
    out: &Out,
) -> anyhow::Result<bool> {
    let name = BucketName::parse(name).with_context(|| format!("{name} is no name of a bucket"))?;
    if let Some(size) = size {
        let quota = quota_of(size)?;
        set_quota(app, &name, quota).await.map_err(|error| anyhow::anyhow!("{}", error.client_message()))?;
    }
    let bucket = app.catalog.bucket(&name).await?;
    let held = app.catalog.usage(bucket.id).await?;
    let quota = storage::catalog::bucket_quota(&bucket);
    out.line(match as_json {
        true => held_value("bucket", name.as_str(), &held, quota),
        false => held_of(&format!("bucket {name}"), &held, quota),
    })
    .await?;
    Ok(true)
}

/// Sets how much an account may hold in all its buckets, if asked to, and tells it.
pub(super) async fn account(
    app: &App,
    id: &str,
    (size, as_json): (Option<&str>, bool),
    out: &Out,
) -> anyhow::Result<()> {
    ensure!(app.iam.state().account(id).is_some(), "there is no account {id}");
    if let Some(size) = size {
        app.catalog.set_account_quota(id, quota_of(size)?).await?;
    }
    let quota = app.catalog.account_quota(id).await?;
    let held = app.catalog.account_usage(id).await?;
    out.line(match as_json {
        true => held_value("account", id, &held, quota),
        false => held_of(&format!("account {id}"), &held, quota),
    })
    .await
}

fn held_value(what: &str, whose: &str, held: &Usage, quota: Option<u64>) -> String {
    let mut told = usage_value(held);
    told[what] = whose.into();
    told["quota_bytes"] = quota.into();
    told.to_string()
}

fn held_of(whose: &str, held: &Usage, quota: Option<u64>) -> String {
    let may = match quota {
        Some(quota) => format!("{} ({quota} bytes)", size_text(quota)),
        None => "as much as there is room for".to_owned(),
    };
    format!("{whose} holds {} ({} bytes) and may hold {may}", size_text(held.bytes), held.bytes)
}
