//! The contract of [`KeyValue`](crate::kv::KeyValue).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::kv::{
    Condition, Direction, Entry, GROUP_LEN, Key, KeyRange, KeyValue, KvError, Mark, Place, Revision,
    Standing, Transaction, Write,
};

/// All that one open, empty engine can show.
pub async fn run(kv: Arc<dyn KeyValue>) {
    reads_see_commits(&*kv).await;
    a_transaction_is_applied_whole_or_not_at_all(&*kv).await;
    revisions_are_never_shared(&*kv).await;
    scans_are_ordered_and_bounded(&*kv).await;
    long_values_are_values(&*kv).await;
    of_racing_writers_one_wins(&kv).await;
    racing_increments_lose_nothing(&kv).await;
    readers_see_commits_whole_per_key(&kv).await;
    what_is_kept_at_a_mark_is_what_a_read_would_find(&kv).await;
    a_snapshot_is_of_one_moment_and_nobody_waits_for_it(&kv).await;
    verifying_goes_on_beside_commits(&kv).await;
    a_commit_of_as_many_keys_as_there_may_be_works_and_one_more_is_refused(&*kv).await;
    super::counter::run(kv).await;
}

/// What an engine keeps when it is dropped and opened again by `open`.
pub async fn reopens(open: impl AsyncFn() -> Arc<dyn KeyValue>) {
    let mut expected: BTreeMap<Key, Bytes> = BTreeMap::new();
    let mut revisions: Vec<Revision> = Vec::new();
    for round in 0_u32..5 {
        let kv = open().await;
        let all = all(&*kv).await;
        let values: BTreeMap<Key, Bytes> = all.iter().map(|(k, e)| (k.clone(), e.value.clone())).collect();
        assert!(values == expected, "round {round}: what was stored is not what was committed");
        for number in 0..200_u32 {
            let key = name(&format!("reopen/{}", number * 7 % 300));
            if (number + round) % 5 == 0 {
                commit(&*kv, vec![], vec![Write::Delete(key.clone())]).await.expect("a commit");
                expected.remove(&key);
            } else {
                let value = pattern(number + round, (number as usize * 131) % 20_000);
                commit(&*kv, vec![], vec![Write::Put(key.clone(), value.clone())]).await.expect("a commit");
                expected.insert(key.clone(), value);
                revisions.extend(read(&*kv, &key).await.map(|entry| entry.revision));
            }
        }
    }
    let count = revisions.len();
    revisions.sort_by_key(|revision| revision.0);
    revisions.dedup();
    assert_eq!(revisions.len(), count, "a revision came twice");
}

async fn reads_see_commits(kv: &dyn KeyValue) {
    let keys = [name("read/a"), name("read/b"), name("read/c")];
    put(kv, &keys[0], b"1").await;
    put(kv, &keys[2], b"").await;
    let asked = [keys[2].clone(), keys[1].clone(), keys[0].clone(), keys[2].clone()];
    let found = kv.get(&asked).await.expect("a read");
    let values: Vec<_> = found.iter().map(|entry| entry.as_ref().map(|entry| &entry.value[..])).collect();
    assert_eq!(values, [Some(&b""[..]), None, Some(b"1"), Some(b"")], "in the order asked");
    assert_eq!(kv.get(&[]).await.expect("a read"), [], "of no keys");
    commit(kv, vec![], vec![Write::Delete(keys[0].clone()), Write::Delete(keys[1].clone())])
        .await
        .expect("deleting what is absent is fine");
    assert_eq!(read(kv, &keys[0]).await, None);
}

