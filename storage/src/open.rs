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
use crate::session::{BlobIds, SessionId};

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

/// Where records are.
#[derive(Clone)]
pub enum RecordPlace {
    /// On a local disk: in `FOLDER/catalog`, with their head beside them.
    Local {
        /// The data folder. The caller sees to it that one process has it open.
        folder: PathBuf,
        /// How records are opened.
        options: RecordOptions,
    },
    /// In an engine that is open already: one that several gateways share.
    Open(Arc<dyn KeyValue>),
    /// In memory: for tests. Nothing outlives the process.
    Memory,
}

/// Where blobs are.
#[derive(Clone)]
pub enum BlobPlace {
    /// On a local disk: in `FOLDER/blobs`.
    Local {
        /// The data folder. The caller sees to it that one process has it open.
        folder: PathBuf,
        /// How blobs lie.
        options: FsOptions,
    },
    /// In a store that the caller makes, for the session that is to write there.
    Made(Arc<dyn MakeBlobs>),
    /// In memory: for tests. Nothing outlives the process.
    Memory,
}

/// Makes a blob store.
pub trait MakeBlobs: Send + Sync {
    /// One whose new blobs get these ids.
    ///
    /// # Errors
    /// When it can't be made.
    fn make(&self, ids: BlobIds) -> Result<Arc<dyn BlobStore>, BlobError>;
}

/// Where records and blobs are.
#[derive(Clone)]
pub struct StorageConfig {
    /// Records.
    pub records: RecordPlace,
    /// Blobs.
    pub blobs: BlobPlace,
}

/// Open engines.
pub struct Storage {
    /// Records.
    pub kv: Arc<dyn KeyValue>,
    /// Blobs.
    pub blobs: Arc<dyn BlobStore>,
    local_records: Option<Arc<SledKv>>,
    local_blobs: Option<Arc<FsBlobStore>>,
    ids: BlobIds,
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
    /// The blob store that the caller makes can't be made.
    #[error("the blob store can't be used")]
    Made(#[source] BlobError),
    /// The thread that opened it has ended.
    #[error("the opening of the engines was cut off")]
    CutOff,
}

/// Runs what waits for the disk.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| OpenError::CutOff)?
}

/// Opens records, and the engine itself where it is a local one.
async fn open_records(place: &RecordPlace) -> Result<(Arc<dyn KeyValue>, Option<Arc<SledKv>>), OpenError> {
    match place {
        RecordPlace::Memory => Ok((Arc::new(MemoryKv::new()), None)),
        RecordPlace::Open(kv) => Ok((kv.clone(), None)),
        RecordPlace::Local { folder, options } => {
            let folder = folder.join("catalog");
            let config = SledConfig {
                digester: options.digester.clone(),
                head: Some(folder.clone()),
                accepts: options.accepts,
                ..SledConfig::new(folder, options.cache_len)
            };
            let kv = waiting(move || Ok(Arc::new(SledKv::open(&config)?))).await?;
            Ok((kv.clone(), Some(kv)))
        }
    }
}

impl Storage {
    /// Opens what the configuration names, made where it does not exist.
    ///
    /// # Errors
    /// When an engine does not open.
    pub async fn open(config: &StorageConfig) -> Result<Self, OpenError> {
        let (kv, local_records) = open_records(&config.records).await?;
        let ids = BlobIds::new(SessionId::random());
        let (blobs, local_blobs): (Arc<dyn BlobStore>, _) = match &config.blobs {
            BlobPlace::Memory => (Arc::new(MemoryBlobStore::new()), None),
            BlobPlace::Made(maker) => (maker.make(ids.clone()).map_err(OpenError::Made)?, None),
            BlobPlace::Local { folder, options } => {
                let (folder, options) =
                    (folder.join("blobs"), FsOptions { session: ids.session(), ..*options });
                let blobs = waiting(move || {
                    let blobs = FsBlobStore::open(&folder, options);
                    Ok(Arc::new(blobs.map_err(|source| OpenError::Blobs { folder, source })?))
                })
                .await?;
                (blobs.clone(), Some(blobs))
            }
        };
        Ok(Self { kv, blobs, local_records, local_blobs, ids })
    }

    /// The session that blobs are made by from now on.
    pub fn session(&self) -> SessionId {
        self.ids.session()
    }

    /// The ids of new blobs, where the store takes them from here ([`BlobPlace::Made`]).
    pub fn ids(&self) -> &BlobIds {
        &self.ids
    }

    /// When the last commit before this was made, if it is sure that the records have every one.
    pub fn former_end(&self) -> Option<Timestamp> {
        self.local_records.as_ref().and_then(|kv| kv.former_end())
    }

    /// The number of the last commit.
    pub fn commit_number(&self) -> u64 {
        self.local_records.as_ref().map_or(0, |kv| kv.commit_number())
    }

    /// The blob store, if it is on a local disk, whose space wants to be reclaimed.
    pub fn local_blobs(&self) -> Option<&Arc<FsBlobStore>> {
        self.local_blobs.as_ref()
    }

    /// Writes what waits to be written; later writes fail as unavailable. Blobs go first, as they do in every write.
    pub async fn close(&self) -> Result<(), KvError> {
        if let Some(blobs) = &self.local_blobs {
            blobs.close().await;
        }
        if let Some(kv) = &self.local_records {
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
        let data = folder.path().join("data");
        let config = StorageConfig {
            records: RecordPlace::Local { folder: data.clone(), options: records },
            blobs: BlobPlace::Local { folder: data, options: blobs },
        };
        let name = Bytes::from_static(b"k");
        let storage = Storage::open(&config).await.expect("it opens");
        assert!(matches!(Storage::open(&config).await, Err(OpenError::Kv(OpenKvError::InUse(_)))));
        let owner = BlobOwner::Journal { subject: name.clone() };
        let writer = storage.blobs.create(owner, SizeHint::Exact(0)).await.expect("a writer");
        let blob = writer.finish("trailer".into()).await.expect("a blob");
        let writes = vec![Write::Put(name.clone(), "v".into())];
        storage.kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
        storage.close().await.expect("it closes");
        drop(storage);
        let storage = Storage::open(&config).await.expect("it opens again");
        assert_eq!(storage.blobs.read_trailer(&blob).await.expect("a trailer"), "trailer");
        let found = storage.kv.get(&[name]).await.expect("a read");
        assert_eq!(found[0].as_ref().expect("it is there").value, "v");
    }
}
