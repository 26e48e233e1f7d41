//! Documents are taken out of the map, as somebody who writes the disk would do it.

use std::sync::Arc;

use bytes::Bytes;
use kms_core::policy::{Context, Document, Outcome, Policies, Request, Subject, decide};
use kms_core::secret::Secret32;
use storage::catalog::Catalog;
use storage::kv::memory::MemoryKv;
use storage::kv::{Direction, KeyRange, KeyValue, Transaction, Write};
use zeroize::Zeroizing;

use super::*;
use crate::iam::opened_session::Opened;
use crate::iam::session::{Session, SessionOf, SessionPolicies};
use crate::iam::{Account, Iam, IamError, IamOptions, ManagedPolicy, PolicyVersion, TrustPolicy};
use crate::seal::xaes::Xaes;

const MAIN: &str = "111122223333";
const OTHER: &str = "444455556666";
const POLICY: &str = "arn:aws:iam::111122223333:policy/careful";
const OBJECT: &str = "arn:aws:s3:::b/k";

fn text(statements: &str) -> PolicyText {
    PolicyText::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)).unwrap()
}

fn all_allowed() -> std::collections::BTreeMap<String, PolicyText> {
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    [("all".to_owned(), text(statement))].into()
}

fn user(name: &str) -> User {
    User {
        id: format!("AIDA{name}"),
        name: name.to_owned(),
        path: "/".to_owned(),
        created_unix_ms: 1,
        tags: Vec::new(),
        boundary: None,
        inline: all_allowed(),
        attached: Vec::new(),
        groups: Vec::new(),
    }
}

async fn open(kv: &Arc<MemoryKv>, accept_missing_documents: bool) -> Result<Iam, IamError> {
    let options = IamOptions { main: MAIN.to_owned(), accept_missing_documents, ..IamOptions::default() };
    let root = ("AKIAROOT".to_owned(), Zeroizing::new("root's secret".to_owned()));
    Iam::open(Catalog::new(kv.clone()), &Secret32::take(&mut [7; 32]), options, root).await
}

/// A policy that allows all of S3 but deletions, and who have it: as a policy, as a boundary, in a group; and one who has nothing of it.
async fn filled() -> (Arc<MemoryKv>, Iam) {
    let kv = Arc::new(MemoryKv::new());
    let iam = open(&kv, false).await.unwrap();
    let careful = text(
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}"#,
    );
    iam.create_account(Account::new(OTHER, "other", "", 5), None).await.unwrap();
    iam.change(MAIN, |draft| {
        draft.put(ManagedPolicy {
            id: "ANPAcareful".to_owned(),
            name: "careful".to_owned(),
            path: "/".to_owned(),
            description: None,
            created_unix_ms: 1,
            updated_unix_ms: 1,
            tags: Vec::new(),
            versions: [(1, PolicyVersion { policy: careful.clone(), created_unix_ms: 1 })].into(),
            default_version: 1,
            next_version: 2,
        });
        draft.put(Group {
            id: "AGPAgroup".to_owned(),
            name: "group".to_owned(),
            path: "/".to_owned(),
            created_unix_ms: 1,
            inline: [("own".to_owned(), careful.clone())].into(),
            attached: Vec::new(),
        });
        draft.put(user("plain"));
        draft.put(User { attached: vec![POLICY.to_owned()], ..user("attached") });
        draft.put(User { boundary: Some(POLICY.to_owned()), ..user("bounded") });
        draft.put(User { groups: vec!["AGPAgroup".to_owned()], ..user("member") });
        let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
        draft.put(Role {
            id: "AROArole".to_owned(),
            name: "role".to_owned(),
            path: "/".to_owned(),
            created_unix_ms: 1,
            description: None,
            max_session_s: 3600,
            trust: TrustPolicy::new(trust.to_owned(), Default::default()).unwrap(),
            tags: Vec::new(),
            boundary: None,
            inline: all_allowed(),
            attached: vec![POLICY.to_owned()],
        });
        Ok(())
    })
    .await
    .unwrap();
    (kv, iam)
}

/// Takes the document away whose name ends so.
async fn take(kv: &MemoryKv, name: &str) {
    let all = KeyRange { start: Bytes::new(), end: None };
    let found = kv.scan(all, Direction::Forward, 1000).await.unwrap();
    let mut keys = found.into_iter().map(|(key, _)| key).filter(|key| key.ends_with(name.as_bytes()));
    let key = keys.next().unwrap_or_else(|| panic!("no document {name}"));
    let writes = vec![Write::Delete(key)];
    kv.commit(Transaction { conditions: Vec::new(), writes }).await.unwrap();
}

fn ask(subject: &Subject, action: &str) -> Outcome {
    // A bucket policy that names everybody: what an identity policy or a boundary does not deny, it allows.
    let open = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}}"#;
    let open = Document::parse_resource(open).unwrap();
    let request = Request { subject, action, resource: OBJECT, values: &Context::new() };
    let policies =
        Policies { resource: Some(&open), resource_must_delegate: false, resource_account: Some(MAIN) };
    decide(policies, &request)
}

fn subject(iam: &Iam, who: &str) -> Arc<Subject> {
    iam.state().subject(&format!("arn:aws:iam::{MAIN}:{who}"))
}

fn may(iam: &Iam, who: &str) -> [bool; 2] {
    ["s3:GetObject", "s3:DeleteObject"].map(|action| ask(&subject(iam, who), action).is_allowed())
}

const ALL: [&str; 6] = ["root", "user/plain", "user/attached", "user/bounded", "user/member", "role/role"];

