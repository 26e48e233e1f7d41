use super::*;
use crate::grant::Constraints;
use crate::ops::CreateGrant;

fn grant(key_id: &str, grantee: &str, operations: &[&str]) -> CreateGrant {
    CreateGrant {
        key_id: key_id.to_owned(),
        grantee: format!("arn:aws:iam::111122223333:user/{grantee}"),
        operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
        ..CreateGrant::default()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Option<std::collections::BTreeMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn of(of: &[(&str, &str)]) -> EncryptionContext {
    pairs(of).unwrap().into_iter().collect()
}

#[test]
fn a_grant_gives_its_operations_to_its_grantee_at_once_and_until_it_ends() {
    let kms = kms();
    let (root, alice, bob) = (root_user(), user("alice"), user("bob"));
    let id = new_key(&kms);
    assert!(kms.encrypt(&alice, &id, b"x", &context("a")).is_err());
    let (made, _) = kms.create_grant(&root, grant(&id, "alice", &["Encrypt", "DescribeKey"])).unwrap();
    let blob = kms.encrypt(&alice, &id, b"x", &context("a")).unwrap().ciphertext_blob;
    kms.describe_key(&alice, &id).unwrap();
    assert!(kms.decrypt(&alice, None, &blob, &context("a")).is_err(), "not granted");
    assert!(kms.encrypt(&bob, &id, b"x", &context("a")).is_err(), "not the grantee");
    let other = new_key(&kms);
    assert!(kms.encrypt(&alice, &other, b"x", &context("a")).is_err(), "another key");
    let session = named("arn:aws:sts::111122223333:assumed-role/worker/s1");
    let mut to_role = grant(&id, "x", &["Encrypt"]);
    to_role.grantee = "arn:aws:iam::111122223333:role/worker".to_owned();
    kms.create_grant(&root, to_role).unwrap();
    kms.encrypt(&session, &id, b"x", &context("a")).unwrap();
    // A deny is stronger; a disabled key gives nothing, and keeps its grants.
    let policy = kms.get_key_policy(&root, &id, None).unwrap();
    let deny = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:Encrypt","Resource":"*"}]}"#;
    kms.put_key_policy(&root, &id, None, deny.to_owned(), false).unwrap();
    let refused = kms.encrypt(&alice, &id, b"x", &context("a")).unwrap_err();
    assert!(refused.to_string().ends_with("with an explicit deny in a resource-based policy"), "{refused}");
    kms.put_key_policy(&root, &id, None, policy, false).unwrap();
    kms.disable_key(&root, &id).unwrap();
    assert_eq!(kms.encrypt(&alice, &id, b"x", &context("a")).unwrap_err().name(), "DisabledException");
    assert_eq!(
        kms.create_grant(&root, grant(&id, "bob", &["Encrypt"])).unwrap_err().name(),
        "DisabledException"
    );
    kms.enable_key(&root, &id).unwrap();
    kms.encrypt(&alice, &id, b"x", &context("a")).unwrap();
    assert!(kms.revoke_grant(&alice, &id, &made.id.to_string()).is_err());
    kms.revoke_grant(&root, &id, &made.id.to_string()).unwrap();
    assert!(kms.encrypt(&alice, &id, b"x", &context("a")).is_err());
    assert_eq!(kms.revoke_grant(&root, &id, &made.id.to_string()).unwrap_err().name(), "NotFoundException");
    assert_eq!(kms.revoke_grant(&root, &id, "xyz").unwrap_err().name(), "InvalidGrantIdException");
}

#[test]
fn constraints_bind_to_the_encryption_context_but_not_for_describing() {
    let kms = kms();
    let (root, id) = (root_user(), new_key(&kms));
    let constrained = |grantee: &str, constraints: Constraints| {
        let request = CreateGrant { constraints, ..grant(&id, grantee, &["Encrypt", "DescribeKey"]) };
        kms.create_grant(&root, request).unwrap();
    };
    constrained("equal", Constraints { equals: pairs(&[("a", "1")]), subset: None });
    constrained("subset", Constraints { equals: None, subset: pairs(&[("a", "1")]) });
    for (name, exact, more, less) in [("equal", true, false, false), ("subset", true, true, false)] {
        let may = |context: EncryptionContext| kms.encrypt(&user(name), &id, b"x", &context).is_ok();
        assert_eq!(may(of(&[("a", "1")])), exact, "{name}");
        assert_eq!(may(of(&[("a", "1"), ("b", "2")])), more, "{name}");
        assert_eq!(may(of(&[("b", "2")])), less, "{name}");
        assert!(!may(of(&[("A", "1")])) && !may(of(&[("a", "2")])) && !may(EncryptionContext::new()));
        kms.describe_key(&user(name), &id).unwrap();
    }
}

#[test]
fn a_grantee_hands_on_no_more_than_it_has() {
    let kms = kms();
    let (root, id) = (root_user(), new_key(&kms));
    let subset = Constraints { equals: None, subset: pairs(&[("a", "1")]) };
    let parent = grant(&id, "parent", &["Encrypt", "CreateGrant"]);
    kms.create_grant(&root, CreateGrant { constraints: subset.clone(), ..parent }).unwrap();
    let child = |operations: &[&str], constraints: Constraints| {
        kms.create_grant(&user("parent"), CreateGrant { constraints, ..grant(&id, "child", operations) })
    };
    assert!(child(&["Encrypt"], Constraints::default()).is_err(), "wider");
    assert!(child(&["Encrypt"], Constraints { equals: None, subset: pairs(&[("b", "1")]) }).is_err());
    assert!(child(&["Encrypt", "Decrypt"], subset.clone()).is_err(), "more operations");
    child(&["Encrypt"], subset).unwrap();
    child(&["Encrypt"], Constraints { equals: pairs(&[("a", "1"), ("b", "2")]), subset: None }).unwrap();
    // Who may make grants by policy may grant what he may not do.
    let only_grants = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:user/granter"]},"Action":"kms:CreateGrant","Resource":"*"},{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;
    kms.put_key_policy(&root, &id, None, only_grants.to_owned(), false).unwrap();
    kms.create_grant(&user("granter"), grant(&id, "granted", &["Decrypt", "Encrypt"])).unwrap();
    let blob = kms.encrypt(&user("granted"), &id, b"x", &context("a")).unwrap().ciphertext_blob;
    assert!(kms.decrypt(&user("granter"), None, &blob, &context("a")).is_err());
    kms.decrypt(&user("granted"), None, &blob, &context("a")).unwrap();
}

#[test]
fn a_name_finds_the_same_grant_on_the_same_key_only() {
    let kms = kms();
    let (root, id, other) = (root_user(), new_key(&kms), new_key(&kms));
    let named = |id: &str, operations: &[&str]| {
        let request = CreateGrant { name: Some("n".to_owned()), ..grant(id, "alice", operations) };
        kms.create_grant(&root, request).unwrap()
    };
    let (first, token) = named(&id, &["Encrypt"]);
    let (again, other_token) = named(&id, &["Encrypt"]);
    assert_eq!(first.id, again.id);
    assert_ne!(token, other_token);
    assert_ne!(named(&id, &["Decrypt"]).0.id, first.id);
    assert_ne!(named(&other, &["Encrypt"]).0.id, first.id);
    assert_ne!(
        kms.create_grant(&root, grant(&id, "a", &["Encrypt"])).unwrap().0.id,
        kms.create_grant(&root, grant(&id, "a", &["Encrypt"])).unwrap().0.id,
        "without a name each is another"
    );
    kms.check_grant_tokens(&[token.clone(), other_token]).unwrap();
    assert_eq!(
        kms.check_grant_tokens(&[vec![1; 65], vec![0]]).unwrap_err().name(),
        "InvalidGrantTokenException"
    );
    assert_eq!(kms.check_grant_tokens(&vec![token; 11]).unwrap_err().name(), "ValidationException");
}

#[test]
fn who_may_retire() {
    let kms = kms();
    let (root, id) = (root_user(), new_key(&kms));
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let make = |operations: &[&str], retiring: Option<&str>| {
        let retiring = retiring.map(|name| user(name).arn().to_owned());
        kms.create_grant(&root, CreateGrant { retiring, ..grant(&id, "grantee", operations) }).unwrap()
    };
    let (made, token) = make(&["Encrypt"], Some("retirer"));
    assert!(kms.retire_grant(&user("grantee"), &arn, &made.id.to_string()).is_err());
    assert!(kms.retire_grant_by_token(&user("else"), &token).is_err());
    let dry = Caller { dry_run: true, ..user("retirer") };
    assert_eq!(kms.retire_grant_by_token(&dry, &token).unwrap_err(), KmsError::DryRun);
    kms.retire_grant_by_token(&user("retirer"), &token).unwrap();
    assert_eq!(kms.retire_grant_by_token(&user("retirer"), &token).unwrap_err().name(), "NotFoundException");
    let (made, _) = make(&["Encrypt", "RetireGrant"], None);
    kms.retire_grant(&user("grantee"), &arn, &made.id.to_string()).unwrap();
    let (made, _) = make(&["Encrypt"], None);
    kms.retire_grant(&root, &arn, &made.id.to_string()).unwrap();
}

#[test]
fn listings_page_and_survive_a_restart_and_end_with_the_key() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store, clock) = (Arc::new(first_root), folder.path().join("kms"), TestClock::new());
    let kms = Kms::open(&store, first_root.clone(), clock.config()).unwrap();
    let (root, id) = (root_user(), new_key(&kms));
    for n in 0..7 {
        let retiring = Some(user("retirer").arn().to_owned()).filter(|_| n % 2 == 0);
        kms.create_grant(&root, CreateGrant { retiring, ..grant(&id, &format!("g{}", n % 3), &["Encrypt"]) })
            .unwrap();
    }
    drop(kms);
    let kms = Kms::open(&store, first_root, clock.config()).unwrap();
    let all = |only: (Option<&str>, Option<&str>)| {
        let (mut rows, mut marker) = (Vec::new(), None);
        loop {
            let page = kms.list_grants(&root, &id, only, Some(2), marker.as_deref()).unwrap();
            rows.extend(page.rows);
            marker = page.next_marker;
            if marker.is_none() {
                return rows;
            }
        }
    };
    let everything = all((None, None));
    assert_eq!(everything.len(), 7);
    assert!(everything.is_sorted_by_key(|grant| grant.id));
    assert_eq!(all((None, Some(user("g0").arn()))).len(), 3);
    assert_eq!(all((Some(&everything[3].id.to_string()), None)), [everything[3].clone()]);
    let (mut retirable, mut marker) = (0, None);
    loop {
        let page =
            kms.list_retirable_grants(&root, user("retirer").arn(), Some(3), marker.as_deref()).unwrap();
        retirable += page.rows.len();
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(retirable, 4);
    kms.encrypt(&user("g1"), &id, b"x", &context("a")).unwrap();
    kms.schedule_key_deletion(&root, &id, Some(7)).unwrap();
    clock.pass_days(7);
    kms.run_scheduled_work().unwrap();
    assert!(kms.list_retirable_grants(&root, user("retirer").arn(), None, None).unwrap().rows.is_empty());
}

#[test]
fn what_cannot_be_granted_is_refused() {
    let kms = kms();
    let (root, id) = (root_user(), new_key(&kms));
    let refused = |request: CreateGrant| kms.create_grant(&root, request).unwrap_err().name();
    assert_eq!(refused(grant(&id, "a", &[])), "ValidationException");
    assert_eq!(refused(grant(&id, "a", &["PutKeyPolicy"])), "ValidationException");
    assert_eq!(refused(grant(&id, "a", &["Sign"])), "ValidationException");
    assert_eq!(refused(grant("alias/none", "a", &["Encrypt"])), "NotFoundException");
    for arn in ["alice", "arn:aws:iam::1:user/a", "arn:aws:s3:::b", "arn:aws:iam::111122223333:user/", "*"] {
        let request = CreateGrant { grantee: arn.to_owned(), ..grant(&id, "a", &["Encrypt"]) };
        assert_eq!(refused(request), "InvalidArnException", "{arn}");
    }
    let name = Some("no spaces".to_owned());
    assert_eq!(refused(CreateGrant { name, ..grant(&id, "a", &["Encrypt"]) }), "ValidationException");
    let equals = Some((0..9).map(|n| (n.to_string(), String::new())).collect());
    let constraints = Constraints { equals, subset: None };
    assert_eq!(refused(CreateGrant { constraints, ..grant(&id, "a", &["Encrypt"]) }), "ValidationException");
}

#[test]
fn grants_of_one_grantee_are_found_by_what_they_ask_for() {
    let kms = kms();
    let id = new_key(&kms);
    let grant = |operations: &[&str], subset: &[(&str, &str)]| {
        let subset: std::collections::BTreeMap<String, String> =
            subset.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = CreateGrant {
            key_id: id.clone(),
            grantee: user("a").arn().to_owned(),
            operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
            constraints: Constraints { equals: None, subset: (!subset.is_empty()).then_some(subset) },
            ..CreateGrant::default()
        };
        kms.create_grant(&root_user(), request).unwrap().0.id.to_string()
    };
    let may = |value: &str| kms.encrypt(&user("a"), &id, b"x", &context(value)).is_ok();
    let all: Vec<String> =
        (0..100).map(|n| grant(&["Encrypt", "DescribeKey"], &[("purpose", &n.to_string())])).collect();
    assert!(may("0") && may("99") && !may("100"));
    kms.describe_key(&user("a"), &id).unwrap();
    kms.revoke_grant(&root_user(), &id, &all[99]).unwrap();
    assert!(may("98") && !may("99"));
    let free = grant(&["Encrypt"], &[]);
    assert!(may("99"));
    kms.revoke_grant(&root_user(), &id, &free).unwrap();
    assert!(!may("99"));
    for id_of_grant in &all[..99] {
        kms.revoke_grant(&root_user(), &id, id_of_grant).unwrap();
    }
    assert!(!may("0") && kms.describe_key(&user("a"), &id).is_err());
}
