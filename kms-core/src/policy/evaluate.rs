//! What policies decide about a request.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::collections::BTreeMap;

use super::document::{Document, Effect, Principal, Principals, Statement};

/// A request to be decided.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What the caller is known as, itself first: its ARN, the role of its session, its unique id.
    pub principals: &'a [&'a str],
    /// The caller's account: 12 digits.
    pub account: &'a str,
    /// The service that calls on its own behalf: `s3.amazonaws.com`.
    pub service: Option<&'a str>,
    /// The action: `kms:Decrypt`.
    pub action: &'a str,
    /// The resource's ARN.
    pub resource: &'a str,
    /// Values of condition keys, by their lower-case names.
    pub context: &'a BTreeMap<String, Vec<String>>,
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
    let root = format!("arn:aws:iam::{}:root", request.account);
    // The root user is the account.
    let is_root = request.principals.contains(&root.as_str());
    let mut decision = Decision::Silent;
    for statement in &document.statements {
        if !speaks_of(statement, request) {
            continue;
        }
        let itself = names(statement, request.principals, request.service);
        let account = names(statement, &[root.as_str(), request.account], None);
        let sid = statement.sid.clone();
        match statement.effect {
            // What is denied to the account is denied to all in it. So NotPrincipal must name the account beside the principal
            // that it spares, as AWS's documentation says.
            Effect::Deny if itself || account => return Decision::Denied { sid },
            Effect::Deny => {}
            Effect::Allow if itself || (account && is_root) => decision = Decision::Allowed { sid },
            Effect::Allow if account && decision == Decision::Silent => {
                decision = Decision::Delegated { sid }
            }
            Effect::Allow => {}
        }
    }
    decision
}

/// Evaluates identity policies (or boundaries, or session policies) of the caller together.
pub fn evaluate_identity(documents: &[&Document], request: &Request<'_>) -> Decision {
    let mut decision = Decision::Silent;
    for statement in documents.iter().flat_map(|document| &document.statements) {
        if !speaks_of(statement, request) {
            continue;
        }
        let sid = statement.sid.clone();
        match statement.effect {
            Effect::Deny => return Decision::Denied { sid },
            Effect::Allow if decision == Decision::Silent => decision = Decision::Allowed { sid },
            Effect::Allow => {}
        }
    }
    decision
}

/// The policies that decide a request within one account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// The resource's own.
    pub resource: Option<&'a Document>,
    /// Only what the resource policy leaves to the account is for identity policies to allow: keys, not buckets.
    pub resource_must_delegate: bool,
    /// The caller's.
    pub identity: &'a [&'a Document],
    /// What the caller can have at most.
    pub boundary: Option<&'a Document>,
    /// What the session can have at most.
    pub session: Option<&'a [&'a Document]>,
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

/// Decides by all policies of one account together.
pub fn decide(policies: Policies<'_>, request: &Request<'_>) -> Outcome {
    let boundary = policies.boundary.map(|document| evaluate_identity(&[document], request));
    let session = policies.session.map(|documents| evaluate_identity(documents, request));
    let identity = evaluate_identity(policies.identity, request);
    let resource = policies.resource.map_or(Decision::Silent, |document| evaluate(document, request));
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
    let (by, sid) = match resource {
        // A resource policy that names the very caller asks nobody else.
        Decision::Allowed { sid } if names_itself(&policies, request) => {
            return Outcome::Allowed { by: Which::Resource, sid };
        }
        // One that names the role of a session needs no identity policy; what limits the session limits this too.
        Decision::Allowed { sid } => (Which::Resource, sid),
        Decision::Silent if policies.resource_must_delegate => {
            return Outcome::Unmentioned { in_policy: Which::Resource };
        }
        _ => match identity {
            Decision::Allowed { sid } => (Which::Identity, sid),
            _ => return Outcome::Unmentioned { in_policy: Which::Identity },
        },
    };
    for (in_policy, limit) in [(Which::Boundary, boundary), (Which::Session, session)] {
        if limit.is_some_and(|limit| !matches!(limit, Decision::Allowed { .. })) {
            return Outcome::Unmentioned { in_policy };
        }
    }
    Outcome::Allowed { by, sid }
}

/// Does the resource policy allow the caller by what it is itself, and not by its role?
fn names_itself(policies: &Policies<'_>, request: &Request<'_>) -> bool {
    let itself =
        Request { principals: &request.principals[..request.principals.len().min(1)], ..request.clone() };
    let decision = policies.resource.map(|document| evaluate(document, &itself));
    request.principals.len() <= 1 || matches!(decision, Some(Decision::Allowed { .. }))
}

/// Does the statement speak of this action on this resource, in these circumstances?
fn speaks_of(statement: &Statement, request: &Request<'_>) -> bool {
    let (actions, not_actions) = &statement.actions;
    let (resources, not_resources) = &statement.resources;
    let name = request.action.to_ascii_lowercase();
    let action = actions.iter().any(|p| p.matches(&name, request.context));
    let resource = resources.iter().any(|p| p.matches(request.resource, request.context));
    // A statement without actions or resources is accepted, and ineffective.
    !actions.is_empty()
        && !resources.is_empty()
        && action != *not_actions
        && resource != *not_resources
        && statement.conditions.hold(request.context)
}

fn names(statement: &Statement, callers: &[&str], service: Option<&str>) -> bool {
    let named = |principal: &Principal| match principal {
        Principal::Aws(name) => callers.contains(&name.as_str()),
        Principal::Service(name) => Some(name.as_str()) == service,
        Principal::Other(_) => false,
    };
    match &statement.principals {
        None => false,
        Some(Principals::Everybody) => true,
        Some(Principals::These(list)) => list.iter().any(named),
        Some(Principals::AllBut(list)) => !list.iter().any(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "arn:aws:iam::111122223333:root";
    const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

    fn decide(policy: &str, caller: &str, action: &str, context: &[(&str, &str)]) -> Decision {
        let context = context.iter().map(|(n, v)| (n.to_ascii_lowercase(), vec![(*v).to_owned()])).collect();
        let request = Request {
            principals: &[caller],
            account: "111122223333",
            service: None,
            action,
            resource: "arn:aws:kms:us-east-1:111122223333:key/1",
            context: &context,
        };
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
