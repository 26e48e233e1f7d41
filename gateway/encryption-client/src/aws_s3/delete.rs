//! Objects are deleted with their instruction files.

use aws_sdk_s3::operation::delete_object::DeleteObjectOutput;
use aws_sdk_s3::operation::delete_object::builders::DeleteObjectInputBuilder;
use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::operation::delete_objects::builders::DeleteObjectsInputBuilder;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{S3EncryptionClient, failed, names};
use crate::error::Error;

impl S3EncryptionClient {
    /// Deletes an object, and then its instruction file: one without its key is lost, a key without its object is only untidy. Of an
    /// object's version the instruction file stays, which other versions may need.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn delete_object(&self, input: DeleteObjectInputBuilder) -> Result<DeleteObjectOutput, Error> {
        let (bucket, name) = names(input.get_bucket().as_ref(), input.get_key().as_ref());
        let is_version = input.get_version_id().is_some();
        let output = input.send_with(&self.sdk).await.map_err(failed)?;
        if !is_version {
            let file = self.sdk.delete_object().bucket(bucket).key(self.instruction_file(&name));
            file.send().await.map_err(failed)?;
        }
        Ok(output)
    }

    /// Deletes up to 1000 objects, and then the instruction files of those that S3 deleted. The answer is that of the objects.
    ///
    /// # Errors
    /// When S3 refuses one of the two requests.
    pub async fn delete_objects(
        &self,
        input: DeleteObjectsInputBuilder,
    ) -> Result<DeleteObjectsOutput, Error> {
        let bucket = input.get_bucket().clone().unwrap_or_default();
        let asked = input.get_delete().as_ref().map(|delete| delete.objects().to_vec()).unwrap_or_default();
        let output = input.send_with(&self.sdk).await.map_err(failed)?;
        let kept: Vec<&str> = output.errors().iter().filter_map(|error| error.key()).collect();
        let files =
            asked.iter().filter(|object| object.version_id().is_none() && !kept.contains(&object.key()));
        let files =
            files.map(|object| ObjectIdentifier::builder().key(self.instruction_file(object.key())).build());
        let files: Vec<ObjectIdentifier> =
            files.collect::<Result<_, _>>().map_err(|error| Error::Store(Box::new(error)))?;
        if !files.is_empty() {
            let delete = Delete::builder().set_objects(Some(files)).quiet(true).build();
            let delete = delete.map_err(|error| Error::Store(Box::new(error)))?;
            self.sdk.delete_objects().bucket(bucket).delete(delete).send().await.map_err(failed)?;
        }
        Ok(output)
    }
}
