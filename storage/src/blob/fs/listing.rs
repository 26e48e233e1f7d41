//! Walks over all blobs in the order of their ids: for listings, for surveys that also tell what is damaged, and for scrubs.

use std::fs::File;
use std::io;

use super::address::{Address, FileAddress, FrameAddress};
use super::file::{Files, Tail};
use super::frame::Scan;
use super::segment::{self, SEGMENT_HEADER_LEN, Segment, Segments};
use crate::blob::{BlobInfo, BlobOwner, BlobRef, StoredLen};
use crate::name::{BlobId, Timestamp};

/// One row of a survey: a blob, or a place where other bytes lie than were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surveyed {
    /// A blob as it was written, as far as was looked.
    Sound(BlobInfo),
    /// A blob whose content is not what was written; its owner and its trailer are.
    DamagedContent(BlobInfo),
    /// A blob that can't be used.
    Damaged {
        /// Its id.
        id: BlobId,
        /// What is wrong.
        why: &'static str,
        /// Whose it was, as far as that can still be read: nothing vouches for it.
        owner: Option<BlobOwner>,
    },
    /// Bytes of a segment that are no frame any more. There may have been several blobs, or none that lived.
    Gap {
        /// The segment.
        segment: u64,
        /// Where in it.
        offset: u32,
        /// How many bytes.
        len: u64,
        /// What is wrong.
        why: &'static str,
        /// Whose the first frame of it was, as far as that can still be read: nothing vouches for it.
        owner: Option<BlobOwner>,
    },
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Enough for a listing: of a file its tail. Frames are always read whole.
    Rows,
    /// Every stored byte.
    Content,
    /// Every stored byte, those of files no faster than this. Frames are as long as a step: whoever walks keeps their pace.
    Paced {
        /// Bytes per second.
        len_per_s: u64,
    },
}

impl Surveyed {
    /// Where it lies in the order of a survey, to go on behind it: the blob's id, or one that stands for the place.
    pub fn id(&self) -> BlobId {
        match self {
            Self::Sound(info) | Self::DamagedContent(info) => info.blob.id,
            Self::Damaged { id, .. } => *id,
            Self::Gap { segment, offset, .. } => {
                // A segment's header has no frame's place, and no blob's id either.
                let nonce = if *offset == 0 { [0xff; 6] } else { [0; 6] };
                FrameAddress { segment: *segment, offset: *offset, nonce }.id()
            }
        }
    }

    /// The row of a listing; damage is logged.
    pub(super) fn sound(self) -> Option<BlobInfo> {
        match self {
            Self::Sound(info) => Some(info),
            damaged => {
                tracing::error!(place = %damaged, "a damaged blob is left out of a listing");
                None
            }
        }
    }

    fn gap(segment: &Segment, offset: u64, len: u64, why: &'static str) -> Self {
        Self::Gap { segment: segment.number, offset: offset as u32, len, why, owner: None }
    }
}

impl std::fmt::Display for Surveyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound(info) => write!(f, "blob {}", info.blob.id),
            Self::DamagedContent(info) => {
                write!(f, "blob {}: the checksum of its content is wrong", info.blob.id)
            }
            Self::Damaged { id, why, .. } => write!(f, "blob {id}: {why}"),
            Self::Gap { segment, offset, len, why, .. } => {
                write!(f, "segment {segment:010x}, {len} bytes from {offset} on: {why}")
            }
        }
    }
}

/// Up to `limit` rows behind `after`.
pub(super) fn page(
    files: &Files,
    segments: &Segments,
    after: Option<BlobId>,
    limit: usize,
    depth: Depth,
) -> io::Result<Vec<Surveyed>> {
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
    page_of_frames(segments, first_frame, limit, depth, &mut rows)?;
    Ok(rows)
}

fn page_of_files(
    files: &Files,
    mut after: Option<FileAddress>,
    limit: usize,
    depth: Depth,
    rows: &mut Vec<Surveyed>,
) -> io::Result<()> {
    while rows.len() < limit {
        let page = files.list(after, limit - rows.len())?;
        let Some(&last) = page.last() else { break };
        after = Some(last);
        for address in page {
            match row_of_file(files, address, depth) {
                Ok(row) => rows.push(row),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // One bad sector must not hide all that lies behind it.
                Err(_) => rows.push(Surveyed::Damaged { id: address.id(), why: UNREADABLE, owner: None }),
            }
        }
    }
    Ok(())
}

