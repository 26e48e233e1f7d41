//! Roles for those whom somebody else knows: AssumeRoleWithWebIdentity, and the same for users of an LDAP directory. Neither is signed:
//! the token, or the password, proves who asks.

use std::sync::Arc;

use kms_core::policy::{Principal, Subject};

use super::assume_role::{self, Assumed, DEFAULT_DURATION_S};
use super::parameters::SOURCE_IDENTITY;
use super::tags::SessionTags;
use super::trust::{self, Asked, Terms};
use super::{limits, parameters};
use crate::api::query::{Answer, Call, Code, Refusal, rules};
use crate::authz::Context;
use crate::federation::ldap::{LdapError, LdapUser};
use crate::federation::oidc::{Provider, SessionClaims, Token, WebIdentity, WebIdentityError};
use crate::iam::{AccountState, OidcProvider, SessionPolicies};

/// The longest session, in seconds.
const MAX_DURATION_S: u32 = 12 * 3600;
const WEB_IDENTITY: &str = "sts:AssumeRoleWithWebIdentity";
const LDAP_IDENTITY: &str = "sts:AssumeRoleWithLDAPIdentity";

/// What both ways have in common.
struct Request<'a> {
    name: &'a str,
    duration_s: u32,
    policies: Option<SessionPolicies>,
}

/// `AssumeRoleWithWebIdentity`: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>.
pub(super) async fn assume_role_with_web_identity(call: &Call<'_>) -> Result<Answer, Refusal> {
    let role_arn = rules::required(call.parameters, "RoleArn", parameters::ROLE_ARN)?;
    let role_arn = parameters::role_arn(role_arn)?;
    let name = rules::required(call.parameters, "RoleSessionName", parameters::SESSION_NAME)?;
    let text = rules::required(call.parameters, "WebIdentityToken", parameters::WEB_IDENTITY_TOKEN)?;
    if call.parameters.get("ProviderId").is_some() {
        return Err(Refusal::not_implemented("The parameter ProviderId"));
    }
    let request = Request {
        name,
        duration_s: parameters::duration_s(call, DEFAULT_DURATION_S, MAX_DURATION_S)?,
        policies: limits::session_policies(call)?,
    };
    let denied = || Refusal::new(Code::AccessDenied, format!("Not authorized to perform {WEB_IDENTITY}"));
    let asked = trust::find(call, role_arn).ok_or_else(denied)?;
    let token = Token::parse(text)?;
    let provider = provider(&asked.account, token.issuer())?;
    let (url, client_ids) = (provider.url.as_str(), provider.client_ids.as_slice());
    let identity = call.app.web_identities.verify(&token, Provider { url, client_ids }).await?;

    let arn = asked.account.account.iam_arn(&format!("oidc-provider/{}", provider.name()));
    let claims = claims(&identity, provider.name(), &arn);
    let SessionClaims { tags, transitive, source_identity } = identity.session;
    let tags = SessionTags::checked(tags, transitive)?;
    source_identity.as_deref().map(|source| SOURCE_IDENTITY.check("SourceIdentity", source)).transpose()?;
    let subject = subject(&asked, arn.clone());
    let (session, percent) =
        assume(call, &asked, request, (&subject, WEB_IDENTITY), (tags, source_identity, claims))?;
    Ok(Answer::of(|xml| {
        assume_role::write(xml, call, &session, (&asked, name), percent);
        xml.text("SubjectFromWebIdentityToken", &identity.subject);
        xml.text("Audience", &identity.audience);
        xml.text("Provider", &arn);
    }))
}

