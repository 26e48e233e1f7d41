//! What policies decide about a request.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::sync::Arc;

use super::grammar::{Document, Effect, Principal, Principals, Statement};
use super::subject::{IdentityPolicies, PolicySet, Subject};
use super::values::{Layered, Values};
use super::work::Work;

/// A request to be decided.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub subject: &'a Subject,
    /// The action: `kms:Decrypt`.
    pub action: &'a str,
    /// The resource's ARN.
    pub resource: &'a str,
    /// Values of condition keys, beside those of the subject.
    pub values: &'a dyn Values,
}

/// What a policy says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A statement denies it; nothing can allow it any more.
    Denied {
        /// The statement's name.
        sid: Option<String>,
    },
    /// A statement allows the caller itself.
    Allowed {
        /// The statement's name.
        sid: Option<String>,
    },
    /// A statement allows the caller's account: the account's own policies decide.
    Delegated {
        /// The statement's name.
        sid: Option<String>,
    },
    /// No statement speaks of it.
    Silent,
}

/// Evaluates a resource policy; an explicit deny wins over everything.
pub fn evaluate(document: &Document, request: &Request<'_>) -> Decision {
    evaluate_for(document, request, Names::All, &Work::new())
}

/// By which of its names a subject is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    /// By its own, not by its role's.
    Itself,
}

fn evaluate_for(document: &Document, request: &Request<'_>, names: Names, work: &Work) -> Decision {
    let subject = request.subject;
    let action = request.action.to_ascii_lowercase();
    let mut decision = Decision::Silent;
    for statement in &document.statements {
        if !statement.speaks_of_action(&action, work) || !speaks_of_the_rest(statement, request, work) {
            continue;
        }
        // Whoever has a boundary can't be spared by NotPrincipal, as AWS's documentation says.
        let is_bound = statement.effect == Effect::Deny
            && subject.boundary.is_some()
            && matches!(statement.principals, Some(Principals::AllBut(_)));
        let itself = is_bound
            || statement.names(|principal| match principal {
                Principal::Aws(name) => {
                    subject.itself.contains(name) || names == Names::All && subject.role.contains(name)
                }
                other => subject.other.as_ref() == Some(other),
            });
        let account = statement.names(|principal| match principal {
            Principal::Aws(name) => is_account(name, &subject.account),
            _ => false,
        });
        let sid = statement.sid.clone();
        match statement.effect {
            // What is denied to the account is denied to all in it. So NotPrincipal must name the account beside the principal
            // that it spares, as AWS's documentation says.
            Effect::Deny if itself || account => return Decision::Denied { sid },
            Effect::Deny => {}
            // The root user is the account.
            Effect::Allow if itself || (account && subject.is_root()) => decision = Decision::Allowed { sid },
            Effect::Allow if account && decision == Decision::Silent => {
                decision = Decision::Delegated { sid }
            }
            Effect::Allow => {}
        }
    }
    // What was not looked at may be a Deny.
    if work.is_spent() { Decision::Denied { sid: None } } else { decision }
}

/// Is this the account: by its number, or by its root's ARN?
fn is_account(name: &str, account: &str) -> bool {
    let number = match name.strip_prefix("arn:aws:iam::") {
        Some(rest) => rest.strip_suffix(":root").unwrap_or_default(),
        None => name,
    };
    !account.is_empty() && number == account
}

/// The resource's side of a decision.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// The resource's own policy.
    pub resource: Option<&'a Document>,
    /// Only what the resource policy leaves to the account is for identity policies to allow: keys, not buckets.
    pub resource_must_delegate: bool,
    /// The account that owns the resource; `None` where it is the caller's own. Another one has to allow the request as well.
    pub resource_account: Option<&'a str>,
}

/// Which policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `identity-based policy`.
    Identity,
    /// `resource-based policy`.
    Resource,
    /// `permissions boundary`.
    Boundary,
    /// `session policy`.
    Session,
}

/// What is decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed by a statement.
    Allowed {
        /// Of this policy.
        by: Which,
        /// Its name.
        sid: Option<String>,
    },
    /// Denied by a statement: whatever else allows it.
    ExplicitDeny {
        /// Of this policy.
        by: Which,
        /// Its name.
        sid: Option<String>,
    },
    /// Allowed by no statement of a policy that would have to.
    Unmentioned {
        /// This policy.
        in_policy: Which,
    },
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }
}

impl Outcome {
    /// Is it allowed?
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The end of AWS's message of an access denied; empty where it is not.
    pub fn why(&self, action: &str) -> String {
        match self {
            Self::Allowed { .. } => String::new(),
            Self::ExplicitDeny { by, .. } => {
                let article = if *by == Which::Identity { "an" } else { "a" };
                format!("with an explicit deny in {article} {}", by.name())
            }
            Self::Unmentioned { in_policy } => {
                format!("because no {} allows the {action} action", in_policy.name())
            }
        }
    }
}

