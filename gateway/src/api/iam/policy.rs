//! Managed policies: the account's own, and AWS's.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Policy.html>

use std::sync::Arc;

use super::kind::Kind;
use super::page::Page;
use super::policy_document::{self, Place};
use super::quota::Quota;
use super::rules::{self, ARN, POLICY_DESCRIPTION, one_of};
use super::usage::{self, Usages};
use super::{Change, Request, tag};
use crate::api::query::Parameters;
use crate::api::query::{Answer, Code, Refusal, list, time};
use crate::api::xml::XmlWriter;
use crate::iam::aws::{self, CREATED_UNIX_MS};
use crate::iam::{
    AccountState, Entity, IamError, IdKind, Managed, ManagedPolicy, PolicyText, PolicyVersion, unique_id,
};

/// What a policy can be used as.
pub(super) const USAGES: [&str; 2] = ["PermissionsPolicy", "PermissionsBoundary"];

/// A managed policy, whose ever it is.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    /// The account's.
    Own(&'a Arc<ManagedPolicy>),
    /// AWS's.
    Aws(&'static Managed),
}

/// `PolicyArn`.
pub(super) fn arn(parameters: &Parameters) -> Result<&str, Refusal> {
    checked_arn(rules::required(parameters, "PolicyArn", ARN)?)
}

/// The ARN of a policy, of whichever account.
pub(super) fn checked_arn(arn: &str) -> Result<&str, Refusal> {
    let rest = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":policy/"));
    if rest.is_some_and(|(account, name)| !account.contains(':') && !name.is_empty()) {
        return Ok(arn);
    }
    Err(Refusal::new(Code::InvalidInput, format!("ARN {arn} is not valid.")))
}

/// There is no such policy to be read or changed.
pub(super) fn not_found(arn: &str) -> IamError {
    IamError::NoSuchEntity(format!("Policy {arn} was not found."))
}

/// There is no such policy to be used.
pub(super) fn not_attachable(arn: &str) -> IamError {
    IamError::NoSuchEntity(format!("Policy {arn} does not exist or is not attachable."))
}

/// May the caller do this to the policy of this ARN?
pub(super) fn authorize(request: &Request<'_>, arn: &str) -> Result<(), Refusal> {
    let about = own(&request.state, arn).map(|policy| policy.about()).unwrap_or_default();
    request.authorize_about(arn, about)
}

/// As [`authorize`], for a change: what AWS keeps nobody else changes.
pub(super) fn authorize_change(request: &Request<'_>, arn: &str) -> Result<(), Refusal> {
    authorize(request, arn)?;
    if arn.starts_with("arn:aws:iam::aws:") {
        let (who, action) = (request.call.identity.arn(), request.call.action);
        let message =
            format!("User: {who} is not authorized to perform: iam:{action} on resource: policy {arn}");
        return Err(Refusal::new(Code::AccessDenied, message));
    }
    Ok(())
}

/// The account's own policy of this ARN.
pub(super) fn own<'a>(account: &'a AccountState, arn: &str) -> Option<&'a Arc<ManagedPolicy>> {
    account.policies.by_path_and_name(arn.strip_prefix(&account.account.iam_arn("policy"))?)
}

/// The policy of this ARN.
pub(super) fn find<'a>(account: &'a AccountState, arn: &str) -> Option<Found<'a>> {
    aws::find(arn).map(Found::Aws).or_else(|| own(account, arn).map(Found::Own))
}

/// `CreatePolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let name = rules::new_name::<ManagedPolicy>(parameters, ManagedPolicy::NAME)?.to_owned();
    let path = rules::path(parameters, "Path", true)?.to_owned();
    let text = policy_document::parameter(parameters, "PolicyDocument")?;
    let description = rules::optional(parameters, "Description", POLICY_DESCRIPTION)?.map(str::to_owned);
    let tags = tag::parameter::<ManagedPolicy>(parameters)?;
    request.authorize(&request.arn_of::<ManagedPolicy>(&path, &name))?;
    let policy = sized(text)?;
    Ok(Box::new(move |draft| {
        if draft.policies.has_name(&name) {
            return Err(IamError::EntityAlreadyExists(format!(
                "A policy called {name} already exists. Duplicate names are not allowed."
            )));
        }
        Quota::Policies.check(draft.policies.len() + 1)?;
        let created_unix_ms = draft.now_unix_ms();
        let managed = ManagedPolicy {
            id: unique_id(IdKind::Policy),
            name: name.clone(),
            path: path.clone(),
            description: description.clone().filter(|text| !text.is_empty()),
            created_unix_ms,
            updated_unix_ms: created_unix_ms,
            tags: tags.clone(),
            versions: [(1, PolicyVersion { policy: policy.clone(), created_unix_ms })].into(),
            default_version: 1,
            next_version: 2,
        };
        draft.put(managed);
        let managed = draft.policies.get(&name)?;
        Ok(Answer::of(|xml| {
            xml.open("Policy");
            // Nobody can have it yet.
            write(xml, draft, Found::Own(managed), (0, 0));
            tag::write_some(xml, &managed.tags);
            xml.close("Policy");
        }))
    }))
}

