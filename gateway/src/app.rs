//! What a running gateway consists of.

use std::sync::Arc;

use kms_core::kms::Kms;
use storage::blob::BlobStore;
use storage::catalog::Catalog;

use crate::config::SseCOverHttp;
use crate::iam::Accounts;
use crate::sealed_kv::MetadataKey;
use crate::sse::Sse;

/// The parts that operations are made of; one per process, shared by all requests.
pub struct App {
    /// The region that requests are signed for.
    pub region: String,
    /// Domains of virtual-host style requests (`bucket.domain`).
    pub domains: Vec<String>,
    /// May SSE-C keys travel over plain HTTP?
    pub sse_c_over_http: SseCOverHttp,
    /// The smallest part, but for the last, in bytes: AWS's 5 MiB.
    pub min_part_len: u64,
    /// Accounts and their access keys.
    pub accounts: Accounts,
    /// Records.
    pub catalog: Catalog,
    /// Blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The key management service.
    pub kms: Arc<Kms>,
    /// Which ContentKey, and how it is wrapped.
    pub sse: Sse,
    /// What seals catalog values and blob trailers.
    pub metadata_key: Arc<MetadataKey>,
}