/// Decides by all policies together: the resource's, and those of the one who asks. What takes too much work is denied.
pub fn decide(policies: Policies<'_>, request: &Request<'_>) -> Outcome {
    let (subject, work) = (request.subject, &Work::new());
    let boundary = subject.boundary.as_ref().map(|set| set.evaluate_within(request, work));
    let session = subject.session.as_ref().map(|set| set.evaluate_within(request, work));
    let identity = match &subject.identity {
        IdentityPolicies::Unlimited => Decision::Allowed { sid: None },
        IdentityPolicies::These(set) => set.evaluate_within(request, work),
    };
    let resource = policies
        .resource
        .map_or(Decision::Silent, |document| evaluate_for(document, request, Names::All, work));
    let all = [
        (Which::Identity, Some(&identity)),
        (Which::Resource, Some(&resource)),
        (Which::Boundary, boundary.as_ref()),
        (Which::Session, session.as_ref()),
    ];
    for (by, decision) in all {
        if let Some(Decision::Denied { sid }) = decision {
            return Outcome::ExplicitDeny { by, sid: sid.clone() };
        }
    }
    let crosses = policies.resource_account.is_some_and(|owner| owner != subject.account);
    let (by, sid) = match (resource, identity) {
        (Decision::Silent, _) if crosses || policies.resource_must_delegate => {
            return Outcome::Unmentioned { in_policy: Which::Resource };
        }
        // A resource policy that names the very caller asks nobody else in its own account.
        (Decision::Allowed { sid }, _) if !crosses && names_itself(&policies, request, work) => {
            return Outcome::Allowed { by: Which::Resource, sid };
        }
        // One that names the role of a session needs no identity policy; what limits the session limits this too.
        (Decision::Allowed { sid }, _) if !crosses => (Which::Resource, sid),
        // Of another account, the caller's own has to allow it besides.
        (_, Decision::Allowed { sid }) => (Which::Identity, sid),
        _ => return Outcome::Unmentioned { in_policy: Which::Identity },
    };
    for (in_policy, limit) in [(Which::Boundary, boundary), (Which::Session, session)] {
        if limit.is_some_and(|limit| !matches!(limit, Decision::Allowed { .. })) {
            return Outcome::Unmentioned { in_policy };
        }
    }
    Outcome::Allowed { by, sid }
}

/// Do boundary and session policy, where there are any, let the subject have what its role was given beside every policy (a grant)?
/// Answers the first that does not.
pub fn within_limits(request: &Request<'_>) -> Result<(), Which> {
    let Subject { boundary, session, .. } = request.subject;
    for (limit, which) in [(boundary, Which::Boundary), (session, Which::Session)] {
        let allows = |set: &Arc<PolicySet>| matches!(set.evaluate(request), Decision::Allowed { .. });
        if !limit.as_ref().is_none_or(allows) {
            return Err(which);
        }
    }
    Ok(())
}

/// Does the resource policy allow the caller by what it is itself, and not by its role?
fn names_itself(policies: &Policies<'_>, request: &Request<'_>, work: &Work) -> bool {
    let by_itself = || policies.resource.map(|document| evaluate_for(document, request, Names::Itself, work));
    request.subject.role.is_empty() || matches!(by_itself(), Some(Decision::Allowed { .. }))
}

impl PolicySet {
    /// What they say together; an explicit deny wins.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        self.evaluate_within(request, &Work::new())
    }

    fn evaluate_within(&self, request: &Request<'_>, work: &Work) -> Decision {
        let mut decision = Decision::Silent;
        for &at in &*self.of_action(request.action, work) {
            let statement = self.statement(at);
            if decision != Decision::Silent && statement.effect == Effect::Allow
                || !speaks_of_the_rest(statement, request, work)
            {
                continue;
            }
            let sid = statement.sid.clone();
            match statement.effect {
                Effect::Deny => return Decision::Denied { sid },
                Effect::Allow => decision = Decision::Allowed { sid },
            }
        }
        if work.is_spent() { Decision::Denied { sid: None } } else { decision }
    }

    /// The statements that speak of the request, each with its policy's name: for whoever wants to know why.
    pub fn matching(&self, request: &Request<'_>) -> Vec<(&str, &Statement)> {
        let work = Work::new();
        let all = self.of_action(request.action, &work);
        let matching = all.iter().filter(|at| speaks_of_the_rest(self.statement(**at), request, &work));
        matching.map(|at| (self.policies()[at.0].name.as_str(), self.statement(*at))).collect()
    }
}

/// Does the statement, which speaks of the action, speak of the resource too, in these circumstances?
fn speaks_of_the_rest(statement: &Statement, request: &Request<'_>, work: &Work) -> bool {
    let values = Layered { request: request.values, subject: &request.subject.context };
    let (resources, not_resources) = &statement.resources;
    let resource = resources.iter().any(|p| p.matches(request.resource, &values, work));
    // A statement without resources is accepted, and ineffective.
    !resources.is_empty() && resource != *not_resources && statement.conditions.hold(&values, work)
}

