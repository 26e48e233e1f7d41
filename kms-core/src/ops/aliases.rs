//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use crate::error::KmsError;
use crate::key::KmsKeyId;
use crate::key::state::Needs;
use crate::kms::{Caller, Kms};
use crate::ops::Page;
use crate::ops::keys::limit_of;

/// A row of ListAliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// `alias/name`.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The key that it points to.
    pub target: KmsKeyId,
}

impl Kms {
    /// `CreateAlias`.
    pub fn create_alias(&self, caller: &Caller, name: &str, key_id: &str) -> Result<(), KmsError> {
        check_name(name)?;
        self.authorize_alias(caller, "kms:CreateAlias", name)?;
        let _change = self.changing()?;
        let entry = self.changeable(caller, "kms:CreateAlias", key_id, Needs::NotPendingDeletion)?;
        if self.alias(caller.account(), name).is_some() {
            return Err(KmsError::AlreadyExists(format!(
                "An alias with the name {} already exists",
                self.alias_arn(caller.account(), name)
            )));
        }
        self.put_alias(caller.account(), name, Some(entry.key.id))
    }

    /// `UpdateAlias`: moves it to another key.
    pub fn update_alias(&self, caller: &Caller, name: &str, key_id: &str) -> Result<(), KmsError> {
        check_name(name)?;
        self.authorize_alias(caller, "kms:UpdateAlias", name)?;
        let _change = self.changing()?;
        let from = self.existing_alias(caller, name)?;
        self.changeable(caller, "kms:UpdateAlias", &from.to_string(), Needs::Nothing)?;
        let entry = self.changeable(caller, "kms:UpdateAlias", key_id, Needs::NotPendingDeletion)?;
        self.put_alias(caller.account(), name, Some(entry.key.id))
    }

    /// `DeleteAlias`.
    pub fn delete_alias(&self, caller: &Caller, name: &str) -> Result<(), KmsError> {
        check_name(name)?;
        self.authorize_alias(caller, "kms:DeleteAlias", name)?;
        let _change = self.changing()?;
        let from = self.existing_alias(caller, name)?;
        self.changeable(caller, "kms:DeleteAlias", &from.to_string(), Needs::Nothing)?;
        self.put_alias(caller.account(), name, None)
    }

    /// `ListAliases` of the caller's account, of one key where `key_id` is given.
    pub fn list_aliases(
        &self,
        caller: &Caller,
        key_id: Option<&str>,
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<Page<Alias>, KmsError> {
        const ACTION: &str = "kms:ListAliases";
        self.authorize_account(caller, ACTION)?;
        let limit = limit_of(limit, 50, 100)?;
        let key = key_id.map(|id| self.resolve_own_key(caller, ACTION, id)).transpose()?;
        let of = key.map(|entry| entry.key.id);
        let row = |(name, target): (&String, KmsKeyId)| Alias {
            name: name.clone(),
            arn: self.alias_arn(caller.account(), name),
            target,
        };
        let fits = |(name, target): &(&String, KmsKeyId)| {
            marker.is_none_or(|m| name.as_str() > m) && of.is_none_or(|id| *target == id)
        };
        let mut rows: Vec<Alias> = self
            .aliases(|all| all.of_account(caller.account()).filter(fits).take(limit + 1).map(row).collect());
        let next_marker = (rows.len() > limit).then(|| rows[limit - 1].name.clone());
        rows.truncate(limit);
        Ok(Page { rows, next_marker })
    }

    /// An alias has no policy of its own: its account's identity policies decide, and for each key besides, the key's.
    fn authorize_alias(&self, caller: &Caller, action: &str, name: &str) -> Result<(), KmsError> {
        self.authorize_own(caller, action, &self.alias_arn(caller.account(), name), &[])
    }

    fn existing_alias(&self, caller: &Caller, name: &str) -> Result<KmsKeyId, KmsError> {
        self.alias(caller.account(), name).ok_or_else(|| {
            let arn = self.alias_arn(caller.account(), name);
            KmsError::NotFound(format!("Alias {arn} is not found."))
        })
    }
}

fn check_name(name: &str) -> Result<(), KmsError> {
    let Some(short) = name.strip_prefix("alias/") else {
        return Err(KmsError::Validation(
            "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html".to_owned(),
        ));
    };
    if short.starts_with("aws/") {
        return Err(KmsError::InvalidAliasName(
            "Alias must not use the reserved prefix alias/aws/.".to_owned(),
        ));
    }
    let well_formed = (1..=250).contains(&short.len())
        && short.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b));
    match well_formed {
        true => Ok(()),
        false => Err(KmsError::Validation(format!(
            "1 validation error detected: Value '{name}' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
        ))),
    }
}
