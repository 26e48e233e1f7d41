//! Temporary credentials of a user's own, and for those whom it knows: GetSessionToken, GetFederationToken.

use super::credentials::{self, Wanted};
use super::tags::SessionTags;
use super::{limits, parameters};
use crate::api::query::{Answer, Call, Code, Refusal, rules};
use crate::authz::Context;
use crate::iam::{Principal, SessionOf};

/// How long a session is where nothing is said, in seconds.
const DEFAULT_DURATION_S: u32 = 12 * 3600;
/// The longest session, in seconds.
const MAX_DURATION_S: u32 = 36 * 3600;
/// The longest session of a root user, in seconds.
const MAX_ROOT_DURATION_S: u32 = 3600;

/// `GetSessionToken`: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>.
pub(super) fn get_session_token(call: &Call<'_>) -> Result<Answer, Refusal> {
    parameters::refuse_session(call)?;
    parameters::refuse_mfa(call)?;
    let (account, user) = owner(call)?;
    let wanted = Wanted {
        account,
        duration_s: duration_s(call, user.is_none())?,
        of: SessionOf::User { id: user },
        policies: None,
        tags: SessionTags::default(),
        source_identity: None,
        claims: Context::new(),
    };
    let session = credentials::make(call, wanted);
    Ok(Answer::of(|xml| credentials::write(xml, call, &session)))
}

/// `GetFederationToken`: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>.
pub(super) fn get_federation_token(call: &Call<'_>) -> Result<Answer, Refusal> {
    parameters::refuse_session(call)?;
    let name = rules::required(call.parameters, "Name", parameters::FEDERATED_NAME)?.to_owned();
    let (account, user) = owner(call)?;
    let duration_s = duration_s(call, user.is_none())?;
    let policies = limits::session_policies(call)?;
    let tags = SessionTags::given(call)?;
    let arn = format!("arn:aws:sts::{account}:federated-user/{name}");
    let id = format!("{account}:{name}");
    call.authorize("sts:GetFederationToken", &arn, || tags.context())?;
    if !tags.given.is_empty() {
        call.authorize("sts:TagSession", &arn, || tags.context())?;
    }
    if let Some(state) = call.app.iam.state().account(&account) {
        limits::check_arns(state, policies.as_ref())?;
    }
    let percent = limits::packed_percent(policies.as_ref(), &tags.given)?;
    let wanted = Wanted {
        account,
        duration_s,
        of: SessionOf::Federated { by: user, name },
        // Without a policy of its own it has what resources' policies give it.
        policies: Some(policies.unwrap_or_default()),
        tags,
        source_identity: None,
        claims: Context::new(),
    };
    let session = credentials::make(call, wanted);
    Ok(Answer::of(|xml| {
        credentials::write(xml, call, &session);
        xml.open("FederatedUser");
        xml.text("FederatedUserId", &id);
        xml.text("Arn", &arn);
        xml.close("FederatedUser");
        xml.number("PackedPolicySize", percent.into());
    }))
}

/// The account, and the user's id; `None`: the root user.
fn owner(call: &Call<'_>) -> Result<(String, Option<String>), Refusal> {
    let account = call.identity.account().ok_or_else(Refusal::invalid_token)?.id.clone();
    match &call.identity.principal {
        Principal::Root => Ok((account, None)),
        Principal::User { id, .. } => Ok((account, Some(id.clone()))),
        _ => {
            let message = format!("Cannot call {} with session credentials", call.action);
            Err(Refusal::new(Code::AccessDenied, message))
        }
    }
}

/// A root user's session is short, whatever is asked for.
fn duration_s(call: &Call<'_>, is_root: bool) -> Result<u32, Refusal> {
    let asked = parameters::duration_s(call, DEFAULT_DURATION_S, MAX_DURATION_S)?;
    Ok(if is_root { asked.min(MAX_ROOT_DURATION_S) } else { asked })
}
