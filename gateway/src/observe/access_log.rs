//! The access log: a line for each request that has ended, whatever came of it.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::detail::{RequestDetail, SignaturePlace};
use super::json::{push_escaped, push_name, push_string, push_time};
use super::line_log::LineLog;
use super::request::{Observer, RequestRecord, Wants};
use super::server_access::{self, CanonicalIds, push_ip};
use super::texts::Text;
use crate::config::{AccessLogConfig, AccessLogFormat};
use crate::decimal::push_decimal;

/// Writes the access log.
pub struct AccessLog(LineLog<RequestRecord>);

impl AccessLog {
    /// Opens it.
    ///
    /// # Errors
    /// When its file can't be opened.
    pub fn open(config: &AccessLogConfig, ids: Arc<CanonicalIds>) -> std::io::Result<Self> {
        let format = config.format;
        let render = move |record: &RequestRecord, lines: &mut Vec<u8>| {
            match format {
                AccessLogFormat::Json => write_json(record, lines),
                AccessLogFormat::S3 => server_access::write(record, &*ids, lines),
            }
            lines.push(b'\n');
        };
        Ok(Self(LineLog::open(&config.path, "access log", ended, render)?))
    }
}

fn ended(record: &RequestRecord) -> SystemTime {
    record.arrived + record.duration
}

impl Observer for AccessLog {
    fn wants(&self) -> Wants {
        Wants::Detail
    }

    fn keeps(&self) -> bool {
        true
    }

    fn ended(&self, record: &RequestRecord) {
        self.0.push(record.clone());
    }

    fn ended_last(&self, record: RequestRecord) {
        self.0.push(record);
    }
}

/// Appends a member, if there is something to tell: a number, text that may need escapes (`text`, `bytes`), text of ours that needs none
/// (`ours`), or such text that there always is (`word`).
macro_rules! push_member {
    ($out:expr, $name:literal, number: $value:expr) => {
        if let Some(value) = $value {
            push_name!($out, $name);
            push_decimal($out, value);
        }
    };
    ($out:expr, $name:literal, word: $value:expr) => {
        push_name!($out, $name);
        $out.push(b'"');
        $out.extend_from_slice(AsRef::<[u8]>::as_ref($value));
        $out.push(b'"');
    };
    ($out:expr, $name:literal, ours: $value:expr) => {
        if let Some(value) = $value {
            push_member!($out, $name, word: value);
        }
    };
    ($out:expr, $name:literal, text: $value:expr) => {
        push_member!($out, $name, bytes: $value.map(|value| value.as_bytes()))
    };
    ($out:expr, $name:literal, bytes: $value:expr) => {
        if let Some(value) = $value.filter(|value| !value.is_empty()) {
            push_name!($out, $name);
            push_string($out, value);
        }
    };
}

/// A request as a JSON object. Members that say nothing of it are left out.
pub fn write_json(record: &RequestRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    push_time(out, record.arrived);
    out.push(b'"');
    let none = LazyCell::new(RequestDetail::default);
    let detail = record.detail.as_deref().unwrap_or_else(|| &none);
    push_member!(out, "request_id", ours: detail.texts.bytes(Text::RequestId));
    push_member!(out, "service", word: record.service.name());
    push_member!(out, "operation", ours: record.operation);
    push_member!(out, "method", word: record.method.as_str());
    push_name!(out, "uri");
    out.push(b'"');
    server_access::push_target_by(out, detail, push_escaped);
    out.push(b'"');
    push_member!(out, "host", bytes: detail.texts.bytes(Text::Host));
    push_name!(out, "remote_ip");
    out.push(b'"');
    push_ip(out, record.remote.ip());
    out.push(b'"');
    push_member!(out, "remote_port", number: Some(record.remote.port().into()));
    push_member!(out, "status", number: record.status.map(|status| status.as_u16().into()));
    push_member!(out, "error_code", ours: record.error_code);
    push_member!(out, "bytes_received", number: Some(record.received_len));
    push_member!(out, "bytes_sent", number: Some(record.sent_len));
    push_member!(out, "duration_us", number: Some(micros(record.duration)));
    push_member!(out, "time_to_first_byte_us", number: record.time_to_first_byte.map(micros));
    push_member!(out, "turnaround_us", number: record.turnaround.map(micros));
    if !record.is_whole {
        out.extend_from_slice(b",\"is_whole\":false");
    }
    push_member!(out, "bucket", ours: detail.texts.bytes(Text::Bucket));
    push_member!(out, "bucket_owner", ours: detail.texts.bytes(Text::BucketOwner));
    push_member!(out, "key", bytes: detail.texts.bytes(Text::Object));
    push_member!(out, "version_id", bytes: detail.texts.bytes(Text::VersionId));
    push_member!(out, "object_size", number: detail.object_len);
    push_member!(out, "sse", ours: detail.sse);
    if let Some(requester) = &detail.requester {
        push_member!(out, "requester", text: Some(&requester.subject.arn));
        push_member!(out, "account", word: requester.account());
        push_member!(out, "access_key_id", text: Some(&requester.access_key_id));
    }
    if let Some(signature) = detail.signature {
        let version = if signature.version == 2 { "SigV2" } else { "SigV4" };
        push_member!(out, "signature_version", word: version);
        let place = match signature.place {
            SignaturePlace::Header => "AuthHeader",
            SignaturePlace::Query => "QueryString",
            SignaturePlace::Form => "POST",
        };
        push_member!(out, "authentication_type", word: place);
    }
    if let Some(tls) = &detail.tls {
        push_member!(out, "tls_version", ours: tls.version);
        push_member!(out, "cipher_suite", ours: tls.cipher);
        push_member!(out, "server_name", text: tls.server_name.as_deref());
    }
    if detail.is_by_acl {
        out.extend_from_slice(b",\"acl_required\":true");
    }
    push_member!(out, "referer", bytes: detail.texts.bytes(Text::Referer));
    push_member!(out, "user_agent", bytes: detail.texts.bytes(Text::UserAgent));
    push_member!(out, "host_id", ours: detail.texts.bytes(Text::HostId));
    out.push(b'}');
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
