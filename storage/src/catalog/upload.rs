//! Uploads in progress. The upload's record is what ends them: every part's commit is conditional on it, Complete and
//! Abort delete it.

use super::bucket::in_bucket;
use super::damage::Found;
use super::displaced::{displaced_blob, displaced_parts};
use super::listing::Behind;
use super::record::{PartRecord, Record, UploadRecord, VersionRecord, stamp_us};
use super::usage::{Change, account_quota_key};
use super::{
    Bucket, Catalog, CatalogError, Layout, ListPage, ListRequest, ObjectVersion, Part, Precondition, Upload,
    VersionKind, layout, unchanged,
};
use crate::kv::{Condition, Transaction, Write};
use crate::name::{ObjectKey, UploadId};

impl Catalog {
    /// Begins an upload.
    pub async fn create_upload(&self, bucket: &Bucket, upload: &Upload) -> Result<(), CatalogError> {
        let keys = [layout::bucket(&bucket.name), layout::upload(bucket.id, &upload.object, upload.id)];
        let head = layout::head(bucket.id, &upload.object);
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, current] = self.get([keys[0].clone(), head.clone()]).await?;
            let (mut transaction, _) = in_bucket(bucket, &keys[0], &found_bucket)?;
            let record = UploadRecord::of(upload, stamp_us());
            // A write between this read and the commit counts as one after the upload was created.
            let record = match self.look::<VersionRecord>(&head, current.as_ref()) {
                Found::Absent => record.begun_over(None),
                Found::Sound(current) => record.begun_over(Some(current.version)),
                Found::Damaged => record,
            }
            .encode();
            transaction.conditions.push(Condition::Absent(keys[1].clone()));
            transaction.writes.push(Write::Put(keys[1].clone(), record.clone()));
            transaction.upload_came();
            if attempts.commit(transaction).await? {
                self.account_for(upload.journal.map(|blob| blob.id));
                return Ok(());
            }
        }
    }

    /// An upload of this object.
    pub async fn upload(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        id: UploadId,
    ) -> Result<Upload, CatalogError> {
        let [found] = self.get([layout::upload(bucket.id, object, id)]).await?;
        let found = found.ok_or(CatalogError::NoSuchUpload)?;
        Ok(UploadRecord::decode(&found.value)?.into_upload(object.clone(), id))
    }

    /// Records a part, displacing an earlier one of its number. Fails with `NoSuchUpload` if the upload ended meanwhile.
    pub async fn put_part(&self, bucket: &Bucket, upload: &Upload, part: &Part) -> Result<(), CatalogError> {
        let keys = [
            layout::bucket(&bucket.name),
            layout::upload(bucket.id, &upload.object, upload.id),
            layout::part(upload.id.0, part.number.get()),
            account_quota_key(&bucket.owner),
        ];
        let record = PartRecord::of(part, stamp_us());
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, found_upload, former, quota] = self.get(keys.clone()).await?;
            let (mut transaction, _) = in_bucket(bucket, &keys[0], &found_bucket)?;
            transaction.limit(bucket, quota.as_ref())?;
            let found = found_upload.as_ref().ok_or(CatalogError::NoSuchUpload)?;
            transaction.conditions.push(Condition::At(keys[1].clone(), found.revision));
            transaction.conditions.push(unchanged(&keys[2], &former));
            transaction.writes.push(Write::Put(keys[2].clone(), record.encode()));
            let replaced = self.look::<PartRecord>(&keys[2], former.as_ref());
            if matches!(replaced, Found::Damaged) {
                transaction.doubt();
            }
            let replaced = replaced.sound();
            transaction.part_came(upload.id.0, &record, replaced.as_ref());
            if former.is_some() {
                if let Some(former) = replaced.filter(|former| former.blob != part.blob) {
                    transaction.writes.push(displaced_blob(Some(upload.id.0), former.blob));
                }
                // A Complete that has read the former part must fail.
                let mut upload = UploadRecord::decode(&found.value)?;
                upload.replacements = upload.replacements.wrapping_add(1);
                transaction.writes.push(Write::Put(keys[1].clone(), upload.encode()));
            }
            if attempts.commit(transaction).await? {
                self.account_for(Some(part.blob.id));
                return Ok(());
            }
        }
    }

    /// Turns an upload into the current version: one commit writes the version, ends the upload and displaces unnamed
    /// parts and the former object. `version`'s layout is made by [`PartDirectory::of`](super::PartDirectory::of).
    /// A part that was replaced since `parts` were selected is [`CatalogError::InvalidPart`]. With a precondition that holds it is
    /// [`CatalogError::Contended`] if the object was written or deleted since the upload was created, whatever its content.
    pub async fn complete_upload(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        parts: &[Part],
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let keys = [
            layout::bucket(&bucket.name),
            layout::head(bucket.id, &upload.object),
            layout::upload(bucket.id, &upload.object, upload.id),
            layout::upload_counter(upload.id.0),
        ];
        let numbers: Vec<u16> = parts.iter().map(|part| part.number.get()).collect();
        let runs = match &version.kind {
            VersionKind::Object(object) if object.content.version == upload.id.0 => {
                match &object.content.layout {
                    Layout::Parts(directory) => directory.runs.clone(),
                    Layout::Single(_) | Layout::Inline(_) => {
                        return Err(CatalogError::Corrupt("a completed upload's layout"));
                    }
                }
            }
            _ => return Err(CatalogError::Corrupt("a completed upload's content")),
        };
        let record = VersionRecord::of(version, stamp_us());
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, found_head, found_upload, counted] = self.get(keys.clone()).await?;
            let (mut transaction, front) = in_bucket(bucket, &keys[0], &found_bucket)?;
            let found = found_upload.as_ref().ok_or(CatalogError::NoSuchUpload)?;
            let former = self.former(&keys[1], &found_head, &found_bucket, precondition)?;
            let begun = UploadRecord::decode(&found.value)?;
            let overtaken = match &former {
                Found::Absent => begun.is_overtaken(None),
                Found::Sound(former) => begun.is_overtaken(Some(former.version)),
                Found::Damaged => false,
            };
            if overtaken && *precondition != Precondition::None {
                return Err(CatalogError::Contended);
            }
            // Their blobs may have moved since, their content may not have changed.
            let stored = self.numbered_parts(upload.id.0, &numbers).await?;
            for (stored, part) in stored.iter().zip(parts) {
                if stored.etag != part.etag || stored.plain_len != part.plain_len {
                    return Err(CatalogError::InvalidPart(part.number));
                }
            }
            transaction.conditions.push(unchanged(&keys[1], &found_head));
            transaction.conditions.push(Condition::At(keys[2].clone(), found.revision));
            transaction.writes.push(Write::Delete(keys[2].clone()));
            transaction.upload_went(upload.id.0, &counted);
            // Also where all parts are named: another may commit until this does.
            transaction.writes.push(displaced_parts(upload.id.0, runs.clone()));
            transaction.writes.extend(begun.journal.map(|blob| displaced_blob(None, blob)));
            let ordered = *precondition == Precondition::None;
            self.push_version(&mut transaction, &front, &upload.object, former, record.clone(), ordered)
                .await?;
            if attempts.commit(transaction).await? {
                self.account_for_version(version);
                return Ok(());
            }
        }
    }

    /// Ends an upload and displaces its parts.
    pub async fn abort_upload(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        id: UploadId,
    ) -> Result<(), CatalogError> {
        let key = layout::upload(bucket.id, object, id);
        let keys = [layout::bucket(&bucket.name), key.clone(), layout::upload_counter(id.0)];
        let mut attempts = self.attempts(&key);
        loop {
            let [found_bucket, found, counted] = self.get(keys.clone()).await?;
            let found = found.ok_or(CatalogError::NoSuchUpload)?;
            let mut transaction = match in_bucket(bucket, &keys[0], &found_bucket) {
                Ok((transaction, _)) => transaction,
                // An upload ends whatever has become of its bucket's record.
                Err(CatalogError::Corrupt(_)) => {
                    let mut transaction = Change::new(bucket, Transaction::default());
                    transaction.conditions.push(unchanged(&keys[0], &found_bucket));
                    transaction.doubt();
                    transaction
                }
                Err(error) => return Err(error),
            };
            transaction.conditions.push(Condition::At(key.clone(), found.revision));
            transaction.writes.extend([Write::Delete(key.clone()), displaced_parts(id.0, Vec::new())]);
            transaction.upload_went(id.0, &counted);
            if let Found::Sound(upload) = self.look::<UploadRecord>(&key, Some(&found)) {
                transaction.writes.extend(upload.journal.map(|blob| displaced_blob(None, blob)));
            }
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    /// Uploads in order of object, then of initiation. `after_upload` begins behind that upload of the object `request.after`.
    pub async fn list_uploads(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
        after_upload: Option<UploadId>,
    ) -> Result<ListPage<Upload>, CatalogError> {
        let behind = match (&request.after, after_upload) {
            (Some(after), Some(id)) => {
                let object = ObjectKey::parse(after).ok();
                let key = object.map(|object| layout::successor(&layout::upload(bucket.id, &object, id)));
                key.map_or(Behind::Name, Behind::Key)
            }
            _ => Behind::Name,
        };
        self.list(&[layout::UPLOAD], bucket.id, request, behind, None, |name, key, value| {
            let object = ObjectKey::parse(name).map_err(|_| CatalogError::Corrupt("an object's name"))?;
            Ok(Some(UploadRecord::decode(value)?.into_upload(object, layout::upload_id_in(key)?)))
        })
        .await
    }
}
