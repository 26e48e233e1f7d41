//! From a configuration to engines: the only place where an engine is named.

use std::path::PathBuf;
use std::sync::Arc;

use crate::blob::fs::{FsBlobStore, FsOptions};
use crate::blob::memory::MemoryBlobStore;
use crate::blob::{BlobError, BlobStore};
use crate::digest::Digester;
use crate::kv::memory::MemoryKv;
use crate::kv::sled::{OpenKvError, SledConfig, SledKv};
use crate::kv::{KeyValue, KvError};
use crate::name::Timestamp;
use crate::session::SessionId;

/// How records on a local disk are opened.
#[derive(Clone)]
pub struct RecordOptions {
    /// The most that the engine's page cache takes, in bytes.
    pub cache_len: u64,
    /// Makes the digest over all records.
    pub digester: Arc<dyn Digester>,
    /// An operator takes the records as they are for the right ones, whatever their head says.
    pub accepts: bool,
}

/// Where records and blobs are.
#[derive(Clone)]
pub enum StorageConfig {
    /// On a local disk: records in `FOLDER/catalog` with their head beside it, blobs in `FOLDER/blobs`.
    Local {
        /// The data folder. The caller sees to it that one process has it open.
        folder: PathBuf,
        /// How records are opened.
        records: RecordOptions,
        /// How blobs lie.
        blobs: FsOptions,
    },
    /// In memory: for tests. Nothing outlives the process.
    Memory,
}

/// Open engines.
pub struct Storage {
    /// Records.
    pub kv: Arc<dyn KeyValue>,
    /// Blobs.
    pub blobs: Arc<dyn BlobStore>,
    local: Option<(Arc<SledKv>, Arc<FsBlobStore>)>,
    session: SessionId,
}

/// Why engines do not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The records' engine does not open.
    #[error(transparent)]
    Kv(#[from] OpenKvError),
    /// The blobs' engine does not open.
    #[error("the blob store in {folder} does not open")]
    Blobs {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: BlobError,
    },
}

impl Storage {
    /// Opens what the configuration names, made where it does not exist. Waits for the disk.
    pub fn open(config: &StorageConfig) -> Result<Self, OpenError> {
        let session = SessionId::random();
        match config {
            StorageConfig::Memory => Ok(Self {
                kv: Arc::new(MemoryKv::new()),
                blobs: Arc::new(MemoryBlobStore::new()),
                local: None,
                session,
            }),
            StorageConfig::Local { folder, records, blobs } => {
                let catalog = SledConfig {
                    digester: records.digester.clone(),
                    head: Some(folder.join("catalog")),
                    accepts: records.accepts,
                    ..SledConfig::new(folder.join("catalog"), records.cache_len)
                };
                let kv = Arc::new(SledKv::open(&catalog)?);
                let folder = folder.join("blobs");
                let blobs = FsBlobStore::open(&folder, FsOptions { session, ..*blobs });
                let blobs = Arc::new(blobs.map_err(|source| OpenError::Blobs { folder, source })?);
                Ok(Self { kv: kv.clone(), blobs: blobs.clone(), local: Some((kv, blobs)), session })
            }
        }
    }

    /// The session that blobs are made by from now on.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// When the last commit before this was made, if it is sure that the records have every one.
    pub fn former_end(&self) -> Option<Timestamp> {
        self.local.as_ref().and_then(|(kv, _)| kv.former_end())
    }

    /// The number of the last commit.
    pub fn commit_number(&self) -> u64 {
        self.local.as_ref().map_or(0, |(kv, _)| kv.commit_number())
    }

    /// The blob store on a local disk, whose space wants to be reclaimed.
    pub fn local_blobs(&self) -> Option<&Arc<FsBlobStore>> {
        self.local.as_ref().map(|(_, blobs)| blobs)
    }

    /// Writes what waits to be written; later writes fail as unavailable. Blobs go first, as they do in every write.
    pub async fn close(&self) -> Result<(), KvError> {
        if let Some((kv, blobs)) = &self.local {
            blobs.close().await;
            kv.close().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::blob::{BlobOwner, SizeHint};
    use crate::kv::{Transaction, Write};

    #[tokio::test]
    async fn what_was_stored_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = FsOptions { reserve_free: 0, ..FsOptions::default() };
        let records =
            RecordOptions { cache_len: 1 << 20, digester: Arc::new(crate::digest::Unkeyed), accepts: false };
        let config = StorageConfig::Local { folder: folder.path().join("data"), records, blobs };
        let name = Bytes::from_static(b"k");
        let storage = Storage::open(&config).expect("it opens");
        assert!(matches!(Storage::open(&config), Err(OpenError::Kv(OpenKvError::InUse(_)))));
        let owner = BlobOwner::Journal { subject: name.clone() };
        let writer = storage.blobs.create(owner, SizeHint::Exact(0)).await.expect("a writer");
        let blob = writer.finish("trailer".into()).await.expect("a blob");
        let writes = vec![Write::Put(name.clone(), "v".into())];
        storage.kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
        storage.close().await.expect("it closes");
        drop(storage);
        let storage = Storage::open(&config).expect("it opens again");
        assert_eq!(storage.blobs.read_trailer(&blob).await.expect("a trailer"), "trailer");
        let found = storage.kv.get(&[name]).await.expect("a read");
        assert_eq!(found[0].as_ref().expect("it is there").value, "v");
    }
}
