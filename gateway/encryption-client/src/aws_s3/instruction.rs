//! Instruction files of objects at S3.

use super::{S3EncryptionClient, failed, metadata_of};
use crate::description::Description;
use crate::envelope::{
    Envelope, INSTRUCTION_FILE_METADATA, Located, MAX_INSTRUCTION_FILE_LEN, Metadata, Parts, Placement,
};
use crate::error::{EnvelopeError, Error, PolicyError};
use crate::keyring::Keyring;

impl S3EncryptionClient {
    /// Wraps the key of an object with an instruction file anew, by another keyring; the body is not touched. AWS's clients call it
    /// `reEncryptInstructionFile`. Who has written the object again meanwhile wins: S3 answers `PreconditionFailed`.
    ///
    /// # Errors
    /// When the object has no instruction file, does not open with this client's keyring, or S3 refuses.
    pub async fn reencrypt_instruction_file(
        &self,
        bucket: &str,
        key: &str,
        context: &Description,
        to: &dyn Keyring,
        new_context: &Description,
    ) -> Result<(), Error> {
        let head = self.sdk.head_object().bucket(bucket).key(key).send().await.map_err(failed)?;
        let (envelope, e_tag) = self.envelope_of(bucket, key, &metadata_of(head.metadata())).await?;
        let Some(e_tag) = e_tag else {
            let refused = "rewrapping a key in the object's metadata: it needs a new object, and";
            return Err(PolicyError::InstructionFile(refused).into());
        };
        let rewrapped = self.cipher.rewrap(&envelope, context, to, new_context).await?;
        let Parts { instruction_file, .. } = rewrapped.to_parts(Placement::InstructionFile)?;
        self.put_instruction_file(bucket, key, instruction_file.unwrap_or_default(), Some(e_tag)).await
    }

    /// The envelope of an object with this metadata, and the ETag of the instruction file that completes it.
    pub(super) async fn envelope_of(
        &self,
        bucket: &str,
        key: &str,
        metadata: &Metadata,
    ) -> Result<(Envelope, Option<String>), Error> {
        let partial = match Envelope::locate(metadata)? {
            Located::Whole(envelope) => return Ok((*envelope, None)),
            Located::Partial(partial) => partial,
        };
        let request = self.sdk.get_object().bucket(bucket).key(self.instruction_file(key));
        let mut file = match request.send().await {
            Ok(file) => file,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
                return Err(Error::NotEncrypted);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        while let Some(piece) = file.body.try_next().await.map_err(|error| Error::Store(Box::new(error)))? {
            text.extend_from_slice(&piece);
            if text.len() as u64 > MAX_INSTRUCTION_FILE_LEN {
                return Err(EnvelopeError::InstructionFile("it is too long".to_owned()).into());
            }
        }
        Ok((partial.complete(&text)?, Some(file.e_tag.unwrap_or_default())))
    }

    pub(super) fn instruction_file(&self, key: &str) -> String {
        format!("{key}{}", self.cipher.settings().instruction_file_suffix)
    }

    /// Writes an instruction file; with an ETag only over the one that has it.
    pub(super) async fn put_instruction_file(
        &self,
        bucket: &str,
        key: &str,
        file: String,
        over: Option<String>,
    ) -> Result<(), Error> {
        let request = self.sdk.put_object().bucket(bucket).key(self.instruction_file(key));
        let request = request.metadata(INSTRUCTION_FILE_METADATA, "").body(file.into_bytes().into());
        request.set_if_match(over).send().await.map(drop).map_err(failed)
    }
}
