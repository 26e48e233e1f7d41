//! The operations on tags of users, roles and managed policies.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>

use super::kind::Tagged;
use super::page::Page;
use super::{Change, Request, policy, rules, tag};
use crate::api::query::{Answer, Refusal};
use crate::iam::{IamError, ManagedPolicy};

/// What has tags, as requests name it.
pub(super) trait Target: Tagged {
    /// Which one the request is about: its name, if it exists. Whether the caller may is asked.
    fn named(request: &Request<'_>, changes: bool) -> Result<String, Refusal>;
}

macro_rules! by_name {
    ($($type:ident),*) => {$(
        impl Target for crate::iam::$type {
            fn named(request: &Request<'_>, _changes: bool) -> Result<String, Refusal> {
                let name = rules::name_of::<Self>(request.parameters())?;
                request.authorize_named::<Self>(name)?;
                Ok(name.to_owned())
            }
        }
    )*};
}
by_name!(User, Role);

impl Target for ManagedPolicy {
    fn named(request: &Request<'_>, changes: bool) -> Result<String, Refusal> {
        let arn = policy::arn(request.parameters())?;
        if changes {
            policy::authorize_change(request, arn)?;
        } else {
            policy::authorize(request, arn)?;
        }
        let found = policy::own(&request.state, arn).ok_or_else(|| policy::not_found(arn))?;
        Ok(found.name.clone())
    }
}

/// `TagUser` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_TagUser.html>
pub(super) fn put<T: Target>(request: &Request<'_>) -> Result<Change, Refusal> {
    let tags = tag::parameter::<T>(request.parameters())?;
    changed::<T>(request, move |entity| tag::add(entity.tags_mut(), &tags, T::FOLDS_KEYS))
}

/// `UntagUser` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UntagUser.html>
pub(super) fn delete<T: Target>(request: &Request<'_>) -> Result<Change, Refusal> {
    let keys = tag::keys(request.parameters())?;
    changed::<T>(request, move |entity| {
        tag::remove(entity.tags_mut(), &keys, T::FOLDS_KEYS);
        Ok(())
    })
}

fn changed<T: Target>(
    request: &Request<'_>,
    change: impl Fn(&mut T) -> Result<(), IamError> + Send + Sync + 'static,
) -> Result<Change, Refusal> {
    let name = T::named(request, true)?;
    Ok(Box::new(move |draft| {
        let mut entity = T::clone(T::of(draft).get(&name)?);
        change(&mut entity)?;
        draft.put(entity);
        Ok(Answer::empty())
    }))
}

/// `ListUserTags` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUserTags.html>
pub(super) fn list_of<T: Target>(request: &Request<'_>) -> Result<Answer, Refusal> {
    let page = Page::of(request.parameters())?;
    let name = T::named(request, false)?;
    Ok(tag::listed(&page, T::of(&request.state).get(&name)?.tags()))
}
