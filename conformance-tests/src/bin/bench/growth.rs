//! What operations cost while a bucket, or many, grow: at a thousand objects, three thousand, ten thousand and so on.

use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use conformance_tests::process::{CpuTime, Memory};
use http::Method;

use super::Target;
use super::client::Connection;
use super::picture::{self, Curve};

const CONNECTIONS: usize = 16;
/// Objects that are read at a stop, at most.
const READS: usize = 2000;
/// Pages that are listed at a stop.
const PAGES: usize = 64;
/// Prefixes that the objects are spread over.
const PREFIXES: usize = 100;
const FIRST_STOP: usize = 1000;

/// How far it goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Objects in the end
    #[arg(long, default_value_t = 100_000)]
    to: usize,
    /// Buckets that they are spread over
    #[arg(long, default_value = "1")]
    buckets: NonZeroUsize,
    /// Bytes of an object
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// The server's data folder, for the bytes on the disk
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where a picture of the costs is written, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// Milliseconds per operation.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Of the server's CPU; not a number without its process id.
    cpu_ms: f64,
    /// Of the clock: what passed in all, by the number of operations.
    wall_ms: f64,
}

/// What was measured, in the order of the columns.
const MEASURED: [&str; 5] = ["PUT", "GET", "HEAD", "LIST at the root, delimiter", "LIST in the middle"];

/// What was found at a number of objects.
struct Stop {
    objects: usize,
    costs: [Cost; MEASURED.len()],
    memory_mib: Option<u64>,
    /// On the disk.
    bytes_per_object: Option<f64>,
}

/// Fills buckets of its own and tells what things cost on the way. They are to be new, and stay.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<()> {
    let target = Target { bucket: format!("{}-growth", target.bucket), ..target.clone() };
    if plan.buckets.get() == 1 {
        Connection::open(&target).await?.make_bucket(&target.bucket).await?;
    } else {
        let all = (0..plan.buckets.get()).map(|n| format!("/{}", plan.bucket(&target, n))).collect();
        let cost = crowd(&target, Method::PUT, &Bytes::new(), all).await?;
        println!("{} buckets, each made for {} CPU ms (of the clock).\n", plan.buckets, cost.figure());
    }
    let empty = plan.data.as_deref().map(disk_bytes);
    let columns = MEASURED.map(|name| format!(" {name} |")).concat();
    println!("CPU ms, and in brackets ms of the clock, per operation at {CONNECTIONS} connections.\n");
    println!("| objects |{columns} memory MiB | bytes on the disk per object |");
    println!("| --- |{} --- | --- |", " --- |".repeat(MEASURED.len()));
    let (mut there, mut found) = (0, Vec::new());
    for objects in stops(plan.to) {
        eprintln!("{objects} objects");
        let costs = measure(&target, plan, there, objects).await?;
        let memory_mib = target.pid.map(Memory::of).transpose()?.map(|memory| memory.now_mib);
        let disk = plan.data.as_deref().map(disk_bytes);
        let grown = disk.zip(empty).map(|(now, empty)| now.saturating_sub(empty));
        let bytes_per_object = grown.map(|bytes| bytes as f64 / objects as f64);
        let stop = Stop { objects, costs, memory_mib, bytes_per_object };
        println!("{}", stop.line());
        found.push(stop);
        there = objects;
    }
    if let Some(file) = &plan.picture {
        std::fs::write(file, draw(&found)).context("the picture can't be written")?;
    }
    Ok(())
}

/// Powers of ten and three times them, and the end.
fn stops(to: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(FIRST_STOP), |stop| stop.checked_mul(10));
    let stops = powers.flat_map(|power| [power, power.saturating_mul(3)]);
    stops.take_while(|stop| *stop < to).chain([to]).collect()
}

/// Writes what is missing, and measures at this number of objects.
async fn measure(
    target: &Target,
    plan: &Plan,
    there: usize,
    objects: usize,
) -> anyhow::Result<[Cost; MEASURED.len()]> {
    let content = Bytes::from(vec![0x5c_u8; plan.size]);
    let buckets = plan.buckets.get();
    let of = |n: usize| format!("/{}/{}", plan.bucket(target, n % buckets), key(n / buckets));
    let reads = READS.min(objects);
    // Spread over all of them: it is a prime.
    let some = |n: usize| of(n * 7919 % objects.max(1));
    let list = |query: &str| {
        let page = |n| format!("/{}?{query}", plan.bucket(target, n % buckets));
        (0..PAGES).map(page).collect()
    };
    let root = list("delimiter=%2F&list-type=2&max-keys=1000");
    let middle = list(&format!("list-type=2&max-keys=1000&start-after=p{}%2F", PREFIXES / 2));
    Ok([
        crowd(target, Method::PUT, &content, (there..objects).map(of).collect()).await?,
        crowd(target, Method::GET, &Bytes::new(), (0..reads).map(some).collect()).await?,
        crowd(target, Method::HEAD, &Bytes::new(), (0..reads).map(some).collect()).await?,
        crowd(target, Method::GET, &Bytes::new(), root).await?,
        crowd(target, Method::GET, &Bytes::new(), middle).await?,
    ])
}

