//! One object, file or stream at a time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};
use object_store::{Attribute, Attributes, ObjectStoreExt, PutMultipartOptions};
use parking_lot::Mutex;
use s3_encryption_client::{Placement, Release};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::connection::{Connection, EndpointArgs, FormatArgs, Store};
use super::keys::{KeyArgs, entry};
use super::place::{Place, S3Url};
use super::told;
use crate::cli::progress::Progress;

/// Bytes that are read of a file or stream at once.
const STEP_LEN: usize = 128 << 10;

#[derive(Args)]
pub(in crate::cli) struct CopyArgs {
    #[command(flatten)]
    pub(super) keys: KeyArgs,
    #[command(flatten)]
    pub(super) format: FormatArgs,
    #[command(flatten)]
    pub(super) endpoints: EndpointArgs,
    /// Put the wrapped data key into an instruction file beside the object, where `rewrap` can exchange it
    #[arg(long, help_heading = "Objects")]
    instruction_file: bool,
    /// The media type of what is put
    #[arg(long, value_name = "TYPE", help_heading = "Objects")]
    content_type: Option<String>,
    /// User metadata of what is put; it is not sealed. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry, help_heading = "Objects")]
    user_metadata: Vec<(String, String)>,
    /// Write to standard output before it is authenticated; a body that was tampered with fails only at its end
    #[arg(long, help_heading = "Objects")]
    delayed_authentication: bool,
    /// The longest body on its way to standard output that is held in memory until it is authenticated
    #[arg(long, value_name = "MIB", default_value_t = 64, help_heading = "Objects")]
    max_memory_mib: u64,
    /// Where longer ones are held, sealed
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir(), help_heading = "Objects")]
    spool: PathBuf,
}

/// Copies with these settings.
pub(super) struct Copier {
    args: CopyArgs,
    connection: Connection,
    progress: Mutex<Progress>,
}

/// Why a body was not sealed into an object.
enum Failed {
    /// It can't be read.
    Source(anyhow::Error),
    /// It can't be put.
    Store(object_store::Error),
}

impl From<object_store::Error> for Failed {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// A plain body.
pub(super) type Body = BoxStream<'static, anyhow::Result<Bytes>>;

pub(super) async fn put(source: Place, target: S3Url, args: CopyArgs) -> anyhow::Result<ExitCode> {
    ensure!(!matches!(source, Place::S3(_)), "`put` takes a file or `-`; `cp` copies objects");
    ensure!(!target.is_folder, "{target} names no object");
    copy(source, Place::S3(target), args).await
}

pub(super) async fn get(source: S3Url, target: Place, args: CopyArgs) -> anyhow::Result<ExitCode> {
    ensure!(!matches!(target, Place::S3(_)), "`get` writes a file or to `-`; `cp` copies objects");
    copy(Place::S3(source), target, args).await
}

/// Copies one.
pub(super) async fn copy(source: Place, target: Place, args: CopyArgs) -> anyhow::Result<ExitCode> {
    let copier = Copier::new(args)?;
    match (source, target) {
        (Place::S3(from), target) => {
            ensure!(!from.is_folder, "{from} names no object: copy a folder with --recursive");
            let last = from.name.filename().unwrap_or_default().to_owned();
            match target {
                Place::S3(to) => {
                    let to = if to.is_folder { to.join(&last).map_err(|why| anyhow!(why))? } else { to };
                    let (reading, writing) = (
                        copier.store(&from.bucket, copier.holding())?,
                        copier.store(&to.bucket, copier.holding())?,
                    );
                    copier.reseal(&reading, &from, &writing, &to).await?;
                }
                Place::File(file) => {
                    let file = if file.is_dir() { file.join(last) } else { file };
                    copier.get_file(&copier.store(&from.bucket, Release::Delayed)?, &from, &file).await?;
                }
                Place::Stream => {
                    let store = copier.store(&from.bucket, copier.holding())?;
                    copier.to_writer(&store, &from, std::io::stdout()).await?;
                }
            }
        }
        (source, Place::S3(to)) => {
            let to = match &source {
                Place::File(file) if to.is_folder => {
                    let name = file.file_name().and_then(|name| name.to_str());
                    to.join(name.context("the source has no name")?).map_err(|why| anyhow!(why))?
                }
                _ => to,
            };
            ensure!(!to.is_folder, "{to} names no object");
            let store = copier.store(&to.bucket, Release::Delayed)?;
            match source {
                Place::File(file) => copier.put_file(&file, &store, &to).await?,
                _ => copier.upload(pieces(tokio::io::stdin()), &store, &to, Attributes::new()).await?,
            }
        }
        _ => bail!("neither side is an s3:// URL"),
    }
    copier.done();
    Ok(ExitCode::SUCCESS)
}

impl Copier {
    pub(super) fn new(mut args: CopyArgs) -> anyhow::Result<Self> {
        let endpoints = std::mem::take(&mut args.endpoints);
        let connection = Connection::of(endpoints)?;
        Ok(Self { args, connection, progress: Mutex::new(Progress::new("objects")) })
    }

