//! Long reads through one gateway while another overwrites what they read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use http::Method;
use http_body_util::BodyExt;

use super::Verdict;
use super::ledger::Content;
use super::load::{BUCKET, Client};
use super::stage::Stage;

const PART: usize = 5 << 20;
const PARTS: usize = 10;
/// How long a read takes: far longer than blobs of what nobody reads are kept.
const READ: Duration = Duration::from_secs(40);

/// A slow GET ends with what it began with, though that is overwritten at once, and its parts are opened late.
pub(crate) async fn overwritten(stage: &Stage, verdict: &mut Verdict) -> anyhow::Result<()> {
    let content = Content { len: PART * PARTS, seed: 77 };
    let (bytes, target) = (Bytes::from(content.bytes()), format!("/{BUCKET}/long"));
    let mut client = Client::of(&stage.gates);
    let gate = stage.gates.choose(1);
    let begun = client.ask(&gate, Method::POST, &format!("{target}?uploads="), &[], Bytes::new()).await;
    let upload = begun?.field("UploadId").unwrap_or_default();
    let mut parts = String::new();
    for number in 1..=PARTS {
        let part = bytes.slice((number - 1) * PART..number * PART);
        let target = format!("{target}?partNumber={number}&uploadId={upload}");
        let sent = client.ask(&gate, Method::PUT, &target, &[], part).await?;
        let etag = sent.headers.get("etag").and_then(|value| value.to_str().ok()).unwrap_or_default();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let complete = format!("{target}?uploadId={upload}");
    client.ask(&gate, Method::POST, &complete, &[], document.into()).await?;

    let mut reader = Caller::open(&stage.gateways[0].server.endpoint, Credentials::root()).await?;
    let answer = reader.send(Method::GET, &target, &[], Bytes::new()).await?;
    anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
    let (mut body, mut read, began) = (answer.into_body(), 0, Instant::now());
    let mut is_overwritten = false;
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => {
                verdict.expect(false, || format!("the long GET broke at {read} of {}: {error}", content.len));
                break;
            }
        };
        verdict.expect(bytes.get(read..read + data.len()) == Some(&data[..]), || {
            format!("the long GET has other bytes at {read}")
        });
        read += data.len();
        if !is_overwritten {
            is_overwritten = true;
            let put = client.ask(&gate, Method::PUT, &target, &[], Bytes::from_static(b"short")).await;
            verdict.expect(put.is_ok(), || format!("the overwrite: {put:?}"));
        }
        // In time with how much has come.
        let due = READ.mul_f64(read as f64 / content.len as f64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
    verdict.expect(read == content.len, || format!("the long GET ended at {read} of {}", content.len));
    // The former connection has been idle for too long.
    let mut client = Client::of(&stage.gates);
    let now = client.ask(&gate, Method::GET, &target, &[], Bytes::new()).await?;
    verdict.expect(&now.body[..] == b"short", || "the overwrite is not there".to_owned());
    verdict.tell(format!("a GET of {} MiB against an overwrite took {:.0?}", read >> 20, began.elapsed()));
    Ok(())
}
