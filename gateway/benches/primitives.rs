//! What the hot paths are made of: sealing and opening, digests, and the verification of a signature.
#![allow(missing_docs, clippy::unwrap_used)] // A benchmark may.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::auth::{Expected, Failures, Keys, authenticate};
use gateway::iam::{Iam, IamOptions};
use gateway::seal::{ContentKey, ContentKeys, Opener, PlainLen, PlainRange, SealContext, Sealer};
use gateway::transfer::digest::{ChecksumAlgorithm, checksum};
use kms_core::secret::Secret32;
use storage::catalog::Catalog;
use storage::kv::memory::MemoryKv;
use storage::name::VersionId;

const LEN: usize = 1 << 20;

fn seal(c: &mut Criterion) {
    let keys = ContentKeys { layers: vec![ContentKey(Secret32::random())] };
    let context = SealContext { version: VersionId::now(), part: 0 };
    let plain = vec![7; LEN];
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(LEN as u64));
    let seal = || {
        let mut sealer = Sealer::new(&keys, context, &[[1; 24]]);
        let mut out = Vec::with_capacity(LEN + LEN / 512);
        sealer.update(&plain, &mut out);
        sealer.finish(&mut out);
        out
    };
    group.bench_function("seal 1 MiB", |b| b.iter(seal));
    let sealed = seal();
    let plain_len = PlainLen(LEN as u64);
    let mut header = sealed[..Opener::header_range(plain_len, 1).len].to_vec();
    let opener = Opener::new(&keys, context, plain_len, None, &mut header).unwrap();
    let range = PlainRange { offset: 0, len: LEN as u64 };
    let span = opener.spans(range, 2 << 20).next().unwrap();
    let stored = &sealed[span.stored.offset as usize..span.stored.offset as usize + span.stored.len];
    group.bench_function("open 1 MiB", |b| {
        b.iter_batched(
            || BytesMut::from(stored),
            |stored| opener.open(&span, stored).unwrap(),
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn digests(c: &mut Criterion) {
    let data = vec![7; LEN];
    let mut group = c.benchmark_group("digest 1 MiB");
    group.throughput(Throughput::Bytes(LEN as u64));
    for algorithm in ChecksumAlgorithm::ALL {
        group.bench_function(algorithm.name(), |b| b.iter(|| checksum(algorithm, &data)));
    }
    group.finish();
}

fn signature(c: &mut Criterion) {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let options = IamOptions { main: "111122223333".to_owned(), ..IamOptions::default() };
    let root = ("AKIDEXAMPLE".to_owned(), "secret".to_owned().into());
    let iam = Iam::empty(catalog, &Secret32::random(), options, root).unwrap();
    let keys = Keys { iam: &iam, failures: &Failures::new(0), counts_unknown: true };
    // A signature that does not match costs what one that does costs.
    let (parts, ()) = http::Request::builder()
        .method("PUT")
        .uri("/bucket/some/key?partNumber=1&uploadId=abc")
        .header("host", "localhost:9000")
        .header("x-amz-date", "20261124T000000Z")
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .header("content-length", "4096")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
             Signature=0000000000000000000000000000000000000000000000000000000000000000",
        )
        .body(())
        .unwrap()
        .into_parts();
    let expected = Expected {
        region: "us-east-1",
        service: "s3",
        now_unix_ms: 1_795_478_400_000,
        source: Ipv4Addr::LOCALHOST.into(),
    };
    c.bench_function("verify a signature", |b| b.iter(|| authenticate(&parts, keys, expected).is_err()));
}

criterion_group!(benches, seal, digests, signature);
criterion_main!(benches);
