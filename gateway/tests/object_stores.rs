//! Object stores that keep blobs: SeaweedFS, which writes each to the disk before it answers, and another Sealgate; and networks before
//! them that fail.

#![allow(clippy::unwrap_used)] // A test may.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::proxy::{Proxy, Way};
use conformance_tests::seaweedfs::{Seaweedfs, url_at};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};
use gateway::blobs::{self, Blobs, Depth, Verdict};
use gateway::config::BlobsConfig;
use http::Method;
use http_body_util::BodyExt;
use storage::blob::object::{ObjectBlobStore, ObjectOptions};
use storage::blob::{BlobStore, SizeHint};
use storage::session::{BlobIds, SessionId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A file of the credentials that started gateways have; SeaweedFS takes any.
fn credentials(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("credentials");
    let text = format!("aws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n");
    std::fs::write(&path, text).unwrap();
    path
}

fn open(url: &str, folder: &TempDir) -> Blobs {
    blobs::open(&BlobsConfig { url: url.to_owned(), credentials: Some(credentials(folder)), pack_len: None })
        .unwrap()
}

/// Contents beyond 1 MiB go in parts, the least that S3 takes; those up to 128 KiB together.
fn options() -> ObjectOptions {
    ObjectOptions { single_len: 1 << 20, part_len: 5 << 20, pack_len: 128 << 10, ..ObjectOptions::default() }
}

async fn keeps_the_contract(blobs: &Blobs) {
    let store = async || {
        let ids = BlobIds::new(SessionId::random());
        Arc::new(ObjectBlobStore::new(blobs.store.clone(), blobs.prefix.clone(), ids, options()))
    };
    storage::contract::blob::all(store).await;
    packs_go_with_their_last_blob(&*store().await, &*store().await).await;
}

/// Of many blobs that come at one time few objects are made; what two gateways delete of them is gone.
async fn packs_go_with_their_last_blob(store: &ObjectBlobStore, other: &ObjectBlobStore) {
    use storage::contract::blob::{get, list_all, owner, pattern, put};
    let write = async |seed: u64| {
        let (content, trailer) = (pattern(seed, 3000), pattern(9, 50));
        put(store, owner(seed), SizeHint::Exact(3000), &content, 3000, trailer).await
    };
    let blobs = futures_util::future::join_all((0..40).map(write)).await;
    let blobs: Vec<_> = blobs.into_iter().map(|blob| blob.unwrap()).collect();
    let numbers: HashSet<_> = blobs.iter().map(|blob| BlobIds::parse(&blob.id)).collect();
    assert!(numbers.len() < 20, "{} objects", numbers.len());
    for (seed, blob) in (0..).zip(&blobs) {
        assert!(get(other, blob).await.unwrap() == pattern(seed, 3000));
    }
    let ids: Vec<_> = blobs.iter().map(|blob| blob.id).collect();
    store.delete_many(&ids[..25]).await.unwrap();
    assert_eq!(list_all(other, 9).await.len(), 15);
    other.delete_many(&ids[25..]).await.unwrap();
    assert!(list_all(store, 9).await.is_empty());
    assert!(other.mostly_dead(1).await.unwrap().is_empty());
}

/// A gateway with an empty bucket.
async fn another(bucket: &str) -> (Server, Caller) {
    let server = Server::start().unwrap();
    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    caller.s3(Method::PUT, &format!("/{bucket}"), "").await.unwrap().success().unwrap();
    (server, caller)
}

async fn refusals(blobs: &Blobs) -> Vec<&'static str> {
    let observed = blobs::probe(blobs, Depth::All).await;
    observed.iter().filter(|seen| seen.verdict == Verdict::Refused).map(|seen| seen.check).collect()
}

