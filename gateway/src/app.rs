//! What a running gateway consists of, and how it is put together: concrete types meet only here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kms_core::directory::Directory;
use kms_core::kms::{Kms, KmsConfig};
use kms_core::root::RootKey;
use sha2::{Digest, Sha256};
use storage::blob::BlobStore;
use storage::blob::fs::FsOptions;
use storage::catalog::Catalog;
use storage::open::{Storage, StorageConfig};
use storage::reclaim::{ReclaimOptions, Reclaimer};

use crate::config::{Config, SseCNewBuckets, SseCOverHttp};
use crate::iam::{Account, Accounts};
use crate::instance::{Credentials, DataFolder};
use crate::observe;
use crate::root;
use crate::sealed_kv::{MetadataKey, SealedKv};
use crate::sse::Sse;
use crate::transfer::journal::Records;

/// The parts that operations are made of; one per process, shared by all requests.
pub struct App {
    /// The region that requests are signed for.
    pub region: String,
    /// Domains of virtual-host style requests (`bucket.domain`).
    pub domains: Vec<String>,
    /// May SSE-C keys travel over plain HTTP?
    pub sse_c_over_http: SseCOverHttp,
    /// May objects of new buckets be written with SSE-C?
    pub sse_c_new_buckets: SseCNewBuckets,
    /// How long a day of lifecycle rules is.
    pub lifecycle_day_ms: u64,
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
    /// Frees space.
    pub reclaimer: Reclaimer,
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
        Self::over(config, Stores::open(config, folder).await?)
    }

    /// As [`App::open`], with a root key that is at hand.
    pub async fn open_with(
        config: &Config,
        folder: DataFolder,
        root: Arc<dyn RootKey>,
    ) -> anyhow::Result<(Self, Credentials)> {
        refuse_lost_catalog(&folder)?;
        Self::over(config, Stores::open_with(config, folder, root).await?)
    }

    /// As [`App::open`], but makes an empty catalog where there is none beside blobs: to fill it again.
    pub async fn open_without_catalog(
        config: &Config,
        folder: DataFolder,
    ) -> anyhow::Result<(Self, Credentials)> {
        Self::over(config, Stores::open_or_create(config, folder).await?)
    }

    fn over(config: &Config, stores: Stores) -> anyhow::Result<(Self, Credentials)> {
        let credentials = Credentials::load(config)?;
        let accounts = Accounts::single(
            account(&stores.folder.instance.account_id),
            credentials.access_key_id.clone(),
            credentials.secret_access_key.clone(),
        );
        let sealed = SealedKv::new(stores.storage.kv.clone(), stores.metadata_key.clone());
        let catalog = Catalog::new(Arc::new(sealed));
        let local = stores.storage.local_blobs().context("blobs are on a local disk")?.clone();
        let app = Self {
            region: config.region.clone(),
            domains: config.domains.clone(),
            sse_c_over_http: config.sse_c_over_http,
            sse_c_new_buckets: config.sse_c_new_buckets,
            lifecycle_day_ms: config.lifecycle_day.as_millis() as u64,
            min_part_len: MIN_PART_LEN,
            body_idle_timeout: config.body_idle_timeout,
            accounts,
            reclaimer: Reclaimer::new(catalog.clone(), local, ReclaimOptions::default()),
            catalog,
            blobs: stores.storage.blobs.clone(),
            kms: stores.kms.clone(),
            sse: Sse::new(
                stores.kms.clone(),
                stores.folder.instance.region.clone(),
                config.bucket_key_window,
            ),
            metadata_key: stores.metadata_key.clone(),
            stores,
        };
        Ok((app, credentials))
    }

    /// Where records and their journals are written.
    pub fn records(&self) -> Records<'_> {
        Records { catalog: &self.catalog, blobs: &self.blobs, metadata_key: &self.metadata_key }
    }

    /// Closes the stores, once no request runs any more.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { stores, catalog, blobs, reclaimer, kms, sse, metadata_key, .. } = self;
        drop((catalog, blobs, reclaimer, kms, sse, metadata_key));
        stores.close().await
    }
}

