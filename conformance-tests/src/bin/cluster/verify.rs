//! What must hold in the end: everything acknowledged is there through every gateway, everything listed can be read, and when all is deleted
//! no blob is left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::seaweedfs;
use http::Method;

use super::Verdict;
use super::gates::Gates;
use super::ledger::Ledger;
use super::load::{BUCKET, Client, keys};
use super::stage::Stage;

/// Readers at a time.
const READERS: usize = 6;
/// How long the last blobs may take to go: sessions end, then sweeps and drains run.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(240);

/// Every object of the ledger is what it may be, and every listed one is there, through each gateway.
pub(crate) async fn all_is_there(
    gates: &Gates,
    ledger: &Ledger,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let expected: Vec<String> = ledger.all().keys().cloned().collect();
    for number in 0..gates.count() {
        let listed = list(gates, number).await?;
        // What has no folder is of tests that look at it themselves.
        for key in listed.iter().filter(|key| key.contains('/')) {
            verdict.expect(expected.contains(key), || {
                format!("gateway {number} lists {key}, which nobody wrote")
            });
        }
        for (key, possible) in ledger.all().iter() {
            let must_be_there = possible.iter().all(Option::is_some);
            verdict.expect(!must_be_there || listed.contains(key), || {
                format!("gateway {number} does not list {key}: {possible:?}")
            });
        }
        let (next, expected) = (Arc::new(AtomicUsize::new(0)), Arc::new(expected.clone()));
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let (next, expected, listed) = (next.clone(), expected.clone(), listed.clone());
            let (gates, ledger) = (gates.clone(), ledger.clone());
            readers.push(tokio::spawn(async move {
                let mut client = Client::of(&gates);
                let mut wrong = Vec::new();
                while let Some(key) = expected.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let gate = gates.choose(number);
                    let target = format!("/{BUCKET}/{key}");
                    match client.ask(&gate, Method::GET, &target, &[], Bytes::new()).await {
                        Ok(answer) => {
                            let found = answer.status.is_success().then_some(&answer.body[..]);
                            if !ledger.allows(key, found) {
                                let (len, expected) = (found.map(<[u8]>::len), ledger.of(key));
                                wrong.push(format!(
                                    "gateway {number}: {key} is {len:?}, expected {expected:?}"
                                ));
                            }
                            if found.is_none() && listed.contains(key) {
                                wrong.push(format!("gateway {number}: {key} is listed and is not there"));
                            }
                        }
                        Err(failure) => wrong.push(format!("gateway {number}: GET {key}: {failure:?}")),
                    }
                }
                wrong
            }));
        }
        for reader in readers {
            for wrong in reader.await? {
                verdict.expect(false, || wrong);
            }
        }
    }
    verdict.tell(format!("{} objects read back through {} gateways", expected.len(), gates.count()));
    Ok(())
}

async fn list(gates: &Gates, number: usize) -> anyhow::Result<BTreeSet<String>> {
    let mut client = Client::of(gates);
    let (mut all, mut after) = (BTreeSet::new(), String::new());
    loop {
        let target = format!("/{BUCKET}?list-type=2&start-after={after}");
        let gate = gates.choose(number);
        let answer = client.ask(&gate, Method::GET, &target, &[], Bytes::new()).await;
        let answer = answer?;
        let page: Vec<String> = keys(&answer.text()).collect();
        let Some(last) = page.last() else { return Ok(all) };
        after = last.replace('/', "%2F");
        all.extend(page);
        if answer.field("IsTruncated").as_deref() != Some("true") {
            return Ok(all);
        }
    }
}

