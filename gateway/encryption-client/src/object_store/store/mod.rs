//! A store over one version of the crate object_store: `api`, which is the parent's.

mod envelope;
mod read;
mod stream;
mod upload;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};

pub use self::envelope::{StoredEnvelope, read_envelope};
use self::envelope::{complete, put_instruction_file};
use self::upload::EncryptedUpload;
use super::api::path::Path;
use super::api::{
    self, Attribute, Attributes, CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use crate::cipher::{ObjectCipher, Settings};
use crate::description::Description;
use crate::envelope::{Metadata, Parts, is_reserved, without_reserved};
use crate::error::{Error, PolicyError};
use crate::keyring::Keyring;
use crate::{Envelope, Placement, Sealer, content};

type Result<T> = api::Result<T>;

/// Where an instruction file goes, and what is in it.
type InstructionFile = (Path, String);

/// Deletions that are under way at once.
const CONCURRENT_DELETIONS: usize = 10;

/// What is done for who asks for a part of an object. A part can't be authenticated: the tag is one over all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ranges {
    /// It is refused.
    #[default]
    Refuse,
    /// The whole object is read and authenticated, and the part cut out: safe, and as expensive as it sounds.
    FetchWhole,
    /// The part alone is read and **not authenticated**: whoever can write to the store can flip any bit of it.
    Unauthenticated,
}

/// A store whose objects are sealed before they leave the program.
///
/// Sizes, in listings too, are those of the plain bodies: the store is taken to hold objects that AES-GCM sealed and, if they are not
/// hidden, their instruction files. ETags are those of the sealed ones, so conditions hold.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use object_store::{ObjectStoreExt, memory::InMemory};
/// use s3_encryption_client::keyring::AesKeyring;
/// use s3_encryption_client::object_store::EncryptedStore;
/// use s3_encryption_client::Settings;
///
/// let keyring = std::sync::Arc::new(AesKeyring::new(&[7; 32])?);
/// let store = EncryptedStore::new(InMemory::new(), keyring, Settings::new())?;
/// store.put(&"a/b".into(), "what nobody else may read".into()).await?;
/// assert_eq!(store.get(&"a/b".into()).await?.bytes().await?, "what nobody else may read");
/// assert_ne!(store.inner().get(&"a/b".into()).await?.bytes().await?, "what nobody else may read");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EncryptedStore<S> {
    inner: Arc<S>,
    cipher: ObjectCipher,
    context: Description,
    ranges: Ranges,
    reads_instruction_files: bool,
    hides_instruction_files: bool,
}

