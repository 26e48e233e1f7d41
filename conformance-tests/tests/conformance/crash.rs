//! A ledgered writer while the gateway is killed at random moments: what was acknowledged is there, whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, VersioningConfiguration,
};
use conformance_tests::server::Server;
use tokio::sync::Mutex;

use super::client::{client, content};

const ROUNDS: u64 = 50;
const WRITERS: u64 = 4;
const OBJECTS_PER_WRITER: u64 = 6;
const BUCKET: &str = "crash";

/// What an object may be: each of these, or absent (`None`). One entry when nothing is in doubt.
type Ledger = Arc<Mutex<HashMap<String, Vec<Option<Vec<u8>>>>>>;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Writes until the gateway is gone. An attempt that is not answered may have happened or not.
async fn writer(client: Client, ledger: Ledger, writer: u64, seed: u64) {
    let mut random = Random(seed | 1);
    loop {
        let key = format!("w{writer}/o{}", random.below(OBJECTS_PER_WRITER));
        let action = random.below(10);
        let len = [100, 4096, 20_000, 200_000, 700_000][random.below(5) as usize];
        let body = content(len, random.0);
        let mut outcome = Some(body.clone());
        let result = match action {
            0..=5 => put(&client, &key, body).await,
            6 => {
                outcome = None;
                client
                    .delete_object()
                    .bucket(BUCKET)
                    .key(&key)
                    .send()
                    .await
                    .map(drop)
                    .map_err(|e| format!("{e:?}"))
            }
            7 => {
                let source = format!("w{writer}/o{}", random.below(OBJECTS_PER_WRITER));
                let known = ledger.lock().await.get(&source).cloned().unwrap_or_default();
                let [Some(copied)] = &known[..] else { continue };
                let copied = copied.clone();
                outcome = Some(copied);
                let copy =
                    client.copy_object().bucket(BUCKET).key(&key).copy_source(format!("{BUCKET}/{source}"));
                let copy = copy.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace);
                copy.send().await.map(drop).map_err(|e| format!("{e:?}"))
            }
            _ => {
                let body = content(5 * 1024 * 1024 + len, random.0);
                outcome = Some(body.clone());
                multipart(&client, &key, &body).await
            }
        };
        let mut ledger = ledger.lock().await;
        let possible = ledger.entry(key).or_insert_with(|| vec![None]);
        match result {
            Ok(()) => *possible = vec![outcome],
            Err(_) => {
                possible.push(outcome);
                return;
            }
        }
    }
}

/// A client that a kill ends. The port may be somebody else's right after it, who need not answer: a request that is not answered in
/// time was not acknowledged.
fn until_killed(client: &Client) -> Client {
    use aws_sdk_s3::config::retry::RetryConfig;
    use aws_sdk_s3::config::timeout::TimeoutConfig;
    let timeout = TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build();
    let config = client.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeout);
    Client::from_conf(config.build())
}

async fn put(client: &Client, key: &str, body: Vec<u8>) -> Result<(), String> {
    let put = client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body));
    put.send().await.map(drop).map_err(|e| format!("{e:?}"))
}

async fn multipart(client: &Client, key: &str, body: &[u8]) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Debug| format!("{e:?}");
    let created =
        client.create_multipart_upload().bucket(BUCKET).key(key).send().await.map_err(|e| text(&e))?;
    let upload = created.upload_id.unwrap();
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(body.chunks(5 * 1024 * 1024)) {
        let sent = client.upload_part().bucket(BUCKET).key(key).upload_id(&upload).part_number(number);
        let sent = sent.body(ByteStream::from(part.to_vec())).send().await.map_err(|e| text(&e))?;
        // The upload declared no checksum, so its parts are not named with theirs.
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(&upload);
    complete.multipart_upload(parts).send().await.map(drop).map_err(|e| text(&e))
}

