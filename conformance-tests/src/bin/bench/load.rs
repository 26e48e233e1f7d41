//! A load: what is done how often, and what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use conformance_tests::process::{self, CpuTime};
use http::Method;

use super::client::Connection;
use super::statistics::quantile_ms;
use super::{Shape, Target, multipart};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Put,
    Get,
    Head,
    List,
    Delete,
    Multipart,
}

/// An operation and its shape.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) operation: Operation,
    pub(crate) shape: Shape,
}

/// What a run came to.
pub(crate) struct Outcome {
    name: String,
    ops: usize,
    bytes: u64,
    wall: Duration,
    /// In order.
    latencies: Vec<Duration>,
    cpu_s: Option<f64>,
    peak_mib: Option<u64>,
}

impl Load {
    /// Prepares, runs, and answers the run whose CPU time (or wall time) is the median.
    pub(crate) async fn run(&self, target: &Target) -> anyhow::Result<Outcome> {
        self.prepare(target).await?;
        let mut outcomes = Vec::new();
        for _ in 0..target.runs.max(1) {
            outcomes.push(self.run_once(target).await?);
        }
        let key = |outcome: &Outcome| outcome.cpu_s.unwrap_or(outcome.wall.as_secs_f64());
        outcomes.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let middle = outcomes.len() / 2;
        Ok(outcomes.swap_remove(middle))
    }

    fn body(&self) -> Bytes {
        Bytes::from(vec![0x5c_u8; self.shape.size])
    }

    fn folder(&self) -> String {
        let Shape { sse, size, objects, prefixes, .. } = &self.shape;
        format!("{sse:?}-{size}-{objects}-{prefixes}").to_lowercase()
    }

    /// The path of one of the objects that are there beforehand.
    pub(crate) fn existing(&self, target: &Target, n: usize) -> String {
        let name = self.shape.name(n % self.shape.objects.max(1));
        format!("/{}/{}/{name}", target.bucket, self.folder())
    }

    /// The path and query of a listing of them.
    pub(crate) fn page(&self, target: &Target) -> String {
        let delimiter = if self.shape.prefixes > 0 { "delimiter=%2F&" } else { "" };
        let (bucket, folder) = (&target.bucket, self.folder());
        format!("/{bucket}?{delimiter}list-type=2&max-keys=1000&prefix={folder}%2F")
    }

