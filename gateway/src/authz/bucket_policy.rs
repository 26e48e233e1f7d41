//! Bucket policies as they are judged: read once for as long as they are not changed.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kms_core::policy::{Document, Effect};
use parking_lot::RwLock;
use storage::catalog::Bucket;
use storage::name::BucketId;

use super::public::is_public;
use crate::bucket::{CorruptSetting, Policy, Setting};
use crate::iam;

/// The most policies that are kept.
const MAX_LEN: usize = 1024;

/// A bucket's policy, read.
pub(super) struct BucketPolicy {
    pub(super) document: Document,
    /// Its denials alone.
    pub(super) denials: Document,
    pub(super) is_public: bool,
    /// The condition keys that it asks for, in lower case.
    asked: Vec<String>,
}

impl BucketPolicy {
    /// Does it ask for a condition key whose name, in lower case, begins so?
    pub(super) fn asks_for(&self, beginning: &str) -> bool {
        self.asked.iter().any(|key| key.starts_with(beginning))
    }
}

/// Policies by bucket, each with the stored bytes that it was read from.
#[derive(Default)]
pub(super) struct BucketPolicies(RwLock<HashMap<BucketId, (Bytes, Arc<BucketPolicy>)>>);

impl BucketPolicies {
    /// The policy of a bucket, if it has one.
    pub(super) fn of(&self, bucket: &Bucket) -> Result<Option<Arc<BucketPolicy>>, CorruptSetting> {
        let Some(stored) = bucket.configs.get(Policy::NAME) else { return Ok(None) };
        if let Some((of, policy)) = self.0.read().get(&bucket.id)
            && of == stored
        {
            return Ok(Some(policy.clone()));
        }
        let Some(policy) = Policy::of(bucket)? else { return Ok(None) };
        let document = Document::parse_resource(&policy.text);
        let mut document = document.map_err(|_| CorruptSetting(Policy::NAME))?;
        let is_public = is_public(&document);
        iam::apply(&mut document, &policy.bindings);
        let asked = document.context_keys().iter().map(|key| key.to_ascii_lowercase()).collect();
        let mut denials = document.clone();
        denials.statements.retain(|statement| statement.effect == Effect::Deny);
        let policy = Arc::new(BucketPolicy { document, denials, is_public, asked });
        let mut all = self.0.write();
        if all.len() >= MAX_LEN {
            all.clear();
        }
        all.insert(bucket.id, (stored.clone(), policy.clone()));
        Ok(Some(policy))
    }
}