/// Every object is one of what it may be; from then on it is that.
async fn verify(client: &Client, ledger: &Ledger, round: u64) {
    let mut ledger = ledger.lock().await;
    for (key, possible) in ledger.iter_mut() {
        let found = match client.get_object().bucket(BUCKET).key(key).send().await {
            Ok(answer) => {
                Some(answer.body.collect().await.expect("an answer is whole").into_bytes().to_vec())
            }
            Err(error) => {
                let missing = error.as_service_error().is_some_and(|e| e.is_no_such_key());
                assert!(missing, "round {round}: {key}: {error:?}");
                None
            }
        };
        assert!(possible.contains(&found), "round {round}: {key} is not what was acknowledged");
        *possible = vec![found];
    }
}

/// What the last kill cut off is looked for behind the start: waits until that is done.
async fn swept(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = server.command(&["status", "--json"]).unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        if status["reclaim"]["sweeps"].as_u64().unwrap() > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "no sweep has ended: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn disk_len(folder: &std::path::Path) -> u64 {
    let mut len = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        len += if metadata.is_dir() { disk_len(&entry.path()) } else { metadata.len() };
    }
    len
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_fifty_kills() {
    if Server::skips("it looks at the files of blobs, and makes the catalog again") {
        return;
    }
    let mut server = Server::start().unwrap();
    client(&server).create_bucket().bucket(BUCKET).send().await.unwrap();
    let ledger = Ledger::default();
    let mut random = Random(0x5ea1_9a7e);
    let began = Instant::now();
    for round in 0..ROUNDS {
        let client = client(&server);
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let client = until_killed(&client);
                tokio::spawn(writer(client, ledger.clone(), n, random.below(u64::MAX)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + random.below(900))).await;
        server.kill_and_restart().unwrap();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(60), writer).await.expect("writers end").unwrap();
        }
        verify(&super::client::client(&server), &ledger, round).await;
    }
    eprintln!("{ROUNDS} kills in {:?}", began.elapsed());

    // The space of what the kills left behind comes back: what stays is about what is alive.
    let alive: usize =
        ledger.lock().await.values().flat_map(|possible| possible[0].as_ref()).map(Vec::len).sum();
    let client = super::client::client(&server);
    let uploads = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    for upload in uploads.uploads() {
        let abort = client.abort_multipart_upload().bucket(BUCKET).key(upload.key().unwrap());
        abort.upload_id(upload.upload_id().unwrap()).send().await.unwrap();
    }
    let limit = alive as u64 + alive as u64 / 2 + (160 << 20);
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let used = disk_len(&server.data.join("blobs"));
        if used < limit {
            break;
        }
        assert!(Instant::now() < deadline, "{used} bytes are used for {alive} alive");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    // What the last kill cut off, as verify saw, is put away: a rebuild is not to bring it back.
    swept(&server).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let checked = server.command(&["check"]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // The catalog is lost, and made again from blobs and key store.
    let dump = server.data.with_file_name("before.jsonl");
    assert!(server.command(&["export", dump.to_str().unwrap()]).unwrap().status.success());
    let catalog = server.data.join("catalog");
    std::fs::rename(&catalog, server.data.with_file_name("catalog.old")).unwrap();
    assert!(
        !server.command(&["check"]).unwrap().status.success(),
        "a lost catalog is not taken for an empty one"
    );
    let rebuilt = server.command(&["rebuild"]).unwrap();
    let said = |out: &[u8]| String::from_utf8_lossy(out).into_owned();
    assert!(rebuilt.status.success(), "{}{}", said(&rebuilt.stdout), said(&rebuilt.stderr));
    server.restart().unwrap();
    let client = super::client::client(&server);
    let ledger = ledger.lock().await;
    for (key, possible) in ledger.iter() {
        // A deletion leaves no blob behind; everything else is as it was.
        let Some(expected) = &possible[0] else { continue };
        let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert!(answer.body.collect().await.unwrap().into_bytes() == expected[..], "{key} after the rebuild");
    }
}

