//! What people and instances have on AWS, and nobody has here: passwords, devices, certificates. Tools ask for it all the same.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials.html>

use super::page::Page;
use super::rules::{self, NAME};
use super::{Change, Request};
use crate::api::query::{Answer, Refusal};
use crate::iam::{IamError, Role, User};

/// Whose it would be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// A user's: of this name, or the caller's.
    User,
    /// A role's.
    Role,
    /// The account's, by what their ARNs begin with.
    Account(&'static str),
    /// As [`Of::Account`], and never in pages.
    WholeAccount(&'static str),
}

/// Answers a list of them.
pub(super) fn nothing(request: &Request<'_>, of: Of, element: &str) -> Result<Answer, Refusal> {
    let in_pages = !matches!(of, Of::WholeAccount(_));
    if in_pages {
        Page::of(request.parameters())?;
    }
    match of {
        Of::User => {
            user(request)?;
        }
        Of::Role => {
            let name = rules::name_of::<Role>(request.parameters())?;
            request.authorize_named::<Role>(name)?;
            request.state.roles.get(name)?;
        }
        Of::Account(kind) | Of::WholeAccount(kind) => {
            request.authorize(&request.account().iam_arn(&format!("{kind}/")))?
        }
    }
    Ok(Answer::of(|xml| {
        xml.open(element);
        xml.close(element);
        if in_pages {
            xml.boolean("IsTruncated", false);
        }
    }))
}

/// The user of a request: of this name, or the caller; none for the root user.
fn user<'r>(request: &'r Request<'_>) -> Result<Option<&'r str>, Refusal> {
    let name = match request.parameters().get("UserName") {
        Some(_) => Some(rules::name_of::<User>(request.parameters())?),
        None => request.calling_user()?,
    };
    match name {
        Some(name) => {
            request.authorize_named::<User>(name)?;
            request.state.users.get(name)?;
        }
        None => request.authorize(&request.account().iam_arn("root"))?,
    }
    Ok(name)
}

/// `GetLoginProfile`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetLoginProfile.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    Err(no_profile(request))
}

/// `UpdateLoginProfile`, `DeleteLoginProfile`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteLoginProfile.html>
pub(super) fn change(request: &Request<'_>) -> Result<Change, Refusal> {
    Err(no_profile(request))
}

fn no_profile(request: &Request<'_>) -> Refusal {
    match user(request) {
        Ok(name) => {
            let name = name.unwrap_or(&request.account().id);
            IamError::NoSuchEntity(format!("Login Profile for User {name} cannot be found.")).into()
        }
        Err(refusal) => refusal,
    }
}

/// `GetInstanceProfile`, `ListInstanceProfileTags`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetInstanceProfile.html>
pub(super) fn no_instance_profile(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::required(request.parameters(), "InstanceProfileName", NAME)?;
    request.authorize(&request.account().iam_arn(&format!("instance-profile/{name}")))?;
    Err(IamError::NoSuchEntity(format!("Instance Profile {name} cannot be found.")).into())
}
