//! EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, ListKeyRotations, RotateKeyOnDemand, and the work that is due by
//! itself. A rotation adds a backing key and makes it the current one; every earlier one goes on to decrypt.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html>

use std::sync::Arc;

use crate::clock::DAY_MS;
use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::backing::{BackingKey, Made, MadeBy};
use crate::key::state::Needs;
use crate::key::{AutomaticRotation, KeyManager, KeySpec, KeyState, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, Kms, rerun};
use crate::ops::Page;
use crate::ops::keys::limit_of;
use crate::secret::Secret32;

/// AWS's most rotations on demand of one key.
const MAX_ON_DEMAND_ROTATIONS: u32 = 25;
/// Within this time of an automatic rotation there is none on demand.
const CONFLICT_MS: u64 = 20 * 60 * 1000;
const DEFAULT_PERIOD_DAYS: u64 = 365;

/// What GetKeyRotationStatus tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationStatus {
    /// The key.
    pub key_id: KmsKeyId,
    /// Automatic rotation, where it is on and not suspended.
    pub automatic: Option<AutomaticRotation>,
}

/// What [`Kms::run_scheduled_work`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScheduledWork {
    /// Keys rotated.
    pub rotated: usize,
    /// Imported materials that expired.
    pub expired: usize,
    /// Keys deleted for good.
    pub deleted: usize,
}

impl Kms {
    /// `EnableKeyRotation`, every 90 to 2560 days.
    pub fn enable_key_rotation(
        &self,
        caller: &Caller,
        key_id: &str,
        period_days: Option<u64>,
    ) -> Result<(), KmsError> {
        let days = period_days.unwrap_or(DEFAULT_PERIOD_DAYS);
        let period_days = u16::try_from(days)
            .ok()
            .filter(|days| (90..=2560).contains(days))
            .ok_or_else(|| KmsError::out_of_range("rotationPeriodInDays", days, 90..=2560))?;
        let conditions = [("kms:rotationperiodindays", vec![days.to_string()])];
        let _change = self.changing()?;
        let entry = self.changeable_of(
            Origin::AwsKms,
            caller,
            "kms:EnableKeyRotation",
            key_id,
            Needs::Enabled,
            &conditions,
        )?;
        self.check_rotatable(&entry)?;
        let rotation = match entry.key.rotation {
            Some(rotation) if rotation.period_days == period_days => rotation,
            _ => AutomaticRotation { period_days, next_unix_ms: self.now_unix_ms() + days * DAY_MS },
        };
        self.put_key(&entry, KmsKey { rotation: Some(rotation), ..entry.key.clone() }).map(drop)
    }

    /// `DisableKeyRotation`.
    pub fn disable_key_rotation(&self, caller: &Caller, key_id: &str) -> Result<(), KmsError> {
        let _change = self.changing()?;
        let entry = self.changeable_of(
            Origin::AwsKms,
            caller,
            "kms:DisableKeyRotation",
            key_id,
            Needs::Enabled,
            &[],
        )?;
        self.put_key(&entry, KmsKey { rotation: None, ..entry.key.clone() }).map(drop)
    }

    /// `GetKeyRotationStatus`.
    pub fn get_key_rotation_status(&self, caller: &Caller, key_id: &str) -> Result<RotationStatus, KmsError> {
        let entry = self.resolve_key(caller, "kms:GetKeyRotationStatus", key_id)?;
        self.authorize(caller, "kms:GetKeyRotationStatus", &entry, &EncryptionContext::new())?;
        let suspended = matches!(entry.key.state, KeyState::PendingDeletion { .. });
        let automatic = self.automatic_rotation(&entry).filter(|_| !suspended);
        Ok(RotationStatus { key_id: entry.key.id, automatic })
    }