impl Statement {
    /// Does it speak of this action, in lower case? One without actions is accepted, and ineffective.
    pub(super) fn speaks_of_action(&self, action: &str, work: &Work) -> bool {
        let (actions, not_actions) = &self.actions;
        let nothing = super::values::Context::new();
        !actions.is_empty() && actions.iter().any(|p| p.matches(action, &nothing, work)) != *not_actions
    }

    fn names(&self, is_caller: impl Fn(&Principal) -> bool) -> bool {
        match &self.principals {
            None => false,
            Some(Principals::Everybody) => true,
            Some(Principals::These(list)) => list.iter().any(is_caller),
            Some(Principals::AllBut(list)) => !list.iter().any(is_caller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Context;

    const ROOT: &str = "arn:aws:iam::111122223333:root";
    const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

    fn decide(policy: &str, caller: &str, action: &str, context: &[(&str, &str)]) -> Decision {
        let context: Context =
            context.iter().map(|(n, v)| (n.to_ascii_lowercase(), vec![(*v).to_owned()])).collect();
        let resource = "arn:aws:kms:us-east-1:111122223333:key/1";
        let request = Request { subject: &Subject::named(caller), action, resource, values: &context };
        evaluate(&Document::parse_resource(policy).unwrap(), &request)
    }

    fn statement(effect: &str, principal: &str, action: &str, condition: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"s","Effect":"{effect}","Principal":{principal},"Action":"{action}","Resource":"*","Condition":{condition}}}]}}"#
        )
    }

    #[test]
    fn the_account_delegates_and_its_root_is_allowed() {
        let default = statement("Allow", &format!(r#"{{"AWS":"{ROOT}"}}"#), "kms:*", "{}");
        let sid = Some("s".to_owned());
        assert_eq!(decide(&default, ROOT, "kms:Decrypt", &[]), Decision::Allowed { sid: sid.clone() });
        assert_eq!(decide(&default, ALICE, "kms:Decrypt", &[]), Decision::Delegated { sid });
        let narrow = statement("Allow", r#"{"AWS":"111122223333"}"#, "kms:Describe*", "{}");
        assert_eq!(decide(&narrow, ALICE, "kms:Decrypt", &[]), Decision::Silent);
    }

    #[test]
    fn deny_wins_and_speaks_to_everybody_of_the_account() {
        let both = format!(
            r#"{{"Statement":[{{"Effect":"Deny","Principal":{{"AWS":"{ROOT}"}},"Action":"kms:Decrypt","Resource":"*"}},
                {{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}]}}"#
        );
        assert_eq!(decide(&both, ALICE, "kms:Decrypt", &[]), Decision::Denied { sid: None });
        assert_eq!(decide(&both, ALICE, "kms:Encrypt", &[]), Decision::Allowed { sid: None });
    }

    #[test]
    fn conditions() {
        let via = |condition: &str| statement("Allow", r#""*""#, "kms:*", condition);
        let given = [("kms:ViaService", "s3.us-east-1.amazonaws.com"), ("n", "7")];
        for (condition, holds) in [
            (r#"{"StringEquals":{"kms:viaservice":"s3.us-east-1.amazonaws.com"}}"#, true),
            (r#"{"StringEquals":{"kms:ViaService":["a","s3.us-east-1.amazonaws.com"]}}"#, true),
            (r#"{"StringNotEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}"#, false),
            (r#"{"StringLike":{"kms:ViaService":"s3.*"}}"#, true),
            (r#"{"StringEquals":{"absent":"x"}}"#, false),
            (r#"{"StringNotEquals":{"absent":"x"}}"#, true),
            (r#"{"StringEqualsIfExists":{"absent":"x"}}"#, true),
            (r#"{"Null":{"absent":"true"}}"#, true),
            (r#"{"Null":{"absent":false}}"#, false),
            (r#"{"NumericLessThan":{"n":8}}"#, true),
            (r#"{"NumericGreaterThanEquals":{"n":"7"}}"#, true),
            (r#"{"ForAllValues:StringEquals":{"absent":"x"}}"#, true),
            (r#"{"ForAnyValue:StringEquals":{"absent":"x"}}"#, false),
        ] {
            let decision = decide(&via(condition), ALICE, "kms:Decrypt", &given);
            assert_eq!(decision != Decision::Silent, holds, "{condition}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for policy in [
            "",
            "[]",
            "{}",
            r#"{"Statement":[{"Effect":"Maybe"}]}"#,
            r#"{"Statement":[],"Extra":1}"#,
            r#"{"Version":"2020-01-01","Statement":[]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Dog":"x"}}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Condition":{"StringMaybe":{"a":"b"}}}]}"#,
        ] {
            assert!(Document::parse_resource(policy).is_err(), "{policy}");
        }
        // Accepted, and without effect.
        let empty = r#"{"Statement":{"Effect":"Allow","Principal":"*"}}"#;
        assert_eq!(decide(empty, ALICE, "kms:Decrypt", &[]), Decision::Silent);
    }
}
