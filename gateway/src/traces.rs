//! Traces: a span for each request, sent in batches to an OpenTelemetry collector by OTLP over HTTP, in JSON. Off unless an endpoint is
//! set. A request never waits for it: what does not fit in the queue is dropped and counted.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;
use ureq::Agent;

use crate::http::client;
use crate::observe::json::with_buffer;
use crate::observe::metrics::TRACES;
use crate::observe::request::{Observer, RequestRecord, Wants};
use span::Span;

/// Spans that wait at the most.
const QUEUE_LEN: usize = 2048;
/// Bytes of spans that wait at the most.
const MAX_WAITING_LEN: usize = 8 << 20;
/// So many spans are sent without waiting for more.
const BATCH_LEN: usize = 512;
/// How long a span waits for others at the most.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What buffers may keep while little is sent, in bytes.
const KEPT_LEN: usize = 64 << 10;

/// Sends spans.
pub struct Traces {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

/// Spans that wait, and makes them of requests.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Spans in `waiting`, also for those who do not hold it.
    count: AtomicUsize,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Objects of JSON with commas between them.
    spans: Vec<u8>,
    is_stopping: bool,
}

impl Observer for Queue {
    fn wants(&self) -> Wants {
        Wants::Detail
    }

    fn ended(&self, record: &RequestRecord) {
        let Some(span) = Span::of(record) else { return };
        // Nothing is written that is dropped.
        if self.count.load(Ordering::Relaxed) >= QUEUE_LEN
            || !with_buffer(|text| span.write(text).is_some_and(|()| self.push(text)))
        {
            TRACES.dropped.add(1);
        }
    }
}

impl Queue {
    /// Takes a span, if there is room.
    fn push(&self, span: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.spans.len() + span.len() >= MAX_WAITING_LEN {
            return false;
        }
        if !waiting.spans.is_empty() {
            waiting.spans.push(b',');
        }
        waiting.spans.extend_from_slice(span);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        drop(waiting);
        // The first begins a batch, and a full one ends it: between them the sender sleeps.
        if count == 1 || count == BATCH_LEN {
            self.wake.notify_one();
        }
        true
    }

    /// Waits for a batch, which is put into an empty buffer; tells how many spans it has, and whether it is the last.
    fn next(&self, batch: &mut Vec<u8>) -> (usize, bool) {
        let mut waiting = self.waiting.lock();
        while waiting.spans.is_empty() && !waiting.is_stopping {
            self.wake.wait(&mut waiting);
        }
        let until = Instant::now() + LINGER;
        while self.count.load(Ordering::Relaxed) < BATCH_LEN && !waiting.is_stopping {
            if self.wake.wait_until(&mut waiting, until).timed_out() {
                break;
            }
        }
        std::mem::swap(&mut waiting.spans, batch);
        (self.count.swap(0, Ordering::Relaxed), waiting.is_stopping)
    }
}

impl Traces {
    /// Begins to send to this collector; the second answer is who is to be told of requests.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(endpoint: &str) -> std::io::Result<(Self, Arc<dyn Observer>)> {
        let queue = Arc::<Queue>::default();
        let sender =
            Sender { agent: client::agent(TIMEOUT), url: format!("{endpoint}/v1/traces"), is_down: false };
        let spans = queue.clone();
        let thread =
            std::thread::Builder::new().name("traces".to_owned()).spawn(move || sender.run(&spans))?;
        Ok((Self { queue: queue.clone(), thread }, queue))
    }

    /// Sends what waits, as long as that takes the collector no longer than it may.
    pub async fn stop(self) {
        self.queue.waiting.lock().is_stopping = true;
        self.queue.wake.notify_one();
        let ended = tokio::task::spawn_blocking(move || self.thread.join());
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent");
        }
    }
}

/// The thread that sends.
struct Sender {
    agent: Agent,
    url: String,
    /// Did the last batch fail? Told in the log once.
    is_down: bool,
}

impl Sender {
    fn run(mut self, queue: &Queue) {
        let mut batch = Vec::new();
        loop {
            let (count, is_last) = queue.next(&mut batch);
            if count > 0 {
                self.send(&batch, count as u64);
            }
            batch.clear();
            batch.shrink_to(KEPT_LEN);
            if is_last {
                return;
            }
        }
    }

    fn send(&mut self, batch: &[u8], count: u64) {
        let sent =
            self.agent.post(&self.url).header("content-type", "application/json").send(&*request(batch));
        let why = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        match why {
            None => {
                TRACES.sent.add(count);
                self.is_down = false;
            }
            Some(why) => {
                TRACES.failed.add(count);
                if !std::mem::replace(&mut self.is_down, true) {
                    tracing::warn!(
                        url = self.url,
                        why,
                        "traces can't be sent; this is said once until they can"
                    );
                }
            }
        }
    }
}

/// `ExportTraceServiceRequest` around spans that are JSON already.
fn request(spans: &[u8]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let resource = json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "sealgate" } },
        { "key": "service.version", "value": { "stringValue": version } },
        { "key": "process.pid", "value": { "intValue": std::process::id().to_string() } },
    ] });
    let scope = json!({ "name": "sealgate", "version": version });
    let head =
        format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":["#);
    [head.as_bytes(), spans, b"]}]}]}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stand_in_one_request_and_what_is_too_much_is_refused() {
        let queue = Queue::default();
        assert!(queue.push(b"{\"name\":\"a\"}") && queue.push(b"{\"name\":\"b\"}"));
        assert!(!queue.push(&vec![b' '; MAX_WAITING_LEN]));
        queue.waiting.lock().is_stopping = true;
        let mut batch = Vec::new();
        assert_eq!(queue.next(&mut batch), (2, true));
        let value: serde_json::Value = serde_json::from_slice(&request(&batch)).unwrap();
        assert_eq!(value["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["name"], "b");
        batch.clear();
        assert_eq!(queue.next(&mut batch), (0, true));
    }
}
