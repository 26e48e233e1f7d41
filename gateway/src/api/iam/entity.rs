//! What is done to users, groups and roles alike.

use super::kind::{Holder, Kind};
use super::page::Page;
use super::{Change, Request, rules};
use crate::api::query::{Answer, Refusal, list, time};
use crate::api::xml::XmlWriter;
use crate::iam::{Account, AccountState, IamError};

/// How much of an entity an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In a list.
    Listed,
    /// Just made.
    Made,
    /// By itself.
    Whole,
}

/// Is there a place for one more of this name?
pub(super) fn vacant<T: Kind>(account: &AccountState, name: &str) -> Result<(), IamError> {
    if T::of(account).has_name(name) {
        return Err(IamError::exists(T::TITLE, name));
    }
    T::QUOTA.check(T::of(account).len() + 1)
}

/// Those whose paths begin so, in pages.
pub(super) fn listed<T: Kind>(
    request: &Request<'_>,
    name: &str,
    mut write: impl FnMut(&mut XmlWriter, &T),
) -> Result<Answer, Refusal> {
    let prefix = rules::path_prefix(request.parameters())?;
    let page = Page::of(request.parameters())?;
    request.authorize(&request.arn_of::<T>(prefix, ""))?;
    let found = T::of(&request.state).iter().filter(|entity| entity.path().starts_with(prefix));
    let listed = page.cut(found.map(|entity| (order(&**entity), entity)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        list(xml, name, &listed.rows, |xml, entity| write(xml, entity));
    }))
}

/// The key of a listing by name: no two have the same, even where their names differ in case alone.
pub(super) fn order<T: Kind>(entity: &T) -> String {
    format!("{}\0{}", entity.name().to_lowercase(), entity.id())
}

/// Gives another name or path to a user or group, which stays who it is.
pub(super) fn renamed<T: Kind>(
    request: &Request<'_>,
    new_name: &str,
    set: fn(&mut T, String, String),
) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::name_of::<T>(parameters)?.to_owned();
    let new_path =
        parameters.get("NewPath").map(|_| rules::path(parameters, "NewPath", false)).transpose()?;
    let new_path = new_path.map(str::to_owned);
    let new_name =
        parameters.get(new_name).map(|_| rules::new_name::<T>(parameters, new_name)).transpose()?;
    let new_name = new_name.map(str::to_owned);
    request.authorize_named::<T>(&name)?;
    // Under its new name too it is for the caller to change.
    if let Some(entity) = T::of(&request.state).find(&name) {
        let path = new_path.as_deref().unwrap_or(entity.path());
        let arn = request.arn_of::<T>(path, new_name.as_deref().unwrap_or(entity.name()));
        request.authorize_about(&arn, entity.about())?;
    }
    Ok(Box::new(move |draft| {
        let former = T::of(draft).get(&name)?;
        let new_name = new_name.clone().unwrap_or_else(|| former.name().to_owned());
        if T::of(draft).alike(&new_name).any(|other| other.id() != former.id()) {
            return Err(IamError::exists(T::TITLE, &new_name));
        }
        let mut entity = T::clone(former);
        let path = new_path.clone().unwrap_or_else(|| former.path().to_owned());
        set(&mut entity, new_name, path);
        draft.put(entity);
        Ok(Answer::empty())
    }))
}

/// Something has to be done before it can be deleted.
pub(super) fn in_use(first: &str) -> IamError {
    IamError::DeleteConflict(format!("Cannot delete entity, must {first} first."))
}

/// Who has policies can't be deleted.
pub(super) fn without_policies<T: Holder>(holder: &T) -> Result<(), IamError> {
    match (holder.inline().is_empty(), holder.attached().is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(in_use("delete policies")),
        (true, false) => Err(in_use("detach all policies")),
    }
}

/// What answers tell of users, groups and roles: path, name, id, ARN and when it was made.
pub(super) fn write_common<T: Kind>(
    xml: &mut XmlWriter,
    account: &Account,
    entity: &T,
    created_unix_ms: u64,
) {
    xml.text("Path", entity.path());
    xml.text(T::NAME, entity.name());
    xml.text(T::ID, entity.id());
    xml.text("Arn", &entity.arn(account));
    time(xml, "CreateDate", created_unix_ms);
}
