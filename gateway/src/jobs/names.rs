//! What things are called to people: buckets by their names where those are known.

use std::collections::HashMap;

use storage::blob::BlobOwner;
use storage::catalog::{
    Bucket, Catalog, CatalogError, ListRequest, ListRow, ObjectVersion, bucket_of, name_of,
};
use storage::name::{BucketId, ObjectKey};

/// The buckets there are.
#[derive(Default)]
pub struct Names(HashMap<BucketId, Bucket>);

/// Buckets of one page.
const PAGE_LEN: usize = 500;

impl Names {
    /// Every bucket of a catalog whose record can be read.
    pub async fn load(catalog: &Catalog) -> Result<Self, CatalogError> {
        let (mut names, mut after) = (Self::default(), None);
        loop {
            let request = ListRequest { prefix: String::new(), delimiter: None, after, limit: PAGE_LEN };
            let page = catalog.list_buckets(None, &request).await?;
            after = None;
            for row in page.rows {
                let ListRow::Item(bucket) = row else { continue };
                after = Some(bucket.name.to_string());
                names.add(bucket);
            }
            if !page.truncated {
                return Ok(names);
            }
        }
    }

    /// One more bucket.
    pub fn add(&mut self, bucket: Bucket) {
        self.0.insert(bucket.id, bucket);
    }

    /// A bucket.
    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.0.get(&id)
    }

    /// An object.
    pub fn object(&self, bucket: BucketId, object: &ObjectKey) -> String {
        match self.bucket(bucket) {
            Some(bucket) => format!("s3://{}/{object}", bucket.name),
            None => format!("{object} of bucket {bucket}"),
        }
    }

    /// A version of an object.
    pub fn version(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        version: &ObjectVersion,
        is_current: bool,
    ) -> String {
        let object = self.object(bucket, object);
        match (is_current, version.is_null) {
            (true, _) => object,
            (false, true) => format!("{object} version null"),
            (false, false) => format!("{object} version {}", version.version),
        }
    }

    /// Text of the catalog's, in which buckets have their ids.
    pub fn in_words(&self, text: &str, bucket: Option<BucketId>) -> String {
        match bucket.and_then(|id| self.bucket(id)) {
            Some(bucket) => text.replace(&bucket.id.to_string(), bucket.name.as_str()),
            None => text.to_owned(),
        }
    }

    /// Whose a blob is.
    pub fn owner(&self, owner: &BlobOwner) -> String {
        match owner {
            BlobOwner::Content { bucket, object, version, part } => {
                let object = self.object(*bucket, object);
                match part {
                    Some(part) => format!("part {part} of {object} (upload {version})"),
                    None => format!("content {version} of {object}"),
                }
            }
            BlobOwner::Journal { subject } => {
                let subject_text = self.in_words(&name_of(subject), bucket_of(subject));
                format!("the journal of {subject_text}")
            }
        }
    }
}

/// Whose a damaged blob was, where that can still be read.
pub fn whose(names: &Names, owner: Option<&BlobOwner>) -> String {
    owner.map_or_else(
        || "whose it was can't be read any more".to_owned(),
        |owner| format!("it reads as {}", names.owner(owner)),
    )
}