async fn a_transaction_is_applied_whole_or_not_at_all(kv: &dyn KeyValue) {
    let [a, b, c] = [name("whole/a"), name("whole/b"), name("whole/c")];
    put(kv, &a, b"1").await;
    let at = read(kv, &a).await.expect("it is there").revision;
    let writes = vec![Write::Put(b.clone(), "2".into()), Write::Delete(a.clone())];
    for (conditions, culprit) in [
        (vec![Condition::At(a.clone(), at), Condition::Absent(a.clone())], &a),
        (vec![Condition::At(a.clone(), Revision(at.0.wrapping_add(1)))], &a),
        (vec![Condition::Absent(b.clone()), Condition::At(c.clone(), at)], &c),
    ] {
        match commit(kv, conditions, writes.clone()).await {
            Err(KvError::Conflict { key }) => assert_eq!(key, *culprit),
            other => panic!("a condition does not hold, yet {other:?}"),
        }
        assert_eq!(read(kv, &b).await, None, "nothing was written");
        assert_eq!(&read(kv, &a).await.expect("it is there").value[..], b"1");
    }
    let conditions = vec![Condition::At(a.clone(), at), Condition::Absent(b.clone()), Condition::Absent(c)];
    commit(kv, conditions, writes).await.expect("all hold");
    assert_eq!(read(kv, &a).await, None);
    assert_eq!(&read(kv, &b).await.expect("it is there").value[..], b"2");
    let nothing = commit(kv, vec![Condition::Absent(b.clone())], vec![]).await;
    assert!(matches!(nothing, Err(KvError::Conflict { .. })), "conditions alone are judged, too");
}

async fn revisions_are_never_shared(kv: &dyn KeyValue) {
    let key = name("revision");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        put(kv, &key, b"the same").await;
        let entry = read(kv, &key).await.expect("it is there");
        assert!(seen.insert(entry.revision), "a revision came twice");
        assert_eq!(read(kv, &key).await, Some(entry), "reading changes nothing");
        commit(kv, vec![], vec![Write::Delete(key.clone())]).await.expect("a commit");
    }
}