fn doctor(url: &str, folder: &TempDir) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(binary().unwrap());
    let output =
        command.args(["doctor", "blobs", "--blobs", url, "--blobs-credentials"]).arg(credentials(folder));
    let output = output.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_keeps_the_contract_and_is_judged() {
    let (seaweedfs, folder) = (Seaweedfs::start().unwrap(), tempfile::tempdir().unwrap());
    let (code, told) = doctor(&seaweedfs.url("doctor"), &folder);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("fs.configure"), "{told}");
    keeps_the_contract(&open(&seaweedfs.url("some/prefix"), &folder)).await;
    // Whoever said first whose blobs they are is right.
    let blobs = open(&seaweedfs.url("claimed"), &folder);
    blobs::claim(&blobs, "a").await.unwrap();
    blobs::claim(&blobs, "a").await.unwrap();
    let other = blobs::claim(&blobs, "b").await.unwrap_err();
    assert!(matches!(other, blobs::ClaimError::Foreign { .. }), "{other}");
    let (code, told) = doctor(&seaweedfs.url("x").replace("/blobs/", "/nowhere/"), &folder);
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = doctor("http://x", &folder);
    assert_eq!(code, Some(2), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_keeps_the_contract_and_no_versions() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut caller) = another("blobs").await;
    let url = format!("s3://blobs/p?endpoint={}&region=us-east-1", server.endpoint);
    let blobs = open(&url, &folder);
    assert!(refusals(&blobs).await.is_empty());
    keeps_the_contract(&blobs).await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    caller.s3(Method::PUT, "/blobs?versioning=", enabled).await.unwrap().success().unwrap();
    assert_eq!(refusals(&blobs).await, ["versioning"]);
    assert!(matches!(blobs::require(&blobs).await, Err(blobs::BlobsError::Refused(..))));
    let (code, told) = doctor(&url, &folder);
    assert!(code == Some(1) && told.contains("FAIL  versioning"), "{code:?} {told}");
    let credentials = credentials(&folder);
    let arguments = ["--blobs", &url, "--blobs-credentials", credentials.to_str().unwrap()];
    assert!(Server::start_with(&arguments).is_err(), "a gateway starts over a bucket that keeps versions");
}

/// What a store does that is none for blobs.
const SOUND: u8 = 0;
const OVERWRITES: u8 = 1;
const FORGETS: u8 = 2;
const FAILS: u8 = 3;

/// A door to an S3 server that spoils what passes.
struct Spoiled {
    port: u16,
    how: Arc<AtomicU8>,
}

