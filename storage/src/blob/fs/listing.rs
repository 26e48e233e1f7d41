//! Walks over all blobs in the order of their ids: for listings and for scrubs.

use std::fs::File;
use std::io;

use super::address::{Address, FileAddress, FrameAddress};
use super::file::{Files, Tail};
use super::frame::Scan;
use super::segment::{SEGMENT_HEADER_LEN, Segments};
use crate::blob::{BlobInfo, BlobRef, StoredLen};
use crate::name::{BlobId, Timestamp};

/// One blob met.
#[derive(Debug)]
pub(super) enum Row {
    /// As it was written, as far as was looked.
    Sound(BlobInfo),
    /// Not as it was written, and why.
    Damaged(BlobId, &'static str),
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Enough for a listing: of a file its tail. Frames are always read whole.
    Rows,
    /// Every stored byte.
    Content,
}

impl Row {
    /// The blob.
    pub fn id(&self) -> BlobId {
        match self {
            Self::Sound(info) => info.blob.id,
            Self::Damaged(id, _) => *id,
        }
    }

    /// The row of a listing; damage is logged.
    pub fn sound(self) -> Option<BlobInfo> {
        match self {
            Self::Sound(info) => Some(info),
            Self::Damaged(blob, why) => {
                tracing::error!(%blob, why, "a damaged blob is left out of a listing");
                None
            }
        }
    }
}

/// Up to `limit` blobs with ids above `after`.
pub(super) fn page(
    files: &Files,
    segments: &Segments,
    after: Option<BlobId>,
    limit: usize,
    depth: Depth,
) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let first_frame = match after.as_ref().and_then(Address::parse) {
        Some(Address::Frame(address)) => address,
        other => {
            let after = match other {
                Some(Address::File(address)) => Some(address),
                _ => None,
            };
            page_of_files(files, after, limit, depth, &mut rows)?;
            FrameAddress { segment: 0, offset: 0, nonce: [0; 6] }
        }
    };
    page_of_frames(segments, first_frame, limit, &mut rows)?;
    Ok(rows)
}

fn page_of_files(
    files: &Files,
    mut after: Option<FileAddress>,
    limit: usize,
    depth: Depth,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    while rows.len() < limit {
        let page = files.list(after, limit - rows.len())?;
        let Some(&last) = page.last() else { break };
        after = Some(last);
        for address in page {
            let id = address.id();
            let file = match File::open(files.path(address)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            rows.push(match Tail::read(&file, &id)? {
                Err(why) => Row::Damaged(id, why),
                Ok(tail) if depth == Depth::Content && !tail.fits(&file)? => {
                    Row::Damaged(id, "the checksum of its content is wrong")
                }
                Ok(tail) => Row::Sound(BlobInfo {
                    blob: BlobRef { id, stored_len: StoredLen(tail.stored_len) },
                    owner: tail.owner,
                    finished: Timestamp(address.finished_ms),
                    session: address.session,
                }),
            });
        }
    }
    Ok(())
}

/// The frames behind `after` (its nonce is not looked at).
fn page_of_frames(
    segments: &Segments,
    after: FrameAddress,
    limit: usize,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    let mut number = after.segment;
    while rows.len() < limit
        && let Some(segment) = segments.from(number)
    {
        number = segment.number + 1;
        let file = match segments.file_blocking(segment.number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let snapshot = segment.snapshot();
        let resumes = segment.number == after.segment && after.offset > 0;
        let start = if resumes { u64::from(after.offset) } else { SEGMENT_HEADER_LEN };
        let mut scan = Scan::new(&file, start, snapshot.end)?;
        while rows.len() < limit
            && let Some(found) = scan.next()?
        {
            let offset = found.offset as u32;
            if (resumes && offset <= after.offset) || snapshot.dead.binary_search(&offset).is_ok() {
                continue;
            }
            let nonce = found.header.nonce;
            let id = FrameAddress { segment: segment.number, offset, nonce }.id();
            rows.push(match found.owner() {
                Some(owner) => Row::Sound(BlobInfo {
                    blob: BlobRef { id, stored_len: StoredLen(found.header.stored_len.into()) },
                    owner,
                    finished: Timestamp(found.header.finished_ms),
                    session: segment.session,
                }),
                None => Row::Damaged(id, "the checksum of its frame is wrong"),
            });
        }
    }
    Ok(())
}
