//! Policies of all three kinds: none makes parsing or deciding panic; what is decided once is decided again; and what a statement
//! denies stays denied, whatever statements come beside it.
#![no_main]

use std::sync::Arc;

use kms_core::policy::{
    Context, Document, IdentityPolicies, NamedPolicy, Outcome, Policies, PolicySet, Request, Subject, decide,
    rename_principals, within_limits,
};
use libfuzzer_sys::fuzz_target;

const ACCOUNT: &str = "111122223333";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1";

/// Two policies, then lines: the caller's ARN, the action, the resource, and values of condition keys as `name=value`.
type Input = (String, String, String);

fuzz_target!(|input: Input| {
    let (one, other, request) = (&*input.0, &*input.1, &*input.2);
    let mut lines = request.lines();
    let arn = lines.next().filter(|arn| !arn.is_empty()).unwrap_or("arn:aws:iam::111122223333:user/alice");
    let action = lines.next().filter(|action| !action.is_empty()).unwrap_or("kms:Decrypt");
    let resource = lines.next().filter(|resource| !resource.is_empty()).unwrap_or(KEY);
    let mut values = Context::new();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        values.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }

    let _ = Document::parse_trust(one).map(|trust| {
        let subject = Subject::named(arn);
        let ask = Request { subject: &subject, action, resource, values: &values };
        let policies = Policies { resource: Some(&trust), ..Policies::default() };
        assert_eq!(decide(policies, &ask), decide(policies, &ask));
    });
    let resources: Vec<Document> =
        [one, other].iter().filter_map(|text| Document::parse_resource(text).ok()).collect();
    let identities: Vec<Document> =
        [one, other].iter().filter_map(|text| Document::parse_identity(text).ok()).collect();
    for document in resources.iter().chain(&identities) {
        let _ = (document.context_keys(), document.named().count());
    }
    // A text in which every principal keeps its name says what it said.
    for text in [one, other] {
        let again = rename_principals(text, |name| Some(name.to_owned()));
        assert_eq!(Document::parse_resource(text).is_ok(), Document::parse_resource(&again).is_ok());
        assert_eq!(rename_principals(text, |_| None), text);
    }

    let set = |documents: &[&Document]| {
        let named = |document: &&Document| NamedPolicy {
            name: String::new(),
            document: Arc::new(Document::clone(document)),
        };
        Arc::new(PolicySet::new(documents.iter().map(named).collect()))
    };
    let outcome = |resource_policy: Option<&Document>, identity: &[&Document], limit: Option<&Document>| {
        let subject = Subject {
            identity: IdentityPolicies::These(set(identity)),
            boundary: limit.map(|limit| set(&[limit])),
            session: limit.map(|limit| set(&[limit])),
            ..Subject::named(arn)
        };
        let ask = Request { subject: &subject, action, resource, values: &values };
        let _ = within_limits(&ask);
        let mut all = Vec::new();
        for resource_must_delegate in [false, true] {
            for resource_account in [None, Some(ACCOUNT)] {
                let policies =
                    Policies { resource: resource_policy, resource_must_delegate, resource_account };
                let decided = decide(policies, &ask);
                assert_eq!(decide(policies, &ask), decided);
                assert_eq!(decided.why(action).is_empty(), decided.is_allowed());
                all.push(decided);
            }
        }
        all
    };
    let denied = |all: &[Outcome]| all.iter().all(|one| matches!(one, Outcome::ExplicitDeny { .. }));
    // More statements, in the same policy or beside it, take no denial back.
    if let Some(first) = resources.first() {
        let alone = outcome(Some(first), &[], None);
        let mut both = first.clone();
        both.statements.extend(resources.iter().skip(1).flat_map(|more| more.statements.clone()));
        let mut turned = both.clone();
        turned.statements.reverse();
        if denied(&alone) {
            assert!(denied(&outcome(Some(&both), &[], None)) && denied(&outcome(Some(&turned), &[], None)));
        }
        for identity in &identities {
            let limited = outcome(Some(first), &[identity], Some(identity));
            assert!(!denied(&alone) || denied(&limited));
        }
    }
    if let Some(first) = identities.first() {
        let all: Vec<&Document> = identities.iter().collect();
        if denied(&outcome(None, &[first], None)) {
            assert!(denied(&outcome(resources.first(), &all, None)));
            assert!(denied(&outcome(resources.first(), &all, identities.get(1))));
        }
        // A limit only takes away.
        let (free, limited) = (outcome(None, &all, None), outcome(None, &all, Some(first)));
        assert!(free.iter().zip(&limited).all(|(free, limited)| free.is_allowed() || !limited.is_allowed()));
    }
});
