//! A multipart upload whose parts are sent over several connections at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use bytes::Bytes;
use http::Method;

use super::client::Connection;
use super::{Shape, Target};

/// What every part's sender knows.
struct Upload {
    path: String,
    id: String,
    body: Bytes,
    shape: Shape,
    /// The next part's number, from 0.
    next: AtomicUsize,
}

/// Uploads this body to this path: each connection sends one part after the other.
pub(crate) async fn upload(
    connections: &mut Vec<Connection>,
    target: &Target,
    path: &str,
    shape: &Shape,
    body: &Bytes,
) -> anyhow::Result<()> {
    let first = connections.first_mut().context("no connection")?;
    let headers = shape.sse.write_headers(target);
    let created = first.send(Method::POST, &format!("{path}?uploads="), &headers, Bytes::new()).await?;
    let text = String::from_utf8_lossy(&created.head).into_owned();
    let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next());
    let id = id.context("no upload id")?.to_owned();
    let (path, body) = (path.to_owned(), body.clone());
    let upload = Arc::new(Upload { path, id, body, shape: shape.clone(), next: AtomicUsize::new(0) });
    let senders: Vec<_> =
        connections.drain(..).map(|connection| tokio::spawn(upload.clone().send_parts(connection))).collect();
    let mut parts = Vec::new();
    for sender in senders {
        let (connection, sent) = sender.await??;
        connections.push(connection);
        parts.extend(sent);
    }
    parts.sort_unstable();
    let first = connections.first_mut().context("no connection")?;
    upload.complete(first, &parts).await
}

impl Upload {
    /// Sends parts until none is left; answers their numbers and ETags.
    async fn send_parts(
        self: Arc<Self>,
        mut connection: Connection,
    ) -> anyhow::Result<(Connection, Vec<(usize, String)>)> {
        let (Self { path, id, body, shape, next }, mut sent) = (&*self, Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let start = at * shape.part_size;
            if start >= body.len() {
                return Ok((connection, sent));
            }
            let part = body.slice(start..(start + shape.part_size).min(body.len()));
            let path = format!("{path}?partNumber={}&uploadId={id}", at + 1);
            let answer = connection.upload(shape, &path, &shape.sse.read_headers(), part).await?;
            let etag = answer.headers.get("etag").and_then(|value| value.to_str().ok());
            sent.push((at + 1, etag.unwrap_or_default().to_owned()));
        }
    }

    async fn complete(&self, connection: &mut Connection, parts: &[(usize, String)]) -> anyhow::Result<()> {
        let part = |(number, etag): &(usize, String)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts: String = parts.iter().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let path = format!("{}?uploadId={}", self.path, self.id);
        connection.send(Method::POST, &path, &self.shape.sse.read_headers(), body.into()).await?;
        Ok(())
    }
}
