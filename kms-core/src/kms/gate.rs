//! The gate: may this caller use this key for that? Key policy first, then grants; each decision is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Caller, Entry, KeyPolicy, Kms};
use crate::audit::AuditEvent;
use crate::context::EncryptionContext;
use crate::crypto::blob;
use crate::error::KmsError;
use crate::grant::Grant;
use crate::key::state::{self, Needs};
use crate::key::{KeyMaterialId, KmsKey, KmsKeyId};
use crate::policy::{self, Outcome, Policies, Request, Which};

/// What a policy says of a request.
enum Verdict {
    Allowed,
    /// No statement allows it: a grant still may.
    Unmentioned(KmsError),
    /// A statement denies it.
    Denied(KmsError),
}

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
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        let permitted = self.permit(caller, action, entry, context, conditions);
        self.audit(caller, action, Some(entry), context, None, &permitted);
        permitted
    }

    /// As [`Kms::authorize_with`], of a key that must be fit for it too; `material` is the backing key that is to be used.
    pub(crate) fn authorize_use(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        (context, conditions): (&EncryptionContext, &[(&str, Vec<String>)]),
        material: Option<KeyMaterialId>,
        fits: impl FnOnce() -> Result<(), KmsError>,
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        let permitted = self.permit(caller, action, entry, context, conditions);
        let permitted = permitted.and_then(|grant| fits().map(|()| grant));
        self.audit(caller, action, Some(entry), context, material, &permitted);
        permitted
    }

    /// Is the key in a state that allows this? Imported material counts as gone from the moment at which it expires.
    pub(crate) fn check_state(&self, entry: &Entry, needs: Needs) -> Result<(), KmsError> {
        let arn = self.arn(entry.key.id);
        state::check(&entry.key, &arn, needs)?;
        match needs == Needs::Enabled && entry.first_expired(self.now_unix_ms()).is_some() {
            true => Err(KmsError::InvalidState(format!("{arn} is pending import."))),
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
            principal: &caller.arn,
            via_service: caller.via_service.as_deref(),
            source_ip: caller.source_ip,
            action,
            key: key.map(|id| self.arn(id)),
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
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Option<Arc<Grant>>, KmsError> {
        match self.decide(caller, action, &entry.key, &entry.policy, context, conditions) {
            Verdict::Allowed => Ok(None),
            Verdict::Denied(error) => Err(error),
            Verdict::Unmentioned(error) => {
                let principals = caller.principals();
                let principals: Vec<&str> = principals.iter().map(String::as_str).collect();
                let operation = action.strip_prefix("kms:").unwrap_or(action);
                let state = self.state.read();
                state.grants.allowing(entry.key.id, &principals, operation, context).map(Some).ok_or(error)
            }
        }
    }

    /// Does a statement deny the caller this?
    pub(crate) fn is_denied(&self, caller: &Caller, action: &str, entry: &Entry) -> bool {
        let context = EncryptionContext::new();
        let verdict = self.decide(caller, action, &entry.key, &entry.policy, &context, &[]);
        matches!(verdict, Verdict::Denied(_))
    }

    /// Could this caller put this key's policy again once it is this one?
    pub(crate) fn could_put_policy(&self, caller: &Caller, key: &KmsKey, policy: &KeyPolicy) -> bool {
        let verdict = self.decide(caller, "kms:PutKeyPolicy", key, policy, &EncryptionContext::new(), &[]);
        matches!(verdict, Verdict::Allowed)
    }

    fn decide(
        &self,
        caller: &Caller,
        action: &str,
        key: &KmsKey,
        policy: &KeyPolicy,
        context: &EncryptionContext,
        of_operation: &[(&str, Vec<String>)],
    ) -> Verdict {
        let arn = self.arn(key.id);
        let mut conditions = self.conditions(caller, key, context, of_operation);
        if policy.names_aliases {
            conditions.insert("kms:resourcealiases".to_owned(), self.aliases_of(key.id));
        }
        let principals = caller.principals();
        let principals: Vec<&str> = principals.iter().map(String::as_str).collect();
        let request = Request {
            principals: &principals,
            account: &caller.account,
            service: None,
            action,
            resource: &arn,
            context: &conditions,
        };
        let because = |why: &str| {
            KmsError::AccessDenied(format!(
                "User: {} is not authorized to perform: {action} on resource: {arn} {why}",
                caller.arn
            ))
        };
        let resource = Some(&policy.document);
        // There are no identity policies yet.
        let policies = Policies { resource, resource_must_delegate: true, ..Policies::default() };
        match policy::decide(policies, &request) {
            Outcome::Allowed { .. } if caller.account == self.config.account => Verdict::Allowed,
            // Whom another account's key policy names needs a policy of his own account besides.
            Outcome::Allowed { .. } => Verdict::Unmentioned(because(
                &Outcome::Unmentioned { in_policy: Which::Identity }.why(action),
            )),
            denied @ Outcome::ExplicitDeny { .. } => Verdict::Denied(because(&denied.why(action))),
            unmentioned @ Outcome::Unmentioned { .. } => {
                Verdict::Unmentioned(because(&unmentioned.why(action)))
            }
        }
    }

    /// Condition keys and their values, by lower-case names:
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/policy-conditions.html>.
    fn conditions(
        &self,
        caller: &Caller,
        key: &KmsKey,
        context: &EncryptionContext,
        of_operation: &[(&str, Vec<String>)],
    ) -> BTreeMap<String, Vec<String>> {
        let mut conditions = BTreeMap::new();
        let mut set = |name: &str, value: String| conditions.insert(name.to_owned(), vec![value]);
        set("kms:calleraccount", caller.account.clone());
        set("kms:keyorigin", key.origin.name().to_owned());
        set("kms:multiregion", "false".to_owned());
        for name in ["kms:keyspec", "kms:customermasterkeyspec"] {
            set(name, key.spec.name().to_owned());
        }
        for name in ["kms:keyusage", "kms:customermasterkeyusage"] {
            set(name, key.usage.name().to_owned());
        }
        set("aws:principalarn", caller.arn.clone());
        set("aws:principalaccount", caller.account.clone());
        set("aws:securetransport", caller.secure_transport.to_string());
        set("aws:viaawsservice", caller.via_service.is_some().to_string());
        let now_s = self.now_unix_ms() / 1000;
        set("aws:epochtime", now_s.to_string());
        let now = OffsetDateTime::from_unix_timestamp(now_s as i64).ok();
        if let Some(now) = now.and_then(|now| now.format(&Rfc3339).ok()) {
            set("aws:currenttime", now);
        }
        if let Some(service) = &caller.via_service {
            set("kms:viaservice", service.clone());
        } else if let Some(ip) = caller.source_ip {
            set("aws:sourceip", ip.to_canonical().to_string());
        }
        for (name, value) in &key.tags {
            set(&format!("aws:resourcetag/{}", name.to_ascii_lowercase()), value.clone());
        }
        for (name, value) in context.iter() {
            // Names that differ by case alone are one condition key, with each of their values.
            let name = format!("kms:encryptioncontext:{}", name.to_ascii_lowercase());
            conditions.entry(name).or_insert_with(Vec::new).push(value.to_owned());
        }
        if !context.is_empty() {
            let names = context.iter().map(|(name, _)| name.to_owned()).collect();
            conditions.insert("kms:encryptioncontextkeys".to_owned(), names);
        }
        let of_operation = of_operation.iter().map(|(name, values)| ((*name).to_owned(), values.clone()));
        conditions.extend(of_operation);
        conditions
    }

    /// May this caller do what no key's policy speaks of? The root user of our account may.
    pub(crate) fn authorize_account(&self, caller: &Caller, action: &str) -> Result<(), KmsError> {
        let is_root = caller.arn == format!("arn:aws:iam::{}:root", self.config.account);
        let decision = match is_root && caller.account == self.config.account {
            true => Ok(None),
            false => Err(KmsError::AccessDenied(format!(
                "User: {} is not authorized to perform: {action} because no identity-based policy allows the {action} action",
                caller.arn
            ))),
        };
        self.audit(caller, action, None, &EncryptionContext::new(), None, &decision);
        decision.map(drop)
    }
}
