//! `mc admin trace`: requests as they end, each as one JSON object of madmin's `TraceInfo`, for as long as the client reads. The caller
//! needs `sealgate:Trace` on `*`; the main account's sees all requests, another one's those of its account and of its buckets.
//! <https://github.com/minio/madmin-go/blob/main/trace.go>

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::error::AdminError;
use super::{Admin, Told};
use crate::api::query::Refusal;
use crate::observe::live::{self, LiveTrace};
use crate::observe::request::{Observers, RequestRecord, Service, Subscription};
use crate::observe::server_access::push_target;
use crate::observe::texts::Text;

/// What a caller needs.
const ACTION: &str = "sealgate:Trace";
/// Clients that may follow at a time.
const MAX_FOLLOWERS: usize = 16;
/// Requests that wait for a slow reader.
const WAITING: usize = 4096;
/// Requests that are sent together, at the most.
const MAX_TOGETHER: usize = 64;
/// How often a blank is sent where nothing else is: so it is noticed that nobody reads any more.
const ALIVE: Duration = Duration::from_secs(1);

/// madmin's types: requests to S3, requests to other services, and messages of the server itself.
const TYPE_S3: u64 = 1 << 2;
const TYPE_INTERNAL: u64 = 1 << 3;
const TYPE_SCANNER: u64 = 1 << 4;

/// Which requests a client wants to see.
struct Wanted {
    s3: bool,
    others: bool,
    errors_only: bool,
    at_least: Duration,
    /// Only those of this account; `None`: all.
    account: Option<String>,
}

impl Wanted {
    fn admits(&self, record: &RequestRecord) -> bool {
        let is_error =
            record.error_code.is_some() || record.status.is_none_or(|status| status.as_u16() >= 400);
        let wants_service = if record.service == Service::S3 { self.s3 } else { self.others };
        let is_of = |account: &String| {
            record.detail.as_ref().is_some_and(|detail| {
                detail.bucket_owner() == Some(account.as_str())
                    || detail.requester.as_ref().is_some_and(|requester| requester.account() == account)
            })
        };
        wants_service
            && (is_error || !self.errors_only)
            && record.duration >= self.at_least
            && self.account.as_ref().is_none_or(is_of)
    }
}

/// Follows the requests of this process.
pub(super) fn follow(admin: &Admin<'_>) -> Result<Told, AdminError> {
    static FOLLOWERS: std::sync::LazyLock<Arc<Semaphore>> =
        std::sync::LazyLock::new(|| Arc::new(Semaphore::new(MAX_FOLLOWERS)));
    let account = admin.account()?.account.id.clone();
    let allowed =
        admin.app.authorizer.authorize_action(admin.identity, ACTION, "*", || admin.global_keys.context());
    allowed.map_err(Refusal::from)?;
    let is_set = |name| admin.query.get(name) == Some("true");
    let everything = is_set("all");
    let at_least = match admin.query.get("threshold") {
        None | Some("") => Duration::ZERO,
        Some(text) => duration(text)
            .ok_or_else(|| AdminError::Invalid("threshold: give a duration such as 5ms.".to_owned()))?,
    };
    let wanted = Wanted {
        s3: everything || is_set("s3"),
        others: everything || is_set("internal"),
        errors_only: is_set("err"),
        at_least,
        account: (account != admin.app.iam.main_account().id).then_some(account),
    };
    let place = FOLLOWERS.clone().try_acquire_owned();
    let place = place.map_err(|_| AdminError::TooMany("Too many clients follow requests already."))?;
    let (trace, requests) = LiveTrace::new(move |record| wanted.admits(record), as_line, WAITING);
    let trace = Arc::new(trace);
    let subscription = Observers::of_process().add(trace.clone());
    let following = Following { requests, trace, _subscription: subscription, _place: place };
    Ok(Told::Following(Box::pin(stream::unfold(following, |mut following| async move {
        let lines = following.next().await?;
        Some((Ok(lines), following))
    }))))
}

/// A client that follows, until it is dropped.
struct Following {
    requests: mpsc::Receiver<Vec<u8>>,
    trace: Arc<LiveTrace>,
    _subscription: Subscription,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        let missed = self.trace.take_missed();
        if missed > 0 {
            return Some(missed_line(missed).into());
        }
        let mut lines = Vec::new();
        tokio::select! {
            () = live::stopping() => None,
            count = self.requests.recv_many(&mut lines, MAX_TOGETHER) => (count > 0).then(|| lines.concat().into()),
            () = tokio::time::sleep(ALIVE) => Some(Bytes::from_static(b" ")),
        }
    }
}

/// How many requests are missing, as an event that `mc` shows.
fn missed_line(missed: u64) -> Vec<u8> {
    let told = json!({
        "type": TYPE_SCANNER,
        "nodename": "",
        "funcname": "sealgate.Trace",
        "time": time_of(OffsetDateTime::now_utc()),
        "path": "",
        "dur": 0,
        "error": format!("{missed} requests were missed: they come faster than they are read"),
    });
    line_of(&told)
}

fn line_of(told: &Value) -> Vec<u8> {
    let mut line = told.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn time_of(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A request as madmin's `TraceInfo`, with its line feed.
fn as_line(record: &RequestRecord) -> Vec<u8> {
    let detail = record.detail.as_deref();
    let mut target = Vec::new();
    if let Some(detail) = detail {
        push_target(&mut target, detail);
    }
    let target = String::from_utf8_lossy(&target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let text = |text| {
        let bytes = detail.and_then(|detail| detail.texts.bytes(text)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let host = text(Text::Host);
    let agent = text(Text::UserAgent);
    let arrived = OffsetDateTime::from(record.arrived);
    let service = record.service.name();
    // What broke before an answer is told by the status that MinIO has for it, nginx's 499.
    let status = record.status.map_or(499, |status: StatusCode| status.as_u16());
    let told = json!({
        "type": if record.service == Service::S3 { TYPE_S3 } else { TYPE_INTERNAL },
        "nodename": host,
        "funcname": format!("{service}.{}", record.operation.unwrap_or("Unknown")),
        "time": time_of(arrived),
        "path": path,
        "dur": nanos(record.duration),
        "error": record.error_code.unwrap_or_default(),
        "http": {
            "request": {
                "time": time_of(arrived),
                "proto": format!("{:?}", detail.map(|detail| detail.version).unwrap_or_default()),
                "method": record.method.as_str(),
                "path": path,
                "rawquery": query,
                "headers": { "Host": [host], "User-Agent": [agent] },
                "client": record.remote.ip().to_canonical().to_string(),
            },
            "response": {
                "time": time_of(arrived + record.time_to_first_byte.unwrap_or(record.duration)),
                "headers": { "X-Amz-Request-Id": [detail.map_or("", |detail| detail.request_id())] },
                "statuscode": status,
            },
            "stats": {
                "inputbytes": record.received_len,
                "outputbytes": record.sent_len,
                "timetofirstbyte": record.time_to_first_byte.map_or(0, nanos),
            },
        },
    });
    line_of(&told)
}

/// A duration as Go writes it: `0s`, `1m0.5s`, `500µs`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(number_len);
        let unit_len = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_go_writes_them() {
        for (text, ms) in [("0s", 0.0), ("5ms", 5.0), ("500µs", 0.5), ("1m0.5s", 60_500.0), ("2h0m0s", 7.2e6)]
        {
            let found = duration(text).unwrap().as_secs_f64() * 1000.0;
            assert!((found - ms).abs() < 1e-6, "{text}: {found}");
        }
        for text in ["", "5", "ms", "-1s", "5 ms", "1e3s", "NaNs", "1..2s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
