//! Does a role trust whoever asks for it?
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_policy-examples.html>

use std::sync::Arc;

use kms_core::policy::{Gathered, Outcome, Policies, Request, Subject, Which, decide};

use super::tags::SessionTags;
use crate::api::query::{Call, Code, Refusal};
use crate::authz::Context;
use crate::iam::{AccountState, Entity, Role};

/// A role that is asked for.
pub(super) struct Asked {
    pub(super) account: Arc<AccountState>,
    pub(super) role: Arc<Role>,
    pub(super) arn: String,
}

/// What the request wants of the session, as far as the trust policy may judge it.
pub(super) struct Terms<'a> {
    /// `sts:AssumeRole`, ….
    pub(super) action: &'static str,
    pub(super) session_name: &'a str,
    pub(super) tags: &'a SessionTags,
    pub(super) source_identity: Option<&'a str>,
    /// Further condition keys.
    pub(super) further: Context,
}

/// The role of this ARN. That it does not exist is told to nobody: who asks is not authorised.
pub(super) fn find(call: &Call<'_>, arn: &str) -> Option<Asked> {
    let state = call.app.iam.state();
    let account = state.account_in(arn).filter(|account| !account.account.is_disabled)?.clone();
    let path_and_name = arn.strip_prefix(&account.account.iam_arn("role"))?;
    let role = account.roles.by_path_and_name(path_and_name)?.clone();
    let arn = role.arn(&account.account);
    Some(Asked { account, role, arn })
}

impl Asked {
    /// Refuses unless the role trusts the subject for all that the request wants.
    pub(super) fn check(&self, call: &Call<'_>, subject: &Subject, terms: &Terms<'_>) -> Result<(), Refusal> {
        let mut actions = vec![terms.action];
        if !terms.tags.given.is_empty() {
            actions.push("sts:TagSession");
        }
        if terms.source_identity.is_some() {
            actions.push("sts:SetSourceIdentity");
        }
        for action in actions {
            let values = Gathered::new(|| self.context(call, terms));
            let request = Request { subject, action, resource: &self.arn, values: &values };
            let policies = Policies {
                resource: Some(self.role.trust.document()),
                resource_must_delegate: true,
                resource_account: Some(&self.account.account.id),
            };
            let outcome = decide(policies, &request);
            if !outcome.is_allowed() {
                return Err(refusal(subject, action, &self.arn, Some(&outcome)));
            }
        }
        Ok(())
    }

    fn context(&self, call: &Call<'_>, terms: &Terms<'_>) -> Context {
        let mut context = call.circumstances.context();
        context.extend(terms.tags.context());
        let mut put = |name: &str, value: &str| context.insert(name.to_owned(), vec![value.to_owned()]);
        put("sts:rolesessionname", terms.session_name);
        if let Some(source) = terms.source_identity {
            put("sts:sourceidentity", source);
        }
        for (name, value) in &self.role.tags {
            for of in ["aws:resourcetag", "iam:resourcetag"] {
                put(&format!("{of}/{}", name.to_ascii_lowercase()), value);
            }
        }
        context.extend(terms.further.clone());
        context
    }
}

/// `User: … is not authorized to perform: …`, with what decided, where that may be told.
pub(super) fn refusal(subject: &Subject, action: &str, role: &str, outcome: Option<&Outcome>) -> Refusal {
    if subject.other.is_some() {
        // Somebody known to an identity provider is told nothing more.
        return Refusal::new(Code::AccessDenied, format!("Not authorized to perform {action}"));
    }
    let why = match outcome {
        None => String::new(),
        Some(Outcome::Unmentioned { in_policy: Which::Resource }) => {
            format!(" because no role trust policy allows the {action} action")
        }
        Some(Outcome::ExplicitDeny { by: Which::Resource, .. }) => {
            " with an explicit deny in the role trust policy".to_owned()
        }
        Some(outcome) => format!(" {}", outcome.why(action)),
    };
    let message =
        format!("User: {} is not authorized to perform: {action} on resource: {role}{why}", subject.arn);
    Refusal::new(Code::AccessDenied, message)
}
