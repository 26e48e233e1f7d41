//! Clients that put, copy, delete, read and list through whichever gateway, and know what must come of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::random::Random;
use http::Method;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use super::Verdict;
use super::asking::PATIENCE;
use super::gates::{Chosen, Gates};
use super::ledger::{Content, Ledger};

/// The bucket that is worked in.
pub(crate) const BUCKET: &str = "load";
const OBJECTS_PER_WORKER: u64 = 6;
const PART: usize = 5 << 20;

/// Why a request did not succeed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The connection broke, or was refused.
    Cut(String),
    /// 503.
    Unavailable(String),
    /// Nothing came.
    Hung,
    /// Any other answer.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cut(why) => write!(f, "the connection broke: {why:.300}"),
            Self::Unavailable(answer) => write!(f, "503 {answer:.400}"),
            Self::Hung => f.write_str("no answer came"),
            Self::Refused(answer) => write!(f, "{answer:.400}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Somebody who asks gateways.
pub(crate) struct Client {
    pub(crate) gates: Gates,
    open: HashMap<usize, (String, Caller)>,
}

impl Client {
    pub(crate) fn of(gates: &Gates) -> Self {
        Self { gates: gates.clone(), open: HashMap::new() }
    }

    /// Asks this gateway; 404 and 412 are answers, too.
    pub(crate) async fn ask(
        &mut self,
        gate: &Chosen,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let Some(endpoint) = &gate.endpoint else { return Err(Failure::Cut("it is down".to_owned())) };
        if self.open.get(&gate.number).is_some_and(|(to, _)| to != endpoint) {
            self.open.remove(&gate.number);
        }
        let answer = tokio::time::timeout(PATIENCE, async {
            let mut caller = match self.open.remove(&gate.number) {
                // A gateway may close a connection behind an answer.
                Some((_, caller)) if caller.is_open() => caller,
                _ => Caller::open(endpoint, Credentials::root()).await?,
            };
            let answer = caller.send(method, target, headers, body).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            // One that failed is not asked again.
            self.open.insert(gate.number, (endpoint.clone(), caller));
            anyhow::Ok(Answer { status: parts.status, headers: parts.headers, body })
        });
        match answer.await {
            Ok(Ok(answer)) => match answer.status.as_u16() {
                200..=299 | 404 | 412 => Ok(answer),
                503 => Err(Failure::Unavailable(answer.text())),
                status => Err(Failure::Refused(format!("{status} {:.500}", answer.text()))),
            },
            Ok(Err(error)) => Err(Failure::Cut(format!("{error:#}"))),
            Err(_) => Err(Failure::Hung),
        }
    }
}

/// What workers share.
#[derive(Default)]
pub(crate) struct Counts {
    /// Requests that succeeded.
    pub(crate) done: AtomicU64,
    /// Requests that a gateway's own end cut.
    pub(crate) cut: AtomicU64,
    /// Answers of 503.
    pub(crate) unavailable: AtomicU64,
    /// May gateways answer 503, and cut what they can't finish?
    pub(crate) is_troubled: AtomicBool,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
    stops: AtomicBool,
}

impl Counts {
    fn fail(&self, failure: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < super::MAX_FAILURES {
            failures.push(failure);
        }
    }

    pub(crate) fn trouble(&self, is_troubled: bool) {
        self.is_troubled.store(is_troubled, Ordering::SeqCst);
    }
}

/// A load that runs.
pub(crate) struct Load {
    pub(crate) counts: Arc<Counts>,
    pub(crate) ledger: Ledger,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Lets so many workers work. Their objects' names begin with `name`.
    pub(crate) fn start(gates: &Gates, ledger: &Ledger, name: &str, workers: u64, seed: u64) -> Self {
        let counts = Arc::new(Counts::default());
        let workers = (0..workers).map(|number| {
            let worker = Worker {
                client: Client::of(gates),
                ledger: ledger.clone(),
                counts: counts.clone(),
                random: Random::of(seed, number),
                prefix: format!("{name}{number}/"),
                generations: BTreeMap::new(),
            };
            tokio::spawn(worker.run())
        });
        Self { workers: workers.collect(), counts, ledger: ledger.clone() }
    }

    /// Ends it once each worker has its answer; tells how much was done, and notes what failed.
    pub(crate) async fn stop(self, verdict: &mut Verdict) -> anyhow::Result<()> {
        self.counts.stops.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.await?;
        }
        let Counts { done, cut, unavailable, failed, failures, .. } = &*self.counts;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let doubts = self.ledger.all().values().filter(|possible| possible.len() > 1).count();
        verdict.tell(format!(
            "{} requests answered, {} cut, {} answered 503, {} failed; {doubts} objects in doubt",
            count(done),
            count(cut),
            count(unavailable),
            count(failed)
        ));
        let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        for failure in failures.iter() {
            verdict.expect(false, || failure.clone());
        }
        verdict.failed += count(failed) - failures.len() as u64;
        verdict.expect(count(done) > 0, || "the clients got nothing done".to_owned());
        Ok(())
    }
}

