use std::sync::Arc;

use super::source::Principal;
use super::*;
use crate::iam::{
    Account, AccountState, Draft, Group, ManagedPolicy, PolicyText, PolicyVersion, Role, TrustPolicy, User,
};

const ACCOUNT: &str = "111122223333";

fn policy(text: &str) -> PolicyText {
    PolicyText::parse(text).unwrap()
}

fn statement(effect: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

/// A user alice in a group, who is bounded, and a role.
fn account() -> AccountState {
    let mut draft = Draft::for_tests(AccountState::new(Account::new(ACCOUNT, "test", "", 0)));
    let managed = ManagedPolicy {
        id: "ANPA1".to_owned(),
        name: "bounds".to_owned(),
        path: "/".to_owned(),
        description: None,
        created_unix_ms: 0,
        updated_unix_ms: 0,
        tags: Vec::new(),
        versions: [(
            1,
            PolicyVersion { policy: policy(&statement("Allow", "s3:*", "*")), created_unix_ms: 0 },
        )]
        .into(),
        default_version: 1,
        next_version: 2,
    };
    draft.put(managed);
    draft.put(Group {
        id: "AGPA1".to_owned(),
        name: "readers".to_owned(),
        path: "/".to_owned(),
        created_unix_ms: 0,
        inline: [("deny".to_owned(), policy(&statement("Deny", "s3:DeleteObject", "*")))].into(),
        attached: vec!["arn:aws:iam::aws:policy/IAMReadOnlyAccess".to_owned()],
    });
    draft.put(User {
        id: "AIDA1".to_owned(),
        name: "alice".to_owned(),
        path: "/team/".to_owned(),
        created_unix_ms: 0,
        tags: vec![("team".to_owned(), "red".to_owned())],
        boundary: Some(format!("arn:aws:iam::{ACCOUNT}:policy/bounds")),
        inline: [("own".to_owned(), policy(&statement("Allow", "*", "arn:aws:s3:::b/${aws:username}/*")))]
            .into(),
        attached: Vec::new(),
        groups: vec!["AGPA1".to_owned()],
    });
    draft.put(Role {
        id: "AROA1".to_owned(),
        name: "worker".to_owned(),
        path: "/".to_owned(),
        created_unix_ms: 0,
        description: None,
        max_session_s: 3600,
        trust: TrustPolicy::new(
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"sts:AssumeRole"}}]}}"#
            ),
            Default::default(),
        )
        .unwrap(),
        tags: Vec::new(),
        boundary: None,
        inline: [("all".to_owned(), policy(&statement("Allow", "kms:*", "*")))].into(),
        attached: Vec::new(),
    });
    draft.account_for_tests()
}

fn parameters(text: &str) -> Parameters {
    Parameters::parse(&[text.as_bytes()]).unwrap()
}

fn encoded(text: &str) -> String {
    crate::api::query::encoded(text).into_owned()
}

fn of_alice(account: &AccountState, text: &str) -> Scenario {
    let principal = Principal::User(account.users.find("alice").unwrap().clone());
    Scenario::of_principal(account, &parameters(text), &principal).unwrap()
}

#[test]
fn agrees_with_what_the_same_user_is_allowed() {
    let account = account();
    let alice = account.user_subject(account.users.find("alice").unwrap());
    let scenario = of_alice(&account, "");
    for action in ["s3:GetObject", "s3:DeleteObject", "kms:Decrypt", "iam:ListUsers"] {
        for resource in
            ["arn:aws:s3:::b/alice/k", "arn:aws:s3:::b/bob/k", "*", "arn:aws:iam::111122223333:user/"]
        {
            let request =
                kms_core::policy::Request { subject: &alice, action, resource, values: &Context::new() };
            let live = decide(Policies::default(), &request);
            let simulated = scenario.judge(action, resource).decision;
            let expected = match live {
                Outcome::Allowed { .. } => Decided::Allowed,
                Outcome::ExplicitDeny { .. } => Decided::ExplicitDeny,
                Outcome::Unmentioned { .. } => Decided::ImplicitDeny,
            };
            assert_eq!(simulated, expected, "{action} {resource}");
        }
    }
    assert_eq!(scenario.judge("s3:GetObject", "arn:aws:s3:::b/alice/k").decision, Decided::Allowed);
    assert_eq!(scenario.judge("s3:DeleteObject", "arn:aws:s3:::b/alice/k").decision, Decided::ExplicitDeny);
}

#[test]
fn what_misses_a_document_denies_as_it_does_live() {
    for missing in ["policy", "boundary", "group"] {
        let mut draft = Draft::for_tests(account());
        let mut alice = User::clone(draft.users.find("alice").unwrap());
        let arn = "arn:aws:iam::111122223333:policy/gone".to_owned();
        match missing {
            "policy" => alice.attached.push(arn),
            "boundary" => alice.boundary = Some(arn),
            _ => alice.groups.push("AGPAgone".to_owned()),
        }
        draft.put(alice);
        let judged =
            of_alice(&draft.account_for_tests(), "").judge("s3:GetObject", "arn:aws:s3:::b/alice/k").decision;
        assert_eq!(judged, Decided::ExplicitDeny, "{missing}");
    }
}

