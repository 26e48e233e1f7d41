//! Versions of managed policies.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-versioning.html>

use super::page::Page;
use super::policy::{self, Found, not_attachable};
use super::policy_document;
use super::quota::Quota;
use super::rules::{self, VERSION_ID};
use super::{Change, Request};
use crate::api::query::{Answer, Parameters, Refusal, encoded, list, time};
use crate::api::xml::XmlWriter;
use crate::iam::{IamError, ManagedPolicy, PolicyText, PolicyVersion};

/// `CreatePolicyVersion`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicyVersion.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let arn = policy::arn(parameters)?;
    let text = policy_document::parameter(parameters, "PolicyDocument")?;
    let set_as_default = rules::flag(parameters, "SetAsDefault")?;
    policy::authorize_change(request, arn)?;
    let text = policy::sized(text)?;
    change(arn, not_attachable, move |policy, now_unix_ms| {
        if policy.versions.len() >= Quota::VersionsPerPolicy.limit() {
            let message = "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.";
            return Err(IamError::LimitExceeded(message.to_owned()));
        }
        let number = policy.next_version;
        policy.next_version += 1;
        let version = PolicyVersion { policy: text.clone(), created_unix_ms: now_unix_ms };
        policy.versions.insert(number, version);
        policy.updated_unix_ms = now_unix_ms;
        if set_as_default {
            policy.default_version = number;
        }
        Ok(Answer::of(|xml| {
            xml.open("PolicyVersion");
            write(xml, (number, set_as_default), None, now_unix_ms);
            xml.close("PolicyVersion");
        }))
    })
}

/// `GetPolicyVersion`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetPolicyVersion.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let arn = policy::arn(request.parameters())?;
    let version = number(request.parameters())?;
    policy::authorize(request, arn)?;
    let found = policy::find(&request.state, arn).ok_or_else(|| no_version(arn, version))?;
    let versions = found.versions();
    let (number, text, created) =
        versions.iter().find(|(number, ..)| *number == version).ok_or_else(|| no_version(arn, version))?;
    Ok(Answer::of(|xml| {
        xml.open("PolicyVersion");
        write(xml, (*number, *number == found.default_version()), Some(text), *created);
        xml.close("PolicyVersion");
    }))
}

/// `ListPolicyVersions`, the newest first: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListPolicyVersions.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    let arn = policy::arn(request.parameters())?;
    let page = Page::of(request.parameters())?;
    policy::authorize(request, arn)?;
    let found = policy::find(&request.state, arn).ok_or_else(|| policy::not_found(arn))?;
    let listed = page.cut(found.versions().into_iter().map(|row| (key(row.0), row)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        list(xml, "Versions", &listed.rows, |xml, (number, _, created)| {
            write(xml, (*number, *number == found.default_version()), None, *created);
        });
    }))
}

/// Every version with its text, the newest first.
pub(super) fn write_all(xml: &mut XmlWriter, found: Found<'_>) {
    let versions = found.versions();
    list(xml, "PolicyVersionList", versions.iter().rev(), |xml, (number, text, created)| {
        write(xml, (*number, *number == found.default_version()), Some(text), *created);
    });
}

fn key(number: u32) -> String {
    format!("{:010}", u32::MAX - number)
}

/// `SetDefaultPolicyVersion`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SetDefaultPolicyVersion.html>
pub(super) fn set_default(request: &Request<'_>) -> Result<Change, Refusal> {
    let arn = policy::arn(request.parameters())?;
    let version = number(request.parameters())?;
    policy::authorize_change(request, arn)?;
    let missing = no_version(arn, version).to_string();
    change(
        arn,
        move |arn| no_version(arn, version),
        move |policy, now_unix_ms| {
            if !policy.versions.contains_key(&version) {
                return Err(IamError::NoSuchEntity(missing.clone()));
            }
            policy.default_version = version;
            policy.updated_unix_ms = now_unix_ms;
            Ok(Answer::empty())
        },
    )
}

/// `DeletePolicyVersion`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeletePolicyVersion.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let arn = policy::arn(request.parameters())?;
    let version = number(request.parameters())?;
    policy::authorize_change(request, arn)?;
    let missing = no_version(arn, version).to_string();
    change(
        arn,
        move |arn| no_version(arn, version),
        move |policy, _| {
            if policy.default_version == version {
                let message = "Cannot delete the default version of a policy.";
                return Err(IamError::DeleteConflict(message.to_owned()));
            }
            policy.versions.remove(&version).ok_or_else(|| IamError::NoSuchEntity(missing.clone()))?;
            Ok(Answer::empty())
        },
    )
}

/// A change to the account's own policy of this ARN.
fn change(
    arn: &str,
    missing: impl Fn(&str) -> IamError + Send + Sync + 'static,
    change: impl Fn(&mut ManagedPolicy, u64) -> Result<Answer, IamError> + Send + Sync + 'static,
) -> Result<Change, Refusal> {
    let arn = arn.to_owned();
    Ok(Box::new(move |draft| {
        let found = policy::own(draft, &arn).ok_or_else(|| missing(&arn))?;
        let mut policy = ManagedPolicy::clone(found);
        let answer = change(&mut policy, draft.now_unix_ms())?;
        draft.put(policy);
        Ok(answer)
    }))
}

/// `VersionId`: `v2`.
fn number(parameters: &Parameters) -> Result<u32, Refusal> {
    let text = rules::required(parameters, "VersionId", VERSION_ID)?;
    // A number that is too large, or has a label, is none that exists.
    Ok(text[1..].parse().unwrap_or(0))
}

fn no_version(arn: &str, version: u32) -> IamError {
    IamError::NoSuchEntity(format!("Policy {arn} version v{version} does not exist or is not attachable."))
}

fn write(
    xml: &mut XmlWriter,
    (number, is_default): (u32, bool),
    text: Option<&PolicyText>,
    created_unix_ms: u64,
) {
    if let Some(text) = text {
        xml.text("Document", &encoded(text.text()));
    }
    xml.text("VersionId", &format!("v{number}"));
    xml.boolean("IsDefaultVersion", is_default);
    time(xml, "CreateDate", created_unix_ms);
}
