//! The contract of counters.

use std::sync::Arc;

use crate::kv::counter::{Addition, Amounts, COLUMNS, COUNTER};
use crate::kv::{Condition, Direction, Key, KeyRange, KeyValue, KvError, Transaction, Write};

/// All that one open engine can show of counters.
pub async fn run(kv: Arc<dyn KeyValue>) {
    additions_sum_up_and_a_conflict_adds_nothing(&*kv).await;
    one_entry_has_a_new_revision_with_each_addition(&*kv).await;
    what_a_counter_may_be_is_judged_with_the_transaction(&*kv).await;
    racing_additions_lose_nothing(&kv).await;
    a_limit_holds_one_writer_after_the_other(&kv).await;
    kv.verify().await.expect("what was committed");
}

fn counter(name: &str) -> Key {
    [&[COUNTER], name.as_bytes()].concat().into()
}

fn amounts(first: i64, last: i64) -> Amounts {
    let mut amounts = Amounts::default();
    (amounts.0[0], amounts.0[COLUMNS - 1]) = (first, last);
    amounts
}

fn add(name: &str, amounts: Amounts, is_spread: bool) -> Write {
    Write::Add(Addition { counter: counter(name), amounts, is_spread })
}

async fn commit(kv: &dyn KeyValue, conditions: Vec<Condition>, writes: Vec<Write>) -> Result<(), KvError> {
    kv.commit(Transaction { conditions, writes }).await
}

async fn sum(kv: &dyn KeyValue, name: &str) -> Amounts {
    let range = KeyRange::prefix(counter(name));
    let mut sum = Amounts::default();
    for (_, entry) in kv.scan(range, Direction::Forward, 1000).await.expect("a scan") {
        sum.add(&Amounts::from_bytes(&entry.value).expect("a counter"));
    }
    sum
}

async fn additions_sum_up_and_a_conflict_adds_nothing(kv: &dyn KeyValue) {
    commit(kv, vec![], vec![add("sum", amounts(i64::MAX, -7), true)]).await.expect("a commit");
    let key = Key::from_static(b"beside");
    let writes = vec![add("sum", amounts(-5, 1), true), Write::Put(key.clone(), "v".into())];
    commit(kv, vec![Condition::Absent(key.clone())], writes.clone()).await.expect("a commit");
    assert_eq!(sum(kv, "sum").await, amounts(i64::MAX - 5, -6));
    let again = commit(kv, vec![Condition::Absent(key.clone())], writes).await;
    assert!(matches!(again, Err(KvError::Conflict { key: of }) if of == key));
    assert_eq!(sum(kv, "sum").await, amounts(i64::MAX - 5, -6), "a refused transaction was added");
    let range = KeyRange::prefix(counter("sum"));
    let entries = kv.scan(range, Direction::Forward, 100).await.expect("a scan");
    let gone = entries.into_iter().map(|(key, _)| Write::Delete(key)).collect();
    commit(kv, vec![], gone).await.expect("a commit");
    assert!(sum(kv, "sum").await.is_zero());
}

async fn one_entry_has_a_new_revision_with_each_addition(kv: &dyn KeyValue) {
    let read = async || kv.get(&[counter("one")]).await.expect("a read").remove(0);
    let absent = vec![Condition::Absent(counter("one"))];
    commit(kv, absent.clone(), vec![add("one", amounts(1, 0), false)]).await.expect("a commit");
    let first = read().await.expect("it is there");
    commit(kv, vec![], vec![add("one", amounts(1, 0), false)]).await.expect("a commit");
    let at_first = vec![Condition::At(counter("one"), first.revision)];
    for past in [absent, at_first] {
        let refused = commit(kv, past, vec![Write::Delete(counter("one"))]).await;
        assert!(matches!(refused, Err(KvError::Conflict { key }) if key == counter("one")));
    }
    let second = read().await.expect("it is there");
    assert_eq!(Amounts::from_bytes(&second.value), Some(amounts(2, 0)));
    let now = vec![Condition::At(counter("one"), second.revision)];
    commit(kv, now, vec![Write::Put(counter("one"), amounts(40, 0).to_bytes())]).await.expect("a commit");
    commit(kv, vec![], vec![add("one", amounts(2, 0), false)]).await.expect("a commit");
    let third = read().await.expect("it is there");
    assert_eq!(Amounts::from_bytes(&third.value), Some(amounts(42, 0)));
    let now = vec![Condition::At(counter("one"), third.revision)];
    commit(kv, now, vec![Write::Delete(counter("one"))]).await.expect("a commit");
    assert_eq!(read().await, None);
}

