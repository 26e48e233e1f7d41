//! Does a role trust whoever asks for it?
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_policy-examples.html>

use std::sync::Arc;

use kms_core::policy::{Gathered, Outcome, Policies, Request, Subject, Which, decide};

use super::tags::SessionTags;
use crate::api::query::{Call, Code, Refusal};
use crate::authz::{Context, GlobalKeys};
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
            let values = Gathered::new(|| context(&call.global_keys, &self.role.tags, terms));
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
}

/// Values of condition keys: one context for all actions that the request needs, since a trust policy mostly grants them together.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
fn context(global_keys: &GlobalKeys<'_>, role_tags: &[(String, String)], terms: &Terms<'_>) -> Context {
    let mut context = global_keys.context();
    context.extend(terms.tags.context());
    let mut put = |name: &str, value: &str| context.insert(name.to_owned(), vec![value.to_owned()]);
    put("sts:rolesessionname", terms.session_name);
    if let Some(source) = terms.source_identity {
        put("sts:sourceidentity", source);
    }
    for (name, value) in role_tags {
        for of in ["aws:resourcetag", "iam:resourcetag"] {
            put(&format!("{of}/{}", name.to_ascii_lowercase()), value);
        }
    }
    context.extend(terms.further.clone());
    context
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::reference;

    /// Keys that rightly have no value here, and why.
    const ABSENT: &[(&str, &str)] = &[
        ("saml:", "there are no SAML providers"),
        ("graph.facebook.com:", "the parameter ProviderId, of OAuth 2.0, is not implemented"),
        ("www.amazon.com:", "the parameter ProviderId, of OAuth 2.0, is not implemented"),
        ("sts:AWSServiceName", "GetServiceBearerToken is not implemented"),
        ("sts:DurationSeconds", "GetServiceBearerToken and GetWebIdentityToken are not implemented"),
        ("sts:IdentityTokenAudience", "GetWebIdentityToken is not implemented"),
        ("sts:SigningAlgorithm", "GetWebIdentityToken is not implemented"),
        ("sts:RequestContext/${ContextKey}", "the parameter ProvidedContexts is not implemented"),
        ("sts:RequestContextProviders", "the parameter ProvidedContexts is not implemented"),
        ("sts:TaskPolicyArn", "AssumeRoot is not implemented"),
    ];

    fn is_absent(key: &str) -> bool {
        ABSENT.iter().any(|(absent, _)| key == *absent || absent.ends_with(':') && key.starts_with(absent))
    }

    /// What a request says that has everything.
    fn everything() -> Context {
        let tag = || vec![("Team".to_owned(), "a".to_owned())];
        let tags = SessionTags { given: tag(), transitive: vec!["Team".to_owned()] };
        // Claims of providers, by the names that AWS knows.
        let claims = ["accounts.google.com", "cognito-identity.amazonaws.com"];
        let claims = claims
            .iter()
            .flat_map(|provider| ["aud", "oaud", "sub", "amr"].map(|claim| format!("{provider}:{claim}")));
        let further =
            claims.chain(["sts:externalid".to_owned()]).map(|key| (key, vec!["x".to_owned()])).collect();
        let terms = Terms {
            action: "sts:AssumeRole",
            session_name: "session",
            tags: &tags,
            source_identity: Some("ada"),
            further,
        };
        let global_keys = GlobalKeys {
            source_ip: std::net::Ipv4Addr::LOCALHOST.into(),
            secure_transport: true,
            user_agent: None,
            requested_region: "us-east-1",
            now_unix_ms: 0,
        };
        context(&global_keys, &tag(), &terms)
    }

    #[test]
    fn every_key_that_aws_gives_an_action_has_a_value_or_a_reason() {
        for (key, why) in ABSENT {
            let row = format!("| `{key}` | none, ever: {why} |");
            assert!(include_str!("../../../CONDITION-KEYS.md").contains(&row), "{row}");
        }
        let context = everything();
        let name = |key: &str| key.to_ascii_lowercase().replace("${tagkey}", "team");
        let served = [
            "AssumeRole",
            "AssumeRoleWithWebIdentity",
            "TagSession",
            "SetSourceIdentity",
            "GetFederationToken",
        ];
        let (mut acting, mut absent) = (0, 0);
        for action in served {
            for key in reference::action("sts", action).unwrap().condition_keys {
                let acts = reference::acts(&format!("sts:{action}"), &context, &name(key));
                assert_ne!(acts, is_absent(key), "{action}: {key}");
                *(if acts { &mut acting } else { &mut absent }) += 1;
            }
        }
        assert_eq!((acting, absent), (29, 12));
        for key in reference::condition_keys("sts") {
            assert_ne!(context.contains_key(&name(key)), is_absent(key), "{key}");
        }
    }
}
