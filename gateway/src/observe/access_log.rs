//! The access log: a line for each request that has ended, whatever came of it.

use std::cell::RefCell;
use std::sync::Arc;

use http::HeaderValue;
use serde::Serialize;
use time::OffsetDateTime;

use super::line_log::LineLog;
use super::request::{Observer, RequestDetail, RequestRecord, SignaturePlace, Wants};
use super::server_access::{self, CanonicalIds, push_ip, push_two};
use crate::config::{AccessLogConfig, AccessLogFormat};
use crate::decimal::push_decimal;

/// What of a line's buffer is kept between two lines, in bytes.
const KEPT_LEN: usize = 16 << 10;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs this with an empty buffer of the thread.
pub(super) fn with_buffer<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    LINE.with(|line| {
        let mut line = line.take();
        line.clear();
        let written = write(&mut line);
        line.shrink_to(KEPT_LEN);
        LINE.set(line);
        written
    })
}

/// Writes the access log.
pub struct AccessLog {
    log: LineLog,
    format: AccessLogFormat,
    ids: Arc<CanonicalIds>,
}

impl AccessLog {
    /// Opens it.
    ///
    /// # Errors
    /// When its file can't be opened.
    pub fn open(config: &AccessLogConfig, ids: Arc<CanonicalIds>) -> std::io::Result<Self> {
        let log = LineLog::open(&config.path, "access log")?;
        Ok(Self { log, format: config.format, ids })
    }

    /// Lines that were dropped since the start: more came than could be written.
    pub fn dropped(&self) -> u64 {
        self.log.dropped()
    }
}

impl Observer for AccessLog {
    fn wants(&self) -> Wants {
        Wants::Detail
    }

    fn ended(&self, record: &RequestRecord) {
        with_buffer(|line| {
            match self.format {
                AccessLogFormat::Json => write_json(record, line),
                AccessLogFormat::S3 => server_access::write(record, &*self.ids, line),
            }
            line.push(b'\n');
            self.log.push(line);
        });
    }
}

/// A request as a JSON object. Members that say nothing of it are left out.
pub fn write_json(record: &RequestRecord, out: &mut Vec<u8>) {
    let none = RequestDetail::default();
    let detail = record.detail.as_deref().unwrap_or(&none);
    out.extend_from_slice(b"{\"time\":\"");
    push_time(out, OffsetDateTime::from(record.arrived));
    out.push(b'"');
    let mut object = Members { out };
    object.text("request_id", Some(&detail.request_id));
    object.word("service", record.service.name());
    object.text("operation", record.operation);
    object.word("method", record.method.as_str());
    object.name("uri");
    with_target(detail, |target| string(object.out, target));
    object.bytes("host", detail.host.as_ref().map(HeaderValue::as_bytes));
    object.name("remote_ip");
    object.out.push(b'"');
    push_ip(object.out, record.remote.ip());
    object.out.push(b'"');
    object.number("remote_port", Some(record.remote.port().into()));
    object.number("status", record.status.map(|status| status.as_u16().into()));
    object.text("error_code", record.error_code);
    object.number("bytes_received", Some(record.received_len));
    object.number("bytes_sent", Some(record.sent_len));
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    object.number("duration_us", Some(micros(record.duration)));
    object.number("time_to_first_byte_us", record.time_to_first_byte.map(micros));
    object.number("turnaround_us", record.turnaround.map(micros));
    if !record.is_whole {
        object.name("is_whole");
        object.out.extend_from_slice(b"false");
    }
    object.text("bucket", detail.bucket.as_deref());
    object.text("bucket_owner", detail.bucket_owner.as_deref());
    object.text("key", detail.object.as_deref());
    object.text("version_id", detail.version_id.as_deref());
    object.number("object_size", detail.object_len);
    object.text("sse", detail.sse);
    if let Some(requester) = &detail.requester {
        object.text("requester", Some(&requester.subject.arn));
        object.text("account", Some(&requester.account));
        object.text("access_key_id", Some(&requester.access_key_id));
    }
    if let Some(signature) = detail.signature {
        object.word("signature_version", if signature.version == 2 { "SigV2" } else { "SigV4" });
        object.word(
            "authentication_type",
            match signature.place {
                SignaturePlace::Header => "AuthHeader",
                SignaturePlace::Query => "QueryString",
                SignaturePlace::Form => "POST",
            },
        );
    }
    if let Some(tls) = &detail.tls {
        object.text("tls_version", tls.version);
        object.text("cipher_suite", tls.cipher);
        object.text("server_name", tls.server_name.as_deref());
    }
    if detail.is_by_acl {
        object.name("acl_required");
        object.out.extend_from_slice(b"true");
    }
    object.bytes("referer", detail.referer.as_ref().map(HeaderValue::as_bytes));
    object.bytes("user_agent", detail.user_agent.as_ref().map(HeaderValue::as_bytes));
    object.text("host_id", Some(&detail.host_id));
    out.push(b'}');
}

fn with_target<T>(detail: &RequestDetail, tell: impl FnOnce(&[u8]) -> T) -> T {
    let mut target = Vec::with_capacity(128);
    server_access::push_target(&mut target, detail);
    tell(&target)
}

/// Members behind the first.
struct Members<'a> {
    out: &'a mut Vec<u8>,
}

impl Members<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A value that needs no escapes.
    fn word(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.bytes(name, value.map(str::as_bytes));
    }

    fn bytes(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.name(name);
            string(self.out, value);
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            push_decimal(self.out, value);
        }
    }
}

/// A JSON string of bytes that are mostly plain text.
fn string(out: &mut Vec<u8>, value: &[u8]) {
    // Of every byte, without a way out: many are looked at at once then.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b'"') & (*byte != b'\\');
    if value.iter().fold(true, |all, byte| all & is_plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
        return;
    }
    // A text can always be written to memory.
    let _ = String::from_utf8_lossy(value).serialize(&mut serde_json::Serializer::new(out));
}

/// `2019-02-06T00:00:38.123Z`.
fn push_time(out: &mut Vec<u8>, at: OffsetDateTime) {
    push_decimal(out, u64::try_from(at.year()).unwrap_or_default());
    out.push(b'-');
    push_two(out, at.month().into());
    out.push(b'-');
    push_two(out, at.day());
    out.push(b'T');
    push_two(out, at.hour());
    out.push(b':');
    push_two(out, at.minute());
    out.push(b':');
    push_two(out, at.second());
    let millis = at.millisecond();
    out.push(b'.');
    out.push(b'0' + (millis / 100) as u8);
    push_two(out, (millis % 100) as u8);
    out.push(b'Z');
}
