//! What gateways over one map agree on: the *cluster record*, which the first of them makes. It stands in the map in the clear, so that a
//! gateway that does not fit is refused before it touches anything.

use anyhow::Context;
use futures_util::StreamExt;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use storage::catalog::Catalog;
use storage::kv::{Condition, Direction, Key, KeyRange, KeyValue, KvError, Transaction, Write};
use storage::session::SessionState;

use crate::blobs::{Blobs, TRIAL_FOLDER};
use crate::sealed_kv::MetadataKey;

/// Where the record is.
const RECORD: &[u8] = b"M";
/// Where that is which the metadata key of the cluster opens.
const KEY_CHECK: &[u8] = b"Mk";
/// What that is sealed as.
const PURPOSE: &str = "cluster";
/// The newest form of records that this build reads and writes.
pub const FORMAT: u32 = 2;
/// The first form with bare stretches ([`Catalog::set_notes_stretches`]).
pub const WITH_STRETCHES: u32 = 2;
/// The object of a blob store that says whose it is.
const MARKER: &str = "id";

/// Why a gateway is not one of a cluster. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A newer build has written to the map.
    #[error("the records have format {found}, this build knows formats up to {FORMAT}: run a newer build")]
    Newer {
        /// The newest form of records in the map.
        found: u32,
    },
    /// The root key is another one.
    #[error(
        "the keys of this cluster are under root key {expected}, and this one is {found}: give the right one with --root-key"
    )]
    OtherRoot {
        /// The cluster's.
        expected: String,
        /// The one that was given.
        found: String,
    },
    /// The account is another one.
    #[error("the cluster belongs to account {found}, not {asked}; leave --account-id out")]
    OtherAccount {
        /// The cluster's.
        found: String,
        /// The one that was asked for.
        asked: String,
    },
    /// The map holds something else.
    #[error(
        "the database of --metadata holds records, and not those of a cluster: give an empty database, or the right one"
    )]
    ForeignMap,
    /// The blobs are in another kind of place.
    #[error("the cluster's blobs are in {expected}, and this gateway would put them in {found}: see --blobs")]
    OtherPlace {
        /// Where the cluster's are.
        expected: BlobKind,
        /// Where this one's would be.
        found: BlobKind,
    },
    /// The object store says nothing of whose it is.
    #[error(
        "the object store of --blobs has no blobs of this cluster ({expected}): give the right bucket and prefix; after a move of the store, \
         copy the object `{MARKER}` too"
    )]
    UnmarkedBlobs {
        /// The map's.
        expected: String,
    },
    /// The object store holds something, and the map is new.
    #[error(
        "there are no records yet, but the object store of --blobs holds objects: give an empty prefix, or the database that the blobs \
         belong to"
    )]
    UsedBlobs,
    /// A move to it has not come to its end.
    #[error("a move to this database is under way or was cut off: run `sealgate migrate` (again)")]
    HalfMoved,
    /// The keys are of another cluster, or are gone.
    #[error(
        "the keys do not open the records: the key store (--kms-url) is of another cluster, or is gone; nothing was changed"
    )]
    OtherKeys,
}

/// In what kind of place blobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// The data folder of one gateway.
    Local,
    /// An object store.
    Object,
}

impl std::fmt::Display for BlobKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "the data folder of one gateway",
            Self::Object => "an object store",
        })
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// What map and blob store carry, at random: 32 hexadecimal digits.
    pub id: String,
    /// The account that owns it: 12 digits.
    pub account_id: String,
    /// The region that keys' ARNs name.
    pub region: String,
    /// The id of its root key.
    pub root_id: String,
    /// Where its blobs are.
    pub blobs: BlobKind,
    /// The oldest form that records in the map may have.
    pub format_min: u32,
    /// The newest one.
    pub format_max: u32,
    /// It is being filled from elsewhere (`sealgate migrate`): no gateway opens it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
}

impl Cluster {
    /// The record of a map; `None`: there is none yet.
    ///
    /// # Errors
    /// When it can't be read, or the map holds something without it.
    pub async fn read(kv: &dyn KeyValue) -> anyhow::Result<Option<Self>> {
        let found = kv.get(&[Key::from_static(RECORD)]).await.context("the metadata server")?;
        let Some(entry) = found.into_iter().next().flatten() else {
            let all = KeyRange { start: Key::new(), end: None };
            let some = kv.scan(all, Direction::Forward, 1).await.context("the metadata server")?;
            // Somebody may make the record between both looks; it is then the first that there is.
            anyhow::ensure!(some.iter().all(|(key, _)| &key[..] == RECORD), ClusterError::ForeignMap);
            return Ok(None);
        };
        // Of a newer form nothing but this may be known.
        #[derive(Deserialize)]
        struct Formats {
            format_max: u32,
        }
        let formats: Formats = serde_json::from_slice(&entry.value).context("the cluster record")?;
        if formats.format_max > FORMAT {
            return Err(ClusterError::Newer { found: formats.format_max }.into());
        }
        Ok(Some(serde_json::from_slice(&entry.value).context("the cluster record")?))
    }

