use storage::kv::memory::MemoryKv;

use super::*;
use crate::iam::{IdKind, User, unique_id};

const MAIN: &str = "111122223333";

fn options() -> IamOptions {
    IamOptions { main: MAIN.to_owned(), ..IamOptions::default() }
}

fn root() -> (String, Zeroizing<String>) {
    ("AKIAROOT".to_owned(), Zeroizing::new("root's secret".to_owned()))
}

async fn open(catalog: &Catalog) -> Iam {
    let mut secret = [7; 32];
    Iam::open(catalog.clone(), &Secret32::take(&mut secret), options(), root()).await.unwrap()
}

fn user(name: &str) -> User {
    User {
        id: unique_id(IdKind::User),
        name: name.to_owned(),
        path: "/".to_owned(),
        created_unix_ms: 1,
        tags: Vec::new(),
        boundary: None,
        inline: Default::default(),
        attached: Vec::new(),
        groups: Vec::new(),
    }
}

async fn make(iam: &Iam, name: &str) -> Result<(), IamError> {
    let made = user(name);
    iam.change(MAIN, |draft| {
        if draft.users.has_name(name) {
            return Err(IamError::exists("User", name));
        }
        draft.put(made.clone());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_changed_is_there_again() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let iam = open(&catalog).await;
    make(&iam, "alice").await.unwrap();
    iam.create_account(Account::new("444455556666", "other", "o@example.com", 5), None).await.unwrap();
    let again = open(&catalog).await;
    let state = again.state();
    let alice = state.accounts[MAIN].users.get("alice").unwrap();
    assert_eq!(state.accounts[MAIN].id_of("arn:aws:iam::111122223333:user/alice"), Some(alice.id.clone()));
    assert_eq!(state.accounts["444455556666"].account.email, "o@example.com");
    // One who is made anew under the name is another.
    let former = alice.id.clone();
    let remove = |draft: &mut Draft| {
        draft.remove::<User>(&former);
        Ok(())
    };
    again.change(MAIN, remove).await.unwrap();
    make(&again, "alice").await.unwrap();
    assert_ne!(again.state().accounts[MAIN].users.get("alice").unwrap().id, former);
    assert_eq!(again.state().arn_of(&former), None);
}

/// Case does not tell names apart, in ARNs alone it does. Older catalogs may have two that differ in nothing else.
#[tokio::test]
async fn names_are_found_in_whatever_case() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let iam = open(&catalog).await;
    make(&iam, "Alice").await.unwrap();
    assert!(matches!(make(&iam, "aLICE").await, Err(IamError::EntityAlreadyExists(_))));
    let put = |made: User| {
        let iam = &iam;
        async move {
            iam.change(MAIN, |draft| {
                draft.put(made.clone());
                Ok(())
            })
            .await
            .unwrap();
        }
    };
    let name_of =
        |state: &State, name: &str| state.accounts[MAIN].users.find(name).map(|user| user.name.clone());
    assert_eq!(name_of(&iam.state(), "ALICE").as_deref(), Some("Alice"));
    assert_eq!(iam.state().accounts[MAIN].id_of("arn:aws:iam::111122223333:user/alice"), None);
    let (upper, lower) = (user("BOB"), user("bob"));
    put(upper.clone()).await;
    put(lower.clone()).await;
    let state = open(&catalog).await.state();
    let users = &state.accounts[MAIN].users;
    assert_eq!(
        (users.find("BOB").unwrap().id.clone(), users.find("bob").unwrap().id.clone()),
        (upper.id.clone(), lower.id.clone())
    );
    assert!(users.find("Bob").is_none() && users.has_name("Bob"));
    assert!(users.by_id(&upper.id).is_some() && users.by_id(&lower.id).is_some());
    assert_eq!(users.len(), 3);
    // One of them gets another name.
    put(User { name: "robert".to_owned(), ..upper.clone() }).await;
    let state = iam.state();
    assert_eq!(name_of(&state, "Bob").as_deref(), Some("bob"));
    assert_eq!(name_of(&state, "ROBERT").as_deref(), Some("robert"));
}

/// Two gateways over one catalog: who has not read the other's change reads it and tries again.
#[tokio::test]
async fn two_change_the_same_shelf() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let (one, two) = (open(&catalog).await, open(&catalog).await);
    make(&one, "alice").await.unwrap();
    make(&two, "bob").await.unwrap();
    assert!(matches!(make(&two, "ALICE").await, Err(IamError::EntityAlreadyExists(_))));
    make(&one, "carol").await.unwrap();
    let all: Vec<String> = one.state().accounts[MAIN].users.iter().map(|user| user.name.clone()).collect();
    assert_eq!(all, ["alice", "bob", "carol"]);
}

#[tokio::test]
async fn secrets_are_sealed_for_their_access_key() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let iam = open(&catalog).await;
    let record = iam.seal_access_key("AKIA1", "a secret", (MAIN, None), 1);
    assert!(!format!("{record:?}").contains("a secret"));
    assert_eq!(iam.open_secret(&record).unwrap().as_str(), "a secret");
    let moved = AccessKeyRecord { id: "AKIA2".to_owned(), ..record.clone() };
    assert!(iam.open_secret(&moved).is_none());
    let text = iam.seal_text("one", "text");
    assert_eq!(iam.open_text("one", &text).as_deref(), Some("text"));
    assert_eq!(iam.open_text("other", &text), None);
    // A failed change leaves nothing.
    let refused = iam.change(MAIN, |draft| {
        draft.put_access_key(record.clone());
        Err::<(), _>(IamError::ConcurrentModification)
    });
    assert!(refused.await.is_err());
    assert!(!iam.state().access_keys.contains_key("AKIA1"));
}
