//! What keeps a data folder from being used.

use std::io;
use std::path::PathBuf;

use super::FORMAT;

/// Why a data folder can't be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The folder, or what lies beside it, can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder holds something else.
    #[error("{} is not empty and is not a Sealgate data folder; give an empty or new folder with --data", .0.display())]
    Foreign(PathBuf),
    /// There is no data folder yet.
    #[error("there is no Sealgate data folder at {}; start `sealgate serve` to make one", .0.display())]
    Absent(PathBuf),
    /// A newer program made it.
    #[error(
        "the data folder has format {found}, this program knows formats up to {FORMAT}; use a newer sealgate"
    )]
    TooNew {
        /// Its format.
        found: u32,
    },
    /// A restore into the folder did not come to its end.
    #[error("{}: a restore was cut off here; remove the folder and run `sealgate restore` again", .0.display())]
    HalfRestored(PathBuf),
    /// A move into the folder did not come to its end.
    #[error("{}: a move into this folder is under way or was cut off; run `sealgate migrate` (again)", .0.display())]
    HalfMoved(PathBuf),
    /// A rebuild of the catalog did not come to its end.
    #[error("{}: a rebuild of the catalog was cut off here; run `sealgate rebuild` again", .0.display())]
    HalfRebuilt(PathBuf),
    /// A part of the folder is not there.
    #[error("{} is missing or empty, but the data folder (id {id}) has one: put it back (is a volume not mounted?), or {way_out}", path.display())]
    NoPart {
        /// The part.
        path: PathBuf,
        /// The id that it should carry.
        id: String,
        /// What else can be done.
        way_out: &'static str,
    },
    /// A part does not say whose it is.
    #[error("{} carries no id, but should carry {id}: put the right one back, or take it as it is with `sealgate adopt`", path.display())]
    NoId {
        /// The part.
        path: PathBuf,
        /// The id that it should carry.
        id: String,
    },
    /// A part belongs to another data folder.
    #[error(
        "{} belongs to another data folder (id {found}, not {id}): put the right one back, or {way_out}; if it is the right \
         one all the same, take it with `sealgate adopt`", path.display()
    )]
    ForeignPart {
        /// The part.
        path: PathBuf,
        /// The id that it should carry.
        id: String,
        /// The one that it carries.
        found: String,
        /// What else can be done.
        way_out: &'static str,
    },
    /// The description is damaged.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Records and keys are not in the folder.
    #[error("records and keys are in a server (metadata), not in a data folder: {0}")]
    Shared(&'static str),
    /// The folder is the data folder of a gateway that keeps its records in it.
    #[error(
        "{} holds the records of a gateway without --metadata: move them with `sealgate migrate`, or give another folder with --data",
        .0.display()
    )]
    Embedded(PathBuf),
    /// There are blobs, but no records yet.
    #[error(
        "there are no records yet, but {} holds blobs: give another folder with --data, or the database that they belong to",
        .0.display()
    )]
    UsedBlobs(PathBuf),
    /// Blobs are in an object store, and it was not named.
    #[error("the blobs of {} are in an object store: name it with --blobs", .0.display())]
    BlobsElsewhere(PathBuf),
    /// Blobs are in the folder, and an object store was named.
    #[error(
        "{} holds blobs, so they can't be in an object store as --blobs says: leave it out, or move them with `sealgate migrate`",
        .0.display()
    )]
    BlobsHere(PathBuf),
    /// Credentials of the root user are not given.
    #[error(
        "gateways that share records need the same credentials of the root user: give SEALGATE_ROOT_ACCESS_KEY_ID and \
         SEALGATE_ROOT_SECRET_ACCESS_KEY, or the file {}", .0.display()
    )]
    NoCredentials(PathBuf),
    /// Another account was asked for.
    #[error("the data folder belongs to account {found}, not {asked}; leave --account-id out")]
    OtherAccount {
        /// The folder's.
        found: String,
        /// The one asked for.
        asked: String,
    },
}