impl Spoiled {
    async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (port, how) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(SOUND)));
        let spoil = how.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::pass(client, to, spoil.clone()));
            }
        });
        Self { port, how }
    }

    async fn pass(mut client: TcpStream, to: u16, how: Arc<AtomicU8>) -> std::io::Result<()> {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
        let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let len = read?;
                    if len == 0 {
                        return Ok(());
                    }
                    let bytes = &mut asked[..len];
                    match how.load(Ordering::SeqCst) {
                        OVERWRITES => {
                            let name = b"if-none-match:";
                            let at = bytes.windows(name.len()).position(|found| found.eq_ignore_ascii_case(name));
                            if let Some(at) = at {
                                bytes[at..at + name.len()].copy_from_slice(b"x-none-at-all:");
                            }
                        }
                        FORGETS if bytes.starts_with(b"GET /") && !bytes.starts_with(b"GET /blobs?") => {
                            client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
                            continue;
                        }
                        FAILS => {
                            let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                            return client.write_all(answer).await;
                        }
                        _ => {}
                    }
                    server.write_all(bytes).await?;
                }
                read = server.read(&mut answered) => {
                    let len = read?;
                    if len == 0 {
                        return Ok(());
                    }
                    client.write_all(&answered[..len]).await?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_would_lose_blobs_are_refused() {
    let (seaweedfs, folder) = (Seaweedfs::start().unwrap(), tempfile::tempdir().unwrap());
    let spoiled = Spoiled::start(seaweedfs.port()).await;
    let blobs = open(&url_at(spoiled.port, "p"), &folder);
    assert!(refusals(&blobs).await.is_empty());
    spoiled.how.store(OVERWRITES, Ordering::SeqCst);
    assert_eq!(refusals(&blobs).await, ["If-None-Match", "range", "copy"]);
    spoiled.how.store(FORGETS, Ordering::SeqCst);
    assert_eq!(refusals(&blobs).await[0], "read after write");
    spoiled.how.store(FAILS, Ordering::SeqCst);
    assert_eq!(refusals(&blobs).await, ["write"]);
    let (code, told) = doctor(&url_at(spoiled.port, "p"), &folder);
    assert_eq!(code, Some(1), "{told}");
    // It is not even started over.
    let credentials = credentials(&folder);
    let arguments =
        ["--blobs", &url_at(spoiled.port, "p"), "--blobs-credentials", credentials.to_str().unwrap()];
    assert!(Server::start_with(&arguments).is_err());
}

async fn put(caller: &mut Caller, name: &str, len: usize) -> (u16, String) {
    let body = storage::contract::blob::pattern(len as u64, len);
    let answer = caller.send(Method::PUT, &format!("/bucket/{name}"), &[], body).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn get(caller: &mut Caller, name: &str) -> anyhow::Result<(u16, Bytes)> {
    let answer = caller.send(Method::GET, &format!("/bucket/{name}"), &[], Bytes::new()).await?;
    Ok((answer.status().as_u16(), answer.into_body().collect().await?.to_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_over_a_store_that_fails_says_so_in_time_and_goes_on_after_it() {
    let (seaweedfs, folder) = (Seaweedfs::start().unwrap(), tempfile::tempdir().unwrap());
    let proxy = Proxy::start(seaweedfs.port()).await.unwrap();
    let (file, url) = (credentials(&folder), url_at(proxy.port(), "p"));
    let arguments = ["--blobs", &url, "--blobs-credentials", file.to_str().unwrap(), "--inline-len", "2048"];
    let mut server = Server::start_with(&arguments).unwrap();
    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    caller.s3(Method::PUT, "/bucket", "").await.unwrap().success().unwrap();
    // 1,900 and a header fit into the record, 2,048 do not.
    let lens = [1, 1900, 2048, 70_000, 9 << 20, 40 << 20];
    for len in lens {
        let (status, told) = put(&mut caller, &format!("{len}"), len).await;
        assert_eq!(status, 200, "{len}: {told}");
    }
    for way in [Way::Closed, Way::Silent] {
        proxy.set(way.clone());
        let begun = Instant::now();
        // What is in its record needs no store.
        let (status, body) = get(&mut caller, "1900").await.unwrap();
        assert_eq!(status, 200, "{way:?}");
        assert!(body == storage::contract::blob::pattern(1900, 1900));
        assert!(begun.elapsed() < Duration::from_secs(2));
        let (status, told) = put(&mut caller, "failed", 50_000).await;
        assert!(status == 503 && told.contains("SlowDown"), "{way:?}: {status} {told}");
        assert!(begun.elapsed() < Duration::from_secs(75), "{way:?}: {:?}", begun.elapsed());
        if way == Way::Closed {
            let (status, _) = get(&mut caller, "70000").await.unwrap();
            assert_eq!(status, 503);
        }
        proxy.set(Way::Open);
        assert_eq!(get(&mut caller, "failed").await.unwrap().0, 404);
        assert_eq!(put(&mut caller, "again", 50_000).await.0, 200);
    }
    // A proxy that cuts everything now and then costs a read nothing.
    let cutting = tokio::spawn(async move {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            proxy.set(Way::Closed);
            proxy.set(Way::Open);
        }
        proxy
    });
    for len in lens {
        let (status, body) = get(&mut caller, &format!("{len}")).await.unwrap();
        assert!(status == 200 && body == storage::contract::blob::pattern(len as u64, len), "{len}");
    }
    let _proxy = cutting.await.unwrap();
    drop(caller);
    server.kill().unwrap();
    assert!(Server::start_on(&server.data, &[]).is_err(), "where the blobs are has to be said");
    let mut server_again = Server::start_on(&server.data, &arguments).unwrap();
    let mut caller = Caller::open(&server_again.endpoint, Credentials::root()).await.unwrap();
    for len in lens {
        let (status, body) = get(&mut caller, &format!("{len}")).await.unwrap();
        assert!(
            status == 200 && body == storage::contract::blob::pattern(len as u64, len),
            "{len} after a kill"
        );
    }
    server_again.stop().unwrap();
    let checked =
        server.command(&["check", "--blobs", &url, "--blobs-credentials", file.to_str().unwrap()]).unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{told}{}", String::from_utf8_lossy(&checked.stderr));
}
