//! When access keys were last used: notes beside the shelf of identities, so that a use changes no identity, and gateways that note
//! uses do not meet. Of two notes of one access key the later is kept.

use bytes::Bytes;
use storage::catalog::DocumentChange;

use super::error::IamError;
use super::model::{AccessKeyRecord, Use};
use super::record;
use super::store::Iam;

/// The shelf of the notes. A note's name: account, `/`, access key id.
pub(super) const SHELF: &str = "iam.uses";

fn name(account: &str, id: &str) -> String {
    format!("{account}/{id}")
}

/// The notes of the access keys that these changes take away.
pub(super) fn of_ended(changes: &[DocumentChange]) -> Vec<String> {
    let ended = changes.iter().filter(|(_, value)| value.is_none());
    ended.filter_map(|(name, _)| Some(name.strip_prefix("key/")?.to_owned())).collect()
}

fn is_later(new: &Bytes, former: &Bytes) -> bool {
    let at = |value: &[u8]| record::decode::<Use>("a last use", value).map_or(0, |used| used.unix_ms);
    at(new) > at(former)
}

impl Iam {
    /// Writes what is new of the last uses of access keys, and takes over what other gateways wrote.
    pub async fn write_last_uses(&self) -> Result<(), IamError> {
        let state = self.state();
        // The settings' own access key is no document, so it has none of its use either.
        let kept = state.access_keys.values().filter(|access_key| access_key.secret.is_none());
        let taken: Vec<_> =
            kept.filter_map(|access_key| Some((access_key, access_key.last_used.take_new()?))).collect();
        if !taken.is_empty() {
            let notes = taken.iter().map(|(access_key, used)| {
                let AccessKeyRecord { account, id, .. } = &access_key.record;
                (name(account, id), Some(record::encode(used)))
            });
            if let Err(error) = self.catalog.put_notes(SHELF, notes.collect(), is_later).await {
                taken.iter().for_each(|(access_key, _)| access_key.last_used.give_back());
                return Err(IamError::Unavailable(error));
            }
        }
        if self.shared {
            let notes = self.catalog.notes(SHELF).await.map_err(IamError::Unavailable)?;
            notes.iter().for_each(|(name, value)| record::learn(&state.access_keys, name, value));
        }
        Ok(())
    }

    /// Takes away the notes of access keys that are gone. Where that fails they harm nothing.
    pub(super) async fn forget_uses(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let notes = names.into_iter().map(|name| (name, None)).collect();
        if let Err(error) = self.catalog.put_notes(SHELF, notes, is_later).await {
            tracing::debug!(%error, "the last uses of access keys that are gone are still kept");
        }
    }
}
