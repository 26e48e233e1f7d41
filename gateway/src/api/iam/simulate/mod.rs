//! What policies would decide: by the evaluator that decides requests, over the documents that it would ask.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html>

mod keys;
mod position;
mod scenario;
mod source;

use std::time::{Duration, Instant};

use kms_core::policy::{Context, Decision, Document, Effect, Outcome, Policies, Values, decide, evaluate};

use super::page::Page;
use super::rules::Rule;
use super::{Request, rules};
use crate::api::query::{Answer, Code, Parameters, Refusal, list, texts};
use crate::api::xml::XmlWriter;
use crate::work::{self, TooMany};
pub(super) use keys::{keys_of_custom, keys_of_principal};
use scenario::Scenario;
use source::Matched;

const ACTION: Rule = Rule::of_len(3, 128);
const RESOURCE: Rule = Rule::of_len(1, 2048);
/// The most decisions of one answer.
const MAX_DECISIONS: usize = 10_000;
/// The longest that an answer may compute: ordinary policies take 20 µs a decision.
const MAX_DURATION: Duration = Duration::from_secs(2);

/// `SimulatePrincipalPolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>
pub(super) fn principal(request: &Request<'_>) -> Result<Answer, Refusal> {
    let asked = Asked::of(request.parameters())?;
    let principal = source::principal(request)?;
    answer(&asked, &Scenario::of_principal(&request.state, request.parameters(), &principal)?)
}

/// `SimulateCustomPolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulateCustomPolicy.html>
pub(super) fn custom(request: &Request<'_>) -> Result<Answer, Refusal> {
    let asked = Asked::of(request.parameters())?;
    request.authorize("*")?;
    answer(&asked, &Scenario::of_texts(&request.state, request.parameters())?)
}

/// What is asked: each action on each resource.
struct Asked<'p> {
    actions: Vec<&'p str>,
    resources: Vec<&'p str>,
    page: Page,
}

impl<'p> Asked<'p> {
    fn of(parameters: &'p Parameters) -> Result<Self, Refusal> {
        let actions = parameters.list("ActionNames");
        if actions.is_empty() {
            return Err(rules::missing("actionNames"));
        }
        if let Some(why) = actions.iter().find_map(|action| ACTION.broken_by(action)) {
            return Err(rules::constrained(
                "actionNames",
                &format!("Member must satisfy constraint: [{why}]"),
            ));
        }
        if let Some(action) = actions.iter().find(|action| !is_action(action)) {
            return Err(invalid(format!("Invalid action name: {action}")));
        }
        let mut resources = parameters.list("ResourceArns");
        if resources.iter().any(|resource| RESOURCE.broken_by(resource).is_some()) {
            return Err(invalid("A resource has between 1 and 2048 characters."));
        }
        if let Some(resource) = resources.iter().find(|r| **r != "*" && !r.starts_with("arn:")) {
            return Err(invalid(format!("Invalid resource ARN: {resource}")));
        }
        if resources.is_empty() {
            resources.push("*");
        }
        let page = Page::of(parameters)?;
        Ok(Self { actions, resources, page })
    }
}

fn is_action(action: &str) -> bool {
    let Some((vendor, name)) = action.split_once(':') else { return false };
    let fits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits(vendor) && fits(name)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::InvalidInput, message)
}

fn answer(asked: &Asked<'_>, scenario: &Scenario) -> Result<Answer, Refusal> {
    let numbered = asked.actions.iter().enumerate();
    let listed = asked.page.cut(numbered.map(|(n, action)| (format!("{n:06}"), *action)));
    if listed.rows.len() * asked.resources.len() > MAX_DECISIONS {
        return Err(invalid(format!("More than {MAX_DECISIONS} combinations of actions and resources.")));
    }
    let missing = scenario.missing();
    let deadline = Instant::now() + MAX_DURATION;
    let judge = |action: &str| -> Result<Vec<Verdict<'_>>, TooMany> {
        let all = asked.resources.iter().map(|resource| match Instant::now() < deadline {
            true => Ok(scenario.judge(action, resource)),
            false => Err(TooMany),
        });
        all.collect()
    };
    let simulate = || -> Result<Answer, TooMany> {
        let judged = listed.rows.iter().map(|action| Ok((*action, judge(action)?)));
        let judged: Vec<_> = judged.collect::<Result<_, _>>()?;
        Ok(Answer::of(|xml| {
            list(xml, "EvaluationResults", &judged, |xml, (action, all)| {
                write_result(xml, action, all, &missing);
            });
            listed.write_end(xml);
        }))
    };
    work::try_compute(simulate).flatten().map_err(Refusal::throttled)
}

/// What is decided of an action on a resource.
struct Verdict<'s> {
    resource: String,
    /// Worse is greater.
    decision: Decided,
    matched: Vec<Matched<'s>>,
    /// Does the permissions boundary allow it, where there is one?
    within_boundary: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Decided {
    Allowed,
    ImplicitDeny,
    ExplicitDeny,
}