    /// What is released to who can't take it back.
    pub(super) fn holding(&self) -> Release {
        if self.args.delayed_authentication {
            return Release::Delayed;
        }
        let max_memory = self.args.max_memory_mib << 20;
        Release::AfterAuthentication { max_memory, spool: Some(self.args.spool.clone()) }
    }

    pub(super) fn store(&self, bucket: &str, release: Release) -> anyhow::Result<Store> {
        let placement =
            if self.args.instruction_file { Placement::InstructionFile } else { Placement::Metadata };
        self.connection.sealed(bucket, &self.args.keys, &self.args.format, release, placement)
    }

    pub(super) fn done(&self) {
        self.progress.lock().step();
    }

    /// Is it the name of an instruction file?
    pub(super) fn is_instruction_file(&self, name: &str) -> bool {
        name.ends_with(&self.args.format.instruction_file_suffix)
    }

    /// Seals an object anew: under a new data key, wrapped by the same key.
    pub(super) async fn reseal(
        &self,
        reading: &Store,
        from: &S3Url,
        writing: &Store,
        to: &S3Url,
    ) -> anyhow::Result<()> {
        ensure!(from != to, "source and target are the same object");
        let opened = reading.get(&from.name).await.map_err(told)?;
        let attributes = opened.attributes.clone();
        self.upload(opened.into_stream().map_err(told).boxed(), writing, to, attributes).await
    }

    pub(super) async fn put_file(&self, file: &Path, store: &Store, to: &S3Url) -> anyhow::Result<()> {
        let unreadable = || format!("can't read {}", file.display());
        let opened = tokio::fs::File::open(file).await.with_context(unreadable)?;
        ensure!(
            !opened.metadata().await?.is_dir(),
            "{} is a folder: copy it with --recursive",
            file.display()
        );
        self.upload(pieces(opened), store, to, Attributes::new()).await
    }

    /// Seals a body into an object.
    pub(super) async fn upload(
        &self,
        body: Body,
        store: &Store,
        to: &S3Url,
        mut attributes: Attributes,
    ) -> anyhow::Result<()> {
        ensure!(!self.is_instruction_file(to.name.as_ref()), "{to} would be taken for an instruction file");
        if let Some(kind) = &self.args.content_type {
            attributes.insert(Attribute::ContentType, kind.clone().into());
        }
        for (name, value) in &self.args.user_metadata {
            attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let count = |piece: &Bytes| self.progress.lock().add_bytes(piece.len() as u64);
        let body = body.map_err(Failed::Source).inspect_ok(count);
        store.put_stream(&to.name, body, options).await.map(drop).map_err(|failed| match failed {
            Failed::Source(error) => error,
            Failed::Store(error) => told(error),
        })
    }

    /// Opens an object into a file, which appears once the body was authenticated to its end: `store` may release before.
    pub(super) async fn get_file(&self, store: &Store, from: &S3Url, file: &Path) -> anyhow::Result<()> {
        let unwritable = || format!("can't write {}", file.display());
        // A device or a pipe can't appear afterwards, and who reads it can't be told to forget.
        if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
            let writer = std::fs::OpenOptions::new().write(true).open(file).with_context(unwritable)?;
            return self.to_writer(&self.store(&from.bucket, self.holding())?, from, writer).await;
        }
        let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut held = tempfile::NamedTempFile::new_in(folder).with_context(unwritable)?;
        self.to_writer(store, from, held.as_file_mut()).await?;
        held.persist(&file).with_context(unwritable)?;
        Ok(())
    }

    /// Opens an object to who takes it at once.
    async fn to_writer(&self, store: &Store, from: &S3Url, mut writer: impl Write) -> anyhow::Result<()> {
        let mut opened = store.get(&from.name).await.map_err(told)?.into_stream();
        while let Some(piece) = opened.try_next().await.map_err(told)? {
            tokio::task::block_in_place(|| writer.write_all(&piece))
                .context("can't write what was opened")?;
            self.progress.lock().add_bytes(piece.len() as u64);
        }
        tokio::task::block_in_place(|| writer.flush()).context("can't write what was opened")
    }
}

/// A body of what is read, piece by piece.
fn pieces(reader: impl AsyncRead + Unpin + Send + 'static) -> Body {
    try_unfold(reader, |mut reader| async move {
        let mut piece = BytesMut::with_capacity(STEP_LEN);
        // Never past its capacity: it would grow to twice as much.
        while piece.len() < STEP_LEN {
            let left = STEP_LEN - piece.len();
            let read = reader.read_buf(&mut (&mut piece).limit(left)).await;
            if read.context("can't read what is to be sealed")? == 0 {
                break;
            }
        }
        Ok((!piece.is_empty()).then(|| (piece.freeze(), reader)))
    })
    .boxed()
}
