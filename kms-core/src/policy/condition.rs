//! Conditions: operator, key, values.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::malformed::{MalformedPolicy, strings};
use super::network::Network;
use super::pattern::{Comparison, Template};
use super::values::Values;
use super::work::Work;

/// A statement's conditions, all of which must hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug, Clone)]
struct Condition {
    /// Holds for what none of the values matches.
    negated: bool,
    if_exists: bool,
    set: Set,
    /// In lower case: the names of condition keys have none.
    name: String,
    /// As it was written.
    written: String,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// A key with one value.
    Single,
    ForAllValues,
    ForAnyValue,
}

/// How a value of the request is compared with those of the policy.
#[derive(Debug, Clone)]
enum Test {
    Text(Vec<Template>),
    /// Numbers, or times in seconds since 1970.
    Number {
        compare: fn(&f64, &f64) -> bool,
        dates: bool,
        values: Vec<f64>,
    },
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Ip(Vec<Network>),
    /// `Null`: is the key to be absent?
    Absent(bool),
}

impl Conditions {
    pub(super) fn parse(value: &Value, variables: bool) -> Result<Self, MalformedPolicy> {
        let not_an_object =
            || MalformedPolicy("Syntax errors in policy: a Condition is not an object.".to_owned());
        let mut conditions = Vec::new();
        for (operator, keys) in value.as_object().ok_or_else(not_an_object)? {
            for (name, values) in keys.as_object().ok_or_else(not_an_object)? {
                conditions.push(Condition::parse(operator, name, &strings(values)?, variables)?);
            }
        }
        Ok(Self(conditions))
    }

    /// Is there one that holds for fixed values of one of these (lower-case) keys alone, and for no wide range of addresses?
    pub fn narrow(&self, names: &[&str]) -> bool {
        self.0.iter().any(|condition| {
            names.contains(&condition.name.as_str())
                && !condition.negated
                && !condition.if_exists
                && condition.set != Set::ForAllValues
                && condition.test.is_narrow()
        })
    }

    /// Do all hold?
    pub(super) fn hold(&self, values: &dyn Values, work: &Work) -> bool {
        self.0.iter().all(|condition| condition.holds(values, work))
    }

    /// The condition keys that they ask for, as they were written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|condition| {
            std::iter::once(condition.written.as_str())
                .chain(condition.test.templates().iter().flat_map(Template::variables))
        })
    }
}

