//! `mc admin policy`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::canned::{Canned, name_of};
use super::error::AdminError;
use super::{Admin, Told};
use crate::api::iam;
use crate::api::query::{Parameters, now_unix_ms};
use crate::iam::{AccountState, iso8601};

/// AWS's most versions of a policy.
const MAX_VERSIONS: usize = 5;

/// Makes a policy, or replaces what it says.
pub(super) async fn add(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("name")?;
    let text = str::from_utf8(admin.body);
    let text = text.map_err(|_| AdminError::Invalid("The policy is not text in UTF-8.".to_owned()))?;
    let account = admin.account()?;
    let Some(policy) = account.policies.exact(name) else {
        admin.iam("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", text)]).await?;
        return Ok(Told::Nothing);
    };
    let arn = Canned::Own(policy).arn(&account);
    // Checked here, before a version is given up for it.
    crate::iam::PolicyText::parse(text)
        .map_err(|_| AdminError::Invalid("The policy can't be read.".to_owned()))?;
    if policy.versions.len() >= MAX_VERSIONS {
        let oldest = policy.versions.keys().find(|number| **number != policy.default_version);
        let oldest = oldest.map_or_else(String::new, |number| format!("v{number}"));
        admin.iam("DeletePolicyVersion", &[("PolicyArn", &arn), ("VersionId", &oldest)]).await?;
    }
    let asked = [("PolicyArn", arn.as_str()), ("PolicyDocument", text), ("SetAsDefault", "true")];
    admin.iam("CreatePolicyVersion", &asked).await?;
    Ok(Told::Nothing)
}

/// Every policy with its text: the account's, MinIO's and AWS's.
pub(super) fn list(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let account = admin.whole_account()?;
    let texts = Canned::names(&account).into_iter().filter_map(|name| {
        let text = parsed(Canned::find(&account, &name)?);
        Some((name, text))
    });
    Ok(Told::Plain(texts.collect::<Map<String, Value>>().into()))
}

/// What a policy says, and (`v=2`) since when.
pub(super) fn info(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("name")?;
    let account = admin.account()?;
    let policy = found(&account, name)?;
    let of_policy = Parameters::default();
    for action in ["GetPolicy", "GetPolicyVersion"] {
        iam::account_for_policy(&admin.call(action, &of_policy), &policy.arn(&account))?;
    }
    let text = parsed(policy);
    if admin.query.get("v") != Some("2") {
        return Ok(Told::Plain(text));
    }
    let mut told = json!({ "PolicyName": name, "Policy": text });
    if let Canned::Own(own) = policy {
        told["CreateDate"] = iso8601(own.created_unix_ms / 1000).into();
        told["UpdateDate"] = iso8601(own.updated_unix_ms / 1000).into();
    }
    Ok(Told::Plain(told))
}

/// Removes a policy that nobody has.
pub(super) async fn remove(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("name")?;
    let account = admin.account()?;
    let policy = found(&account, name)?;
    let arn = policy.arn(&account);
    if let Canned::Own(own) = policy
        && !is_attached(&account, &arn)
    {
        for number in own.versions.keys().filter(|number| **number != own.default_version) {
            let version = format!("v{number}");
            admin.iam("DeletePolicyVersion", &[("PolicyArn", &arn), ("VersionId", &version)]).await?;
        }
    }
    admin.iam("DeletePolicy", &[("PolicyArn", &arn)]).await?;
    Ok(Told::Nothing)
}

/// A body of `attach` and `detach`.
#[derive(Deserialize)]
struct Association {
    policies: Vec<String>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    group: String,
}

/// Attaches policies to a user or group.
pub(super) async fn attach(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let (whom, policies) = association(admin).await?;
    let mut attached = Vec::new();
    for policy in policies {
        if whom.attach(admin, &policy).await? {
            attached.push(policy);
        }
    }
    changed("policiesAttached", attached)
}

/// Detaches policies of a user or group.
pub(super) async fn detach(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let (whom, policies) = association(admin).await?;
    let mut detached = Vec::new();
    for policy in policies {
        if whom.detach(admin, &policy).await? {
            detached.push(policy);
        }
    }
    changed("policiesDetached", detached)
}

async fn association(admin: &Admin<'_>) -> Result<(Whom, Vec<String>), AdminError> {
    let asked: Association = serde_json::from_slice(&admin.opened().await?)
        .map_err(|_| AdminError::Invalid("The body names no policies.".to_owned()))?;
    let whom = match (asked.user.as_str(), asked.group.as_str()) {
        (user, "") if !user.is_empty() => Whom::user(user),
        ("", group) if !group.is_empty() => Whom::group(group),
        _ => return Err(AdminError::Invalid("The body names a user or a group, one of both.".to_owned())),
    };
    Ok((whom, asked.policies))
}

fn changed(what: &str, policies: Vec<String>) -> Result<Told, AdminError> {
    match policies.is_empty() {
        true => Err(AdminError::NoChange),
        false => Ok(Told::Sealed(json!({ what: policies, "updatedAt": now() }))),
    }
}

/// Makes these the policies of a user or group, and no others.
pub(super) async fn set(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let name = admin.required("userOrGroup")?;
    let whom = match admin.query.get("isGroup") {
        Some("true") => Whom::group(name),
        _ => Whom::user(name),
    };
    let wanted: Vec<&str> =
        admin.query.get("policyName").unwrap_or_default().split(',').map(str::trim).collect();
    for policy in wanted.iter().filter(|policy| !policy.is_empty()) {
        whom.attach(admin, policy).await?;
    }
    let account = admin.account()?;
    for arn in whom.attached(&account)? {
        if !wanted.contains(&name_of(&arn)) {
            admin.iam(&format!("Detach{}Policy", whom.kind), &[whom.named(), ("PolicyArn", &arn)]).await?;
        }
    }
    Ok(Told::Nothing)
}

