//! Which principals there are: whom a key policy may name.

use std::fmt;
use std::sync::Arc;

/// Knows the users and roles of the account that owns the keys; by default it takes every one for existing.
#[derive(Clone, Default)]
pub struct Directory(Option<Arc<Exists>>);

type Exists = dyn Fn(&str) -> bool + Send + Sync;

impl Directory {
    /// One that asks this function, by ARN.
    pub fn new(exists: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(exists)))
    }

    /// Is there this principal? Accounts are taken for existing, and so is everybody of another account: only that one knows.
    pub(crate) fn has(&self, name: &str, account: &str) -> bool {
        let Some(exists) = &self.0 else { return true };
        let mut fields = name.splitn(6, ':').skip(4);
        match (fields.next(), fields.next()) {
            (Some(owner), Some(resource)) => owner != account || resource == "root" || exists(name),
            // An account's number, or a unique id.
            _ => name.bytes().all(|byte| byte.is_ascii_digit()) || exists(name),
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}