struct Worker {
    client: Client,
    ledger: Ledger,
    counts: Arc<Counts>,
    random: Random,
    prefix: String,
    /// How often a name has fallen into doubt: then another one takes its place.
    generations: BTreeMap<u64, u64>,
}

/// What a worker's step came to.
enum Step {
    Done,
    /// It is not known.
    Unknown,
}

impl Worker {
    async fn run(mut self) {
        while !self.counts.stops.load(Ordering::SeqCst) {
            self.step().await;
        }
    }

    fn name(&mut self, slot: u64) -> String {
        loop {
            let generation = self.generations.entry(slot).or_default();
            let name = format!("{}o{slot}.{generation}", self.prefix);
            if !self.ledger.is_in_doubt(&name) {
                return name;
            }
            *generation += 1;
        }
    }

    async fn step(&mut self) {
        let slot = self.random.below(OBJECTS_PER_WORKER);
        let key = self.name(slot);
        let gate = self.client.gates.choose(self.random.below(self.client.gates.count() as u64) as usize);
        if gate.endpoint.is_none() {
            // As a balancer does.
            tokio::time::sleep(Duration::from_millis(5)).await;
            return;
        }
        let len = self.random.pick(&[100, 3000, 9000, 20_000, 200_000, 700_000]).copied().unwrap_or(1);
        let content = Content { len, seed: self.random.next() };
        match self.random.below(24) {
            0..=8 => {
                let step = self.put(&gate, &key, content).await;
                self.note(&key, Some(content), step);
            }
            9..=10 => {
                let step = self.delete(&gate, &key).await;
                self.note(&key, None, step);
            }
            11..=12 => {
                let from = self.random.below(OBJECTS_PER_WORKER);
                let source = self.name(from);
                if let [Some(copied)] = self.ledger.of(&source)[..] {
                    let step = self.copy(&gate, &key, &source).await;
                    self.note(&key, Some(copied), step);
                }
            }
            13 => {
                let content = Content { len: PART + len, ..content };
                let step = self.multipart(&gate, &key, content).await;
                self.note(&key, Some(content), step);
            }
            14..=20 => self.get(&gate, &key).await,
            _ => self.list(&gate).await,
        }
    }

    fn note(&self, key: &str, content: Option<Content>, step: Step) {
        match step {
            Step::Done => self.ledger.settle(key, content),
            Step::Unknown => self.ledger.doubt(key, content),
        }
    }

