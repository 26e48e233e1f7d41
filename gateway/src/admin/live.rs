//! `sealgate trace` and `sealgate top`: what a running gateway is doing, told until nobody listens any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Out, Told};
use crate::observe::live::{LiveTrace, Rate, Rates, TraceFilter, as_json, as_text};
use crate::observe::request::Observers;

/// Requests that wait for a slow reader.
const WAITING: usize = 4096;
/// How often it is looked whether anybody still listens.
const LOOK: Duration = Duration::from_secs(1);

/// Tells each request that passes the filter, `count` of them at the most.
pub(super) async fn trace(
    filter: TraceFilter,
    json: bool,
    count: Option<u64>,
    out: &Out,
) -> anyhow::Result<bool> {
    filter.check().map_err(anyhow::Error::msg)?;
    let render = if json { as_json } else { as_text };
    let (trace, mut requests) = LiveTrace::new(move |record| filter.admits(record), render, WAITING);
    let trace = Arc::new(trace);
    let _subscription = Observers::of_process().add(trace.clone());
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        match tokio::time::timeout(LOOK, requests.recv()).await {
            Ok(Some(line)) => {
                out.line(String::from_utf8_lossy(&line)).await?;
                told += 1;
            }
            Ok(None) => break,
            Err(_) => out.alive().await?,
        }
        let missed = trace.take_missed();
        if missed > 0 {
            let text = format!("{missed} requests were missed: they come faster than they are read");
            out.send(Told::Warning(text)).await?;
        }
    }
    Ok(true)
}

/// Tells every so many seconds which operations were asked for, `count` times at the most.
pub(super) async fn top(interval_s: u64, json: bool, count: Option<u64>, out: &Out) -> anyhow::Result<bool> {
    anyhow::ensure!((1..=3600).contains(&interval_s), "--interval: give 1 to 3600 seconds");
    let rates = Arc::new(Rates::default());
    let _subscription = Observers::of_process().add(rates.clone());
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        let began = Instant::now();
        while let Some(rest) = Duration::from_secs(interval_s).checked_sub(began.elapsed()) {
            tokio::time::sleep(rest.min(LOOK)).await;
            out.alive().await?;
        }
        let rates = rates.take(began.elapsed());
        if json {
            out.line(serde_json::to_string(&serde_json::json!({ "operations": rates }))?).await?;
        } else {
            for line in table(&rates) {
                out.line(line).await?;
            }
        }
        told += 1;
    }
    Ok(true)
}

fn table(rates: &[Rate]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<36} {:>9} {:>8} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "operation", "per s", "errors/s", "MiB/s in", "MiB/s out", "mean ms", "50 % ms", "99 % ms", "longest"
    )];
    for rate in rates {
        let mib = |len: f64| len / f64::from(1 << 20);
        lines.push(format!(
            "{:<36} {:>9.1} {:>8.1} {:>10.2} {:>10.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            format!("{} {}", rate.service, rate.operation),
            rate.per_second,
            rate.errors_per_second,
            mib(rate.received_len_per_second),
            mib(rate.sent_len_per_second),
            rate.mean_ms,
            rate.median_ms,
            rate.p99_ms,
            rate.longest_ms
        ));
    }
    lines.push(String::new());
    lines
}
