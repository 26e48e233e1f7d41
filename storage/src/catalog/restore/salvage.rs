//! What blobs do not tell: buckets whose own record is lost, and what only the former catalog has.

use std::collections::{BTreeSet, HashSet};

use super::super::record::{BucketRecord, DisplacedRecord, DisplacedWhat, Record, VersionRecord};
use super::super::{Bucket, Catalog, CatalogError, DisplacedSet, SCAN_LEN, Versioning, layout, name_of};
use crate::kv::{Direction, Key, KeyRange, Transaction, Write};
use crate::name::{BucketId, BucketName, Timestamp};

/// What was taken from a former catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Documents.
    pub documents: u64,
    /// What can't be read any more, in words.
    pub damaged: Vec<String>,
    /// Buckets, for those whose blobs do not tell of them.
    pub buckets: Vec<Bucket>,
    /// The catalog could be read to its end.
    pub is_whole: bool,
}

impl Catalog {
    /// Takes over what no blob tells of from a former catalog, as far as that can be read: documents, and which blobs are displaced.
    pub async fn salvage(&self, former: &Catalog) -> Result<Salvaged, CatalogError> {
        let mut salvaged = Salvaged { is_whole: true, ..Salvaged::default() };
        let mut shelves = BTreeSet::new();
        for kind in [layout::BUCKET, layout::DISPLACED, layout::DOCUMENT] {
            let mut range = KeyRange::prefix(vec![kind]);
            loop {
                let found = match former.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await {
                    Ok(found) => found,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the former catalog can't be read to its end");
                        salvaged.is_whole = false;
                        break;
                    }
                };
                let mut writes = Vec::new();
                for (key, entry) in &found {
                    if kind == layout::DOCUMENT {
                        shelves.extend(layout::shelf_in(key));
                    }
                    let taken = match kind {
                        _ if entry.is_damaged() => None,
                        layout::BUCKET => {
                            let name = str::from_utf8(&key[1..]).ok().and_then(|n| BucketName::parse(n).ok());
                            let bucket = name.zip(BucketRecord::decode(&entry.value).ok());
                            bucket.map(|(name, bucket)| salvaged.buckets.push(bucket.into_bucket(name)))
                        }
                        layout::DISPLACED => DisplacedRecord::decode(&entry.value).ok().map(|record| {
                            // Of parts the new catalog knows better.
                            if matches!(record.what, DisplacedWhat::Blob(_)) {
                                writes.push(Write::Put(key.clone(), entry.value.clone()));
                            }
                        }),
                        _ => {
                            // A shelf's state is none of its documents.
                            salvaged.documents += u64::from(key.last() != Some(&0));
                            writes.push(Write::Put(key.clone(), entry.value.clone()));
                            Some(())
                        }
                    };
                    if taken.is_none() {
                        salvaged.damaged.push(name_of(key));
                    }
                }
                if !writes.is_empty() {
                    self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                    _ => break,
                }
            }
        }
        // What can't be read any more is told, and not counted.
        for shelf in shelves {
            self.recount_documents(&shelf).await?;
        }
        Ok(salvaged)
    }

    /// Makes buckets for versions and uploads whose bucket has no record: the former one, where it is among `former` and its name is
    /// free, else one that is called after its id. Answers them; they have no journal.
    pub async fn recover_buckets(
        &self,
        owner: &str,
        region: &str,
        former: &[Bucket],
        displaced: &DisplacedSet,
    ) -> Result<Vec<Bucket>, CatalogError> {
        let mut known: HashSet<BucketId> = HashSet::new();
        let mut range = KeyRange::prefix(vec![layout::BUCKET]);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                known.extend(self.look::<BucketRecord>(key, Some(entry)).sound().map(|bucket| bucket.id));
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => break,
            }
        }
        let mut recovered = Vec::new();
        for kind in [layout::HEAD, layout::VERSION, layout::UPLOAD] {
            let mut range = KeyRange::prefix(vec![kind]);
            while let [(key, _)] = &self.kv.scan(range.clone(), Direction::Forward, 1).await?[..] {
                let id = super::super::bucket_of(key).ok_or(CatalogError::Corrupt("a key"))?;
                range.start = layout::behind(&layout::within(kind, id));
                if known.insert(id) && !displaced.has_bucket(id) {
                    recovered.push(self.recover_bucket(id, owner, region, former).await?);
                }
            }
        }
        Ok(recovered)
    }

    async fn recover_bucket(
        &self,
        id: BucketId,
        owner: &str,
        region: &str,
        former: &[Bucket],
    ) -> Result<Bucket, CatalogError> {
        let mut candidates: Vec<Bucket> = former.iter().filter(|bucket| bucket.id == id).cloned().collect();
        let has_versions = self.has_versions(id).await?;
        for name in [BucketName::recovered(id, 8), BucketName::recovered(id, 32)] {
            candidates.push(Bucket {
                name,
                id,
                owner: owner.to_owned(),
                created: Timestamp::now(),
                region: region.to_owned(),
                versioning: Versioning::Unversioned,
                configs: Default::default(),
                journal: None,
            });
        }
        for mut bucket in candidates {
            bucket.journal = None;
            if has_versions && bucket.versioning == Versioning::Unversioned {
                bucket.versioning = Versioning::Enabled;
            }
            match self.create_bucket(&bucket).await {
                Ok(()) => return Ok(bucket),
                // Its name is taken.
                Err(CatalogError::BucketExists { .. } | CatalogError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CatalogError::Corrupt("a bucket's id that two buckets have"))
    }

    /// Has the bucket versions that are not `null`?
    async fn has_versions(&self, bucket: BucketId) -> Result<bool, CatalogError> {
        let noncurrent = KeyRange::prefix(layout::within(layout::VERSION, bucket));
        if !self.kv.scan(noncurrent, Direction::Forward, 1).await?.is_empty() {
            return Ok(true);
        }
        let mut range = KeyRange::prefix(layout::within(layout::HEAD, bucket));
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            let mut records = found
                .iter()
                .filter_map(|(key, entry)| self.look::<VersionRecord>(key as &Key, Some(entry)).sound());
            if records.any(|record| !record.is_null) {
                return Ok(true);
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(false),
            }
        }
    }
}
