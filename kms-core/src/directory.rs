//! Which principals there are: whom a key policy or a grant may name, and who is meant by it for good.

use crate::policy::is_account_id;

/// Knows accounts, users and roles. It is asked while a change of the key store waits for the answer: it must not call the [`Kms`].
///
/// [`Kms`]: crate::kms::Kms
pub trait Directory: Send + Sync {
    /// The unique id of a user (`AIDA…`), a role (`AROA…`) or a role's session (`AROA…:session`), by its ARN; or, asked for such an
    /// id, whether there is somebody of it.
    fn id_of(&self, name: &str) -> Lookup;

    /// The ARN that the one of this id has now; `None` if there is nobody of it any more.
    fn arn_of(&self, id: &str) -> Option<String>;

    /// Is there this account (12 digits)?
    fn has_account(&self, account: &str) -> bool;
}

/// What a [`Directory`] knows of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It has this unique id.
    Id(String),
    /// It is of an account that the directory keeps, and there is none of that name.
    NoSuchPrincipal,
    /// Others know it: it is taken for existing, and known by its name alone.
    NotOurs,
}

/// A policy or a grant names somebody who does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such principal")]
pub(crate) struct NoSuchPrincipal;

/// The id that a name is to be bound to; `None`: it stands for itself, as accounts, ids and whom others know.
pub(crate) fn bound(directory: &dyn Directory, name: &str) -> Result<Option<String>, NoSuchPrincipal> {
    let root = name.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root"));
    let account = root.or_else(|| is_account_id(name).then_some(name));
    if let Some(account) = account {
        return if directory.has_account(account) { Ok(None) } else { Err(NoSuchPrincipal) };
    }
    match directory.id_of(name) {
        Lookup::Id(id) if id == name => Ok(None),
        Lookup::Id(id) => Ok(Some(id)),
        Lookup::NotOurs => Ok(None),
        Lookup::NoSuchPrincipal => Err(NoSuchPrincipal),
    }
}
