//! How long a client with one connection waits for small objects while others load the same server, one load after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use clap::Args;
use http::Method;
use tokio::task::JoinHandle;

use super::client::Connection;
use super::load::{Load, Operation};
use super::statistics::quantile_ms;
use super::{Shape, Target};

/// The longest that a request may take, in milliseconds.
const MAX_MS: f64 = 100.0;
/// Bytes of an object that is waited for.
const SMALL: usize = 4096;
/// Objects that are read, and names that are written to.
const OBJECTS: usize = 1000;
/// Bytes of an upload.
const LARGE: usize = 1 << 30;
/// Objects of the bucket that is listed.
const LISTED: usize = 20_000;
/// How long a load goes on before anybody waits.
const LEAD: Duration = Duration::from_secs(1);

/// How it is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Seconds that each load is measured
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Connections of the other client that has many
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// Objects that are deleted
    #[arg(long, default_value_t = 50_000)]
    deleted: usize,
}

/// What others do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Background {
    Nothing,
    Uploads,
    Lists,
    Connections,
    Deletes,
}

/// Latencies in order.
struct Waited {
    gets: Vec<Duration>,
    puts: Vec<Duration>,
}

/// Measures, prints a table, and fails where somebody waited too long.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<()> {
    small().prepare(target).await?;
    println!("| others do | their operations | GETs, PUTs | GET p50, p99, p99.9, max ms | PUT, ms | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut missed = 0;
    use Background::{Connections, Deletes, Lists, Nothing, Uploads};
    for background in [Nothing, Uploads, Lists, Connections, Deletes] {
        eprintln!("{}", background.name(plan));
        background.prepare(target, plan).await?;
        let (others, waited) = measure(background, target, plan).await?;
        let longest = [&waited.gets, &waited.puts].map(|latencies| quantile_ms(latencies, 1.0));
        let holds = longest.iter().all(|ms| *ms <= MAX_MS);
        missed += usize::from(!holds);
        println!(
            "| {} | {others} | {}, {} | {} | {} | {} |",
            background.name(plan),
            waited.gets.len(),
            waited.puts.len(),
            quantiles(&waited.gets),
            quantiles(&waited.puts),
            if holds { "ok" } else { "MISSED" }
        );
    }
    ensure!(missed == 0, "under {missed} loads a request took more than {MAX_MS} ms");
    Ok(())
}

/// The load of one small GET.
fn small() -> Load {
    Load { operation: Operation::Get, shape: Shape { size: SMALL, objects: OBJECTS, ..Shape::default() } }
}

fn listing() -> Load {
    Load { operation: Operation::List, shape: Shape { size: 64, objects: LISTED, ..Shape::default() } }
}

fn quantiles(latencies: &[Duration]) -> String {
    [0.5, 0.99, 0.999, 1.0].map(|of| format!("{:.2}", quantile_ms(latencies, of))).join(", ")
}

impl Background {
    fn name(self, plan: &Plan) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Uploads => "uploads of 1 GiB, 2 at a time".to_owned(),
            Self::Lists => format!("lists of 1000 among {LISTED}, 2 at a time"),
            Self::Connections => format!("GETs of 4 KiB over {} connections", plan.connections),
            Self::Deletes => format!("deletes of {} objects, 8 at a time", plan.deleted),
        }
    }

    /// What must be there beforehand.
    async fn prepare(self, target: &Target, plan: &Plan) -> anyhow::Result<()> {
        match self {
            Self::Lists => listing().prepare(target).await,
            Self::Deletes => doomed(plan).prepare(target).await,
            _ => Ok(()),
        }
    }

    /// How many go on at once.
    fn width(self, plan: &Plan) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Uploads | Self::Lists => 2,
            Self::Connections => plan.connections,
            Self::Deletes => 8,
        }
    }
}

/// Objects that are written to be deleted.
fn doomed(plan: &Plan) -> Load {
    // Of this size alone: no other load has them.
    let shape = Shape { size: SMALL - 1, objects: plan.deleted, ..Shape::default() };
    Load { operation: Operation::Get, shape }
}

/// Loads the server while somebody waits in a thread of his own, whom the others' client does not hold up; answers how many
/// operations the others came to.
async fn measure(background: Background, target: &Target, plan: &Plan) -> anyhow::Result<(usize, Waited)> {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut others: Vec<JoinHandle<anyhow::Result<()>>> = Vec::new();
    let body = if background == Background::Uploads { Bytes::from(vec![0x5c; LARGE]) } else { Bytes::new() };
    for number in 0..background.width(plan) {
        let other =
            Other { background, number, body: body.clone(), plan: plan.clone(), target: target.clone() };
        others.push(tokio::spawn(other.work(stop.clone(), done.clone())));
    }
    tokio::time::sleep(LEAD).await;
    let (waiting, time) = (target.clone(), Duration::from_secs(plan.seconds));
    let waited = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(wait(&waiting, time))
    });
    let waited = waited.await??;
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.await??;
    }
    Ok((done.load(Ordering::Relaxed), waited))
}

/// Reads and writes small objects in turn over one connection.
async fn wait(target: &Target, time: Duration) -> anyhow::Result<Waited> {
    let mut connection = Connection::open(target).await?;
    let (load, body) = (small(), Bytes::from(vec![0x5c_u8; SMALL]));
    let (mut waited, began) = (Waited { gets: Vec::new(), puts: Vec::new() }, Instant::now());
    for n in 0.. {
        if began.elapsed() >= time {
            break;
        }
        let sent = Instant::now();
        connection.send(Method::GET, &load.existing(target, n), &[], Bytes::new()).await?;
        waited.gets.push(sent.elapsed());
        let path = format!("/{}/mixed/{:08}", target.bucket, n % OBJECTS);
        let sent = Instant::now();
        connection.send(Method::PUT, &path, &[], body.clone()).await?;
        waited.puts.push(sent.elapsed());
    }
    waited.gets.sort_unstable();
    waited.puts.sort_unstable();
    Ok(waited)
}

/// One of those that load the server.
struct Other {
    background: Background,
    number: usize,
    body: Bytes,
    plan: Plan,
    target: Target,
}

impl Other {
    /// Until it is stopped, or has nothing left to do.
    async fn work(self, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.target).await?;
        let width = self.background.width(&self.plan).max(1);
        for n in (self.number..).step_by(width) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let Some((method, path)) = self.request(n) else { break };
            connection.send(method, &path, &[], self.body.clone()).await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        if self.background == Background::Uploads {
            connection.send(Method::DELETE, &self.upload(), &[], Bytes::new()).await?;
        }
        Ok(())
    }

    fn upload(&self) -> String {
        format!("/{}/mixed-large/{}", self.target.bucket, self.number)
    }

    /// The request of this number, if there is one left.
    fn request(&self, n: usize) -> Option<(Method, String)> {
        Some(match self.background {
            Background::Nothing => return None,
            Background::Uploads => (Method::PUT, self.upload()),
            Background::Lists => (Method::GET, listing().page(&self.target)),
            Background::Connections => (Method::GET, small().existing(&self.target, n)),
            Background::Deletes if n >= self.plan.deleted => return None,
            Background::Deletes => (Method::DELETE, doomed(&self.plan).existing(&self.target, n)),
        })
    }
}
