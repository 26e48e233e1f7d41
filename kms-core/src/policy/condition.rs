//! Conditions: operator, key, values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{MalformedPolicy, strings};
use super::pattern;

/// A statement's conditions, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    operator: Operator,
    negated: bool,
    if_exists: bool,
    set: Set,
    /// In lower case: the names of condition keys have none.
    name: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    NumericEquals,
    NumericLess,
    NumericLessOrEqual,
    Bool,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// A key with one value.
    Single,
    ForAllValues,
    ForAnyValue,
}

impl Conditions {
    pub(super) fn parse(value: &Value) -> Result<Self, MalformedPolicy> {
        let Value::Object(operators) = value else {
            return Err(MalformedPolicy("Syntax errors in policy: a Condition is not an object.".to_owned()));
        };
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let Value::Object(keys) = keys else {
                return Err(MalformedPolicy(
                    "Syntax errors in policy: a Condition is not an object.".to_owned(),
                ));
            };
            for (name, values) in keys {
                conditions.push(Condition::parse(operator, name, strings(values)?)?);
            }
        }
        Ok(Self(conditions))
    }

    /// Do all hold? `context`: values by the lower-case names of condition keys.
    pub fn hold(&self, context: &BTreeMap<String, Vec<String>>) -> bool {
        self.0.iter().all(|condition| condition.holds(context.get(&condition.name).map(Vec::as_slice)))
    }
}

impl Condition {
    fn parse(operator: &str, name: &str, values: Vec<String>) -> Result<Self, MalformedPolicy> {
        let (set, rest) = match operator.split_once(':') {
            Some(("ForAllValues", rest)) => (Set::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Set::ForAnyValue, rest),
            Some(_) => return Err(unknown(operator)),
            None => (Set::Single, operator),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        use Operator as O;
        let (operator, negated) = match base {
            "StringEquals" => (O::StringEquals, false),
            "StringNotEquals" => (O::StringEquals, true),
            "StringEqualsIgnoreCase" => (O::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (O::StringEqualsIgnoreCase, true),
            "StringLike" | "ArnLike" | "ArnEquals" => (O::StringLike, false),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (O::StringLike, true),
            "NumericEquals" => (O::NumericEquals, false),
            "NumericNotEquals" => (O::NumericEquals, true),
            "NumericLessThan" => (O::NumericLess, false),
            "NumericLessThanEquals" => (O::NumericLessOrEqual, false),
            "NumericGreaterThan" => (O::NumericLessOrEqual, true),
            "NumericGreaterThanEquals" => (O::NumericLess, true),
            "Bool" => (O::Bool, false),
            "Null" => (O::Null, false),
            // Never a condition that is silently true: what can't be judged is refused when the policy is set.
            _ => return Err(unknown(operator)),
        };
        Ok(Self { operator, negated, if_exists, set, name: name.to_ascii_lowercase(), values })
    }

    fn holds(&self, given: Option<&[String]>) -> bool {
        if self.operator == Operator::Null {
            let wants_absent = self.values.iter().any(|v| v == "true");
            return given.is_none_or(<[String]>::is_empty) == wants_absent;
        }
        let Some(given) = given else {
            // A negated operator holds for what is not there, and so does an empty ForAllValues.
            return self.if_exists || self.negated || self.set == Set::ForAllValues;
        };
        match self.set {
            Set::Single | Set::ForAnyValue => given.iter().any(|value| self.matches(value)),
            Set::ForAllValues => given.iter().all(|value| self.matches(value)),
        }
    }

    fn matches(&self, given: &str) -> bool {
        let number = |text: &str| text.parse::<f64>().ok();
        let compare = |wanted: &str, by: fn(f64, f64) -> bool| match (number(given), number(wanted)) {
            (Some(given), Some(wanted)) => by(given, wanted),
            _ => false,
        };
        let any = self.values.iter().any(|wanted| match self.operator {
            Operator::StringEquals => given == wanted,
            Operator::StringEqualsIgnoreCase | Operator::Bool => given.eq_ignore_ascii_case(wanted),
            Operator::StringLike => pattern::matches(wanted, given),
            Operator::NumericEquals => compare(wanted, |a, b| a == b),
            Operator::NumericLess => compare(wanted, |a, b| a < b),
            Operator::NumericLessOrEqual => compare(wanted, |a, b| a <= b),
            Operator::Null => false,
        });
        any != self.negated
    }
}

fn unknown(operator: &str) -> MalformedPolicy {
    MalformedPolicy(format!("Syntax errors in policy: the condition operator {operator} is not supported."))
}