/// Who has which policies: of the users, groups and policies that are asked for, or else of all.
pub(super) fn entities(admin: &Admin<'_>) -> Result<Told, AdminError> {
    let account = admin.whole_account()?;
    let [users, groups, policies] =
        ["user", "group", "policy"].map(|name| admin.all(name).collect::<Vec<_>>());
    let is_all = users.is_empty() && groups.is_empty() && policies.is_empty();
    let names = |arns: &[String]| arns.iter().map(|arn| name_of(arn).to_owned()).collect::<Vec<_>>();
    let group =
        |group: &crate::iam::Group| json!({ "group": group.name, "policies": names(&group.attached) });
    let of_users = account.users.iter().filter(|user| match is_all {
        true => !user.attached.is_empty(),
        false => users.contains(&user.name.as_str()),
    });
    let of_users: Vec<_> = of_users
        .map(|user| {
            let member_of: Vec<_> = account.groups_of(user).map(|of| group(of)).collect();
            json!({ "user": user.name, "policies": names(&user.attached), "memberOfMappings": member_of })
        })
        .collect();
    let of_groups = account.groups.iter().filter(|group| match is_all {
        true => !group.attached.is_empty(),
        false => groups.contains(&group.name.as_str()),
    });
    let of_groups: Vec<_> = of_groups.map(|of| group(of)).collect();
    let wanted = |name: &String| is_all || policies.contains(&name.as_str());
    let of_policies = Canned::names(&account).into_iter().filter(wanted).filter_map(|name| {
        let arn = Canned::find(&account, &name)?.arn(&account);
        let users = account.users.iter().filter(|user| user.attached.contains(&arn));
        let users: Vec<_> = users.map(|user| user.name.as_str()).collect();
        let groups = account.groups.iter().filter(|group| group.attached.contains(&arn));
        let groups: Vec<_> = groups.map(|group| group.name.as_str()).collect();
        let is_used = !users.is_empty() || !groups.is_empty();
        (is_used || !is_all).then(|| json!({ "policy": name, "users": users, "groups": groups }))
    });
    let of_policies: Vec<_> = of_policies.collect();
    Ok(Told::Sealed(json!({
        "timestamp": now(),
        "userMappings": of_users,
        "groupMappings": of_groups,
        "policyMappings": of_policies,
    })))
}

/// A user or group that has policies.
pub(super) struct Whom {
    kind: &'static str,
    parameter: &'static str,
    name: String,
}

impl Whom {
    pub(super) fn user(name: &str) -> Self {
        Self { kind: "User", parameter: "UserName", name: name.to_owned() }
    }

    fn group(name: &str) -> Self {
        Self { kind: "Group", parameter: "GroupName", name: name.to_owned() }
    }

    fn named(&self) -> (&str, &str) {
        (self.parameter, &self.name)
    }

    fn attached(&self, account: &AccountState) -> Result<Vec<String>, AdminError> {
        let attached = match self.kind {
            "User" => account.users.exact(&self.name).map(|user| &user.attached),
            _ => account.groups.exact(&self.name).map(|group| &group.attached),
        };
        let absent = if self.kind == "User" { AdminError::NoSuchUser } else { AdminError::NoSuchGroup };
        attached.cloned().ok_or(absent)
    }

    /// Attaches the policy of this name; was it not there?
    pub(super) async fn attach(&self, admin: &Admin<'_>, name: &str) -> Result<bool, AdminError> {
        let account = admin.account()?;
        let policy = found(&account, name)?;
        let arn = policy.arn(&account);
        let is_new = !self.attached(&account)?.contains(&arn);
        if let Canned::BuiltIn(name, text) = policy {
            admin.iam("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", text)]).await?;
        }
        // Asked in any case: who may not learns nothing.
        admin.iam(&format!("Attach{}Policy", self.kind), &[self.named(), ("PolicyArn", &arn)]).await?;
        Ok(is_new)
    }

    /// Detaches the policy of this name; was it there?
    async fn detach(&self, admin: &Admin<'_>, name: &str) -> Result<bool, AdminError> {
        let account = admin.account()?;
        let attached = self.attached(&account)?;
        let Some(arn) = attached.iter().find(|arn| name_of(arn) == name) else {
            found(&account, name)?;
            return Ok(false);
        };
        admin.iam(&format!("Detach{}Policy", self.kind), &[self.named(), ("PolicyArn", arn)]).await?;
        Ok(true)
    }
}

fn found<'a>(account: &'a Arc<AccountState>, name: &str) -> Result<Canned<'a>, AdminError> {
    Canned::find(account, name).ok_or_else(|| AdminError::NoSuchPolicy(name.to_owned()))
}

fn is_attached(account: &AccountState, arn: &str) -> bool {
    let has = |attached: &Vec<String>| attached.iter().any(|attached| attached == arn);
    account.users.iter().any(|user| has(&user.attached))
        || account.groups.iter().any(|group| has(&group.attached))
        || account.roles.iter().any(|role| has(&role.attached))
}

fn parsed(policy: Canned<'_>) -> Value {
    serde_json::from_str(policy.text()).unwrap_or_default()
}

fn now() -> String {
    iso8601(now_unix_ms() / 1000)
}
