//! The chain of the audit: each line carries its number and the hash of the line before, so that a line that is removed, changed or
//! moved shows (`verify.rs`). It goes on over restarts and over the files of a rotation.
//!
//! A line is a JSON object whose last member is `chain`:
//! `{…,"chain":{"id":"…","sequence":7,"previous":"…","hash":"…"}}`. `hash` is the SHA-256, in hexadecimal, of the line's bytes up to
//! `,"hash":` ; `previous` is the `hash` of the line before, and of 64 zeros for the first. A file begins with a line whose event is
//! `ChainOpened`; one that was rotated away ends with `ChainRotated`. Beside the file lies `FILE.head`, which tells the last line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::line_log::open;
use super::super::reopen;

/// What a line before the first has for its hash.
pub(super) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The length of the file that tells the last line, in bytes: it is written over in place.
const HEAD_LEN: usize = 256;
/// How much of the end of a file is read to find its last line, in bytes.
const MAX_LINE_LEN: u64 = 1 << 20;

/// How far a chain has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The chain.
    pub(super) id: String,
    /// The number of its last line, from 1.
    pub(super) sequence: u64,
    /// That line's hash.
    pub(super) hash: String,
}

/// The member `chain` of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) previous: String,
    pub(super) hash: String,
}

/// Reads a line's link; `None`: it has none, or its hash is not that of its bytes.
pub(super) fn link_of(line: &[u8]) -> Option<Link> {
    #[derive(Deserialize)]
    struct Line {
        chain: Link,
    }
    let Line { chain } = serde_json::from_slice(line).ok()?;
    let end = memchr_last(line, HASH_MEMBER)?;
    (hex::encode(Sha256::digest(&line[..end])) == chain.hash).then_some(chain)
}

const HASH_MEMBER: &[u8] = b",\"hash\":";

fn memchr_last(line: &[u8], needle: &[u8]) -> Option<usize> {
    line.windows(needle.len()).rposition(|window| window == needle)
}

/// A file that a chain is written to.
#[derive(Debug)]
pub(super) struct ChainFile {
    path: PathBuf,
    /// `None`: standard output.
    file: Option<File>,
    head_file: Option<File>,
    head: Head,
    seen: reopen::Seen,
    line: Vec<u8>,
    /// What was written of a line that failed has to be ended before the next.
    is_torn: bool,
}

/// Where the head of a chain in this file is told.
pub(super) fn head_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head");
    name.into()
}

/// Reads the head beside a file.
pub(super) fn read_head(path: &Path) -> Option<Head> {
    let text = std::fs::read_to_string(head_path(path)).ok()?;
    serde_json::from_str(text.trim_end()).ok()
}

