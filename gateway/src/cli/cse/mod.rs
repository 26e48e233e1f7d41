//! `sealgate cse …`: objects that are sealed before they leave this host, at any S3, with AWS's formats (the crate s3-encryption-client).
//! It asks no gateway for anything that another S3 or KMS does not have.

mod connection;
mod copy;
mod folder;
mod inspect;
mod keys;
mod kms;
mod place;
mod profile;
mod rewrap;
mod verify;

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Subcommand;

use self::place::{Place, S3Url};

/// Objects, buckets or files that are worked on at once.
const CONCURRENT: usize = 8;

#[derive(Subcommand)]
pub(super) enum CseCommand {
    /// Seal a file, or standard input, into an object
    Put {
        /// The file; `-` is standard input
        source: Place,
        /// The object: s3://BUCKET/NAME
        target: S3Url,
        #[command(flatten)]
        options: copy::CopyArgs,
    },
    /// Open an object into a file, or to standard output
    ///
    /// The file appears when the object was authenticated to its end, and is nobody's but yours (mode 0600). Standard output gets nothing
    /// before either, unless --delayed-authentication says otherwise.
    Get {
        /// The object: s3://BUCKET/NAME
        source: S3Url,
        /// The file; `-` is standard output
        target: Place,
        #[command(flatten)]
        options: copy::CopyArgs,
    },
    /// Copy files, folders and streams to objects, objects to files, and objects to objects, which get new data keys
    ///
    /// Exit codes: 0, all was copied; 1, what is named was not.
    Cp {
        /// A file, a folder, `-` or s3://BUCKET/NAME
        source: Place,
        /// A file, a folder, `-` or s3://BUCKET/NAME
        target: Place,
        /// Copy all that is in the folder, or whose name begins with the source's and a slash; links are left out
        #[arg(long, short)]
        recursive: bool,
        #[command(flatten)]
        options: copy::CopyArgs,
    },
    /// Tell what encrypts an object, for which no key is needed
    ///
    /// Exit codes: 0, all envelopes are sound; 1, what is named has none, or one that is malformed. With --recursive objects that are not
    /// encrypted are told of and no reason for a 1.
    Inspect(inspect::InspectArgs),
    /// Wrap data keys in instruction files with another key; no body is moved
    ///
    /// Who has the former key and the former instruction file can open the object still. With --recursive all objects below the name; run
    /// again after it was cut off it goes on, from the start or from the checkpoint, and leaves what is done. Exit codes: 0, all is under
    /// the new key; 1, what is named is not.
    Rewrap(Box<rewrap::RewrapArgs>),
    /// Read objects whole and tell whether they are what was sealed
    ///
    /// Exit codes: 0, all are; 1, what is named is not; 2, it could not run.
    Verify(verify::VerifyArgs),
}

impl CseCommand {
    /// Does its exit code 1 say that it found faults?
    pub(super) fn judges(&self) -> bool {
        matches!(self, Self::Verify(_))
    }
}

pub(super) fn run(command: CseCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        match command {
            CseCommand::Put { source, target, options } => copy::put(source, target, options).await,
            CseCommand::Get { source, target, options } => copy::get(source, target, options).await,
            CseCommand::Cp { source, target, recursive: false, options } => {
                copy::copy(source, target, options).await
            }
            CseCommand::Cp { source, target, recursive: true, options } => {
                folder::copy(source, target, options).await
            }
            CseCommand::Inspect(args) => inspect::run(args).await,
            CseCommand::Rewrap(args) => rewrap::run(*args).await,
            CseCommand::Verify(args) => verify::run(args).await,
        }
    });
    // A read of standard input that nobody answers ends with the process, not before.
    runtime.shutdown_background();
    code
}

/// What a store says, without the layers that it went through.
fn told(error: object_store::Error) -> anyhow::Error {
    match error {
        object_store::Error::Generic { store: "EncryptedStore", source }
        | object_store::Error::NotSupported { source } => anyhow!(source.to_string()),
        object_store::Error::NotFound { path, .. } => anyhow!("there is no object {path}"),
        error => error.into(),
    }
}
