//! Inline policies of users, groups and roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html#inline-policies>

use super::kind::Holder;
use super::page::Page;
use super::policy_document::{self, Place};
use super::rules::{self, Rule};
use super::{Change, Request};
use crate::api::query::{Answer, Parameters, Refusal, encoded, texts};
use crate::iam::IamError;

/// The parameter with the policy's name.
const POLICY_NAME: &str = "PolicyName";

/// `PutUserPolicy` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutUserPolicy.html>
pub(super) fn put<T: Holder>(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::name_of::<T>(parameters)?.to_owned();
    let policy_name = policy_name(parameters)?.to_owned();
    let text = policy_document::parameter(parameters, "PolicyDocument")?;
    request.authorize_named::<T>(&name)?;
    T::of(&request.state).get(&name)?;
    let fits = |name: &str, len: usize| match T::INLINE_QUOTA.limit() {
        max_len if len <= max_len => Ok(()),
        max_len => {
            let kind = T::KIND;
            let message = format!("Maximum policy size of {max_len} bytes exceeded for {kind} {name}");
            Err(IamError::LimitExceeded(message))
        }
    };
    fits(&name, policy_document::counted_len(text))?;
    let policy = policy_document::identity_policy(text, Place::Inline)?;
    Ok(Box::new(move |draft| {
        let mut holder = T::clone(T::of(draft).get(&name)?);
        holder.inline_mut().insert(policy_name.clone(), policy.clone());
        fits(
            &name,
            holder.inline().values().map(|policy| policy_document::counted_len(policy.text())).sum(),
        )?;
        draft.put(holder);
        Ok(Answer::empty())
    }))
}

/// `GetUserPolicy` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetUserPolicy.html>
pub(super) fn get<T: Holder>(request: &Request<'_>) -> Result<Answer, Refusal> {
    let parameters = request.parameters();
    let name = rules::name_of::<T>(parameters)?;
    let policy_name = policy_name(parameters)?;
    request.authorize_named::<T>(name)?;
    let holder = T::of(&request.state).get(name)?;
    let policy = holder.inline().get(policy_name).ok_or_else(|| no_such::<T>(policy_name))?;
    Ok(Answer::of(|xml| {
        xml.text(T::NAME, holder.name());
        xml.text(POLICY_NAME, policy_name);
        xml.text("PolicyDocument", &encoded(policy.text()));
    }))
}

/// `ListUserPolicies` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUserPolicies.html>
pub(super) fn list<T: Holder>(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = rules::name_of::<T>(request.parameters())?;
    let page = Page::of(request.parameters())?;
    request.authorize_named::<T>(name)?;
    let holder = T::of(&request.state).get(name)?;
    let listed = page.cut(holder.inline().keys().map(|name| (name.clone(), name)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        texts(xml, "PolicyNames", &listed.rows);
    }))
}

/// `DeleteUserPolicy` and its like: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUserPolicy.html>
pub(super) fn delete<T: Holder>(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::name_of::<T>(parameters)?.to_owned();
    let policy_name = policy_name(parameters)?.to_owned();
    request.authorize_named::<T>(&name)?;
    Ok(Box::new(move |draft| {
        let mut holder = T::clone(T::of(draft).get(&name)?);
        holder.inline_mut().remove(&policy_name).ok_or_else(|| no_such::<T>(&policy_name))?;
        draft.put(holder);
        Ok(Answer::empty())
    }))
}

fn policy_name(parameters: &Parameters) -> Result<&str, Refusal> {
    rules::checked_name(POLICY_NAME, rules::required(parameters, POLICY_NAME, Rule::of_len(1, 128))?)
}

fn no_such<T: Holder>(policy_name: &str) -> IamError {
    IamError::no_such(&format!("{} policy", T::KIND), policy_name)
}
