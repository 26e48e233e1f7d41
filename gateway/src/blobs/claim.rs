//! Whose blobs lie in a store: an object `PREFIX/id` says so, so that nobody's blobs are taken for orphans of somebody else.

use std::time::Duration;

use object_store::{Error, ObjectStoreExt, PutMode, PutOptions};

use super::Blobs;

/// How long the store may take to say whose it is.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest id, in bytes.
const MAX_LEN: u64 = 256;

/// Why a store is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It has the blobs of somebody else.
    #[error(
        "the blobs in {place} belong to another store ({found}, not {expected}): give another prefix, or the right records"
    )]
    Foreign {
        /// The store.
        place: String,
        /// Whose they are.
        found: String,
        /// Whose they should be.
        expected: String,
    },
    /// It does not answer.
    #[error("the blob store in {place} does not answer")]
    Unavailable {
        /// The store.
        place: String,
        /// Why.
        source: Error,
    },
    /// It does not answer in time.
    #[error("the blob store in {0} does not answer within 30 s")]
    Late(String),
}

/// Says that the store's blobs are those of the records of this id; the first to say so is right.
///
/// # Errors
/// When they are somebody else's, or the store does not answer.
pub async fn claim(blobs: &Blobs, id: &str) -> Result<(), ClaimError> {
    let place = blobs.url.to_string();
    match tokio::time::timeout(DEADLINE, claimed_by(blobs, id)).await {
        Err(_) => Err(ClaimError::Late(place)),
        Ok(Err(source)) => Err(ClaimError::Unavailable { place, source }),
        Ok(Ok(found)) if found == id => Ok(()),
        Ok(Ok(found)) => Err(ClaimError::Foreign { place, found, expected: id.to_owned() }),
    }
}

async fn claimed_by(blobs: &Blobs, id: &str) -> Result<String, Error> {
    let name = blobs.prefix.clone().join("id");
    let options = PutOptions::from(PutMode::Create);
    match blobs.store.put_opts(&name, id.to_owned().into(), options).await {
        Ok(_) => return Ok(id.to_owned()),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
        Err(error) => {
            // Its answer may have been lost.
            return blobs
                .store
                .get_range(&name, 0..MAX_LEN)
                .await
                .map_or(Err(error), |found| Ok(text(&found)));
        }
    }
    Ok(text(&blobs.store.get_range(&name, 0..MAX_LEN).await?))
}

fn text(found: &[u8]) -> String {
    String::from_utf8_lossy(found).trim().to_owned()
}
