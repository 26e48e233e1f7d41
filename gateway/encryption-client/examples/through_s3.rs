//! CPU time and memory of objects on their way to an S3 and back: `AWS_ENDPOINT_URL=… cargo run --release --example through_s3 -- BUCKET WORK`,
//! where WORK is `whole ROUNDS` (put and get of 64 MiB), `put MIB` (a stream), `get` (that stream, with delayed authentication) or
//! `held MAX_MIB` (the same, held until it is authenticated, in memory up to that bound).
#![allow(clippy::unwrap_used, clippy::expect_used)] // An example may.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMultipartOptions};
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::object_store::EncryptedStore;
use s3_encryption_client::{Release, Settings};

const LEN: usize = 64 << 20;
const PIECE_LEN: usize = 256 << 10;

/// CPU seconds of this process, and its largest resident memory in MiB, as Linux tells them.
fn used() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (ticks as f64 / 100.0, peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (bucket, work) = (&arguments[0], arguments[1].as_str());
    let number = || arguments[2].parse::<u64>().expect("a number");
    let release = match work {
        "get" => Release::Delayed,
        "held" => {
            Release::AfterAuthentication { max_memory: number() << 20, spool: Some(std::env::temp_dir()) }
        }
        _ => Release::default(),
    };
    let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true).build().unwrap();
    let keyring = Arc::new(AesKeyring::new(&std::array::from_fn::<u8, 32, _>(|at| at as u8)).unwrap());
    let store = EncryptedStore::new(s3, keyring, Settings::new().release(release)).unwrap();
    match work {
        "whole" => {
            let (body, path) = (Bytes::from(vec![3; LEN]), Path::from("whole"));
            let before = used().0;
            for _ in 0..number() {
                store.put(&path, body.clone().into()).await.unwrap();
                assert!(store.get(&path).await.unwrap().bytes().await.unwrap() == body);
            }
            let rounds = number() as f64;
            println!("{:.3} CPU-s for put and get of 64 MiB", (used().0 - before) / rounds);
        }
        "put" => {
            let pieces = stream::iter(0..number() << 2)
                .map(|_| Ok::<_, object_store::Error>(Bytes::from(vec![3; PIECE_LEN])));
            store.put_stream(&"stream".into(), pieces, PutMultipartOptions::default()).await.unwrap();
        }
        "get" | "held" => {
            let mut pieces = store.get(&"stream".into()).await.unwrap().into_stream();
            while pieces.try_next().await.unwrap().is_some() {}
        }
        _ => panic!("whole, put, get or held"),
    }
    println!("{work}: {} MiB of memory at most", used().1);
}