/// The stores of a data folder, opened.
pub struct Stores {
    /// The engines of records (without their seal) and blobs.
    pub storage: Storage,
    /// The key management service.
    pub kms: Arc<Kms>,
    /// What seals catalog values and blob trailers.
    pub metadata_key: Arc<MetadataKey>,
    /// What the key store is rooted in.
    pub root: Arc<dyn RootKey>,
    /// Let go last.
    pub folder: DataFolder,
}

impl Stores {
    /// Opens the stores of a data folder. A root key that does not fit is refused before anything is touched.
    pub async fn open(config: &Config, folder: DataFolder) -> anyhow::Result<Self> {
        refuse_lost_catalog(&folder)?;
        Self::open_or_create(config, folder).await
    }

    /// As [`Stores::open`], but makes an empty catalog where there is none beside blobs.
    pub async fn open_or_create(config: &Config, folder: DataFolder) -> anyhow::Result<Self> {
        let root = root::open(config, &folder)?;
        Self::open_with(config, folder, root).await
    }

    async fn open_with(config: &Config, folder: DataFolder, root: Arc<dyn RootKey>) -> anyhow::Result<Self> {
        let kms = open_kms(config, &folder, root.clone())?;
        let metadata_key = Arc::new(MetadataKey::new(kms.metadata_key(METADATA_PURPOSE)?));
        let storage = StorageConfig::Local {
            folder: folder.path.clone(),
            catalog_cache_len: config.catalog_cache_len,
            blobs: FsOptions { reserve_free: config.min_free_len, ..FsOptions::default() },
        };
        let storage = tokio::task::spawn_blocking(move || Storage::open(&storage)).await??;
        Ok(Self { storage, kms: Arc::new(kms), metadata_key, root, folder })
    }

    /// Flushes and closes.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { storage, kms, folder, .. } = self;
        storage.close().await.context("the catalog can't be flushed")?;
        let written = tokio::task::spawn_blocking({
            let kms = kms.clone();
            move || kms.write_last_uses()
        });
        written.await?.context("the last uses of keys can't be written")?;
        // Engines wait for the disk when they are dropped.
        tokio::task::spawn_blocking(move || drop((storage, kms))).await?;
        drop(folder);
        Ok(())
    }
}

/// An empty catalog would make orphans of all blobs.
fn refuse_lost_catalog(folder: &DataFolder) -> anyhow::Result<()> {
    let catalog = folder.path.join("catalog");
    if !catalog.is_dir() && folder.path.join("blobs").is_dir() {
        bail!(
            "the catalog {} is missing; put it back from a backup, or make a new one with `sealgate rebuild`",
            catalog.display()
        );
    }
    Ok(())
}

/// Opens the key store of a data folder.
pub fn open_kms(config: &Config, folder: &DataFolder, root: Arc<dyn RootKey>) -> anyhow::Result<Kms> {
    let mut kms_config = KmsConfig::new(folder.instance.region.clone(), folder.instance.account_id.clone());
    kms_config.managed_key_rotation_days = config.managed_key_rotation_days;
    if !config.accept_unknown_principals {
        // There are no users and roles yet: of this account only the root user exists, whom the KMS knows by itself.
        kms_config.directory = Directory::new(|_| false);
    }
    if let Some(path) = &config.audit_log {
        kms_config.audit = observe::open_audit(path)
            .with_context(|| format!("can't open the audit log {}", path.display()))?;
    }
    Ok(Kms::open(&folder.path.join("kms"), root, kms_config)?)
}

/// The account of this id. Its canonical user id is derived, so that it is the same at each start.
fn account(id: &str) -> Account {
    let canonical_id = hex::encode(Sha256::digest(format!("sealgate canonical user {id}")));
    Account { id: id.to_owned(), canonical_id, display_name: "root".to_owned() }
}
