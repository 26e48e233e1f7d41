//! Audit lines that wait on the disk until a webhook has taken them: after a restart, too.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::line_log::open;

/// A file of the spool is ended at this length, in bytes.
const FILE_LEN: u64 = 4 << 20;
/// The most bytes that are sent at once.
const BATCH_LEN: u64 = 1 << 20;

/// More than most lines have, in bytes.
const USUAL_LINE_LEN: u64 = 4096;

/// Lines in files that are numbered in their order.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    max_len: u64,
    /// Numbers and lengths, the oldest first; the last is the one that is written to.
    files: VecDeque<(u64, u64)>,
    file: File,
    sent: Position,
}

/// What was taken: all files before this one, and so many bytes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    file: u64,
    offset: u64,
}

/// Lines that are to be sent together.
pub(super) struct Batch {
    /// The lines, each with its line feed.
    pub(super) lines: Vec<u8>,
    then: Position,
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.jsonl"))
}

impl Spool {
    /// Opens it; lines of a former process are still to be sent. `max_len`: the most bytes that wait.
    pub(super) fn open(folder: &Path, max_len: u64) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse().ok());
            if let Some(number) = number {
                files.push((number, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        let sent: Position = fs::read(folder.join("sent"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let mut files: VecDeque<_> = files.into();
        // What a kill may have left of a line stays at the end of its file.
        let number = files.back().map_or(sent.file, |(number, _)| number + 1).max(1);
        let file = open(&path_of(folder, number))?;
        files.push_back((number, 0));
        let mut this = Self { folder: folder.to_owned(), max_len, files, file, sent };
        this.forget_sent()?;
        Ok(this)
    }

    /// Bytes that wait.
    pub(super) fn waiting_len(&self) -> u64 {
        let all: u64 = self.files.iter().map(|(_, len)| len).sum();
        let is_first = self.files.front().is_some_and(|(number, _)| *number == self.sent.file);
        all - if is_first { self.sent.offset.min(all) } else { 0 }
    }

    /// Has it no room for a line of usual length?
    pub(super) fn is_full(&self) -> bool {
        self.waiting_len() + USUAL_LINE_LEN > self.max_len
    }

    /// Adds a line, if it has room.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<bool> {
        let len = line.len() as u64;
        if self.waiting_len() + len > self.max_len {
            return Ok(false);
        }
        if self.files.back().is_some_and(|(_, written)| written + len > FILE_LEN && *written > 0) {
            self.file.sync_data()?;
            let number = self.files.back().map_or(1, |(number, _)| number + 1);
            self.file = open(&path_of(&self.folder, number))?;
            self.files.push_back((number, 0));
        }
        self.file.write_all(line)?;
        if let Some((_, written)) = self.files.back_mut() {
            *written += len;
        }
        Ok(true)
    }

    /// The oldest lines that wait; `None`: none do.
    pub(super) fn batch(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let Some(&(number, len)) = self.files.front() else { return Ok(None) };
            let offset = if self.sent.file == number { self.sent.offset } else { 0 };
            let is_written_to = self.files.len() == 1;
            let mut lines = Vec::new();
            if offset < len {
                let mut file = File::open(path_of(&self.folder, number))?;
                file.seek(SeekFrom::Start(offset))?;
                file.take(BATCH_LEN.min(len - offset)).read_to_end(&mut lines)?;
            }
            let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            lines.truncate(whole);
            if whole > 0 {
                return Ok(Some(Batch {
                    lines,
                    then: Position { file: number, offset: offset + whole as u64 },
                }));
            }
            if is_written_to {
                return Ok(None);
            }
            self.taken(Position { file: number + 1, offset: 0 })?;
        }
    }

    /// A batch was taken.
    pub(super) fn sent(&mut self, batch: &Batch) -> io::Result<()> {
        self.taken(batch.then)
    }

    fn taken(&mut self, sent: Position) -> io::Result<()> {
        self.sent = sent;
        let temporary = self.folder.join("sent.new");
        fs::write(&temporary, serde_json::to_vec(&sent)?)?;
        fs::rename(&temporary, self.folder.join("sent"))?;
        self.forget_sent()
    }

    fn forget_sent(&mut self) -> io::Result<()> {
        while self.files.len() > 1
            && let Some(&(number, len)) = self.files.front()
            && (number < self.sent.file || number == self.sent.file && self.sent.offset >= len)
        {
            fs::remove_file(path_of(&self.folder, number))?;
            self.files.pop_front();
        }
        Ok(())
    }

    /// Brings what was added to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("{{\"n\":{number},\"pad\":\"{}\"}}\n", "x".repeat(1000)).into_bytes()
    }

    fn take_all(spool: &mut Spool) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(batch) = spool.batch().unwrap() {
            all.extend_from_slice(&batch.lines);
            spool.sent(&batch).unwrap();
        }
        all
    }

    #[test]
    fn lines_survive_restarts_and_are_sent_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut expected = Vec::new();
        let mut spool = Spool::open(&path, 64 << 20).unwrap();
        for number in 0..9000 {
            assert!(spool.append(&line(number)).unwrap());
            expected.extend(line(number));
        }
        assert!(spool.files.len() > 2);
        let first = spool.batch().unwrap().unwrap();
        spool.sent(&first).unwrap();
        drop(spool);
        // A kill in the middle of a line.
        fs::OpenOptions::new().append(true).open(path_of(&path, 3)).unwrap().write_all(b"{\"torn").unwrap();
        let mut spool = Spool::open(&path, 64 << 20).unwrap();
        assert!(spool.append(&line(9000)).unwrap());
        expected.extend(line(9000));
        let mut sent = first.lines;
        sent.extend(take_all(&mut spool));
        assert!(sent == expected);
        assert_eq!(spool.waiting_len(), spool.files.back().unwrap().1 - spool.sent.offset);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "files that were sent are gone");
    }

    #[test]
    fn it_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&folder.path().join("spool"), 2500).unwrap();
        assert!(spool.append(&line(1)).unwrap() && spool.append(&line(2)).unwrap());
        assert!(!spool.append(&line(3)).unwrap());
        take_all(&mut spool);
        assert!(spool.append(&line(3)).unwrap());
    }
}
