//! Groups, and who is in them.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Group.html>

use std::sync::Arc;

use super::entity::{self, Shape};
use super::kind::Kind;
use super::page::Page;
use super::quota::Quota;
use super::user;
use super::{Change, Request, rules};
use crate::api::query::{Answer, Refusal, list};
use crate::api::xml::XmlWriter;
use crate::iam::{Account, AccountState, Draft, Group, IamError, IdKind, User, unique_id};

/// `CreateGroup`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateGroup.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::new_name::<Group>(parameters, Group::NAME)?.to_owned();
    let path = rules::path(parameters, "Path", false)?.to_owned();
    request.authorize(&request.arn_of::<Group>(&path, &name))?;
    Ok(Box::new(move |draft| {
        entity::vacant::<Group>(draft, &name)?;
        let group = Group {
            id: unique_id(IdKind::Group),
            name: name.clone(),
            path: path.clone(),
            created_unix_ms: draft.now_unix_ms(),
            inline: Default::default(),
            attached: Vec::new(),
        };
        let answer = Answer::of(|xml| write_in(xml, &draft.account, &group));
        draft.put(group);
        Ok(answer)
    }))
}

/// `GetGroup`, with its users in pages: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetGroup.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::name_of::<Group>(request.parameters())?;
    let page = Page::of(request.parameters())?;
    request.authorize_named::<Group>(name)?;
    let group = request.state.groups.get(name)?;
    let members = members(&request.state, group).map(|user| (entity::order(&**user), user));
    let listed = page.cut(members);
    Ok(Answer::of(|xml| {
        write_in(xml, request.account(), group);
        listed.write_end(xml);
        list(xml, "Users", &listed.rows, |xml, user| {
            user::write(xml, request.account(), user, Shape::Listed);
        });
    }))
}

/// The users of a group.
fn members<'a>(account: &'a AccountState, group: &'a Group) -> impl Iterator<Item = &'a Arc<User>> {
    account.users.iter().filter(|user| user.groups.contains(&group.id))
}

/// `ListGroups`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListGroups.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    entity::listed::<Group>(request, "Groups", |xml, group| write(xml, request.account(), group))
}

/// `ListGroupsForUser`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListGroupsForUser.html>
pub(super) fn list_for_user(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::name_of::<User>(request.parameters())?;
    let page = Page::of(request.parameters())?;
    request.authorize_named::<User>(name)?;
    let user = request.state.users.get(name)?;
    let groups = request.state.groups_of(user).map(|group| (entity::order(&**group), group));
    let listed = page.cut(groups);
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        list(xml, "Groups", &listed.rows, |xml, group| write(xml, request.account(), group));
    }))
}

/// `UpdateGroup`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateGroup.html>
pub(super) fn update(request: &Request<'_>) -> Result<Change, Refusal> {
    entity::renamed::<Group>(request, "NewGroupName", |group, name, path| {
        (group.name, group.path) = (name, path)
    })
}

/// `DeleteGroup`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteGroup.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<Group>(request.parameters())?.to_owned();
    request.authorize_named::<Group>(&name)?;
    Ok(Box::new(move |draft| {
        let group = draft.groups.get(&name)?.clone();
        if members(draft, &group).next().is_some() {
            return Err(entity::in_use("remove users from group"));
        }
        entity::without_policies(&*group)?;
        draft.remove::<Group>(&group.id);
        Ok(Answer::empty())
    }))
}

/// `AddUserToGroup`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddUserToGroup.html>
pub(super) fn add_user(request: &Request<'_>) -> Result<Change, Refusal> {
    membership(request, |user, group| {
        if !user.groups.contains(&group.id) {
            Quota::GroupsPerUser.check(user.groups.len() + 1)?;
            user.groups.push(group.id.clone());
        }
        Ok(())
    })
}

/// `RemoveUserFromGroup`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_RemoveUserFromGroup.html>
///
/// A group whose document is missing has lost its name; here its id does in its place.
pub(super) fn remove_user(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = rules::name_of::<Group>(request.parameters())?.to_owned();
    let user_name = rules::name_of::<User>(request.parameters())?.to_owned();
    let remove = membership(request, |user, group| {
        user.groups.retain(|id| *id != group.id);
        Ok(())
    })?;
    Ok(Box::new(
        move |draft: &mut Draft| {
            if forget_missing(draft, &user_name, &name) { Ok(Answer::empty()) } else { remove(draft) }
        },
    ))
}

/// Takes a group from a user of which there is no document. False: the user has no such group.
fn forget_missing(draft: &mut Draft, user_name: &str, group_id: &str) -> bool {
    let user = draft.users.find(user_name).cloned();
    let Some(user) = user.filter(|user| draft.missing_groups_of(user).any(|id| id == group_id)) else {
        return false;
    };
    let mut user = User::clone(&user);
    user.groups.retain(|id| id != group_id);
    draft.put(user);
    true
}

fn membership(
    request: &Request<'_>,
    change: fn(&mut User, &Group) -> Result<(), IamError>,
) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::name_of::<Group>(parameters)?.to_owned();
    let user_name = rules::name_of::<User>(parameters)?.to_owned();
    request.authorize_named::<Group>(&name)?;
    Ok(Box::new(move |draft: &mut Draft| {
        let group = draft.groups.get(&name)?.clone();
        let former = draft.users.get(&user_name)?.clone();
        let mut user = User::clone(&former);
        change(&mut user, &group)?;
        if user.groups != former.groups {
            draft.put(user);
        }
        Ok(Answer::empty())
    }))
}

fn write_in(xml: &mut XmlWriter, account: &Account, group: &Group) {
    xml.open("Group");
    write(xml, account, group);
    xml.close("Group");
}

fn write(xml: &mut XmlWriter, account: &Account, group: &Group) {
    entity::write_common(xml, account, group, group.created_unix_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_missing_is_taken_away_by_its_id() {
        let account = Account::new("111122223333", "test", "", 0);
        let mut draft = Draft::for_tests(AccountState::new(account));
        draft.put(Group {
            id: "AGPAhere".to_owned(),
            name: "here".to_owned(),
            path: "/".to_owned(),
            created_unix_ms: 0,
            inline: Default::default(),
            attached: Vec::new(),
        });
        draft.put(User {
            id: "AIDA1".to_owned(),
            name: "alice".to_owned(),
            path: "/".to_owned(),
            created_unix_ms: 0,
            tags: Vec::new(),
            boundary: None,
            inline: Default::default(),
            attached: Vec::new(),
            groups: vec!["AGPAhere".to_owned(), "AGPAgone".to_owned()],
        });
        // One that is there has a name.
        for (user, id) in [("alice", "AGPAhere"), ("alice", "AGPAother"), ("bob", "AGPAgone")] {
            assert!(!forget_missing(&mut draft, user, id), "{user} {id}");
        }
        assert!(forget_missing(&mut draft, "alice", "AGPAgone"));
        assert_eq!(
            draft.users.find("alice").map(|user| user.groups.clone()),
            Some(vec!["AGPAhere".to_owned()])
        );
        assert!(!forget_missing(&mut draft, "alice", "AGPAgone"));
    }
}