/// What the medium does not give back.
const UNREADABLE: &str = "the medium can't read it";

fn row_of_file(files: &Files, address: FileAddress, depth: Depth) -> io::Result<Surveyed> {
    let id = address.id();
    let file = File::open(files.path(address))?;
    let tail = match Tail::read(&file, &id)? {
        Err(why) => return Ok(Surveyed::Damaged { id, why, owner: None }),
        Ok(tail) => tail,
    };
    let fits = match depth {
        Depth::Rows => true,
        Depth::Content => tail.fits(&file, None)?,
        Depth::Paced { len_per_s } => tail.fits(&file, Some(len_per_s))?,
    };
    let info = BlobInfo {
        blob: BlobRef { id, stored_len: StoredLen(tail.stored_len) },
        owner: tail.owner,
        finished: Timestamp(address.finished_ms),
        session: address.session,
    };
    Ok(if fits { Surveyed::Sound(info) } else { Surveyed::DamagedContent(info) })
}

/// The frames behind `after` (its nonce is not looked at, but for that of a segment's header).
fn page_of_frames(
    segments: &Segments,
    after: FrameAddress,
    limit: usize,
    depth: Depth,
    rows: &mut Vec<Surveyed>,
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
        let is_same = segment.number == after.segment;
        if !(is_same && (after.offset > 0 || after.nonce != [0; 6]))
            && segment::sound_header(&file, segment.number).is_none()
        {
            rows.push(Surveyed::gap(&segment, 0, SEGMENT_HEADER_LEN, "the header of the segment is damaged"));
        }
        let behind = if is_same { after.offset } else { 0 };
        page_of_segment(segments, &segment, &file, behind, limit, depth, rows)?;
    }
    Ok(())
}

/// The frames of one segment behind the offset `behind`, and what is no frame between them.
fn page_of_segment(
    segments: &Segments,
    segment: &Segment,
    file: &File,
    behind: u32,
    limit: usize,
    depth: Depth,
    rows: &mut Vec<Surveyed>,
) -> io::Result<()> {
    let snapshot = segment.snapshot();
    let start = if behind > 0 { u64::from(behind) } else { segment::frames_at(segment.layout) };
    let mut scan = Scan::new(file, segment.layout, start, snapshot.end)?;
    if depth == Depth::Rows {
        scan = scan.without_content();
    }
    // Where the last frame ended: all bytes up to the segment's end are of frames.
    let mut at = start;
    while rows.len() < limit {
        let (found_at, row, end) = match scan.next() {
            Ok(Some(found)) => {
                let offset = found.offset as u32;
                let id = FrameAddress { segment: segment.number, offset, nonce: found.header.nonce }.id();
                let row = match (found.is_sound, found.legible_owner()) {
                    (true, Some(owner)) => Surveyed::Sound(BlobInfo {
                        blob: BlobRef { id, stored_len: StoredLen(found.header.stored_len.into()) },
                        owner,
                        finished: Timestamp(found.header.finished_ms),
                        session: segment.session,
                    }),
                    (_, owner) => {
                        let why = "the checksum of its frame is wrong";
                        Surveyed::Damaged { id, why, owner }
                    }
                };
                let skipped = behind > 0 && offset <= behind || snapshot.dead.binary_search(&offset).is_ok();
                (found.offset, (!skipped).then_some(row), found.offset + found.header.frame_len())
            }
            Ok(None) => (snapshot.end, None, snapshot.end),
            Err(_) => {
                let len = snapshot.end.saturating_sub(at);
                if at > u64::from(behind) && len > 0 {
                    rows.push(Surveyed::gap(segment, at, len, UNREADABLE));
                }
                return Ok(());
            }
        };
        if found_at > at && at > u64::from(behind) {
            // What was deleted is no loss.
            if let Some((from, to)) = segments.alive_within(segment.number, at, found_at)? {
                let mut row = Surveyed::gap(segment, from, to - from, "no frame is there any more");
                if let Surveyed::Gap { owner, .. } = &mut row {
                    *owner = super::frame::legible_owner_at(file, from, to);
                }
                rows.push(row);
                if rows.len() >= limit {
                    return Ok(());
                }
            }
        }
        at = end;
        rows.extend(row);
        if found_at >= snapshot.end {
            return Ok(());
        }
    }
    Ok(())
}
