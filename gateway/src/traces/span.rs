//! A request's span, as OTLP's JSON has it: ids in hexadecimal digits, 64-bit numbers as text, enumerations as numbers.
//! Attributes are those of OpenTelemetry's semantic conventions.
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, SystemTime};

use http::Version;

use crate::decimal::push_decimal;
use crate::observe::detail::RequestDetail;
use crate::observe::json::push_string;
use crate::observe::request::RequestRecord;
use crate::observe::texts::Text;

/// Bytes of a span's own ids: 16 of its trace, 8 of its own.
const IDS_LEN: usize = 24;
/// Ids that are drawn at once.
const IDS_AT_ONCE: usize = 64;

thread_local! {
    /// Random bytes for ids that come: to ask the system for each is a call of it for each request.
    static IDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The trace that a request belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Parent<'a> {
    trace: &'a str,
    span: &'a str,
    is_sampled: bool,
}

/// The span of a request that has ended.
pub(super) struct Span<'a> {
    record: &'a RequestRecord,
    detail: &'a RequestDetail,
    parent: Option<Parent<'a>>,
}

/// Random bytes for the ids of one span.
fn ids() -> Option<[u8; IDS_LEN]> {
    IDS.with_borrow_mut(|waiting| {
        if waiting.is_empty() {
            waiting.resize(IDS_AT_ONCE * IDS_LEN, 0);
            if getrandom::fill(waiting).is_err() {
                waiting.clear();
            }
        }
        let at = waiting.len().checked_sub(IDS_LEN)?;
        let ids = waiting.get(at..)?.try_into().ok();
        waiting.truncate(at);
        ids
    })
}

impl<'a> Span<'a> {
    /// `None`: the client does not want this trace to be kept.
    pub(super) fn of(record: &'a RequestRecord) -> Option<Self> {
        let detail = record.detail.as_deref()?;
        let parent = detail.texts.text(Text::TraceParent).and_then(parent);
        let is_sampled = parent.as_ref().is_none_or(|parent| parent.is_sampled);
        is_sampled.then_some(Self { record, detail, parent })
    }

    /// Appends it. `None`: there are no random bytes for its ids.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let Self { record, detail, parent } = self;
        let ids = ids()?;
        let (trace, span) = ids.split_at(16);
        out.extend_from_slice(b"{\"traceId\":\"");
        match parent {
            Some(parent) => out.extend_from_slice(parent.trace.as_bytes()),
            None => push_hex(out, trace),
        }
        out.extend_from_slice(b"\",\"spanId\":\"");
        push_hex(out, span);
        if let Some(parent) = parent {
            out.extend_from_slice(b"\",\"parentSpanId\":\"");
            out.extend_from_slice(parent.span.as_bytes());
        }
        out.extend_from_slice(b"\",\"name\":");
        push_string(out, record.operation.unwrap_or(record.method.as_str()).as_bytes());
        // SPAN_KIND_SERVER
        out.extend_from_slice(b",\"kind\":2,\"startTimeUnixNano\":\"");
        push_decimal(out, unix_ns(record.arrived));
        out.extend_from_slice(b"\",\"endTimeUnixNano\":\"");
        push_decimal(out, unix_ns(record.arrived + record.duration));
        out.push(b'"');
        if let Some(after) = record.time_to_first_byte {
            out.extend_from_slice(b",\"events\":[{\"name\":\"answer began\",\"timeUnixNano\":\"");
            push_decimal(out, unix_ns(record.arrived + after));
            out.extend_from_slice(b"\"}]");
        }
        // A refusal is the client's error, and none of a server's span.
        if record.status.is_none_or(|status| status.is_server_error()) || !record.is_whole {
            // STATUS_CODE_ERROR
            out.extend_from_slice(b",\"status\":{\"code\":2,\"message\":");
            push_string(out, detail.error_message.as_deref().unwrap_or_default().as_bytes());
            out.push(b'}');
        }
        push_attributes(out, record, detail);
        out.push(b'}');
        Some(())
    }
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Appends an attribute: text that may need escapes, if there is any (`text`); else text that needs none and a number (`word`, `number`).
macro_rules! push_attribute {
    ($out:expr, $key:literal, text: $value:expr) => {
        if let Some(value) = $value.map(AsRef::<[u8]>::as_ref).filter(|value| !value.is_empty()) {
            $out.extend_from_slice(
                concat!(",{\"key\":\"", $key, "\",\"value\":{\"stringValue\":").as_bytes(),
            );
            push_string($out, value);
            $out.extend_from_slice(b"}}");
        }
    };
    ($out:expr, $key:literal, word: $value:expr) => {
        $out.extend_from_slice(concat!(",{\"key\":\"", $key, "\",\"value\":{\"stringValue\":\"").as_bytes());
        $out.extend_from_slice($value.as_bytes());
        $out.extend_from_slice(b"\"}}");
    };
    ($out:expr, $key:literal, number: $value:expr) => {
        $out.extend_from_slice(concat!(",{\"key\":\"", $key, "\",\"value\":{\"intValue\":\"").as_bytes());
        push_decimal($out, $value);
        $out.extend_from_slice(b"\"}}");
    };
}

