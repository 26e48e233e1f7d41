//! [`S3EncryptionClient`]: a client of aws-sdk-s3 whose objects are sealed, with the surface of AWS's encryption clients.

mod delete;
mod instruction;
mod upload;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectInputBuilder;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectInputBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};

pub use self::upload::MultipartUpload;
use crate::cipher::{ObjectCipher, Settings};
use crate::description::Description;
use crate::envelope::{Envelope, Metadata, is_reserved, without_reserved};
use crate::error::{Error, PolicyError};
use crate::hold;
use crate::keyring::Keyring;
use crate::suite::TAG_LEN;

/// The longest body of one put, in bytes, unless somebody chose another bound.
const MAX_PUT_LEN: u64 = 64 << 20;

/// A client of S3 whose objects are sealed before they leave the program.
///
/// Requests are the SDK's own inputs; each is given its encryption context. The defaults are those of AWS's clients of version 4: V3 is
/// written, nothing that does not commit to its key is read, and nothing is released before it is authenticated.
///
/// ```no_run
/// # async fn f(sdk: aws_sdk_s3::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use aws_sdk_s3::operation::{get_object::GetObjectInput, put_object::PutObjectInput};
/// use s3_encryption_client::aws_s3::S3EncryptionClient;
/// use s3_encryption_client::keyring::AesKeyring;
/// use s3_encryption_client::{Description, Settings};
///
/// let keyring = std::sync::Arc::new(AesKeyring::new(&[7; 32])?);
/// let client = S3EncryptionClient::new(sdk, keyring, Settings::new())?;
/// let context = Description::new();
/// let put = PutObjectInput::builder().bucket("b").key("report");
/// client.put_object(put, b"what nobody else may read".to_vec(), &context).await?;
/// let got = client.get_object(GetObjectInput::builder().bucket("b").key("report"), &context).await?;
/// assert_eq!(got.collect().await?, b"what nobody else may read");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct S3EncryptionClient {
    sdk: Client,
    cipher: ObjectCipher,
    max_put_len: u64,
}

/// An object that was got. Its body is plain.
#[non_exhaustive]
pub struct GotObject {
    /// What S3 answered. The body is not in it any more; length and metadata are those of the plain object, ETag and checksums those of
    /// the sealed one.
    pub output: GetObjectOutput,
    /// The body, piece by piece. With delayed authentication only its end tells whether it was authentic.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl GotObject {
    /// The whole body.
    ///
    /// # Errors
    /// When it is not what was sealed, or did not arrive.
    pub async fn collect(self) -> Result<Vec<u8>, Error> {
        let append = |mut whole: Vec<u8>, piece: Bytes| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        };
        self.body.try_fold(Vec::new(), append).await
    }
}

impl fmt::Debug for GotObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GotObject").field("output", &self.output).finish_non_exhaustive()
    }
}

/// A request without a bucket or a key. The SDK tells better, but the instruction file's name needs them before.
fn names(bucket: Option<&String>, key: Option<&String>) -> (String, String) {
    (bucket.cloned().unwrap_or_default(), key.cloned().unwrap_or_default())
}

/// What S3 answered instead, as the operation's own error: [`Error::Store`] holds it.
fn failed<E, R>(error: SdkError<E, R>) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    Error::Store(Box::new(error))
}

