//! `mc admin user`.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::canned::names_of;
use super::error::AdminError;
use super::policy::Whom;
use super::{Admin, Told};
use crate::api::iam;
use crate::api::query::Parameters;
use crate::iam::{AccessKeyRecord, AccountState, IamError, User, iso8601};

/// MinIO's bounds of names; a name is IAM's user name too, which judges its characters.
const MIN_NAME_LEN: usize = 3;
/// MinIO's least length of a secret, and the longest that makes sense.
const SECRET_LEN: std::ops::RangeInclusive<usize> = 8..=128;

/// A body of `add-user`.
#[derive(Deserialize)]
struct NewUser {
    #[serde(rename = "secretKey", default)]
    secret: Zeroizing<String>,
    #[serde(default)]
    status: String,
    /// Names of policies, with commas between.
    #[serde(default)]
    policy: String,
}

/// Makes a user with an access key of this id and secret, or gives him another secret.
pub(super) async fn add(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("accessKey")?;
    let asked = admin.opened().await?;
    let invalid = |why: &str| AdminError::Invalid(why.to_owned());
    let asked: NewUser = serde_json::from_slice(&asked).map_err(|_| invalid("The body is no user."))?;
    if name.len() < MIN_NAME_LEN {
        return Err(invalid("An access key has at least 3 characters."));
    }
    if !SECRET_LEN.contains(&asked.secret.len()) {
        return Err(invalid("A secret key has between 8 and 128 characters."));
    }
    let is_active = is_enabled(if asked.status.is_empty() { "enabled" } else { &asked.status })?;
    let account = admin.account()?;
    let of_user = Parameters::of(&[("UserName", name)]);
    let user = account.users.exact(name);
    let action = if user.is_some() { "CreateAccessKey" } else { "CreateUser" };
    iam::account_for_user(&admin.call(action, &of_user), name)?;
    let of_another =
        |known: &AccessKeyRecord| known.user.is_none() || known.user != user.map(|user| user.id.clone());
    if admin.app.iam.state().access_keys.get(name).is_some_and(|known| of_another(&known.record)) {
        return Err(IamError::EntityAlreadyExists("The access key is somebody else's.".to_owned()).into());
    }
    if user.is_none() {
        admin.iam("CreateUser", &[("UserName", name)]).await?;
    }
    if account.access_keys.contains_key(name) {
        // The former secret goes away.
        iam::account_for_user(&admin.call("DeleteAccessKey", &of_user), name)?;
    }
    iam::put_access_key(&admin.call("CreateAccessKey", &of_user), name, &asked.secret).await?;
    if !is_active {
        set(admin, name, name, is_active).await?;
    }
    for policy in asked.policy.split(',').map(str::trim).filter(|policy| !policy.is_empty()) {
        Whom::user(name).attach(admin, policy).await?;
    }
    Ok(Told::Nothing)
}

/// Every user.
pub(super) fn list(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let account = admin.whole_account()?;
    let users: Map<String, Value> =
        account.users.iter().map(|user| (user.name.clone(), shown(&account, user))).collect();
    Ok(Told::Sealed(users.into()))
}

/// One user.
pub(super) fn info(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("accessKey")?;
    let of_user = Parameters::of(&[("UserName", name)]);
    let mut account = admin.account()?;
    for action in ["GetUser", "ListAccessKeys", "ListAttachedUserPolicies", "ListGroupsForUser"] {
        account = iam::account_for_user(&admin.call(action, &of_user), name)?;
    }
    let user = account.users.exact(name).ok_or(AdminError::NoSuchUser)?;
    Ok(Told::Plain(shown(&account, user)))
}

/// Lets a user in, or not: that is, all his access keys.
pub(super) async fn set_status(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("accessKey")?;
    let is_active = is_enabled(admin.required("status")?)?;
    for id in access_keys(admin, name)? {
        set(admin, name, &id, is_active).await?;
    }
    Ok(Told::Nothing)
}

/// Removes a user with all that he has.
pub(super) async fn remove(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("accessKey")?;
    let of_user = ("UserName", name);
    for id in access_keys(admin, name)? {
        admin.iam("DeleteAccessKey", &[of_user, ("AccessKeyId", &id)]).await?;
    }
    let account = admin.account()?;
    let user = account.users.exact(name).ok_or(AdminError::NoSuchUser)?;
    for arn in &user.attached {
        admin.iam("DetachUserPolicy", &[of_user, ("PolicyArn", arn)]).await?;
    }
    for policy in user.inline.keys() {
        admin.iam("DeleteUserPolicy", &[of_user, ("PolicyName", policy)]).await?;
    }
    for group in account.groups_of(user) {
        admin.iam("RemoveUserFromGroup", &[of_user, ("GroupName", &group.name)]).await?;
    }
    admin.iam("DeleteUser", &[of_user]).await?;
    Ok(Told::Nothing)
}

/// The ids of a user's access keys, for him who may list them.
fn access_keys(admin: &Admin<'_>, name: &str) -> Result<Vec<String>, AdminError> {
    let of_user = Parameters::of(&[("UserName", name)]);
    let account = iam::account_for_user(&admin.call("ListAccessKeys", &of_user), name)?;
    let user = account.users.exact(name).ok_or(AdminError::NoSuchUser)?;
    Ok(account.access_keys_of(Some(&user.id)).map(|access_key| access_key.record.id.clone()).collect())
}

async fn set(admin: &Admin<'_>, user: &str, id: &str, is_active: bool) -> Result<(), AdminError> {
    let status = if is_active { "Active" } else { "Inactive" };
    admin.iam("UpdateAccessKey", &[("UserName", user), ("AccessKeyId", id), ("Status", status)]).await
}

fn is_enabled(status: &str) -> Result<bool, AdminError> {
    match status {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err(AdminError::Invalid("A user's status is enabled or disabled.".to_owned())),
    }
}

/// A user as MinIO shows it: enabled, if there is an access key that he gets in with.
fn shown(account: &AccountState, user: &User) -> Value {
    let is_enabled = account.access_keys_of(Some(&user.id)).any(|access_key| access_key.record.is_active);
    let groups: Vec<&str> = account.groups_of(user).map(|group| group.name.as_str()).collect();
    json!({
        "status": if is_enabled { "enabled" } else { "disabled" },
        "policyName": names_of(&user.attached),
        "memberOf": groups,
        "updatedAt": iso8601(user.created_unix_ms / 1000),
    })
}
