//! Whose credentials are these: GetCallerIdentity, GetAccessKeyInfo.

use super::parameters;
use crate::api::query::{Answer, Call, Code, Refusal, rules};
use crate::authz::Context;
use crate::iam::{Principal, account_of_temporary};

/// `GetCallerIdentity`: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>. Nobody can be denied it.
pub(super) fn get_caller_identity(call: &Call<'_>) -> Result<Answer, Refusal> {
    let account = call.identity.account().ok_or_else(Refusal::invalid_token)?;
    Ok(Answer::of(|xml| {
        xml.text("Arn", call.identity.arn());
        xml.text("UserId", &call.identity.user_id());
        xml.text("Account", &account.id);
    }))
}

/// `GetAccessKeyInfo`: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html>. Temporary access keys tell their
/// account themselves.
pub(super) fn get_access_key_info(call: &Call<'_>) -> Result<Answer, Refusal> {
    refuse_own_session(call)?;
    let id = rules::required(call.parameters, "AccessKeyId", parameters::ACCESS_KEY_ID)?;
    call.authorize("sts:GetAccessKeyInfo", "*", Context::new)?;
    let state = call.app.iam.state();
    let temporary = account_of_temporary(id).filter(|account| state.account(account).is_some());
    let kept = || Some(state.access_keys.get(id)?.record.account.clone());
    let Some(account) = temporary.or_else(kept) else {
        let message = format!("Invalid value for AccessKeyId: {id} does not exist.");
        return Err(Refusal::new(Code::ValidationError, message));
    };
    Ok(Answer::of(|xml| xml.text("Account", &account)))
}

/// With credentials of GetSessionToken only AssumeRole and GetCallerIdentity can be called, with a federated user's only the latter.
pub(super) fn refuse_own_session(call: &Call<'_>) -> Result<(), Refusal> {
    match (&call.identity.session, &call.identity.principal) {
        (None, _) | (Some(_), Principal::RoleSession { .. }) => Ok(()),
        _ => parameters::refuse_session(call),
    }
}
