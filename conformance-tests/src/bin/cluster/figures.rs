//! Figures: one gateway and two over one PostgreSQL and one SeaweedFS against one with a data folder, in one run.

use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use conformance_tests::server::Server;

use super::stage::{Stage, USUAL};
use super::{Verdict, races};

/// What is measured how often
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shape {
    /// Operations of a run
    #[arg(long, default_value_t = 2000)]
    count: usize,
    /// Bytes of an object
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Objects among which is listed
    #[arg(long, default_value_t = 20_000)]
    listed: usize,
}

/// `bench`, beside this program.
fn bench(shape: &Shape, endpoints: &str, arguments: &[&str]) -> anyhow::Result<f64> {
    let program = std::env::current_exe()?.with_file_name("bench");
    let output = Command::new(program)
        .args(["--endpoint", endpoints, "--runs", &shape.runs.to_string()])
        .args(arguments)
        .output()
        .context("bench is not built")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let row = told.lines().nth(1).context("no figures")?;
    // Its name has three words.
    row.split_whitespace().nth(3).context("no rate")?.parse().context("no rate")
}

pub(crate) async fn run(shape: &Shape) -> anyhow::Result<ExitCode> {
    let stage = Stage::start(0).await?;
    let start = || tokio::task::block_in_place(|| stage.cluster.gateway(&USUAL));
    let (one, two) = (start()?, start()?);
    let alone = tokio::task::block_in_place(Server::start)?;
    let pair = format!("{},{}", one.endpoint, two.endpoint);
    let (count, size) = (shape.count.to_string(), shape.size.to_string());
    let blocking = |endpoints: &str, arguments: &[&str]| {
        tokio::task::block_in_place(|| bench(shape, endpoints, arguments))
    };
    println!(
        "| operation | connections | embedded, 1/s | one gateway, 1/s | two, 1/s | one : embedded | two : one |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for operation in ["put", "get"] {
        for connections in ["1", "16", "64"] {
            let arguments = [operation, "--size", &size, "--count", &count, "--concurrency", connections];
            let embedded = blocking(&alone.endpoint, &arguments)?;
            let (single, double) = (blocking(&one.endpoint, &arguments)?, blocking(&pair, &arguments)?);
            println!(
                "| {operation} {size} | {connections} | {embedded:.0} | {single:.0} | {double:.0} | {:.2} | {:.2} |",
                single / embedded,
                double / single
            );
        }
    }
    let arguments = ["put", "--size", "1000", "--count", &count, "--concurrency", "16", "--buckets"];
    let of_buckets = |buckets| blocking(&one.endpoint, &[&arguments[..], &[buckets]].concat());
    let (single, many) = (of_buckets("1")?, of_buckets("16")?);
    let ratio = single / many;
    println!("\n16 clients on one bucket: {single:.0}/s, on 16: {many:.0}/s, {ratio:.2} (wanted: 0.8)");
    let listed = shape.listed.to_string();
    let arguments = ["list", "--size", "100", "--count", "100", "--concurrency", "2", "--objects", &listed];
    let rate = blocking(&one.endpoint, &arguments)?;
    println!("LIST of 1000 among {listed}: {rate:.0}/s by two connections");
    let mut verdict = Verdict::default();
    races::told_by_server(&stage.cluster, &mut verdict)?;
    println!("{}", verdict.told.join("; "));
    Ok(if verdict.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
