//! Policy documents, read with AWS's leniencies: single values for lists, booleans and numbers for strings.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::condition::Conditions;
use super::malformed::{MalformedPolicy, strings};
use super::pattern::{Comparison, Template};

/// The longest document, in bytes (AWS's quota of key policies).
pub const MAX_LEN: usize = 32_768;

/// What a statement may have.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>
pub const STATEMENT_ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies.
    Deny,
}

/// Whom a statement speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    /// `"*"`.
    Everybody,
    /// These.
    These(Vec<Principal>),
    /// All but these.
    AllBut(Vec<Principal>),
}

/// One whom a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// `AWS`: by ARN, account id or unique id.
    Aws(String),
    /// `Service`: `s3.amazonaws.com`, ….
    Service(String),
    /// `Federated`: the ARN of an identity provider.
    Federated(String),
    /// `CanonicalUser`: an account, by its canonical user id.
    CanonicalUser(String),
}

/// A statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Its name.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Whom it speaks of; `None` in identity policies.
    pub principals: Option<Principals>,
    /// Patterns of actions in lower case, and whether they are those not meant (`NotAction`).
    pub(super) actions: (Vec<Template>, bool),
    /// Patterns of resources, and whether they are those not meant (`NotResource`).
    pub(super) resources: (Vec<Template>, bool),
    /// Conditions, all of which must hold.
    pub conditions: Conditions,
}

/// A policy document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its statements.
    pub statements: Vec<Statement>,
}

impl Document {
    /// Reads a resource policy: each statement says whom it speaks of.
    pub fn parse_resource(text: &str) -> Result<Self, MalformedPolicy> {
        let document = Self::parse(text)?;
        match document.statements.iter().all(|statement| statement.principals.is_some()) {
            true => Ok(document),
            false => {
                Err(MalformedPolicy("Syntax errors in policy: a statement has no Principal.".to_owned()))
            }
        }
    }

    /// Reads an identity policy, a permissions boundary or a session policy: no statement names principals.
    pub fn parse_identity(text: &str) -> Result<Self, MalformedPolicy> {
        let document = Self::parse(text)?;
        match document.statements.iter().all(|statement| statement.principals.is_none()) {
            true => Ok(document),
            false => Err(MalformedPolicy(
                "Syntax errors in policy: an identity policy has no Principal.".to_owned(),
            )),
        }
    }

    /// Reads the trust policy of a role: each statement says whom it trusts, and none of a resource, which is the role.
    pub fn parse_trust(text: &str) -> Result<Self, MalformedPolicy> {
        let mut document = Self::parse_resource(text)?;
        let everything = Template::parse("*", Comparison::Like, false).into_iter().collect::<Vec<_>>();
        for statement in &mut document.statements {
            if !statement.resources.0.is_empty() {
                return Err(MalformedPolicy("Has prohibited field Resource".to_owned()));
            }
            statement.resources = (everything.clone(), false);
        }
        Ok(document)
    }

    /// Puts another name in the place of each principal that `name_of` has one for: of users and roles the unique id, of canonical
    /// users the account.
    pub fn bind(&mut self, name_of: impl Fn(&Principal) -> Option<String>) {
        for statement in &mut self.statements {
            let Some(Principals::These(list) | Principals::AllBut(list)) = &mut statement.principals else {
                continue;
            };
            for principal in list {
                if let Some(name) = name_of(principal) {
                    *principal = Principal::Aws(name);
                }
            }
        }
    }

    /// The condition keys that it asks for, as they were written: in conditions and as variables.
    pub fn context_keys(&self) -> BTreeSet<&str> {
        self.statements
            .iter()
            .flat_map(|Statement { conditions, resources, .. }| {
                conditions.names().chain(resources.0.iter().flat_map(Template::variables))
            })
            .collect()
    }

    fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let refuse = |why: &str| Err(MalformedPolicy(why.to_owned()));
        if text.len() > MAX_LEN {
            return refuse("The policy is longer than 32768 bytes.");
        }
        // serde_json bounds the depth of nesting by itself.
        let Ok(Value::Object(root)) = serde_json::from_str::<Value>(text) else {
            return refuse("The policy is not a JSON object.");
        };
        if let Some(unknown) = root.keys().find(|k| !["Version", "Id", "Statement"].contains(&k.as_str())) {
            return refuse(&format!("Syntax errors in policy: unknown element {unknown}."));
        }
        match root.get("Version") {
            None => {}
            Some(Value::String(version)) if version == "2012-10-17" || version == "2008-10-17" => {}
            Some(_) => return refuse("Syntax errors in policy: the Version is not one that exists."),
        }
        // The older version has no policy variables.
        let variables = root.get("Version").and_then(Value::as_str) == Some("2012-10-17");
        let statement = |value| statement(value, variables);
        let statements = match root.get("Statement") {
            Some(Value::Array(list)) => list.iter().map(statement).collect::<Result<_, _>>()?,
            Some(single @ Value::Object(_)) => vec![statement(single)?],
            _ => return refuse("Syntax errors in policy: there is no Statement."),
        };
        Ok(Self { statements })
    }
}

