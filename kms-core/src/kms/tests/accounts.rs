//! Several accounts in one store: whose is what, and who reaches across.

use super::*;
use crate::key::KeyManager;
use crate::ops::{CreateGrant, SYMMETRIC_DEFAULT, Side};

const OURS: &str = "111122223333";
const THEIRS: &str = "444455556666";

fn they() -> Caller {
    Caller::root_user(THEIRS)
}

fn their_user(statements: &str) -> Caller {
    with_policies(&format!("arn:aws:iam::{THEIRS}:user/eve"), statements)
}

/// A key of our account that this principal may use.
fn shared_with(kms: &Kms, principal: &str) -> String {
    let id = new_key(kms);
    let policy = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{OURS}:root"}},"Action":"kms:*","Resource":"*"}},
        {{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    kms.put_key_policy(&root_user(), &id, None, policy, false).unwrap();
    id
}

#[test]
fn keys_and_aliases_are_each_accounts_own() {
    let kms = kms();
    let (ours, theirs) = (new_key(&kms), kms.create_key(&they(), CreateKey::default()).unwrap());
    let their_id = theirs.key.id.to_string();
    assert_eq!(theirs.key.account, THEIRS);
    assert_eq!(kms.arn(&theirs.key), format!("arn:aws:kms:us-east-1:{THEIRS}:key/{their_id}"));
    assert!(kms.get_key_policy(&they(), &their_id, None).unwrap().contains(&format!("::{THEIRS}:root")));
    // An id is looked for in the caller's account.
    assert_eq!(kms.describe_key(&root_user(), &their_id).unwrap_err().name(), "NotFoundException");
    assert_eq!(kms.describe_key(&they(), &ours).unwrap_err().name(), "NotFoundException");
    let ids = |caller: &Caller| -> Vec<String> {
        let rows = kms.list_keys(caller, None, None).unwrap().rows;
        rows.iter().map(|entry| entry.key.id.to_string()).collect()
    };
    assert_eq!((ids(&root_user()), ids(&they())), (vec![ours.clone()], vec![their_id.clone()]));
    // The same name in each.
    kms.create_alias(&root_user(), "alias/mine", &ours).unwrap();
    kms.create_alias(&they(), "alias/mine", &their_id).unwrap();
    for (caller, id) in [(root_user(), &ours), (they(), &their_id)] {
        let arn = kms.arn(&kms.find(id).unwrap().key);
        assert_eq!(kms.encrypt(&caller, "alias/mine", b"x", &context("a")).unwrap().key_arn, arn);
        let rows = kms.list_aliases(&caller, None, None, None).unwrap().rows;
        assert_eq!((rows.len(), rows[0].target.to_string()), (1, id.clone()));
        assert_eq!(rows[0].arn, format!("arn:aws:kms:us-east-1:{}:alias/mine", caller.account()));
    }
    kms.delete_alias(&they(), "alias/mine").unwrap();
    assert!(kms.describe_key(&they(), "alias/mine").is_err());
    kms.describe_key(&root_user(), "alias/mine").unwrap();
    // The managed keys too.
    let managed = |account: &str| kms.managed_key("s3", account).unwrap();
    assert_ne!(managed(OURS), managed(THEIRS));
    assert_eq!(managed(THEIRS), managed(THEIRS));
    let through =
        |caller: Caller| Caller { via_service: Some("s3.us-east-1.amazonaws.com".to_owned()), ..caller };
    kms.generate_data_key(&through(they()), &managed(THEIRS), &context("a")).unwrap();
    assert!(kms.generate_data_key(&through(they()), &managed(OURS), &context("a")).is_err());
    let described = kms.describe_key(&they(), "alias/aws/s3").unwrap();
    assert_eq!((&described.key.account[..], described.key.manager), (THEIRS, KeyManager::Aws));
}

#[test]
fn another_account_needs_the_keys_policy_and_its_own() {
    let kms = kms();
    let everything = allow("kms:*", "*");
    for principal in
        [THEIRS, &format!("arn:aws:iam::{THEIRS}:root"), &format!("arn:aws:iam::{THEIRS}:user/eve")]
    {
        let id = shared_with(&kms, principal);
        let arn = kms.arn(&kms.find(&id).unwrap().key);
        kms.create_alias(&root_user(), &format!("alias/{id}"), &id).unwrap();
        let alias = kms.alias_arn(OURS, &format!("alias/{id}"));
        let eve = their_user(&everything);
        let blob = kms.encrypt(&eve, &arn, b"x", &context("a")).unwrap().ciphertext_blob;
        kms.encrypt(&eve, &alias, b"x", &context("a")).unwrap();
        // A ciphertext names its key by itself.
        kms.decrypt(&eve, None, &blob, &context("a")).unwrap();
        kms.describe_key(&eve, &arn).unwrap();
        kms.get_key_rotation_status(&eve, &arn).unwrap();
        kms.list_grants(&eve, &arn, (None, None), None, None).unwrap();
        assert_eq!(kms.describe_key(&eve, &id).unwrap_err().name(), "NotFoundException", "not by its id");
        let refused = kms.encrypt(&their_user(""), &arn, b"x", &context("a")).unwrap_err();
        assert!(
            refused.to_string().ends_with("because no identity-based policy allows the kms:Encrypt action")
        );
        assert_eq!(kms.encrypt(&they(), &arn, b"x", &context("a")).is_ok(), !principal.contains("user"));
        // What does not reach across accounts is refused whatever policies say.
        let refused = [
            kms.disable_key(&eve, &arn).unwrap_err(),
            kms.put_key_policy(&eve, &arn, None, String::new(), true).unwrap_err(),
            kms.get_key_policy(&eve, &arn, None).unwrap_err(),
            kms.schedule_key_deletion(&eve, &arn, None).unwrap_err(),
            kms.create_alias(&eve, "alias/mine", &arn).unwrap_err(),
            kms.list_resource_tags(&eve, &arn, None, None).unwrap_err(),
            kms.list_aliases(&eve, Some(&arn), None, None).unwrap_err(),
            kms.list_key_rotations(&eve, &arn, false, None, None).map(drop).unwrap_err(),
            kms.get_key_last_usage(&eve, &arn).map(drop).unwrap_err(),
        ];
        for refused in refused {
            assert_eq!(refused.name(), "AccessDeniedException", "{refused}");
        }
    }
}

#[test]
fn what_is_absent_elsewhere_is_answered_like_what_is_forbidden() {
    let kms = kms();
    let id = new_key(&kms);
    kms.create_alias(&root_user(), "alias/mine", &id).unwrap();
    let eve = their_user(&allow("kms:*", "*"));
    let there = [kms.arn(&kms.find(&id).unwrap().key), kms.alias_arn(OURS, "alias/mine")];
    let absent =
        [there[0].replace(&id, "00000000-0000-4000-8000-000000000000"), kms.alias_arn(OURS, "alias/none")];
    for arn in there.iter().chain(&absent) {
        let refused = kms.encrypt(&eve, arn, b"x", &context("a")).unwrap_err();
        let text = refused.to_string();
        assert_eq!(refused.name(), "AccessDeniedException");
        assert!(
            text.starts_with(&format!("User: {} is not authorized to perform: kms:Encrypt on", eve.arn()))
        );
        assert!(text.ends_with("because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"), "{text}");
    }
}

#[test]
fn grants_reach_across_accounts() {
    let kms = kms();
    let id = new_key(&kms);
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let request = CreateGrant {
        key_id: id.clone(),
        grantee: their_user("").arn().to_owned(),
        operations: ["Encrypt", "CreateGrant"].map(str::to_owned).to_vec(),
        retiring: Some(their_user("").arn().to_owned()),
        ..CreateGrant::default()
    };
    let (grant, _) = kms.create_grant(&root_user(), request.clone()).unwrap();
    let encrypt = |caller: &Caller| kms.encrypt(caller, &arn, b"x", &context("a")).map(drop);
    // One to the very principal needs nothing of its own account, where only a denial stands in its way.
    encrypt(&their_user("")).unwrap();
    let denied = their_user(&allow("kms:*", &arn).replace("Allow", "Deny"));
    let refused = encrypt(&denied).unwrap_err().to_string();
    assert!(refused.ends_with("with an explicit deny in an identity-based policy"), "{refused}");
    let eve = their_user(&allow("kms:*", &arn));
    encrypt(&eve).unwrap();
    // A grant that they make is theirs to retire, and is issued by their account.
    let child = CreateGrant {
        key_id: arn.clone(),
        operations: vec!["Encrypt".to_owned()],
        retiring: None,
        ..request
    };
    let (child, _) = kms.create_grant(&eve, child).unwrap();
    assert_eq!(child.terms.issuing_account, format!("arn:aws:iam::{THEIRS}:root"));
    assert!(kms.retire_grant(&root_user(), &arn, &child.id.to_string()).is_err());
    kms.retire_grant(&they(), &arn, &child.id.to_string()).unwrap();
    // Retirable grants are listed to the account of who may retire them, whosever keys they are of.
    let list = |caller: &Caller| kms.list_retirable_grants(caller, eve.arn(), None, None);
    assert_eq!(list(&they()).unwrap().rows, [grant]);
    assert_eq!(list(&root_user()).unwrap_err().name(), "InvalidArnException");
}

#[test]
fn re_encrypts_from_one_account_to_another() {
    let kms = kms();
    let source = shared_with(&kms, THEIRS);
    let source = kms.arn(&kms.find(&source).unwrap().key);
    let target = kms.create_key(&they(), CreateKey::default()).unwrap();
    let blob = kms.encrypt(&root_user(), &source, b"secret", &context("a")).unwrap().ciphertext_blob;
    let (a, target_id) = (context("a"), target.key.id.to_string());
    let from = Side { key_id: Some(&source), context: &a, algorithm: SYMMETRIC_DEFAULT };
    let to = Side { key_id: Some(&target_id), ..from };
    let moved = kms.re_encrypt(&they(), from, &blob, to).unwrap();
    assert_eq!((moved.source_key_arn, moved.key_arn), (source, kms.arn(&target.key)));
    let opened = kms.decrypt(&they(), None, &moved.ciphertext_blob, &a).unwrap();
    assert_eq!(opened.plaintext.expose(), b"secret");
    assert!(kms.decrypt(&root_user(), None, &moved.ciphertext_blob, &a).is_err());
}

#[test]
fn the_host_sees_all_accounts_and_a_store_keeps_them_apart() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store, clock) = (Arc::new(first_root), folder.path().join("kms"), TestClock::new());
    let open = || Kms::open(&store, first_root.clone(), clock.config()).unwrap();
    let kms = open();
    let ours = new_key(&kms);
    let theirs = kms.create_key(&they(), CreateKey::default()).unwrap().key.id.to_string();
    kms.create_alias(&root_user(), "alias/mine", &ours).unwrap();
    kms.create_alias(&they(), "alias/mine", &theirs).unwrap();
    let blob = kms.encrypt(&they(), "alias/mine", b"x", &context("a")).unwrap().ciphertext_blob;
    drop(kms);
    for round in 0..2 {
        let kms = open();
        let alias = kms.alias_arn(THEIRS, "alias/mine");
        for name in [&theirs, &kms.arn_of(crate::key::KmsKeyId::parse(&theirs).unwrap()), &alias] {
            assert_eq!(kms.find(name).unwrap().key.account, THEIRS, "{name}");
        }
        assert_eq!(kms.find("alias/mine").unwrap().key.account, OURS);
        let entries = kms.entries();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|(_, aliases)| *aliases == ["alias/mine"]));
        let explain =
            |caller: &Caller| kms.explain(caller, "kms:Decrypt", &theirs, &EncryptionContext::new());
        assert_eq!(explain(&they()).unwrap(), None);
        explain(&root_user()).unwrap_err();
        kms.reset_key_policy(&theirs).unwrap();
        kms.decrypt(&they(), Some("alias/mine"), &blob, &context("a")).unwrap();
        if round == 0 {
            kms.rekey_domain(&*first_root).unwrap();
        }
    }
    // A deleted key leaves nothing behind, and the other's alias of the same name is where it was.
    let kms = open();
    kms.schedule_key_deletion(&they(), &theirs, Some(7)).unwrap();
    clock.pass_days(7);
    assert_eq!(kms.run_scheduled_work().unwrap().deleted, 1);
    kms.describe_key(&root_user(), "alias/mine").unwrap();
    drop(kms);
    assert_eq!(open().counts().aliases, 1);
}
