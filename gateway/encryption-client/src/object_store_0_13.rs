//! [`EncryptedStore`] over version 0.13 of the crate object_store, for what takes no newer one.

/// The crate, and what of it is not the same in all of its versions.
mod api {
    pub(super) use ::object_store_0_13::*;

    /// What later versions hand on besides.
    pub(super) struct Extra;

    pub(super) fn take_extra(_: &mut GetResult) -> Extra {
        Extra
    }

    pub(super) fn result(
        payload: GetResultPayload,
        meta: ObjectMeta,
        range: std::ops::Range<u64>,
        attributes: Attributes,
        Extra: Extra,
    ) -> GetResult {
        GetResult { payload, meta, range, attributes }
    }
}

#[path = "object_store/store/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same over each version")]
mod store;

pub use self::store::{EncryptedStore, Ranges, StoredEnvelope, read_envelope};
