//! What parameters must be like, and how a service says that one is not.

use std::fmt::Display;

use super::{Code, Parameters, Refusal};

/// A pattern as messages show it, and who judges it.
type Pattern = (&'static str, fn(&str) -> bool);

/// What a text must be like.
#[derive(Clone, Copy)]
pub struct Rule {
    min_len: usize,
    max_len: usize,
    /// None: any text.
    pattern: Option<Pattern>,
    /// Is the text not to be told again?
    is_secret: bool,
}

/// The key of a tag.
pub const TAG_KEY: Rule = Rule::of_pattern(1, 128, r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", is_of_tag);
/// The value of a tag.
pub const TAG_VALUE: Rule = Rule::of_pattern(0, 256, r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", is_of_tag);

impl Rule {
    /// A text of a length between these, in characters.
    pub const fn of_len(min_len: usize, max_len: usize) -> Self {
        Self { min_len, max_len, pattern: None, is_secret: false }
    }

    /// As [`Rule::of_len`], of a text that no message tells.
    pub const fn of_secret(min_len: usize, max_len: usize) -> Self {
        Self { is_secret: true, ..Self::of_len(min_len, max_len) }
    }

    /// As [`Rule::of_len`], for which this holds too; `pattern` is how messages put it.
    pub const fn of_pattern(
        min_len: usize,
        max_len: usize,
        pattern: &'static str,
        holds: fn(&str) -> bool,
    ) -> Self {
        Self { pattern: Some((pattern, holds)), ..Self::of_len(min_len, max_len) }
    }

    /// Why the text breaks the rule.
    pub fn broken_by(&self, text: &str) -> Option<String> {
        let len = text.chars().count();
        if len < self.min_len {
            return Some(format!("Member must have length greater than or equal to {}", self.min_len));
        }
        if len > self.max_len {
            return Some(format!("Member must have length less than or equal to {}", self.max_len));
        }
        let (pattern, holds) = self.pattern?;
        (!holds(text)).then(|| format!("Member must satisfy regular expression pattern: {pattern}"))
    }

    /// Refuses a parameter whose text breaks the rule.
    pub fn check<'p>(&self, name: &str, text: &'p str) -> Result<&'p str, Refusal> {
        match self.broken_by(text) {
            None => Ok(text),
            Some(why) if self.is_secret => Err(constrained(&member(name), &why)),
            Some(why) => Err(constrained_value(text, &member(name), &why)),
        }
    }
}

/// `1 validation error detected: …`, of a list or a secret.
pub fn constrained(member: &str, constraint: &str) -> Refusal {
    refused(format_args!("Value at '{member}'"), constraint)
}

/// `1 validation error detected: …`, of a text or a number.
pub fn constrained_value(value: impl Display, member: &str, constraint: &str) -> Refusal {
    refused(format_args!("Value '{value}' at '{member}'"), constraint)
}

/// `1 validation error detected: …`, of a member that must be there.
pub fn missing(member: &str) -> Refusal {
    refused(format_args!("Value null at '{member}'"), "Member must not be null")
}

fn refused(what: impl Display, constraint: &str) -> Refusal {
    let message = format!("1 validation error detected: {what} failed to satisfy constraint: {constraint}");
    Refusal::new(Code::ValidationError, message)
}

/// What messages call a parameter: its name, which begins in lower case.
pub fn member(name: &str) -> String {
    let mut member = name.to_owned();
    if let Some(first) = member.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    member
}

/// A parameter that must be there.
pub fn required<'p>(parameters: &'p Parameters, name: &str, rule: Rule) -> Result<&'p str, Refusal> {
    optional(parameters, name, rule)?.ok_or_else(|| missing(&member(name)))
}

/// A parameter that may be there.
pub fn optional<'p>(parameters: &'p Parameters, name: &str, rule: Rule) -> Result<Option<&'p str>, Refusal> {
    parameters.get(name).map(|text| rule.check(name, text)).transpose()
}

/// `Tags`: see [`checked_tags`].
pub fn tags(parameters: &Parameters, max: usize, folds_keys: bool) -> Result<Vec<(String, String)>, Refusal> {
    let given = parameters.structures("Tags");
    let text = |tag: &Parameters, number: usize, name: &str| match tag.get(name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(missing(&of_tag(number, name))),
    };
    // What is beyond the limit is not read.
    let given = given.iter().take(max + 1).zip(1..);
    let given = given.map(|(tag, number)| Ok((text(tag, number, "Key")?, text(tag, number, "Value")?)));
    checked_tags(given.collect::<Result<_, Refusal>>()?, max, folds_keys)
}

/// Tags: at most so many, of which no two may have the same key, whatever its case where `folds_keys`.
pub fn checked_tags(
    given: Vec<(String, String)>,
    max: usize,
    folds_keys: bool,
) -> Result<Vec<(String, String)>, Refusal> {
    if given.len() > max {
        return Err(constrained("tags", &format!("Member must have length less than or equal to {max}")));
    }
    for (at, (key, value)) in given.iter().enumerate() {
        for (name, text, rule) in [("Key", key, TAG_KEY), ("Value", value, TAG_VALUE)] {
            if let Some(why) = rule.broken_by(text) {
                return Err(constrained_value(text, &of_tag(at + 1, name), &why));
            }
        }
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(Refusal::new(Code::InvalidInput, "Reserved aws: tag keys cannot be used."));
        }
        if given[..at].iter().any(|(other, _)| same_key(other, key, folds_keys)) {
            let hint = if folds_keys { " Please note that Tag keys are case insensitive." } else { "" };
            return Err(Refusal::new(Code::InvalidInput, format!("Duplicate tag keys found.{hint}")));
        }
    }
    Ok(given)
}

/// What messages call a member of the tag of this number, counted from 1.
fn of_tag(number: usize, name: &str) -> String {
    format!("tags.{number}.member.{}", member(name))
}

/// Are these the same key of a tag?
pub fn same_key(a: &str, b: &str, folds_keys: bool) -> bool {
    a == b || folds_keys && a.to_lowercase() == b.to_lowercase()
}

/// Letters, numbers and separators of any language, and some punctuation.
fn is_of_tag(text: &str) -> bool {
    let is_separator = |c: char| c.is_whitespace() && !c.is_control();
    text.chars().all(|c| c.is_alphanumeric() || is_separator(c) || "_.:/=+-@".contains(c))
}