    /// Makes the record of a map, unless another gateway is first; answers the one that is there then.
    ///
    /// # Errors
    /// When the map can't be read or written.
    pub async fn make(self, kv: &dyn KeyValue) -> anyhow::Result<Self> {
        let key = Key::from_static(RECORD);
        let conditions = vec![Condition::Absent(key.clone())];
        let writes = vec![Write::Put(key, serde_json::to_vec(&self)?.into())];
        match kv.commit(Transaction { conditions, writes }).await {
            // What became of it is seen.
            Ok(()) | Err(KvError::Conflict { .. } | KvError::Unavailable(_)) => {}
            Err(error) => return Err(error).context("the metadata server"),
        }
        Self::read(kv).await?.context("the cluster record can't be made: try again")
    }

    /// The newest form of records that may be written now, by a build that knows forms up to `known` and has joined: one that every
    /// gateway reads. The record is brought forward when all of them know a newer one; from then on builds that don't are refused. Who
    /// joined before that was seen is seen here, since sessions are looked at once more after it.
    ///
    /// # Errors
    /// When the map can't be read or written, or holds newer records already.
    pub async fn form_for_all(kv: &dyn KeyValue, catalog: &Catalog, known: u32) -> anyhow::Result<u32> {
        let key = Key::from_static(RECORD);
        let found = kv.get(std::slice::from_ref(&key)).await.context("the metadata server")?.pop().flatten();
        let found = found.context("the cluster record")?;
        let mut cluster: Self = serde_json::from_slice(&found.value).context("the cluster record")?;
        anyhow::ensure!(cluster.format_max <= known, ClusterError::Newer { found: cluster.format_max });
        if cluster.format_max < known && common_form(catalog, known).await? == known {
            cluster.format_max = known;
            let conditions = vec![Condition::At(key.clone(), found.revision)];
            let writes = vec![Write::Put(key, serde_json::to_vec(&cluster)?.into())];
            match kv.commit(Transaction { conditions, writes }).await {
                Ok(()) => {}
                // Another did it, or will be asked again.
                Err(KvError::Conflict { .. }) => return Ok(cluster.format_max.min(known - 1)),
                Err(error) => return Err(error).context("the metadata server"),
            }
        }
        Ok(common_form(catalog, known).await?.min(cluster.format_max))
    }

    /// Says that a move to the map came to its end.
    ///
    /// # Errors
    /// When the map can't be read or written.
    pub async fn arrived(kv: &dyn KeyValue) -> anyhow::Result<()> {
        let key = Key::from_static(RECORD);
        let found =
            kv.get(std::slice::from_ref(&key)).await?.pop().flatten().context("the cluster record")?;
        let cluster: Self = serde_json::from_slice(&found.value).context("the cluster record")?;
        let conditions = vec![Condition::At(key.clone(), found.revision)];
        let value = serde_json::to_vec(&Self { moving: false, ..cluster })?;
        kv.commit(Transaction { conditions, writes: vec![Write::Put(key, value.into())] }).await?;
        Ok(())
    }

    /// Is a gateway with this root key, account and place of blobs one of this cluster?
    ///
    /// # Errors
    /// When it is not.
    pub fn check(
        &self,
        root_id: &str,
        account_id: Option<&str>,
        blobs: BlobKind,
    ) -> Result<(), ClusterError> {
        if self.root_id != root_id {
            let (expected, found) = (self.root_id.clone(), root_id.to_owned());
            return Err(ClusterError::OtherRoot { expected, found });
        }
        if let Some(asked) = account_id.filter(|asked| *asked != self.account_id) {
            let (found, asked) = (self.account_id.clone(), asked.to_owned());
            return Err(ClusterError::OtherAccount { found, asked });
        }
        match self.blobs == blobs {
            true => Ok(()),
            false => Err(ClusterError::OtherPlace { expected: self.blobs, found: blobs }),
        }
    }

    /// Has a gateway opened keys beside this map before? Then keys that are not there are gone, and must not be made anew.
    ///
    /// # Errors
    /// When the map can't be read.
    pub async fn has_keys(kv: &dyn KeyValue) -> anyhow::Result<bool> {
        let found = kv.get(&[Key::from_static(KEY_CHECK)]).await.context("the metadata server")?;
        Ok(found.iter().any(Option::is_some))
    }

