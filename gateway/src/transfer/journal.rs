//! Trailers: the sealed records that blobs carry, so that the catalog can be made again from blobs and KMS.

use std::sync::Arc;

use bytes::Bytes;
use storage::blob::{BlobError, BlobOwner, BlobRef, BlobStore, SizeHint};
use storage::catalog::{CatalogError, Stamped, Trailer};

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

/// What a trailer is bound to: the owner of its blob, so that it can't be moved to another.
fn name(owner: &BlobOwner) -> Vec<u8> {
    postcard::to_allocvec(owner).expect("an owner can always be encoded")
}