#[test]
fn boundaries_and_where_statements_are_from() {
    let account = account();
    let scenario = of_alice(&account, "");
    let within = scenario.judge("s3:GetObject", "arn:aws:s3:::b/alice/k");
    assert_eq!(within.within_boundary, Some(true));
    let answer = Answer::of(|xml| write_matched(xml, &within.matched)).document("A", "urn:x", "R");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("<SourcePolicyId>user_alice_own</SourcePolicyId>"), "{answer}");
    assert!(answer.contains("<StartPosition><Line>1</Line><Column>38</Column></StartPosition>"), "{answer}");
    let beyond = scenario.judge("iam:ListUsers", "*");
    assert_eq!((beyond.decision, beyond.within_boundary), (Decided::ImplicitDeny, Some(false)));
    let other = encoded(&statement("Allow", "iam:*", "*"));
    let other = of_alice(&account, &format!("PermissionsBoundaryPolicyInputList.member.1={other}"));
    assert_eq!(other.judge("iam:ListUsers", "*").decision, Decided::Allowed);
    assert_eq!(other.judge("s3:GetObject", "arn:aws:s3:::b/alice/k").decision, Decided::ImplicitDeny);
}

#[test]
fn what_is_given_holds_in_the_place_of_what_the_user_has() {
    let account = account();
    let scenario = of_alice(
        &account,
        "ContextEntries.member.1.ContextKeyName=aws:username&ContextEntries.member.1.ContextKeyValues.member.1=bob",
    );
    assert_eq!(scenario.judge("s3:GetObject", "arn:aws:s3:::b/bob/k").decision, Decided::Allowed);
    assert!(scenario.missing().is_empty());
    let text = format!(
        "PolicyInputList.member.1={}",
        encoded(&statement("Allow", "s3:*", "arn:aws:s3:::${aws:username}"))
    );
    let unknown = Scenario::of_texts(&account, &parameters(&text)).unwrap();
    assert_eq!(unknown.missing(), ["aws:username"]);
    assert_eq!(unknown.judge("s3:GetObject", "arn:aws:s3:::bob").decision, Decided::ImplicitDeny);
}

#[test]
fn resource_policies_and_their_owners() {
    let account = account();
    let allowing = encoded(
        r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/team/alice"},"Action":"s3:GetObject","Resource":"*"}}"#,
    );
    let text = format!(
        "PolicyInputList.member.1={}&ResourcePolicy={allowing}&CallerArn=arn:aws:iam::{ACCOUNT}:user/team/alice",
        encoded(&statement("Allow", "kms:*", "*"))
    );
    let own = Scenario::of_texts(&account, &parameters(&text)).unwrap();
    assert_eq!(own.judge("s3:GetObject", "arn:aws:s3:::b/k").decision, Decided::Allowed);
    // In another account's bucket the caller's own policies have to allow it as well.
    let other = format!("{text}&ResourceOwner=arn:aws:iam::444455556666:root");
    let other = Scenario::of_texts(&account, &parameters(&other)).unwrap();
    assert_eq!(other.judge("s3:GetObject", "arn:aws:s3:::b/k").decision, Decided::ImplicitDeny);
    let without = text.split("&CallerArn").next().unwrap();
    assert!(Scenario::of_texts(&account, &parameters(without)).is_err());
}

#[test]
fn groups_and_roles() {
    let account = account();
    let group = Principal::Group(account.groups.find("readers").unwrap().clone());
    let group = Scenario::of_principal(&account, &parameters(""), &group).unwrap();
    assert_eq!(group.judge("iam:ListUsers", "*").decision, Decided::Allowed);
    assert_eq!(group.judge("s3:DeleteObject", "*").decision, Decided::ExplicitDeny);
    let role = Principal::Role(Arc::clone(account.roles.find("worker").unwrap()));
    let role = Scenario::of_principal(&account, &parameters(""), &role).unwrap();
    assert_eq!(role.judge("kms:Decrypt", "*").decision, Decided::Allowed);
    assert_eq!(role.judge("s3:GetObject", "*").decision, Decided::ImplicitDeny);
}

#[test]
fn actions_have_a_vendor_and_no_wildcards() {
    for (action, is) in [
        ("s3:GetObject", true),
        ("s3-object-lambda:Get", true),
        ("GetObject", false),
        ("s3:*", false),
        (":a", false),
    ] {
        assert_eq!(is_action(action), is, "{action}");
    }
}

#[test]
fn the_worst_decision_is_told_of_all() {
    let worst = [Decided::Allowed, Decided::ExplicitDeny, Decided::ImplicitDeny].into_iter().max().unwrap();
    assert_eq!(worst.name(), "explicitDeny");
}
