//! A KMS by aws-sdk-kms.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use zeroize::Zeroizing;

use super::kms::{Generated, KmsClient, Unwrapped};
use crate::description::Description;
use crate::error::KmsError;

/// The KMS that a client of aws-sdk-kms speaks to.
#[derive(Debug, Clone)]
pub struct AwsKms(aws_sdk_kms::Client);

impl AwsKms {
    /// The KMS of this client.
    pub fn new(client: aws_sdk_kms::Client) -> Self {
        Self(client)
    }
}

fn context_of(context: &Description) -> Option<HashMap<String, String>> {
    Some(context.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn failure<E, R>(error: SdkError<E, R>) -> KmsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), message) => {
            KmsError { code: code.to_owned(), message: message.unwrap_or_default().to_owned() }
        }
        (None, _) => KmsError::unreachable(DisplayErrorContext(error)),
    }
}

fn missing(name: &str) -> KmsError {
    KmsError { code: "Incomplete".to_owned(), message: format!("the KMS did not answer {name}") }
}

fn plain(blob: Option<Blob>) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    Ok(Zeroizing::new(blob.ok_or_else(|| missing("Plaintext"))?.into_inner()))
}

#[async_trait]
impl KmsClient for AwsKms {
    async fn generate_data_key(&self, key_id: &str, context: &Description) -> Result<Generated, KmsError> {
        let request = self.0.generate_data_key().key_id(key_id).key_spec(DataKeySpec::Aes256);
        let made = request.set_encryption_context(context_of(context)).send().await.map_err(failure)?;
        let ciphertext = made.ciphertext_blob.ok_or_else(|| missing("CiphertextBlob"))?.into_inner();
        Ok(Generated { plaintext: plain(made.plaintext)?, ciphertext })
    }

    async fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Description,
    ) -> Result<Vec<u8>, KmsError> {
        let request = self.0.encrypt().key_id(key_id).plaintext(Blob::new(plaintext));
        let made = request.set_encryption_context(context_of(context)).send().await.map_err(failure)?;
        Ok(made.ciphertext_blob.ok_or_else(|| missing("CiphertextBlob"))?.into_inner())
    }

    async fn decrypt(
        &self,
        key_id: Option<&str>,
        ciphertext: &[u8],
        context: &Description,
    ) -> Result<Unwrapped, KmsError> {
        let request = self.0.decrypt().set_key_id(key_id.map(str::to_owned));
        let request = request.ciphertext_blob(Blob::new(ciphertext));
        let opened = request.set_encryption_context(context_of(context)).send().await.map_err(failure)?;
        Ok(Unwrapped { plaintext: plain(opened.plaintext)?, key_arn: opened.key_id })
    }
}