    /// Makes the bucket, and the objects that are to be there.
    pub(crate) async fn prepare(&self, target: &Target) -> anyhow::Result<()> {
        let body = self.body();
        let mut connection = Connection::open(target).await?;
        for number in 0..self.shape.buckets.max(1) {
            let bucket = self.shape.target_of(target, number).bucket;
            connection.make_bucket(&bucket).await?;
        }
        let objects = match self.operation {
            Operation::Get | Operation::Head | Operation::List => self.shape.objects,
            Operation::Delete => self.shape.count * target.runs.max(1),
            Operation::Put | Operation::Multipart => 0,
        };
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = Vec::new();
        for _ in 0..16.min(objects) {
            let (target, next, body) = (target.clone(), next.clone(), body.clone());
            let (shape, folder, headers) =
                (self.shape.clone(), self.folder(), self.shape.sse.write_headers(&target));
            workers.push(tokio::spawn(async move {
                let mut connection = Connection::open(&target).await?;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= objects {
                        return anyhow::Ok(());
                    }
                    let path = format!("/{}/{folder}/{}", target.bucket, shape.name(n));
                    connection.send(Method::PUT, &path, &headers, body.clone()).await?;
                }
            }));
        }
        for worker in workers {
            worker.await??;
        }
        Ok(())
    }

    /// Runs once.
    pub(crate) async fn run_once(&self, target: &Target) -> anyhow::Result<Outcome> {
        let body = self.body();
        let cpu_before = target.pid.map(CpuTime::of).transpose()?;
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut workers = Vec::new();
        for number in 0..self.shape.concurrency {
            let (load, target, next, body) = (self.clone(), target.clone(), next.clone(), body.clone());
            workers.push(tokio::spawn(async move {
                let mut connections = load.connections(&target, number).await?;
                let target = load.shape.target_of(&target, number);
                let (mut latencies, mut bytes) = (Vec::new(), 0);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= load.shape.count {
                        return anyhow::Ok((latencies, bytes));
                    }
                    let began = Instant::now();
                    bytes += load.operate(&mut connections, &target, n, &body).await? as u64;
                    latencies.push(began.elapsed());
                }
            }));
        }
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        for worker in workers {
            let (of_worker, bytes_of_worker) = worker.await??;
            latencies.extend(of_worker);
            bytes += bytes_of_worker;
        }
        let wall = began.elapsed();
        latencies.sort_unstable();
        let cpu_s = match (target.pid, cpu_before) {
            (Some(pid), Some(before)) => Some(CpuTime::of(pid)?.since_s(&before)),
            _ => None,
        };
        let peak_mib = target.pid.map(process::Memory::of).transpose()?.map(|memory| memory.peak_mib);
        let name = format!("{:?} {} {:?}", self.operation, self.shape.size, self.shape.sse);
        Ok(Outcome { name, ops: latencies.len(), bytes, wall, latencies, cpu_s, peak_mib })
    }

    /// Those of one worker: several where parts of an upload are sent at once.
    async fn connections(&self, target: &Target, number: usize) -> anyhow::Result<Vec<Connection>> {
        let count = match self.operation {
            Operation::Multipart => self.shape.parts_in_flight.max(1),
            _ => 1,
        };
        let mut connections = Vec::new();
        for nth in 0..count {
            connections.push(Connection::open_of(target, number * count + nth).await?);
        }
        Ok(connections)
    }

    /// Writes an object as this load does, and fails where the answer does not say that it was encrypted so: some servers pass over
    /// headers that they don't know, and their figures would be of something else.
    pub(crate) async fn check_encryption(&self, target: &Target) -> anyhow::Result<()> {
        let Some((header, wanted)) = self.shape.sse.confirmed_by() else { return Ok(()) };
        let mut connection = Connection::open(target).await?;
        connection.make_bucket(&target.bucket).await?;
        let path = format!("/{}/encrypted/{:?}", target.bucket, self.shape.sse);
        let headers = self.shape.sse.write_headers(target);
        let answer = connection.send(Method::PUT, &path, &headers, Bytes::from_static(b"content")).await?;
        let told = answer.headers.get(header).and_then(|value| value.to_str().ok());
        ensure!(told == Some(wanted), "answers {header}: {}, not {wanted}", told.unwrap_or("nothing"));
        Ok(())
    }

    /// One operation; answers the bytes of content that it moved.
    async fn operate(
        &self,
        connections: &mut Vec<Connection>,
        target: &Target,
        n: usize,
        body: &Bytes,
    ) -> anyhow::Result<usize> {
        let connection = connections.first_mut().context("no connection")?;
        let (bucket, folder, shape) = (&target.bucket, self.folder(), &self.shape);
        let existing = self.existing(target, n);
        match self.operation {
            Operation::Put => {
                let path = format!("/{bucket}/put/{folder}/{n:08}");
                connection.upload(shape, &path, &shape.sse.write_headers(target), body.clone()).await?;
                Ok(body.len())
            }
            Operation::Get => {
                let mut headers = shape.sse.read_headers();
                if let Some(slots) = shape.size.checked_div(shape.range) {
                    let first = (n * 7919 % slots.max(1)) * shape.range;
                    headers.push(("range", format!("bytes={first}-{}", first + shape.range - 1)));
                }
                Ok(connection.send(Method::GET, &existing, &headers, Bytes::new()).await?.body_len)
            }
            Operation::Head => {
                connection.send(Method::HEAD, &existing, &shape.sse.read_headers(), Bytes::new()).await?;
                Ok(0)
            }
            Operation::List => {
                Ok(connection.send(Method::GET, &self.page(target), &[], Bytes::new()).await?.body_len)
            }
            Operation::Delete => {
                connection.send(Method::DELETE, &existing, &[], Bytes::new()).await?;
                Ok(0)
            }
            Operation::Multipart => {
                let path = format!("/{bucket}/multipart/{folder}/{n:08}");
                multipart::upload(connections, target, &path, shape, body).await?;
                Ok(body.len())
            }
        }
    }
}

impl Outcome {
    /// The columns of what `Display` writes.
    pub(crate) const HEADER: &str = "operation                          ops/s      MB/s    p50 ms    p99 ms    max ms  CPU ms/op  CPU s/GB  peak MiB";

    pub(crate) fn ops_per_s(&self) -> f64 {
        self.ops as f64 / self.wall.as_secs_f64()
    }

    /// The server's CPU milliseconds per operation; not a number without its process id.
    pub(crate) fn cpu_ms_per_op(&self) -> f64 {
        self.cpu_s.map_or(f64::NAN, |cpu| cpu * 1000.0 / self.ops as f64)
    }

    /// The server's CPU seconds per gigabyte (10⁹ bytes) moved.
    pub(crate) fn cpu_s_per_gb(&self) -> f64 {
        self.cpu_s.map_or(f64::NAN, |cpu| cpu * 1e9 / self.bytes as f64)
    }

    /// Milliseconds of the clock per operation: what passed in all, by the operations that went on at once.
    pub(crate) fn wall_ms_per_op(&self) -> f64 {
        self.wall.as_secs_f64() * 1000.0 / self.ops as f64
    }

    /// Bytes of content that an operation moved.
    pub(crate) fn bytes_per_op(&self) -> f64 {
        self.bytes as f64 / self.ops as f64
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mb_per_s = self.bytes as f64 / 1e6 / self.wall.as_secs_f64();
        write!(f, "{:30} {:9.0} {mb_per_s:9.1}", self.name, self.ops_per_s())?;
        for of in [0.5, 0.99, 1.0] {
            write!(f, " {:9.2}", quantile_ms(&self.latencies, of))?;
        }
        let peak = self.peak_mib.map_or_else(|| "-".to_owned(), |mib| mib.to_string());
        write!(f, " {:10.3} {:9.3} {peak:>9}", self.cpu_ms_per_op(), self.cpu_s_per_gb())
    }
}