/// Deletes everything, and waits until the store of blobs holds none.
pub(crate) async fn nothing_is_left(stage: &Stage, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut client = Client::of(&stage.gates);
    let gate = stage.gates.choose(0);
    let before = blobs(stage).await?.len();
    for key in list(&stage.gates, 0).await? {
        let target = format!("/{BUCKET}/{key}");
        let deleted = client.ask(&gate, Method::DELETE, &target, &[], Bytes::new()).await;
        verdict.expect(deleted.is_ok(), || format!("DELETE {target}: {deleted:?}"));
    }
    loop {
        let target = format!("/{BUCKET}?uploads=");
        let answer = client.ask(&gate, Method::GET, &target, &[], Bytes::new()).await;
        let text = answer?.text();
        let uploads: Vec<&str> = text.split("<Upload>").skip(1).collect();
        if uploads.is_empty() {
            break;
        }
        for upload in uploads {
            let field = |name: &str| {
                let rest = upload.split_once(&format!("<{name}>"))?.1;
                Some(rest.split_once("</")?.0.to_owned())
            };
            let (Some(key), Some(id)) = (field("Key"), field("UploadId")) else { continue };
            let target = format!("/{BUCKET}/{key}?uploadId={id}");
            let aborted = client.ask(&gate, Method::DELETE, &target, &[], Bytes::new()).await;
            verdict.expect(aborted.is_ok(), || format!("DELETE {target}: {aborted:?}"));
        }
    }
    let began = Instant::now();
    let left = loop {
        let left = blobs(stage).await?;
        if left.is_empty() || began.elapsed() > CLEAN_TIMEOUT {
            break left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    verdict.expect(left.is_empty(), || {
        format!("{} blobs have no record, of them {:?}", left.len(), left.first())
    });
    verdict.tell(format!("{before} blobs; behind deletions none was left after {:.0?}", began.elapsed()));
    Ok(())
}

/// The names of all blobs in the store.
pub(crate) async fn blobs(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let mut caller =
        Caller::open(&stage.cluster.blobs.endpoint(), Credentials::of_key("test", "test")).await?;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let target = format!("/{}?list-type=2&start-after={after}", seaweedfs::BUCKET);
        let answer = caller.s3(Method::GET, &target, "").await?.success()?;
        let page: Vec<String> = keys(&answer.text()).collect();
        let Some(last) = page.last() else { break };
        after = last.replace('/', "%2F");
        all.extend(page);
        if answer.field("IsTruncated").as_deref() != Some("true") {
            break;
        }
    }
    // PREFIX/SHARD/SESSION/COUNTER; what else there is tells whose store it is.
    all.retain(|name| {
        name.starts_with("sealgate/") && name.split('/').filter(|part| !part.is_empty()).count() == 4
    });
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests may.
mod tests {
    use conformance_tests::server::Server;

    use super::super::ledger::Content;
    use super::super::load::Load;
    use super::*;

    /// What the judgement of all tests rests on: a gateway that does as it should is found right, and what is lost, changed or too much
    /// is not overlooked.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_loss_is_noticed() {
        let server = Server::start().unwrap();
        let (gates, ledger) = (Gates::of([server.endpoint.clone()]), Ledger::default());
        let mut client = Client::of(&gates);
        let gate = gates.choose(0);
        let mut put = async |target: &str, body: &str| {
            let body = Bytes::copy_from_slice(body.as_bytes());
            client.ask(&gate, Method::PUT, target, &[], body).await.unwrap();
        };
        put(&format!("/{BUCKET}"), "").await;
        let mut verdict = Verdict::default();
        let load = Load::start(&gates, &ledger, "w", 3, 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        load.stop(&mut verdict).await.unwrap();
        all_is_there(&gates, &ledger, &mut verdict).await.unwrap();
        assert_eq!(verdict.failures, Vec::<String>::new());

        ledger.settle("t/lost", Some(Content { len: 5, seed: 5 }));
        ledger.settle("t/changed", Some(Content { len: 5, seed: 5 }));
        ledger.settle("t/deleted", None);
        for name in ["t/changed", "t/deleted", "t/unknown"] {
            put(&format!("/{BUCKET}/{name}"), "other").await;
        }
        all_is_there(&gates, &ledger, &mut verdict).await.unwrap();
        for name in ["lost", "changed", "deleted", "unknown"] {
            assert!(
                verdict.failures.iter().any(|failure| failure.contains(name)),
                "{name}: {:?}",
                verdict.failures
            );
        }
    }
}
