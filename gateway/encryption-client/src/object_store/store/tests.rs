use std::sync::Arc;

use super::api::memory::InMemory;
use super::api::{GetRange, UpdateVersion};

use super::*;
use crate::error::KeyringError;
use crate::keyring::AesKeyring;
use crate::release::Release;
use crate::suite::{CommitmentPolicy, ContentSuite};

type Store = EncryptedStore<Arc<InMemory>>;

fn store_over(inner: Arc<InMemory>, settings: Settings) -> Store {
    EncryptedStore::new(inner, Arc::new(AesKeyring::new(&[1; 32]).unwrap()), settings).unwrap()
}

fn store(settings: Settings) -> Store {
    store_over(Arc::new(InMemory::new()), settings)
}

fn v2() -> Settings {
    Settings::new()
        .suite(ContentSuite::Aes256Gcm)
        .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn read(store: &Store, path: &Path) -> Result<Vec<u8>> {
    Ok(store.get(path).await?.bytes().await?.to_vec())
}

fn releases() -> [Release; 4] {
    let held = |max_memory, spool| Release::AfterAuthentication { max_memory, spool };
    [
        held(1 << 20, None),
        held(1000, Some(std::env::temp_dir())),
        held(0, Some(std::env::temp_dir())),
        Release::Delayed,
    ]
}

#[tokio::test]
async fn objects_come_back_however_they_are_written_and_released() {
    for settings in [Settings::new(), v2()] {
        for placement in [Placement::Metadata, Placement::InstructionFile] {
            for release in releases() {
                let store = store(settings.clone().placement(placement).release(release.clone()));
                for len in [0, 1, 999, 1000, 1001, 200_000] {
                    let (plain, path) = (body(len), Path::from(format!("whole/{len}")));
                    store.put(&path, plain.clone().into()).await.unwrap();
                    assert!(read(&store, &path).await.unwrap() == plain, "{placement:?} {release:?} {len}");
                    assert_eq!(store.head(&path).await.unwrap().size, len as u64);

                    let path = Path::from(format!("parts/{len}"));
                    let mut upload = store.put_multipart(&path).await.unwrap();
                    for part in plain.chunks(70_000) {
                        upload.put_part(part.to_vec().into()).await.unwrap();
                    }
                    upload.complete().await.unwrap();
                    assert!(read(&store, &path).await.unwrap() == plain, "{placement:?} {release:?} {len}");
                    let stored = store.inner().head(&path).await.unwrap().size;
                    assert_eq!(stored, len as u64 + 16);
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_a_changed_body_is_released_unless_that_was_asked_for() {
    let inner = Arc::new(InMemory::new());
    let path = Path::from("a");
    store_over(inner.clone(), Settings::new()).put(&path, body(5000).into()).await.unwrap();
    let whole = inner.get(&path).await.unwrap();
    let attributes = whole.attributes.clone();
    let mut stored = whole.bytes().await.unwrap().to_vec();
    stored[4500] ^= 1;
    let options = PutOptions { attributes, ..PutOptions::default() };
    inner.put_opts(&path, stored.into(), options).await.unwrap();
    for release in releases() {
        let store = store_over(inner.clone(), Settings::new().release(release.clone()));
        match (store.get(&path).await, release) {
            (Ok(result), Release::Delayed) => {
                let mut pieces = result.into_stream().collect::<Vec<_>>().await;
                pieces.pop().unwrap().expect_err("the last piece tells");
                assert!(!pieces.is_empty());
            }
            (Err(error), Release::AfterAuthentication { .. }) => {
                assert!(error.to_string().contains("not what was sealed"), "{error}");
            }
            (outcome, release) => panic!("{outcome:?} {release:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_may_not_be_held_is_refused() {
    let release = Release::AfterAuthentication { max_memory: 100, spool: None };
    let store = store(Settings::new().release(release));
    store.put(&"a".into(), body(100).into()).await.unwrap();
    assert_eq!(read(&store, &"a".into()).await.unwrap().len(), 100);
    store.put(&"b".into(), body(101).into()).await.unwrap();
    let refused = read(&store, &"b".into()).await.unwrap_err().to_string();
    assert!(refused.contains("max_memory"), "{refused}");
}

#[tokio::test]
async fn parts_of_objects_are_what_was_chosen() {
    let inner = Arc::new(InMemory::new());
    let plain = body(5000);
    let path = Path::from("a");
    let refusing = store_over(inner.clone(), Settings::new());
    refusing.put(&path, plain.clone().into()).await.unwrap();
    let refused = refusing.get_range(&path, 0..1).await.unwrap_err();
    assert!(matches!(refused, api::Error::NotSupported { .. }), "{refused}");
    for ranges in [Ranges::FetchWhole, Ranges::Unauthenticated] {
        for release in releases() {
            let store = store_over(inner.clone(), Settings::new().release(release)).ranges(ranges);
            for (range, expected) in [
                (GetRange::Bounded(0..1), 0..1),
                (GetRange::Bounded(15..33), 15..33),
                (GetRange::Bounded(16..5000), 16..5000),
                (GetRange::Bounded(4990..9000), 4990..5000),
                (GetRange::Offset(4999), 4999..5000),
                (GetRange::Offset(7), 7..5000),
                (GetRange::Suffix(1), 4999..5000),
                (GetRange::Suffix(100), 4900..5000),
                (GetRange::Suffix(9000), 0..5000),
            ] {
                let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
                let result = store.get_opts(&path, options).await.unwrap();
                assert_eq!(result.range, expected.start as u64..expected.end as u64, "{range}");
                assert_eq!(result.meta.size, 5000);
                assert!(result.bytes().await.unwrap() == plain[expected], "{ranges:?} {range}");
            }
            for range in [GetRange::Bounded(5000..5001), GetRange::Offset(5010)] {
                let options = GetOptions { range: Some(range), ..GetOptions::default() };
                store.get_opts(&path, options).await.expect_err("there is only the tag");
            }
            let several = store.get_ranges(&path, &[0..10, 4990..5000, 100..200]).await.unwrap();
            assert!(
                several[0] == plain[..10] && several[1] == plain[4990..] && several[2] == plain[100..200]
            );
        }
    }
}

#[tokio::test]
async fn listings_tell_plain_sizes_and_hide_instruction_files_when_asked() {
    let inner = Arc::new(InMemory::new());
    let settings = Settings::new().placement(Placement::InstructionFile);
    let open = store_over(inner.clone(), settings.clone());
    open.put(&"d/a".into(), body(10).into()).await.unwrap();
    let listed = async |store: &Store| -> Vec<(String, u64)> {
        let metas: Vec<_> = store.list(None).try_collect().await.unwrap();
        let delimited = store.list_with_delimiter(Some(&"d".into())).await.unwrap().objects;
        assert_eq!(metas.len(), delimited.len());
        metas.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect()
    };
    assert_eq!(listed(&open).await.len(), 2);
    let hiding = store_over(inner, settings).hide_instruction_files();
    assert_eq!(listed(&hiding).await, [("d/a".to_owned(), 10)]);
}

#[tokio::test]
async fn copies_renames_and_deletions_take_the_instruction_file_along() {
    let inner = Arc::new(InMemory::new());
    let store = store_over(inner.clone(), Settings::new().placement(Placement::InstructionFile));
    store.put(&"a".into(), body(10).into()).await.unwrap();
    store.copy(&"a".into(), &"b".into()).await.unwrap();
    store.rename(&"b".into(), &"c".into()).await.unwrap();
    assert!(read(&store, &"c".into()).await.unwrap() == body(10));
    store.copy_if_not_exists(&"c".into(), &"a".into()).await.expect_err("it is there");
    store.copy_if_not_exists(&"c".into(), &"d".into()).await.unwrap();
    assert!(read(&store, &"d".into()).await.unwrap() == body(10));
    for name in ["a", "c", "d"] {
        store.delete(&name.into()).await.unwrap();
    }
    let left: Vec<_> = inner.list(None).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn conditions_hold() {
    let store = store(Settings::new());
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let put = store.put_opts(&"a".into(), "1".into(), create()).await.unwrap();
    let refused = store.put_opts(&"a".into(), "2".into(), create()).await;
    assert!(matches!(refused, Err(api::Error::AlreadyExists { .. })));
    let update = |e_tag| PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag, version: None }),
        ..PutOptions::default()
    };
    store.put_opts(&"a".into(), "3".into(), update(put.e_tag.clone())).await.unwrap();
    let refused = store.put_opts(&"a".into(), "4".into(), update(put.e_tag)).await;
    assert!(matches!(refused, Err(api::Error::Precondition { .. })));
    let files = store_over(store.inner().clone(), Settings::new().placement(Placement::InstructionFile));
    let refused = files.put_opts(&"b".into(), "1".into(), create()).await;
    assert!(matches!(refused, Err(api::Error::NotSupported { .. })));
}

#[tokio::test]
async fn attributes_stay_and_those_of_envelopes_are_nobody_elses() {
    let store = store(Settings::new());
    let own = Attributes::from_iter([
        (Attribute::Metadata("owner".into()), "me"),
        (Attribute::ContentType, "text/a"),
    ]);
    let options = PutOptions { attributes: own.clone(), ..PutOptions::default() };
    store.put_opts(&"a".into(), "1".into(), options).await.unwrap();
    assert_eq!(store.get(&"a".into()).await.unwrap().attributes, own);
    let reserved = Attributes::from_iter([(Attribute::Metadata("X-Amz-3".into()), "me")]);
    let options = PutOptions { attributes: reserved, ..PutOptions::default() };
    let refused = store.put_opts(&"a".into(), "1".into(), options).await.unwrap_err().to_string();
    assert!(refused.contains("reserved"), "{refused}");
}

#[tokio::test]
async fn what_is_not_sealed_is_not_given_out() {
    let store = store(Settings::new());
    store.inner().put(&"a".into(), "plain".into()).await.unwrap();
    let refused = read(&store, &"a".into()).await.unwrap_err().to_string();
    assert!(refused.contains("not encrypted by an S3 Encryption Client"), "{refused}");
    assert!(matches!(read(&store, &"none".into()).await, Err(api::Error::NotFound { .. })));
}

#[tokio::test]
async fn a_key_is_wrapped_anew_in_its_instruction_file() {
    let inner = Arc::new(InMemory::new());
    let settings = Settings::new().placement(Placement::InstructionFile);
    let old = store_over(inner.clone(), settings.clone());
    old.put(&"a".into(), body(10).into()).await.unwrap();
    let before = inner.head(&"a".into()).await.unwrap();
    let new = Arc::new(AesKeyring::new(&[2; 32]).unwrap());
    old.rewrap(&"a".into(), &*new, &Description::new()).await.unwrap();
    assert_eq!(inner.head(&"a".into()).await.unwrap(), before);
    let refused = old.get(&"a".into()).await.unwrap_err();
    assert!(refused.to_string().contains(&KeyringError::Unwrap.to_string()), "{refused}");
    let new = EncryptedStore::new(inner.clone(), new, settings).unwrap();
    assert!(new.get(&"a".into()).await.unwrap().bytes().await.unwrap() == body(10));
    let in_metadata = store_over(inner, Settings::new());
    in_metadata.put(&"b".into(), body(10).into()).await.unwrap();
    let other = AesKeyring::new(&[2; 32]).unwrap();
    in_metadata.rewrap(&"b".into(), &other, &Description::new()).await.expect_err("it is in the metadata");
}

#[tokio::test]
async fn an_instruction_file_is_exchanged_for_the_one_that_was_read_and_no_other() {
    let store = store(Settings::new().placement(Placement::InstructionFile));
    let (name, file) = (Path::from("a"), Path::from("a.instruction"));
    store.put(&name, body(10).into()).await.unwrap();
    let stored = store.envelope(&name).await.unwrap();
    // Somebody writes the object before the new key is there: it would not be his body's.
    store.put(&name, body(20).into()).await.unwrap();
    let late = put_instruction_file(store.inner(), &file, "{}".to_owned(), stored.replacing()).await;
    assert!(matches!(late, Err(api::Error::Precondition { .. })), "{late:?}");
    assert_eq!(read(&store, &name).await.unwrap(), body(20));
}

#[tokio::test]
async fn streams_come_back_whatever_pieces_they_are_in() {
    const PART_LEN: usize = stream::PART_LEN;
    for (len, piece_len, placement) in [
        (0, 1, Placement::Metadata),
        (1, 1, Placement::InstructionFile),
        (PART_LEN - 1, 300_000, Placement::Metadata),
        (PART_LEN, PART_LEN, Placement::Metadata),
        (PART_LEN + 1, PART_LEN, Placement::InstructionFile),
        (2 * PART_LEN + 5, 3 * PART_LEN, Placement::Metadata),
    ] {
        let store = store(Settings::new().placement(placement));
        let (plain, path) = (body(len), Path::from("a"));
        let pieces = plain.chunks(piece_len).map(|piece| Ok::<_, api::Error>(Bytes::copy_from_slice(piece)));
        let own = Attributes::from_iter([(Attribute::ContentType, "text/a")]);
        let options = PutMultipartOptions { attributes: own.clone(), ..PutMultipartOptions::default() };
        store.put_stream(&path, futures_util::stream::iter(pieces), options).await.unwrap();
        assert!(read(&store, &path).await.unwrap() == plain, "{len} {placement:?}");
        assert_eq!(store.get(&path).await.unwrap().attributes, own);
        assert_eq!(store.inner().head(&path).await.unwrap().size, len as u64 + 16);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_makes_no_object() {
    let store = store(Settings::new());
    for len in [1, stream::PART_LEN + 1] {
        let failure = api::Error::Generic { store: "test", source: "cut off".into() };
        let pieces = futures_util::stream::iter([Ok(Bytes::from(body(len))), Err(failure)]);
        let broken = store.put_stream(&"a".into(), pieces, PutMultipartOptions::default()).await.unwrap_err();
        assert!(broken.to_string().contains("cut off"), "{broken}");
        assert!(matches!(store.head(&"a".into()).await, Err(api::Error::NotFound { .. })));
    }
}
