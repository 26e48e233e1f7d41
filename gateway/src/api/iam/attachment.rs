//! Managed policies that users, groups and roles have.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_manage-attach-detach.html>

use super::kind::{Holder, Kind};
use super::page::Page;
use super::policy;
use super::rules::{self, one_of};
use super::{Change, Request};
use crate::api::query::{Answer, Refusal, list};
use crate::api::xml::XmlWriter;
use crate::iam::{AccountState, Group, Role, User, aws};

/// `AttachUserPolicy` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachUserPolicy.html>
pub(super) fn attach<T: Holder>(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<T>(request.parameters())?.to_owned();
    let arn = policy::arn(request.parameters())?.to_owned();
    request.authorize_named::<T>(&name)?;
    Ok(Box::new(move |draft| {
        let mut holder = T::clone(T::of(draft).get(&name)?);
        if draft.managed_text(&arn).is_none() {
            return Err(policy::not_attachable(&arn));
        }
        if !holder.attached().contains(&arn) {
            T::ATTACHED_QUOTA.check(holder.attached().len() + 1)?;
            holder.attached_mut().push(arn.clone());
            draft.put(holder);
        }
        Ok(Answer::empty())
    }))
}

/// `DetachUserPolicy` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DetachUserPolicy.html>
pub(super) fn detach<T: Holder>(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<T>(request.parameters())?.to_owned();
    let arn = policy::arn(request.parameters())?.to_owned();
    request.authorize_named::<T>(&name)?;
    Ok(Box::new(move |draft| {
        let mut holder = T::clone(T::of(draft).get(&name)?);
        let Some(at) = holder.attached().iter().position(|attached| *attached == arn) else {
            return Err(policy::not_found(&arn));
        };
        holder.attached_mut().remove(at);
        draft.put(holder);
        Ok(Answer::empty())
    }))
}

/// `ListAttachedUserPolicies` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAttachedUserPolicies.html>
pub(super) fn list_of<T: Holder>(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::name_of::<T>(request.parameters())?;
    let prefix = rules::path_prefix(request.parameters())?;
    let page = Page::of(request.parameters())?;
    request.authorize_named::<T>(name)?;
    let holder = T::of(&request.state).get(name)?;
    let attached = holder.attached().iter().map(String::as_str);
    let under_prefix = attached.filter(|arn| path_and_name(arn).0.starts_with(prefix));
    let listed = page.cut(under_prefix.map(|arn| (key(arn), arn)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        write(xml, listed.rows.iter().copied());
    }))
}

/// `AttachedPolicies`.
fn write<'a>(xml: &mut XmlWriter, arns: impl Iterator<Item = &'a str>) {
    write_as(xml, "AttachedPolicies", arns);
}

/// Policies by name and ARN.
pub(super) fn write_as<'a>(xml: &mut XmlWriter, element: &str, arns: impl Iterator<Item = &'a str>) {
    list(xml, element, arns, |xml, arn| {
        xml.text("PolicyName", path_and_name(arn).1);
        xml.text("PolicyArn", arn);
    });
}

/// Path and name of the policy of this ARN.
fn path_and_name(arn: &str) -> (&str, &str) {
    let rest = arn.split_once(":policy").map_or("/", |(_, rest)| rest);
    rest.split_at(rest.rfind('/').map_or(0, |at| at + 1))
}

/// AWS and an account may each have a policy of the same name.
fn key(arn: &str) -> String {
    let of_aws = aws::find(arn).is_some();
    format!("{} {}", path_and_name(arn).1.to_lowercase(), u8::from(of_aws))
}

/// How a policy is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Permissions,
    Boundary,
    Either,
}

impl Usage {
    fn is_of<T: Holder>(self, holder: &T, arn: &str) -> bool {
        let attached = || holder.attached().iter().any(|attached| attached == arn);
        let bounds = || holder.boundary() == Some(arn);
        match self {
            Self::Permissions => attached(),
            Self::Boundary => bounds(),
            Self::Either => attached() || bounds(),
        }
    }
}

/// `ListEntitiesForPolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListEntitiesForPolicy.html>
pub(super) fn list_entities(request: &Request<'_>) -> Result<Answer, Refusal> {
    let parameters = request.parameters();
    let arn = policy::arn(parameters)?;
    let kinds = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
    let only = one_of(parameters, "EntityFilter", &kinds)?;
    let usage = match one_of(parameters, "PolicyUsageFilter", &policy::USAGES)? {
        Some("PermissionsPolicy") => Usage::Permissions,
        Some(_) => Usage::Boundary,
        None => Usage::Either,
    };
    let prefix = rules::path_prefix(parameters)?;
    let page = Page::of(parameters)?;
    policy::authorize(request, arn)?;
    if request.state.managed_text(arn).is_none() {
        return Err(policy::not_found(arn).into());
    }
    let mut found = Vec::new();
    let asked = (&*request.state, arn, usage, prefix);
    for (kind, rows) in
        [("Group", rows::<Group>(asked)), ("Role", rows::<Role>(asked)), ("User", rows::<User>(asked))]
    {
        if only.is_none_or(|only| only == kind) {
            found.extend(
                rows.into_iter()
                    .map(|(name, id)| (format!("{kind} {}", name.to_lowercase()), (kind, name, id))),
            );
        }
    }
    let listed = page.cut(found);
    Ok(Answer::of(|xml| {
        for (kind, element, name_element, id_element) in [
            ("Group", "PolicyGroups", Group::NAME, Group::ID),
            ("User", "PolicyUsers", User::NAME, User::ID),
            ("Role", "PolicyRoles", Role::NAME, Role::ID),
        ] {
            let of_kind = listed.rows.iter().filter(|(of, ..)| *of == kind);
            list(xml, element, of_kind, |xml, (_, name, id)| {
                xml.text(name_element, name);
                xml.text(id_element, id);
            });
        }
        listed.write_end(xml);
    }))
}

/// Name and id of those of a kind who use the policy.
fn rows<T: Holder>(
    (account, arn, usage, prefix): (&AccountState, &str, Usage, &str),
) -> Vec<(String, String)> {
    let all = T::of(account).iter().filter(|holder| holder.path().starts_with(prefix));
    let using = all.filter(|holder| usage.is_of(&***holder, arn));
    using.map(|holder| (holder.name().to_owned(), holder.id().to_owned())).collect()
}
