//! Figures: one gateway and two over one PostgreSQL and one SeaweedFS against one with a data folder, in one run.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::process::cpu_s;
use conformance_tests::server::Server;
use tokio::process::Command;

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
    /// Runs, in turns with those that they are compared with; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// Objects among which is listed
    #[arg(long, default_value_t = 1_000_000)]
    listed: usize,
    /// Users whose identities a gateway takes over
    #[arg(long, default_value_t = 10_000)]
    users: usize,
}

/// Bytes of an object that lies in its record.
const INLINED: usize = 1000;
/// The quota of IAM.
const USERS_PER_ACCOUNT: usize = 5000;
/// Connections that ask for such objects.
const INLINED_CONNECTIONS: usize = 16;

/// Those that gateways write themselves, of the objects among which is listed. The others are copies of a record, under names behind
/// them: a listing passes them by without reading them.
const WRITTEN: usize = 5000;

/// What a run of `bench` came to.
#[derive(Debug, Clone, Copy)]
struct Run {
    per_s: f64,
    cpu_ms: f64,
}

/// `bench`, beside this program. `pid`: the gateway whose CPU time is told.
async fn bench(endpoints: &str, pid: u32, arguments: &[&str]) -> anyhow::Result<Run> {
    let program = std::env::current_exe()?.with_file_name("bench");
    let output = Command::new(program)
        .args(["--endpoint", endpoints, "--pid", &pid.to_string(), "--runs", "1"])
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .context("bench is not built")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let row: Vec<&str> = told.lines().nth(1).context("no figures")?.split_whitespace().collect();
    // Its name has three words.
    let column = |at: usize| row.get(at + 3).and_then(|text| text.parse().ok()).context("no figure");
    Ok(Run { per_s: column(0)?, cpu_ms: column(5)? })
}

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) async fn run(shape: &Shape) -> anyhow::Result<ExitCode> {
    let stage = Stage::start(0).await?;
    let start = || tokio::task::block_in_place(|| stage.cluster.gateway(&USUAL));
    let (one, two) = (start()?, start()?);
    let alone = tokio::task::block_in_place(Server::start)?;
    let pair = format!("{},{}", one.endpoint, two.endpoint);
    let count = shape.count.to_string();
    println!(
        "| operation | connections | embedded, 1/s | one gateway, 1/s | two, 1/s | one : embedded | two : one | CPU of an \
         operation, ms: embedded | one gateway | database |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for operation in ["put", "get"] {
        let stored = shape.connections.iter().map(|connections| (shape.size, *connections));
        for (size, connections) in stored.chain([(INLINED, INLINED_CONNECTIONS)]) {
            let (size, connections) = (size.to_string(), connections.to_string());
            let arguments = [operation, "--size", &size, "--count", &count, "--concurrency", &connections];
            let mut rounds = Vec::new();
            for _ in 0..shape.runs.max(1) {
                let embedded = bench(&alone.endpoint, alone.pid(), &arguments).await?;
                let before = stage.cluster.postgres.cpu_s()?;
                let single = bench(&one.endpoint, one.pid(), &arguments).await?;
                let database = (stage.cluster.postgres.cpu_s()? - before) * 1000.0 / shape.count as f64;
                let double = bench(&pair, one.pid(), &arguments).await?;
                rounds.push((embedded, single, double, database));
            }
            let of = |figure: fn(&(Run, Run, Run, f64)) -> f64| median(rounds.iter().map(figure));
            println!(
                "| {operation} {size} | {connections} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                of(|round| round.0.per_s),
                of(|round| round.1.per_s),
                of(|round| round.2.per_s),
                of(|round| round.1.per_s / round.0.per_s),
                of(|round| round.2.per_s / round.1.per_s),
                of(|round| round.0.cpu_ms),
                of(|round| round.1.cpu_ms),
                of(|round| round.3),
            );
        }
    }
    buckets(shape, &one).await?;
    identities(shape, &stage, &one).await?;
    listing(shape, &stage, &one).await?;
    let mut verdict = Verdict::default();
    races::told_by_server(&stage.cluster, &mut verdict)?;
    println!("{}", verdict.told.join("; "));
    Ok(if verdict.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// 16 clients on one bucket and on 16, in turns: contents are kept in the records, so that the map alone is measured.
async fn buckets(shape: &Shape, gateway: &Server) -> anyhow::Result<()> {
    let count = shape.count.to_string();
    let arguments = ["put", "--size", "1000", "--count", &count, "--concurrency", "16", "--buckets"];
    let of_buckets =
        async |buckets| bench(&gateway.endpoint, gateway.pid(), &[&arguments[..], &[buckets]].concat()).await;
    let mut rounds = Vec::new();
    for round in 0..=shape.runs.max(1) {
        let (single, many) = (of_buckets("1").await?.per_s, of_buckets("16").await?.per_s);
        // The first one of each makes names that the others write over.
        if round > 0 {
            rounds.push((single, many));
        }
    }
    let of = |figure: fn(&(f64, f64)) -> f64| median(rounds.iter().map(figure));
    let (single, many, ratio) = (of(|round| round.0), of(|round| round.1), of(|round| round.0 / round.1));
    println!("\n16 clients on one bucket: {single:.0}/s, on 16: {many:.0}/s, {ratio:.2} (wanted: 0.8)");
    Ok(())
}

/// The start of a gateway, which takes over all identities, with none and with many.
async fn identities(shape: &Shape, stage: &Stage, gateway: &Server) -> anyhow::Result<()> {
    let started = || {
        let began = Instant::now();
        let gateway = tokio::task::block_in_place(|| stage.cluster.gateway(&USUAL))?;
        let elapsed_ms = began.elapsed().as_secs_f64() * 1000.0;
        anyhow::Ok((elapsed_ms, cpu_s(gateway.pid())? * 1000.0))
    };
    let mut none = Vec::new();
    for _ in 0..shape.runs.max(1) {
        none.push(started()?);
    }
    let began = Instant::now();
    for first in (0..shape.users).step_by(USERS_PER_ACCOUNT) {
        let account = tokio::task::block_in_place(|| gateway.create_account(&format!("figures-{first}")))?;
        let credentials = Credentials::of_key(&account.access_key_id, &account.secret_access_key);
        let mut caller = Caller::open(&gateway.endpoint, credentials).await?;
        for number in first..shape.users.min(first + USERS_PER_ACCOUNT) {
            caller.iam("CreateUser", &[("UserName", &format!("user-{number}"))]).await?.success()?;
        }
    }
    let made_s = began.elapsed().as_secs_f64();
    let mut all = Vec::new();
    for _ in 0..shape.runs.max(1) {
        all.push(started()?);
    }
    let of =
        |rows: &[(f64, f64)]| (median(rows.iter().map(|row| row.0)), median(rows.iter().map(|row| row.1)));
    let ((none_ms, none_cpu_ms), (all_ms, all_cpu_ms)) = (of(&none), of(&all));
    println!(
        "\n{} users, made in {made_s:.0} s: a gateway starts in {all_ms:.0} ms ({all_cpu_ms:.0} of CPU), with none in {none_ms:.0} ms \
         ({none_cpu_ms:.0})",
        shape.users
    );
    Ok(())
}

/// A page of a listing among few and among many.
async fn listing(shape: &Shape, stage: &Stage, gateway: &Server) -> anyhow::Result<()> {
    let written = WRITTEN.min(shape.listed).to_string();
    let arguments = ["list", "--size", "100", "--count", "100", "--concurrency", "2", "--objects", &written];
    let few = bench(&gateway.endpoint, gateway.pid(), &arguments).await?;
    let added = shape.listed.saturating_sub(WRITTEN);
    // Records are sealed for their keys: these could not be read, and are not.
    let fill = format!(
        "with one as (select key, value, position(convert_to('/00000001', 'UTF8') in key) as at from kv \
         where position(convert_to('none-100-{written}-0/00000001', 'UTF8') in key) > 0 order by key limit 1) \
         insert into kv select overlay(key placing convert_to('/z' || lpad(n::text, 7, '0'), 'UTF8') from at), value, n \
         from one, generate_series(1, {added}) as n"
    );
    stage.cluster.ask(&fill)?;
    stage.cluster.ask("vacuum analyze kv")?;
    let rows = stage.cluster.ask("select count(*) from kv")?;
    let many = bench(&gateway.endpoint, gateway.pid(), &arguments).await?;
    println!(
        "LIST of 1000 by two connections: {:.0}/s among {written}, {:.0}/s among {} ({rows} rows)",
        few.per_s, many.per_s, shape.listed
    );
    Ok(())
}
