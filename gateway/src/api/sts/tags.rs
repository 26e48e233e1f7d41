//! Session tags.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>

use crate::api::query::rules::same_key;
use crate::api::query::{Call, Code, Refusal, rules};
use crate::authz::Context;
use crate::iam::Session;

/// The most tags of a session.
const MAX_TAGS: usize = 50;

/// The tags of a session that is to be.
#[derive(Debug, Default)]
pub(super) struct SessionTags {
    /// What the request gives.
    pub(super) given: Vec<(String, String)>,
    /// Which of them the next session of a chain has as well.
    pub(super) transitive: Vec<String>,
}

impl SessionTags {
    /// `Tags`, which GetFederationToken takes as well.
    pub(super) fn given(call: &Call<'_>) -> Result<Self, Refusal> {
        let given = rules::tags(call.parameters, MAX_TAGS, true).map_err(of_sts)?;
        Ok(Self { given, transitive: Vec::new() })
    }

    /// `Tags` and `TransitiveTagKeys`.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let given = Self::given(call)?.given;
        let transitive = call.parameters.list("TransitiveTagKeys").into_iter().map(str::to_owned).collect();
        Self::with_transitive(given, transitive)
    }

    /// Those that an identity provider gives.
    pub(super) fn checked(given: Vec<(String, String)>, transitive: Vec<String>) -> Result<Self, Refusal> {
        Self::with_transitive(rules::checked_tags(given, MAX_TAGS, true).map_err(of_sts)?, transitive)
    }

    fn with_transitive(given: Vec<(String, String)>, transitive: Vec<String>) -> Result<Self, Refusal> {
        for name in &transitive {
            if !given.iter().any(|(given, _)| same_key(given, name, true)) {
                let message = "The specified transitive tag key must be included in the requested tags.";
                return Err(Refusal::new(Code::InvalidParameterValue, message));
            }
        }
        Ok(Self { given, transitive })
    }

    /// With those that the session before hands on, which can't be given another value.
    pub(super) fn chained(mut self, before: Option<&Session>) -> Result<Self, Refusal> {
        let Some(before) = before else { return Ok(self) };
        let handed_on = |name: &str| before.transitive.iter().any(|key| same_key(key, name, true));
        for (name, value) in before.tags.iter().filter(|(name, _)| handed_on(name)) {
            if self.given.iter().any(|(given, _)| same_key(given, name, true)) {
                let message = "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.";
                return Err(Refusal::new(Code::InvalidParameterValue, message));
            }
            self.given.push((name.clone(), value.clone()));
            self.transitive.push(name.clone());
        }
        Ok(self)
    }

    /// As values of condition keys.
    pub(super) fn context(&self) -> Context {
        let mut context = Context::new();
        for (name, value) in &self.given {
            context.insert(format!("aws:requesttag/{}", name.to_ascii_lowercase()), vec![value.clone()]);
        }
        if !self.given.is_empty() {
            let names = self.given.iter().map(|(name, _)| name.clone()).collect();
            context.insert("aws:tagkeys".to_owned(), names);
        }
        if !self.transitive.is_empty() {
            context.insert("sts:transitivetagkeys".to_owned(), self.transitive.clone());
        }
        context
    }
}

/// STS has another code for bad tags than IAM.
fn of_sts(refusal: Refusal) -> Refusal {
    match refusal.code {
        Code::InvalidInput => Refusal { code: Code::InvalidParameterValue, ..refusal },
        _ => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)], transitive: &[&str]) -> Result<SessionTags, String> {
        let given = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let transitive = transitive.iter().map(|key| (*key).to_owned()).collect();
        SessionTags::checked(given, transitive).map_err(|refusal| refusal.message.into_owned())
    }

    #[test]
    fn tags_of_an_identity_provider_are_judged_as_those_of_a_request() {
        assert!(tags(&[("Team", "a")], &["TEAM"]).is_ok(), "case does not tell keys apart");
        assert!(tags(&[("Team", "a")], &["Other"]).unwrap_err().contains("must be included"));
        assert!(tags(&[("Team", "a"), ("team", "b")], &[]).unwrap_err().contains("Duplicate"));
        assert!(tags(&[("aws:Team", "a")], &[]).unwrap_err().contains("Reserved"));
        assert!(tags(&[("Te!am", "a")], &[]).is_err());
        assert!(tags(&[("Team", &"x".repeat(257))], &[]).is_err());
        let many: Vec<String> = (0..51).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
        assert!(tags(&many, &[]).is_err() && tags(&many[..50], &[]).is_ok());
    }
}
