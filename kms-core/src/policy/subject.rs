//! Who asks, as policies see him: what he is called, what he may have, and what he brings along.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::grammar::{Document, Principal, Statement};
use super::values::Context;
use super::work::Work;

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Its ARN, as messages show it: `arn:aws:iam::111122223333:user/alice`, …
    pub arn: String,
    /// Its account: 12 digits; empty for nobody.
    pub account: String,
    /// What a policy may call it: its ARN, its unique id (`AIDA…`; of a role's session `AROA…:name`).
    pub itself: Vec<String>,
    /// What it is a session of, by ARN and unique id: a role, or the user who gave a federated user its credentials; empty for others.
    pub role: Vec<String>,
    /// What it is where it is none of AWS's principals: a service, or somebody known to an identity provider.
    pub other: Option<Principal>,
    /// What its identity policies allow.
    pub identity: IdentityPolicies,
    /// What its permissions boundary lets it have at most.
    pub boundary: Option<Arc<PolicySet>>,
    /// What its session's policies let it have at most.
    pub session: Option<Arc<PolicySet>>,
    /// The values of condition keys that belong to it (`aws:username`, `aws:PrincipalTag/…`): no request can say otherwise.
    pub context: Context,
}

/// What identity policies allow.
#[derive(Debug, Clone)]
pub enum IdentityPolicies {
    /// Everything: the root user of an account, and what nobody owns.
    Unlimited,
    /// What these do.
    These(Arc<PolicySet>),
}

impl Default for IdentityPolicies {
    fn default() -> Self {
        Self::These(Arc::default())
    }
}

impl Subject {
    /// The root user of an account.
    pub fn root_user(account: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        Self { identity: IdentityPolicies::Unlimited, itself: vec![arn.clone()], ..Self::named(&arn) }
    }

    /// The one of this ARN, without any policy. A session (`arn:aws:sts::…:assumed-role/role/name`) has its role.
    pub fn named(arn: &str) -> Self {
        let session = arn.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(":assumed-role/"));
        let role = session.and_then(|(account, rest)| {
            Some(format!("arn:aws:iam::{account}:role/{}", rest.rsplit_once('/')?.0))
        });
        Self {
            arn: arn.to_owned(),
            account: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            itself: vec![arn.to_owned()],
            role: role.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        Self { arn: "anonymous".to_owned(), identity: IdentityPolicies::Unlimited, ..Self::default() }
    }

    /// Everything that a policy may call it, itself first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.itself.iter().chain(&self.role).map(String::as_str)
    }

    /// Do its policies ask for a condition key whose name, in lower case, begins so?
    pub fn asks_for(&self, beginning: &str) -> bool {
        let identity = match &self.identity {
            IdentityPolicies::Unlimited => None,
            IdentityPolicies::These(set) => Some(set),
        };
        let all = identity.into_iter().chain(&self.boundary).chain(&self.session);
        all.into_iter().any(|set| set.asks_for(beginning))
    }

    /// Is it the root user?
    pub fn is_root(&self) -> bool {
        self.arn.strip_prefix("arn:aws:iam::").is_some_and(|rest| rest.ends_with(":root"))
    }
}

/// A policy and where it is from.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// What a simulation calls it: an ARN or the name of an inline policy.
    pub name: String,
    /// What it says.
    pub document: Arc<Document>,
}

/// Policies that are asked together. Which of their statements speak of an action is remembered, so that a request looks at those alone.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<NamedPolicy>,
    by_action: RwLock<HashMap<String, Arc<[At]>>>,
    /// The condition keys that they ask for, in lower case.
    context_keys: OnceLock<BTreeSet<String>>,
}

/// A statement: of which policy, and which of its statements.
type At = (usize, usize);

/// The most actions remembered: more than a gateway has.
const MAX_ACTIONS: usize = 1024;

impl PolicySet {
    /// These.
    pub fn new(policies: Vec<NamedPolicy>) -> Self {
        Self { policies, ..Self::default() }
    }

    /// One without a name.
    pub fn of(document: Document) -> Self {
        Self::new(vec![NamedPolicy { name: String::new(), document: Arc::new(document) }])
    }

    /// The policies.
    pub fn policies(&self) -> &[NamedPolicy] {
        &self.policies
    }

    /// Do they ask for a condition key whose name, in lower case, begins so?
    pub fn asks_for(&self, beginning: &str) -> bool {
        let keys = self.context_keys.get_or_init(|| {
            let all = self.policies.iter().flat_map(|policy| policy.document.context_keys());
            all.map(str::to_ascii_lowercase).collect()
        });
        let from = (Bound::Included(beginning), Bound::Unbounded);
        keys.range::<str, _>(from).next().is_some_and(|key| key.starts_with(beginning))
    }

    pub(super) fn statement(&self, (policy, statement): At) -> &Statement {
        &self.policies[policy].document.statements[statement]
    }

    pub(super) fn of_action(&self, action: &str, work: &Work) -> Arc<[At]> {
        if let Some(found) = self.by_action.read().get(action) {
            return found.clone();
        }
        let name = action.to_ascii_lowercase();
        let all = self.policies.iter().enumerate().flat_map(|(n, policy)| {
            policy.document.statements.iter().enumerate().map(move |(m, statement)| ((n, m), statement))
        });
        let found: Arc<[At]> =
            all.filter(|(_, s)| s.speaks_of_action(&name, work)).map(|(at, _)| at).collect();
        let mut by_action = self.by_action.write();
        if by_action.len() < MAX_ACTIONS && !work.is_spent() {
            by_action.insert(action.to_owned(), found.clone());
        }
        found
    }
}
