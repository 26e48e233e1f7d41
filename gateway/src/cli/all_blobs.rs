//! Every blob there is, on a local disk or in an object store, for whoever judges or rebuilds.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use storage::blob::fs::{Depth, Finding, FsBlobStore, Quarantined, Surveyed};
use storage::blob::object::ObjectBlobStore;
use storage::blob::{BlobError, BlobRef, BlobStore, Why};
use storage::name::BlobId;
use storage::session::BlobIds;

use crate::app::App;
use crate::blobs;
use crate::config::Config;

/// See the module.
pub(super) enum AllBlobs {
    /// On a local disk.
    Local(Arc<FsBlobStore>),
    /// In an object store.
    Elsewhere(ObjectBlobStore),
}

impl AllBlobs {
    /// Those of a gateway that is open.
    pub(super) fn of(config: &Config, app: &App) -> anyhow::Result<Self> {
        if let Some(local) = app.stores.storage.local_blobs() {
            return Ok(Self::Local(local.clone()));
        }
        let place =
            config.places.blobs.as_ref().context("blobs are on a local disk, or the setting says where")?;
        // Nothing is written through it.
        let ids = BlobIds::new(app.stores.storage.session());
        Ok(Self::Elsewhere(blobs::open(place)?.store_of(ids)))
    }

    /// As [`FsBlobStore::survey`]. What lies in an object store and is no blob is left out.
    pub(super) async fn survey(
        &self,
        after: Option<BlobId>,
        limit: usize,
        depth: Depth,
    ) -> Result<Vec<Surveyed>, BlobError> {
        let store = match self {
            Self::Local(blobs) => return blobs.survey(after, limit, depth).await,
            Self::Elsewhere(blobs) => blobs,
        };
        let mut rows = Vec::new();
        for info in store.list(after, limit).await? {
            let is_damaged = match depth {
                Depth::Rows => false,
                Depth::Content | Depth::Paced { .. } => match store.verify(&info.blob).await {
                    Ok(()) => false,
                    Err(BlobError::Corrupt(..)) => true,
                    Err(BlobError::NotFound(_)) => continue,
                    Err(error) => return Err(error),
                },
            };
            rows.push(if is_damaged { Surveyed::DamagedContent(info) } else { Surveyed::Sound(info) });
        }
        Ok(rows)
    }

    /// Compares every byte of a blob with the checksums it was stored with; it takes no key.
    pub(super) async fn verify(&self, blob: &BlobRef) -> Result<(), BlobError> {
        match self {
            Self::Local(blobs) => blobs.verify(blob).await,
            Self::Elsewhere(blobs) => blobs.verify(blob).await,
        }
    }

    /// The blob's trailer.
    pub(super) async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        match self {
            Self::Local(blobs) => blobs.read_trailer(blob).await,
            Self::Elsewhere(blobs) => blobs.read_trailer(blob).await,
        }
    }

    /// What was not as it should be when a local store was opened.
    pub(super) fn findings(&self) -> &[Finding] {
        match self {
            Self::Local(blobs) => blobs.findings(),
            Self::Elsewhere(_) => &[],
        }
    }

    /// Files in a local store that it did not put there, at most `limit` of them. A bucket may have other things in it.
    pub(super) async fn foreign_files(&self, limit: usize) -> Result<Vec<PathBuf>, BlobError> {
        match self {
            Self::Local(blobs) => blobs.foreign_files(limit).await,
            Self::Elsewhere(_) => Ok(Vec::new()),
        }
    }

    /// The blobs in quarantine.
    pub(super) async fn quarantined(&self) -> Result<Vec<Quarantined>, BlobError> {
        match self {
            Self::Local(blobs) => blobs.quarantined().await,
            Self::Elsewhere(blobs) => blobs.quarantined().await,
        }
    }

    /// Puts back what is in quarantine for one of these reasons; answers how many blobs.
    pub(super) async fn release_quarantine(&self, whys: &[Why]) -> Result<u64, BlobError> {
        match self {
            Self::Local(blobs) => blobs.release_quarantine(whys).await,
            Self::Elsewhere(blobs) => blobs.release_quarantine(whys).await,
        }
    }
}
