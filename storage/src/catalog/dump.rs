//! The whole catalog as lines of JSON, for a move to another engine: FORMAT.md has the form.

use serde::{Deserialize, Serialize};

use super::record::{BucketRecord, PartRecord, Record, UploadRecord, VersionRecord};
use super::{Catalog, CatalogError, SCAN_LEN, layout};
use crate::kv::{Direction, Key, KeyRange, Transaction, Write};
use crate::name::{BucketId, BucketName, ObjectKey, PartNumber, UploadId, VersionId};

/// The form's number, in its first line. A line of form 1 lacks what form 2 takes for unset; form 3 has documents besides; form 4
/// says which sending a content is.
const FORM: u32 = 4;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    SealgateCatalog(u32),
    Bucket {
        name: BucketName,
        record: BucketRecord,
    },
    Version {
        bucket: BucketId,
        object: ObjectKey,
        record: Box<VersionRecord>,
    },
    Noncurrent {
        bucket: BucketId,
        object: ObjectKey,
        record: Box<VersionRecord>,
    },
    Upload {
        bucket: BucketId,
        object: ObjectKey,
        id: UploadId,
        record: Box<UploadRecord>,
    },
    Part {
        version: VersionId,
        number: PartNumber,
        record: PartRecord,
    },
    /// Key and value of a document or of a shelf's state, in hexadecimal digits.
    Document {
        key: String,
        value: String,
    },
}

impl Catalog {
    /// The next lines, each ended by a line feed, and where to go on; begin with `None`, end when it answers `None`.
    /// Displaced blobs are not in it: they are orphans where the lines go.
    pub async fn dump(&self, after: Option<Key>) -> Result<(String, Option<Key>), CatalogError> {
        let mut lines = String::new();
        let start = match after {
            Some(after) => layout::successor(&after),
            None => {
                Line::SealgateCatalog(FORM).append_to(&mut lines);
                Key::new()
            }
        };
        let found = self.kv.scan(KeyRange { start, end: None }, Direction::Forward, SCAN_LEN).await?;
        for (key, entry) in &found {
            if entry.is_damaged() {
                self.note_damage(key);
                return Err(CatalogError::Corrupt("the log names it"));
            }
            if let Some(line) = Line::of(key, &entry.value)? {
                line.append_to(&mut lines);
            }
        }
        let next = found.last().filter(|_| found.len() == SCAN_LEN).map(|(last, _)| last.clone());
        Ok((lines, next))
    }

    /// Puts lines that [`Catalog::dump`] wrote: all in one commit, so give some hundred at once.
    pub async fn load<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Result<(), CatalogError> {
        let mut writes = Vec::new();
        for line in lines {
            let line: Line =
                serde_json::from_str(line).map_err(|_| CatalogError::Corrupt("a line of a dump"))?;
            writes.extend(line.write()?);
        }
        writes.push(Write::Delete(layout::COUNTED));
        Ok(self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?)
    }

    /// Does it hold nothing but sessions and what they do, and counters?
    pub async fn is_empty(&self) -> Result<bool, CatalogError> {
        let mut start = Key::new();
        // In their order.
        for kind in [layout::SESSION, layout::LEASE, layout::COUNTER, layout::BEAT] {
            let KeyRange { start: kind, end } = KeyRange::prefix(vec![kind]);
            let between = KeyRange { start, end: Some(kind) };
            if !self.kv.scan(between, Direction::Forward, 1).await?.is_empty() {
                return Ok(false);
            }
            start = end.unwrap_or_default();
        }
        if !self.kv.scan(KeyRange { start, end: None }, Direction::Forward, 1).await?.is_empty() {
            return Ok(false);
        }
        Ok(true)
    }
}

impl Line {
    /// The line of an entry; `None` for what a dump leaves out.
    fn of(key: &Key, value: &[u8]) -> Result<Option<Self>, CatalogError> {
        let kind = key.first().copied().unwrap_or_default();
        let corrupt = |_| CatalogError::Corrupt("a key");
        let bucket_and_object = || {
            let bucket = key.get(1..17).and_then(|id| id.try_into().ok()).map(BucketId::from_bytes);
            let bucket = bucket.ok_or(CatalogError::Corrupt("a key"))?;
            let object = ObjectKey::parse(&layout::name_in(key, 17)?).map_err(corrupt)?;
            Ok::<_, CatalogError>((bucket, object))
        };
        Ok(Some(match kind {
            layout::BUCKET => {
                let name = str::from_utf8(&key[1..]).map_err(|_| CatalogError::Corrupt("a key"))?;
                Self::Bucket {
                    name: BucketName::parse(name).map_err(corrupt)?,
                    record: BucketRecord::decode(value)?,
                }
            }
            layout::HEAD => {
                let (bucket, object) = bucket_and_object()?;
                Self::Version { bucket, object, record: Box::new(VersionRecord::decode(value)?) }
            }
            layout::VERSION => {
                let (bucket, object) = bucket_and_object()?;
                Self::Noncurrent { bucket, object, record: Box::new(VersionRecord::decode(value)?) }
            }
            layout::UPLOAD => {
                let (bucket, object) = bucket_and_object()?;
                let id = layout::upload_id_in(key)?;
                Self::Upload { bucket, object, id, record: Box::new(UploadRecord::decode(value)?) }
            }
            layout::PART => {
                let number = layout::part_number(key)?;
                let version = key[1..17].try_into().map_err(|_| CatalogError::Corrupt("a key"))?;
                Self::Part {
                    version: VersionId::from_bytes(version),
                    number: PartNumber::new(number.into()).map_err(corrupt)?,
                    record: PartRecord::decode(value)?,
                }
            }
            layout::DOCUMENT => Self::Document { key: hex::encode(key), value: hex::encode(value) },
            layout::DISPLACED | layout::COMPLETED | layout::CONTENT | layout::BARE => return Ok(None),
            layout::SESSION | layout::BEAT | layout::LEASE | layout::COUNTER => return Ok(None),
            _ => return Err(CatalogError::Corrupt("a key of unknown kind")),
        }))
    }

    fn write(self) -> Result<Vec<Write>, CatalogError> {
        Ok(vec![match self {
            Self::SealgateCatalog(1..=FORM) => return Ok(Vec::new()),
            Self::SealgateCatalog(_) => return Err(CatalogError::Corrupt("a dump of a newer form")),
            Self::Bucket { name, record } => Write::Put(layout::bucket(&name), record.encode()),
            Self::Version { bucket, object, record } => {
                Write::Put(layout::head(bucket, &object), record.encode())
            }
            Self::Noncurrent { bucket, object, record } => return Ok(record.as_noncurrent(bucket, &object)),
            Self::Upload { bucket, object, id, record } => {
                Write::Put(layout::upload(bucket, &object, id), record.encode())
            }
            Self::Part { version, number, record } => {
                Write::Put(layout::part(version, number.get()), record.encode())
            }
            Self::Document { key, value } => {
                let bytes = |digits| hex::decode(digits).map_err(|_| CatalogError::Corrupt("a document"));
                let key: Key = bytes(key)?.into();
                if key.first() != Some(&layout::DOCUMENT) {
                    return Err(CatalogError::Corrupt("a document"));
                }
                Write::Put(key, bytes(value)?.into())
            }
        }])
    }

    fn append_to(&self, lines: &mut String) {
        lines.push_str(&serde_json::to_string(self).expect("a line has only text keys"));
        lines.push('\n');
    }
}