fn statement(value: &Value, variables: bool) -> Result<Statement, MalformedPolicy> {
    let refuse = |why: String| Err(MalformedPolicy(format!("Syntax errors in policy: {why}.")));
    let Value::Object(map) = value else { return refuse("a statement is not an object".to_owned()) };
    if let Some(unknown) = map.keys().find(|k| !STATEMENT_ELEMENTS.contains(&k.as_str())) {
        return refuse(format!("unknown element {unknown}"));
    }
    let effect = match map.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return refuse("a statement's Effect is neither Allow nor Deny".to_owned()),
    };
    let principals = match (map.get("Principal"), map.get("NotPrincipal")) {
        (None, None) => None,
        (Some(value), None) => Some(principals(value)?),
        (None, Some(value)) => match principals(value)? {
            Principals::These(list) => Some(Principals::AllBut(list)),
            _ => return refuse("NotPrincipal must name principals".to_owned()),
        },
        (Some(_), Some(_)) => return refuse("both Principal and NotPrincipal".to_owned()),
    };
    let conditions = match map.get("Condition") {
        None => Conditions::default(),
        Some(value) => Conditions::parse(value, variables)?,
    };
    let (resources, not_resources) = either(map, "Resource", "NotResource")?;
    let resources: Option<Vec<_>> =
        resources.iter().map(|r| Template::parse(r, Comparison::Like, variables)).collect();
    let Some(resources) = resources.map(|resources| (resources, not_resources)) else {
        return refuse("a policy variable is malformed".to_owned());
    };
    let (actions, not_actions) = either(map, "Action", "NotAction")?;
    let actions =
        actions.iter().map(|action| Template::parse(&action.to_ascii_lowercase(), Comparison::Like, false));
    Ok(Statement {
        sid: map.get("Sid").and_then(Value::as_str).map(str::to_owned),
        effect,
        principals,
        actions: (actions.flatten().collect(), not_actions),
        resources,
        conditions,
    })
}

/// A statement without Action or Resource is accepted, and has no effect.
fn either(
    map: &Map<String, Value>,
    plain: &str,
    negated: &str,
) -> Result<(Vec<String>, bool), MalformedPolicy> {
    match (map.get(plain), map.get(negated)) {
        (Some(_), Some(_)) => {
            Err(MalformedPolicy(format!("Syntax errors in policy: both {plain} and {negated}.")))
        }
        (None, Some(value)) => Ok((strings(value)?, true)),
        (Some(value), None) => Ok((strings(value)?, false)),
        (None, None) => Ok((Vec::new(), false)),
    }
}

fn principals(value: &Value) -> Result<Principals, MalformedPolicy> {
    match value {
        Value::String(all) if all == "*" => Ok(Principals::Everybody),
        Value::Object(map) => {
            let mut all = Vec::new();
            for (kind, value) in map {
                for name in strings(value)? {
                    all.push(match kind.as_str() {
                        "AWS" if name == "*" => return Ok(Principals::Everybody),
                        "AWS" if is_principal(&name) => Principal::Aws(name),
                        "AWS" => return Err(invalid_principal()),
                        "Service" => Principal::Service(name),
                        "Federated" => Principal::Federated(name),
                        "CanonicalUser" => Principal::CanonicalUser(name),
                        kind => {
                            return Err(MalformedPolicy(format!(
                                "Syntax errors in policy: unknown principal type {kind}."
                            )));
                        }
                    });
                }
            }
            if all.is_empty() { Err(invalid_principal()) } else { Ok(Principals::These(all)) }
        }
        _ => Err(invalid_principal()),
    }
}

/// An account, an ARN of IAM or STS, or a unique id (`AIDA…`, `AROA…`).
pub fn is_principal(name: &str) -> bool {
    let is_arn = ["arn:aws:iam::", "arn:aws:sts::"].iter().any(|prefix| name.starts_with(prefix));
    let id = name.split_once(':').map_or(name, |(id, _)| id);
    let is_id = ["AIDA", "AROA"].iter().any(|prefix| id.starts_with(prefix))
        && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_account_id(name) || is_id || is_arn && !name.contains(['*', '?'])
}

impl Document {
    /// Every principal that it names.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        let lists = self.statements.iter().filter_map(|statement| match &statement.principals {
            Some(Principals::These(list) | Principals::AllBut(list)) => Some(list),
            Some(Principals::Everybody) | None => None,
        });
        lists.flatten()
    }

    /// Every user, role, session and account that it names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.principals().filter_map(|principal| match principal {
            Principal::Aws(name) => Some(name.as_str()),
            Principal::Service(_) | Principal::Federated(_) | Principal::CanonicalUser(_) => None,
        })
    }
}

/// Is this an account's number: 12 digits?
pub(crate) fn is_account_id(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|b| b.is_ascii_digit())
}

/// What a policy is answered that names somebody who does not exist.
pub fn invalid_principal() -> MalformedPolicy {
    MalformedPolicy("Policy contains a statement with one or more invalid principals.".to_owned())
}
