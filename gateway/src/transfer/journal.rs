//! Trailers: the sealed records that blobs carry, so that the catalog can be made again from blobs and KMS; and changes of records that no
//! content goes with.

use std::sync::Arc;

use bytes::Bytes;
use storage::blob::{BlobError, BlobOwner, BlobRef, BlobStore, SizeHint};
use storage::catalog::{
    Authority, Bucket, Catalog, CatalogError, ObjectVersion, Precondition, Stamped, Trailer, VersionKind,
    Versioning,
};
use storage::kv::KvError;
use storage::name::{ObjectKey, Timestamp};

use crate::sealed_kv::MetadataKey;

/// What trailers are sealed as.
const TRAILER: &str = "trailer";

/// Why a trailer can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TrailerError {
    /// It does not open: tampered with, of another blob, or of another store.
    #[error(transparent)]
    Sealed(#[from] crate::sealed_kv::Unsealable),
    /// It opens and is no record.
    #[error(transparent)]
    Record(#[from] CatalogError),
}

/// Seals a trailer for the blob of its owner.
pub fn seal(metadata_key: &MetadataKey, trailer: &Trailer) -> Bytes {
    metadata_key.seal(TRAILER, &name(&trailer.owner()), &trailer.encode()).into()
}

/// Opens the trailer of a blob of this owner.
pub fn open(metadata_key: &MetadataKey, owner: &BlobOwner, sealed: &[u8]) -> Result<Stamped, TrailerError> {
    let plain = metadata_key.open(TRAILER, &name(owner), sealed)?;
    Ok(Trailer::decode(&plain)?)
}

/// Writes a journal: a blob of no content that carries a record which no content blob carries.
pub async fn write(
    blobs: &Arc<dyn BlobStore>,
    metadata_key: &MetadataKey,
    trailer: &Trailer,
) -> Result<BlobRef, BlobError> {
    let writer = blobs.create(trailer.owner(), SizeHint::Exact(0)).await?;
    writer.finish(seal(metadata_key, trailer)).await
}

/// Why a change of a record alone was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The catalog refuses it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its journal can't be written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Where records and their journals are written.
#[derive(Clone, Copy)]
pub struct Records<'a> {
    /// Records.
    pub catalog: &'a Catalog,
    /// Journals.
    pub blobs: &'a Arc<dyn BlobStore>,
    /// What seals them.
    pub metadata_key: &'a MetadataKey,
}

impl Records<'_> {
    /// Marks an object as deleted, in a bucket that keeps versions.
    pub async fn mark_deleted(
        self,
        bucket: &Bucket,
        object: &ObjectKey,
        precondition: &Precondition,
    ) -> Result<ObjectVersion, ChangeError> {
        let mut marker = ObjectVersion {
            version: self.catalog.next_version_id(bucket, object).await?,
            is_null: bucket.versioning != Versioning::Enabled,
            last_modified: Timestamp::now(),
            kind: VersionKind::DeleteMarker,
            renamed: false,
            journal: None,
        };
        let journal = self.journal(bucket, object, &marker).await?;
        marker.journal = journal;
        let committed = self.catalog.commit_version(bucket, object, &marker, precondition).await;
        self.settle(committed, journal).await?;
        Ok(marker)
    }

    /// Puts `next` in the place of `former`: a version's record, changed in place.
    pub async fn replace(
        self,
        bucket: &Bucket,
        object: &ObjectKey,
        former: &ObjectVersion,
        mut next: ObjectVersion,
        authority: Authority,
    ) -> Result<(), ChangeError> {
        let journal = self.journal(bucket, object, &next).await?;
        next.journal = journal;
        let replaced = self.catalog.replace_version(bucket, object, former, &next, authority).await;
        self.settle(replaced, journal).await
    }

    /// Gives the current version of an object another name, in a bucket without versions.
    pub async fn rename(
        self,
        bucket: &Bucket,
        (from, former): (&ObjectKey, &ObjectVersion),
        (to, mut named): (&ObjectKey, ObjectVersion),
        precondition: &Precondition,
    ) -> Result<(), ChangeError> {
        named.renamed = true;
        let journal = self.journal(bucket, to, &named).await?;
        named.journal = journal;
        let renamed = self.catalog.rename(bucket, (from, former), (to, &named), precondition).await;
        self.settle(renamed, journal).await
    }

    async fn journal(
        self,
        bucket: &Bucket,
        object: &ObjectKey,
        version: &ObjectVersion,
    ) -> Result<Option<BlobRef>, BlobError> {
        let trailer = Trailer::Object { bucket: bucket.id, object: object.clone(), version: version.clone() };
        self.write_journal(&trailer).await
    }

    /// Writes the journal that a record is to refer to. There is none where gateways share their records: those have a server that
    /// keeps copies of them, and are brought back by its means.
    pub async fn write_journal(self, trailer: &Trailer) -> Result<Option<BlobRef>, BlobError> {
        match self.catalog.is_shared() {
            true => Ok(None),
            false => write(self.blobs, self.metadata_key, trailer).await.map(Some),
        }
    }

    /// A journal whose record was not committed is nobody's; where that is not known, the sweep of orphans finds out.
    async fn settle(
        self,
        committed: Result<(), CatalogError>,
        journal: Option<BlobRef>,
    ) -> Result<(), ChangeError> {
        if let (Err(error), Some(journal)) = (&committed, journal)
            && !matches!(error, CatalogError::Kv(KvError::Unavailable(_)))
        {
            self.blobs.delete(&journal.id).await?;
        }
        Ok(committed?)
    }
}

/// What a trailer is bound to: the owner of its blob, so that it can't be moved to another.
fn name(owner: &BlobOwner) -> Vec<u8> {
    postcard::to_allocvec(owner).expect("an owner can always be encoded")
}
