//! What a decision may cost: policies and requests are both foreign, and their product is work.

use std::cell::Cell;

/// The most steps of one decision: a step compares about a byte, so this is a few milliseconds at worst. All managed policies that a
/// user can have (20 of 6144 characters) against the longest key of an object come to a tenth of it.
const MAX_STEPS: usize = 4 << 20;
/// What a comparison costs besides the bytes that it looks at, in steps.
const COMPARISON: usize = 16;

/// The steps that a decision has left. Whoever runs out of them is denied: what was not looked at may have been a Deny.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<usize>,
}

impl Work {
    /// For a decision that begins.
    pub(super) fn new() -> Self {
        Self { left: Cell::new(MAX_STEPS) }
    }

    /// Begins a comparison. Answers whether there are steps for it.
    pub(super) fn begin(&self) -> bool {
        self.spend(COMPARISON);
        !self.is_spent()
    }

    /// These steps were taken.
    pub(super) fn spend(&self, steps: usize) {
        let left = self.left.get();
        if left > 0 && steps >= left {
            tracing::warn!(
                steps = MAX_STEPS,
                "a decision was too costly, and is a denial: its policies have too many wildcards"
            );
        }
        self.left.set(left.saturating_sub(steps));
    }

    /// Has it run out of steps?
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::policy::{
        Context, Document, IdentityPolicies, Outcome, Policies, PolicySet, Request, Subject, Which, decide,
    };

    /// What is decided for a user who may do everything but what these patterns name, by an identity policy or by a boundary.
    fn decided(patterns: &str, in_boundary: bool, resource: &str) -> Outcome {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"*","Resource":[{patterns}]}},
                {{"Effect":"Allow","Action":"*","Resource":"*"}}]}}"#
        );
        let policies = Arc::new(PolicySet::of(Document::parse_identity(&text).unwrap()));
        let subject = Subject::named("arn:aws:iam::111122223333:user/alice");
        let subject = match in_boundary {
            false => Subject { identity: IdentityPolicies::These(policies), ..subject },
            true => Subject { identity: IdentityPolicies::Unlimited, boundary: Some(policies), ..subject },
        };
        let values = Context::new();
        let request = Request { subject: &subject, action: "s3:GetObject", resource, values: &values };
        decide(Policies::default(), &request)
    }

    /// Denials that speak of something else deny nothing, until there is no time to see that.
    #[test]
    fn a_decision_that_takes_too_long_is_a_denial() {
        let patterns: Vec<String> = (0..1000).map(|n| format!("\"*b{n:04}*\"")).collect();
        let patterns = patterns.join(",");
        for in_boundary in [false, true] {
            assert!(decided(&patterns, in_boundary, &"a".repeat(1024)).is_allowed());
            let outcome = decided(&patterns, in_boundary, &"a".repeat(8192));
            let by = if in_boundary { Which::Boundary } else { Which::Identity };
            assert_eq!(outcome, Outcome::ExplicitDeny { by, sid: None });
        }
    }
}