impl<S: ObjectStore> EncryptedStore<S> {
    /// Seals what is put into `inner`, and opens what is got from it.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(inner: S, keyring: Arc<dyn Keyring>, settings: Settings) -> std::result::Result<Self, Error> {
        Ok(Self {
            inner: Arc::new(inner),
            cipher: ObjectCipher::new(keyring, settings)?,
            context: Description::new(),
            ranges: Ranges::default(),
            reads_instruction_files: true,
            hides_instruction_files: false,
        })
    }

    /// The encryption context that objects are sealed with, and must have been.
    #[must_use]
    pub fn context(mut self, context: impl Into<Description>) -> Self {
        self.context = context.into();
        self
    }

    /// What is done for who asks for a part of an object.
    #[must_use]
    pub fn ranges(mut self, ranges: Ranges) -> Self {
        self.ranges = ranges;
        self
    }

    /// Leaves instruction files out of listings.
    #[must_use]
    pub fn hide_instruction_files(mut self) -> Self {
        self.hides_instruction_files = true;
        self
    }

    /// Reads, copies and deletes no instruction files: for stores that have none, whose deletions then take one request each.
    #[must_use]
    pub fn ignore_instruction_files(mut self) -> Self {
        self.reads_instruction_files = false;
        self
    }

    /// The store of the sealed objects.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What seals and opens.
    pub fn cipher(&self) -> &ObjectCipher {
        &self.cipher
    }

    /// The envelope of an object.
    ///
    /// # Errors
    /// When there is no such object, or it has none.
    pub async fn envelope(&self, location: &Path) -> Result<StoredEnvelope> {
        read_envelope(&*self.inner, location, self.suffix()).await
    }

    /// Wraps the key of an object with an instruction file anew, by another keyring; the body is not touched. Who has written the object
    /// again meanwhile wins: the new key would not be his body's.
    ///
    /// # Errors
    /// When the object has no instruction file, does not open with this store's keyring, or can't be written;
    /// [`Precondition`](api::Error::Precondition) when it was written meanwhile.
    pub async fn rewrap(&self, location: &Path, to: &dyn Keyring, context: &Description) -> Result<()> {
        let stored = self.envelope(location).await?;
        if stored.placement == Placement::Metadata {
            let refused = PolicyError::InstructionFile(
                "rewrapping a key in the object's metadata: it needs a new object, and",
            );
            return Err(Error::from(refused).into());
        }
        let rewrapped = self.cipher.rewrap(&stored.envelope, &self.context, to, context).await?;
        let Parts { instruction_file, .. } =
            rewrapped.to_parts(Placement::InstructionFile).map_err(Error::from)?;
        let (file, name) = (instruction_file.unwrap_or_default(), self.instruction_file(location)?);
        put_instruction_file(&*self.inner, &name, file, stored.replacing()).await
    }

    async fn envelope_of(&self, location: &Path, attributes: &Attributes) -> Result<Envelope> {
        complete(&*self.inner, location, attributes, self.suffix()).await.map(|(envelope, _)| envelope)
    }

    /// What the names of instruction files end with; `None` if none is read.
    fn suffix(&self) -> Option<&str> {
        self.reads_instruction_files.then_some(self.cipher.settings().instruction_file_suffix.as_str())
    }

    fn instruction_file(&self, location: &Path) -> Result<Path> {
        instruction_file(location, &self.cipher.settings().instruction_file_suffix)
    }

    async fn copy_instruction_file(&self, from: &Path, to: &Path) -> Result<()> {
        if !self.reads_instruction_files {
            return Ok(());
        }
        match self.inner.copy(&self.instruction_file(from)?, &self.instruction_file(to)?).await {
            Ok(()) | Err(api::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload in parts, whose instruction file is to be put at its end.
    async fn begin(
        &self,
        location: &Path,
        mut options: PutMultipartOptions,
    ) -> Result<(Sealer, Box<dyn MultipartUpload>, Option<InstructionFile>)> {
        let (key, envelope) = self.cipher.seal(&self.context).await?;
        let (attributes, file) = self.attributes(options.attributes, &envelope)?;
        options.attributes = attributes;
        let file = file.map(|file| self.instruction_file(location).map(|path| (path, file))).transpose()?;
        let upload = self.inner.put_multipart_opts(location, options).await?;
        Ok((key.sealer()?, upload, file))
    }

    /// Puts a body that is all there.
    async fn put_whole(
        &self,
        location: &Path,
        mut body: Vec<u8>,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if self.cipher.settings().placement == Placement::InstructionFile
            && options.mode != PutMode::Overwrite
        {
            return Err(Error::from(PolicyError::InstructionFile("a conditional put")).into());
        }
        let (key, envelope) = self.cipher.seal(&self.context).await?;
        let (attributes, file) = self.attributes(options.attributes, &envelope)?;
        options.attributes = attributes;
        key.seal(&mut body)?;
        if let Some(file) = file {
            put_instruction_file(&*self.inner, &self.instruction_file(location)?, file, PutMode::Overwrite)
                .await?;
        }
        self.inner.put_opts(location, body.into(), options).await
    }

    /// What an object's own attributes and its envelope make, and the instruction file where there is one.
    fn attributes(
        &self,
        mut attributes: Attributes,
        envelope: &Envelope,
    ) -> Result<(Attributes, Option<String>)> {
        let names = attributes.iter().filter_map(|(attribute, _)| match attribute {
            Attribute::Metadata(name) => Some(name.as_ref()),
            _ => None,
        });
        without_reserved(names).map_err(Error::from)?;
        let parts = envelope.to_parts(self.cipher.settings().placement).map_err(Error::from)?;
        for (name, value) in parts.metadata {
            attributes.insert(Attribute::Metadata(Cow::Owned(name)), value.into());
        }
        Ok((attributes, parts.instruction_file))
    }

    /// What a listing tells of an object; `None` if it hides it.
    fn listed(&self) -> impl Fn(ObjectMeta) -> Option<ObjectMeta> + Send + use<S> {
        let suffix = self.cipher.settings().instruction_file_suffix.clone();
        let hides = self.hides_instruction_files;
        move |mut meta| {
            if meta.location.as_ref().ends_with(&suffix) {
                return (!hides).then_some(meta);
            }
            meta.size = content::plain_len(meta.size).unwrap_or(meta.size);
            Some(meta)
        }
    }
}

fn instruction_file(location: &Path, suffix: &str) -> Result<Path> {
    Ok(Path::parse(format!("{location}{suffix}"))?)
}

fn metadata_of(attributes: &Attributes) -> Metadata {
    let named = attributes.iter().filter_map(|(attribute, value)| match attribute {
        Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
        _ => None,
    });
    named.collect()
}

/// The attributes without the envelope.
fn plain_attributes(attributes: Attributes) -> Attributes {
    let is_own = |attribute: &Attribute| !matches!(attribute, Attribute::Metadata(name) if is_reserved(name));
    let own = attributes.iter().filter(|(attribute, _)| is_own(attribute));
    own.map(|(attribute, value)| (attribute.clone(), value.clone())).collect()
}

impl From<Error> for api::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(source) => match source.downcast::<Self>() {
                Ok(own) => *own,
                Err(source) => Self::Generic { store: "EncryptedStore", source },
            },
            Error::Policy(_) => Self::NotSupported { source: Box::new(error) },
            error => Self::Generic { store: "EncryptedStore", source: Box::new(error) },
        }
    }
}

