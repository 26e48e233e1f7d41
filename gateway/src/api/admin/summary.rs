//! How much is under which kind of encryption, and under which key: counted beside requests, and told with its age.

use std::time::Duration;

use serde_json::{Value, json};
use storage::name::Timestamp;

use super::Admin;
use crate::observe::encryption_summary::Amount;

/// What is older is counted again when somebody asks.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// The same, where he asks for a new count.
const RENEWED_AFTER: Duration = Duration::from_secs(10);

/// GetEncryptionSummary. Of the first question there is no answer yet: it has everything counted.
pub(super) fn get(admin: &Admin<'_>) -> Value {
    let summaries = &admin.app.job_states.encryption_summary;
    let last = summaries.last();
    let age_ms = last.as_ref().map(|last| Timestamp::now().unix_ms().saturating_sub(last.counted_unix_ms));
    let asks_anew = admin.query.get("refresh").is_some_and(|refresh| refresh == "true");
    let fresh_for = if asks_anew { RENEWED_AFTER } else { FRESH_FOR };
    let is_fresh = age_ms.is_some_and(|age| u128::from(age) < fresh_for.as_millis());
    if !is_fresh {
        summaries.ask();
    }
    let counting = summaries.is_counting() || !is_fresh;
    let Some(last) = last else {
        return json!({
            "counted_at_ms": null, "age_s": null, "counting": counting, "complete": false, "buckets": [], "keys": [],
        });
    };
    let only = admin.only_account();
    let mode = |(mode, amount): (&&'static str, &Amount)| json!({ "mode": mode, "objects": amount.objects, "bytes": amount.bytes });
    let buckets = last.buckets.iter().filter(|(_, bucket)| only.is_none_or(|own| own == bucket.owner));
    let buckets: Vec<_> = buckets
        .map(|(name, bucket)| {
            json!({
                "bucket": name,
                "account": bucket.owner,
                "modes": bucket.modes.iter().map(mode).collect::<Vec<_>>(),
            })
        })
        .collect();
    let of_account = |arn: &str| only.is_none_or(|own| arn.split(':').nth(4) == Some(own));
    let keys: Vec<_> = last
        .keys
        .iter()
        .filter(|(arn, _)| of_account(arn))
        .map(|(arn, key)| {
            json!({
                "key": arn,
                "objects": key.amount.objects,
                "bytes": key.amount.bytes,
                "under_former_backing_key": key.under_former,
            })
        })
        .collect();
    json!({
        "counted_at_ms": last.counted_unix_ms,
        "age_s": age_ms.map(|age| age / 1000),
        "counting": counting,
        "complete": last.is_complete,
        "buckets": buckets,
        "keys": keys,
    })
}
