//! AWS's service authorization reference, as data.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>

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

#[test]
fn the_reference_is_read() {
    let attach = action("iam", "AttachRolePolicy").unwrap();
    assert_eq!(attach.resource_types, ["role*"]);
    assert_eq!(attach.condition_keys, ["iam:PermissionsBoundary", "iam:PolicyARN"]);
    assert_eq!(action("iam", "AddRoleToInstanceProfile").unwrap().dependent_actions, ["iam:PassRole"]);
    assert_eq!(condition_keys("sts").filter(|key| key.starts_with("sts:")).count(), 11);
}