fn push_attributes(out: &mut Vec<u8>, record: &RequestRecord, detail: &RequestDetail) {
    // The first of them has no comma before it.
    out.extend_from_slice(
        b",\"attributes\":[{\"key\":\"network.protocol.name\",\"value\":{\"stringValue\":\"http\"}}",
    );
    let version = if detail.version == Version::HTTP_2 { "2" } else { "1.1" };
    push_attribute!(out, "network.protocol.version", word: version);
    push_attribute!(out, "http.request.method", text: Some(record.method.as_str()));
    push_attribute!(out, "url.path", text: detail.texts.bytes(Text::Path));
    push_attribute!(out, "url.scheme", word: if detail.tls.is_some() { "https" } else { "http" });
    push_attribute!(out, "server.address", text: detail.texts.bytes(Text::Host));
    out.extend_from_slice(b",{\"key\":\"client.address\",\"value\":{\"stringValue\":\"");
    // An address can always be written to memory.
    let _ = write!(out, "{}", record.remote.ip());
    out.extend_from_slice(b"\"}}");
    push_attribute!(out, "user_agent.original", text: detail.texts.bytes(Text::UserAgent));
    push_attribute!(out, "rpc.service", word: record.service.name());
    push_attribute!(out, "rpc.method", text: record.operation);
    push_attribute!(out, "aws.request_id", text: detail.texts.bytes(Text::RequestId));
    push_attribute!(out, "aws.extended_request_id", text: detail.texts.bytes(Text::HostId));
    push_attribute!(out, "aws.s3.bucket", text: detail.bucket());
    push_attribute!(out, "aws.s3.key", text: detail.object());
    push_attribute!(out, "error.type", text: record.error_code);
    let requester = detail.requester.as_ref().map(|requester| &requester.subject.arn);
    push_attribute!(out, "sealgate.requester", text: requester);
    push_attribute!(out, "sealgate.encryption", text: detail.sse);
    if let Some(status) = record.status {
        push_attribute!(out, "http.response.status_code", number: status.as_u16().into());
    }
    push_attribute!(out, "http.request.body.size", number: record.received_len);
    push_attribute!(out, "http.response.body.size", number: record.sent_len);
    out.push(b']');
}

fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What `traceparent` says. <https://www.w3.org/TR/trace-context/#traceparent-header>
fn parent(text: &str) -> Option<Parent<'_>> {
    let mut fields = text.split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_zero = |text: &str| text.bytes().all(|b| b == b'0');
    let is_right = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(span, 16)
        && !is_zero(span)
        && is_hex(flags, 2);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    is_right.then_some(Parent { trace, span, is_sampled: flags & 1 == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_taken_as_the_recommendation_has_it() {
        let of = |text: &'static str| {
            let parent = parent(text)?;
            Some((parent.trace.to_owned(), parent.span.to_owned(), parent.is_sampled))
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let expected = Some((trace.to_owned(), "00f067aa0ba902b7".to_owned(), true));
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), expected);
        assert_eq!(of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes"), expected);
        assert!(!of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap().2);
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
