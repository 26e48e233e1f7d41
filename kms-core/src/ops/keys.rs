//! The life of a key: DescribeKey, ListKeys, EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion,
//! UpdateKeyDescription.

use std::sync::Arc;

use crate::clock::DAY_MS;
use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::backing::BackingKey;
use crate::key::state::Needs;
use crate::key::{KeyManager, KeyState, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, Kms};

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next_marker: Option<String>,
}

impl Kms {
    /// `DescribeKey`; an alias of an AWS managed key makes it.
    pub fn describe_key(&self, caller: &Caller, key_id: &str) -> Result<Arc<Entry>, KmsError> {
        if let Some(service) = key_id.strip_prefix("alias/aws/")
            && service == "s3"
            && !caller.account().is_empty()
        {
            self.managed_key(service, caller.account())?;
        }
        let entry = self.resolve(caller, "kms:DescribeKey", key_id)?;
        let conditions: Vec<_> = super::request_alias(key_id).into_iter().collect();
        self.authorize_with(caller, "kms:DescribeKey", &entry, &EncryptionContext::new(), &conditions)?;
        Ok(entry)
    }

    /// `ListKeys` of the caller's account, in order of their ids: up to `limit` behind `marker`.
    pub fn list_keys(
        &self,
        caller: &Caller,
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<Page<Arc<Entry>>, KmsError> {
        self.authorize_account(caller, "kms:ListKeys")?;
        let limit = limit_of(limit, 100, 1000)?;
        let after = marker
            .map(|m| {
                KmsKeyId::parse(m)
                    .ok_or_else(|| KmsError::InvalidMarker("The marker is not valid.".to_owned()))
            })
            .transpose()?;
        let mut rows = self.keys_of(caller.account());
        rows.retain(|entry| after.is_none_or(|after| entry.key.id > after));
        rows.sort_unstable_by_key(|entry| entry.key.id);
        let next_marker = (rows.len() > limit).then(|| rows[limit - 1].key.id.to_string());
        rows.truncate(limit);
        Ok(Page { rows, next_marker })
    }

    /// `EnableKey`. A rotation that became due meanwhile happens now.
    pub fn enable_key(&self, caller: &Caller, key_id: &str) -> Result<(), KmsError> {
        let enabled = self.set_state(caller, "kms:EnableKey", key_id, Needs::Usable, KeyState::Enabled)?;
        self.rotate_if_due(enabled.key.id).map(drop)
    }

    /// `UpdateKeyDescription`.
    pub fn update_key_description(
        &self,
        caller: &Caller,
        key_id: &str,
        description: String,
    ) -> Result<(), KmsError> {
        check_description(&description)?;
        let _change = self.changing()?;
        let entry = self.changeable(caller, "kms:UpdateKeyDescription", key_id, Needs::NotPendingDeletion)?;
        let key = KmsKey { description, ..entry.key.clone() };
        self.put_key(&entry, key).map(drop)
    }

    /// `DisableKey`.
    pub fn disable_key(&self, caller: &Caller, key_id: &str) -> Result<(), KmsError> {
        self.set_state(caller, "kms:DisableKey", key_id, Needs::Usable, KeyState::Disabled).map(drop)
    }

    /// `ScheduleKeyDeletion` after 7 to 30 days; answers when, milliseconds since the Unix epoch.
    pub fn schedule_key_deletion(
        &self,
        caller: &Caller,
        key_id: &str,
        window_days: Option<u64>,
    ) -> Result<(Arc<Entry>, u64), KmsError> {
        let days = window_days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            return Err(KmsError::Validation(format!(
                "PendingWindowInDays must be between 7 and 30, not {days}."
            )));
        }
        let deletion_unix_ms = self.now_unix_ms() + days * DAY_MS;
        let conditions = [("kms:schedulekeydeletionpendingwindowindays", vec![days.to_string()])];
        let _change = self.changing()?;
        let action = "kms:ScheduleKeyDeletion";
        let entry = self.changeable_with(caller, action, key_id, Needs::NotPendingDeletion, &conditions)?;
        let key = KmsKey { state: KeyState::PendingDeletion { deletion_unix_ms }, ..entry.key.clone() };
        Ok((self.put_key(&entry, key)?, deletion_unix_ms))
    }

