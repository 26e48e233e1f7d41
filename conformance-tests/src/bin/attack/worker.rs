//! Somebody who works while others attack: signed PUTs and GETs, every few of them over a new connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use conformance_tests::caller::{Caller, Credentials};
use http::Method;
use tokio::task::JoinHandle;

use crate::door::{BUCKET, Door};

const REQUESTS_PER_CONNECTION: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);
/// After which a request counts as failed.
const LIMIT: Duration = Duration::from_secs(30);

/// The working client.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    work: JoinHandle<Work>,
}

/// What it did.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) count: usize,
    pub(crate) p99: Duration,
    pub(crate) slowest: Duration,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn start(door: &Door) -> Worker {
    let stop = Arc::new(AtomicBool::new(false));
    let (endpoint, stopped) = (door.server.endpoint.clone(), stop.clone());
    let work = tokio::spawn(async move {
        let (mut work, mut took) = (Work::default(), Vec::new());
        while !stopped.load(Ordering::Relaxed) && work.failures.len() < 5 {
            if let Err(error) = connection(&endpoint, &stopped, &mut took).await {
                work.failures.push(format!("{error:#}"));
            }
        }
        took.sort_unstable();
        work.count = took.len();
        work.p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
        work.slowest = took.last().copied().unwrap_or_default();
        work
    });
    Worker { stop, work }
}

impl Worker {
    pub(crate) async fn stop(self) -> anyhow::Result<Work> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.work.await?)
    }
}

/// The connection itself is part of the first request.
async fn connection(endpoint: &str, stopped: &AtomicBool, took: &mut Vec<Duration>) -> anyhow::Result<()> {
    let mut began = Instant::now();
    let mut caller = tokio::time::timeout(LIMIT, Caller::open(endpoint, Credentials::root())).await??;
    for number in 0..REQUESTS_PER_CONNECTION {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let target = format!("/{BUCKET}/work{}", number / 2 % 4);
        let content = format!("{target} {}", number / 2);
        let (method, body) = if number % 2 == 0 { (Method::PUT, &*content) } else { (Method::GET, "") };
        let asked = caller.s3(method.clone(), &target, body);
        let answer = tokio::time::timeout(LIMIT, asked).await??.success()?;
        ensure!(method == Method::PUT || answer.text() == content, "read {:?}", answer.text());
        took.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
        began = Instant::now();
    }
    Ok(())
}
