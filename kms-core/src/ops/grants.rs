//! CreateGrant, RetireGrant, RevokeGrant, ListGrants, ListRetirableGrants.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html>

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::crypto;
use crate::directory;
use crate::error::KmsError;
use crate::grant::{
    Bound, Constraints, Grant, GrantId, MAX_GRANTS_PER_KEY, Terms, check_operations, check_terms,
};
use crate::key::KmsKeyId;
use crate::key::state::Needs;
use crate::kms::{Caller, Kms};
use crate::ops::Page;
use crate::ops::keys::limit_of;

/// The most tokens of one request.
const MAX_TOKENS: usize = 10;
const MAX_CONTEXT_PAIRS: usize = 8;
const TOKEN_VERSION: u8 = 1;

/// What CreateGrant takes.
#[derive(Debug, Clone, Default)]
pub struct CreateGrant {
    /// The key: id or ARN.
    pub key_id: String,
    /// Who may, by ARN.
    pub grantee: String,
    /// Who may end it, by ARN.
    pub retiring: Option<String>,
    /// What is allowed, in AWS's names.
    pub operations: Vec<String>,
    /// For which encryption contexts.
    pub constraints: Constraints,
    /// Its name, by which the same request finds the same grant again.
    pub name: Option<String>,
}

impl Kms {
    /// `CreateGrant`: the grant and a token of it. A token names a grant and is no secret; grants count at once, so no request
    /// needs one.
    pub fn create_grant(
        &self,
        caller: &Caller,
        request: CreateGrant,
    ) -> Result<(Arc<Grant>, Vec<u8>), KmsError> {
        let name = request.name.unwrap_or_default();
        check_name(&name)?;
        check_principal(&request.grantee)?;
        request.retiring.as_deref().map_or(Ok(()), check_principal)?;
        check_constraints(&request.constraints)?;
        let operations = check_operations(request.operations)?;
        let bound = Bound {
            grantee_id: self.bound(&request.grantee)?,
            retiring_id: request.retiring.as_deref().map(|arn| self.bound(arn)).transpose()?.flatten(),
        };
        let _change = self.changing()?;
        let entry = self.resolve_key(caller, "kms:CreateGrant", &request.key_id)?;
        let Constraints { equals, subset } = &request.constraints;
        let mut conditions = vec![
            ("kms:grantoperations", operations.clone()),
            ("kms:granteeprincipal", vec![request.grantee.clone()]),
            ("kms:grantisforawsresource", vec![caller.via_service.is_some().to_string()]),
        ];
        conditions.extend(request.retiring.clone().map(|retiring| ("kms:retiringprincipal", vec![retiring])));
        let kinds = [(equals, "EncryptionContextEquals"), (subset, "EncryptionContextSubset")];
        let kinds = kinds.iter().filter(|(pairs, _)| pairs.is_some()).map(|(_, kind)| (*kind).to_owned());
        conditions.push(("kms:grantconstrainttype", kinds.collect()));
        let pairs = equals.iter().chain(subset).flatten();
        let context: EncryptionContext = pairs.map(|(name, value)| (name.clone(), value.clone())).collect();
        let circumstances = (&context, &conditions[..]);
        let parent = self.authorize_use(caller, "kms:CreateGrant", &entry, circumstances, None, || {
            self.check_state(&entry, Needs::Enabled)
        })?;
        let arn = self.arn(&entry.key);
        let terms = Terms {
            name,
            grantee: request.grantee,
            retiring: request.retiring,
            operations,
            constraints: request.constraints,
            issuing_account: format!("arn:aws:iam::{}:root", caller.account()),
        };
        check_terms(&terms, entry.key.spec, entry.key.usage)?;
        if parent.is_some_and(|parent| !parent.permits_child(&terms)) {
            return Err(KmsError::AccessDenied(format!(
                "User: {} is not authorized to perform: kms:CreateGrant on resource: {arn} because its own grant does not reach as far",
                caller.arn()
            )));
        }
        caller.stop_if_dry()?;
        let same = (!terms.name.is_empty())
            .then(|| self.grants(|all| all.same(entry.key.id, &terms, &bound)))
            .flatten();
        if let Some(same) = same {
            let token = token(&same);
            return Ok((same, token));
        }
        if self.grants(|all| all.count(entry.key.id)) >= MAX_GRANTS_PER_KEY {
            return Err(KmsError::LimitExceeded(format!(
                "{arn} has the most grants that a key may have: {MAX_GRANTS_PER_KEY}."
            )));
        }
        let grant = Arc::new(Grant {
            id: GrantId::random(),
            key_id: entry.key.id,
            created_unix_ms: self.now_unix_ms(),
            terms,
            bound,
        });
        self.put_grant(grant.clone())?;
        let token = token(&grant);
        Ok((grant, token))
    }