fn metadata_of(metadata: Option<&HashMap<String, String>>) -> Metadata {
    metadata.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl S3EncryptionClient {
    /// Seals what `sdk` puts, and opens what it gets.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(sdk: Client, keyring: Arc<dyn Keyring>, settings: Settings) -> Result<Self, Error> {
        Ok(Self { sdk, cipher: ObjectCipher::new(keyring, settings)?, max_put_len: MAX_PUT_LEN })
    }

    /// The longest body that `put_object` takes, in bytes: it is held in memory, so that the SDK can send it again. Longer ones are
    /// uploaded in parts.
    #[must_use]
    pub fn max_put_len(mut self, max: u64) -> Self {
        self.max_put_len = max;
        self
    }

    /// The client whose objects are not sealed.
    pub fn sdk(&self) -> &Client {
        &self.sdk
    }

    /// What seals and opens.
    pub fn cipher(&self) -> &ObjectCipher {
        &self.cipher
    }

    /// Seals an object. Checksums of the plain body must not be among the input: S3 would compare them with the sealed one.
    ///
    /// # Errors
    /// When the body is longer than one put may be, no key is made, or S3 refuses.
    pub async fn put_object(
        &self,
        input: PutObjectInputBuilder,
        body: impl Into<ByteStream>,
        context: &Description,
    ) -> Result<PutObjectOutput, Error> {
        let mut pieces = body.into();
        let mut sealed = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(|error| Error::Store(Box::new(error)))? {
            if sealed.len() as u64 + piece.len() as u64 > self.max_put_len {
                return Err(Error::TooLongForPut { max: self.max_put_len });
            }
            sealed.extend_from_slice(&piece);
        }
        let (key, envelope) = self.cipher.seal(context).await?;
        key.seal(&mut sealed)?;
        let (metadata, file) = self.parts(&envelope, input.get_metadata().as_ref())?;
        let (bucket, name) = names(input.get_bucket().as_ref(), input.get_key().as_ref());
        if let Some(file) = file {
            // Before the object, so that it is never without its key.
            self.put_instruction_file(&bucket, &name, file, None).await?;
        }
        let input = input.set_metadata(Some(metadata)).set_content_length(None).body(sealed.into());
        input.send_with(&self.sdk).await.map_err(failed)
    }

    /// Opens an object.
    ///
    /// # Errors
    /// When a part of it is asked for, there is none, it is not sealed, or it does not open with this keyring, context and settings.
    pub async fn get_object(
        &self,
        input: GetObjectInputBuilder,
        context: &Description,
    ) -> Result<GotObject, Error> {
        if input.get_range().is_some() || input.get_part_number().is_some() {
            return Err(PolicyError::Range.into());
        }
        let (bucket, name) = names(input.get_bucket().as_ref(), input.get_key().as_ref());
        let mut output = input.send_with(&self.sdk).await.map_err(failed)?;
        let metadata = metadata_of(output.metadata());
        let (envelope, _) = self.envelope_of(&bucket, &name, &metadata).await?;
        let key = self.cipher.open(&envelope, context).await?;
        let sealed_len = output.content_length().and_then(|len| u64::try_from(len).ok());
        let sealed = try_unfold(std::mem::take(&mut output.body), |mut body| async {
            let piece = body.try_next().await.map_err(|error| Error::Store(Box::new(error)))?;
            Ok(piece.map(|piece| (piece, body)))
        });
        let body = hold::open(key, &self.cipher.settings().release, sealed_len, sealed.boxed()).await?;
        output.content_length =
            sealed_len.and_then(|len| envelope.plain_len(len)).and_then(|len| i64::try_from(len).ok());
        if let Some(metadata) = &mut output.metadata {
            metadata.retain(|name, _| !is_reserved(name));
        }
        Ok(GotObject { output, body })
    }

    /// An object's own metadata with its envelope, and the instruction file where there is one.
    fn parts(
        &self,
        envelope: &Envelope,
        own: Option<&HashMap<String, String>>,
    ) -> Result<(HashMap<String, String>, Option<String>), Error> {
        let mut metadata = own.cloned().unwrap_or_default();
        without_reserved(metadata.keys().map(String::as_str))?;
        let parts = envelope.to_parts(self.cipher.settings().placement)?;
        metadata.extend(parts.metadata);
        Ok((metadata, parts.instruction_file))
    }
}

/// How long a sealed part may be more than its plain bytes: the tag, and what the cipher wants to write into.
const ROOM_LEN: usize = 2 * TAG_LEN;
