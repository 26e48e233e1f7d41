//! Whom policies and grants mean, when users and roles go and others come under their names.

use std::collections::BTreeMap;

use super::*;
use crate::directory::{Directory, Lookup};
use crate::ops::CreateGrant;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ROLE: &str = "arn:aws:iam::111122223333:role/worker";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/worker/s1";

/// The users and roles of our account.
#[derive(Clone, Default)]
struct People(Arc<Mutex<BTreeMap<String, String>>>);

impl People {
    fn call(&self, arn: &str, id: &str) {
        let mut all = self.0.lock();
        all.retain(|_, other| other != id);
        all.insert(arn.to_owned(), id.to_owned());
    }

    fn end(&self, arn: &str) {
        self.0.lock().remove(arn);
    }
}

impl Directory for People {
    fn id_of(&self, name: &str) -> Lookup {
        let all = self.0.lock();
        match all.get(name).or_else(|| all.values().find(|id| *id == name)) {
            Some(id) => Lookup::Id(id.clone()),
            None if name.contains(":444455556666:") => Lookup::NotOurs,
            None => Lookup::NoSuchPrincipal,
        }
    }

    fn arn_of(&self, id: &str) -> Option<String> {
        self.0.lock().iter().find(|(_, own)| *own == id).map(|(arn, _)| arn.clone())
    }

    fn has_account(&self, account: &str) -> bool {
        account != "999999999999"
    }
}

fn people() -> People {
    let people = People::default();
    people.call(ALICE, "AIDAALICE1");
    people.call(ROLE, "AROAWORKER1");
    people.call(SESSION, "AROAWORKER1:s1");
    people
}

/// With the unique ids that it has: of a session, its role's second.
fn known(arn: &str, ids: &[&str]) -> Caller {
    let mut subject = Subject::named(arn);
    subject.itself.push(ids[0].to_owned());
    subject.role.extend(ids.get(1).map(|id| (*id).to_owned()));
    Caller::of(Arc::new(subject))
}

fn naming(names: &[&str]) -> String {
    let names = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"111122223333"}},"Action":"kms:*","Resource":"*"}},
        {{"Sid":"{ALICE}","Effect":"Allow","Principal":{{"AWS":[{names}]}},"Action":"kms:Encrypt","Resource":"*","Condition":{{"StringNotEquals":{{"aws:PrincipalArn":"{ALICE}x"}}}}}}]}}"#
    )
}

#[test]
fn a_policy_names_only_principals_that_exist() {
    let kms = kms();
    let id = new_key(&kms);
    let put = |principal: &str, element: &str| {
        let text = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"111122223333"}},"Action":"kms:*","Resource":"*"}},
            {{"Effect":"Deny","{element}":{{"AWS":["arn:aws:iam::111122223333:root","{principal}"]}},"Action":"kms:Encrypt","Resource":"*"}}]}}"#
        );
        kms.put_key_policy(&root_user(), &id, None, text, true)
    };
    put("arn:aws:iam::111122223333:user/bob", "Principal").unwrap();
    kms.set_directory(Arc::new(people()));
    for there in [
        ALICE,
        ROLE,
        SESSION,
        "AIDAALICE1",
        "arn:aws:iam::444455556666:user/bob",
        "arn:aws:iam::444455556666:root",
        "444455556666",
    ] {
        put(there, "NotPrincipal").unwrap();
    }
    for absent in [
        "arn:aws:iam::111122223333:user/bob",
        "arn:aws:iam::111122223333:role/r",
        "AIDAEXAMPLE",
        "arn:aws:iam::999999999999:root",
        "999999999999",
    ] {
        for element in ["Principal", "NotPrincipal"] {
            let refused = put(absent, element).unwrap_err();
            assert_eq!(
                (refused.name(), refused.to_string().as_str()),
                (
                    "MalformedPolicyDocumentException",
                    "Policy contains a statement with one or more invalid principals."
                )
            );
        }
    }
}