impl ChainFile {
    /// Goes on with the chain of this file (`-`: standard output, where each start begins one).
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let new_chain = || {
            let mut id = [0; 16];
            getrandom::fill(&mut id).map_err(io::Error::other)?;
            Ok::<_, io::Error>(Head { id: hex::encode(id), sequence: 0, hash: NO_HASH.to_owned() })
        };
        if path == Path::new("-") {
            let head = new_chain()?;
            let mut this = Self::new(path, None, None, head);
            this.event("ChainOpened", None)?;
            return Ok(this);
        }
        let head_file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(head_path(path))?;
        flock(&head_file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process writes this audit log: each gateway needs a file of its own",
            )
        })?;
        let file = open(path)?;
        let told = read_head(path);
        let (last, is_torn) = last_line(path)?;
        let is_new = last.is_none() && !is_torn;
        // What the file has wins over what is told beside it: a power cut may have lost the one or the other.
        let head = match (last, told) {
            (Some(link), _) => Head { id: link.id, sequence: link.sequence, hash: link.hash },
            (None, Some(told)) => told,
            (None, None) => new_chain()?,
        };
        let mut this = Self::new(path, Some(file), Some(head_file), head);
        this.is_torn = is_torn;
        if is_new || is_torn {
            this.event("ChainOpened", is_torn.then_some("the file's last line is torn"))?;
        }
        Ok(this)
    }

    fn new(path: &Path, file: Option<File>, head_file: Option<File>, head: Head) -> Self {
        Self {
            path: path.to_owned(),
            file,
            head_file,
            head,
            seen: reopen::Seen::now(),
            line: Vec::new(),
            is_torn: false,
        }
    }

    /// Appends an event: a JSON object that does not end with an empty one.
    pub(super) fn append(&mut self, event: &impl Serialize) -> io::Result<()> {
        self.rotate_if_asked();
        self.write(event)
    }

    /// The line that was appended last, with its line feed.
    pub(super) fn last(&self) -> &[u8] {
        &self.line
    }

    /// Opens the file anew, if that was asked for.
    pub(super) fn rotate_if_asked(&mut self) {
        if self.file.is_none() || !self.seen.is_asked() {
            return;
        }
        let renamed =
            std::fs::metadata(&self.path).ok().zip(self.file.as_ref().and_then(|f| f.metadata().ok()));
        use std::os::unix::fs::MetadataExt;
        if renamed.is_some_and(|(at_path, open)| (at_path.dev(), at_path.ino()) == (open.dev(), open.ino())) {
            return;
        }
        let ended = self
            .event("ChainRotated", None)
            .and_then(|()| self.file.as_ref().map_or(Ok(()), File::sync_data));
        if let Err(error) = ended {
            tracing::warn!(%error, "the former file of the audit log has no last line");
        }
        let opened = open(&self.path).and_then(|file| {
            self.file = Some(file);
            self.is_torn = false;
            self.event("ChainOpened", None)
        });
        if let Err(error) = opened {
            tracing::error!(path = %self.path.display(), %error, "the audit log can't be opened anew");
        }
    }

    /// The file once more, to bring it to the disk; `None`: standard output.
    pub(super) fn handle(&self) -> io::Result<Option<File>> {
        self.file.as_ref().map(File::try_clone).transpose()
    }

    /// Says that lines may be missing from here on, and whether it can be written again.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.event("ChainResumed", Some("lines before this one could not be written"))
    }

    fn event(&mut self, name: &str, note: Option<&str>) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Event<'a> {
            event_version: &'a str,
            event_time: String,
            event_source: &'a str,
            event_name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            additional_event_data: Option<&'a str>,
        }
        self.write(&Event {
            event_version: super::event::VERSION,
            event_time: super::event::now(),
            event_source: "audit.sealgate",
            event_name: name,
            additional_event_data: note,
        })
    }

    fn write(&mut self, event: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        // Its closing brace.
        self.line.pop();
        let sequence = self.head.sequence + 1;
        write!(
            self.line,
            ",\"chain\":{{\"id\":\"{}\",\"sequence\":{sequence},\"previous\":\"{}\"",
            self.head.id, self.head.hash
        )?;
        let hash = hex::encode(Sha256::digest(&self.line));
        writeln!(self.line, ",\"hash\":\"{hash}\"}}}}")?;
        match &mut self.file {
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.line)?;
                stdout.flush()?;
            }
            Some(file) => {
                if self.is_torn {
                    file.write_all(b"\n")?;
                    self.is_torn = false;
                }
                // In one write, so that a kill leaves all of it or nothing.
                if let Err(error) = file.write_all(&self.line) {
                    self.is_torn = !ends_with_line_feed(&self.path).unwrap_or(false);
                    return Err(error);
                }
            }
        }
        self.head.sequence = sequence;
        self.head.hash = hash;
        if let Some(head_file) = &self.head_file {
            let mut text = serde_json::to_vec(&self.head)?;
            text.resize(HEAD_LEN - 1, b' ');
            text.push(b'\n');
            head_file.write_all_at(&text, 0)?;
        }
        Ok(())
    }
}

fn ends_with_line_feed(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The link of the last whole line of a file, and whether something that is none follows it.
fn last_line(path: &Path) -> io::Result<(Option<Link>, bool)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(MAX_LINE_LEN)))?;
    let mut end = Vec::new();
    file.take(MAX_LINE_LEN).read_to_end(&mut end)?;
    let is_ended = end.last().is_none_or(|byte| *byte == b'\n');
    let mut lines = end.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty());
    let last = lines.next();
    match last.map(link_of) {
        None => Ok((None, false)),
        Some(Some(link)) if is_ended => Ok((Some(link), false)),
        // A log of an earlier build, or a torn line: the chain goes on behind what is whole.
        Some(_) => Ok((lines.find_map(link_of), !is_ended)),
    }
}