/// `AssumeRoleWithLDAPIdentity`: after MinIO's call of this name. The role is the one that is named, or that of the settings.
pub(super) async fn assume_role_with_ldap_identity(call: &Call<'_>) -> Result<Answer, Refusal> {
    let username = rules::required(call.parameters, "LDAPUsername", parameters::LDAP_TEXT)?;
    let password = rules::required(call.parameters, "LDAPPassword", parameters::LDAP_TEXT)?;
    let Some((ldap, default_role)) = &call.app.ldap else {
        let message = "There is no LDAP directory: set ldap_url and what belongs to it.";
        return Err(Refusal::new(Code::NotImplemented, message));
    };
    let role_arn = rules::optional(call.parameters, "RoleArn", parameters::ROLE_ARN)?;
    let role_arn = role_arn.map(parameters::role_arn).transpose()?;
    let role_arn = role_arn.or(default_role.as_deref()).ok_or_else(|| {
        let message = "RoleArn is missing, and ldap_role_arn is not set.";
        Refusal::new(Code::ValidationError, message)
    })?;
    let duration_s = parameters::duration_s(call, DEFAULT_DURATION_S, MAX_DURATION_S)?;
    let policies = limits::session_policies(call)?;
    // Guessing of passwords is held off as guessing of signatures is.
    let (source, now_unix_ms) = (call.global_keys.source_ip, call.global_keys.now_unix_ms);
    if !call.app.failures.admits(source, username, now_unix_ms) {
        return Err(Refusal::new(Code::Throttling, "Rate exceeded"));
    }
    let user = ldap.login(username, password).await.map_err(|error| {
        if error == LdapError::InvalidCredentials {
            call.app.failures.failed(source, username, now_unix_ms);
        }
        refused_login(call, &error)
    })?;
    call.app.failures.succeeded(source, username);
    let denied = || Refusal::new(Code::AccessDenied, format!("Not authorized to perform {LDAP_IDENTITY}"));
    let asked = trust::find(call, role_arn).ok_or_else(denied)?;
    let arn = asked.account.account.iam_arn("ldap-provider/default");
    let name = session_name(&user.username);
    let claims = ldap_claims(&user, &arn);
    let subject = subject(&asked, arn);
    let request = Request { name: &name, duration_s, policies };
    let (session, percent) =
        assume(call, &asked, request, (&subject, LDAP_IDENTITY), (SessionTags::default(), None, claims))?;
    Ok(Answer::of(|xml| assume_role::write(xml, call, &session, (&asked, &name), percent)))
}

/// Asks the role, and begins a session.
fn assume(
    call: &Call<'_>,
    asked: &Asked,
    request: Request<'_>,
    (subject, action): (&Subject, &'static str),
    (tags, source_identity, claims): (SessionTags, Option<String>, Context),
) -> Result<(crate::iam::Session, u32), Refusal> {
    let Request { name, duration_s, policies } = request;
    let source = source_identity.as_deref();
    let terms =
        Terms { action, session_name: name, tags: &tags, source_identity: source, further: claims.clone() };
    asked.check(call, subject, &terms)?;
    let assumed = Assumed { name, is_chained: false, duration_s, policies, tags, source_identity, claims };
    assume_role::begin(call, asked, assumed)
}

/// Somebody who is known to an identity provider, as trust policies see him. He is of the role's account, since its provider knows him.
fn subject(asked: &Asked, provider_arn: String) -> Subject {
    Subject {
        account: asked.account.account.id.clone(),
        other: Some(Principal::Federated(provider_arn)),
        ..Subject::default()
    }
}

/// The account's provider of this issuer.
fn provider(account: &AccountState, issuer: &str) -> Result<Arc<OidcProvider>, Refusal> {
    let all = account.providers.values();
    let found = all.into_iter().find(|provider| provider.url == issuer);
    Ok(found.cloned().ok_or_else(|| WebIdentityError::no_provider(issuer))?)
}

/// Claims as condition keys: `host/path:claim`, in lower case. A provider on a host `aws` speaks of no key of AWS's.
fn claims(identity: &WebIdentity, provider: &str, arn: &str) -> Context {
    let own = identity.claims.iter().map(|(name, values)| {
        let key = format!("{provider}:{name}").to_ascii_lowercase();
        (key, values.clone())
    });
    let own = own.filter(|(key, _)| !key.starts_with("aws:"));
    own.chain([("aws:federatedprovider".to_owned(), vec![arn.to_owned()])]).collect()
}

fn ldap_claims(user: &LdapUser, arn: &str) -> Context {
    Context::from([
        ("ldap:username".to_owned(), vec![user.username.clone()]),
        ("ldap:user".to_owned(), vec![user.dn.clone()]),
        ("ldap:groups".to_owned(), user.groups.clone()),
        ("aws:federatedprovider".to_owned(), vec![arn.to_owned()]),
    ])
}

/// A user's name with what sessions' names can't have replaced.
fn session_name(username: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    let mut name: String = username.chars().map(allowed).take(64).collect();
    while name.len() < 2 {
        name.push('-');
    }
    name
}

fn refused_login(call: &Call<'_>, error: &LdapError) -> Refusal {
    match error {
        LdapError::InvalidCredentials => {
            Refusal::new(Code::AccessDenied, "LDAP user name or password is not right.")
        }
        LdapError::Unavailable(_) | LdapError::Misconfigured(_) => {
            tracing::warn!(request_id = call.request_id, %error, "an LDAP login could not be judged");
            Refusal::new(Code::IDPCommunicationError, "The LDAP directory could not be asked.")
        }
    }
}

impl From<WebIdentityError> for Refusal {
    fn from(error: WebIdentityError) -> Self {
        let code = match &error {
            WebIdentityError::InvalidIdentityToken(_) => Code::InvalidIdentityToken,
            WebIdentityError::ExpiredToken(_) => Code::ExpiredTokenException,
        };
        Self::new(code, error.to_string())
    }
}
