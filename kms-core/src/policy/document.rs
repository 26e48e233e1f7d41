//! Policy documents, read with AWS's leniencies: single values for lists, booleans and numbers for strings.

use serde_json::{Map, Value};

use super::condition::Conditions;

/// The longest document, in bytes (AWS's quota of key policies).
pub const MAX_LEN: usize = 32_768;

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedPolicy(pub String);

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
    /// These, by ARN, account id or service name.
    These(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its name.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Whom it speaks of; `None` in identity policies.
    pub principals: Option<Principals>,
    /// Patterns of actions, and whether they are those not meant (`NotAction`).
    pub actions: (Vec<String>, bool),
    /// Patterns of resources, and whether they are those not meant (`NotResource`).
    pub resources: (Vec<String>, bool),
    /// Conditions, all of which must hold.
    pub conditions: Conditions,
}

/// A policy document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its statements.
    pub statements: Vec<Statement>,
}

impl Document {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
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
        let statements = match root.get("Statement") {
            Some(Value::Array(list)) => list.iter().map(statement).collect::<Result<_, _>>()?,
            Some(single @ Value::Object(_)) => vec![statement(single)?],
            _ => return refuse("Syntax errors in policy: there is no Statement."),
        };
        Ok(Self { statements })
    }
}

fn statement(value: &Value) -> Result<Statement, MalformedPolicy> {
    const KNOWN: [&str; 9] = [
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
    let refuse = |why: String| Err(MalformedPolicy(format!("Syntax errors in policy: {why}.")));
    let Value::Object(map) = value else { return refuse("a statement is not an object".to_owned()) };
    if let Some(unknown) = map.keys().find(|k| !KNOWN.contains(&k.as_str())) {
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
        Some(value) => Conditions::parse(value)?,
    };
    Ok(Statement {
        sid: map.get("Sid").and_then(Value::as_str).map(str::to_owned),
        effect,
        principals,
        actions: either(map, "Action", "NotAction")?,
        resources: either(map, "Resource", "NotResource")?,
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
                if !["AWS", "Service", "Federated", "CanonicalUser"].contains(&kind.as_str()) {
                    return Err(MalformedPolicy(format!(
                        "Syntax errors in policy: unknown principal type {kind}."
                    )));
                }
                all.extend(strings(value)?);
            }
            if all.iter().any(|p| p == "*") { Ok(Principals::Everybody) } else { Ok(Principals::These(all)) }
        }
        _ => Err(MalformedPolicy(
            "Policy contains a statement with one or more invalid principals.".to_owned(),
        )),
    }
}

/// A list of strings, or one; numbers and booleans are taken as their text.
pub(super) fn strings(value: &Value) -> Result<Vec<String>, MalformedPolicy> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        _ => Err(MalformedPolicy("Syntax errors in policy: a value is not a string.".to_owned())),
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}