#[test]
fn who_comes_under_a_name_of_a_policy_inherits_nothing() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store) = (Arc::new(first_root), folder.path().join("kms"));
    let people = people();
    let open = || {
        let kms = Kms::open(&store, first_root.clone(), config()).unwrap();
        kms.set_directory(Arc::new(people.clone()));
        kms
    };
    let kms = open();
    let id = new_key(&kms);
    let text = naming(&[ALICE, ROLE, "arn:aws:iam::444455556666:user/bob"]);
    kms.put_key_policy(&root_user(), &id, None, text.clone(), false).unwrap();
    let shown = |kms: &Kms| kms.get_key_policy(&root_user(), &id, None).unwrap();
    assert_eq!(shown(&kms), text);
    drop(kms);
    let kms = open();
    let may = |caller: &Caller| kms.encrypt(caller, &id, b"x", &context("a")).is_ok();
    assert!(may(&known(ALICE, &["AIDAALICE1"])) && may(&known(SESSION, &["AROAWORKER1:s1", "AROAWORKER1"])));
    people.end(ALICE);
    people.call(ALICE, "AIDAALICE2");
    people.end(ROLE);
    assert!(
        !may(&known(ALICE, &["AIDAALICE2"])) && !may(&known(SESSION, &["AROAWORKER2:s1", "AROAWORKER2"]))
    );
    assert_eq!(shown(&kms), naming(&["AIDAALICE1", "AROAWORKER1", "arn:aws:iam::444455556666:user/bob"]));
    assert!(kms.put_key_policy(&root_user(), &id, None, shown(&kms), false).is_err(), "they are gone");
    // Who is only called otherwise is still meant.
    people.call("arn:aws:iam::111122223333:user/alicia", "AIDAALICE1");
    assert!(shown(&kms).contains("\"arn:aws:iam::111122223333:user/alicia\""));
    assert!(may(&known("arn:aws:iam::111122223333:user/alicia", &["AIDAALICE1"])));
    // Put again, it means who is there now; and a new domain key keeps that.
    let text = naming(&[ALICE]);
    kms.put_key_policy(&root_user(), &id, None, text.clone(), false).unwrap();
    drop(kms);
    open().rekey_domain(&*first_root).unwrap();
    let kms = open();
    assert!(kms.encrypt(&known(ALICE, &["AIDAALICE2"]), &id, b"x", &context("a")).is_ok());
    assert_eq!(shown(&kms), text);
    // Nothing is left of ids once nobody is named, nor of the key.
    kms.reset_key_policy(&id).unwrap();
    drop(kms);
    let left = |kind: u8| {
        let entries = SledStore::open(&store).unwrap().load().unwrap();
        entries.iter().filter(|(name, _)| name[0] == kind).count()
    };
    assert_eq!((left(b'n'), left(b'p')), (0, 1));
}

#[test]
fn a_policy_that_names_many_is_kept_in_pieces() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store) = (Arc::new(first_root), folder.path().join("kms"));
    let people = People::default();
    let kms = Kms::open(&store, first_root.clone(), config()).unwrap();
    kms.set_directory(Arc::new(people.clone()));
    let id = new_key(&kms);
    let arn = |n: usize| format!("arn:aws:iam::111122223333:user/{n}");
    let arns: Vec<String> = (0..700).map(arn).collect();
    arns.iter().enumerate().for_each(|(n, arn)| people.call(arn, &format!("AIDA{n}")));
    let text = naming(&arns.iter().map(String::as_str).collect::<Vec<_>>());
    kms.put_key_policy(&root_user(), &id, None, text, false).unwrap();
    drop(kms);
    let clock = TestClock::new();
    let kms = Kms::open(&store, first_root, clock.config()).unwrap();
    let may = |n: usize, id_of: usize| {
        let caller = known(&arn(n), &[&format!("AIDA{id_of}")]);
        kms.encrypt(&caller, &id, b"x", &context("a")).is_ok()
    };
    assert!(may(0, 0) && may(699, 699) && !may(699, 700));
    kms.schedule_key_deletion(&root_user(), &id, Some(7)).unwrap();
    clock.pass_days(7);
    kms.run_scheduled_work().unwrap();
    drop(kms);
    let left = SledStore::open(&store).unwrap().load().unwrap();
    assert_eq!(left.len(), 2, "but for the domain key and the digest nothing is left");
}

