//! Injects faults into data folders of the built gateway, one at a time, and judges what comes of each: it is harmless, or refused with
//! a way out that works, or named by `sealgate check`. Anything else is a failure: a silent loss, a wrong byte, a key that is gone.

mod blobs;
mod fault;
mod folder;
mod gateway;
mod judge;
mod ledger;
mod report;
mod scenario;
mod verify;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;

use conformance_tests::random::{self, Random};
use fault::{FileKind, Kind};
use folder::Prepared;
use judge::{Outcome, Verdict, judge};

/// Injects faults into data folders of the built gateway, and judges what comes of each
///
/// Each try copies a folder of acknowledged objects, versions, keys and users, does one damage to it, starts the gateway, goes the way
/// out that a refusal names, and asks for everything. It must be harmless, refused with a way out that works, or named by
/// `sealgate check`. Exit codes: 0 all was, 1 something was not, 2 nothing
/// could be tried.
#[derive(Parser)]
#[command(name = "faults", version)]
struct Cli {
    /// Where random choices begin; default: another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// How many tries
    #[arg(long, default_value_t = 500)]
    tries: u64,
    /// Only this try, again
    #[arg(long, value_name = "NUMBER")]
    only: Option<u64>,
    /// Only these kinds of fault
    #[arg(long, value_enum, value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Only these kinds of file
    #[arg(long, value_enum, value_delimiter = ',')]
    file: Vec<FileKind>,
    /// Tries at a time
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Seconds after a start until its first sweep is over for certain
    #[arg(long, default_value_t = 4)]
    settle_s: u64,
    /// Prints every try as a line of JSON in place of the table
    #[arg(long)]
    json: bool,
    /// Keeps the prepared folders, and those of tries that failed, here; prepared folders that are here are used again
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arc::new(Cli::parse())).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Arc<Cli>) -> anyhow::Result<ExitCode> {
    ensure!(cli.jobs > 0, "--jobs is at least 1");
    let binary = conformance_tests::server::binary()?;
    let temporary = tempfile::tempdir()?;
    let folder = cli.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let folder = std::path::absolute(folder)?;
    let began = Instant::now();
    let prepared = if folder.join("ledger.json").exists() {
        Prepared::read(&folder)?
    } else {
        Prepared::make(&folder.clone()).await.context("the folders can't be prepared")?
    };
    let prepared = Arc::new(prepared);
    let pairs = fault::pairs(&prepared, &cli.kind, &cli.file);
    ensure!(!pairs.is_empty(), "nothing of this kind can be tried");
    let seed = cli.seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        since.as_micros() as u64
    });
    eprintln!(
        "{}: {} objects, {} blobs, prepared in {:.0?}; seed {seed}",
        binary.display(),
        prepared.ledger.objects.len(),
        prepared.blobs(folder::KILLED).len(),
        began.elapsed()
    );

    let numbers: Vec<u64> = cli.only.map_or_else(|| (0..cli.tries).collect(), |only| vec![only]);
    let (next, total) = (Arc::new(AtomicU64::new(0)), numbers.len() as u64);
    let (numbers, pairs, folder) = (Arc::new(numbers), Arc::new(pairs), Arc::new(folder));
    let workers: Vec<_> = (0..cli.jobs)
        .map(|_| {
            let (next, numbers, pairs, folder) =
                (next.clone(), numbers.clone(), pairs.clone(), folder.clone());
            let (cli, prepared) = (cli.clone(), prepared.clone());
            tokio::spawn(async move {
                let mut verdicts = Vec::new();
                while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let own = folder.join(format!("try-{number}"));
                    folder::remove(&own)?;
                    std::fs::create_dir(&own)?;
                    let pair = pairs[(number % pairs.len() as u64) as usize];
                    let settle = Duration::from_secs(cli.settle_s);
                    let random = Random::of(seed, number);
                    let verdict = judge(&prepared, pair, number, random, &own, settle).await;
                    tell(&cli, seed, total, &verdict);
                    if verdict.outcome == Outcome::Failed && cli.keep.is_some() {
                        std::fs::write(own.join("verdict.json"), serde_json::to_vec_pretty(&verdict)?)?;
                    } else {
                        folder::remove(&own)?;
                    }
                    verdicts.push(verdict);
                }
                anyhow::Ok(verdicts)
            })
        })
        .collect();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for worker in workers {
        verdicts.extend(worker.await??);
    }
    verdicts.sort_by_key(|verdict| verdict.number);
    if cli.json {
        for verdict in &verdicts {
            println!("{}", serde_json::to_string(verdict)?);
        }
    } else {
        println!("{}", report::Table(&verdicts));
    }
    let failed = verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Failed).count();
    eprintln!("{} tries in {:.0?}, {failed} failed; seed {seed}", verdicts.len(), began.elapsed());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Progress: a line for each try, and all of its story where it failed.
fn tell(cli: &Cli, seed: u64, total: u64, verdict: &Verdict) {
    let Verdict { number, file, kind, fault, outcome, story, failures } = verdict;
    let mut text = format!("try {number} of {total}: {file} {kind}: {outcome:?}: {fault}");
    if *outcome == Outcome::Failed {
        for line in story.iter().skip(1) {
            text += &format!("\n      {line}");
        }
        for line in failures {
            text += &format!("\n   FAILED {line}");
        }
        text += &format!("\n   again: faults --seed {seed} --only {number}");
        for (flag, names) in [
            ("--kind", cli.kind.iter().map(|kind| kind.name()).collect::<Vec<_>>()),
            ("--file", cli.file.iter().map(|file| file.name()).collect()),
        ] {
            if !names.is_empty() {
                text += &format!(" {flag} {}", names.join(","));
            }
        }
        if let Some(folder) = &cli.keep {
            text += &format!(" --keep {}", folder.display());
        }
    }
    eprintln!("{text}");
}