    /// Refuses tokens that are not ours, or too many. A token adds nothing else: its grant counts already.
    pub fn check_grant_tokens(&self, tokens: &[Vec<u8>]) -> Result<(), KmsError> {
        if tokens.len() > MAX_TOKENS {
            return Err(KmsError::Validation(
                "1 validation error detected: Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10".to_owned(),
            ));
        }
        tokens.iter().try_for_each(|token| parse_token(token).map(drop))
    }

    /// `RetireGrant` by token.
    pub fn retire_grant_by_token(&self, caller: &Caller, token: &[u8]) -> Result<(), KmsError> {
        let (key_id, grant_id) = parse_token(token)?;
        self.retire(caller, &self.arn_of(key_id), grant_id)
    }

    /// `RetireGrant` by key ARN and grant id.
    pub fn retire_grant(&self, caller: &Caller, key_arn: &str, grant_id: &str) -> Result<(), KmsError> {
        self.retire(caller, key_arn, parse_id(grant_id)?)
    }

    /// By the retiring principal, by the grantee where the grant says so, or by the account that made it: its root user, and whom its
    /// identity policies let.
    fn retire(&self, caller: &Caller, key_arn: &str, grant_id: GrantId) -> Result<(), KmsError> {
        const ACTION: &str = "kms:RetireGrant";
        let _change = self.changing()?;
        let entry = self.resolve_key(caller, ACTION, key_arn)?;
        let grant = self.existing_grant(entry.key.id, grant_id)?;
        let is_caller = |principal: &str| self.is_meant(caller, ACTION, &entry, principal);
        let is_of_issuer = grant.terms.issuing_account == format!("arn:aws:iam::{}:root", caller.account());
        let may = grant.retiring().is_some_and(is_caller)
            || is_caller(grant.grantee()) && grant.terms.operations.iter().any(|op| op == "RetireGrant")
            || is_of_issuer && self.allows_itself(caller, ACTION, &entry);
        if !may || self.is_denied(caller, ACTION, &entry) {
            return Err(KmsError::AccessDenied(format!(
                "User: {} is not authorized to perform: {ACTION} on resource: {}",
                caller.arn(),
                self.arn(&entry.key)
            )));
        }
        caller.stop_if_dry()?;
        self.end_grant(&grant)
    }

    /// `RevokeGrant`.
    pub fn revoke_grant(&self, caller: &Caller, key_id: &str, grant_id: &str) -> Result<(), KmsError> {
        let grant_id = parse_id(grant_id)?;
        let _change = self.changing()?;
        let entry = self.resolve_key(caller, "kms:RevokeGrant", key_id)?;
        let none = EncryptionContext::new();
        self.authorize_with(caller, "kms:RevokeGrant", &entry, &none, &for_service(caller))?;
        let grant = self.existing_grant(entry.key.id, grant_id)?;
        caller.stop_if_dry()?;
        self.end_grant(&grant)
    }

