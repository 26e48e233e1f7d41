//! A request's span, as OTLP's JSON has it: ids in hexadecimal digits, 64-bit numbers as text, enumerations as numbers.
//! Attributes are those of OpenTelemetry's semantic conventions.
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Version};
use serde_json::{Value, json};

use crate::observe::request::{RequestDetail, RequestRecord};

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The trace that a request belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Parent<'a> {
    trace: &'a str,
    span: &'a str,
    is_sampled: bool,
}

/// The span; `None`: the client does not want this trace to be kept.
pub(super) fn of(record: &RequestRecord) -> Option<Value> {
    let detail = record.detail.as_deref()?;
    let parent = detail.trace_parent.as_ref().and_then(parent);
    if parent.as_ref().is_some_and(|parent| !parent.is_sampled) {
        return None;
    }
    let mut random = [0; 24];
    getrandom::fill(&mut random).ok()?;
    let (trace, span) = random.split_at(16);
    let trace = parent.as_ref().map_or_else(|| hex::encode(trace), |parent| parent.trace.to_owned());
    let name = record.operation.map_or_else(|| record.method.to_string(), str::to_owned);
    let end = record.arrived + record.duration;
    let mut value = json!({
        "traceId": trace,
        "spanId": hex::encode(span),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": unix_ns(record.arrived),
        "endTimeUnixNano": unix_ns(end),
        "attributes": attributes(record, detail),
    });
    if let Some(parent) = parent {
        value["parentSpanId"] = parent.span.into();
    }
    if let Some(after) = record.time_to_first_byte {
        let at = unix_ns(record.arrived + after);
        value["events"] = json!([{ "name": "answer began", "timeUnixNano": at }]);
    }
    // A refusal is the client's error, and none of a server's span.
    let failed = record.status.is_none_or(|status| status.is_server_error()) || !record.is_whole;
    if failed {
        value["status"] =
            json!({ "code": ERROR, "message": detail.error_message.as_deref().unwrap_or_default() });
    }
    Some(value)
}

fn attributes(record: &RequestRecord, detail: &RequestDetail) -> Vec<Value> {
    let mut attributes = Vec::with_capacity(20);
    let mut text = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attributes.push(json!({ "key": key, "value": { "stringValue": value } }));
        }
    };
    let header = |value: &Option<HeaderValue>| value.as_ref().and_then(|v| Some(v.to_str().ok()?.to_owned()));
    text("http.request.method", Some(record.method.as_str()));
    text("url.path", Some(detail.uri.path()));
    text("url.scheme", Some(if detail.tls.is_some() { "https" } else { "http" }));
    text("server.address", header(&detail.host).as_deref());
    text("client.address", Some(&record.remote.ip().to_string()));
    text("user_agent.original", header(&detail.user_agent).as_deref());
    text("network.protocol.name", Some("http"));
    text("network.protocol.version", Some(if detail.version == Version::HTTP_2 { "2" } else { "1.1" }));
    text("rpc.service", Some(record.service.name()));
    text("rpc.method", record.operation);
    text("aws.request_id", Some(&detail.request_id));
    text("aws.extended_request_id", Some(&detail.host_id));
    text("aws.s3.bucket", detail.bucket.as_deref());
    text("aws.s3.key", detail.object.as_deref());
    text("error.type", record.error_code);
    text("sealgate.requester", detail.requester.as_ref().map(|requester| requester.subject.arn.as_str()));
    text("sealgate.encryption", detail.sse);
    let mut number = |key: &str, value: u64| {
        attributes.push(json!({ "key": key, "value": { "intValue": value.to_string() } }));
    };
    if let Some(status) = record.status {
        number("http.response.status_code", status.as_u16().into());
    }
    number("http.request.body.size", record.received_len);
    number("http.response.body.size", record.sent_len);
    attributes
}

fn unix_ns(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().to_string()
}

/// What `traceparent` says. <https://www.w3.org/TR/trace-context/#traceparent-header>
fn parent(header: &HeaderValue) -> Option<Parent<'_>> {
    let text = header.to_str().ok()?;
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
            let header = HeaderValue::from_static(text);
            let parent = parent(&header)?;
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
