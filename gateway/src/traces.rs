//! Traces: a span for each request, sent in batches to an OpenTelemetry collector by OTLP over HTTP, in JSON. Off unless an endpoint is
//! set. A request never waits for it: what does not fit in the queue is dropped and counted.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

mod span;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::Agent;

use crate::http::client;
use crate::observe::metrics::TRACES;
use crate::observe::request::{Observer, RequestRecord, Wants};

/// Spans that wait at the most.
const QUEUE_LEN: usize = 2048;
/// Spans of one request to the collector.
const BATCH_LEN: usize = 512;
/// How long a span waits for others at the most.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the sending thread is given.
enum Message {
    /// A span, in JSON.
    Span(String),
    /// Send what there is, and end.
    Stop,
}

/// Sends spans.
pub struct Traces {
    queue: SyncSender<Message>,
    thread: JoinHandle<()>,
}

/// Makes spans of requests.
struct SpanMaker {
    queue: SyncSender<Message>,
}

impl Observer for SpanMaker {
    fn wants(&self) -> Wants {
        Wants::Detail
    }

    fn ended(&self, record: &RequestRecord) {
        let Some(span) = span::of(record) else { return };
        match self.queue.try_send(Message::Span(span.to_string())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => TRACES.dropped.add(1),
        }
    }
}

impl Traces {
    /// Begins to send to this collector; the second answer is who is to be told of requests.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(endpoint: &str) -> std::io::Result<(Self, Arc<dyn Observer>)> {
        let (queue, messages) = sync_channel(QUEUE_LEN);
        let sender =
            Sender { agent: client::agent(TIMEOUT), url: format!("{endpoint}/v1/traces"), is_down: false };
        let thread =
            std::thread::Builder::new().name("traces".to_owned()).spawn(move || sender.run(&messages))?;
        let maker = Arc::new(SpanMaker { queue: queue.clone() });
        Ok((Self { queue, thread }, maker))
    }

    /// Sends what waits, as long as that takes the collector no longer than it may.
    pub async fn stop(self) {
        let ended = tokio::task::spawn_blocking(move || {
            // It takes at most one batch until there is room.
            let _ = self.queue.send(Message::Stop);
            self.thread.join()
        });
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
    fn run(mut self, messages: &Receiver<Message>) {
        let mut batch = Vec::new();
        let mut until = Instant::now();
        loop {
            let next = match batch.is_empty() {
                true => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => messages.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(Message::Span(span)) => {
                    if batch.is_empty() {
                        until = Instant::now() + LINGER;
                    }
                    batch.push(span);
                    if batch.len() >= BATCH_LEN {
                        self.send(&mut batch);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.send(&mut batch),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.send(&mut batch),
            }
        }
    }

    fn send(&mut self, batch: &mut Vec<String>) {
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let body = request(&std::mem::take(batch));
        let sent = self.agent.post(&self.url).header("content-type", "application/json").send(body.as_str());
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
fn request(spans: &[String]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let resource = json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "sealgate" } },
        { "key": "service.version", "value": { "stringValue": version } },
        { "key": "process.pid", "value": { "intValue": std::process::id().to_string() } },
    ] });
    let scope = json!({ "name": "sealgate", "version": version });
    let spans = spans.join(",");
    format!(
        r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":[{spans}]}}]}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stand_in_one_request() {
        let text = request(&["{\"name\":\"a\"}".to_owned(), "{\"name\":\"b\"}".to_owned()]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["name"], "b");
    }
}