    async fn ask(
        &mut self,
        gate: &Chosen,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Option<Answer> {
        let what = format!("gateway {}: {method} {target}", gate.number);
        let failure = match self.client.ask(gate, method, target, headers, body).await {
            Ok(answer) => {
                self.counts.done.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            Err(failure) => failure,
        };
        let is_excused = self.client.gates.was_down(gate) || self.counts.is_troubled.load(Ordering::SeqCst);
        match &failure {
            Failure::Cut(_) if is_excused => self.counts.cut.fetch_add(1, Ordering::Relaxed),
            Failure::Unavailable(_) if is_excused => self.counts.unavailable.fetch_add(1, Ordering::Relaxed),
            failure => {
                self.counts.fail(format!("{what}: {failure}"));
                0
            }
        };
        // Not all of them at once again.
        tokio::time::sleep(Duration::from_millis(20 + self.random.below(60))).await;
        None
    }

    /// A request that changes something: any other answer than success is a failure.
    async fn change(
        &mut self,
        gate: &Chosen,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Option<Answer> {
        let what = format!("gateway {}: {method} {target}", gate.number);
        let answer = self.ask(gate, method, target, headers, body).await?;
        // A copy, and the end of an upload, may fail behind their status.
        if answer.status.is_success() && !answer.text().contains("<Error>") {
            return Some(answer);
        }
        self.counts.fail(format!("{what}: {} {:.500}", answer.status, answer.text()));
        None
    }

    async fn put(&mut self, gate: &Chosen, key: &str, content: Content) -> Step {
        let target = format!("/{BUCKET}/{key}");
        let answer = self.change(gate, Method::PUT, &target, &[], content.bytes().into()).await;
        if answer.is_some() { Step::Done } else { Step::Unknown }
    }

    async fn delete(&mut self, gate: &Chosen, key: &str) -> Step {
        let answer = self.change(gate, Method::DELETE, &format!("/{BUCKET}/{key}"), &[], Bytes::new()).await;
        if answer.is_some() { Step::Done } else { Step::Unknown }
    }

    async fn copy(&mut self, gate: &Chosen, key: &str, source: &str) -> Step {
        let headers = [
            ("x-amz-copy-source", format!("/{BUCKET}/{source}")),
            ("x-amz-metadata-directive", "REPLACE".to_owned()),
        ];
        let target = format!("/{BUCKET}/{key}");
        let answer = self.change(gate, Method::PUT, &target, &headers, Bytes::new()).await;
        if answer.is_some() { Step::Done } else { Step::Unknown }
    }

    async fn multipart(&mut self, gate: &Chosen, key: &str, content: Content) -> Step {
        let target = format!("/{BUCKET}/{key}");
        let begun = self.change(gate, Method::POST, &format!("{target}?uploads="), &[], Bytes::new()).await;
        let Some(upload) = begun.and_then(|answer| answer.field("UploadId")) else { return Step::Unknown };
        let bytes = Bytes::from(content.bytes());
        let mut parts = String::new();
        for (number, start) in (1..).zip((0..bytes.len()).step_by(PART)) {
            let part = bytes.slice(start..(start + PART).min(bytes.len()));
            let target = format!("{target}?partNumber={number}&uploadId={upload}");
            // Each part by another gateway.
            let other = (gate.number + number) % self.client.gates.count();
            let other = self.client.gates.choose(other);
            let other = if other.endpoint.is_some() { other } else { gate.clone() };
            let Some(sent) = self.change(&other, Method::PUT, &target, &[], part).await else {
                return Step::Unknown;
            };
            let etag = sent.headers.get("etag").and_then(|value| value.to_str().ok()).unwrap_or_default();
            parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let target = format!("{target}?uploadId={upload}");
        let answer = self.change(gate, Method::POST, &target, &[], document.into()).await;
        if answer.is_some() { Step::Done } else { Step::Unknown }
    }

    async fn get(&mut self, gate: &Chosen, key: &str) {
        let target = format!("/{BUCKET}/{key}");
        let Some(answer) = self.ask(gate, Method::GET, &target, &[], Bytes::new()).await else { return };
        let found = answer.status.is_success().then_some(&answer.body[..]);
        if !self.ledger.allows(key, found) {
            let len = found.map(<[u8]>::len);
            let expected = self.ledger.of(key);
            self.counts.fail(format!("gateway {}: {key} is {len:?}, expected {expected:?}", gate.number));
        }
    }

    /// All that is listed below the worker's own prefix is there, and all that is there is listed.
    async fn list(&mut self, gate: &Chosen) {
        let prefix = self.prefix.replace('/', "%2F");
        let target = format!("/{BUCKET}?list-type=2&prefix={prefix}");
        let Some(answer) = self.ask(gate, Method::GET, &target, &[], Bytes::new()).await else { return };
        let listed: BTreeSet<String> = keys(&answer.text()).collect();
        let wrong: Vec<String> = {
            let all = self.ledger.all();
            let own = all.iter().filter(|(key, _)| key.starts_with(&self.prefix));
            own.filter(|(key, possible)| match &possible[..] {
                [content] => content.is_some() != listed.contains(*key),
                _ => false,
            })
            .map(|(key, possible)| format!("{key}: {possible:?}"))
            .collect()
        };
        if !wrong.is_empty() {
            self.counts.fail(format!("gateway {} lists otherwise: {wrong:?}", gate.number));
        }
    }
}

/// The keys of a listing.
pub(crate) fn keys(text: &str) -> impl Iterator<Item = String> {
    text.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
}
