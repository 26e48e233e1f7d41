//! Whose bytes lie where in `blobs/`, read from the files as FORMAT.md describes them, and whose were harmed by a fault.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::folder::files_below;

const FILE_FOOTER_LEN: usize = 48;
const FRAME_HEADER_LEN: usize = 40;

/// Who a blob says that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// The object of this name.
    Object(String),
    /// The bucket of this name.
    Bucket(String),
    /// Something else.
    Other,
}

/// A blob's bytes.
struct Extent {
    path: PathBuf,
    range: Range<usize>,
    owner: Owner,
    is_content: bool,
}

/// The blobs of a folder.
pub(crate) struct Blobs {
    folder: PathBuf,
    extents: Vec<Extent>,
}

/// Whose bytes are not what they were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Harmed {
    /// How many blobs of each object, journals among them.
    pub(crate) objects: HashMap<String, usize>,
    /// How many that hold its content.
    pub(crate) contents: HashMap<String, usize>,
    /// Buckets of which a journal was harmed.
    pub(crate) buckets: HashSet<String>,
}

impl Blobs {
    /// Reads a data folder's.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let mut extents = Vec::new();
        for path in files_below(&data.join("blobs")) {
            let relative = Path::new("blobs").join(&path);
            let name = path.to_string_lossy().into_owned();
            let bytes = std::fs::read(data.join(&relative))?;
            if name.starts_with("files/") {
                extents.extend(file(&relative, &bytes));
            } else if name.ends_with(".seg") {
                frames(&relative, &bytes, &mut extents);
            }
        }
        Ok(Self { folder: data.to_owned(), extents })
    }

    /// How many blobs there are.
    pub(crate) fn len(&self) -> usize {
        self.extents.len()
    }

    /// Compares a damaged copy.
    pub(crate) fn harmed(&self, copy: &Path) -> Harmed {
        let mut harmed = Harmed::default();
        let mut files: HashMap<&Path, (Vec<u8>, Vec<u8>)> = HashMap::new();
        for extent in &self.extents {
            let read = |folder: &Path| std::fs::read(folder.join(&extent.path)).unwrap_or_default();
            let (before, after) =
                files.entry(&extent.path).or_insert_with(|| (read(&self.folder), read(copy)));
            if before.get(extent.range.clone()) == after.get(extent.range.clone()) {
                continue;
            }
            match &extent.owner {
                Owner::Object(name) => {
                    *harmed.objects.entry(name.clone()).or_default() += 1;
                    if extent.is_content {
                        *harmed.contents.entry(name.clone()).or_default() += 1;
                    }
                }
                Owner::Bucket(name) => {
                    harmed.buckets.insert(name.clone());
                }
                Owner::Other => {}
            }
        }
        harmed
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// `content`, `trailer`, `owner`, footer.
fn file(path: &Path, bytes: &[u8]) -> Option<Extent> {
    let footer = bytes.len().checked_sub(FILE_FOOTER_LEN)?;
    let owner_len = number(bytes, footer + 20, 4)?;
    let owner = bytes.get(footer.checked_sub(owner_len)?..footer)?;
    Some(extent(path, 0..bytes.len(), owner))
}

fn frames(path: &Path, bytes: &[u8], extents: &mut Vec<Extent>) {
    // The segment's version: packed, or in blocks with a checksum of their own behind the owner.
    let (mut at, align, crc_len) = if bytes.get(4) == Some(&2) { (4096, 4096, 4) } else { (32, 8, 0) };
    while at + FRAME_HEADER_LEN <= bytes.len() {
        if bytes.get(at..at + 4) != Some(b"SGfr") {
            at += align;
            continue;
        }
        let read = |offset, len| number(bytes, at + offset, len).unwrap_or_default();
        let (owner_len, content_len, trailer_len) = (read(6, 2), read(8, 4), read(12, 4));
        let owner_at = at + FRAME_HEADER_LEN + content_len + trailer_len;
        let owner_end = owner_at + owner_len;
        if let Some(owner) = bytes.get(owner_at..owner_end) {
            extents.push(extent(path, at..owner_end + crc_len, owner));
            at = (owner_end + crc_len).next_multiple_of(align);
        } else {
            at += align;
        }
    }
}

fn extent(path: &Path, range: Range<usize>, owner: &[u8]) -> Extent {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_content = owner.first() == Some(&1);
    let owner = match owner {
        [1, rest @ ..] => rest.get(34..).map_or(Owner::Other, |name| Owner::Object(text(name))),
        [2, b'B', name @ ..] => Owner::Bucket(text(name)),
        [2, b'H' | b'V' | b'U', rest @ ..] => match rest.get(16..) {
            Some(name) => {
                let end = name.windows(2).position(|pair| pair == [0, 0]).unwrap_or(name.len());
                Owner::Object(text(&name[..end]))
            }
            None => Owner::Other,
        },
        _ => Owner::Other,
    };
    Extent { path: path.to_owned(), range, owner, is_content }
}
