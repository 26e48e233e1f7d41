//! Which pages of other origins may ask.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>

use serde::{Deserialize, Serialize};

use super::Setting;

/// The rules, the first that matches holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// The rules.
    pub rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// Its name.
    pub id: Option<String>,
    /// Origins, with at most one `*` each.
    pub origins: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Headers that a request may have, with at most one `*` each.
    pub headers: Vec<String>,
    /// Headers of an answer that a page may see.
    pub exposed: Vec<String>,
    /// How long a browser remembers the answer to a preflight.
    pub max_age_s: Option<u32>,
}

impl Setting for Cors {
    const NAME: &'static str = "cors";
}

impl Cors {
    /// The rule for a request from `origin` with this method and these headers.
    pub fn rule(&self, origin: &str, method: &str, headers: &[String]) -> Option<&CorsRule> {
        self.rules.iter().find(|rule| {
            rule.origins.iter().any(|pattern| matches(pattern, origin, false))
                && rule.methods.iter().any(|allowed| allowed == method)
                && headers
                    .iter()
                    .all(|header| rule.headers.iter().any(|pattern| matches(pattern, header, true)))
        })
    }
}

impl CorsRule {
    /// Is it for every origin there is?
    pub fn allows_every_origin(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}

fn matches(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let lower = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let (pattern, text) = (lower(pattern), lower(text));
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_holds() {
        let rule = |origin: &str, method: &str, header: &str| CorsRule {
            origins: vec![origin.to_owned()],
            methods: vec![method.to_owned()],
            headers: vec![header.to_owned()],
            ..CorsRule::default()
        };
        let cors = Cors { rules: vec![rule("https://*.example.com", "GET", "X-*"), rule("*", "PUT", "*")] };
        let found = |origin, method, headers: &[&str]| {
            let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
            cors.rule(origin, method, &headers).map(|rule| rule.methods[0].clone())
        };
        assert_eq!(found("https://a.example.com", "GET", &["x-one"]).as_deref(), Some("GET"));
        assert_eq!(found("https://a.example.com", "GET", &["content-type"]), None);
        assert_eq!(found("https://example.com", "GET", &[]), None);
        assert_eq!(found("http://a.example.com", "GET", &[]), None);
        assert_eq!(found("null", "PUT", &["anything"]).as_deref(), Some("PUT"));
        assert_eq!(found("null", "DELETE", &[]), None);
    }
}
