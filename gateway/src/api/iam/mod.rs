//! The IAM API: users, groups, roles, policies and access keys of the caller's account.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html>

mod access_key;
mod account;
mod attachment;
mod authorization_details;
mod boundary;
mod context;
mod entity;
mod group;
mod inline;
mod kind;
mod login;
mod operation;
mod page;
mod policy;
mod policy_document;
mod policy_version;
mod provider;
mod quota;
mod role;
mod rules;
mod simulate;
mod tag;
mod tagging;
mod trust;
mod usage;
mod user;

use std::sync::Arc;

use super::query::{Answer, Call, Code, Parameters, Refusal};
use crate::iam::{Account, AccountState, Draft, IamError, Principal, SessionOf, State, User};
use context::About;
use kind::Kind;
use operation::Handler;

/// A change to an account, with what it answers. It may be asked again with a newer state of the account.
type Change = Box<dyn Fn(&mut Draft) -> Result<Answer, IamError> + Send + Sync>;

/// Parameters that change what an operation means and are not honoured.
const REFUSED_PARAMETERS: &[&str] = &[
    "ContextProvider",
    "IdentityCenterInstanceArn",
    "MaxSigninSessionDuration",
    "OrderedOrganizationPolicyInputList",
    "PolicyExclusionList",
    "RemoveContextProvider",
    "RemoveIdentityCenterInstance",
    "ResetMaxSigninSessionDuration",
    "ResourceHandlingOption",
];

/// Runs an operation of IAM.
pub async fn run(call: &Call<'_>) -> Result<Answer, Refusal> {
    let request = Request::of(call)?;
    let handler = operation::find(call.action).ok_or_else(|| call.no_such_action("2010-05-08"))?;
    for refused in REFUSED_PARAMETERS {
        let mut names = call.parameters.names();
        if names.any(|name| {
            name.strip_prefix(refused).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }) {
            return Err(Refusal::not_implemented(format_args!("The parameter {refused}")));
        }
    }
    match handler {
        Handler::Reads(read) => read(&request),
        Handler::Changes(change) => request.change(&*change(&request)?).await,
        Handler::Nothing(of, element) => login::nothing(&request, of, element),
        Handler::NotHere => Err(Refusal::not_implemented(call.action)),
    }
}

/// An operation's name, if the service's model has it.
pub(super) fn known(action: &str) -> Option<&'static str> {
    operation::known(action)
}

/// Gives the user that the call (of CreateAccessKey) names an access key of this id and secret.
pub(super) async fn put_access_key(call: &Call<'_>, id: &str, secret: &str) -> Result<(), Refusal> {
    let request = Request::of(call)?;
    request.change(&*access_key::put(&request, id, secret)?).await.map(drop)
}

/// The caller's account. What he may is not asked.
pub(super) fn account_of(call: &Call<'_>) -> Result<Arc<AccountState>, Refusal> {
    Ok(Request::of(call)?.state)
}

/// The caller's account, if he may do what the call says to its user of this name.
pub(super) fn account_for_user(call: &Call<'_>, name: &str) -> Result<Arc<AccountState>, Refusal> {
    let request = Request::of(call)?;
    request.authorize_named::<User>(name)?;
    Ok(request.state)
}

/// As [`account_for_user`], to the policy of this ARN.
pub(super) fn account_for_policy(call: &Call<'_>, arn: &str) -> Result<Arc<AccountState>, Refusal> {
    let request = Request::of(call)?;
    policy::authorize(&request, arn)?;
    Ok(request.state)
}

/// As [`account_for_user`], to all that it has.
pub(super) fn account_for_all(call: &Call<'_>) -> Result<Arc<AccountState>, Refusal> {
    let request = Request::of(call)?;
    request.authorize("*")?;
    Ok(request.state)
}

/// A request of IAM, and what there was when it came.
struct Request<'a> {
    call: &'a Call<'a>,
    all: Arc<State>,
    /// The caller's account.
    state: Arc<AccountState>,
}

impl<'a> Request<'a> {
    /// Of who may ask IAM at all.
    fn of(call: &'a Call<'a>) -> Result<Self, Refusal> {
        let identity = call.identity;
        let Some(account) = identity.account() else {
            let message = "Request is missing Authentication Token";
            return Err(Refusal::new(Code::MissingAuthenticationToken, message));
        };
        // Credentials of GetSessionToken without a second factor, and those of GetFederationToken, are none for IAM.
        let of = identity.session.as_ref().map(|session| &session.of);
        if matches!(of, Some(SessionOf::User { .. } | SessionOf::Federated { .. })) {
            return Err(Refusal::invalid_token());
        }
        let all = call.app.iam.state();
        let state = all.account(&account.id).cloned().ok_or_else(Refusal::invalid_token)?;
        Ok(Self { call, all, state })
    }

    async fn change(
        &self,
        change: &(dyn Fn(&mut Draft) -> Result<Answer, IamError> + Send + Sync),
    ) -> Result<Answer, Refusal> {
        Ok(self.call.app.iam.change(&self.account().id, change).await?)
    }
}

impl Request<'_> {
    fn parameters(&self) -> &Parameters {
        self.call.parameters
    }

    fn account(&self) -> &Account {
        &self.state.account
    }

    /// The name of the calling user; `None`: the root user calls. Others have to say whom they mean.
    fn calling_user(&self) -> Result<Option<&str>, Refusal> {
        match &self.call.identity.principal {
            Principal::Root => Ok(None),
            Principal::User { name, .. } => Ok(Some(name)),
            Principal::Anonymous | Principal::RoleSession { .. } | Principal::FederatedUser { .. } => {
                let message = "Must specify userName when calling with non-User credentials";
                Err(Refusal::new(Code::ValidationError, message))
            }
        }
    }

    /// May the caller do this to the resource?
    fn authorize(&self, resource: &str) -> Result<(), Refusal> {
        self.authorize_about(resource, About::default())
    }

    /// As [`Request::authorize`], to a resource of which this is known.
    fn authorize_about(&self, resource: &str, about: About<'_>) -> Result<(), Refusal> {
        let Call { action, parameters, .. } = *self.call;
        self.call.authorize(&format!("iam:{action}"), resource, || context::of(action, parameters, about))
    }

    /// May the caller do this to the user, group, role or policy of this name? Whether there is one is not told yet.
    fn authorize_named<T: Kind>(&self, name: &str) -> Result<(), Refusal> {
        match T::of(&self.state).find(name) {
            Some(entity) => self.authorize_about(&entity.arn(self.account()), entity.about()),
            None => self.authorize(&self.arn_of::<T>("/", name)),
        }
    }

    /// The ARN of a user, group, role or policy of this path and name.
    fn arn_of<T: Kind>(&self, path: &str, name: &str) -> String {
        self.account().iam_arn(&format!("{}{path}{name}", T::RESOURCE))
    }
}