impl Decided {
    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ImplicitDeny => "implicitDeny",
            Self::ExplicitDeny => "explicitDeny",
        }
    }
}

impl Scenario {
    fn judge(&self, action: &str, resource: &str) -> Verdict<'_> {
        let request =
            kms_core::policy::Request { subject: &self.subject, action, resource, values: &self.context };
        let owner = self.owner_of(resource);
        let policies = Policies {
            resource: self.resource.as_ref().map(|policy| &*policy.document),
            resource_must_delegate: self.resource.is_some()
                && action.to_ascii_lowercase().starts_with("kms:"),
            resource_account: owner.filter(|owner| *owner != self.subject.account),
        };
        let outcome = decide(policies, &request);
        let (decision, effect) = match outcome {
            Outcome::Allowed { .. } => (Decided::Allowed, Some(Effect::Allow)),
            Outcome::ExplicitDeny { .. } => (Decided::ExplicitDeny, Some(Effect::Deny)),
            Outcome::Unmentioned { .. } => (Decided::ImplicitDeny, None),
        };
        let boundary = self.subject.boundary.as_ref();
        let within_boundary =
            boundary.map(|boundary| matches!(boundary.evaluate(&request), Decision::Allowed { .. }));
        let mut matched = Vec::new();
        if let Some(effect) = effect {
            let of_boundary = boundary.filter(|_| effect == Effect::Deny);
            for set in [Some(&self.identity), of_boundary].into_iter().flatten() {
                let all =
                    set.matching(&request).into_iter().filter(|(_, statement)| statement.effect == effect);
                matched.extend(all.filter_map(|(name, statement)| self.matched(name, statement)));
            }
            if let Some(policy) = &self.resource {
                let statements = policy.document.statements.iter().filter(|s| s.effect == effect);
                let speaking = statements.filter(|statement| {
                    let alone = Document { statements: vec![(*statement).clone()] };
                    evaluate(&alone, &request) != Decision::Silent
                });
                matched.extend(speaking.filter_map(|statement| self.matched(&policy.id, statement)));
            }
        }
        Verdict { resource: resource.to_owned(), decision, matched, within_boundary }
    }

    /// The condition keys that its policies ask for and nobody has given.
    fn missing(&self) -> Vec<String> {
        let given = |name: &str| {
            let name = name.to_ascii_lowercase();
            !Values::get(&self.context, &name).is_empty()
                || !of_subject(&self.subject.context, &name).is_empty()
        };
        keys::of(self.documents()).into_iter().filter(|name| !given(name)).collect()
    }
}

fn of_subject<'c>(context: &'c Context, name: &str) -> &'c [String] {
    Values::get(context, name)
}

/// One action: what is decided of all resources together, and of each.
fn write_result(xml: &mut XmlWriter, action: &str, all: &[Verdict<'_>], missing: &[String]) {
    let worst = all.iter().map(|verdict| verdict.decision).max().unwrap_or(Decided::ImplicitDeny);
    let resource = match all {
        [single] => single.resource.as_str(),
        _ => "*",
    };
    xml.text("EvalActionName", action);
    xml.text("EvalResourceName", resource);
    xml.text("EvalDecision", worst.name());
    let mut matched: Vec<Matched<'_>> = Vec::new();
    for statement in
        all.iter().filter(|verdict| verdict.decision == worst).flat_map(|verdict| &verdict.matched)
    {
        if !matched.contains(statement) {
            matched.push(*statement);
        }
    }
    write_matched(xml, &matched);
    texts(xml, "MissingContextValues", missing);
    let within: Option<Vec<bool>> = all.iter().map(|verdict| verdict.within_boundary).collect();
    write_boundary(xml, within.map(|all| all.iter().all(|within| *within)));
    if resource == "*" && all.len() == 1 {
        return;
    }
    list(xml, "ResourceSpecificResults", all, |xml, verdict| {
        xml.text("EvalResourceName", &verdict.resource);
        xml.text("EvalResourceDecision", verdict.decision.name());
        write_matched(xml, &verdict.matched);
        texts(xml, "MissingContextValues", missing);
        write_boundary(xml, verdict.within_boundary);
    });
}

fn write_matched(xml: &mut XmlWriter, matched: &[Matched<'_>]) {
    list(xml, "MatchedStatements", matched, |xml, statement| statement.write(xml));
}

fn write_boundary(xml: &mut XmlWriter, allows: Option<bool>) {
    if let Some(allows) = allows {
        xml.open("PermissionsBoundaryDecisionDetail");
        xml.boolean("AllowedByPermissionsBoundary", allows);
        xml.close("PermissionsBoundaryDecisionDetail");
    }
}

#[cfg(test)]
mod tests;