/// Reads the document of a managed policy.
pub(super) fn sized(text: &str) -> Result<PolicyText, IamError> {
    Quota::PolicySize.check(policy_document::counted_len(text))?;
    policy_document::identity_policy(text, Place::Managed)
}

/// `GetPolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetPolicy.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let arn = arn(request.parameters())?;
    authorize(request, arn)?;
    let found = find(&request.state, arn).ok_or_else(|| not_found(arn))?;
    let (description, tags) = match found {
        Found::Own(policy) => (policy.description.as_deref(), policy.tags()),
        Found::Aws(policy) => (Some(policy.description), &[][..]),
    };
    Ok(Answer::of(|xml| {
        xml.open("Policy");
        write(xml, &request.state, found, Usages::of(&request.state).get(arn));
        xml.optional("Description", description);
        tag::write(xml, tags);
        xml.close("Policy");
    }))
}

/// `ListPolicies`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListPolicies.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    let parameters = request.parameters();
    let scope = one_of(parameters, "Scope", &["All", "AWS", "Local"])?.unwrap_or("All");
    let only_attached = rules::flag(parameters, "OnlyAttached")?;
    let usage = one_of(parameters, "PolicyUsageFilter", &USAGES)?;
    let prefix = rules::path_prefix(parameters)?;
    let page = Page::of(parameters)?;
    request.authorize(&request.arn_of::<ManagedPolicy>(prefix, ""))?;
    let own = request.state.policies.iter().filter(|_| scope != "AWS").map(Found::Own);
    let of_aws = aws::all().filter(|_| scope != "Local").map(Found::Aws);
    let usages = Usages::of(&request.state);
    let used = |found: &Found<'_>| usages.get(&found.arn(&request.state));
    let wanted = own.chain(of_aws).filter(|found| {
        let (attached, bounds) = used(found);
        let is_used = match usage {
            None => !only_attached || attached + bounds > 0,
            Some("PermissionsPolicy") => attached > 0,
            Some(_) => bounds > 0,
        };
        found.path().starts_with(prefix) && is_used
    });
    let listed = page.cut(wanted.map(|found| (found.key(), found)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        list(xml, "Policies", &listed.rows, |xml, found| write(xml, &request.state, *found, used(found)));
    }))
}

/// `DeletePolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeletePolicy.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let arn = arn(request.parameters())?.to_owned();
    authorize_change(request, &arn)?;
    Ok(Box::new(move |draft| {
        let policy = own(draft, &arn).ok_or_else(|| not_found(&arn))?.clone();
        usage::unused(draft, &arn)?;
        if policy.versions.len() > 1 {
            let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
            return Err(IamError::DeleteConflict(message.to_owned()));
        }
        draft.remove::<ManagedPolicy>(&policy.id);
        Ok(Answer::empty())
    }))
}

impl Found<'_> {
    /// Its ARN.
    pub(super) fn arn(&self, account: &AccountState) -> String {
        match self {
            Self::Own(policy) => policy.arn(&account.account),
            Self::Aws(policy) => policy.arn.clone(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.path,
            Self::Aws(policy) => policy.path,
        }
    }

    /// What orders it among others.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Own(policy) => format!("{} 0", policy.name.to_lowercase()),
            Self::Aws(policy) => format!("{} 1", policy.name.to_lowercase()),
        }
    }

    /// Its versions by number, with when each was made; AWS's policies have one.
    pub(super) fn versions(&self) -> Vec<(u32, &PolicyText, u64)> {
        match self {
            Self::Own(policy) => {
                let versions = policy.versions.iter();
                versions
                    .map(|(number, version)| (*number, &version.policy, version.created_unix_ms))
                    .collect()
            }
            Self::Aws(policy) => vec![(1, &policy.policy, CREATED_UNIX_MS)],
        }
    }

    /// The number of the version in force.
    pub(super) fn default_version(&self) -> u32 {
        match self {
            Self::Own(policy) => policy.default_version,
            Self::Aws(_) => 1,
        }
    }
}

/// The content of `Policy`, without description and tags.
pub(super) fn write(
    xml: &mut XmlWriter,
    account: &AccountState,
    found: Found<'_>,
    (attached, bounds): (usize, usize),
) {
    let (name, id, created, updated) = match found {
        Found::Own(policy) => {
            (policy.name.as_str(), policy.id.as_str(), policy.created_unix_ms, policy.updated_unix_ms)
        }
        Found::Aws(policy) => (policy.name, policy.id.as_str(), CREATED_UNIX_MS, CREATED_UNIX_MS),
    };
    xml.text(ManagedPolicy::NAME, name);
    xml.text(ManagedPolicy::ID, id);
    xml.text("Arn", &found.arn(account));
    xml.text("Path", found.path());
    xml.text("DefaultVersionId", &format!("v{}", found.default_version()));
    xml.number("AttachmentCount", attached as u64);
    xml.number("PermissionsBoundaryUsageCount", bounds as u64);
    xml.boolean("IsAttachable", true);
    time(xml, "CreateDate", created);
    time(xml, "UpdateDate", updated);
}
