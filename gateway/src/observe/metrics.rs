//! What is counted of requests, from the records of those that have ended; and how figures become the text that Prometheus reads.
//! Series are bounded: operations and error codes come from closed sets.
//! <https://prometheus.io/docs/practices/naming/>

mod jobs;
mod logs;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use foldhash::HashMap;
use http::StatusCode;
use parking_lot::RwLock;
use storage::figures::{Counter, DURATION_BOUNDS_NS, Histogram};

pub use jobs::{LIFECYCLE, REWRAP, write as write_jobs};
pub use logs::{LOGS, write as write_logs};
pub use text::{Labels, Text};

use super::request::{Observer, RequestRecord, Service, Wants};
use super::shard::{SHARDS, shard};

/// Classes of statuses, and of requests whose connection broke before they were answered.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
/// Error codes that are kept at the most, by service: a few hundred exist.
const MAX_CODES: usize = 1024;
/// Codes that a failed authentication is answered with.
const AUTHENTICATION_CODES: [&str; 15] = [
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// KMS calls that the gateway made itself, for objects under KMS keys; and how often a bucket-level key spared one.
pub static SSE_KMS: SseKmsFigures = SseKmsFigures {
    generated: Counter::new(),
    generate_failed: Counter::new(),
    decrypted: Counter::new(),
    decrypt_failed: Counter::new(),
    remembered: Counter::new(),
    not_remembered: Counter::new(),
};

/// Requests of this process.
pub static REQUESTS: LazyLock<Arc<RequestMetrics>> = LazyLock::new(Arc::default);

/// Connections of this process.
pub static CONNECTIONS: ConnectionFigures = ConnectionFigures {
    open: AtomicI64::new(0),
    accepted: Counter::new(),
    refused: Counter::new(),
    tls_failures: Counter::new(),
};

/// Spans of this process.
pub static TRACES: TraceFigures =
    TraceFigures { sent: Counter::new(), failed: Counter::new(), dropped: Counter::new() };

/// See [`TRACES`].
#[derive(Debug)]
pub struct TraceFigures {
    /// The collector has taken them.
    pub sent: Counter,
    /// It has not.
    pub failed: Counter,
    /// The queue was full.
    pub dropped: Counter,
}

/// See [`CONNECTIONS`].
#[derive(Debug)]
pub struct ConnectionFigures {
    open: AtomicI64,
    accepted: Counter,
    /// Closed at once, since their address has too many.
    pub refused: Counter,
    /// Handshakes that failed.
    pub tls_failures: Counter,
}

/// A connection that is open.
#[derive(Debug)]
pub struct OpenConnection(());

impl ConnectionFigures {
    /// One was accepted; it is open until the answer is dropped.
    pub fn open(&self) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.add(1);
        OpenConnection(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        CONNECTIONS.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes what is known of connections.
pub fn write_connections(text: &mut Text) {
    let one = |value: f64| [(vec![], value)];
    let open = CONNECTIONS.open.load(Ordering::Relaxed);
    text.gauge("sealgate_connections_open", "Connections that are open now", one(open as f64));
    for (name, help, counter) in [
        ("sealgate_connections_accepted", "Connections that were accepted", &CONNECTIONS.accepted),
        (
            "sealgate_connections_refused",
            "Connections closed at once, since their address has too many",
            &CONNECTIONS.refused,
        ),
        ("sealgate_tls_handshake_failures", "TLS handshakes that failed", &CONNECTIONS.tls_failures),
    ] {
        text.counter(name, help, one(counter.get() as f64));
    }
}

/// Writes what is known of traces.
pub fn write_traces(text: &mut Text) {
    text.counter(
        "sealgate_trace_spans",
        "Spans of requests, by outcome",
        [("sent", &TRACES.sent), ("failed", &TRACES.failed), ("dropped", &TRACES.dropped)]
            .map(|(outcome, counter)| (vec![("outcome", outcome)], counter.get() as f64)),
    );
}

/// See [`SSE_KMS`].
#[derive(Debug)]
pub struct SseKmsFigures {
    generated: Counter,
    generate_failed: Counter,
    decrypted: Counter,
    decrypt_failed: Counter,
    remembered: Counter,
    not_remembered: Counter,
}

impl SseKmsFigures {
    /// KMS was asked for a data key.
    pub fn generated<T, E>(&self, answer: &Result<T, E>) {
        if answer.is_ok() { &self.generated } else { &self.generate_failed }.add(1);
    }

    /// KMS was asked to decrypt one.
    pub fn decrypted<T, E>(&self, answer: &Result<T, E>) {
        if answer.is_ok() { &self.decrypted } else { &self.decrypt_failed }.add(1);
    }

    /// A bucket-level key was looked for.
    pub fn looked_for<T>(&self, found: &Option<T>) {
        if found.is_some() { &self.remembered } else { &self.not_remembered }.add(1);
    }
}

/// An operation of a service; `None`: one that the service does not have.
type OperationKey = (Service, Option<&'static str>);
/// A counter of each operation: its name, what it counts, and where it is.
type CounterRow = (&'static str, &'static str, fn(&OperationMetrics) -> &Counter);

/// What is counted of requests.
#[derive(Debug, Default)]
pub struct RequestMetrics {
    shards: [Shard; SHARDS],
    errors: RwLock<HashMap<(Service, &'static str), Arc<Counter>>>,
}

/// What some threads have counted. Its memory is its own, so that a processor which counts takes nothing from another one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    operations: RwLock<HashMap<OperationKey, Box<OperationMetrics>>>,
    in_flight: AtomicI64,
}

impl Shard {
    /// Counts for an operation. Operations are of closed sets, so there is an end to them.
    fn count(&self, operation: OperationKey, count: impl FnOnce(&OperationMetrics)) {
        if let Some(metrics) = self.operations.read().get(&operation) {
            return count(metrics);
        }
        count(self.operations.write().entry(operation).or_default());
    }
}

/// The same of one operation.
#[derive(Debug)]
struct OperationMetrics {
    classes: [Counter; 6],
    duration: Histogram,
    first_byte: Histogram,
    received_len: Counter,
    sent_len: Counter,
    broken: Counter,
}

impl OperationMetrics {
    /// Counts what another one has counted.
    fn add(&self, other: &Self) {
        let Self { classes, duration, first_byte, received_len, sent_len, broken } = self;
        for (class, of_other) in classes.iter().zip(&other.classes) {
            class.add(of_other.get());
        }
        duration.add(&other.duration);
        first_byte.add(&other.first_byte);
        received_len.add(other.received_len.get());
        sent_len.add(other.sent_len.get());
        broken.add(other.broken.get());
    }

    fn ended(&self, record: &RequestRecord) {
        self.classes[class(record.status)].add(1);
        self.duration.observe_duration(record.duration);
        if let Some(after) = record.time_to_first_byte {
            self.first_byte.observe_duration(after);
        }
        self.received_len.add(record.received_len);
        self.sent_len.add(record.sent_len);
        if record.status.is_some() && !record.is_whole {
            self.broken.add(1);
        }
    }
}

impl Default for OperationMetrics {
    fn default() -> Self {
        Self {
            classes: Default::default(),
            duration: Histogram::new(&DURATION_BOUNDS_NS),
            first_byte: Histogram::new(&DURATION_BOUNDS_NS),
            received_len: Counter::new(),
            sent_len: Counter::new(),
            broken: Counter::new(),
        }
    }
}

/// What has ended since the start, of all services but the gateway's own paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestTotals {
    /// Requests.
    pub requests: u64,
    /// Of these, those that were refused.
    pub errors_4xx: u64,
    /// Those that failed.
    pub errors_5xx: u64,
    /// Bytes of bodies that came.
    pub received_len: u64,
    /// Bytes of bodies that went.
    pub sent_len: u64,
    /// How long they took: each bound in nanoseconds (`None` above all), and how many were between it and the one before.
    pub durations: Vec<(Option<u64>, u64)>,
}

impl Observer for RequestMetrics {
    fn wants(&self) -> Wants {
        Wants::Record
    }

    fn begins(&self) {
        self.shard().in_flight.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, record: &RequestRecord) {
        let shard = self.shard();
        shard.in_flight.fetch_sub(1, Ordering::Relaxed);
        shard.count((record.service, record.operation), |metrics| metrics.ended(record));
        if let Some(code) = record.error_code {
            self.count_error(record.service, code);
        }
    }
}

fn class(status: Option<StatusCode>) -> usize {
    status.map_or(CLASSES.len() - 1, |status| usize::from(status.as_u16() / 100).clamp(1, 5) - 1)
}

impl RequestMetrics {
    fn shard(&self) -> &Shard {
        &self.shards[shard()]
    }

    /// What all threads have counted, by service and name of the operation.
    fn operations(&self) -> Vec<(OperationKey, OperationMetrics)> {
        let mut all: BTreeMap<_, (OperationKey, OperationMetrics)> = BTreeMap::new();
        for shard in &self.shards {
            for (of, metrics) in &*shard.operations.read() {
                let (service, operation) = of;
                let sum = all
                    .entry((service.name(), *operation))
                    .or_insert_with(|| (*of, OperationMetrics::default()));
                sum.1.add(metrics);
            }
        }
        all.into_values().collect()
    }

    fn count_error(&self, service: Service, code: &'static str) {
        if let Some(counter) = self.errors.read().get(&(service, code)) {
            return counter.add(1);
        }
        let mut errors = self.errors.write();
        if errors.len() < MAX_CODES {
            errors.entry((service, code)).or_default().add(1);
        }
    }

    /// All that has ended, summed up.
    pub fn totals(&self) -> RequestTotals {
        let mut totals = RequestTotals::default();
        let operations = self.operations();
        for (_, metrics) in operations.iter().filter(|((service, _), _)| *service != Service::Admin) {
            let of_class = |class: usize| metrics.classes[class].get();
            totals.requests += metrics.classes.iter().map(Counter::get).sum::<u64>();
            totals.errors_4xx += of_class(3);
            totals.errors_5xx += of_class(4);
            totals.received_len += metrics.received_len.get();
            totals.sent_len += metrics.sent_len.get();
            let (durations, _) = metrics.duration.read();
            for (at, (bound, count)) in durations.enumerate() {
                match totals.durations.get_mut(at) {
                    Some((_, sum)) => *sum += count,
                    None => totals.durations.push((bound, count)),
                }
            }
        }
        totals
    }

    /// Requests that go on now.
    pub fn in_flight(&self) -> i64 {
        // A request may begin on one thread and end on another.
        self.shards.iter().map(|shard| shard.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Writes what was counted.
    pub fn write(&self, text: &mut Text) {
        let operations = self.operations();
        let labels = |(service, operation): &OperationKey| {
            [("service", service.name()), ("operation", operation.unwrap_or("unknown"))]
        };
        let by_class = operations.iter().flat_map(|(of, metrics)| {
            let [service, operation] = labels(of);
            CLASSES.iter().zip(&metrics.classes).filter(|(_, counter)| counter.get() > 0).map(
                move |(class, counter)| {
                    (vec![service, operation, ("status_class", *class)], counter.get() as f64)
                },
            )
        });
        text.counter(
            "sealgate_requests",
            "Requests that have ended, by operation and class of status (none: the connection broke before the answer)",
            by_class,
        );
        let mut errors: Vec<_> =
            self.errors.read().iter().map(|(of, counter)| (*of, counter.get())).collect();
        errors.sort_by_key(|((service, code), _)| (service.name(), *code));
        text.counter(
            "sealgate_request_errors",
            "Requests that were refused or failed, by error code",
            errors.iter().map(|((service, code), count)| {
                (vec![("service", service.name()), ("code", *code)], *count as f64)
            }),
        );
        let authentication = errors.iter().filter(|((_, code), _)| AUTHENTICATION_CODES.contains(code));
        text.counter(
            "sealgate_authentication_failures",
            "Requests whose signature or credentials were refused, by error code",
            authentication.map(|((service, code), count)| {
                (vec![("service", service.name()), ("code", *code)], *count as f64)
            }),
        );
        let counters: [CounterRow; 3] = [
            ("sealgate_request_received_bytes", "Bytes of requests' bodies", |metrics| &metrics.received_len),
            ("sealgate_request_sent_bytes", "Bytes of answers' bodies", |metrics| &metrics.sent_len),
            (
                "sealgate_request_broken",
                "Answers that did not go to their end, since the connection broke or what was to be read is damaged",
                |metrics| &metrics.broken,
            ),
        ];
        for (name, help, of) in counters {
            let counted =
                operations.iter().map(|(key, metrics)| (labels(key).to_vec(), of(metrics).get() as f64));
            text.counter(name, help, counted);
        }
        text.histogram_s(
            "sealgate_request_duration_seconds",
            "From the arrival of a request's head until the end of its answer",
            operations.iter().map(|(of, metrics)| (labels(of).to_vec(), &metrics.duration)),
        );
        text.histogram_s(
            "sealgate_request_first_byte_seconds",
            "From the arrival of a request's head until the head of its answer was ready",
            operations.iter().map(|(of, metrics)| (labels(of).to_vec(), &metrics.first_byte)),
        );
        text.gauge(
            "sealgate_requests_in_flight",
            "Requests that go on now, the one that asks included",
            [(vec![], self.in_flight() as f64)],
        );
        let by_outcome = |ok: u64, failed: u64, operation: &'static str| {
            [("ok", ok), ("error", failed)].map(move |(outcome, count)| {
                let labels = vec![("operation", operation), ("origin", "sse"), ("outcome", outcome)];
                (labels, count as f64)
            })
        };
        let of_api = operations.iter().filter(|((service, _), _)| *service == Service::Kms);
        let of_api = of_api.flat_map(|((_, operation), metrics)| {
            let all: u64 = metrics.classes.iter().map(Counter::get).sum();
            let ok = metrics.classes[1].get();
            [("ok", ok), ("error", all - ok)].map(|(outcome, count)| {
                let operation = operation.unwrap_or("unknown");
                (vec![("operation", operation), ("origin", "api"), ("outcome", outcome)], count as f64)
            })
        });
        let of_sse =
            by_outcome(SSE_KMS.generated.get(), SSE_KMS.generate_failed.get(), "GenerateDataKey").into_iter();
        let of_sse =
            of_sse.chain(by_outcome(SSE_KMS.decrypted.get(), SSE_KMS.decrypt_failed.get(), "Decrypt"));
        text.counter(
            "sealgate_kms_calls",
            "Calls of the KMS, by clients of its API and by the gateway for objects under KMS keys",
            of_api.chain(of_sse),
        );
        text.counter(
            "sealgate_bucket_key_lookups",
            "Looks for a remembered bucket-level KMS key: each hit spared a call of the KMS",
            [
                (vec![("result", "hit")], SSE_KMS.remembered.get() as f64),
                (vec![("result", "miss")], SSE_KMS.not_remembered.get() as f64),
            ],
        );
    }
}