    /// `ListKeyRotations`: backing keys, oldest first; with `all_material`, those too that no rotation made the current ones.
    pub fn list_key_rotations(
        &self,
        caller: &Caller,
        key_id: &str,
        all_material: bool,
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<(Arc<Entry>, Page<Arc<BackingKey>>), KmsError> {
        let limit = limit_of(limit, 100, 1000)?;
        let bad_marker = || KmsError::InvalidMarker("The marker is not valid.".to_owned());
        let start: usize = marker.map_or(Ok(0), |m| m.parse().map_err(|_| bad_marker()))?;
        let entry = self.resolve_key(caller, "kms:ListKeyRotations", key_id)?;
        self.authorize(caller, "kms:ListKeyRotations", &entry, &EncryptionContext::new())?;
        let listed = entry.backing.iter().filter(|backing| {
            all_material || matches!(backing.made.by, MadeBy::Automatic | MadeBy::OnDemand)
        });
        let mut rows: Vec<_> = listed.skip(start).take(limit + 1).cloned().collect();
        let next_marker = (rows.len() > limit).then(|| (start + limit).to_string());
        rows.truncate(limit);
        Ok((entry, Page { rows, next_marker }))
    }

    /// `RotateKeyOnDemand`. Imported material is rotated to what was imported for it.
    pub fn rotate_key_on_demand(&self, caller: &Caller, key_id: &str) -> Result<Arc<Entry>, KmsError> {
        let _change = self.changing()?;
        let entry = self.changeable(caller, "kms:RotateKeyOnDemand", key_id, Needs::Enabled)?;
        self.check_rotatable(&entry)?;
        if entry.key.on_demand_rotations >= MAX_ON_DEMAND_ROTATIONS {
            return Err(KmsError::LimitExceeded(format!(
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: {}",
                self.arn(&entry.key)
            )));
        }
        if entry.key.rotation.is_some_and(|r| r.next_unix_ms <= self.now_unix_ms() + CONFLICT_MS) {
            return Err(KmsError::Conflict(format!(
                "An automatic rotation of {} is in progress or due within 20 minutes.",
                self.arn(&entry.key)
            )));
        }
        let key = KmsKey { on_demand_rotations: entry.key.on_demand_rotations + 1, ..entry.key.clone() };
        match entry.key.origin {
            Origin::AwsKms => self.rotate(&entry, key, MadeBy::OnDemand),
            Origin::External => self.rotate_to_pending(&entry, key),
        }
    }

    /// Does what is due: rotations, the expiry of imported material, the deletion of keys whose waiting period is over; and
    /// writes the last uses of keys. To be called now and then.
    pub fn run_scheduled_work(&self) -> Result<ScheduledWork, KmsError> {
        let mut done = ScheduledWork::default();
        for id in self.key_ids() {
            done.rotated += usize::from(rerun(|| self.rotate_if_due(id))?);
            done.expired += rerun(|| self.expire_material(id))?;
            done.deleted += usize::from(rerun(|| self.delete_if_due(id))?);
        }
        self.write_last_uses()?;
        Ok(done)
    }

    /// Rotates an enabled key whose automatic rotation is due; once, however long it is overdue.
    pub(crate) fn rotate_if_due(&self, id: KmsKeyId) -> Result<bool, KmsError> {
        let now = self.now_unix_ms();
        let is_due = |entry: &Entry| {
            entry.key.state == KeyState::Enabled
                && self.automatic_rotation(entry).is_some_and(|rotation| rotation.next_unix_ms <= now)
        };
        if !self.entry(id).is_some_and(|entry| is_due(&entry)) {
            return Ok(false);
        }
        let _change = self.changing()?;
        let Some(entry) = self.entry(id).filter(|entry| is_due(entry)) else { return Ok(false) };
        let rotation = entry.key.rotation.map(|rotation| AutomaticRotation {
            next_unix_ms: now + u64::from(rotation.period_days) * DAY_MS,
            ..rotation
        });
        self.rotate(&entry, KmsKey { rotation, ..entry.key.clone() }, MadeBy::Automatic)?;
        Ok(true)
    }

    /// A customer key's own setting; that of the service for the keys of services.
    fn automatic_rotation(&self, entry: &Entry) -> Option<AutomaticRotation> {
        match entry.key.manager {
            KeyManager::Customer => entry.key.rotation,
            KeyManager::Aws => {
                let period_days = self.config.managed_key_rotation_days;
                let last = entry.backing.last().map_or(entry.key.created_unix_ms, |b| b.made.at_unix_ms);
                Some(AutomaticRotation { period_days, next_unix_ms: last + u64::from(period_days) * DAY_MS })
            }
        }
    }

    /// Is it a symmetric key? Others are not rotated.
    fn check_rotatable(&self, entry: &Entry) -> Result<(), KmsError> {
        match entry.key.spec {
            KeySpec::SymmetricDefault => Ok(()),
            // AWS says nothing more.
            _ => Err(KmsError::UnsupportedOperation(String::new())),
        }
    }

    fn rotate(&self, entry: &Entry, key: KmsKey, by: MadeBy) -> Result<Arc<Entry>, KmsError> {
        let made = Made { by, at_unix_ms: self.now_unix_ms(), ..Made::default() };
        let fresh = Arc::new(BackingKey::new(key.id, Secret32::random(), made));
        let key = KmsKey { current_material: Some(fresh.id), ..key };
        self.put_key_and_backing(entry, key, entry.backing.iter().cloned().chain([fresh]).collect())
    }

    /// Deletes a key whose waiting period is over.
    fn delete_if_due(&self, id: KmsKeyId) -> Result<bool, KmsError> {
        let now = self.now_unix_ms();
        let is_due = |entry: &Entry| matches!(entry.key.state, KeyState::PendingDeletion { deletion_unix_ms } if deletion_unix_ms <= now);
        if !self.entry(id).is_some_and(|entry| is_due(&entry)) {
            return Ok(false);
        }
        let _change = self.changing()?;
        let Some(entry) = self.entry(id).filter(|entry| is_due(entry)) else { return Ok(false) };
        self.forget_entry(&entry)?;
        Ok(true)
    }
}
