//! What identity policies, boundaries and sessions allow beside key policies and grants.

use super::*;
use crate::key::{KeySpec, KeyUsage};
use crate::ops::CreateGrant;

const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/worker/s1";
const ROLE: &str = "arn:aws:iam::111122223333:role/worker";
const DENY: &str = r#"{"Effect":"Deny","Action":"kms:*","Resource":"*"}"#;

fn why(result: Result<impl Sized, KmsError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_default_policy_leaves_it_to_identity_policies() {
    let kms = kms();
    let (id, other) = (new_key(&kms), new_key(&kms));
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let alice = user_with("alice", &allow("kms:Encrypt", &arn));
    kms.encrypt(&alice, &id, b"x", &context("a")).unwrap();
    assert_eq!(
        why(kms.encrypt(&alice, &other, b"x", &context("a"))),
        format!(
            "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: kms:Encrypt on resource: {} because no identity-based policy allows the kms:Encrypt action",
            kms.arn(&kms.find(&other).unwrap().key)
        )
    );
    assert!(kms.disable_key(&alice, &id).is_err());
    let denied = user_with("alice", &format!("{},{DENY}", allow("kms:*", "*")));
    let refused = why(kms.encrypt(&denied, &id, b"x", &context("a")));
    assert!(refused.ends_with("with an explicit deny in an identity-based policy"), "{refused}");
}

#[test]
fn conditions_of_identity_policies_are_judged() {
    let kms = kms();
    let id = new_key(&kms);
    let alice = |operator: &str, key: &str, value: &str| {
        user_with(
            "alice",
            &format!(
                r#"{{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{{"{operator}":{{"{key}":"{value}"}}}}}}"#
            ),
        )
    };
    let may = |caller: &Caller| kms.encrypt(caller, &id, b"x", &context("a")).is_ok();
    assert!(!may(&alice("ForAnyValue:StringEquals", "kms:ResourceAliases", "alias/mine")));
    kms.create_alias(&root_user(), "alias/mine", &id).unwrap();
    for (operator, key, value, expected) in [
        ("ForAnyValue:StringEquals", "kms:ResourceAliases", "alias/mine", true),
        ("StringEquals", "kms:EncryptionContext:purpose", "a", true),
        ("StringEquals", "kms:EncryptionContext:purpose", "b", false),
        ("StringEquals", "kms:CallerAccount", "111122223333", true),
        ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT", true),
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::111122223333:user/alice", true),
        ("StringEquals", "aws:PrincipalTag/team", "red", false),
    ] {
        assert_eq!(may(&alice(operator, key, value)), expected, "{key}");
    }
    // Of a session, the role is the principal.
    let by_role = format!(
        r#"{{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{{"ArnEquals":{{"aws:PrincipalArn":"{ROLE}"}}}}}}"#
    );
    assert!(may(&with_policies(SESSION, &by_role)));
    // What belongs to the subject is its own to say.
    let tagged = alice("StringEquals", "aws:PrincipalTag/team", "red").subject;
    let context = [("aws:principaltag/team".to_owned(), vec!["red".to_owned()])].into_iter().collect();
    assert!(may(&Caller::of(Arc::new(Subject { context, ..Subject::clone(&tagged) }))));
}

#[test]
fn a_grant_stands_beside_policies_and_not_above_a_denial() {
    let kms = kms();
    let (root, id) = (root_user(), new_key(&kms));
    let to = |grantee: &str| {
        let request = CreateGrant {
            key_id: id.clone(),
            grantee: grantee.to_owned(),
            operations: vec!["Encrypt".to_owned()],
            ..CreateGrant::default()
        };
        kms.create_grant(&root, request).unwrap().0.id.to_string()
    };
    let subject = |arn: &str, identity: &str, boundary: Option<&str>, session: Option<&str>| {
        Caller::of(Arc::new(Subject {
            identity: IdentityPolicies::These(policies(identity)),
            boundary: boundary.map(policies),
            session: session.map(policies),
            ..Subject::named(arn)
        }))
    };
    let asked = |caller: &Caller| why(kms.encrypt(caller, &id, b"x", &context("a")));
    let (encrypt, decrypt) = (allow("kms:Encrypt", "*"), allow("kms:Decrypt", "*"));
    // To itself: neither limit counts, a denial in any of them does.
    to("arn:aws:iam::111122223333:user/alice");
    to(SESSION);
    for arn in ["arn:aws:iam::111122223333:user/alice", SESSION] {
        assert_eq!(asked(&subject(arn, "", Some(&decrypt), Some(&decrypt))), "");
        for (policy, denied) in [
            ("an identity-based policy", subject(arn, DENY, None, None)),
            ("a permissions boundary", subject(arn, "", Some(DENY), None)),
            ("a session policy", subject(arn, "", None, Some(DENY))),
        ] {
            assert!(asked(&denied).ends_with(&format!("with an explicit deny in {policy}")), "{policy}");
        }
    }
    // To its role: within its limits.
    let other = "arn:aws:sts::111122223333:assumed-role/worker/s2";
    assert!(asked(&subject(other, "", None, None)).contains("identity-based"), "no grant yet");
    let grant = to(ROLE);
    for (boundary, session, limit) in [
        (None, None, None),
        (Some(&encrypt), Some(&encrypt), None),
        (Some(&decrypt), Some(&encrypt), Some("permissions boundary")),
        (Some(&encrypt), Some(&decrypt), Some("session policy")),
    ] {
        let refused = asked(&subject(other, "", boundary.map(|b| &**b), session.map(|s| &**s)));
        let expected = limit.map(|limit| format!("because no {limit} allows the kms:Encrypt action"));
        assert!(refused.ends_with(&expected.clone().unwrap_or_default()), "{refused}");
        assert_eq!(refused.is_empty(), expected.is_none());
    }
    kms.revoke_grant(&root, &id, &grant).unwrap();
    assert_ne!(asked(&subject(other, "", None, None)), "");
}

#[test]
fn what_is_about_no_key_is_for_identity_policies() {
    let kms = kms();
    let nobody = user("nobody");
    let refused = why(kms.list_keys(&nobody, None, None));
    assert_eq!(
        refused,
        "User: arn:aws:iam::111122223333:user/nobody is not authorized to perform: kms:ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action"
    );
    kms.list_keys(&user_with("a", &allow("kms:ListKeys", "*")), None, None).unwrap();
    assert!(kms.list_aliases(&nobody, None, None, None).is_err());
    kms.list_aliases(&user_with("a", &allow("kms:List*", "*")), None, None, None).unwrap();
    assert!(kms.generate_random(&nobody, 8).is_err());
    kms.generate_random(&user_with("a", &allow("kms:GenerateRandom", "*")), 8).unwrap();
    assert!(kms.generate_random(&Caller::of(Arc::new(Subject::anonymous())), 8).is_err());
    assert!(kms.create_key(&Caller::of(Arc::new(Subject::anonymous())), CreateKey::default()).is_err());
}

#[test]
fn conditions_of_a_new_key_are_judged() {
    let kms = kms();
    let when = |condition: &str| {
        user_with(
            "a",
            &format!(
                r#"{{"Effect":"Allow","Action":["kms:CreateKey","kms:TagResource"],"Resource":"*","Condition":{condition}}}"#
            ),
        )
    };
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let pair = CreateKey {
        spec: Some(KeySpec::EccNistP256),
        usage: Some(KeyUsage::SignVerify),
        ..CreateKey::default()
    };
    let external = CreateKey { origin: Some(crate::key::Origin::External), ..CreateKey::default() };
    let red = CreateKey { tags: tags(&[("Team", "red")]), ..CreateKey::default() };
    let bypass = CreateKey { bypass_policy_lockout_safety_check: true, ..CreateKey::default() };
    for (condition, request) in [
        (r#"{"StringEquals":{"kms:KeySpec":"ECC_NIST_P256"}}"#, &pair),
        (r#"{"StringEquals":{"kms:KeyUsage":"SIGN_VERIFY"}}"#, &pair),
        (r#"{"StringEquals":{"kms:KeyOrigin":"EXTERNAL"}}"#, &external),
        (r#"{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}"#, &bypass),
        (r#"{"StringEquals":{"aws:RequestTag/Team":"red"}}"#, &red),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"Team"}}"#, &red),
    ] {
        kms.create_key(&when(condition), request.clone()).unwrap();
        let refused = why(kms.create_key(&when(condition), CreateKey::default()));
        assert!(refused.contains("kms:CreateKey on resource: * because"), "{condition}: {refused}");
    }
    // Tags want a permission of their own.
    let creator = user_with("a", &allow("kms:CreateKey", "*"));
    kms.create_key(&creator, CreateKey::default()).unwrap();
    let refused = why(kms.create_key(&creator, red));
    assert!(refused.contains("to perform: kms:TagResource"), "{refused}");
    // A policy wants none, but must let its author put it again.
    let policy = Some(KeyPolicy::default_of("111122223333").text);
    let with_policy = CreateKey { policy, ..CreateKey::default() };
    let refused = kms.create_key(&creator, with_policy.clone()).unwrap_err();
    assert_eq!(refused.name(), "MalformedPolicyDocumentException");
    let both = format!("{},{}", allow("kms:CreateKey", "*"), allow("kms:PutKeyPolicy", "*"));
    kms.create_key(&user_with("a", &both), with_policy).unwrap();
    // The tags of a request to tag.
    let id = new_key(&kms);
    let tagger = |condition: &str| {
        user_with(
            "a",
            &format!(
                r#"{{"Effect":"Allow","Action":["kms:TagResource","kms:UntagResource"],"Resource":"*","Condition":{condition}}}"#
            ),
        )
    };
    let reds = tagger(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}"#);
    kms.tag_resource(&reds, &id, tags(&[("Team", "red")])).unwrap();
    assert!(kms.tag_resource(&reds, &id, tags(&[("Other", "red")])).is_err());
    assert!(kms.untag_resource(&reds, &id, &["Other".to_owned()]).is_err());
    let by_value = tagger(r#"{"StringEquals":{"aws:RequestTag/Team":"red"}}"#);
    kms.tag_resource(&by_value, &id, tags(&[("Team", "red")])).unwrap();
    assert!(kms.tag_resource(&by_value, &id, tags(&[("Team", "blue")])).is_err());
    kms.untag_resource(&reds, &id, &["Team".to_owned()]).unwrap();
}

#[test]
fn an_alias_wants_permission_on_itself_and_on_each_key() {
    let kms = kms();
    let (one, two) = (new_key(&kms), new_key(&kms));
    let arn = |id: &str| kms.arn(&kms.find(id).unwrap().key);
    let alias = kms.alias_arn("111122223333", "alias/mine");
    let who = |resources: &[&str]| {
        let all: Vec<String> = resources.iter().map(|resource| allow("kms:*Alias", resource)).collect();
        user_with("a", &all.join(","))
    };
    let create = |resources: &[&str]| kms.create_alias(&who(resources), "alias/mine", &one);
    let refused = why(create(&[&arn(&one)]));
    assert!(refused.contains(&format!("kms:CreateAlias on resource: {alias} because")), "{refused}");
    let refused = why(create(&[&alias]));
    assert!(refused.contains(&format!("kms:CreateAlias on resource: {} because", arn(&one))), "{refused}");
    create(&[&alias, &arn(&one)]).unwrap();
    let update = |resources: &[&str]| kms.update_alias(&who(resources), "alias/mine", &two);
    for short_of_one in [[&alias[..], &arn(&one)], [&alias[..], &arn(&two)], [&arn(&one)[..], &arn(&two)]] {
        assert!(update(&short_of_one).is_err());
    }
    update(&[&alias, &arn(&one), &arn(&two)]).unwrap();
    let delete = |resources: &[&str]| kms.delete_alias(&who(resources), "alias/mine");
    assert!(delete(&[&alias]).is_err() && delete(&[&arn(&two)]).is_err());
    delete(&[&alias, &arn(&two)]).unwrap();
}

#[test]
fn the_issuing_account_delegates_retiring() {
    let kms = kms();
    let id = new_key(&kms);
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let make = |grantee: &str, operations: &[&str]| {
        let request = CreateGrant {
            key_id: id.clone(),
            grantee: grantee.to_owned(),
            operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
            ..CreateGrant::default()
        };
        kms.create_grant(&root_user(), request).unwrap().0.id.to_string()
    };
    let grant = make("arn:aws:iam::111122223333:user/b", &["Encrypt"]);
    let retire = |caller: &Caller, grant: &str| kms.retire_grant(caller, &arn, grant);
    assert!(retire(&user("a"), &grant).is_err());
    let denied = user_with("a", &format!("{},{DENY}", allow("kms:RetireGrant", "*")));
    assert!(retire(&denied, &grant).is_err());
    let elsewhere = with_policies("arn:aws:iam::444455556666:user/a", &allow("kms:RetireGrant", "*"));
    assert!(retire(&elsewhere, &grant).is_err());
    retire(&user_with("a", &allow("kms:RetireGrant", &arn)), &grant).unwrap();
    // A denial is stronger than what the grant says.
    let grant = make("arn:aws:iam::111122223333:user/b", &["RetireGrant"]);
    assert!(retire(&user_with("b", DENY), &grant).is_err());
    retire(&user("b"), &grant).unwrap();
    // A role's session retires what its role was given, within its limits.
    let grant = make(ROLE, &["Encrypt", "RetireGrant"]);
    let session = |policy: &str| {
        let subject = Subject { session: Some(policies(policy)), ..Subject::named(SESSION) };
        retire(&Caller::of(Arc::new(subject)), &grant)
    };
    assert!(session(&allow("kms:Encrypt", "*")).is_err());
    session(&allow("kms:RetireGrant", "*")).unwrap();
}
