//! The gate: may this caller use this key for that? All policies together first, then grants; each decision is recorded.

use std::sync::Arc;

use super::naming::ELSEWHERE;
use super::request_context::OfOperation;
use super::{Caller, Entry, KeyPolicy, Kms};
use crate::audit::AuditEvent;
use crate::context::EncryptionContext;
use crate::crypto::blob;
use crate::error::KmsError;
use crate::grant::Grant;
use crate::key::state::{self, Needs};
use crate::key::{KeyMaterialId, KmsKey, KmsKeyId};
use crate::policy::{self, Outcome, Policies, Principal, Request, Subject, Which};

impl Kms {
    /// May this caller do this to this key? Answers the grant that allows it, where no policy does.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        context: &EncryptionContext,
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        self.authorize_with(caller, action, entry, context, &[])
    }

    /// As [`Kms::authorize`], with condition keys of the operation, by their lower-case names.
    pub(crate) fn authorize_with(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        context: &EncryptionContext,
        of_operation: OfOperation<'_>,
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        let permitted = self.permit(caller, action, entry, context, of_operation);
        self.audit(caller, action, Some(entry), context, None, &permitted);
        permitted
    }

    /// As [`Kms::authorize_with`], of a key that must be fit for it too; `material` is the backing key that is to be used.
    pub(crate) fn authorize_use(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        (context, of_operation): (&EncryptionContext, OfOperation<'_>),
        material: Option<KeyMaterialId>,
        fits: impl FnOnce() -> Result<(), KmsError>,
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        let permitted = self.permit(caller, action, entry, context, of_operation);
        let permitted = permitted.and_then(|grant| fits().map(|()| grant));
        self.audit(caller, action, Some(entry), context, material, &permitted);
        permitted
    }

    /// Is the key in a state that allows this? Imported material counts as gone from the moment at which it expires.
    pub(crate) fn check_state(&self, entry: &Entry, needs: Needs) -> Result<(), KmsError> {
        let arn = || self.arn(&entry.key);
        state::check(&entry.key, arn, needs)?;
        match needs == Needs::Enabled && entry.first_expired(self.now_unix_ms()).is_some() {
            true => Err(KmsError::InvalidState(format!("{} is pending import.", arn()))),
            false => Ok(()),
        }
    }

    /// Records a use that its asker did not ask for anew, having been allowed the same a moment before.
    pub fn record_remembered(
        &self,
        caller: &Caller,
        action: &str,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) {
        self.config.audit.record(|| {
            let header = blob::parse(ciphertext_blob);
            let (key, material) = (header.map(|h| h.key_id), header.map(|h| h.material));
            AuditEvent { remembered: true, ..self.event(caller, action, key, context, material) }
        });
    }

    fn audit(
        &self,
        caller: &Caller,
        action: &str,
        entry: Option<&Entry>,
        context: &EncryptionContext,
        material: Option<KeyMaterialId>,
        decision: &Result<Option<Arc<Grant>>, KmsError>,
    ) {
        self.config.audit.record(|| AuditEvent {
            allowed: decision.is_ok(),
            grant: decision.as_ref().ok().and_then(|grant| Some(grant.as_ref()?.id.to_string())),
            refusal: decision.as_ref().err().map(|error| format!("{}: {error}", error.name())),
            ..self.event(caller, action, entry.map(|entry| entry.key.id), context, material)
        });
    }

    /// The record of an allowed use.
    fn event<'a>(
        &self,
        caller: &'a Caller,
        action: &'a str,
        key: Option<KmsKeyId>,
        context: &'a EncryptionContext,
        material: Option<KeyMaterialId>,
    ) -> AuditEvent<'a> {
        AuditEvent {
            time_unix_ms: self.now_unix_ms(),
            request_id: &caller.request_id,
            principal: caller.arn(),
            via_service: caller.via_service.as_deref(),
            source_ip: caller.source_ip,
            action,
            key: key.map(|id| self.arn_of(id)),
            key_material_id: material.map(|id| id.to_string()),
            encryption_context_names: context.iter().map(|(name, _)| name).collect(),
            allowed: true,
            remembered: false,
            grant: None,
            refusal: None,
        }
    }

    /// What [`Kms::authorize_with`] answers, without a record of it.
    pub(super) fn permit(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        context: &EncryptionContext,
        of_operation: OfOperation<'_>,
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        let Entry { key, policy, .. } = entry;
        let (resource, values) =
            (self.arn(key), self.request_context(caller, Some(key), context, of_operation));
        let request = Request { subject: &caller.subject, action, resource: &resource, values: &values };
        let refused = match self.decide(&request, key, policy) {
            Outcome::Allowed { .. } => return Ok(None),
            denied @ Outcome::ExplicitDeny { .. } => denied,
            unmentioned @ Outcome::Unmentioned { .. } => match self.granted(&request, key, context) {
                Ok(Some(grant)) => return Ok(Some(grant)),
                Ok(None) => unmentioned,
                Err(short_of) => short_of,
            },
        };
        match refused {
            Outcome::Unmentioned { in_policy: by } | Outcome::ExplicitDeny { by, .. }
                if by == Which::Resource && caller.account() != key.account =>
            {
                Err(refusal(&request, ELSEWHERE))
            }
            refused => Err(refusal(&request, &refused.why(action))),
        }
    }

    /// What all policies together say.
    fn decide(&self, request: &Request<'_>, key: &KmsKey, policy: &KeyPolicy) -> Outcome {
        // A service is of no account: what key policies allow it, it may.
        let is_service = matches!(request.subject.other, Some(Principal::Service(_)));
        if request.subject.account.is_empty() && !is_service {
            return NOBODY;
        }
        if request.subject.account != key.account && !reaches_other_accounts(request.action) {
            return Outcome::Unmentioned { in_policy: Which::Resource };
        }
        let policies = Policies {
            resource: Some(&policy.document),
            resource_must_delegate: true,
            resource_account: Some(&key.account),
        };
        policy::decide(policies, request)
    }

    /// The grant that allows what no policy speaks of. One to the caller itself needs nothing else, whichever account it is of (a role
    /// that a service is linked to has no policy that speaks of other accounts' keys); one to its role gives no more than its limits
    /// let through. `Err`: there is one, and this is in its way.
    fn granted(
        &self,
        request: &Request<'_>,
        key: &KmsKey,
        context: &EncryptionContext,
    ) -> Result<Option<Arc<Grant>>, Outcome> {
        let Subject { itself, role, .. } = request.subject;
        let operation = request.action.strip_prefix("kms:").unwrap_or(request.action);
        let of = |names: &[String]| self.grants(|all| all.allowing(key.id, names, operation, context));
        let (grant, to_itself) = match of(itself) {
            Some(grant) => (grant, true),
            None => match of(role) {
                Some(grant) => (grant, false),
                None => return Ok(None),
            },
        };
        let limits = if to_itself { Ok(()) } else { policy::within_limits(request) };
        limits.map(|()| Some(grant)).map_err(|in_policy| Outcome::Unmentioned { in_policy })
    }

    /// Does a statement of any policy deny the caller this?
    pub(crate) fn is_denied(&self, caller: &Caller, action: &str, entry: &Entry) -> bool {
        let Entry { key, policy, .. } = entry;
        self.asking(caller, action, key, |request| {
            matches!(self.decide(request, key, policy), Outcome::ExplicitDeny { .. })
        })
    }

    /// Could this caller put this key's policy again once it is this one?
    pub(crate) fn could_put_policy(&self, caller: &Caller, key: &KmsKey, policy: &KeyPolicy) -> bool {
        self.asking(caller, "kms:PutKeyPolicy", key, |request| self.decide(request, key, policy).is_allowed())
    }

    /// Do the caller's own policies allow it this with a key?
    pub(crate) fn allows_itself(&self, caller: &Caller, action: &str, entry: &Entry) -> bool {
        self.asking(caller, action, &entry.key, |request| self.own_policies(request).is_allowed())
    }

    /// Is this the caller, whom a grant names so? By the name of its role it is within its limits only.
    pub(crate) fn is_meant(&self, caller: &Caller, action: &str, entry: &Entry, principal: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|name| name == principal);
        let by_role = |request: &Request<'_>| policy::within_limits(request).is_ok();
        has(&caller.subject.itself)
            || has(&caller.subject.role) && self.asking(caller, action, &entry.key, by_role)
    }

    /// Asks something of a request that says nothing beside who it is from.
    fn asking<T>(
        &self,
        caller: &Caller,
        action: &str,
        key: &KmsKey,
        ask: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        let (resource, none) = (self.arn(key), EncryptionContext::new());
        let values = self.request_context(caller, Some(key), &none, &[]);
        ask(&Request { subject: &caller.subject, action, resource: &resource, values: &values })
    }

    /// May this caller do what no key's policy speaks of? Its own policies decide.
    pub(crate) fn authorize_account(&self, caller: &Caller, action: &str) -> Result<(), KmsError> {
        self.authorize_own(caller, action, "*", &[])
    }

    /// As [`Kms::authorize_account`], for a resource that has no policy (an alias), and with condition keys of the operation.
    pub(crate) fn authorize_own(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        of_operation: OfOperation<'_>,
    ) -> Result<(), KmsError> {
        let none = EncryptionContext::new();
        let values = self.request_context(caller, None, &none, of_operation);
        let request = Request { subject: &caller.subject, action, resource, values: &values };
        let decision = match self.own_policies(&request) {
            Outcome::Allowed { .. } => Ok(None),
            refused => Err(refusal(&request, &refused.why(action))),
        };
        self.audit(caller, action, None, &none, None, &decision);
        decision.map(drop)
    }

    /// What the caller's own policies say.
    fn own_policies(&self, request: &Request<'_>) -> Outcome {
        match request.subject.account.is_empty() {
            true => NOBODY,
            false => policy::decide(Policies::default(), request),
        }
    }
}

/// Nobody has no policies that could allow him anything.
const NOBODY: Outcome = Outcome::Unmentioned { in_policy: Which::Identity };

/// What is answered to whom policies refuse.
fn refusal(request: &Request<'_>, why: &str) -> KmsError {
    let Request { subject, action, resource, .. } = request;
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} {why}",
        subject.arn
    ))
}

/// Can it be done with a key of another account at all?
/// <https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html>
fn reaches_other_accounts(action: &str) -> bool {
    matches!(
        action.strip_prefix("kms:").unwrap_or(action),
        "CreateGrant"
            | "Decrypt"
            | "DeriveSharedSecret"
            | "DescribeKey"
            | "Encrypt"
            | "GenerateDataKey"
            | "GenerateDataKeyPair"
            | "GenerateDataKeyPairWithoutPlaintext"
            | "GenerateDataKeyWithoutPlaintext"
            | "GenerateMac"
            | "GetKeyRotationStatus"
            | "GetPublicKey"
            | "ListGrants"
            | "ReEncryptFrom"
            | "ReEncryptTo"
            | "RetireGrant"
            | "RevokeGrant"
            | "Sign"
            | "Verify"
            | "VerifyMac"
    )
}