    /// Does this key open the cluster's records? The first one does.
    ///
    /// # Errors
    /// When it does not, or the map can't be read or written.
    pub async fn check_key(&self, kv: &dyn KeyValue, metadata_key: &MetadataKey) -> anyhow::Result<()> {
        let key = Key::from_static(KEY_CHECK);
        let sealed = metadata_key.seal(PURPOSE, self.id.as_bytes(), b"");
        let conditions = vec![Condition::Absent(key.clone())];
        let writes = vec![Write::Put(key.clone(), sealed.into())];
        match kv.commit(Transaction { conditions, writes }).await {
            Ok(()) | Err(KvError::Conflict { .. } | KvError::Unavailable(_)) => {}
            Err(error) => return Err(error).context("the metadata server"),
        }
        let found = kv.get(&[key]).await.context("the metadata server")?.pop().flatten();
        let found = found.context("the metadata server did not take a record: try again")?;
        metadata_key.open(PURPOSE, self.id.as_bytes(), &found.value).map_err(|_| ClusterError::OtherKeys)?;
        Ok(())
    }
}

/// The newest form of records that all gateways know which live now, and `known`.
async fn common_form(catalog: &Catalog, known: u32) -> anyhow::Result<u32> {
    let sessions = catalog.sessions().await.context("the metadata server")?;
    let live = sessions.into_iter().filter(|session| session.state == SessionState::Live);
    // Who says nothing of itself is of a build of before there were forms.
    let forms = live.map(|session| session.beat.map_or(1, |beat| beat.about.format.max(1)));
    Ok(forms.min().unwrap_or(known).min(known))
}