impl Plan {
    /// The name of the bucket of this number.
    fn bucket(&self, target: &Target, n: usize) -> String {
        match self.buckets.get() {
            1 => target.bucket.clone(),
            _ => format!("{}-{n}", target.bucket),
        }
    }
}

fn key(n: usize) -> String {
    format!("p{:02}/{n:09}", n % PREFIXES)
}

/// Sends a request to each of these paths, over all connections.
async fn crowd(target: &Target, method: Method, body: &Bytes, paths: Vec<String>) -> anyhow::Result<Cost> {
    let (paths, next) = (Arc::new(paths), Arc::new(AtomicUsize::new(0)));
    let before = target.pid.map(CpuTime::of).transpose()?;
    let (mut workers, began) = (Vec::new(), Instant::now());
    for _ in 0..CONNECTIONS.min(paths.len()) {
        let mut connection = Connection::open(target).await?;
        let (method, body, paths, next) = (method.clone(), body.clone(), paths.clone(), next.clone());
        workers.push(tokio::spawn(async move {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                connection.send(method.clone(), path, &[], body.clone()).await?;
            }
            anyhow::Ok(())
        }));
    }
    for worker in workers {
        worker.await??;
    }
    let (wall_s, count) = (began.elapsed().as_secs_f64(), paths.len() as f64);
    let cpu_s = match (target.pid, before) {
        (Some(pid), Some(before)) => CpuTime::of(pid)?.since_s(&before),
        _ => f64::NAN,
    };
    Ok(Cost { cpu_ms: cpu_s * 1000.0 / count, wall_ms: wall_s * 1000.0 / count })
}

/// What a folder takes on the disk. Files that vanish meanwhile are none.
fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        // Blocks are of 512 bytes whatever the file system has.
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

impl Cost {
    fn figure(&self) -> String {
        let Self { cpu_ms, wall_ms } = self;
        match cpu_ms.is_nan() {
            true => format!("– ({wall_ms:.3})"),
            false => format!("{cpu_ms:.3} ({wall_ms:.3})"),
        }
    }
}

impl Stop {
    fn line(&self) -> String {
        let costs: String = self.costs.iter().map(|cost| format!(" {} |", cost.figure())).collect();
        let memory = self.memory_mib.map_or_else(|| "–".to_owned(), |mib| mib.to_string());
        let disk = self.bytes_per_object.map_or_else(|| "–".to_owned(), |bytes| format!("{bytes:.0}"));
        format!("| {} |{costs} {memory} | {disk} |", self.objects)
    }
}

/// CPU times, or those of the clock where a process id is not known.
fn draw(found: &[Stop]) -> String {
    let by_cpu = found.iter().all(|stop| stop.costs.iter().all(|cost| cost.cpu_ms.is_finite()));
    let cost = |cost: &Cost| if by_cpu { cost.cpu_ms } else { cost.wall_ms };
    let points =
        |nth: usize| found.iter().map(|stop| (stop.objects as f64, cost(&stop.costs[nth]))).collect();
    let curve = |(nth, name): (usize, &&str)| Curve { name: (*name).to_owned(), points: points(nth) };
    let curves: Vec<Curve> = MEASURED.iter().enumerate().map(curve).collect();
    let title = if by_cpu { "CPU ms per operation" } else { "ms per operation" };
    picture::curves(title, "objects", &curves)
}

#[cfg(test)]
mod tests {
    use super::{key, stops};

    #[test]
    fn stops_are_powers_and_their_threefold() {
        assert_eq!(stops(100_000), [1000, 3000, 10_000, 30_000, 100_000]);
        assert_eq!(stops(2000), [1000, 2000]);
        assert_eq!(stops(10), [10]);
    }

    #[test]
    fn keys_are_spread_over_prefixes() {
        assert_eq!([key(7), key(107)], ["p07/000000007", "p07/000000107"]);
    }
}
