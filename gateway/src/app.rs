//! What a running gateway consists of, and how it is put together: concrete types meet only here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kms_core::kms::{Kms, KmsConfig};
use kms_core::root::FileRoot;
use sha2::{Digest, Sha256};
use storage::blob::BlobStore;
use storage::blob::fs::{FsBlobStore, FsOptions};
use storage::catalog::Catalog;
use storage::kv::KeyValue;
use storage::kv::sled::{SledConfig, SledKv};

use crate::config::{Config, SseCOverHttp};
use crate::iam::{Account, Accounts};
use crate::instance::{Credentials, DataFolder};
use crate::sealed_kv::{MetadataKey, SealedKv};
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
    /// Wait without a byte after which a request's body is given up.
    pub body_idle_timeout: Duration,
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
    /// The open stores.
    pub stores: Stores,
}

/// AWS's smallest part, but for the last.
const MIN_PART_LEN: u64 = 5 << 20;
/// What the metadata key is kept as in the key store.
const METADATA_PURPOSE: &str = "catalog";

impl App {
    /// Opens everything in a data folder.
    pub async fn open(config: &Config, folder: DataFolder) -> anyhow::Result<(Self, Credentials)> {
        let stores = Stores::open(config, folder).await?;
        let credentials = Credentials::load(config)?;
        let accounts = Accounts::single(
            account(&stores.folder.instance.account_id),
            credentials.access_key_id.clone(),
            credentials.secret_access_key.clone(),
        );
        let sealed = SealedKv::new(stores.raw_kv.clone(), stores.metadata_key.clone());
        let app = Self {
            region: config.region.clone(),
            domains: config.domains.clone(),
            sse_c_over_http: config.sse_c_over_http,
            min_part_len: MIN_PART_LEN,
            body_idle_timeout: config.body_idle_timeout,
            accounts,
            catalog: Catalog::new(Arc::new(sealed)),
            blobs: stores.blobs.clone(),
            kms: stores.kms.clone(),
            sse: Sse::new(stores.kms.clone(), stores.folder.instance.region.clone(), config.bucket_key_window),
            metadata_key: stores.metadata_key.clone(),
            stores,
        };
        Ok((app, credentials))
    }

    /// Closes the stores, once no request runs any more.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { stores, catalog, blobs, kms, sse, metadata_key, .. } = self;
        drop((catalog, blobs, kms, sse, metadata_key));
        stores.close().await
    }
}

/// The stores of a data folder, opened.
pub struct Stores {
    /// The engine of records, without its seal.
    pub raw_kv: Arc<SledKv>,
    /// The engine of blobs.
    pub blobs: Arc<FsBlobStore>,
    /// The key management service.
    pub kms: Arc<Kms>,
    /// What seals catalog values and blob trailers.
    pub metadata_key: Arc<MetadataKey>,
    /// Let go last.
    folder: DataFolder,
}

impl Stores {
    /// Opens the stores of a data folder. A root key that does not fit is refused before anything is touched.
    pub async fn open(config: &Config, folder: DataFolder) -> anyhow::Result<Self> {
        let catalog_folder = folder.path.join("catalog");
        if !folder.is_new && !catalog_folder.is_dir() && folder.path.join("blobs").is_dir() {
            bail!(
                "the catalog {} is missing; put it back from a backup, or make a new one with `sealgate rebuild`",
                catalog_folder.display()
            );
        }
        Self::open_with(config, folder, catalog_folder).await
    }

    /// Opens the stores with the catalog in another folder: for a rebuild.
    pub async fn open_with(
        config: &Config,
        folder: DataFolder,
        catalog_folder: std::path::PathBuf,
    ) -> anyhow::Result<Self> {
        let kms_folder = folder.path.join("kms");
        // A key store whose root key is gone must not be given a new one.
        let root = match kms_folder.is_dir() {
            true => FileRoot::open(&config.root_key, &folder.path)?,
            false => FileRoot::open_or_create(&config.root_key, &folder.path)?,
        };
        let kms_config = KmsConfig {
            region: folder.instance.region.clone(),
            account: folder.instance.account_id.clone(),
        };
        let kms = Kms::open(&kms_folder, Arc::new(root), kms_config)
            .with_context(|| format!("can't open the key store {}", kms_folder.display()))?;
        let metadata_key = Arc::new(MetadataKey::new(kms.metadata_key(METADATA_PURPOSE)?));
        let sled = SledConfig { dir: catalog_folder, cache_len: config.catalog_cache_len };
        let blobs_folder = folder.path.join("blobs");
        let options = FsOptions { reserve_free: config.min_free_len, ..FsOptions::default() };
        // Opening waits for the disk.
        let (raw_kv, blobs) = tokio::task::spawn_blocking(move || {
            let raw_kv = SledKv::open(&sled)?;
            let blobs = FsBlobStore::open(blobs_folder, options).context("can't open the blob store")?;
            anyhow::Ok((raw_kv, blobs))
        })
        .await??;
        Ok(Self { raw_kv: Arc::new(raw_kv), blobs: Arc::new(blobs), kms: Arc::new(kms), metadata_key, folder })
    }

    /// Flushes and closes.
    pub async fn close(self) -> anyhow::Result<()> {
        self.blobs.close().await;
        let raw_kv = self.raw_kv;
        // Closing waits for the disk.
        tokio::task::spawn_blocking(move || drop(raw_kv)).await?;
        drop(self.kms);
        drop(self.folder);
        Ok(())
    }
}

/// The account of this id. Its canonical user id is derived, so that it is the same at each start.
fn account(id: &str) -> Account {
    let canonical_id = hex::encode(Sha256::digest(format!("sealgate canonical user {id}")));
    Account { id: id.to_owned(), canonical_id, display_name: "root".to_owned() }
}
