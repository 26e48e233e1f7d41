//! When objects expire.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>

use serde::{Deserialize, Serialize};
use storage::name::Timestamp;

use super::Setting;

/// The rules of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// The rules.
    pub rules: Vec<Rule>,
    /// `x-amz-transition-default-minimum-object-size`, as it was given.
    #[serde(default)]
    pub default_minimum: Option<String>,
}

impl Setting for Lifecycle {
    const NAME: &'static str = "lifecycle";
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Is it in force?
    pub enabled: bool,
    /// Which objects it is for.
    pub filter: Filter,
    /// When the current version expires.
    pub expiration: Option<When>,
    /// Take a delete marker away that no other version is behind.
    pub expired_delete_marker: bool,
    /// When other versions expire.
    pub noncurrent_expiration: Option<NoncurrentExpiration>,
    /// When unfinished uploads end.
    pub abort_uploads_after_days: Option<u32>,
    /// Other storage classes for the current version: recorded.
    pub transitions: Vec<Transition>,
    /// Other storage classes for other versions: recorded.
    pub noncurrent_transitions: Vec<Transition>,
}

/// How a rule's filter was written, which is how it is told back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Names start so.
    pub prefix: Option<String>,
    /// It has these tags.
    pub tags: Vec<(String, String)>,
    /// It is larger, in plain bytes.
    pub larger_than: Option<u64>,
    /// It is smaller, in plain bytes.
    pub smaller_than: Option<u64>,
    /// The prefix stands in the rule and not in a filter, as in the first version of the API.
    pub bare_prefix: bool,
    /// Its conditions stand in an `And`.
    pub and: bool,
}

/// A moment in the life of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// So many days after it was written, at the next midnight (UTC).
    Days(u32),
    /// From this time on.
    Date(Timestamp),
}

/// When versions that are not current expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentExpiration {
    /// So many days after another became current.
    pub days: u32,
    /// But keep this many of the newest.
    pub newer_versions: Option<u32>,
}

/// A change of storage class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When; days alone for versions that are not current.
    pub when: When,
    /// To which class.
    pub storage_class: String,
    /// Keep this many of the newest.
    pub newer_versions: Option<u32>,
}

impl Filter {
    /// Is a rule of this filter for an object of this name, size and these tags?
    pub fn matches(&self, name: &str, plain_len: u64, tags: &[(String, String)]) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && self.larger_than.is_none_or(|than| plain_len > than)
            && self.smaller_than.is_none_or(|than| plain_len < than)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// May it be for a delete marker, or for an upload, which have neither size nor tags?
    pub fn is_of_names_alone(&self) -> bool {
        self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none()
    }
}

/// The midnight (of days of this length) behind `days` days after `from`.
fn midnight_after(from: Timestamp, days: u32, day_ms: u64) -> Timestamp {
    let at = from.unix_ms().saturating_add(u64::from(days).saturating_mul(day_ms));
    Timestamp(at.div_ceil(day_ms).saturating_mul(day_ms))
}

/// Has this moment come for something that came to be at `from`?
pub fn is_due(when: When, from: Timestamp, now: Timestamp, day_ms: u64) -> bool {
    match when {
        When::Days(days) => midnight_after(from, days, day_ms) <= now,
        When::Date(date) => date <= now,
    }
}

/// The earliest expiration of a current version, and the rule that it is by: what the answer's `x-amz-expiration` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<'a> {
    /// When.
    pub at: Timestamp,
    /// By which rule.
    pub rule_id: &'a str,
}

impl Lifecycle {
    /// When the current version of an object expires, if it does.
    pub fn expiration<'a>(
        &'a self,
        (name, plain_len, tags): (&str, u64, &[(String, String)]),
        last_modified: Timestamp,
        day_ms: u64,
    ) -> Option<Due<'a>> {
        let of_rule = |rule: &'a Rule| {
            let at = match rule.expiration? {
                When::Days(days) => midnight_after(last_modified, days, day_ms),
                When::Date(date) => date,
            };
            Some(Due { at, rule_id: &rule.id })
        };
        self.rules
            .iter()
            .filter(|rule| rule.enabled && rule.filter.matches(name, plain_len, tags))
            .filter_map(of_rule)
            .min_by_key(|due| due.at)
    }
}

impl Lifecycle {
    /// When an upload of this name is ended, if it is.
    pub fn upload_end(&self, name: &str, initiated: Timestamp, day_ms: u64) -> Option<Due<'_>> {
        let rules = self.rules.iter().filter(|rule| rule.enabled && rule.filter.matches(name, 0, &[]));
        let ends = rules.filter_map(|rule| {
            Some(Due {
                at: midnight_after(initiated, rule.abort_uploads_after_days?, day_ms),
                rule_id: &rule.id,
            })
        });
        ends.min_by_key(|due| due.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn days_end_at_the_midnight_behind_them() {
        let written = Timestamp(10 * DAY + 5);
        assert!(!is_due(When::Days(1), written, Timestamp(12 * DAY - 1), DAY));
        assert!(is_due(When::Days(1), written, Timestamp(12 * DAY), DAY));
        assert!(is_due(When::Date(Timestamp(3)), written, Timestamp(3), DAY));
        assert!(!is_due(When::Date(Timestamp(3)), written, Timestamp(2), DAY));
    }

    #[test]
    fn the_earliest_rule_that_matches_tells_the_expiration() {
        let rule = |id: &str, prefix: &str, days| Rule {
            id: id.to_owned(),
            enabled: true,
            filter: Filter { prefix: Some(prefix.to_owned()), ..Filter::default() },
            expiration: Some(When::Days(days)),
            ..Rule::default()
        };
        let off = Rule { enabled: false, ..rule("off", "", 1) };
        let lifecycle = Lifecycle {
            rules: vec![rule("long", "a", 9), rule("short", "ab", 3), off],
            default_minimum: None,
        };
        let of = |name| {
            lifecycle.expiration((name, 1, &[]), Timestamp(0), DAY).map(|due| (due.rule_id, due.at.0 / DAY))
        };
        assert_eq!(of("abc"), Some(("short", 3)));
        assert_eq!(of("ac"), Some(("long", 9)));
        assert_eq!(of("b"), None);
    }

    #[test]
    fn all_of_a_filter_must_match() {
        let filter = Filter {
            prefix: Some("a".to_owned()),
            tags: vec![("k".to_owned(), "v".to_owned())],
            larger_than: Some(10),
            smaller_than: Some(20),
            ..Filter::default()
        };
        let tags = [("k".to_owned(), "v".to_owned()), ("l".to_owned(), "w".to_owned())];
        assert!(filter.matches("ab", 11, &tags));
        assert!(!filter.matches("b", 11, &tags));
        assert!(!filter.matches("ab", 10, &tags));
        assert!(!filter.matches("ab", 20, &tags));
        assert!(!filter.matches("ab", 11, &tags[1..]));
    }
}
