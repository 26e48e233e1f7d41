//! Requests as they end, for whoever looks on: each (`sealgate trace`), or how many and how fast (`sealgate top`).

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::access_log::write_json;
use super::request::{Observer, RequestRecord, Service, Wants};

static STOPPING: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::channel(false).0);

/// Ends answers that go on for as long as somebody reads them: this process stops.
pub fn end_followers() {
    STOPPING.send_replace(true);
}

/// Waits until this process stops.
pub async fn stopping() {
    // The sender is never dropped.
    let _ = STOPPING.subscribe().wait_for(|stopping| *stopping).await;
}

/// Which requests somebody looks at.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
pub struct TraceFilter {
    /// Only this operation, such as GetObject; may be repeated
    #[arg(long = "operation", value_name = "NAME")]
    pub operations: Vec<String>,
    /// Only requests to this bucket
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// Only this status: 404, or 4xx
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only requests that took at least so many milliseconds
    #[arg(long, value_name = "MS")]
    pub slower_than: Option<u64>,
    /// Only requests that failed or were refused
    #[arg(long)]
    pub errors: bool,
}

impl TraceFilter {
    /// Refuses a status that is none.
    ///
    /// # Errors
    /// What it must be.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_status = |text: &str| match text.as_bytes() {
            [first @ b'1'..=b'5', b'x', b'x'] => first.is_ascii_digit(),
            [b'1'..=b'5', second, third] => second.is_ascii_digit() && third.is_ascii_digit(),
            _ => false,
        };
        match self.status.as_deref().is_none_or(is_status) {
            true => Ok(()),
            false => Err("--status: give a status such as 404, or a class such as 4xx"),
        }
    }

    /// Does it let this request pass?
    pub fn admits(&self, record: &RequestRecord) -> bool {
        let status = record.status.map(|status| status.as_u16());
        let is_error = record.error_code.is_some() || status.is_none_or(|status| status >= 400);
        let has_status = |wanted: &str| match (wanted.strip_suffix("xx"), status) {
            (_, None) => false,
            (Some(class), Some(status)) => class.parse() == Ok(status / 100),
            (None, Some(status)) => wanted.parse() == Ok(status),
        };
        (self.operations.is_empty()
            || record.operation.is_some_and(|name| self.operations.iter().any(|wanted| wanted == name)))
            && self.bucket.as_ref().is_none_or(|wanted| {
                record.detail.as_ref().is_some_and(|detail| detail.bucket() == Some(wanted.as_str()))
            })
            && self.status.as_deref().is_none_or(has_status)
            && self.slower_than.is_none_or(|least| record.duration.as_millis() >= u128::from(least))
            && (!self.errors || is_error)
    }
}

/// Which requests are handed on.
type Admits = Box<dyn Fn(&RequestRecord) -> bool + Send + Sync>;

/// Hands requests on, rendered. Who does not keep up misses some, which is counted.
pub struct LiveTrace {
    admits: Admits,
    render: fn(&RequestRecord) -> Vec<u8>,
    to: mpsc::Sender<Vec<u8>>,
    missed: AtomicU64,
}

impl LiveTrace {
    /// One that keeps so many rendered requests for its reader, of those that `admits` lets pass.
    pub fn new(
        admits: impl Fn(&RequestRecord) -> bool + Send + Sync + 'static,
        render: fn(&RequestRecord) -> Vec<u8>,
        capacity: usize,
    ) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (to, from) = mpsc::channel(capacity);
        (Self { admits: Box::new(admits), render, to, missed: AtomicU64::new(0) }, from)
    }

    /// How many requests were missed since this was asked last.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

impl Observer for LiveTrace {
    fn wants(&self) -> Wants {
        Wants::Detail
    }

