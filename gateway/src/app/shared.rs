//! The stores of a gateway whose records and keys are in a server. What does not fit is refused before anything is touched.

use std::sync::Arc;

use kms_core::kms::Kms;
use storage::blob::fs::FsOptions;
use storage::blob::{BlobError, BlobStore};
use storage::kv::KeyValue;
use storage::kv::postgres::PostgresKv;
use storage::open::{BlobPlace, MakeBlobs, RecordPlace, Storage, StorageConfig};
use storage::session::BlobIds;

use super::{Stores, kms_config, metadata};
use crate::blobs::{self, Blobs};
use crate::cluster::{BlobKind, Cluster, FORMAT, check_store};
use crate::config::{Config, MetadataConfig};
use crate::iam;
use crate::instance::{DataFolder, IfAbsent};
use crate::kv_key_store::KvKeyStore;
use crate::metadata_server;
use crate::root;
use crate::sse;

impl Stores {
    /// Opens the stores of a gateway whose records are in this server. `folder`: where its lock and its socket are.
    pub(super) async fn open_shared(
        config: &Config,
        metadata_config: &MetadataConfig,
        folder: DataFolder,
    ) -> anyhow::Result<Self> {
        Self::open_moving(config, metadata_config, folder, false).await
    }

    /// As [`Stores::open_shared`]; `keeps_blobs`: the object store is that of the gateway whose records are moved here.
    pub(super) async fn open_moving(
        config: &Config,
        metadata_config: &MetadataConfig,
        mut folder: DataFolder,
        keeps_blobs: bool,
    ) -> anyhow::Result<Self> {
        let objects = config.places.blobs.as_ref().map(blobs::open).transpose()?;
        let kind = if objects.is_some() { BlobKind::Object } else { BlobKind::Local };
        let kv: Arc<dyn KeyValue> =
            Arc::new(PostgresKv::open(metadata_server::records(metadata_config)?).await?);
        let found = Cluster::read(&*kv).await?;
        let keys = Arc::new(KvKeyStore::open(metadata_server::keys(metadata_config)?).await?);
        let root = root::open_shared(config, &folder.path, &keys).await?;
        let cluster = match found {
            Some(cluster) => cluster,
            None => {
                let id = match kind {
                    BlobKind::Local => folder.id_of_blobs()?,
                    BlobKind::Object => crate::instance::random_id(),
                };
                let made = Cluster {
                    id,
                    account_id: config.account_id.clone().unwrap_or_else(iam::account_id),
                    region: config.region.clone(),
                    root_id: root.id().to_owned(),
                    blobs: kind,
                    format_min: FORMAT,
                    format_max: FORMAT,
                    moving: false,
                };
                made.make(&*kv).await?
            }
        };
        let is_move = folder.opened_as == IfAbsent::Move;
        anyhow::ensure!(is_move || !cluster.moving, crate::cluster::ClusterError::HalfMoved);
        cluster.check(root.id(), config.account_id.as_deref(), kind)?;
        folder.belong_to(&cluster.id, &cluster.account_id, &cluster.region);
        let has_keys = Cluster::has_keys(&*kv).await?;
        match &objects {
            Some(objects) => {
                // Blobs that stay where they are while records move are there before their keys are.
                let is_made = has_keys || keeps_blobs;
                if let Err(error) = check_store(objects, &cluster.id, is_made).await {
                    // Another first start may have come as far as to write blobs meanwhile.
                    anyhow::ensure!(!is_made && Cluster::has_keys(&*kv).await?, error);
                    check_store(objects, &cluster.id, true).await?;
                }
                blobs::require(objects).await?;
                blobs::claim(objects, &cluster.id).await?;
            }
            None => folder.check_blobs()?,
        }
        // Keys that are gone must not be made anew: nothing would ever be read again.
        let are_there = keys.now().await?.is_some();
        anyhow::ensure!(are_there || !has_keys, crate::cluster::ClusterError::OtherKeys);
        let kms = Kms::over_shared(keys.clone(), &*root, kms_config(config, &folder)?)?;
        sse::prepare(&kms)?;
        let (metadata_key, digester) = metadata(&kms)?;
        cluster.check_key(&*kv, &metadata_key).await?;
        let blobs = match objects.clone() {
            Some(objects) => BlobPlace::Made(Arc::new(Objects(objects))),
            None => BlobPlace::Local {
                folder: folder.path.clone(),
                options: FsOptions { reserve_free: config.min_free_len, ..FsOptions::default() },
            },
        };
        let storage = Storage::open(&StorageConfig { records: RecordPlace::Open(kv), blobs }).await?;
        Ok(Self {
            storage,
            kms: Arc::new(kms),
            objects,
            shared_keys: Some(keys),
            metadata_key,
            digester,
            root,
            folder,
        })
    }
}

/// Makes a session's blob store over an object store.
pub(super) struct Objects(pub(super) Blobs);

impl MakeBlobs for Objects {
    fn make(&self, ids: BlobIds) -> Result<Arc<dyn BlobStore>, BlobError> {
        Ok(Arc::new(self.0.store_of(ids)))
    }
}
