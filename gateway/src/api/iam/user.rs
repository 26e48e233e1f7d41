//! Users.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_User.html>

use super::entity::{self, Shape};
use super::kind::Kind;
use super::{Change, Request, boundary, rules, tag};
use crate::api::query::{Answer, Refusal, time};
use crate::api::xml::XmlWriter;
use crate::iam::{Account, IdKind, User, unique_id};

/// `CreateUser`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::new_name::<User>(parameters, User::NAME)?.to_owned();
    let path = rules::path(parameters, "Path", false)?.to_owned();
    let tags = tag::parameter::<User>(parameters)?;
    let boundary = boundary::optional(request)?;
    request.authorize(&request.arn_of::<User>(&path, &name))?;
    Ok(Box::new(move |draft| {
        entity::vacant::<User>(draft, &name)?;
        let user = User {
            id: unique_id(IdKind::User),
            name: name.clone(),
            path: path.clone(),
            created_unix_ms: draft.now_unix_ms(),
            tags: tags.clone(),
            boundary: boundary::found(draft, boundary.as_deref())?,
            inline: Default::default(),
            attached: Vec::new(),
            groups: Vec::new(),
        };
        let answer = Answer::of(|xml| write_in(xml, "User", &draft.account, &user, Shape::Made));
        draft.put(user);
        Ok(answer)
    }))
}

/// `GetUser`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetUser.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let parameters = request.parameters();
    let name = match parameters.get(User::NAME) {
        Some(_) => Some(rules::name_of::<User>(parameters)?),
        None => request.calling_user()?,
    };
    let Some(name) = name else {
        let account = request.account();
        return Ok(Answer::of(|xml| {
            xml.open("User");
            xml.text("UserId", &account.id);
            xml.text("Arn", &account.iam_arn("root"));
            time(xml, "CreateDate", account.created_unix_ms);
            xml.close("User");
        }));
    };
    request.authorize_named::<User>(name)?;
    let user = request.state.users.get(name)?;
    Ok(Answer::of(|xml| write_in(xml, "User", request.account(), user, Shape::Whole)))
}

/// `ListUsers`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    entity::listed::<User>(request, "Users", |xml, user| write(xml, request.account(), user, Shape::Listed))
}

/// `UpdateUser`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html>
pub(super) fn update(request: &Request<'_>) -> Result<Change, Refusal> {
    entity::renamed::<User>(request, "NewUserName", |user, name, path| (user.name, user.path) = (name, path))
}

/// `DeleteUser`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUser.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<User>(request.parameters())?.to_owned();
    request.authorize_named::<User>(&name)?;
    Ok(Box::new(move |draft| {
        let user = draft.users.get(&name)?.clone();
        if draft.access_keys_of(Some(&user.id)).next().is_some() {
            return Err(entity::in_use("delete access keys"));
        }
        entity::without_policies(&*user)?;
        if !user.groups.is_empty() {
            return Err(entity::in_use("remove users from group"));
        }
        draft.remove::<User>(&user.id);
        Ok(Answer::empty())
    }))
}

/// `User`, as an element of this name.
pub(super) fn write_in(xml: &mut XmlWriter, element: &str, account: &Account, user: &User, shape: Shape) {
    xml.open(element);
    write(xml, account, user, shape);
    xml.close(element);
}

/// The content of `User`.
pub(super) fn write(xml: &mut XmlWriter, account: &Account, user: &User, shape: Shape) {
    entity::write_common(xml, account, user, user.created_unix_ms);
    if shape != Shape::Listed {
        boundary::write(xml, user.boundary.as_deref());
        tag::write_some(xml, &user.tags);
    }
}
