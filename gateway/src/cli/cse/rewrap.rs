//! Data keys in instruction files under another key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::stream::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path as Name;
use s3_encryption_client::{ObjectCipher, Placement, Release};
use serde::{Deserialize, Serialize};

use super::connection::{Connection, EndpointArgs, FormatArgs, Store};
use super::keys::{KeyArgs, Keys, NewKeyArgs};
use super::place::S3Url;
use super::{CONCURRENT, told};
use crate::cli::progress::Progress;
use crate::cli::report::Report;

/// How often a checkpoint is written.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How often an object is read again that somebody wrote meanwhile.
const ATTEMPTS: usize = 4;

#[derive(Args)]
pub(in crate::cli) struct RewrapArgs {
    /// The object: s3://BUCKET/NAME
    object: S3Url,
    /// All objects whose name begins with this one and a slash, and that have an instruction file
    #[arg(long, short)]
    recursive: bool,
    /// Note down in this file how far it has come, and go on from there if the file is there; it is deleted at the end
    #[arg(long, value_name = "FILE", requires = "recursive")]
    checkpoint: Option<PathBuf>,
    /// One JSON object: counts, faults (kind, name, detail), clean
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    new_keys: NewKeyArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

/// Wraps anew.
struct Rewrapper {
    store: Store,
    new: Keys,
    /// Opens what is under the new key already.
    new_cipher: ObjectCipher,
}

enum Outcome {
    Rewrapped,
    /// It was under the new key.
    Already,
}

pub(super) async fn run(args: RewrapArgs) -> anyhow::Result<ExitCode> {
    let RewrapArgs { object, recursive, checkpoint, json, keys, new_keys, format, endpoints } = args;
    ensure!(recursive || !object.is_folder, "{object} names no object: rewrap a folder with --recursive");
    let connection = Connection::of(endpoints)?;
    let store =
        connection.sealed(&object.bucket, &keys, &format, Release::Delayed, Placement::InstructionFile)?;
    let new_keys = KeyArgs::from(new_keys).or_context_of(&keys);
    let new = connection.keys(&new_keys, &format, store.inner()).context("the new key (--to-…)")?;
    let new_cipher = ObjectCipher::new(new.keyring.clone(), store.cipher().settings().clone())?;
    let rewrapper = Rewrapper { store, new, new_cipher };
    let mut report = Report::of(&["rewrapped", "under the new key already"]);
    if recursive {
        let suffix = &format.instruction_file_suffix;
        rewrapper.all(&object, suffix, checkpoint.as_deref(), &mut report).await?;
    } else {
        let outcome = rewrapper.one(&object.name).await;
        note(&mut report, &object, outcome);
    }
    Ok(report.show(json, "all is under the new key", "what is named is not under the new key"))
}

fn note(report: &mut Report, object: &S3Url, outcome: anyhow::Result<Outcome>) {
    match outcome {
        Ok(Outcome::Rewrapped) => report.count("rewrapped", 1),
        Ok(Outcome::Already) => report.count("under the new key already", 1),
        Err(error) => report.fault("not rewrapped", object.to_string(), format!("{error:#}")),
    }
}

impl Rewrapper {
    async fn one(&self, name: &Name) -> anyhow::Result<Outcome> {
        let mut attempt = 1;
        loop {
            let refused = match self.store.rewrap(name, &*self.new.keyring, &self.new.context).await {
                Ok(()) => return Ok(Outcome::Rewrapped),
                Err(object_store::Error::Precondition { .. }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                Err(error) => error,
            };
            let stored = self.store.envelope(name).await.map_err(told)?;
            let is_done = stored.placement == Placement::InstructionFile
                && self.new_cipher.open(&stored.envelope, &self.new.context).await.is_ok();
            return if is_done { Ok(Outcome::Already) } else { Err(told(refused)) };
        }
    }

    /// All objects of a folder that have instruction files, in the order of their names.
    async fn all(
        &self,
        folder: &S3Url,
        suffix: &str,
        checkpoint: Option<&Path>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut checkpoint = checkpoint.map(|file| Checkpoint::open(file, folder)).transpose()?;
        let bucket = self.store.inner();
        let files = match checkpoint.as_ref().and_then(|checkpoint| checkpoint.reached.after.as_deref()) {
            Some(after) => bucket.list_with_offset(Some(&folder.name), &Name::parse(after)?),
            None => bucket.list(Some(&folder.name)),
        };
        let mut outcomes = files
            .try_filter(|meta| std::future::ready(meta.location.as_ref().ends_with(suffix)))
            .map_err(told)
            .map(|meta| async move {
                let file = meta?.location;
                let object = folder.of(Name::parse(file.as_ref().strip_suffix(suffix).unwrap_or_default())?);
                let outcome = self.one(&object.name).await;
                anyhow::Ok((file, object, outcome))
            })
            .buffered(CONCURRENT);
        let mut progress = Progress::new("instruction files");
        while let Some((file, object, outcome)) = outcomes.try_next().await? {
            note(report, &object, outcome);
            progress.step();
            // What failed is tried again by the next run.
            if let Some(checkpoint) = checkpoint.as_mut().filter(|_| report.is_clean()) {
                checkpoint.advance(&file)?;
            }
        }
        match checkpoint {
            Some(checkpoint) if report.is_clean() => checkpoint.remove(),
            Some(checkpoint) => checkpoint.write(),
            None => Ok(()),
        }
    }
}

/// How far a rewrap has come, in a file.
struct Checkpoint {
    file: PathBuf,
    reached: Reached,
    written: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    folder: String,
    /// The name of the last instruction file up to which all are done.
    after: Option<String>,
}

impl Checkpoint {
    fn open(file: &Path, folder: &S3Url) -> anyhow::Result<Self> {
        let unusable = || format!("the checkpoint {}", file.display());
        let folder = folder.to_string();
        let reached = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice::<Reached>(&text).with_context(unusable)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Reached { folder: folder.clone(), after: None }
            }
            Err(error) => return Err(error).with_context(unusable),
        };
        ensure!(reached.folder == folder, "{} is of {}, not of {folder}", unusable(), reached.folder);
        Ok(Self { file: file.to_owned(), reached, written: Instant::now() })
    }

    fn advance(&mut self, to: &Name) -> anyhow::Result<()> {
        self.reached.after = Some(to.to_string());
        if self.written.elapsed() >= CHECKPOINT_INTERVAL {
            self.write()?;
            self.written = Instant::now();
        }
        Ok(())
    }

    fn write(&self) -> anyhow::Result<()> {
        let unwritable = || format!("can't write the checkpoint {}", self.file.display());
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(unwritable)?;
        serde_json::to_writer(&mut file, &self.reached)?;
        file.persist(&self.file).with_context(unwritable)?;
        Ok(())
    }

    fn remove(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