    /// `CancelKeyDeletion`: the key is disabled afterwards, or waits for the imported material that it lacks.
    pub fn cancel_key_deletion(&self, caller: &Caller, key_id: &str) -> Result<Arc<Entry>, KmsError> {
        let _change = self.changing()?;
        let entry = self.changeable(caller, "kms:CancelKeyDeletion", key_id, Needs::PendingDeletion)?;
        let is_whole = entry.key.current_material.is_some() && entry.backing.iter().all(|b| b.has_material());
        let state = if is_whole { KeyState::Disabled } else { KeyState::PendingImport };
        self.put_key(&entry, KmsKey { state, ..entry.key.clone() })
    }

    fn set_state(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        needs: Needs,
        state: KeyState,
    ) -> Result<Arc<Entry>, KmsError> {
        let _change = self.changing()?;
        let entry = self.changeable(caller, action, key_id, needs)?;
        self.put_key(&entry, KmsKey { state, ..entry.key.clone() })
    }

    /// Puts a key's record in the place of the former one; its policy and backing keys stay.
    pub(crate) fn put_key(&self, former: &Entry, key: KmsKey) -> Result<Arc<Entry>, KmsError> {
        self.put_key_and_backing(former, key, former.backing.clone())
    }

    /// Puts a key's record and its backing keys in the place of the former ones; its policy stays.
    pub(crate) fn put_key_and_backing(
        &self,
        former: &Entry,
        key: KmsKey,
        backing: Vec<Arc<BackingKey>>,
    ) -> Result<Arc<Entry>, KmsError> {
        let changed = Arc::new(Entry { backing, ..former.with_key(key) });
        self.put_entry(changed.clone(), None)?;
        Ok(changed)
    }

    /// A customer key that this caller may change so, in its present state.
    pub(crate) fn changeable(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        needs: Needs,
    ) -> Result<Arc<Entry>, KmsError> {
        self.changeable_with(caller, action, key_id, needs, &[])
    }

    /// As [`Kms::changeable`], with condition keys of the operation.
    pub(crate) fn changeable_with(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        needs: Needs,
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        self.changeable_that(caller, action, key_id, conditions, |entry| self.check_state(entry, needs))
    }

    /// As [`Kms::changeable_with`], of a key whose material comes from there; which is said before anything of its state.
    pub(crate) fn changeable_of(
        &self,
        origin: Origin,
        caller: &Caller,
        action: &str,
        key_id: &str,
        needs: Needs,
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        self.changeable_that(caller, action, key_id, conditions, |entry| match entry.key.origin == origin {
            true => self.check_state(entry, needs),
            false => Err(KmsError::UnsupportedOperation(format!(
                "{} origin is {} which is not valid for this operation.",
                self.arn(&entry.key),
                entry.key.origin.name()
            ))),
        })
    }

    fn changeable_that(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        conditions: &[(&str, Vec<String>)],
        fits: impl FnOnce(&Entry) -> Result<(), KmsError>,
    ) -> Result<Arc<Entry>, KmsError> {
        // Management takes ids and ARNs of keys, no aliases.
        let entry = self.resolve_key(caller, action, key_id)?;
        self.authorize_use(caller, action, &entry, (&EncryptionContext::new(), conditions), None, || {
            match entry.key.manager {
                KeyManager::Customer => fits(&entry),
                KeyManager::Aws => Err(KmsError::AccessDenied(format!(
                    "User: {} is not authorized to perform: {action} on resource: {} because AWS managed keys can't be changed by users",
                    caller.arn(),
                    self.arn(&entry.key)
                ))),
            }
        })?;
        Ok(entry)
    }
}

/// AWS's longest description, in characters.
const MAX_DESCRIPTION_LEN: usize = 8192;

pub(crate) fn check_description(description: &str) -> Result<(), KmsError> {
    match description.chars().count() <= MAX_DESCRIPTION_LEN {
        true => Ok(()),
        false => Err(KmsError::Validation(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 8192".to_owned(),
        )),
    }
}

/// A page's length: `default` where none is asked for, at most `max`.
pub(crate) fn limit_of(asked: Option<u64>, default: usize, max: u64) -> Result<usize, KmsError> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit as usize),
        Some(limit) => Err(KmsError::out_of_range("limit", limit, 1..=max)),
    }
}