fn shut_out(iam: &Iam) -> Vec<&'static str> {
    ALL.into_iter().filter(|who| may(iam, who) == [false, false]).collect()
}

fn told(iam: &Iam) -> Vec<(String, String)> {
    let all = iam.state().missing().into_iter();
    all.map(|missing| (missing.of.rsplit(':').next().unwrap().to_owned(), missing.document)).collect()
}

#[tokio::test]
async fn who_misses_a_document_may_nothing() {
    let (kv, iam) = filled().await;
    assert_eq!(shut_out(&iam), Vec::<&str>::new());
    assert_eq!(may(&iam, "user/plain"), [true, true]);
    for who in ["user/attached", "user/bounded", "user/member", "role/role"] {
        assert_eq!(may(&iam, who), [true, false], "{who}");
    }
    assert_eq!(told(&iam), []);

    take(&kv, "ANPAcareful").await;
    let iam = open(&kv, true).await.unwrap();
    assert_eq!(shut_out(&iam), ["user/attached", "user/bounded", "role/role"]);
    let of = |who: &str, document: &str| (who.to_owned(), document.to_owned());
    let expected = vec![of("user/attached", POLICY), of("user/bounded", POLICY), of("role/role", POLICY)];
    assert_eq!(told(&iam), expected);
    // A denial, so that neither bucket policies nor ACLs nor grants spare anybody.
    assert!(matches!(ask(&subject(&iam, "user/bounded"), "s3:GetObject"), Outcome::ExplicitDeny { .. }));

    take(&kv, "AGPAgroup").await;
    let iam = open(&kv, true).await.unwrap();
    assert_eq!(shut_out(&iam), ["user/attached", "user/bounded", "user/member", "role/role"]);
    assert!(told(&iam).contains(&of("user/member", "AGPAgroup")));

    // Once it is taken from them they are as everybody else.
    iam.change(MAIN, |draft| {
        for name in ["attached", "member"] {
            let former = User::clone(draft.users.get(name)?);
            draft.put(User { attached: Vec::new(), groups: Vec::new(), ..former });
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(shut_out(&iam), ["user/bounded", "role/role"]);
}

#[tokio::test]
async fn a_version_in_force_that_is_missing_denies() {
    let (_, iam) = filled().await;
    iam.change(MAIN, |draft| {
        let former = ManagedPolicy::clone(draft.policies.get("careful")?);
        draft.put(ManagedPolicy { default_version: 2, ..former });
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(shut_out(&iam), ["user/attached", "user/bounded", "role/role"]);
}

#[tokio::test]
async fn a_start_without_a_document_is_refused() {
    for document in ["ANPAcareful", "AGPAgroup", "AIDAplain", "AROArole"] {
        let (kv, _) = filled().await;
        open(&kv, false).await.unwrap();
        take(&kv, document).await;
        let refused = open(&kv, false).await.err();
        assert!(
            matches!(refused, Some(IamError::DocumentCount { expected: 8, found: 7 })),
            "{document}: {refused:?}"
        );
        // Accepted once, it is counted so from then on.
        open(&kv, true).await.unwrap();
        open(&kv, false).await.unwrap();
    }
    // What an account has is worth nothing without the account.
    let (kv, iam) = filled().await;
    iam.change(OTHER, |draft| {
        draft.put(user("alice"));
        Ok(())
    })
    .await
    .unwrap();
    take(&kv, &format!("account/{OTHER}")).await;
    let refused = open(&kv, true).await.err().unwrap().to_string();
    assert!(refused.contains(&format!("user/{OTHER}/AIDAalice")), "{refused}");
}

#[tokio::test]
async fn sessions_are_limited_by_what_is_missing() {
    let (kv, _) = filled().await;
    let session = |of| Session {
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: Zeroizing::new("s".to_owned()),
        account: MAIN.to_owned(),
        of,
        issued_unix_s: 1,
        expires_unix_s: u64::MAX / 2000,
        policies: Some(SessionPolicies { texts: Vec::new(), arns: vec![POLICY.to_owned()] }),
        tags: Vec::new(),
        transitive: Vec::new(),
        source_identity: None,
        claims: Context::new(),
    };
    let user = |id: &str| SessionOf::User { id: Some(id.to_owned()) };
    let role = SessionOf::Role { id: "AROArole".to_owned(), name: "s".to_owned(), is_chained: false };
    let by = SessionOf::Federated { by: Some("AIDAplain".to_owned()), name: "f".to_owned() };
    let all = [SessionOf::User { id: None }, user("AIDAplain"), role, by].map(session);
    let xaes = Xaes::new(&Secret32::take(&mut [7; 32]));
    let seen = |iam: &Iam, session: &Session| {
        let opened = Opened::open(&session.seal(&xaes), &xaes).unwrap();
        opened.identity(&iam.state())
    };
    let iam = open(&kv, false).await.unwrap();
    for session in &all {
        let identity = seen(&iam, session).unwrap();
        assert!(ask(&identity.subject, "s3:GetObject").is_allowed(), "{session:?}");
    }
    take(&kv, "ANPAcareful").await;
    let iam = open(&kv, true).await.unwrap();
    for session in &all {
        let identity = seen(&iam, session).unwrap();
        assert!(!ask(&identity.subject, "s3:GetObject").is_allowed(), "{session:?}");
    }
    // Whose session it is gone: it is nobody's.
    take(&kv, "AIDAplain").await;
    take(&kv, "AROArole").await;
    let iam = open(&kv, true).await.unwrap();
    let gone = all.iter().map(|session| seen(&iam, session).is_none());
    assert_eq!(gone.collect::<Vec<_>>(), [false, true, true, true]);
}
