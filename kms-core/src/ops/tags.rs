//! TagResource, UntagResource, ListResourceTags.

use std::collections::BTreeMap;

use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::KmsKey;
use crate::key::state::Needs;
use crate::kms::{Caller, Kms};
use crate::ops::Page;
use crate::ops::keys::limit_of;

/// AWS's most tags of one key.
const MAX_TAGS: usize = 50;
const MAX_NAME_LEN: usize = 128;
const MAX_VALUE_LEN: usize = 256;

impl Kms {
    /// `TagResource`: sets these tags, and leaves others alone.
    pub fn tag_resource(
        &self,
        caller: &Caller,
        key_id: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), KmsError> {
        let conditions = tag_conditions(&tags);
        self.change_tags(caller, "kms:TagResource", key_id, &conditions, |all| all.extend(tags))
    }

    /// `UntagResource`.
    pub fn untag_resource(&self, caller: &Caller, key_id: &str, names: &[String]) -> Result<(), KmsError> {
        let conditions = [("aws:tagkeys".to_owned(), names.to_vec())];
        self.change_tags(caller, "kms:UntagResource", key_id, &conditions, |all| {
            all.retain(|name, _| !names.contains(name));
        })
    }

    /// `ListResourceTags`: names and values in order, up to `limit` behind `marker`.
    pub fn list_resource_tags(
        &self,
        caller: &Caller,
        key_id: &str,
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<Page<(String, String)>, KmsError> {
        let limit = limit_of(limit, 50, 50)?;
        let entry = self.resolve_key(caller, "kms:ListResourceTags", key_id)?;
        self.authorize(caller, "kms:ListResourceTags", &entry, &EncryptionContext::new())?;
        let behind = entry.key.tags.iter().filter(|(name, _)| marker.is_none_or(|m| name.as_str() > m));
        let mut rows: Vec<_> =
            behind.take(limit + 1).map(|(name, value)| (name.clone(), value.clone())).collect();
        let next_marker = (rows.len() > limit).then(|| rows[limit - 1].0.clone());
        rows.truncate(limit);
        Ok(Page { rows, next_marker })
    }

    fn change_tags(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        conditions: &[(String, Vec<String>)],
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<(), KmsError> {
        let conditions: Vec<(&str, Vec<String>)> =
            conditions.iter().map(|(name, values)| (name.as_str(), values.clone())).collect();
        let _change = self.changing()?;
        let entry = self.changeable_with(caller, action, key_id, Needs::NotPendingDeletion, &conditions)?;
        let mut tags = entry.key.tags.clone();
        change(&mut tags);
        check_tags(&tags)?;
        self.put_key(&entry, KmsKey { tags, ..entry.key.clone() }).map(drop)
    }
}

/// The condition keys of a request that sets tags.
pub(crate) fn tag_conditions(tags: &BTreeMap<String, String>) -> Vec<(String, Vec<String>)> {
    let of_tag = |(name, value): (&String, &String)| {
        (format!("aws:requesttag/{}", name.to_ascii_lowercase()), vec![value.clone()])
    };
    let names = ("aws:tagkeys".to_owned(), tags.keys().cloned().collect());
    std::iter::once(names).chain(tags.iter().map(of_tag)).collect()
}

/// Refuses what AWS does not take as tags.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), KmsError> {
    if tags.len() > MAX_TAGS {
        return Err(KmsError::Tag("Too many tags".to_owned()));
    }
    let fits = |text: &str, max: usize| text.chars().count() <= max;
    for (name, value) in tags {
        if name.is_empty() || !fits(name, MAX_NAME_LEN) || !fits(value, MAX_VALUE_LEN) {
            return Err(KmsError::Tag(format!(
                "The tag {name} is too long: a key has 1 to {MAX_NAME_LEN} characters, a value up to {MAX_VALUE_LEN}."
            )));
        }
        if name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(KmsError::Tag("Tags beginning with aws: are reserved".to_owned()));
        }
    }
    Ok(())
}