#[test]
fn who_comes_under_a_name_of_a_grant_inherits_nothing() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store) = (Arc::new(first_root), folder.path().join("kms"));
    let people = people();
    let open = || {
        let kms = Kms::open(&store, first_root.clone(), config()).unwrap();
        kms.set_directory(Arc::new(people.clone()));
        kms
    };
    let kms = open();
    let (root, id) = (root_user(), new_key(&kms));
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let request = |grantee: &str| CreateGrant {
        key_id: id.clone(),
        grantee: grantee.to_owned(),
        retiring: Some(ALICE.to_owned()),
        operations: vec!["Encrypt".to_owned()],
        name: Some("n".to_owned()),
        ..CreateGrant::default()
    };
    for grantee in ["arn:aws:iam::111122223333:user/bob", "arn:aws:iam::999999999999:root"] {
        let refused = kms.create_grant(&root, request(grantee)).unwrap_err();
        assert_eq!(refused.name(), "InvalidArnException", "{refused}");
        let retiring = CreateGrant { retiring: Some(grantee.to_owned()), ..request(ALICE) };
        assert_eq!(kms.create_grant(&root, retiring).unwrap_err().name(), "InvalidArnException");
    }
    kms.create_grant(&root, request("arn:aws:iam::444455556666:user/bob")).unwrap();
    let (first, _) = kms.create_grant(&root, request(ALICE)).unwrap();
    kms.create_grant(&root, request(ROLE)).unwrap();
    kms.create_grant(&root, request(SESSION)).unwrap();
    assert_eq!(kms.create_grant(&root, request(ALICE)).unwrap().0.id, first.id);
    drop(kms);
    let kms = open();
    let may = |caller: &Caller| kms.encrypt(caller, &id, b"x", &context("a")).is_ok();
    assert!(may(&known(ALICE, &["AIDAALICE1"])));
    let other_session = "arn:aws:sts::111122223333:assumed-role/worker/s2";
    assert!(may(&known(SESSION, &["AROAWORKER1:s1", "AROAWORKER2"])), "by itself");
    assert!(may(&known(other_session, &["AROAWORKER1:s2", "AROAWORKER1"])), "by its role");
    let listed = |grantee: &str| {
        let rows = kms.list_grants(&root, &id, (None, Some(grantee)), None, None).unwrap().rows;
        rows.iter().map(|grant| grant.terms.grantee.clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed(ALICE), [ALICE]);
    people.end(ALICE);
    people.call(ALICE, "AIDAALICE2");
    let again = known(ALICE, &["AIDAALICE2"]);
    assert!(!may(&again) && !may(&known(other_session, &["AROAWORKER2:s2", "AROAWORKER2"])));
    assert!(kms.retire_grant(&again, &arn, &first.id.to_string()).is_err());
    assert!(listed(ALICE).is_empty());
    assert_eq!(listed("AIDAALICE1"), ["AIDAALICE1"]);
    let rows = kms.list_grants(&root, &id, (None, Some(ROLE)), None, None).unwrap().rows;
    assert_eq!(rows[0].terms.retiring.as_deref(), Some("AIDAALICE1"));
    let retirable = |kms: &Kms| kms.list_retirable_grants(&root, ALICE, None, None).unwrap().rows.len();
    assert_eq!(retirable(&kms), 0);
    // The same request is another grant now.
    let (second, _) = kms.create_grant(&root, request(ALICE)).unwrap();
    assert_ne!(second.id, first.id);
    assert!(may(&again));
    assert_eq!((listed(ALICE), retirable(&kms)), (vec![ALICE.to_owned()], 1));
    kms.revoke_grant(&root, &id, &second.id.to_string()).unwrap();
    assert!(!may(&again));
    kms.retire_grant(
        &known("arn:aws:iam::111122223333:user/x", &["AIDAALICE1"]),
        &arn,
        &first.id.to_string(),
    )
    .unwrap();
}
