//! Cases: conditions, variables, names, and the matrix of who may.

use std::sync::Arc;

use super::{
    Context, Decision, Document, IdentityPolicies, Outcome, Policies, PolicySet, Principal, Request, Subject,
    Which, decide, evaluate,
};

const ROOT: &str = "arn:aws:iam::111122223333:root";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/worker/s1";
const ROLE: &str = "arn:aws:iam::111122223333:role/worker";
const FOREIGN: &str = "arn:aws:iam::444455556666:user/eve";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1";

/// The circumstances of every case.
fn context() -> Context {
    let single = [
        ("s", "Blue Whale"),
        ("star", "a*c"),
        ("n", "7"),
        ("word", "seven"),
        ("yes", "true"),
        ("no", "false"),
        ("arn", "arn:aws:iam::111122223333:user/team/alice"),
        ("ip4", "203.0.113.77"),
        ("ip6", "2001:db8::7"),
        ("bin", "QmluYXJ5"),
        ("now", "2026-11-24T12:00:00Z"),
        ("epoch", "1795521600"),
        ("aws:username", "alice"),
        ("empty", ""),
    ];
    let mut context: Context =
        single.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
    context.insert("many".to_owned(), vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    context.insert("none".to_owned(), Vec::new());
    context
}

fn holds(condition: &str, version: &str) -> Result<bool, String> {
    let text = format!(
        r#"{{"Version":"{version}","Statement":[{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{{{condition}}}}}]}}"#
    );
    let document = Document::parse_resource(&text).map_err(|error| error.0)?;
    let context = context();
    let subject = Subject::named(ALICE);
    let request = Request { subject: &subject, action: "kms:Decrypt", resource: KEY, values: &context };
    Ok(evaluate(&document, &request) != Decision::Silent)
}

#[test]
fn conditions() {
    let cases = [
        // Strings.
        (r#""StringEquals":{"s":"Blue Whale"}"#, true),
        (r#""StringEquals":{"S":"Blue Whale"}"#, true),
        (r#""StringEquals":{"s":"blue whale"}"#, false),
        (r#""StringEquals":{"s":["x","Blue Whale"]}"#, true),
        (r#""StringEquals":{"s":"Blue*"}"#, false),
        (r#""StringEquals":{"star":"a*c"}"#, true),
        (r#""StringEquals":{"absent":"x"}"#, false),
        (r#""StringEquals":{"none":"x"}"#, false),
        (r#""StringEquals":{"empty":""}"#, true),
        (r#""StringNotEquals":{"s":"Blue Whale"}"#, false),
        (r#""StringNotEquals":{"s":["x","y"]}"#, true),
        (r#""StringNotEquals":{"s":["x","Blue Whale"]}"#, false),
        (r#""StringNotEquals":{"absent":"x"}"#, true),
        (r#""StringEqualsIgnoreCase":{"s":"bLUE wHALE"}"#, true),
        (r#""StringEqualsIgnoreCase":{"s":"x"}"#, false),
        (r#""StringNotEqualsIgnoreCase":{"s":"BLUE WHALE"}"#, false),
        (r#""StringNotEqualsIgnoreCase":{"s":"x"}"#, true),
        (r#""StringLike":{"s":"Blue*"}"#, true),
        (r#""StringLike":{"s":"Blue?Whale"}"#, true),
        (r#""StringLike":{"s":"Blue?"}"#, false),
        (r#""StringLike":{"s":["x*","*ale"]}"#, true),
        (r#""StringNotLike":{"s":"Blue*"}"#, false),
        (r#""StringNotLike":{"s":"Red*"}"#, true),
        (r#""StringNotLike":{"absent":"*"}"#, true),
        (r#""StringLike":{"absent":"*"}"#, false),
        // Numbers.
        (r#""NumericEquals":{"n":7}"#, true),
        (r#""NumericEquals":{"n":"7.0"}"#, true),
        (r#""NumericEquals":{"n":[1,8]}"#, false),
        (r#""NumericNotEquals":{"n":7}"#, false),
        (r#""NumericNotEquals":{"n":8}"#, true),
        (r#""NumericLessThan":{"n":7}"#, false),
        (r#""NumericLessThan":{"n":8}"#, true),
        (r#""NumericLessThanEquals":{"n":7}"#, true),
        (r#""NumericLessThanEquals":{"n":6}"#, false),
        (r#""NumericGreaterThan":{"n":6}"#, true),
        (r#""NumericGreaterThan":{"n":7}"#, false),
        (r#""NumericGreaterThanEquals":{"n":7}"#, true),
        (r#""NumericGreaterThanEquals":{"n":8}"#, false),
        (r#""NumericEquals":{"word":7}"#, false),
        (r#""NumericGreaterThan":{"word":1}"#, false),
        (r#""NumericLessThan":{"absent":8}"#, false),
        (r#""NumericLessThanIfExists":{"absent":8}"#, true),
        // Times.
        (r#""DateEquals":{"now":"2026-11-24T12:00:00Z"}"#, true),
        (r#""DateEquals":{"now":"2026-11-24T13:00:00+01:00"}"#, true),
        (r#""DateEquals":{"epoch":"2026-11-24T12:00:00Z"}"#, true),
        (r#""DateEquals":{"now":"1795521600"}"#, true),
        (r#""DateNotEquals":{"now":"2026-11-24T12:00:00Z"}"#, false),
        (r#""DateNotEquals":{"now":"2026-11-25"}"#, true),
        (r#""DateLessThan":{"now":"2026-11-24T12:00:01Z"}"#, true),
        (r#""DateLessThan":{"now":"2026-11-24"}"#, false),
        (r#""DateLessThanEquals":{"now":"2026-11-24T12:00:00Z"}"#, true),
        (r#""DateGreaterThan":{"now":"2026-11-24"}"#, true),
        (r#""DateGreaterThan":{"now":"2026-11-25"}"#, false),
        (r#""DateGreaterThanEquals":{"epoch":1795521600}"#, true),
        (r#""DateGreaterThanEquals":{"epoch":1795521601}"#, false),
        (r#""DateLessThan":{"word":"2026-11-24"}"#, false),
        (r#""DateLessThan":{"absent":"2026-11-24"}"#, false),
        // Booleans and absence.
        (r#""Bool":{"yes":"true"}"#, true),
        (r#""Bool":{"yes":true}"#, true),
        (r#""Bool":{"yes":"TRUE"}"#, true),
        (r#""Bool":{"yes":"false"}"#, false),
        (r#""Bool":{"no":false}"#, true),
        (r#""Bool":{"absent":"false"}"#, false),
        (r#""BoolIfExists":{"absent":"true"}"#, true),
        (r#""BoolIfExists":{"no":"true"}"#, false),
        (r#""Bool":{"word":"true"}"#, false),
        (r#""Null":{"absent":"true"}"#, true),
        (r#""Null":{"absent":"false"}"#, false),
        (r#""Null":{"none":true}"#, true),
        (r#""Null":{"s":"true"}"#, false),
        (r#""Null":{"s":"false"}"#, true),
        // Bytes.
        (r#""BinaryEquals":{"bin":"QmluYXJ5"}"#, true),
        (r#""BinaryEquals":{"bin":"AAAA"}"#, false),
        (r#""BinaryEquals":{"absent":"AAAA"}"#, false),
        // Addresses.
        (r#""IpAddress":{"ip4":"203.0.113.0/24"}"#, true),
        (r#""IpAddress":{"ip4":"203.0.113.77"}"#, true),
        (r#""IpAddress":{"ip4":"203.0.113.78/32"}"#, false),
        (r#""IpAddress":{"ip4":"203.0.113.76/31"}"#, true),
        (r#""IpAddress":{"ip4":["10.0.0.0/8","203.0.112.0/23"]}"#, true),
        (r#""IpAddress":{"ip4":"0.0.0.0/0"}"#, true),
        (r#""IpAddress":{"ip4":"::/0"}"#, false),
        (r#""IpAddress":{"ip6":"2001:db8::/32"}"#, true),
        (r#""IpAddress":{"ip6":"2001:db9::/32"}"#, false),
        (r#""IpAddress":{"ip6":"::/0"}"#, true),
        (r#""NotIpAddress":{"ip4":"203.0.113.0/24"}"#, false),
        (r#""NotIpAddress":{"ip4":["10.0.0.0/8","192.168.0.0/16"]}"#, true),
        (r#""NotIpAddress":{"absent":"10.0.0.0/8"}"#, true),
        (r#""IpAddress":{"absent":"0.0.0.0/0"}"#, false),
        (r#""IpAddress":{"word":"0.0.0.0/0"}"#, false),
        // ARNs.
        (r#""ArnEquals":{"arn":"arn:aws:iam::111122223333:user/team/alice"}"#, true),
        (r#""ArnEquals":{"arn":"arn:aws:iam::111122223333:user/*"}"#, true),
        (r#""ArnLike":{"arn":"arn:aws:iam::*:user/team/al?ce"}"#, true),
        (r#""ArnLike":{"arn":"arn:aws:iam:*:user/team/alice"}"#, false),
        (r#""ArnLike":{"arn":"arn:*:user/team/alice"}"#, false),
        (r#""ArnLike":{"arn":"*"}"#, true),
        (r#""ArnLike":{"arn":"arn:aws:iam::444455556666:*"}"#, false),
        (r#""ArnNotLike":{"arn":"arn:aws:iam::444455556666:*"}"#, true),
        (r#""ArnNotEquals":{"arn":"arn:aws:iam::111122223333:*"}"#, false),
        (r#""ArnNotEquals":{"absent":"arn:aws:iam::111122223333:*"}"#, true),
        (r#""ArnLike":{"word":"arn:aws:iam::111122223333:*"}"#, false),
        // Sets.
        (r#""ForAllValues:StringEquals":{"many":["a","b","c","d"]}"#, true),
        (r#""ForAllValues:StringEquals":{"many":["a","b"]}"#, false),
        (r#""ForAllValues:StringEquals":{"absent":"x"}"#, true),
        (r#""ForAllValues:StringEquals":{"none":"x"}"#, true),
        (r#""ForAnyValue:StringEquals":{"many":["b","x"]}"#, true),
        (r#""ForAnyValue:StringEquals":{"many":["x","y"]}"#, false),
        (r#""ForAnyValue:StringEquals":{"absent":"x"}"#, false),
        (r#""ForAnyValue:StringEquals":{"none":"x"}"#, false),
        (r#""ForAnyValue:StringEqualsIfExists":{"absent":"x"}"#, true),
        (r#""ForAnyValue:StringNotEquals":{"many":["a","b"]}"#, true),
        (r#""ForAnyValue:StringNotEquals":{"many":["a","b","c"]}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"absent":"x"}"#, false),
        (r#""ForAllValues:StringNotEquals":{"many":["x","y"]}"#, true),
        (r#""ForAllValues:StringNotEquals":{"many":["a","y"]}"#, false),
        (r#""ForAllValues:StringLike":{"many":"?"}"#, true),
        (r#""ForAnyValue:StringLike":{"many":"??"}"#, false),
        (r#""StringEquals":{"many":"b"}"#, true),
        (r#""StringNotEquals":{"many":"b"}"#, false),
        (r#""StringNotEquals":{"many":"x"}"#, true),
        // IfExists, and several at once.
        (r#""StringEqualsIfExists":{"absent":"x"}"#, true),
        (r#""StringEqualsIfExists":{"s":"x"}"#, false),
        (r#""StringNotEqualsIfExists":{"absent":"x"}"#, true),
        (r#""IpAddressIfExists":{"absent":"10.0.0.0/8"}"#, true),
        (r#""ArnLikeIfExists":{"absent":"arn:aws:s3:::b"}"#, true),
        (r#""StringEquals":{"s":"Blue Whale","word":"seven"}"#, true),
        (r#""StringEquals":{"s":"Blue Whale","word":"eight"}"#, false),
        (r#""StringEquals":{"s":"Blue Whale"},"Bool":{"yes":"true"}"#, true),
        (r#""StringEquals":{"s":"Blue Whale"},"Bool":{"yes":"false"}"#, false),
        // Variables.
        (r#""StringEquals":{"aws:username":"${aws:username}"}"#, true),
        (r#""StringLike":{"arn":"*/${AWS:UserName}"}"#, true),
        (r#""StringLike":{"arn":"*/${s}"}"#, false),
        (r#""StringEquals":{"word":"${absent, 'seven'}"}"#, true),
        (r#""StringEquals":{"word":"${word, 'eight'}"}"#, true),
        (r#""StringEquals":{"word":"${absent}"}"#, false),
        (r#""StringNotEquals":{"word":"${absent}"}"#, true),
        (r#""StringLike":{"star":"${star}"}"#, true),
        (r#""StringLike":{"s":"${star}*"}"#, false),
        (r#""StringLike":{"star":"a${*}c"}"#, true),
        (r#""StringLike":{"s":"${*}"}"#, false),
        (r#""StringEquals":{"word":"${many}"}"#, false),
        (r#""ArnLike":{"arn":"arn:aws:iam::111122223333:user/team/${aws:username}"}"#, true),
        (r#""ArnLike":{"arn":"arn:aws:iam::111122223333:user/team/${s}"}"#, false),
    ];
    assert!(cases.len() >= 130);
    for (condition, expected) in cases {
        assert_eq!(holds(condition, "2012-10-17"), Ok(expected), "{condition}");
    }
    // The older version has no variables: the text stands for itself.
    assert_eq!(holds(r#""StringEquals":{"aws:username":"${aws:username}"}"#, "2008-10-17"), Ok(false));
    for malformed in [
        r#""StringMaybe":{"s":"x"}"#,
        r#""NumericEquals":{"n":"seven"}"#,
        r#""DateEquals":{"now":"yesterday"}"#,
        r#""Bool":{"yes":"perhaps"}"#,
        r#""BinaryEquals":{"bin":"%"}"#,
        r#""IpAddress":{"ip4":"10.0.0.0/33"}"#,
        r#""IpAddress":{"ip4":"ten"}"#,
        r#""NullIfExists":{"s":"true"}"#,
        r#""ForSomeValues:StringEquals":{"s":"x"}"#,
        r#""StringEquals":"x""#,
        r#""StringEquals":{"s":{"x":1}}"#,
        r#""StringEquals":{"s":"${open"}"#,
        r#""StringEquals":{"s":"${}"}"#,
    ] {
        assert!(holds(malformed, "2012-10-17").is_err(), "{malformed}");
    }
}

#[test]
fn actions_resources_and_principals() {
    let decision = |statement: &str, subject: &Subject| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        let context = context();
        let request = Request { subject, action: "kms:Decrypt", resource: KEY, values: &context };
        match evaluate(&Document::parse_resource(&text).unwrap(), &request) {
            Decision::Denied { .. } => "denied",
            Decision::Allowed { .. } => "allowed",
            Decision::Delegated { .. } => "delegated",
            Decision::Silent => "silent",
        }
    };
    let with = |effect: &str, principal: &str, action: &str, resource: &str| {
        format!(r#"{{"Effect":"{effect}",{principal},{action},{resource}}}"#)
    };
    let (all, any, here) = (r#""Principal":"*""#, r#""Action":"kms:*""#, r#""Resource":"*""#);
    for (statement, expected) in [
        (with("Allow", all, r#""Action":"KMS:decrypt""#, here), "allowed"),
        (with("Allow", all, r#""Action":["kms:Encrypt","kms:De*"]"#, here), "allowed"),
        (with("Allow", all, r#""Action":"kms:Encrypt""#, here), "silent"),
        (with("Allow", all, r#""NotAction":"kms:Encrypt""#, here), "allowed"),
        (with("Allow", all, r#""NotAction":"kms:D*""#, here), "silent"),
        (with("Allow", all, any, r#""Resource":"arn:aws:kms:us-east-1:111122223333:key/*""#), "allowed"),
        (with("Allow", all, any, r#""Resource":"arn:aws:kms:eu-west-1:111122223333:key/*""#), "silent"),
        (with("Allow", all, any, r#""NotResource":"arn:aws:kms:*:*:key/2""#), "allowed"),
        (with("Allow", all, any, r#""NotResource":"*""#), "silent"),
        (with("Allow", all, any, r#""Resource":"arn:aws:kms:us-east-1:111122223333:key/${n}""#), "silent"),
        (
            with("Allow", all, any, r#""Resource":"arn:aws:kms:us-east-1:111122223333:key/${absent, '1'}""#),
            "allowed",
        ),
        (with("Allow", &format!(r#""Principal":{{"AWS":"{ALICE}"}}"#), any, here), "allowed"),
        (with("Allow", r#""Principal":{"AWS":"*"}"#, any, here), "allowed"),
        (with("Allow", r#""Principal":{"AWS":"111122223333"}"#, any, here), "delegated"),
        (with("Allow", &format!(r#""Principal":{{"AWS":["{FOREIGN}","{ROOT}"]}}"#), any, here), "delegated"),
        (with("Allow", &format!(r#""Principal":{{"AWS":"{FOREIGN}"}}"#), any, here), "silent"),
        (with("Allow", &format!(r#""Principal":{{"Service":"{ALICE}"}}"#), any, here), "silent"),
        (with("Deny", &format!(r#""Principal":{{"AWS":"{ROOT}"}}"#), any, here), "denied"),
        (with("Deny", &format!(r#""Principal":{{"AWS":"{FOREIGN}"}}"#), any, here), "silent"),
        (
            with(
                "Deny",
                &format!(r#""NotPrincipal":{{"AWS":["{ALICE}","{ROOT}","111122223333"]}}"#),
                any,
                here,
            ),
            "silent",
        ),
        (with("Deny", &format!(r#""NotPrincipal":{{"AWS":"{FOREIGN}"}}"#), any, here), "denied"),
        (with("Deny", &format!(r#""NotPrincipal":{{"AWS":"{ALICE}"}}"#), any, here), "denied"),
    ] {
        assert_eq!(decision(&statement, &Subject::named(ALICE)), expected, "{statement}");
    }
    let role = with("Allow", &format!(r#""Principal":{{"AWS":"{ROLE}"}}"#), any, here);
    assert_eq!(decision(&role, &Subject::named(SESSION)), "allowed");
    assert_eq!(decision(&role, &Subject::named(ALICE)), "silent");
    let s3 = Principal::Service("s3.amazonaws.com".to_owned());
    let s3 = Subject { other: Some(s3), ..Subject::default() };
    let service = with("Allow", r#""Principal":{"Service":"s3.amazonaws.com"}"#, any, here);
    assert_eq!(decision(&service, &s3), "allowed");
    assert_eq!(decision(&service, &Subject::named(ALICE)), "silent");
    let own = with("Allow", &format!(r#""Principal":{{"AWS":"{ROOT}"}}"#), any, here);
    assert_eq!(decision(&own, &Subject::named(ROOT)), "allowed");
    assert_eq!(decision(&own, &Subject::named(FOREIGN)), "silent");
    for principal in [
        r#"{"AWS":"alice"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:user/*"}"#,
        r#""alice""#,
        r#"{"AWS":"1234"}"#,
    ] {
        let text = format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal}}}]}}"#);
        let refused = Document::parse_resource(&text).unwrap_err();
        assert_eq!(refused.0, "Policy contains a statement with one or more invalid principals.");
    }
    let without = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    assert!(Document::parse_resource(without).is_err() && Document::parse_identity(without).is_ok());
    let with = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    assert!(Document::parse_resource(with).is_ok() && Document::parse_identity(with).is_err());
}

/// {no policy, IAM only, key policy only, both, a deny in each, limits} × {root, user, session, another account}.
#[test]
fn the_matrix_of_who_may() {
    let statement = |effect: &str, principal: &str| {
        let principal = if principal.is_empty() {
            String::new()
        } else {
            format!(r#""Principal":{{"AWS":"{principal}"}},"#)
        };
        format!(r#"{{"Sid":"s","Effect":"{effect}",{principal}"Action":"kms:*","Resource":"*"}}"#)
    };
    let policy = |statements: &[String]| {
        format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
    };
    let none = policy(&[]);
    let delegating = policy(&[statement("Allow", ROOT)]);
    let naming = policy(&[statement("Allow", ALICE), statement("Allow", ROLE)]);
    let naming_session = policy(&[statement("Allow", SESSION)]);
    let denying = policy(&[statement("Allow", ROOT), statement("Deny", ALICE), statement("Deny", ROLE)]);
    let (allow, deny) = (policy(&[statement("Allow", "")]), policy(&[statement("Deny", "")]));
    use Which::{Boundary, Identity, Resource, Session};
    const NO: Option<Which> = None;
    let yes = |by| (true, by, false);
    let explicit = |by| (false, by, true);
    let silent = |by| (false, by, false);
    // Key policy, identity policy, boundary, session policy; then for root, user and session: allowed?, by which, explicitly?
    let cases = [
        (&none, &none, &NO, [silent(Resource); 3]),
        (&none, &allow, &NO, [silent(Resource); 3]),
        (&none, &deny, &NO, [silent(Resource), explicit(Identity), explicit(Identity)]),
        (&delegating, &none, &NO, [yes(Resource), silent(Identity), silent(Identity)]),
        (&delegating, &allow, &NO, [yes(Resource), yes(Identity), yes(Identity)]),
        (&delegating, &deny, &NO, [yes(Resource), explicit(Identity), explicit(Identity)]),
        (&naming, &none, &NO, [silent(Resource), yes(Resource), yes(Resource)]),
        (&naming, &allow, &NO, [silent(Resource), yes(Resource), yes(Resource)]),
        (&naming, &deny, &NO, [silent(Resource), explicit(Identity), explicit(Identity)]),
        (&denying, &none, &NO, [yes(Resource), explicit(Resource), explicit(Resource)]),
        (&denying, &allow, &NO, [yes(Resource), explicit(Resource), explicit(Resource)]),
        (&delegating, &allow, &Some(Boundary), [yes(Resource), silent(Boundary), silent(Boundary)]),
        (&delegating, &allow, &Some(Session), [yes(Resource), silent(Session), silent(Session)]),
        (&naming, &allow, &Some(Boundary), [silent(Resource), yes(Resource), silent(Boundary)]),
        (&naming, &allow, &Some(Session), [silent(Resource), yes(Resource), silent(Session)]),
        (&naming_session, &none, &Some(Boundary), [silent(Resource), silent(Resource), yes(Resource)]),
    ];
    let context = Context::new();
    let set = |text: &str| Arc::new(PolicySet::of(Document::parse_identity(text).unwrap()));
    for (n, (key, identity, limit, expected)) in cases.into_iter().enumerate() {
        let resource = Document::parse_resource(key).unwrap();
        let limited = |by| (*limit == Some(by)).then(|| set(&none));
        for (arn, (allowed, by, explicitly)) in [ROOT, ALICE, SESSION].into_iter().zip(expected) {
            let subject = match arn {
                ROOT => Subject::root_user("111122223333"),
                arn => Subject {
                    identity: IdentityPolicies::These(set(identity)),
                    boundary: limited(Boundary),
                    session: limited(Session),
                    ..Subject::named(arn)
                },
            };
            let request =
                Request { subject: &subject, action: "kms:Decrypt", resource: KEY, values: &context };
            let policies =
                Policies { resource: Some(&resource), resource_must_delegate: true, ..Policies::default() };
            let sid = Some("s".to_owned());
            let wanted = match (allowed, explicitly) {
                (true, _) => Outcome::Allowed { by, sid },
                (false, true) => Outcome::ExplicitDeny { by, sid },
                (false, false) => Outcome::Unmentioned { in_policy: by },
            };
            assert_eq!(decide(policies, &request), wanted, "case {n} for {arn}");
            // A bucket needs no delegation: what identity policies allow is allowed.
            let bucket = decide(Policies { resource_must_delegate: false, ..policies }, &request);
            if wanted.is_allowed() {
                assert_eq!(bucket, wanted);
            }
        }
        // Another account is not spoken of, whatever its own policies say.
        let subject = Subject { identity: IdentityPolicies::Unlimited, ..Subject::named(FOREIGN) };
        let request = Request { subject: &subject, action: "kms:Decrypt", resource: KEY, values: &context };
        let policies = Policies {
            resource: Some(&resource),
            resource_account: Some("111122223333"),
            ..Policies::default()
        };
        assert_eq!(decide(policies, &request), Outcome::Unmentioned { in_policy: Resource });
    }
}

#[test]
fn another_account_and_its_own_must_both_allow() {
    let policy = |principal: &str| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"*","Resource":"*"}}}}"#
        );
        Document::parse_resource(&text).unwrap()
    };
    let allow = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let allow = Arc::new(PolicySet::of(Document::parse_identity(allow).unwrap()));
    let context = Context::new();
    for (principal, identity, expected) in [
        (FOREIGN, Some(&allow), Ok(())),
        ("444455556666", Some(&allow), Ok(())),
        ("*", Some(&allow), Ok(())),
        (FOREIGN, None, Err(Which::Identity)),
        ("444455556666", None, Err(Which::Identity)),
        (ALICE, Some(&allow), Err(Which::Resource)),
    ] {
        let identity = IdentityPolicies::These(identity.cloned().unwrap_or_default());
        let subject = Subject { identity, ..Subject::named(FOREIGN) };
        let request = Request { subject: &subject, action: "s3:GetObject", resource: KEY, values: &context };
        let resource = policy(principal);
        for resource_must_delegate in [false, true] {
            let resource_account = Some("111122223333");
            let policies = Policies { resource: Some(&resource), resource_must_delegate, resource_account };
            let decided = match decide(policies, &request) {
                Outcome::Unmentioned { in_policy } => Err(in_policy),
                outcome => {
                    assert!(outcome.is_allowed());
                    Ok(())
                }
            };
            assert_eq!(decided, expected, "{principal}");
        }
    }
}

#[test]
fn names_are_bound_to_ids() {
    let text = format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":["{ALICE}","{ROLE}"]}},"Action":"*","Resource":"*"}}}}"#
    );
    let mut document = Document::parse_resource(&text).unwrap();
    document.bind(|principal| (*principal == Principal::Aws(ALICE.to_owned())).then(|| "AIDA1".to_owned()));
    let context = Context::new();
    let decided = |subject: &Subject| {
        evaluate(&document, &Request { subject, action: "s3:GetObject", resource: KEY, values: &context })
    };
    let with_id = |id: &str| {
        let subject = Subject::named(ALICE);
        Subject { itself: vec![ALICE.to_owned(), id.to_owned()], ..subject }
    };
    assert_eq!(decided(&with_id("AIDA1")), Decision::Allowed { sid: None });
    // Somebody else of the same name.
    assert_eq!(decided(&with_id("AIDA2")), Decision::Silent);
    assert_eq!(decided(&Subject::named(SESSION)), Decision::Allowed { sid: None });
}

#[test]
fn trust_policies_speak_of_no_resource() {
    let trust = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
    let document = Document::parse_trust(trust).unwrap();
    let (context, subject) = (Context::new(), Subject::named(ALICE));
    let request = Request { subject: &subject, action: "sts:AssumeRole", resource: ROLE, values: &context };
    assert_eq!(evaluate(&document, &request), Decision::Allowed { sid: None });
    let with = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}}"#;
    assert_eq!(Document::parse_trust(with).unwrap_err().0, "Has prohibited field Resource");
}

#[test]
fn keys_that_conditions_and_variables_ask_for() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*",
        "Condition":{"StringLike":{"s3:prefix":["${aws:PrincipalTag/team, 'x'}/*"]}}}}"#;
    let document = Document::parse_identity(text).unwrap();
    let names: Vec<&str> = document.context_keys().into_iter().collect();
    assert_eq!(names, ["aws:PrincipalTag/team", "aws:username", "s3:prefix"]);
}

#[test]
fn reasons_read_as_aws_writes_them() {
    let action = "kms:Decrypt";
    let deny = |by| Outcome::ExplicitDeny { by, sid: None }.why(action);
    let silent = |in_policy| Outcome::Unmentioned { in_policy }.why(action);
    assert_eq!(deny(Which::Identity), "with an explicit deny in an identity-based policy");
    assert_eq!(deny(Which::Resource), "with an explicit deny in a resource-based policy");
    assert_eq!(silent(Which::Identity), "because no identity-based policy allows the kms:Decrypt action");
    assert_eq!(silent(Which::Session), "because no session policy allows the kms:Decrypt action");
    assert_eq!(silent(Which::Boundary), "because no permissions boundary allows the kms:Decrypt action");
    assert_eq!(silent(Which::Resource), "because no resource-based policy allows the kms:Decrypt action");
}
