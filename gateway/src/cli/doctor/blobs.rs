//! `sealgate doctor blobs`: does an object store do what blobs need?

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::blobs::{self, Depth, Verdict};
use crate::cli::output;
use crate::cli::report::FAULTS;
use crate::config::Config;

/// Tries the store of the setting `blobs`, tells what came of it, and answers whether it can be used.
pub(in crate::cli) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let place =
        config.places.blobs.as_ref().context("which store? Give --blobs s3://BUCKET/PREFIX?endpoint=URL")?;
    let blobs = blobs::open(place)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let observed = runtime.block_on(blobs::probe(&blobs, Depth::All));
    let width = observed.iter().map(|seen| seen.check.len()).max().unwrap_or(0);
    let checks = observed.iter().map(|seen| {
        let verdict = match seen.verdict {
            Verdict::Holds => "holds",
            Verdict::Warning => "warning",
            Verdict::Refused => "refused",
        };
        json!({"check": seen.check, "detail": seen.detail, "verdict": verdict})
    });
    output::fact("checks", checks.collect::<Vec<_>>());
    output::fact("url", blobs.url.to_string());
    println!("{}", blobs.url);
    for seen in &observed {
        let verdict = match seen.verdict {
            Verdict::Holds => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Refused => "FAIL",
        };
        println!("{verdict}  {:width$}  {}", seen.check, seen.detail);
    }
    let count = |verdict| observed.iter().filter(|seen| seen.verdict == verdict).count();
    let (refused, warnings) = (count(Verdict::Refused), count(Verdict::Warning));
    if refused > 0 {
        println!("\n{refused} of {} checks FAILED: blobs must not be kept in this store.", observed.len());
        return Ok(FAULTS.into());
    }
    println!("\nThe store does what blobs need, with {warnings} warnings.");
    println!(
        "What can't be tried from here: that it keeps what it acknowledged through a power cut, and a rule of the bucket that ends \
         incomplete multipart uploads after two days (AbortIncompleteMultipartUpload)."
    );
    Ok(ExitCode::SUCCESS)
}
