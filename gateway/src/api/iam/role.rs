//! Roles.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>

use super::entity::{self, Shape};
use super::kind::Kind;
use super::policy_document;
use super::rules::{self, ROLE_DESCRIPTION};
use super::{Change, Request, boundary, tag, trust};
use crate::api::query::{Answer, Refusal, encoded};
use crate::api::xml::XmlWriter;
use crate::iam::{Account, IdKind, Role, State, TrustPolicy, unique_id};

/// The bounds of `MaxSessionDuration`, in seconds.
const SESSION_S: (u32, u32) = (3_600, 43_200);

/// `CreateRole`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::new_name::<Role>(parameters, Role::NAME)?.to_owned();
    let path = rules::path(parameters, "Path", false)?.to_owned();
    let trust = policy_document::parameter(parameters, "AssumeRolePolicyDocument")?;
    let description = rules::optional(parameters, "Description", ROLE_DESCRIPTION)?.map(str::to_owned);
    let max_session_s = rules::number(parameters, "MaxSessionDuration", SESSION_S)?.unwrap_or(SESSION_S.0);
    let tags = tag::parameter::<Role>(parameters)?;
    let boundary = boundary::optional(request)?;
    request.authorize(&request.arn_of::<Role>(&path, &name))?;
    let trust = trusted(request, trust)?;
    let all = request.all.clone();
    Ok(Box::new(move |draft| {
        entity::vacant::<Role>(draft, &name)?;
        let role = Role {
            id: unique_id(IdKind::Role),
            name: name.clone(),
            path: path.clone(),
            created_unix_ms: draft.now_unix_ms(),
            description: description.clone(),
            max_session_s,
            trust: trust.clone(),
            tags: tags.clone(),
            boundary: boundary::found(draft, boundary.as_deref())?,
            inline: Default::default(),
            attached: Vec::new(),
        };
        let answer = Answer::of(|xml| write_in(xml, &all, &draft.account, &role, Shape::Made));
        draft.put(role);
        Ok(answer)
    }))
}

fn trusted(request: &Request<'_>, text: &str) -> Result<TrustPolicy, Refusal> {
    let accept_unknown = request.call.app.iam.accept_unknown_principals;
    Ok(trust::policy(text, &request.all, accept_unknown)?)
}

/// `GetRole`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::name_of::<Role>(request.parameters())?;
    request.authorize_named::<Role>(name)?;
    let role = request.state.roles.get(name)?;
    Ok(Answer::of(|xml| write_in(xml, &request.all, request.account(), role, Shape::Whole)))
}

/// `ListRoles`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    entity::listed::<Role>(request, "Roles", |xml, role| {
        write(xml, &request.all, request.account(), role, Shape::Listed);
    })
}

/// `UpdateRole`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html>
pub(super) fn update(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let description = rules::optional(parameters, "Description", ROLE_DESCRIPTION)?.map(str::to_owned);
    let max_session_s = rules::number(parameters, "MaxSessionDuration", SESSION_S)?;
    // Its result has no members, and is there all the same.
    changed(
        request,
        || Answer::of(|_| ()),
        move |role| {
            if let Some(description) = &description {
                role.description = Some(description.clone());
            }
            role.max_session_s = max_session_s.unwrap_or(role.max_session_s);
        },
    )
}

/// `UpdateRoleDescription`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRoleDescription.html>
pub(super) fn update_description(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let description = rules::required(parameters, "Description", ROLE_DESCRIPTION)?.to_owned();
    let name = rules::name_of::<Role>(parameters)?.to_owned();
    request.authorize_named::<Role>(&name)?;
    let all = request.all.clone();
    Ok(Box::new(move |draft| {
        let mut role = Role::clone(draft.roles.get(&name)?);
        role.description = Some(description.clone());
        let answer = Answer::of(|xml| {
            xml.open("Role");
            write(xml, &all, &draft.account, &role, Shape::Made);
            xml.text("Description", &description);
            xml.close("Role");
        });
        draft.put(role);
        Ok(answer)
    }))
}

/// `UpdateAssumeRolePolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAssumeRolePolicy.html>
pub(super) fn update_trust(request: &Request<'_>) -> Result<Change, Refusal> {
    let text = policy_document::parameter(request.parameters(), "PolicyDocument")?;
    let name = rules::name_of::<Role>(request.parameters())?;
    request.authorize_named::<Role>(name)?;
    request.state.roles.get(name)?;
    let trust = trusted(request, text)?;
    changed(request, Answer::empty, move |role| role.trust = trust.clone())
}

fn changed(
    request: &Request<'_>,
    answer: fn() -> Answer,
    change: impl Fn(&mut Role) + Send + Sync + 'static,
) -> Result<Change, Refusal> {
    let name = rules::name_of::<Role>(request.parameters())?.to_owned();
    request.authorize_named::<Role>(&name)?;
    Ok(Box::new(move |draft| {
        let mut role = Role::clone(draft.roles.get(&name)?);
        change(&mut role);
        draft.put(role);
        Ok(answer())
    }))
}

/// `DeleteRole`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteRole.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<Role>(request.parameters())?.to_owned();
    request.authorize_named::<Role>(&name)?;
    Ok(Box::new(move |draft| {
        let role = draft.roles.get(&name)?.clone();
        entity::without_policies(&*role)?;
        draft.remove::<Role>(&role.id);
        Ok(Answer::empty())
    }))
}

fn write_in(xml: &mut XmlWriter, all: &State, account: &Account, role: &Role, shape: Shape) {
    xml.open("Role");
    write(xml, all, account, role, shape);
    xml.close("Role");
}

/// The content of `Role`.
pub(super) fn write(xml: &mut XmlWriter, all: &State, account: &Account, role: &Role, shape: Shape) {
    entity::write_common(xml, account, role, role.created_unix_ms);
    let trust = all.shown(role.trust.text(), role.trust.ids());
    xml.text("AssumeRolePolicyDocument", &encoded(&trust));
    if shape != Shape::Made {
        xml.optional("Description", role.description.as_deref());
        xml.number("MaxSessionDuration", role.max_session_s.into());
    }
    if shape != Shape::Listed {
        boundary::write(xml, role.boundary.as_deref());
        tag::write_some(xml, &role.tags);
    }
    if shape == Shape::Whole {
        // When it was last assumed is not kept.
        xml.open("RoleLastUsed");
        xml.close("RoleLastUsed");
    }
}
