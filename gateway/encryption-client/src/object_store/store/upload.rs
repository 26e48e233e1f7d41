//! Uploads in parts: one message over all of them, whose tag rides in the last one.

use std::fmt;
use std::sync::Arc;

use super::api::{self, MultipartUpload, ObjectStore, PutMode, PutPayload, PutResult, UploadPart};
use async_trait::async_trait;

use super::{InstructionFile, Result, put_instruction_file};
use crate::content::Sealer;
use crate::suite::TAG_LEN;

/// Parts are sealed in the order that they are given in. Each is held until the next one comes, since the tag belongs into the last.
pub(super) struct EncryptedUpload<S> {
    store: Arc<S>,
    upload: Box<dyn MultipartUpload>,
    /// Gone once the upload ended or can't go on.
    sealer: Option<Sealer>,
    held: Option<Vec<u8>>,
    instruction_file: Option<InstructionFile>,
}

impl<S> EncryptedUpload<S> {
    pub(super) fn new(
        store: Arc<S>,
        upload: Box<dyn MultipartUpload>,
        sealer: Sealer,
        instruction_file: Option<InstructionFile>,
    ) -> Self {
        Self { store, upload, sealer: Some(sealer), held: None, instruction_file }
    }
}

/// Makes the object of an upload whose parts are all there; its key before it, so that it is never without.
pub(super) async fn complete_upload<S: ObjectStore>(
    store: &S,
    upload: &mut dyn MultipartUpload,
    instruction_file: Option<InstructionFile>,
) -> Result<PutResult> {
    if let Some((path, file)) = instruction_file {
        put_instruction_file(store, &path, file, PutMode::Overwrite).await?;
    }
    upload.complete().await
}

fn ended() -> api::Error {
    let source = "the upload has ended, or failed at a former part".into();
    api::Error::Generic { store: "EncryptedStore", source }
}

#[async_trait]
impl<S: ObjectStore> MultipartUpload for EncryptedUpload<S> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some(mut sealer) = self.sealer.take() else { return Box::pin(std::future::ready(Err(ended()))) };
        // Room for the tag, and for what the cipher wants more than it writes.
        let mut sealed = Vec::with_capacity(data.content_length() + 2 * TAG_LEN);
        if let Err(error) = data.iter().try_for_each(|piece| sealer.update(piece, &mut sealed)) {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        self.sealer = Some(sealer);
        match self.held.replace(sealed) {
            Some(former) => self.upload.put_part(former.into()),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let sealer = self.sealer.take().ok_or_else(ended)?;
        let mut last = self.held.take().unwrap_or_default();
        sealer.finish(&mut last);
        self.upload.put_part(last.into()).await?;
        complete_upload(&*self.store, &mut *self.upload, self.instruction_file.take()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.sealer = None;
        self.upload.abort().await
    }
}

impl<S> fmt::Debug for EncryptedUpload<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedUpload").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}
