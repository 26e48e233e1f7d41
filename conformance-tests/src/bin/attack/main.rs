//! Attacks the connections of the built gateway while somebody works beside, and judges each: what it must refuse it refuses, nobody's
//! request is taken for another's, and whoever works goes on working.

mod door;
mod fuzz;
mod kept;
mod raw;
mod requests;
mod slots;
mod worker;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use conformance_tests::server::Server;

use door::Door;

/// Attacks the connections of the built gateway while somebody works beside, and judges each attack
///
/// Each starts a gateway of its own with short timeouts. Prints for each attack how long the requests of a working client took
/// meanwhile (99 of 100 of them, and the slowest), and what was not as it must be. Exit codes: 0 all held, 1 something did not, 2 nothing
/// could be tried.
#[derive(Parser)]
#[command(name = "attack", version)]
struct Cli {
    /// Only these attacks
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Attack>,
    /// Pairs of a refused PUT and a valid GET on one connection
    #[arg(long, default_value_t = 10_000)]
    pairs: usize,
    /// Connections that do nothing; the limit of open files must allow for them
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Connections of every other attack
    #[arg(long, default_value_t = 150)]
    few: usize,
    /// The longest that 99 of 100 requests of the working client may take meanwhile, in milliseconds
    #[arg(long, default_value_t = 500)]
    p99_ms: u64,
    /// Seconds of random bytes sent to the door, HTTP/1.1 and h2; 0: none
    #[arg(long, default_value_t = 0)]
    fuzz_seconds: u64,
    /// Where random choices begin; default: another one each time
    #[arg(long)]
    seed: Option<u64>,
}

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Attack {
    /// What follows a refused request with a body that may come or not
    ExpectPairs,
    /// Requests for two hosts, or none
    Hosts,
    /// Connections that send nothing, or one byte
    Silent,
    /// A byte of a head or a body now and then
    Dripping,
    /// Answers that nobody reads
    SlowReaders,
    /// Bodies without end of somebody unknown
    UnfinishedForms,
    /// A length that never comes
    Reservation,
    /// Heads beyond the limit
    BigHeads,
    /// Random bytes
    Fuzz,
}

/// The most failures that are told of an attack.
const MAX_FAILURES: usize = 20;

/// What came of an attack.
#[derive(Debug, Default)]
struct Verdict {
    /// What was tried, in figures.
    told: String,
    /// What was not as it must be.
    failures: Vec<String>,
}

impl Verdict {
    /// Notes a failure unless this holds.
    fn expect(&mut self, holds: bool, failure: impl FnOnce() -> String) {
        if !holds && self.failures.len() < MAX_FAILURES {
            self.failures.push(failure());
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("attack: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let all = <Attack as clap::ValueEnum>::value_variants();
    let is_chosen = |attack: &Attack| match cli.only.is_empty() {
        true => *attack != Attack::Fuzz || cli.fuzz_seconds > 0,
        false => cli.only.contains(attack),
    };
    let mut all_held = true;
    for attack in all.iter().copied().filter(is_chosen) {
        let began = Instant::now();
        let door = start(attack).await?;
        let worker = worker::start(&door);
        let mut verdict = match attack {
            Attack::ExpectPairs => requests::expect_pairs(&door, cli.pairs).await?,
            Attack::Hosts => requests::hosts(&door).await?,
            Attack::Silent => slots::silent(&door, cli.connections).await?,
            Attack::Dripping => slots::dripping(&door, cli.few).await?,
            Attack::SlowReaders => slots::slow_readers(&door, cli.few).await?,
            Attack::UnfinishedForms => kept::unfinished_forms(&door, cli.few).await?,
            Attack::Reservation => kept::reservation(&door, cli.few).await?,
            Attack::BigHeads => kept::big_heads(&door).await?,
            Attack::Fuzz => fuzz::run(&door, cli.fuzz_seconds, cli.seed).await?,
        };
        let work = worker.stop().await?;
        verdict
            .expect(work.failures.is_empty(), || format!("the working client: {}", work.failures.join("; ")));
        verdict.expect(work.count > 0, || "the working client got nothing done".to_owned());
        verdict.expect(work.p99 <= Duration::from_millis(cli.p99_ms), || {
            format!("99 of 100 requests of the working client took up to {:.0?}", work.p99)
        });
        let held = verdict.failures.is_empty();
        all_held &= held;
        println!(
            "{:<16} {:<6} {}; working client: {} requests, p99 {:.1?}, slowest {:.1?}; {:.0?}",
            format!("{attack:?}"),
            if held { "held" } else { "FAILED" },
            verdict.told,
            work.count,
            work.p99,
            work.slowest,
            began.elapsed(),
        );
        for failure in verdict.failures.iter().take(MAX_FAILURES) {
            println!("    {failure:.1000}");
        }
    }
    Ok(if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn start(attack: Attack) -> anyhow::Result<Door> {
    let (idle_s, body_idle_s) = (door::IDLE.as_secs().to_string(), door::BODY_IDLE.as_secs().to_string());
    // Wrong signatures are part of the attacks, and come from where the working client is.
    let mut arguments = vec!["--domain", "s3.test", "--auth-failures-per-minute", "0"];
    arguments.extend(["--body-idle-timeout-s", &body_idle_s]);
    // Silence is to be borne with the usual patience: others take the places.
    if attack != Attack::Silent {
        arguments.extend(["--idle-timeout-s", &idle_s]);
    }
    Door::prepare(Server::start_with(&arguments)?).await
}
