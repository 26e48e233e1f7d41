//! Uploads in parts: one message over all of them, whose tag rides in the last one.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadInputBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use super::{ROOM_LEN, S3EncryptionClient, failed, names};
use crate::content::Sealer;
use crate::description::Description;
use crate::error::Error;

/// An upload with the state of its seal. Its parts are sealed in the order that they are given in, and each is held until the next one
/// comes: the tag belongs into the last. Who drops it without completing or aborting leaves the parts at S3.
#[derive(Debug)]
pub struct MultipartUpload {
    client: S3EncryptionClient,
    bucket: String,
    key: String,
    upload_id: String,
    /// The checksums that the upload was created with. S3 takes none of parts in a completion where it was created without.
    checksum: Option<ChecksumAlgorithm>,
    /// Gone once a part could not be sealed or sent: those behind it would not be what was sealed.
    sealer: Option<Sealer>,
    held: Option<Vec<u8>>,
    parts: Vec<CompletedPart>,
    instruction_file: Option<String>,
}

impl S3EncryptionClient {
    /// Begins an upload.
    ///
    /// # Errors
    /// When no key is made, or S3 refuses.
    pub async fn create_multipart_upload(
        &self,
        input: CreateMultipartUploadInputBuilder,
        context: &Description,
    ) -> Result<MultipartUpload, Error> {
        let (key, envelope) = self.cipher.seal(context).await?;
        let (metadata, instruction_file) = self.parts(&envelope, input.get_metadata().as_ref())?;
        let (bucket, name) = names(input.get_bucket().as_ref(), input.get_key().as_ref());
        let sealer = Some(key.sealer()?);
        let created = input.set_metadata(Some(metadata)).send_with(&self.sdk).await.map_err(failed)?;
        Ok(MultipartUpload {
            client: self.clone(),
            bucket,
            key: name,
            upload_id: created.upload_id.unwrap_or_default(),
            checksum: created.checksum_algorithm,
            sealer,
            held: None,
            parts: Vec::new(),
            instruction_file,
        })
    }
}

impl MultipartUpload {
    /// The upload's id at S3.
    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Seals the next part and sends the one before it.
    ///
    /// # Errors
    /// When the object gets too long, or S3 does not take the part; the upload can only be aborted then.
    pub async fn upload_part(&mut self, plain: &[u8]) -> Result<(), Error> {
        let mut sealer = self.sealer.take().ok_or(Error::UploadEnded)?;
        let mut sealed = Vec::with_capacity(plain.len() + ROOM_LEN);
        sealer.update(plain, &mut sealed)?;
        if let Some(former) = self.held.replace(sealed) {
            self.send(former).await?;
        }
        self.sealer = Some(sealer);
        Ok(())
    }

    /// Sends the last part, and the instruction file where there is one, and makes the object.
    ///
    /// # Errors
    /// When a part failed before, or S3 refuses.
    pub async fn complete(mut self) -> Result<CompleteMultipartUploadOutput, Error> {
        let sealer = self.sealer.take().ok_or(Error::UploadEnded)?;
        let mut last = self.held.take().unwrap_or_default();
        sealer.finish(&mut last);
        self.send(last).await?;
        if let Some(file) = self.instruction_file.take() {
            self.client.put_instruction_file(&self.bucket, &self.key, file, None).await?;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts)));
        let request = self.sdk().complete_multipart_upload().bucket(&self.bucket).key(&self.key);
        let request = request.upload_id(&self.upload_id).multipart_upload(parts.build());
        request.send().await.map_err(failed)
    }

    /// Gives the upload up.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn abort(self) -> Result<(), Error> {
        let request = self.sdk().abort_multipart_upload().bucket(&self.bucket).key(&self.key);
        request.upload_id(&self.upload_id).send().await.map(drop).map_err(failed)
    }

    fn sdk(&self) -> &Client {
        self.client.sdk()
    }

    async fn send(&mut self, sealed: Vec<u8>) -> Result<(), Error> {
        let number = i32::try_from(self.parts.len() + 1).map_err(|_| Error::UploadEnded)?;
        let request = self.sdk().upload_part().bucket(&self.bucket).key(&self.key).upload_id(&self.upload_id);
        let request = request.part_number(number).set_checksum_algorithm(self.checksum.clone());
        let sent = request.body(sealed.into()).send().await.map_err(failed)?;
        let mut part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        if self.checksum.is_some() {
            part = part
                .set_checksum_crc32(sent.checksum_crc32)
                .set_checksum_crc32_c(sent.checksum_crc32_c)
                .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
                .set_checksum_sha1(sent.checksum_sha1)
                .set_checksum_sha256(sent.checksum_sha256);
        }
        self.parts.push(part.build());
        Ok(())
    }
}