/// What was acknowledged of versions: their content, or `None` once a deletion of one was asked for.
type Versions = Arc<Mutex<HashMap<(String, String), Option<Vec<u8>>>>>;

const VERSIONED: &str = "crash-versions";
const VERSION_ROUNDS: u64 = 12;

/// Writes, marks and deletes versions until the gateway is gone.
async fn version_writer(client: Client, versions: Versions, seed: u64) {
    let mut random = Random(seed | 1);
    loop {
        let key = format!("o{}", random.below(3));
        let body = content([100, 20_000, 300_000][random.below(3) as usize], random.0);
        match random.below(10) {
            0..=5 => {
                let put =
                    client.put_object().bucket(VERSIONED).key(&key).body(ByteStream::from(body.clone()));
                let Ok(answer) = put.send().await else { return };
                versions.lock().await.insert((key, answer.version_id.unwrap()), Some(body));
            }
            6 => {
                if client.delete_object().bucket(VERSIONED).key(&key).send().await.is_err() {
                    return;
                }
            }
            _ => {
                let mut versions = versions.lock().await;
                let kept = versions
                    .iter_mut()
                    .filter(|(_, content)| content.is_some())
                    .nth(random.below(5) as usize);
                let Some(((key, id), content)) = kept else { continue };
                *content = None;
                let (key, id) = (key.clone(), id.clone());
                drop(versions);
                let deleted = client.delete_object().bucket(VERSIONED).key(key).version_id(id);
                if deleted.send().await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_versions_survive_kills_in_order() {
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(VERSIONED).send().await.unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(VERSIONED).versioning_configuration(enabled).send().await.unwrap();
    let versions = Versions::default();
    let mut random = Random(0x0dd_ba11);
    for round in 0..VERSION_ROUNDS {
        let killed = until_killed(&client(&server));
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let client = killed.clone();
                tokio::spawn(version_writer(client, versions.clone(), random.below(u64::MAX)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100 + random.below(900))).await;
        server.kill_and_restart().unwrap();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(60), writer).await.expect("writers end").unwrap();
        }
        let client = client(&server);
        let mut listed = std::collections::HashSet::new();
        let mut latest = HashMap::new();
        let mut pages = client.list_object_versions().bucket(VERSIONED).send().await.unwrap();
        loop {
            let rows = pages.versions().iter().map(|row| (row.key(), row.version_id(), row.is_latest()));
            let markers =
                pages.delete_markers().iter().map(|row| (row.key(), row.version_id(), row.is_latest()));
            for (key, id, is_latest) in rows.chain(markers) {
                *latest.entry(key.unwrap().to_owned()).or_insert(0) += u32::from(is_latest.unwrap());
                assert!(
                    listed.insert((key.unwrap().to_owned(), id.unwrap().to_owned())),
                    "twice: {key:?} {id:?}"
                );
            }
            if !pages.is_truncated().unwrap() {
                break;
            }
            let next = client.list_object_versions().bucket(VERSIONED);
            let next = next
                .set_key_marker(pages.next_key_marker)
                .set_version_id_marker(pages.next_version_id_marker);
            pages = next.send().await.unwrap();
        }
        assert!(latest.values().all(|&count| count == 1), "round {round}: {latest:?}");
        for ((key, id), expected) in versions.lock().await.iter() {
            let Some(expected) = expected else { continue };
            assert!(listed.contains(&(key.clone(), id.clone())), "round {round}: {key} {id} is not listed");
            let answer = client.get_object().bucket(VERSIONED).key(key).version_id(id).send().await.unwrap();
            assert!(
                answer.body.collect().await.unwrap().into_bytes() == expected[..],
                "round {round}: {key} {id}"
            );
        }
    }
    if Server::skips("its check is of a data folder") {
        return;
    }
    swept(&server).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let checked = server.command(&["check"]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
