//! Envelopes of objects in a store.

use super::api::path::Path;
use super::api::{
    self, Attribute, Attributes, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    UpdateVersion,
};

use super::{Result, instruction_file, metadata_of};
use crate::envelope::{Envelope, INSTRUCTION_FILE_METADATA, Located, MAX_INSTRUCTION_FILE_LEN, Placement};
use crate::error::{EnvelopeError, Error};

/// An object's envelope, and where it was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredEnvelope {
    /// The envelope.
    pub envelope: Envelope,
    /// Where its key is.
    pub placement: Placement,
    /// The sealed object, as the store tells of it: its size is that of the sealed body.
    pub object: ObjectMeta,
    /// The version of the instruction file, where the key is in one.
    instruction_file: Option<UpdateVersion>,
}

/// Reads the envelope of an object, for which no key is needed. Without a suffix of instruction files none is looked for.
///
/// # Errors
/// When there is no such object, or it has no envelope, or one that is malformed.
pub async fn read_envelope<S: ObjectStore + ?Sized>(
    store: &S,
    location: &Path,
    instruction_file_suffix: Option<&str>,
) -> Result<StoredEnvelope> {
    let head = store.get_opts(location, GetOptions::new().with_head(true)).await?;
    let (envelope, instruction_file) =
        complete(store, location, &head.attributes, instruction_file_suffix).await?;
    let placement = if instruction_file.is_some() { Placement::InstructionFile } else { Placement::Metadata };
    Ok(StoredEnvelope { envelope, placement, object: head.meta, instruction_file })
}

/// The envelope of an object that has these attributes, and the version of the instruction file that completes it.
pub(super) async fn complete<S: ObjectStore + ?Sized>(
    store: &S,
    location: &Path,
    attributes: &Attributes,
    instruction_file_suffix: Option<&str>,
) -> Result<(Envelope, Option<UpdateVersion>)> {
    let partial = match Envelope::locate(&metadata_of(attributes)).map_err(Error::from)? {
        Located::Whole(envelope) => return Ok((*envelope, None)),
        Located::Partial(partial) => partial,
    };
    let Some(suffix) = instruction_file_suffix else { return Err(Error::NotEncrypted.into()) };
    let file = match store.get(&instruction_file(location, suffix)?).await {
        Ok(file) if file.meta.size > MAX_INSTRUCTION_FILE_LEN => {
            let why = "it is too long".to_owned();
            return Err(Error::from(EnvelopeError::InstructionFile(why)).into());
        }
        Ok(file) => file,
        Err(api::Error::NotFound { .. }) => return Err(Error::NotEncrypted.into()),
        Err(error) => return Err(error),
    };
    let version = UpdateVersion { e_tag: file.meta.e_tag.clone(), version: file.meta.version.clone() };
    Ok((partial.complete(&file.bytes().await?)?, Some(version)))
}

/// Writes an instruction file anew.
pub(super) async fn put_instruction_file<S: ObjectStore + ?Sized>(
    store: &S,
    location: &Path,
    file: String,
    mode: PutMode,
) -> Result<()> {
    let marker = Attribute::Metadata(INSTRUCTION_FILE_METADATA.into());
    let options =
        PutOptions { attributes: Attributes::from_iter([(marker, "")]), mode, ..PutOptions::default() };
    store.put_opts(location, file.into_bytes().into(), options).await.map(drop)
}

impl StoredEnvelope {
    /// Writes only over the instruction file that was read: another one belongs to another body by now.
    pub(super) fn replacing(&self) -> PutMode {
        self.instruction_file.clone().map_or(PutMode::Create, PutMode::Update)
    }
}
