//! Permissions boundaries of users and roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html>

use super::kind::Bounded;
use super::rules::{self, ARN};
use super::{Change, Request, policy};
use crate::api::query::{Answer, Refusal};
use crate::api::xml::XmlWriter;
use crate::iam::{AccountState, IamError};

const PARAMETER: &str = "PermissionsBoundary";

/// The boundary that something new gets.
pub(super) fn optional(request: &Request<'_>) -> Result<Option<String>, Refusal> {
    let arn = rules::optional(request.parameters(), PARAMETER, ARN)?;
    Ok(arn.map(|arn| policy::checked_arn(arn)).transpose()?.map(str::to_owned))
}

/// The boundary, which must exist.
pub(super) fn found(account: &AccountState, arn: Option<&str>) -> Result<Option<String>, IamError> {
    match arn {
        Some(arn) if account.managed_text(arn).is_none() => {
            Err(IamError::NoSuchEntity(format!("Scope ARN: {arn} does not exist or is not attachable.")))
        }
        arn => Ok(arn.map(str::to_owned)),
    }
}

/// `PutUserPermissionsBoundary` and its like:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutUserPermissionsBoundary.html>
pub(super) fn put<T: Bounded>(request: &Request<'_>) -> Result<Change, Refusal> {
    let arn = rules::required(request.parameters(), PARAMETER, ARN)?;
    let arn = policy::checked_arn(arn)?.to_owned();
    set::<T>(request, Some(arn))
}

/// `DeleteUserPermissionsBoundary` and its like:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUserPermissionsBoundary.html>
pub(super) fn delete<T: Bounded>(request: &Request<'_>) -> Result<Change, Refusal> {
    set::<T>(request, None)
}

fn set<T: Bounded>(request: &Request<'_>, arn: Option<String>) -> Result<Change, Refusal> {
    let name = rules::name_of::<T>(request.parameters())?.to_owned();
    request.authorize_named::<T>(&name)?;
    Ok(Box::new(move |draft| {
        let mut entity = T::clone(T::of(draft).get(&name)?);
        *entity.boundary_mut() = found(draft, arn.as_deref())?;
        draft.put(entity);
        Ok(Answer::empty())
    }))
}

/// `PermissionsBoundary`, where there is one.
pub(super) fn write(xml: &mut XmlWriter, arn: Option<&str>) {
    if let Some(arn) = arn {
        xml.open(PARAMETER);
        xml.text("PermissionsBoundaryType", "Policy");
        xml.text("PermissionsBoundaryArn", arn);
        xml.close(PARAMETER);
    }
}
