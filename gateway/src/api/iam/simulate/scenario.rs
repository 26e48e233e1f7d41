//! Who asks in a simulation, under which policies and circumstances.

use std::sync::Arc;

use kms_core::policy::{Context, IdentityPolicies, PolicySet, Statement, Subject};

use super::super::rules::{Rule, missing};
use super::invalid;
use super::source::{self, Matched, Principal, Source};
use crate::api::query::{Parameters, Refusal, now_unix_ms};
use crate::authz;
use crate::iam::AccountState;

const KEY_NAME: Rule = Rule::of_len(5, 256);
const KEY_TYPES: [&str; 12] = [
    "string",
    "stringList",
    "numeric",
    "numericList",
    "boolean",
    "booleanList",
    "ip",
    "ipList",
    "binary",
    "binaryList",
    "date",
    "dateList",
];

/// Everything that a simulation decides by.
pub(super) struct Scenario {
    pub(super) subject: Subject,
    pub(super) context: Context,
    /// The subject's identity policies.
    pub(super) identity: Arc<PolicySet>,
    /// Where they are from.
    sources: Vec<Source>,
    boundary: Vec<Source>,
    pub(super) resource: Option<Source>,
    /// Who owns resources whose ARNs don't tell.
    owner: Option<String>,
}

impl Scenario {
    /// What the principal's own policies would decide.
    pub(super) fn of_principal(
        state: &AccountState,
        parameters: &Parameters,
        principal: &Principal,
    ) -> Result<Self, Refusal> {
        let subject = subject_of(state, principal);
        let boundary = match principal {
            Principal::User(user) => user.boundary.as_deref(),
            Principal::Role(role) => role.boundary.as_deref(),
            Principal::Group(_) => None,
        };
        let boundary = boundary.map(|arn| vec![source::managed(state, arn)]);
        Self::new(state, parameters, (source::policies(state, principal), boundary, subject))
    }

    /// What these policies would decide.
    pub(super) fn of_texts(state: &AccountState, parameters: &Parameters) -> Result<Self, Refusal> {
        if parameters.get("ResourcePolicy").is_some() && parameters.get("CallerArn").is_none() {
            return Err(invalid("CallerArn is required where a ResourcePolicy is given."));
        }
        if parameters.list("PolicyInputList").is_empty() {
            return Err(missing("policyInputList"));
        }
        Self::new(state, parameters, (Vec::new(), None, stranger(state)))
    }

    fn new(
        state: &AccountState,
        parameters: &Parameters,
        (mut sources, boundary, mut subject): (Vec<Source>, Option<Vec<Source>>, Subject),
    ) -> Result<Self, Refusal> {
        if let Some(caller) = parameters.get("CallerArn") {
            called(&mut subject, state, caller)?;
        }
        sources.extend(source::given(parameters, "PolicyInputList")?);
        let given = source::given(parameters, "PermissionsBoundaryPolicyInputList")?;
        if given.len() > 1 {
            return Err(invalid("There can be one permissions boundary."));
        }
        let boundary = if given.is_empty() { boundary } else { Some(given) };
        let identity = Arc::new(PolicySet::new(sources.iter().map(Source::named).collect()));
        subject.identity = IdentityPolicies::These(identity.clone());
        subject.boundary =
            boundary.as_ref().map(|all| Arc::new(PolicySet::new(all.iter().map(Source::named).collect())));
        let entries = entries(parameters)?;
        // What is given holds in the place of what the principal has.
        subject.context.retain(|name, _| !entries.contains_key(name));
        let mut context = authz::time(now_unix_ms());
        context.extend(entries);
        let owner = parameters.get("ResourceOwner").map(account_number).transpose()?;
        let resource = source::of_resource(parameters)?;
        Ok(Self {
            subject,
            context,
            identity,
            sources,
            boundary: boundary.unwrap_or_default(),
            resource,
            owner,
        })
    }

    /// The account that owns a resource; `None`: it is not known to be another than the caller's.
    pub(super) fn owner_of<'a>(&'a self, resource: &'a str) -> Option<&'a str> {
        let account = resource.split(':').nth(4).filter(|account| is_account(account));
        account.or(self.owner.as_deref())
    }

    /// A statement as the answer tells it, by its policy's name.
    pub(super) fn matched(&self, name: &str, statement: &Statement) -> Option<Matched<'_>> {
        let all = self.sources.iter().chain(&self.boundary);
        let identity = all.filter(|source| source.id == name);
        let mut found = identity.filter_map(|source| source::matched(source, statement, "IAM Policy"));
        let of_resource = || source::matched(self.resource.as_ref()?, statement, "Resource Policy");
        found.next().or_else(of_resource)
    }

    /// Every document that is asked.
    pub(super) fn documents(&self) -> impl Iterator<Item = &kms_core::policy::Document> {
        let all = self.sources.iter().chain(&self.boundary).chain(&self.resource);
        all.map(|source| &*source.document)
    }
}

/// The principal as policies see it when it asks.
fn subject_of(state: &AccountState, principal: &Principal) -> Subject {
    match principal {
        Principal::User(user) => Subject::clone(&state.user_subject(user)),
        Principal::Role(role) => state.role_subject(role),
        // A group asks for nothing; its policies are simulated as those of somebody who has no others.
        Principal::Group(_) => stranger(state),
    }
}

/// Somebody of the account, of whom nothing else is known.
fn stranger(state: &AccountState) -> Subject {
    Subject { account: state.account.id.clone(), ..Subject::default() }
}

/// `CallerArn`: who asks, with the policies that are simulated.
fn called(subject: &mut Subject, state: &AccountState, arn: &str) -> Result<(), Refusal> {
    let caller = match source::find(state, arn) {
        Some(principal) => subject_of(state, &principal),
        None if arn.starts_with("arn:aws:iam::")
            && [":user/", ":role/"].iter().any(|kind| arn.contains(kind)) =>
        {
            Subject::named(arn)
        }
        None => return Err(invalid(format!("Invalid CallerArn: {arn}"))),
    };
    *subject = Subject { boundary: None, ..caller };
    Ok(())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// `ResourceOwner`: the ARN of an account, or its number.
fn account_number(text: &str) -> Result<String, Refusal> {
    let number =
        text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root")).unwrap_or(text);
    match is_account(number) {
        true => Ok(number.to_owned()),
        false => Err(invalid(format!("Invalid ResourceOwner: {text}"))),
    }
}

/// `ContextEntries`.
fn entries(parameters: &Parameters) -> Result<Context, Refusal> {
    let mut context = Context::new();
    for entry in parameters.structures("ContextEntries") {
        let name = entry.get("ContextKeyName").unwrap_or_default();
        if let Some(why) = KEY_NAME.broken_by(name) {
            return Err(invalid(format!("Invalid ContextKeyName {name}: {why}")));
        }
        if entry.get("ContextKeyType").is_some_and(|kind| !KEY_TYPES.contains(&kind)) {
            return Err(invalid(format!("Invalid ContextKeyType of {name}.")));
        }
        let values = entry.list("ContextKeyValues").into_iter().map(str::to_owned).collect();
        context.insert(name.to_ascii_lowercase(), values);
    }
    Ok(context)
}