fn at_most(name: &str, most: i64) -> Vec<Condition> {
    vec![Condition::AtMost { counter: counter(name), column: 0, most }]
}

async fn what_a_counter_may_be_is_judged_with_the_transaction(kv: &dyn KeyValue) {
    let one = || vec![add("limit", amounts(1, 100), true)];
    for held in 0..3 {
        assert_eq!(sum(kv, "limit").await.0[0], held);
        commit(kv, at_most("limit", 2), one()).await.expect("there is room");
    }
    let refused = commit(kv, at_most("limit", 2), one()).await;
    assert!(matches!(refused, Err(KvError::Conflict { key }) if key == counter("limit")));
    assert_eq!(sum(kv, "limit").await, amounts(3, 300));
    // Another counter is another's, though its name begins so.
    commit(kv, at_most("limit\0other", 0), vec![]).await.expect("it is nothing");
}

async fn racing_additions_lose_nothing(kv: &Arc<dyn KeyValue>) {
    let writers = (0..16_i64).map(|writer| {
        let kv = kv.clone();
        tokio::spawn(async move {
            for round in 0..20_i64 {
                let own = Key::from(format!("raced/{writer}"));
                let writes = vec![
                    add("raced", amounts(writer + 1, -round), true),
                    add("raced-one", amounts(1, 0), false),
                    Write::Put(own, "v".into()),
                ];
                commit(&*kv, vec![], writes).await.expect("a commit");
                // A refused one beside those that are not.
                let refused = vec![Condition::Absent(Key::from(format!("raced/{writer}")))];
                let refused = commit(&*kv, refused, vec![add("raced", amounts(1000, 1000), true)]).await;
                assert!(matches!(refused, Err(KvError::Conflict { .. })));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    let one = kv.get(&[counter("raced-one")]).await.expect("a read").remove(0).expect("it is there");
    assert_eq!(Amounts::from_bytes(&one.value), Some(amounts(16 * 20, 0)));
    let mut all = sum(&**kv, "raced").await;
    all.add(&amounts(-16 * 20, 0));
    assert_eq!(all, amounts((1..=16).sum::<i64>() * 20, -16 * (0..20).sum::<i64>()));
}

/// Of writers that wait for each other none passes; of those that don't, each sees what was committed before it.
async fn a_limit_holds_one_writer_after_the_other(kv: &Arc<dyn KeyValue>) {
    const MOST: i64 = 10;
    let writers = (0..16).map(|_| {
        let kv = kv.clone();
        tokio::spawn(async move {
            let mut passed = 0;
            for _ in 0..10 {
                let writes = vec![add("bounded", amounts(1, 0), true)];
                passed += i64::from(commit(&*kv, at_most("bounded", MOST - 1), writes).await.is_ok());
            }
            passed
        })
    });
    let mut passed = 0;
    for writer in writers.collect::<Vec<_>>() {
        passed += writer.await.expect("a writer");
    }
    assert_eq!(sum(&**kv, "bounded").await.0[0], passed);
    assert!((MOST..=MOST + 16).contains(&passed), "{passed} of at most {MOST}");
    let late = commit(&**kv, at_most("bounded", MOST - 1), vec![]).await;
    assert!(matches!(late, Err(KvError::Conflict { .. })));
}
