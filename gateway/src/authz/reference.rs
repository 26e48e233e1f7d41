//! AWS's service authorization reference, as data.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>

#[cfg(test)]
use super::Context;

const ACTIONS: &str = include_str!("reference/actions.tsv");
const CONDITION_KEYS: &str = include_str!("reference/condition_keys.tsv");

/// An action.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// `s3`, `kms`, `iam` or `sts`.
    pub(crate) service: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it can be restricted to; those with a star it must be.
    pub(crate) resource_types: Vec<&'static str>,
    /// The condition keys that it has beside the global ones.
    pub(crate) condition_keys: Vec<&'static str>,
    /// Actions that it needs besides.
    #[cfg(test)]
    pub(crate) dependent_actions: Vec<&'static str>,
}

/// Every action.
pub(crate) fn actions() -> impl Iterator<Item = Action> {
    let list = |text: &'static str| text.split(',').filter(|one| !one.is_empty()).collect();
    ACTIONS.lines().skip(1).map(move |line| {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (service, name, _access_level) = (next(), next(), next());
        Action {
            service,
            name,
            resource_types: list(next()),
            condition_keys: list(next()),
            #[cfg(test)]
            dependent_actions: list(next()),
        }
    })
}

/// The action of this name.
#[cfg(test)]
pub(crate) fn action(service: &str, name: &str) -> Option<Action> {
    actions().find(|action| action.service == service && action.name == name)
}

/// The condition keys of a service.
pub(crate) fn condition_keys(service: &str) -> impl Iterator<Item = &'static str> {
    let rows = CONDITION_KEYS.lines().skip(1).filter_map(|line| line.split_once('\t'));
    rows.filter(move |(of, _)| *of == service).filter_map(|(_, rest)| rest.split('\t').next())
}

/// Do conditions on this key act, by the value that the context has: one that allows, and one that denies? `key` is in lower case.
#[cfg(test)]
pub(crate) fn acts(action: &str, context: &Context, key: &str) -> bool {
    use kms_core::policy::{IdentityPolicies, NamedPolicy, Policies, PolicySet, Request, Subject, decide};
    use serde_json::json;

    let decides = |effect: &str, value: &str| {
        let condition = json!({"ForAnyValue:StringEquals": {key: value}});
        let asked = json!({"Effect": effect, "Action": action, "Resource": "*", "Condition": condition});
        let all = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        let statements = if effect == "Deny" { vec![all, asked] } else { vec![asked] };
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let policy = crate::iam::PolicyText::parse(&text).unwrap();
        let policy = NamedPolicy { name: String::new(), document: policy.document().clone() };
        let identity = IdentityPolicies::These(std::sync::Arc::new(PolicySet::new(vec![policy])));
        let subject = Subject { identity, ..Subject::default() };
        let request =
            Request { subject: &subject, action, resource: "arn:aws:iam::111122223333:any", values: context };
        decide(Policies::default(), &request).is_allowed()
    };
    let Some(value) = context.get(key).and_then(|values| values.first()) else { return false };
    let other = "another value";
    decides("Allow", value) && !decides("Allow", other) && !decides("Deny", value) && decides("Deny", other)
}

#[test]
fn the_reference_is_read() {
    let attach = action("iam", "AttachRolePolicy").unwrap();
    assert_eq!(attach.resource_types, ["role*"]);
    assert_eq!(attach.condition_keys, ["iam:PermissionsBoundary", "iam:PolicyARN"]);
    assert_eq!(action("iam", "AddRoleToInstanceProfile").unwrap().dependent_actions, ["iam:PassRole"]);
    assert_eq!(condition_keys("sts").filter(|key| key.starts_with("sts:")).count(), 11);
}