impl Condition {
    fn parse(
        operator: &str,
        name: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, MalformedPolicy> {
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
        let text = |comparison| {
            read_all(values, |value| Template::parse(value, comparison, variables)).map(Test::Text)
        };
        let date = |compare| Some(Test::Number { compare, dates: true, values: read_all(values, date)? });
        let number =
            |compare| Some(Test::Number { compare, dates: false, values: read_all(values, number)? });
        let (test, negated) = match base {
            "StringEquals" => (text(Comparison::Equal), false),
            "StringNotEquals" => (text(Comparison::Equal), true),
            "StringEqualsIgnoreCase" => (text(Comparison::EqualIgnoringCase), false),
            "StringNotEqualsIgnoreCase" => (text(Comparison::EqualIgnoringCase), true),
            "StringLike" => (text(Comparison::Like), false),
            "StringNotLike" => (text(Comparison::Like), true),
            "ArnLike" | "ArnEquals" => (text(Comparison::Arn), false),
            "ArnNotLike" | "ArnNotEquals" => (text(Comparison::Arn), true),
            "NumericEquals" => (number(f64::eq), false),
            "NumericNotEquals" => (number(f64::eq), true),
            "NumericLessThan" => (number(f64::lt), false),
            "NumericLessThanEquals" => (number(f64::le), false),
            "NumericGreaterThan" => (number(f64::gt), false),
            "NumericGreaterThanEquals" => (number(f64::ge), false),
            "DateEquals" => (date(f64::eq), false),
            "DateNotEquals" => (date(f64::eq), true),
            "DateLessThan" => (date(f64::lt), false),
            "DateLessThanEquals" => (date(f64::le), false),
            "DateGreaterThan" => (date(f64::gt), false),
            "DateGreaterThanEquals" => (date(f64::ge), false),
            "Bool" => (read_all(values, boolean).map(Test::Bool), false),
            "BinaryEquals" => (read_all(values, binary).map(Test::Binary), false),
            "IpAddress" => (read_all(values, Network::parse).map(Test::Ip), false),
            "NotIpAddress" => (read_all(values, Network::parse).map(Test::Ip), true),
            "Null" if !if_exists && set == Set::Single => {
                (read_all(values, boolean).map(|values| Test::Absent(values.contains(&true))), false)
            }
            // Never a condition that is silently true: what can't be judged is refused when the policy is set.
            _ => return Err(unknown(operator)),
        };
        let test = test.ok_or_else(|| {
            MalformedPolicy(format!(
                "Syntax errors in policy: a value of {name} is not one that {operator} can compare."
            ))
        })?;
        Ok(Self { negated, if_exists, set, name: name.to_ascii_lowercase(), written: name.to_owned(), test })
    }

    fn holds(&self, values: &dyn Values, work: &Work) -> bool {
        let given = values.get(&self.name);
        if let Test::Absent(wanted) = self.test {
            return given.is_empty() == wanted;
        }
        if given.is_empty() {
            return self.if_exists
                || match self.set {
                    Set::Single => self.negated,
                    Set::ForAllValues => true,
                    Set::ForAnyValue => false,
                };
        }
        let fits = |value: &String| self.test.any(value, values, work) != self.negated;
        match (self.set, self.negated) {
            (Set::ForAllValues, _) | (Set::Single, true) => given.iter().all(fits),
            (Set::ForAnyValue, _) | (Set::Single, false) => given.iter().any(fits),
        }
    }
}

impl Test {
    /// Fixed texts, or addresses of no more than an eighth of IPv4's space or a 32nd of IPv6's, counted in bits.
    fn is_narrow(&self) -> bool {
        match self {
            Self::Text(all) => all.iter().all(Template::is_fixed),
            Self::Ip(all) => {
                all.iter().all(|Network(first, bits)| *bits >= if first.is_ipv4() { 8 } else { 32 })
            }
            Self::Number { .. } | Self::Bool(_) | Self::Binary(_) | Self::Absent(_) => false,
        }
    }

    fn templates(&self) -> &[Template] {
        match self {
            Self::Text(all) => all,
            Self::Number { .. } | Self::Bool(_) | Self::Binary(_) | Self::Ip(_) | Self::Absent(_) => &[],
        }
    }

    /// Does any value of the policy match this value of the request?
    fn any(&self, given: &str, values: &dyn Values, work: &Work) -> bool {
        match self {
            Self::Text(all) => all.iter().any(|t| t.matches(given, values, work)),
            Self::Number { compare, dates, values } => {
                let given = if *dates { date(given) } else { number(given) };
                given.is_some_and(|given| values.iter().any(|value| compare(&given, value)))
            }
            Self::Bool(all) => boolean(given).is_some_and(|given| all.contains(&given)),
            Self::Binary(all) => binary(given).is_some_and(|given| all.contains(&given)),
            Self::Ip(all) => given.parse().is_ok_and(|given| all.iter().any(|n| n.contains(given))),
            Self::Absent(_) => false,
        }
    }
}

fn read_all<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(|value| read(value)).collect()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds since 1970, or a date, or a date and a time.
fn date(text: &str) -> Option<f64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let time = OffsetDateTime::parse(&whole, &Iso8601::DEFAULT).ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

fn boolean(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

fn binary(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn unknown(operator: &str) -> MalformedPolicy {
    MalformedPolicy(format!("Syntax errors in policy: the condition operator {operator} is not supported."))
}
