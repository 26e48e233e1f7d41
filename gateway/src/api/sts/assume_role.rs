//! AssumeRole: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.

use super::credentials::{self, Wanted};
use super::tags::SessionTags;
use super::trust::{self, Asked, Terms};
use super::{limits, parameters};
use crate::api::query::{Answer, Call, Code, Refusal, rules};
use crate::api::xml::XmlWriter;
use crate::authz::Context;
use crate::iam::{Principal, Session, SessionOf};

/// How long a session is where nothing is said, in seconds.
pub(super) const DEFAULT_DURATION_S: u32 = 3600;
/// The longest session that any role may have, in seconds.
const MAX_DURATION_S: u32 = 12 * 3600;
/// The longest session that is assumed by one of another role, in seconds.
const MAX_CHAINED_DURATION_S: u32 = 3600;

pub(super) fn assume_role(call: &Call<'_>) -> Result<Answer, Refusal> {
    let role_arn = rules::required(call.parameters, "RoleArn", parameters::ROLE_ARN)?;
    let role_arn = parameters::role_arn(role_arn)?;
    let name = rules::required(call.parameters, "RoleSessionName", parameters::SESSION_NAME)?;
    let external_id = rules::optional(call.parameters, "ExternalId", parameters::EXTERNAL_ID)?;
    let source = rules::optional(call.parameters, "SourceIdentity", parameters::SOURCE_IDENTITY)?;
    parameters::refuse_mfa(call)?;
    let duration_s = parameters::duration_s(call, DEFAULT_DURATION_S, MAX_DURATION_S)?;
    let policies = limits::session_policies(call)?;
    let before = call.identity.session.as_deref();
    let tags = SessionTags::of(call)?.chained(before)?;
    let denied = |message: &'static str| Refusal::new(Code::AccessDenied, message);
    let is_chained = matches!(call.identity.principal, Principal::RoleSession { .. });
    match call.identity.principal {
        Principal::Root => return Err(denied("Roles may not be assumed by root accounts.")),
        Principal::FederatedUser { .. } => {
            return Err(denied("Cannot call AssumeRole with federated user credentials"));
        }
        _ => {}
    }

    let subject = &call.identity.subject;
    let asked = trust::find(call, role_arn)
        .ok_or_else(|| trust::refusal(subject, "sts:AssumeRole", role_arn, None))?;
    // Who stands behind a session stays behind those that it assumes.
    let inherited = before.and_then(|before| before.source_identity.as_deref());
    if let (Some(inherited), Some(source)) = (inherited, source)
        && inherited != source
    {
        return Err(trust::refusal(subject, "sts:SetSourceIdentity", &asked.arn, None));
    }
    let external = external_id.map(|id| ("sts:externalid".to_owned(), vec![id.to_owned()]));
    let terms = Terms {
        action: "sts:AssumeRole",
        session_name: name,
        tags: &tags,
        source_identity: source.or(inherited),
        further: external.into_iter().collect(),
    };
    asked.check(call, subject, &terms)?;
    if is_chained && duration_s > MAX_CHAINED_DURATION_S {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(Refusal::new(Code::ValidationError, message));
    }
    let source_identity = source.or(inherited).map(str::to_owned);
    let wanted =
        Assumed { name, is_chained, duration_s, policies, tags, source_identity, claims: Context::new() };
    let (session, percent) = begin(call, &asked, wanted)?;
    Ok(Answer::of(|xml| {
        write(xml, call, &session, (&asked, name), percent);
    }))
}

/// A session that a role is assumed for.
pub(super) struct Assumed<'a> {
    pub(super) name: &'a str,
    pub(super) is_chained: bool,
    pub(super) duration_s: u32,
    pub(super) policies: Option<crate::iam::SessionPolicies>,
    pub(super) tags: SessionTags,
    pub(super) source_identity: Option<String>,
    pub(super) claims: Context,
}

/// Begins a session of a role that trusts whoever asked; answers how full of policies and tags it is, in percent.
pub(super) fn begin(call: &Call<'_>, asked: &Asked, assumed: Assumed<'_>) -> Result<(Session, u32), Refusal> {
    if assumed.duration_s > asked.role.max_session_s {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(Refusal::new(Code::ValidationError, message));
    }
    limits::check_arns(&asked.account, assumed.policies.as_ref())?;
    let percent = limits::packed_percent(assumed.policies.as_ref(), &assumed.tags.given)?;
    let Assumed { name, is_chained, duration_s, policies, tags, source_identity, claims } = assumed;
    let of = SessionOf::Role { id: asked.role.id.clone(), name: name.to_owned(), is_chained };
    let account = asked.account.account.id.clone();
    let wanted = Wanted { account, of, duration_s, policies, tags, source_identity, claims };
    Ok((credentials::make(call, wanted), percent))
}

/// Writes what every way to assume a role answers.
pub(super) fn write(
    xml: &mut XmlWriter,
    call: &Call<'_>,
    session: &Session,
    (asked, name): (&Asked, &str),
    percent: u32,
) {
    credentials::write(xml, call, session);
    xml.open("AssumedRoleUser");
    xml.text("AssumedRoleId", &format!("{}:{name}", asked.role.id));
    let (account, role) = (&asked.account.account.id, &asked.role.name);
    xml.text("Arn", &format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"));
    xml.close("AssumedRoleUser");
    if session.policies.is_some() || !session.tags.is_empty() {
        xml.number("PackedPolicySize", percent.into());
    }
    xml.optional("SourceIdentity", session.source_identity.as_deref());
}
