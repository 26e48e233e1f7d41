//! [`EncryptedStore`]: any store of the crate object_store (0.14), with sealed objects in it.

/// The crate, and what of it is not the same in all of its versions.
mod api {
    pub(super) use ::object_store::*;

    pub(super) type Extra = Extensions;

    pub(super) fn take_extra(result: &mut GetResult) -> Extra {
        std::mem::take(&mut result.extensions)
    }

    pub(super) fn result(
        payload: GetResultPayload,
        meta: ObjectMeta,
        range: std::ops::Range<u64>,
        attributes: Attributes,
        extra: Extra,
    ) -> GetResult {
        GetResult { payload, meta, range, attributes, extensions: extra }
    }
}

mod store;

pub use self::store::{EncryptedStore, Ranges, StoredEnvelope, read_envelope};