impl<S: ObjectStore> fmt::Debug for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedStore")
            .field("inner", &self.inner)
            .field("cipher", &self.cipher)
            .finish_non_exhaustive()
    }
}

impl<S: ObjectStore> fmt::Display for EncryptedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedStore({})", self.inner)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for EncryptedStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut body = Vec::with_capacity(payload.content_length() + crate::suite::TAG_LEN);
        payload.iter().for_each(|piece| body.extend_from_slice(piece));
        self.put_whole(location, body, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (sealer, upload, file) = self.begin(location, options).await?;
        Ok(Box::new(EncryptedUpload::new(self.inner.clone(), upload, sealer, file)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.ranges == Ranges::FetchWhole && ranges.len() > 1 {
            // Once for all of them.
            let whole = self.read(location, GetOptions::default()).await?.bytes().await?;
            let cut = |range: &Range<u64>| {
                let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
                (from < to && from < whole.len()).then(|| whole.slice(from..to.min(whole.len())))
            };
            return ranges
                .iter()
                .map(|range| cut(range).ok_or_else(|| read::no_such_range(location)))
                .collect();
        }
        api::coalesce_ranges(ranges, |range| self.get_range(location, range), 1 << 20).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if !self.reads_instruction_files {
            return self.inner.delete_stream(locations);
        }
        let (inner, suffix) = (self.inner.clone(), self.cipher.settings().instruction_file_suffix.clone());
        locations
            .map(move |location| {
                let (inner, suffix) = (inner.clone(), suffix.clone());
                async move {
                    let location = location?;
                    // The object first: one without its key is lost, a key without its object is only untidy.
                    inner.delete(&location).await?;
                    match inner.delete(&instruction_file(&location, &suffix)?).await {
                        Ok(()) | Err(api::Error::NotFound { .. }) => Ok(location),
                        Err(error) => Err(error),
                    }
                }
            })
            .buffered(CONCURRENT_DELETIONS)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed();
        self.inner.list(prefix).try_filter_map(move |meta| std::future::ready(Ok(listed(meta)))).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed();
        let metas = self.inner.list_with_offset(prefix, offset);
        metas.try_filter_map(move |meta| std::future::ready(Ok(listed(meta)))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await?;
        Ok(ListResult { objects: listed.objects.into_iter().filter_map(self.listed()).collect(), ..listed })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        // A sealed body does not know its name, so the store copies it, envelope and all.
        let is_conditional = options.mode != CopyMode::Overwrite;
        // Before the object, so that it is never without its key; behind it where the object may not be written at all.
        if !is_conditional {
            self.copy_instruction_file(from, to).await?;
        }
        self.inner.copy_opts(from, to, options).await?;
        if is_conditional { self.copy_instruction_file(from, to).await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