    /// `ListGrants`, in order of their ids; of one grantee, or one grant, where they are named.
    pub fn list_grants(
        &self,
        caller: &Caller,
        key_id: &str,
        only: (Option<&str>, Option<&str>),
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<Page<Arc<Grant>>, KmsError> {
        let (grant_id, grantee) = only;
        let limit = limit_of(limit, 50, 100)?;
        let wanted = grant_id.map(parse_id).transpose()?;
        let after = marker.map(|m| GrantId::parse(m).ok_or_else(bad_marker)).transpose()?;
        let entry = self.resolve_key(caller, "kms:ListGrants", key_id)?;
        let none = EncryptionContext::new();
        self.authorize_with(caller, "kms:ListGrants", &entry, &none, &for_service(caller))?;
        // Who is gone is asked for by the id that stands for him.
        let id = grantee.and_then(|arn| self.bound(arn).ok().flatten());
        let fits = |grant: &&Arc<Grant>| {
            wanted.is_none_or(|id| grant.id == id)
                && grantee.is_none_or(|arn| [Some(arn), id.as_deref()].contains(&Some(grant.grantee())))
        };
        let rows =
            self.grants(|all| all.after(entry.key.id, after).filter(fits).take(limit + 1).cloned().collect());
        Ok(self.page(rows, limit, |grant| grant.id.to_string()))
    }

    /// `ListRetirableGrants`: of all keys of all accounts, those that this principal of the caller's account may retire, in order of
    /// keys and ids.
    pub fn list_retirable_grants(
        &self,
        caller: &Caller,
        retiring: &str,
        limit: Option<u64>,
        marker: Option<&str>,
    ) -> Result<Page<Arc<Grant>>, KmsError> {
        self.authorize_account(caller, "kms:ListRetirableGrants")?;
        check_principal(retiring)?;
        if retiring.split(':').nth(4) != Some(caller.account()) {
            return Err(KmsError::InvalidArn(format!("{retiring} is of another account")));
        }
        let limit = limit_of(limit, 50, 100)?;
        let id = self.bound(retiring)?;
        let known_by = [Some(retiring), id.as_deref()];
        let after = marker
            .map(|marker| {
                let (key_id, id) = marker.split_once('/').ok_or_else(bad_marker)?;
                KmsKeyId::parse(key_id).zip(GrantId::parse(id)).ok_or_else(bad_marker)
            })
            .transpose()?;
        let place = |grant: &Arc<Grant>| (grant.key_id, grant.id);
        let mut rows: Vec<Arc<Grant>> = self.grants(|all| {
            let own =
                all.all().filter(|grant| grant.retiring().is_some() && known_by.contains(&grant.retiring()));
            own.filter(|grant| after.is_none_or(|after| place(grant) > after)).cloned().collect()
        });
        rows.sort_unstable_by_key(place);
        rows.truncate(limit + 1);
        Ok(self.page(rows, limit, |grant| format!("{}/{}", grant.key_id, grant.id)))
    }

    fn existing_grant(&self, key_id: KmsKeyId, id: GrantId) -> Result<Arc<Grant>, KmsError> {
        self.grants(|all| all.get(key_id, id))
            .ok_or_else(|| KmsError::NotFound(format!("Grant ID {id} not found")))
    }

    /// The unique id that a principal is bound to, if it has one; one that does not exist is refused.
    fn bound(&self, arn: &str) -> Result<Option<String>, KmsError> {
        let Some(directory) = self.directory() else { return Ok(None) };
        directory::bound(&*directory, arn)
            .map_err(|_| KmsError::InvalidArn(format!("ARN does not refer to a valid principal: {arn}")))
    }

    /// The first rows, as they are shown.
    fn page(
        &self,
        rows: Vec<Arc<Grant>>,
        limit: usize,
        marker: impl Fn(&Grant) -> String,
    ) -> Page<Arc<Grant>> {
        let next_marker = (rows.len() > limit).then(|| marker(&rows[limit - 1]));
        let directory = self.directory();
        let rows = rows.iter().take(limit).map(|grant| grant.shown(directory.as_deref())).collect();
        Page { rows, next_marker }
    }
}

fn for_service(caller: &Caller) -> [(&'static str, Vec<String>); 1] {
    [("kms:grantisforawsresource", vec![caller.via_service.is_some().to_string()])]
}

/// Version, key, grant, and a nonce: no two answers carry the same token.
fn token(grant: &Grant) -> Vec<u8> {
    [&[TOKEN_VERSION][..], grant.key_id.as_bytes(), &grant.id.0, &crypto::random::<16>()].concat()
}

fn parse_token(token: &[u8]) -> Result<(KmsKeyId, GrantId), KmsError> {
    let ours = token.len() == 65 && token[0] == TOKEN_VERSION;
    let key_id = token.get(1..17).and_then(|id| id.try_into().ok());
    let grant_id = token.get(17..49).and_then(|id| id.try_into().ok());
    match key_id.zip(grant_id) {
        Some((key_id, grant_id)) if ours => Ok((KmsKeyId::from_bytes(key_id), GrantId(grant_id))),
        _ => Err(KmsError::InvalidGrantToken("The grant token is not valid.".to_owned())),
    }
}

fn parse_id(text: &str) -> Result<GrantId, KmsError> {
    GrantId::parse(text).ok_or_else(|| KmsError::InvalidGrantId(format!("Invalid grant id {text}")))
}

fn bad_marker() -> KmsError {
    KmsError::InvalidMarker("The marker is not valid.".to_owned())
}

fn check_name(name: &str) -> Result<(), KmsError> {
    let fits = name.len() <= 256 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b));
    match fits {
        true => Ok(()),
        false => Err(KmsError::Validation(format!(
            "1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
        ))),
    }
}

/// The ARN of an account, a user, a role or a session.
fn check_principal(arn: &str) -> Result<(), KmsError> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let kinds: &[&str] = match fields[..] {
        ["arn", "aws", "iam", "", account, _] if is_account(account) => &["root", "user/", "role/"],
        ["arn", "aws", "sts", "", account, _] if is_account(account) => &["assumed-role/", "federated-user/"],
        _ => &[],
    };
    let resource = fields.get(5).copied().unwrap_or_default();
    let known = kinds.iter().any(|kind| match kind.ends_with('/') {
        true => resource.len() > kind.len() && resource.starts_with(kind),
        false => resource == *kind,
    });
    match known && arn.len() <= 256 {
        true => Ok(()),
        false => Err(KmsError::InvalidArn(format!("{arn} is not the ARN of a principal"))),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn check_constraints(constraints: &Constraints) -> Result<(), KmsError> {
    for pairs in constraints.equals.iter().chain(&constraints.subset) {
        if pairs.len() > MAX_CONTEXT_PAIRS || pairs.values().any(|value| value.chars().count() > 384) {
            return Err(KmsError::Validation(
                "A grant constraint has at most 8 pairs, each value of at most 384 characters.".to_owned(),
            ));
        }
    }
    Ok(())
}
