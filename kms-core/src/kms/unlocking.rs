//! How the domain key of a store is unlocked by a root key.

use std::cell::RefCell;
use std::sync::Arc;

use super::OpenError;
use super::record::{DOMAIN_NAME, RECOVERY_NAME, WrappedDomain};
use crate::root::{RootError, RootKey};
use crate::store::{Entries, UnlockError, Unlocked};

/// There is no recovery kit.
pub(super) const NO_KIT: &str = "no recovery kit was ever made of it";
/// Nothing opens a store without it.
pub(super) const NO_DOMAIN: &str = "its domain key is missing or damaged";

/// The domain key as a store keeps it.
pub(super) fn wrapped_domain(entries: &Entries) -> Result<WrappedDomain, OpenError> {
    WrappedDomain::decode(entries.get(DOMAIN_NAME).ok_or(OpenError::Corrupt("the domain key is missing"))?)
}

/// Opens the domain key that lies under this name by this root key, which is asked once for each wrapping.
pub(super) fn unlock_by<'a>(
    root: &'a dyn RootKey,
    name: &'static [u8],
) -> impl Fn(&Entries) -> Result<Unlocked, UnlockError> + 'a {
    let opened: RefCell<Option<(Vec<u8>, Unlocked)>> = RefCell::default();
    move |entries| {
        let missing = || match name == RECOVERY_NAME {
            true => UnlockError::Root(RootError::Unavailable(NO_KIT.to_owned())),
            false => UnlockError::Damaged(NO_DOMAIN),
        };
        let value = entries.get(name).ok_or_else(missing)?;
        if let Some((wrapped, unlocked)) = &*opened.borrow()
            && wrapped == value
        {
            return Ok(unlocked.clone());
        }
        let wrapped = WrappedDomain::decode(value).map_err(|_| UnlockError::Damaged(NO_DOMAIN))?;
        let domain = wrapped.open(root).map_err(|error| match error {
            RootError::Tampered(_) => UnlockError::Damaged("its domain key does not open"),
            error => UnlockError::Root(error),
        })?;
        let unlocked = Unlocked { domain: Arc::new(domain), needs_digest: wrapped.needs_digest };
        *opened.borrow_mut() = Some((value.clone(), unlocked.clone()));
        Ok(unlocked)
    }
}
