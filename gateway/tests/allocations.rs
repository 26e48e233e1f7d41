//! How many allocations a request of S3 costs, and that it does not become more: from the request, parsed, to the last byte of its answer.
//! What HTTP's connection does beside is not counted. The figures stand in `docs/benchmarks.md`.

#![allow(clippy::unwrap_used)] // A test may.

use std::alloc::{GlobalAlloc, Layout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::signer::Signer;
use gateway::api::{self, Door};
use gateway::app::App;
use gateway::config::{Config, RawConfig};
use gateway::http::body::RequestBody;
use gateway::http::listener::Peer;
use gateway::instance::{DataFolder, IfAbsent};
use gateway::memory::WipingAllocator;
use http::{HeaderName, Method, Request};
use http_body_util::{BodyExt, Full};

/// Requests that are counted together.
const COUNT: u64 = 100;

/// The program's allocator, which counts what is asked of it.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the program's allocator with the arguments that the caller vouches for.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { WipingAllocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { WipingAllocator.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { WipingAllocator.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { WipingAllocator.realloc(block, layout, len) }
    }
}

/// A gateway without a listener.
struct Gateway {
    app: Arc<App>,
    signer: Signer,
}

type Header = (&'static str, &'static str);

impl Gateway {
    async fn open(data: &Path) -> Self {
        let mut raw = RawConfig::default();
        raw.places.data = Some(data.to_owned());
        let config = Config::load(raw, None).unwrap();
        let folder = DataFolder::open(&config, IfAbsent::Create).unwrap();
        let (app, credentials) = App::open(&config, folder).await.unwrap();
        let signer = Signer::new(&credentials.access_key_id, &credentials.secret_access_key);
        Self { app: Arc::new(app), signer }
    }

    fn request(&self, method: &Method, path: &str, headers: &[Header], body: &Bytes) -> Request<RequestBody> {
        let request =
            Request::builder().method(method).uri(path).header(http::header::HOST, "localhost:9000");
        let mut request =
            request.body(RequestBody::new(Full::new(body.clone()), Duration::from_secs(60), false)).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        self.signer.sign(&mut request);
        let len = body.len();
        request.headers_mut().insert(http::header::CONTENT_LENGTH, len.into());
        request
    }

    async fn answer(&self, request: Request<RequestBody>) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let peer = Peer { address, secure: false, tls_version: None };
        let response = api::handle(self.app.clone(), Door::Every, request, peer).await;
        let (parts, mut body) = response.into_parts();
        let mut told = Vec::new();
        while let Some(frame) = body.frame().await {
            if !parts.status.is_success() {
                told.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        }
        assert!(parts.status.is_success(), "{}: {}", parts.status, String::from_utf8_lossy(&told));
    }

    /// Allocations of one request, in the mean, once all that is kept from one request for the next is there. `path` is of its number.
    async fn calls(
        &self,
        method: Method,
        path: impl Fn(u64) -> String,
        headers: &[Header],
        body: &Bytes,
    ) -> u64 {
        let mut fewest = u64::MAX;
        for round in 0..4 {
            let requests: Vec<_> =
                (0..COUNT).map(|n| self.request(&method, &path(round * COUNT + n), headers, body)).collect();
            let before = CALLS.load(Ordering::Relaxed);
            for request in requests {
                self.answer(request).await;
            }
            fewest = fewest.min((CALLS.load(Ordering::Relaxed) - before) / COUNT);
        }
        fewest
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_ask_for_no_more_memory_than_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(&folder.path().join("data")).await;
    let (none, body) = (Bytes::new(), Bytes::from(vec![7; 4096]));
    gateway.answer(gateway.request(&Method::PUT, "/bucket", &[], &none)).await;
    let kms = [("x-amz-server-side-encryption", "aws:kms")];
    let object = |prefix: &'static str| move |n: u64| format!("/bucket/{prefix}/{n:04}");
    let listing = |n: u64| format!("/bucket?list-type=2&max-keys=1000&start-after=behind{n}");
    let mut seen = Vec::new();
    for (name, method, path, headers, body) in [
        ("PUT", Method::PUT, "s3", &[][..], &body),
        ("PUT, SSE-KMS", Method::PUT, "kms", &kms[..], &body),
        ("GET", Method::GET, "s3", &[], &none),
        ("GET, SSE-KMS", Method::GET, "kms", &[], &none),
        ("HEAD", Method::HEAD, "s3", &[], &none),
        ("DELETE", Method::DELETE, "kms", &[], &none),
    ] {
        seen.push((name, gateway.calls(method, object(path), headers, body).await));
    }
    // What is left are the objects of "s3": 400 rows.
    seen.push(("ListObjectsV2, 400 rows", gateway.calls(Method::GET, listing, &[], &none).await));
    seen.push(("the same page again", gateway.calls(Method::GET, |_| listing(0), &[], &none).await));
    for (name, calls) in &seen {
        println!("{name}: {calls}");
    }
    let most = [234, 297, 70, 125, 54, 176, 1830, 36];
    for ((name, calls), most) in seen.into_iter().zip(most) {
        assert!(calls <= most, "{name}: {calls} allocations, at most {most} until now");
    }
}
