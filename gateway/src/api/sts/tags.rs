//! Session tags.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>

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
    /// `Tags` and `TransitiveTagKeys`.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let given = rules::tags(call.parameters, MAX_TAGS, true).map_err(|refusal| match refusal.code {
            // STS has another code for them than IAM.
            Code::InvalidInput => Refusal { code: Code::InvalidParameterValue, ..refusal },
            _ => refusal,
        })?;
        let transitive: Vec<String> =
            call.parameters.list("TransitiveTagKeys").into_iter().map(str::to_owned).collect();
        for name in &transitive {
            if !given.iter().any(|(given, _)| given == name) {
                let message = "The specified transitive tag key must be included in the requested tags.";
                return Err(Refusal::new(Code::ValidationError, message));
            }
        }
        Ok(Self { given, transitive })
    }

    /// With those that the session before hands on, which can't be given another value.
    pub(super) fn chained(mut self, before: Option<&Session>) -> Result<Self, Refusal> {
        let Some(before) = before else { return Ok(self) };
        for (name, value) in before.tags.iter().filter(|(name, _)| before.transitive.contains(name)) {
            if self.given.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
                let message = "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.";
                return Err(Refusal::new(Code::ValidationError, message));
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
