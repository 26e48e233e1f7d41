//! Several built gateways over one PostgreSQL and one SeaweedFS while gateways, servers, networks and clocks fail: what was acknowledged is
//! there with its bytes through every gateway, what is listed can be read, and no blob is left without a record.

mod asking;
mod clock;
mod database;
mod figures;
mod freeze;
mod gates;
mod kills;
mod ledger;
mod load;
mod partition;
mod races;
mod reads;
mod stage;
mod verify;
mod with;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// Runs several gateways over one database and one store of blobs, lets what can fail fail, and judges what comes of it
///
/// PostgreSQL (and, for `database --patroni`, patroni and etcd) and faketime come from Debian's packages, SeaweedFS from PyPI. Exit codes: 0 all
/// held, 1 something did not, 2 nothing could be tried, 130 it was asked to stop.
#[derive(Parser)]
#[command(name = "cluster", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, clap::Args)]
struct Options {
    /// Every test
    #[arg(long)]
    all: bool,
    /// Only these tests
    #[arg(long = "test", value_enum, value_delimiter = ',')]
    tests: Vec<Test>,
    /// How often each test does what it does; default: as often as in the acceptance
    #[arg(long)]
    rounds: Option<u64>,
    /// Where random choices begin; default: another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that work meanwhile
    #[arg(long, default_value_t = 6)]
    workers: u64,
    /// The database fails over by Patroni, in place of by hand
    #[arg(long)]
    patroni: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a command whose tests start gateways over one PostgreSQL and one SeaweedFS
    With {
        /// The command
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Measures one gateway and two over one PostgreSQL and one SeaweedFS against one with a data folder, in one run
    Figures(figures::Shape),
}

/// A test of the acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Test {
    /// SIGKILL of one of three gateways, again and again
    Kills,
    /// SIGSTOP of a gateway between a blob and its record, until its session is ended
    Freeze,
    /// Death of the primary, of its standby, and cancelled commits
    Database,
    /// Networks that cut, swallow, delay, and cut behind a commit
    Partition,
    /// Two gateways that change the same
    Races,
    /// A gateway whose clock runs an hour ahead
    Clock,
    /// A restart of one gateway after the other
    Rolling,
}

/// The exit code of one that was asked to stop, as a shell tells it.
const STOPPED: u8 = 130;
/// The most failures that are told of a test.
const MAX_FAILURES: usize = 20;

/// What came of a test.
#[derive(Debug, Default)]
struct Verdict {
    /// What was tried, in figures.
    told: Vec<String>,
    /// What was not as it must be.
    failures: Vec<String>,
    /// How many of these there were.
    failed: u64,
}

impl Verdict {
    fn tell(&mut self, told: impl Into<String>) {
        let told = told.into();
        eprintln!("    {told}");
        self.told.push(told);
    }

    /// Notes a failure unless this holds.
    fn expect(&mut self, holds: bool, failure: impl FnOnce() -> String) {
        if holds {
            return;
        }
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            let failure = failure();
            eprintln!("    FAILED: {failure:.1000}");
            self.failures.push(failure);
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Heard of from now on, before anything is started that would outlive a sudden end.
    let stopped = match stopped() {
        Ok(stopped) => stopped,
        Err(error) => return failed(&error),
    };
    let work = async {
        match cli.command {
            Some(Command::With { command }) => with::run(&command).await,
            Some(Command::Figures(shape)) => figures::run(&shape).await,
            None => run(&cli.options).await,
        }
    };
    // What it has started ends with it, since it is dropped.
    let done = tokio::select! {
        done = work => done,
        () = stopped => Ok(ExitCode::from(STOPPED)),
    };
    done.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("cluster: {error:#}");
    ExitCode::from(2)
}

/// Until somebody asks it to stop, from this call on.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("cluster: it was asked to stop");
    })
}

async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(options.all || !options.tests.is_empty(), "nothing to be tried: --all, or --test NAME");
    let seed = options.seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        since.as_micros() as u64
    });
    println!("{}; seed {seed}", conformance_tests::server::binary()?.display());
    let options = Options { seed: Some(seed), ..options.clone() };
    let mut all_held = true;
    for test in Test::value_variants().iter().copied() {
        if !options.all && !options.tests.contains(&test) {
            continue;
        }
        let began = Instant::now();
        let mut verdict = Verdict::default();
        eprintln!("{test:?}");
        let ran = match test {
            Test::Kills => kills::killed(&options, &mut verdict).await,
            Test::Freeze => freeze::run(&options, &mut verdict).await,
            Test::Database => database::run(&options, &mut verdict).await,
            Test::Partition => partition::run(&options, &mut verdict).await,
            Test::Races => races::run(&options, &mut verdict).await,
            Test::Clock => clock::run(&options, &mut verdict).await,
            Test::Rolling => kills::rolling(&options, &mut verdict).await,
        };
        if let Err(error) = ran {
            verdict.expect(false, || format!("it could not go on: {error:#}"));
        }
        let held = verdict.failures.is_empty();
        all_held &= held;
        let word = if held { "held" } else { "FAILED" };
        println!("{:<10} {word:<6} in {:.0?}", format!("{test:?}").to_lowercase(), began.elapsed());
        for told in &verdict.told {
            println!("    {told}");
        }
        for failure in &verdict.failures {
            println!("    ! {failure:.1000}");
        }
        if verdict.failed > verdict.failures.len() as u64 {
            println!("    ! {} failures in all", verdict.failed);
        }
    }
    Ok(if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
