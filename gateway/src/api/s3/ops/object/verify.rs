//! Reads and authenticates the whole of an object, and gives none of it away: the answer is how far it is, line by line.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use kms_core::kms::Caller;
use serde_json::json;
use storage::blob::BlobError;
use storage::catalog::{Bucket, VersionRef};
use storage::name::ObjectKey;

use super::encryption::{chunks, part_lens};
use super::{archive, lookup};
use crate::api::s3::error::S3Error;
use crate::app::App;
use crate::http::body::{ByteStream, StreamError};
use crate::seal::CHUNK_LEN_PLAIN;
use crate::sse::{CustomerHeaders, SseError};
use crate::transfer::egress::{self, EgressError};

/// How often it is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// What is told of what can't be read: where and how is in the gateway's log.
const UNREADABLE: &str = "stored bytes can't be read";

/// What the request came with.
pub struct VerifyRequest<'a> {
    /// Its headers: of SSE-C they have the key.
    pub headers: &'a HeaderMap,
    /// Was it over TLS, and from whom?
    pub channel: (bool, std::net::IpAddr),
    /// Who asks KMS.
    pub caller: &'a Caller,
}

/// Verifies a version of an object. The lines are `{"bytes", "of", "chunks"}`, and at last `{"ok", "bytes", "chunks", "error"}`.
///
/// # Errors
/// When there is no such version, or its key is not to be had; that content does not open is told in the last line.
pub async fn verify(
    app: &App,
    (bucket, object, which): (&Bucket, &ObjectKey, VersionRef),
    request: VerifyRequest<'_>,
) -> Result<ByteStream, S3Error> {
    let mut tries_left = 2;
    loop {
        tries_left -= 1;
        let found = lookup::find(app, bucket, object, which).await?;
        archive::expect_readable(&found.record)?;
        let (is_tls, peer) = request.channel;
        let channel = (is_tls, peer, app.sse_c_over_http);
        let customer =
            lookup::customer_key_in(request.headers, CustomerHeaders::Object, channel, &found.sse)?;
        let place = found.place(bucket, object);
        let opened = app.sse.open(&found.record.envelope, place, customer.as_ref(), request.caller).await;
        let keys = match opened {
            Ok(keys) => keys,
            Err(SseError::Tampered) => return Ok(failed("the wrapped content key was changed", 0)),
            Err(error) => return Err(error.into()),
        };
        let (content, plain_len) = (&found.record.content, found.record.plain_len);
        let chunk_count = part_lens(app, &found.record).await?.iter().map(|(_, len)| chunks(*len)).sum();
        match egress::read(&app.catalog, &app.blobs, content, keys, plain_len, found.whole()).await {
            Ok(stream) => return Ok(lines(stream, plain_len, chunk_count)),
            // The record was out of date: once more with the one that there is now.
            Err(EgressError::Blob(BlobError::NotFound(_)) | EgressError::MissingPart) if tries_left > 0 => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an object does not verify");
                return Ok(failed(&told(&error), 0));
            }
        }
    }
}

/// What the caller is told of content that does not open.
fn told(error: &EgressError) -> String {
    match error {
        EgressError::Open { source, .. } => source.to_string(),
        EgressError::MissingPart => error.to_string(),
        EgressError::Blob(_) | EgressError::Catalog(_) => UNREADABLE.to_owned(),
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn end(error: Option<&str>, bytes: u64, chunks: u64) -> Bytes {
    line(&json!({ "ok": error.is_none(), "bytes": bytes, "chunks": chunks, "error": error }))
}

fn failed(error: &str, bytes: u64) -> ByteStream {
    let line = end(Some(error), bytes, 0);
    Box::pin(futures_util::stream::iter([Ok(line)]))
}

/// Reads to the end, at the pace at which its lines are read.
fn lines(stream: ByteStream, plain_len: u64, chunks: u64) -> ByteStream {
    let read = futures_util::stream::unfold(Some((stream, 0)), move |state| async move {
        let (mut stream, mut bytes) = state?;
        let began = Instant::now();
        loop {
            match stream.next().await {
                Some(Ok(piece)) => bytes += piece.len() as u64,
                Some(Err(error)) => {
                    return Some((Ok(end(Some(&of_stream(&error)), bytes, opened(bytes))), None));
                }
                None => return Some((Ok(end(None, bytes, chunks)), None)),
            }
            if began.elapsed() >= TOLD_EVERY {
                let told = json!({ "bytes": bytes, "of": plain_len, "chunks": opened(bytes) });
                return Some((Ok(line(&told)), Some((stream, bytes))));
            }
        }
    });
    Box::pin(read)
}

fn opened(bytes: u64) -> u64 {
    bytes / CHUNK_LEN_PLAIN as u64
}

fn of_stream(error: &StreamError) -> String {
    error.downcast_ref::<EgressError>().map_or_else(|| UNREADABLE.to_owned(), told)
}