/// Is this the object store of the cluster, or one that may become it? `is_made`: gateways of the cluster have opened it before.
///
/// # Errors
/// When it is not, or can't be asked.
pub async fn check_store(blobs: &Blobs, id: &str, is_made: bool) -> anyhow::Result<()> {
    const WHAT: &str = "the object store of --blobs";
    let marker = blobs.prefix.clone().join(MARKER);
    if is_made {
        return match blobs.store.head(&marker).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => {
                Err(ClusterError::UnmarkedBlobs { expected: id.to_owned() }.into())
            }
            Err(error) => Err(error).context(WHAT),
        };
    }
    let trials = blobs.prefix.clone().join(TRIAL_FOLDER);
    let mut objects = blobs.store.list(Some(&blobs.prefix));
    while let Some(object) = objects.next().await.transpose().context(WHAT)? {
        // Whose it is, and what a start that was cut off left behind of its trial of the store.
        if object.location != marker && !object.location.prefix_matches(&trials) {
            return Err(ClusterError::UsedBlobs.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kms_core::secret::Secret32;
    use storage::kv::memory::MemoryKv;
    use storage::session::{About, BlobIds, SessionId, SessionKeeper, SessionOptions};

    use super::*;

    fn offered(id: &str) -> Cluster {
        Cluster {
            id: id.to_owned(),
            account_id: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            root_id: "root".to_owned(),
            blobs: BlobKind::Object,
            format_min: FORMAT,
            format_max: FORMAT,
            moving: false,
        }
    }

    async fn put(kv: &MemoryKv, key: &'static [u8], value: &str) {
        let writes = vec![Write::Put(Key::from_static(key), value.to_owned().into())];
        kv.commit(Transaction { conditions: Vec::new(), writes }).await.unwrap();
    }

    fn is(error: &anyhow::Error, what: fn(&ClusterError) -> bool) -> bool {
        error.downcast_ref().is_some_and(what)
    }

    #[tokio::test]
    async fn of_two_first_starts_one_makes_the_record_and_both_take_it() {
        let kv = MemoryKv::new();
        assert_eq!(Cluster::read(&kv).await.unwrap(), None);
        let (one, two) = tokio::join!(offered("one").make(&kv), offered("two").make(&kv));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one, two);
        assert_eq!(Cluster::read(&kv).await.unwrap(), Some(one.clone()));
        one.check("root", None, BlobKind::Object).unwrap();
        let other_root = one.check("another", None, BlobKind::Object);
        assert!(matches!(other_root, Err(ClusterError::OtherRoot { .. })));
        let other_account = one.check("root", Some("000000000001"), BlobKind::Object);
        assert!(matches!(other_account, Err(ClusterError::OtherAccount { .. })));
        let other_place = one.check("root", None, BlobKind::Local);
        assert!(matches!(other_place, Err(ClusterError::OtherPlace { .. })));
    }

    #[tokio::test]
    async fn another_map_a_newer_one_and_other_keys_are_refused() {
        let kv = MemoryKv::new();
        put(&kv, b"B", "a bucket").await;
        assert!(is(&Cluster::read(&kv).await.unwrap_err(), |e| matches!(e, ClusterError::ForeignMap)));
        let kv = MemoryKv::new();
        // Nothing else of a newer form needs to be understood.
        put(&kv, RECORD, r#"{"format_max":999,"what":"ever"}"#).await;
        let newer = Cluster::read(&kv).await.unwrap_err();
        assert!(is(&newer, |e| matches!(e, ClusterError::Newer { found: 999 })), "{newer}");

        let kv = MemoryKv::new();
        let cluster = offered("one").make(&kv).await.unwrap();
        let (right, wrong) = (MetadataKey::new(Secret32::random()), MetadataKey::new(Secret32::random()));
        assert!(!Cluster::has_keys(&kv).await.unwrap());
        cluster.check_key(&kv, &right).await.unwrap();
        cluster.check_key(&kv, &right).await.unwrap();
        assert!(Cluster::has_keys(&kv).await.unwrap());
        let refused = cluster.check_key(&kv, &wrong).await.unwrap_err();
        assert!(is(&refused, |e| matches!(e, ClusterError::OtherKeys)), "{refused}");
    }
    /// A gateway of a build that knows forms of records up to this one.
    async fn joined(kv: &Arc<MemoryKv>, format: u32) -> (Catalog, SessionKeeper) {
        let catalog = Catalog::new(kv.clone());
        let (ids, about) = (BlobIds::new(SessionId::random()), About { format, ..About::default() });
        let keeper =
            SessionKeeper::join(catalog.clone(), ids, about, SessionOptions::default()).await.unwrap();
        (catalog, keeper)
    }

    #[tokio::test]
    async fn a_new_form_is_written_once_every_gateway_knows_it_and_older_builds_are_refused_then() {
        const NEXT: u32 = FORMAT + 1;
        let kv = Arc::new(MemoryKv::new());
        offered("one").make(&*kv).await.unwrap();
        let (old, keeper) = joined(&kv, FORMAT).await;
        assert_eq!(Cluster::form_for_all(&*kv, &old, FORMAT).await.unwrap(), FORMAT);
        let (new, _kept) = joined(&kv, NEXT).await;
        assert_eq!(Cluster::form_for_all(&*kv, &new, NEXT).await.unwrap(), FORMAT, "an older gateway lives");
        assert_eq!(Cluster::form_for_all(&*kv, &old, FORMAT).await.unwrap(), FORMAT);
        // It is replaced.
        let (stop, stopped) = tokio::sync::watch::channel(false);
        stop.send(true).unwrap();
        keeper.run(stopped).await;
        assert_eq!(Cluster::form_for_all(&*kv, &new, NEXT).await.unwrap(), NEXT);
        // One that read the record before and joins now is refused when it looks again; until it has left, nothing new is written.
        let (late, late_keeper) = joined(&kv, FORMAT).await;
        let refused = Cluster::form_for_all(&*kv, &late, FORMAT).await.unwrap_err();
        assert!(refused.to_string().contains("run a newer build"), "{refused}");
        assert_eq!(Cluster::form_for_all(&*kv, &new, NEXT).await.unwrap(), FORMAT);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        stop.send(true).unwrap();
        late_keeper.run(stopped).await;
        assert_eq!(Cluster::form_for_all(&*kv, &new, NEXT).await.unwrap(), NEXT);
    }

    #[tokio::test]
    async fn what_a_cut_off_start_left_in_a_store_is_not_somebody_elses() {
        let config = crate::config::BlobsConfig {
            url: "s3://bucket/prefix".to_owned(),
            credentials: None,
            pack_len: None,
        };
        let opened = crate::blobs::open(&config).unwrap();
        let store = Arc::new(object_store::memory::InMemory::new());
        let blobs = Blobs { store: store.clone(), ..opened };
        for left in ["prefix/id", "prefix/trial/object-0011"] {
            store.put(&left.into(), "x".into()).await.unwrap();
            check_store(&blobs, "id", false).await.unwrap();
        }
        store.put(&"prefix/ss/1/2".into(), "x".into()).await.unwrap();
        let refused = check_store(&blobs, "id", false).await.unwrap_err();
        assert!(is(&refused, |error| matches!(error, ClusterError::UsedBlobs)), "{refused}");
    }
}
