//! What metrics and logs cost: gateways of one build with different settings, side by side, which take turns; and the memory of an idle
//! gateway that does all of it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use conformance_tests::process::Memory;
use conformance_tests::server::Server;

use super::load::{Load, Operation};
use super::statistics::quartiles;
use super::{Shape, Target};

/// What metrics may cost, as a ratio of CPU times.
const MAX_METRICS: f64 = 1.02;
/// What the access log may cost beside them.
const MAX_ACCESS_LOG: f64 = 1.03;
/// The memory that an idle gateway may have with everything on.
const MAX_IDLE_MIB: u64 = 32;
/// How long a gateway is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// What is compared.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Rounds: in each, every gateway has a turn with every operation. Many short ones: what the machine does beside is in few of them
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// How often the gateways are started anew meanwhile: where its parts happen to lie in memory makes a process some percent faster or slower
    #[arg(long, default_value = "5")]
    starts: NonZeroUsize,
    /// Operations of a turn
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Connections
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Bytes of an object
    #[arg(long, default_value_t = 4096)]
    size: usize,
}

/// Settings that are compared, each with the one before it.
const SETTINGS: [&str; 4] = ["nothing", "metrics", "metrics, access log", "all"];

fn arguments(setting: usize, folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["--metrics-requests".to_owned(), (setting > 0).to_string()];
    if setting > 1 {
        arguments.extend(["--access-log".to_owned(), file(&format!("access-{setting}.jsonl"))]);
    }
    if setting > 2 {
        // Nobody listens there: spans are made and dropped.
        let collector = "http://127.0.0.1:9".to_owned();
        arguments.extend([
            "--audit-log".to_owned(),
            file("audit.jsonl"),
            "--otlp-endpoint".to_owned(),
            collector,
        ]);
        arguments.extend(["--metrics-listen".to_owned(), "127.0.0.1:0".to_owned()]);
    }
    arguments
}

/// Starts the gateways, lets them take turns, and tells what came of it.
///
/// # Errors
/// When a gateway does not start or answer, or a target is missed.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<()> {
    let rounds = plan.rounds.div_ceil(plan.starts.get());
    let operations = [Operation::Put, Operation::Get];
    let mut costs_ms = operations.map(|_| vec![Vec::new(); SETTINGS.len()]);
    let (mut idle_mib, mut after) = (0, None);
    for _ in 0..plan.starts.get() {
        let folder = tempfile::tempdir()?;
        let servers = start(folder.path())?;
        let all = servers[SETTINGS.len() - 1].pid();
        tokio::time::sleep(SETTLE).await;
        idle_mib = idle_mib.max(Memory::of(all)?.now_mib);
        for (operation, costs_ms) in operations.iter().zip(&mut costs_ms) {
            take_turns(&load(*operation, plan), &targets(&servers, target), rounds, costs_ms).await?;
        }
        tokio::time::sleep(SETTLE).await;
        after = Some(Memory::of(all)?);
    }

    println!("| {} B, {} connections, CPU | ms | median ratio of a round | | |", plan.size, plan.concurrency);
    println!("| --- | --- | --- | --- | --- |");
    let mut missed = 0;
    for (operation, costs_ms) in operations.iter().zip(&costs_ms) {
        for (setting, costs) in costs_ms.iter().enumerate() {
            let former = &costs_ms[setting.saturating_sub(1)];
            let ratios = costs.iter().zip(former).map(|(cost, former)| cost / former);
            let [lower, ratio, upper] = quartiles(&ratios.collect::<Vec<_>>());
            // Of a median of so many, where they lie about it as by chance.
            let error = 1.25 * (upper - lower) / 1.35 / (costs.len() as f64).sqrt();
            let most = [f64::INFINITY, MAX_METRICS, MAX_ACCESS_LOG, f64::INFINITY][setting];
            let verdict = match ratio {
                _ if setting == 0 => String::new(),
                _ if most.is_infinite() => String::new(),
                ratio if ratio <= most => format!("≤ {most}: ok"),
                _ => format!("≤ {most}: MISSED"),
            };
            missed += usize::from(verdict.ends_with("MISSED"));
            let name = SETTINGS[setting];
            let [_, cost, _] = quartiles(costs);
            let spread = format!("± {error:.3}, quartiles {lower:.3}–{upper:.3}");
            println!("| {operation:?}, {name} | {cost:.4} | {ratio:.3} | {spread} | {verdict} |");
        }
    }
    let verdict = if idle_mib <= MAX_IDLE_MIB { "ok" } else { "MISSED" };
    print!("\nmemory with all of it: idle {idle_mib} MiB (≤ {MAX_IDLE_MIB}: {verdict})");
    if let Some(memory) = after {
        print!(", after the load {} MiB, at most {} MiB", memory.now_mib, memory.peak_mib);
    }
    println!();
    missed += usize::from(idle_mib > MAX_IDLE_MIB);
    ensure!(missed == 0, "{missed} targets were missed");
    Ok(())
}

fn load(operation: Operation, plan: &Plan) -> Load {
    let Plan { count, concurrency, size, .. } = *plan;
    let shape = Shape { size, concurrency, count, ..Shape::default() };
    Load { operation, shape }
}

/// A gateway for each setting.
fn start(folder: &Path) -> anyhow::Result<Vec<Server>> {
    let started = (0..SETTINGS.len()).map(|setting| {
        let arguments = arguments(setting, folder);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Server::start_with(&arguments)
    });
    started.collect()
}

fn targets(servers: &[Server], target: &Target) -> Vec<Target> {
    let of = |server: &Server| Target {
        endpoint: vec![server.endpoint.clone()],
        pid: Some(server.pid()),
        runs: 1,
        ..target.clone()
    };
    servers.iter().map(of).collect()
}

/// Adds the CPU milliseconds of an operation, by gateway and round. Each round begins with another gateway, and the first one warms them up.
async fn take_turns(
    load: &Load,
    targets: &[Target],
    rounds: usize,
    costs_ms: &mut [Vec<f64>],
) -> anyhow::Result<()> {
    for target in targets {
        load.prepare(target).await?;
    }
    for round in 0..=rounds.max(1) {
        for turn in 0..targets.len() {
            let at = (round + turn) % targets.len();
            let outcome = load.run_once(&targets[at]).await?;
            if round > 0 {
                costs_ms[at].push(outcome.cpu_ms_per_op());
            }
        }
    }
    Ok(())
}
