//! Policies of a simulation, and where they are from.

use std::sync::Arc;

use kms_core::policy::{Document, NamedPolicy, Statement};

use super::super::Request;
use super::super::kind::Holder;
use super::super::policy_document::{self, Place};
use super::super::rules::{self, ARN};
use super::{invalid, position};
use crate::api::query::{Parameters, Refusal};
use crate::api::xml::XmlWriter;
use crate::iam::{AccountState, Group, IamError, PolicyText, Role, User, denial};

/// A policy, and what an answer calls it.
pub(super) struct Source {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) document: Arc<Document>,
}

impl Source {
    fn of(id: String, policy: &PolicyText) -> Self {
        Self { id, text: policy.text().to_owned(), document: policy.document().clone() }
    }

    /// What stands for a document that is missing.
    fn missing(id: String) -> Self {
        Self::of(id, denial())
    }

    /// As the evaluator takes it.
    pub(super) fn named(&self) -> NamedPolicy {
        NamedPolicy { name: self.id.clone(), document: self.document.clone() }
    }
}

/// A statement that made the decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matched<'s> {
    id: &'s str,
    kind: &'static str,
    begin: position::Position,
    end: position::Position,
}

impl PartialEq for Matched<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.begin == other.begin
    }
}

impl Matched<'_> {
    pub(super) fn write(&self, xml: &mut XmlWriter) {
        xml.text("SourcePolicyId", self.id);
        xml.text("SourcePolicyType", self.kind);
        for (name, at) in [("StartPosition", self.begin), ("EndPosition", self.end)] {
            xml.open(name);
            xml.number("Line", at.line);
            xml.number("Column", at.column);
            xml.close(name);
        }
    }
}

/// The statement as an answer tells it, if it is one of this policy.
pub(super) fn matched<'s>(
    source: &'s Source,
    statement: &Statement,
    kind: &'static str,
) -> Option<Matched<'s>> {
    let at = source.document.statements.iter().position(|own| std::ptr::eq(own, statement))?;
    let (begin, end) = *position::statements(&source.text).get(at)?;
    Some(Matched { id: &source.id, kind, begin, end })
}

/// Whose policies are simulated.
pub(super) enum Principal {
    User(Arc<User>),
    Group(Arc<Group>),
    Role(Arc<Role>),
}

/// `PolicySourceArn`. Whether the caller may is asked.
pub(super) fn principal(request: &Request<'_>) -> Result<Principal, Refusal> {
    let arn = rules::required(request.parameters(), "PolicySourceArn", ARN)?;
    let Some(found) = find(&request.state, arn) else {
        request.authorize(arn)?;
        return Err(no_such(arn));
    };
    match &found {
        Principal::User(user) => request.authorize_named::<User>(&user.name)?,
        Principal::Group(group) => request.authorize_named::<Group>(&group.name)?,
        Principal::Role(role) => request.authorize_named::<Role>(&role.name)?,
    }
    Ok(found)
}

/// The user, group or role of this ARN.
pub(super) fn find(account: &AccountState, arn: &str) -> Option<Principal> {
    let rest = arn.strip_prefix(&account.account.iam_arn(""))?;
    let (kind, name) = rest.split_at(rest.find('/')?);
    match kind {
        "user" => account.users.by_path_and_name(name).cloned().map(Principal::User),
        "group" => account.groups.by_path_and_name(name).cloned().map(Principal::Group),
        "role" => account.roles.by_path_and_name(name).cloned().map(Principal::Role),
        _ => None,
    }
}

fn no_such(arn: &str) -> Refusal {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split_once('/') {
        Some((kind @ ("user" | "group" | "role"), name)) => {
            IamError::no_such(kind, name.rsplit('/').next().unwrap_or(name)).into()
        }
        _ => invalid(format!("Invalid Entity Arn: {arn} does not clearly define entity type and name.")),
    }
}

/// Every policy that speaks for the principal: its own, and those of the groups that it is in.
pub(super) fn policies(account: &AccountState, principal: &Principal) -> Vec<Source> {
    match principal {
        Principal::User(user) => {
            let mut all = held(account, &**user);
            for group in account.groups_of(user) {
                all.extend(held(account, &**group));
            }
            all.extend(account.missing_groups_of(user).map(|id| Source::missing(id.to_owned())));
            all
        }
        Principal::Group(group) => held(account, &**group),
        Principal::Role(role) => held(account, &**role),
    }
}

fn held<T: Holder>(account: &AccountState, holder: &T) -> Vec<Source> {
    let inline = holder.inline().iter();
    let inline =
        inline.map(|(name, policy)| Source::of(format!("{}_{}_{name}", T::KIND, holder.name()), policy));
    let attached = holder.attached().iter().map(|arn| managed(account, arn));
    inline.chain(attached).collect()
}

/// A managed policy, called by its name.
pub(super) fn managed(account: &AccountState, arn: &str) -> Source {
    let name = arn.rsplit('/').next().unwrap_or(arn).to_owned();
    match account.managed_text(arn) {
        Some(policy) => Source::of(name, policy),
        None => Source::missing(name),
    }
}

/// The policies of a list of texts.
pub(super) fn given(parameters: &Parameters, name: &str) -> Result<Vec<Source>, Refusal> {
    let texts = parameters.list(name).into_iter().enumerate();
    texts
        .map(|(n, text)| {
            let policy = policy_document::identity_policy(text, Place::Inline);
            let policy = policy.map_err(|error| invalid(format!("Invalid policy in {name}: {error}")))?;
            Ok(Source::of(format!("{name}.{}", n + 1), &policy))
        })
        .collect()
}

/// `ResourcePolicy`.
pub(super) fn of_resource(parameters: &Parameters) -> Result<Option<Source>, Refusal> {
    let Some(text) = parameters.get("ResourcePolicy") else { return Ok(None) };
    let document = Document::parse_resource(text);
    let document = document.map_err(|error| invalid(format!("Invalid policy in ResourcePolicy: {error}")))?;
    Ok(Some(Source { id: "ResourcePolicy".to_owned(), text: text.to_owned(), document: Arc::new(document) }))
}