async fn scans_are_ordered_and_bounded(kv: &dyn KeyValue) {
    let names: Vec<Key> =
        [&b"s/"[..], b"s/\0", b"s/\0\xff", b"s/a", b"s/a\0", b"s/aa", b"s/b", b"s/\xff", b"s/\xff\xff"]
            .map(Key::from_static)
            .to_vec();
    let outside = [Key::from_static(b"s"), Key::from_static(b"s.\xff"), Key::from_static(b"s0")];
    for key in names.iter().chain(&outside).rev() {
        put(kv, key, key).await;
    }
    let scan = async |range: KeyRange, direction, limit| {
        let found = kv.scan(range, direction, limit).await.expect("a scan");
        assert!(found.iter().all(|(key, entry)| entry.value == *key), "a key has another's value");
        found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let all = KeyRange::prefix(&b"s/"[..]);
    let mut reversed = names.clone();
    reversed.reverse();
    for limit in 0..=names.len() + 1 {
        let len = limit.min(names.len());
        assert_eq!(scan(all.clone(), Direction::Forward, limit).await, names[..len]);
        assert_eq!(scan(all.clone(), Direction::Backward, limit).await, reversed[..len]);
    }
    for from in 0..names.len() {
        for to in 0..names.len() {
            let range = KeyRange { start: names[from].clone(), end: Some(names[to].clone()) };
            let expected = if from < to { &names[from..to] } else { &[] };
            assert_eq!(scan(range.clone(), Direction::Forward, 99).await, expected);
            let backward = scan(range, Direction::Backward, 99).await;
            assert!(backward.iter().eq(expected.iter().rev()));
        }
    }
    let entries = kv.scan(all, Direction::Forward, 1).await.expect("a scan");
    assert_eq!(entries[0].1.revision, read(kv, &names[0]).await.expect("it is there").revision);
    // Many, so that they lie on many pages.
    let many: Vec<Key> = (0..2000).map(|n| name(&format!("many/{n:05}"))).collect();
    for keys in many.chunks(500) {
        let writes = keys.iter().map(|key| Write::Put(key.clone(), key.clone())).collect();
        commit(kv, vec![], writes).await.expect("a commit");
    }
    let range = KeyRange::prefix(&b"many/"[..]);
    assert_eq!(scan(range.clone(), Direction::Forward, 1999).await, many[..1999]);
    let open_end = KeyRange { start: many[1990].clone(), end: None };
    assert_eq!(scan(open_end, Direction::Forward, 10).await, many[1990..]);
    let backward = scan(range, Direction::Backward, 5).await;
    assert!(backward.iter().eq(many[1995..].iter().rev()));
}

async fn long_values_are_values(kv: &dyn KeyValue) {
    let (long_key, short_key) = (Key::from([b"long/".as_slice(), &[7; 2100]].concat()), name("long/a"));
    for key in [&short_key, &long_key] {
        for len in [0, 1, 4000, 6300, 6389, 6390, 6400, 7000, 13_000, 100_000, 1 << 20, 70_000, 3] {
            let value = pattern(len as u32, len);
            commit(kv, vec![], vec![Write::Put(key.clone(), value.clone())]).await.expect("a commit");
            let entry = read(kv, key).await.expect("it is there");
            assert!(entry.value == value, "a value of {len} bytes reads back changed");
            let range = KeyRange { start: key.clone(), end: None };
            let scanned = kv.scan(range, Direction::Forward, 1).await.expect("a scan");
            assert!(scanned == [(key.clone(), entry)], "a value of {len} bytes scans differently");
        }
    }
    let writes = (0..40).map(|n| Write::Put(name(&format!("long/{n}")), pattern(n, 30_000))).collect();
    commit(kv, vec![], writes).await.expect("a commit");
    let writes = (0..40).map(|n| Write::Delete(name(&format!("long/{n}")))).collect();
    commit(kv, vec![], writes).await.expect("a commit");
    let left = kv.scan(KeyRange::prefix(&b"long/"[..]), Direction::Forward, 99).await.expect("a scan");
    assert_eq!(left.len(), 2, "the two keys from before");
}

async fn of_racing_writers_one_wins(kv: &Arc<dyn KeyValue>) {
    for round in 0..20 {
        let key = name(&format!("race/{round}"));
        let mut condition = vec![Condition::Absent(key.clone())];
        for _ in 0..2 {
            let tasks: Vec<_> = (0..64)
                .map(|n| {
                    let (kv, key, condition) = (kv.clone(), key.clone(), condition.clone());
                    tokio::spawn(async move {
                        commit(&*kv, condition, vec![Write::Put(key, Bytes::from(format!("{n}")))]).await
                    })
                })
                .collect();
            let mut winner = None;
            for (n, task) in tasks.into_iter().enumerate() {
                match task.await.expect("a task") {
                    Ok(()) => assert_eq!(winner.replace(n), None, "two won"),
                    Err(KvError::Conflict { key: culprit }) => assert_eq!(culprit, key),
                    Err(error) => panic!("{error}"),
                }
            }
            let entry = read(&**kv, &key).await.expect("somebody won");
            assert_eq!(entry.value, winner.expect("somebody won").to_string());
            condition = vec![Condition::At(key.clone(), entry.revision)];
        }
    }
}

async fn racing_increments_lose_nothing(kv: &Arc<dyn KeyValue>) {
    let (key, copy) = (name("count/a"), name("count/b"));
    for key in [&key, &copy] {
        put(&**kv, key, b"0").await;
    }
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (kv, key, copy) = (kv.clone(), key.clone(), copy.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    loop {
                        let entry = read(&*kv, &key).await.expect("it is there");
                        let count: u32 =
                            str::from_utf8(&entry.value).expect("text").parse().expect("a number");
                        let next = Bytes::from((count + 1).to_string());
                        let writes =
                            vec![Write::Put(key.clone(), next.clone()), Write::Put(copy.clone(), next)];
                        match commit(&*kv, vec![Condition::At(key.clone(), entry.revision)], writes).await {
                            Ok(()) => break,
                            Err(KvError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    for key in [&key, &copy] {
        assert_eq!(&read(&**kv, key).await.expect("it is there").value[..], b"320");
    }
}

async fn readers_see_commits_whole_per_key(kv: &Arc<dyn KeyValue>) {
    let key = name("torn");
    put(&**kv, &key, &pattern(0, 30_000)).await;
    let writer = tokio::spawn({
        let (kv, key) = (kv.clone(), key.clone());
        async move {
            for n in 1..100_u32 {
                let len = 10_000 + n as usize * 300;
                put(&*kv, &key, &pattern(n, len)).await;
            }
        }
    });
    let mut last = 0;
    while !writer.is_finished() {
        for entry in [
            read(&**kv, &key).await,
            kv.scan(KeyRange::prefix(key.clone()), Direction::Forward, 1)
                .await
                .expect("a scan")
                .pop()
                .map(|row| row.1),
        ] {
            let value = entry.expect("it is always there").value;
            let n = u32::from_be_bytes(value[..4].try_into().expect("four bytes"));
            assert!(value == pattern(n, value.len()), "a reader saw a torn value");
            assert!(n >= last, "a reader saw an older value after a newer one");
            last = n;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("a task");
}

async fn what_is_kept_at_a_mark_is_what_a_read_would_find(kv: &Arc<dyn KeyValue>) {
    let keys = ["one", "other"].map(|key| name(&format!("a group of marks/{key}")));
    let group = keys[0].slice(..GROUP_LEN);
    put(&**kv, &keys[0], &0_u64.to_be_bytes()).await;
    let Some(before) = kv.mark(Place::Group(&group)) else { return };
    assert_eq!(kv.mark(Place::Group(&group)), Some(before), "nothing has changed");
    put(&**kv, &keys[1], b"").await;
    assert_ne!(kv.mark(Place::Group(&group)), Some(before));
    let before = kv.mark(Place::Key(&keys[1]));
    commit(&**kv, vec![], vec![Write::Delete(keys[1].clone())]).await.expect("a commit");
    assert_ne!(kv.mark(Place::Key(&keys[1])), before);

    let acknowledged = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (kv, key, acknowledged) = (kv.clone(), keys[0].clone(), acknowledged.clone());
        async move {
            for number in 1..=200_u64 {
                put(&*kv, &key, &number.to_be_bytes()).await;
                acknowledged.store(number, Ordering::SeqCst);
            }
        }
    });
    let mut kept: [Option<(Mark, u64)>; 2] = [None, None];
    let mut seen = 0;
    while !writer.is_finished() {
        for (kept, place) in kept.iter_mut().zip([Place::Key(&keys[0]), Place::Group(&group)]) {
            let least = acknowledged.load(Ordering::SeqCst).max(seen);
            let mark = kv.mark(place);
            let found = match (*kept, mark) {
                (Some((then, number)), Some(now)) if then == now => number,
                _ => {
                    let value = read(&**kv, &keys[0]).await.expect("it is there").value;
                    let number = u64::from_be_bytes(value[..].try_into().expect("a number"));
                    *kept = mark.map(|mark| (mark, number));
                    number
                }
            };
            assert!(found >= least, "{found}, after {least} was acknowledged or seen");
            seen = found;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("a writer");
}

async fn a_snapshot_is_of_one_moment_and_nobody_waits_for_it(kv: &Arc<dyn KeyValue>) {
    let before: BTreeMap<Key, Bytes> = (0..700)
        .map(|number| (name(&format!("snapshot/{number:04}")), pattern(number, 40 + number as usize * 30)))
        .collect();
    for (key, value) in &before {
        put(&**kv, key, value).await;
    }
    let is_mine = |key: &Key| key.starts_with(b"snapshot/");
    let mut snapshot = kv.snapshot().await.expect("a snapshot");
    let mut found = BTreeMap::new();
    let mut round = 0;
    loop {
        let page = snapshot.next().await.expect("a page");
        if page.is_empty() {
            break;
        }
        for (key, entry) in page.into_iter().filter(|(key, _)| is_mine(key)) {
            assert!(found.insert(key, entry.value).is_none(), "an entry came twice");
        }
        // Whatever is changed while it is read: what was there before, what comes and what goes, before and behind it.
        for number in (round % 7..700).step_by(7) {
            put(&**kv, &name(&format!("snapshot/{number:04}")), b"changed").await;
            put(&**kv, &name(&format!("snapshot/{number:04}/new")), b"new").await;
            let gone = name(&format!("snapshot/{:04}", number / 2));
            commit(&**kv, vec![], vec![Write::Delete(gone.clone())]).await.expect("a commit");
            put(&**kv, &gone, b"again").await;
        }
        round += 1;
    }
    assert!(found == before, "a snapshot showed {} entries of {}", found.len(), before.len());
    kv.verify().await.expect("what was committed");
    assert_eq!(kv.standing(), Standing::Verified);
}

async fn verifying_goes_on_beside_commits(kv: &Arc<dyn KeyValue>) {
    let writer = tokio::spawn({
        let kv = kv.clone();
        async move {
            for number in 0..300_u32 {
                let key = name(&format!("verify/{:02}", number * 7 % 50));
                let long = if number % 3 == 0 { 9000 } else { 10 };
                match number % 5 {
                    4 => commit(&*kv, vec![], vec![Write::Delete(key)]).await.expect("a commit"),
                    _ => put(&*kv, &key, &pattern(number, long)).await,
                }
            }
        }
    });
    while !writer.is_finished() {
        kv.verify().await.expect("what was committed");
    }
    writer.await.expect("a writer");
    kv.verify().await.expect("what was committed");
}

async fn a_commit_of_as_many_keys_as_there_may_be_works_and_one_more_is_refused(kv: &dyn KeyValue) {
    let limits = kv.limits();
    let keys: Vec<Key> = (0..limits.keys / 2).map(|n| name(&format!("limit/{n:08}"))).collect();
    let range = KeyRange::prefix(&b"limit/"[..]);
    let absent: Vec<_> = keys.iter().cloned().map(Condition::Absent).collect();
    let puts = |value: &'static [u8]| -> Vec<_> {
        keys.iter().map(|key| Write::Put(key.clone(), Bytes::from_static(value))).collect()
    };
    let one_more = [absent.clone(), vec![Condition::Absent(name("limit"))]].concat();
    match commit(kv, one_more, puts(b"1")).await {
        Err(error @ KvError::TooLarge { .. }) => {
            assert!(error.to_string().contains(&limits.keys.to_string()), "{error}");
        }
        other => panic!("one more than there may be, yet {other:?}"),
    }
    assert!(kv.scan(range.clone(), Direction::Forward, 1).await.expect("a scan").is_empty());
    commit(kv, absent.clone(), puts(b"1")).await.expect("as many as there may be");
    assert_eq!(
        kv.scan(range.clone(), Direction::Forward, usize::MAX >> 1).await.expect("a scan").len(),
        keys.len()
    );
    assert!(matches!(commit(kv, absent, puts(b"2")).await, Err(KvError::Conflict { .. })));
    assert_eq!(&read(kv, &keys[keys.len() - 1]).await.expect("it is there").value[..], b"1");
    commit(kv, vec![], keys.iter().cloned().map(Write::Delete).collect()).await.expect("they go");
    // And of bytes.
    let value = Bytes::from(vec![7; 1 << 20]);
    let count = limits.len >> 20;
    let long = |count: usize| -> Vec<_> {
        (0..count).map(|n| Write::Put(name(&format!("limit/{n}")), value.clone())).collect()
    };
    assert!(matches!(commit(kv, vec![], long(count + 1)).await, Err(KvError::TooLarge { .. })));
    assert!(kv.scan(range, Direction::Forward, 1).await.expect("a scan").is_empty());
    commit(kv, vec![], long(count - 1)).await.expect("as long as there may be");
    let deleted = (0..count - 1).map(|n| Write::Delete(name(&format!("limit/{n}")))).collect();
    commit(kv, vec![], deleted).await.expect("they go");
}

async fn commit(kv: &dyn KeyValue, conditions: Vec<Condition>, writes: Vec<Write>) -> Result<(), KvError> {
    kv.commit(Transaction { conditions, writes }).await
}

async fn put(kv: &dyn KeyValue, key: &Key, value: &[u8]) {
    let write = Write::Put(key.clone(), Bytes::copy_from_slice(value));
    commit(kv, vec![], vec![write]).await.expect("a commit");
}

async fn read(kv: &dyn KeyValue, key: &Key) -> Option<Entry> {
    kv.get(std::slice::from_ref(key)).await.expect("a read").remove(0)
}

async fn all(kv: &dyn KeyValue) -> Vec<(Key, Entry)> {
    let range = KeyRange { start: Key::new(), end: None };
    kv.scan(range, Direction::Forward, usize::MAX >> 1).await.expect("a scan")
}

fn name(name: &str) -> Key {
    Key::copy_from_slice(name.as_bytes())
}

/// Bytes that tell which value they are, and where in it.
fn pattern(seed: u32, len: usize) -> Bytes {
    let mut bytes: Vec<u8> = (0..len.div_ceil(4) as u32).flat_map(|n| (seed ^ n).to_be_bytes()).collect();
    bytes.truncate(len);
    bytes.into()
}
