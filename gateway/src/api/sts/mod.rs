//! The Security Token Service: who somebody is, and temporary credentials.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>

mod assume_role;
mod caller;
mod credentials;
mod federated;
mod limits;
mod message;
mod own_session;
mod parameters;
mod tags;
mod trust;

use super::query::{Answer, Call, Code, Refusal};

/// The version of the API.
const VERSION: &str = "2011-06-15";

/// What the model has and this gateway has not.
const UNSUPPORTED: [&str; 4] =
    ["AssumeRoleWithSAML", "AssumeRoot", "GetDelegatedAccessToken", "GetWebIdentityToken"];

/// What runs here.
const SUPPORTED: [&str; 8] = [
    "AssumeRole",
    "AssumeRoleWithLDAPIdentity",
    "AssumeRoleWithWebIdentity",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetCallerIdentity",
    "GetFederationToken",
    "GetSessionToken",
];

/// An operation's name, if the service has it.
pub(super) fn known(action: &str) -> Option<&'static str> {
    SUPPORTED.iter().chain(&UNSUPPORTED).copied().find(|name| *name == action)
}

/// Runs an operation of the service.
pub async fn run(call: &Call<'_>) -> Result<Answer, Refusal> {
    match call.action {
        // Those that prove themselves otherwise than by a signature.
        "AssumeRoleWithWebIdentity" => return federated::assume_role_with_web_identity(call).await,
        "AssumeRoleWithLDAPIdentity" => return federated::assume_role_with_ldap_identity(call).await,
        action if UNSUPPORTED.contains(&action) => return Err(Refusal::not_implemented(action)),
        _ => {}
    }
    if call.identity.is_anonymous() {
        return Err(Refusal::new(
            Code::MissingAuthenticationToken,
            "Request is missing Authentication Token",
        ));
    }
    match call.action {
        "GetCallerIdentity" => caller::get_caller_identity(call),
        "GetAccessKeyInfo" => caller::get_access_key_info(call),
        "DecodeAuthorizationMessage" => message::decode_authorization_message(call),
        "AssumeRole" => assume_role::assume_role(call),
        "GetSessionToken" => own_session::get_session_token(call),
        "GetFederationToken" => own_session::get_federation_token(call),
        _ => Err(call.no_such_action(VERSION)),
    }
}