    fn ended(&self, record: &RequestRecord) {
        if !(self.admits)(record) {
            return;
        }
        match self.to.try_reserve() {
            Ok(place) => place.send((self.render)(record)),
            Err(_) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A request as the access log's JSON object.
pub fn as_json(record: &RequestRecord) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    write_json(record, &mut line);
    line
}

/// A request as a line for people.
pub fn as_text(record: &RequestRecord) -> Vec<u8> {
    let at = time::OffsetDateTime::from(record.arrived);
    let status = record.status.map_or_else(|| "-".to_owned(), |status| status.as_u16().to_string());
    let detail = record.detail.as_deref();
    let mut target = Vec::new();
    if let Some(detail) = detail {
        super::server_access::push_target(&mut target, detail);
    }
    // What is sent must not write to somebody's terminal.
    let target: String = String::from_utf8_lossy(&target).chars().filter(|c| !c.is_control()).collect();
    let mut line = format!(
        "{:02}:{:02}:{:02}.{:03} {status} {:>9.3} ms {:>10} in {:>10} out {} {} {} {target}",
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond(),
        record.duration.as_secs_f64() * 1000.0,
        record.received_len,
        record.sent_len,
        record.remote.ip().to_canonical(),
        record.operation.unwrap_or("-"),
        record.method,
    );
    if let Some(code) = record.error_code {
        line.push(' ');
        line.push_str(code);
    }
    line.into_bytes()
}

/// Counts requests by operation, from one look to the next.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<(Service, Option<&'static str>), Counts>>);

/// Powers of two of microseconds: up to more than an hour.
const CLASSES: usize = 33;

#[derive(Debug, Clone)]
struct Counts {
    requests: u64,
    errors: u64,
    received_len: u64,
    sent_len: u64,
    total: Duration,
    longest: Duration,
    by_class: [u64; CLASSES],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: 0,
            errors: 0,
            received_len: 0,
            sent_len: 0,
            total: Duration::ZERO,
            longest: Duration::ZERO,
            by_class: [0; CLASSES],
        }
    }
}

/// One operation between two looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// The service.
    pub service: &'static str,
    /// The operation; `-` of requests that ask for none.
    pub operation: &'static str,
    /// Requests per second.
    pub per_second: f64,
    /// How many of these failed or were refused, per second.
    pub errors_per_second: f64,
    /// Bytes of bodies that came, per second.
    pub received_len_per_second: f64,
    /// Bytes of answers that went, per second.
    pub sent_len_per_second: f64,
    /// Mean duration, in milliseconds.
    pub mean_ms: f64,
    /// Half of the requests took at most about so many milliseconds: a power of two of microseconds.
    pub median_ms: f64,
    /// So did 99 of 100.
    pub p99_ms: f64,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
}

impl Rates {
    /// What was counted since it was asked last, so long ago; the busiest first.
    pub fn take(&self, since: Duration) -> Vec<Rate> {
        let counted = std::mem::take(&mut *self.0.lock());
        let seconds = since.as_secs_f64().max(0.001);
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let mut rates: Vec<Rate> = counted
            .into_iter()
            .map(|((service, operation), counts)| Rate {
                service: service.name(),
                operation: operation.unwrap_or("-"),
                per_second: counts.requests as f64 / seconds,
                errors_per_second: counts.errors as f64 / seconds,
                received_len_per_second: counts.received_len as f64 / seconds,
                sent_len_per_second: counts.sent_len as f64 / seconds,
                mean_ms: ms(counts.total) / counts.requests.max(1) as f64,
                median_ms: counts.at_most_ms(0.5),
                p99_ms: counts.at_most_ms(0.99),
                longest_ms: ms(counts.longest),
            })
            .collect();
        rates.sort_by(|a, b| b.per_second.total_cmp(&a.per_second).then(a.operation.cmp(b.operation)));
        rates
    }
}

impl Counts {
    fn at_most_ms(&self, share: f64) -> f64 {
        let wanted = (self.requests as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (class, count) in self.by_class.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (1u64 << class) as f64 / 1000.0;
            }
        }
        self.longest.as_secs_f64() * 1000.0
    }
}

impl Observer for Rates {
    fn wants(&self) -> Wants {
        Wants::Record
    }

    fn ended(&self, record: &RequestRecord) {
        let is_error =
            record.error_code.is_some() || record.status.is_none_or(|status| status.as_u16() >= 400);
        let micros = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
        let class = (u64::BITS - micros.saturating_sub(1).leading_zeros()) as usize;
        let mut all = self.0.lock();
        let counts = all.entry((record.service, record.operation)).or_default();
        counts.requests += 1;
        counts.errors += u64::from(is_error);
        counts.received_len += record.received_len;
        counts.sent_len += record.sent_len;
        counts.total += record.duration;
        counts.longest = counts.longest.max(record.duration);
        counts.by_class[class.min(CLASSES - 1)] += 1;
    }
}
