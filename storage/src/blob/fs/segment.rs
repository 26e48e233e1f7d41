//! Segments: files that many blobs share, what is dead in each, and how they are found again at a start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::direct::BLOCK_LEN;
use super::frame::{HEADER_LEN, Header, Layout, Scan};
use super::io::{Folder, crc32c, create_new, open_read, reserve};
use super::open::OpenFiles;
use crate::name::Timestamp;
use crate::session::SessionId;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_LEN: u64 = 32;
const FOOTER_LEN: u64 = 32;
const FOOTER_VERSION: u8 = 1;
/// Bytes of one record of a dead list.
const DEAD_LEN: usize = 12;
/// Segments kept open for reading.
const MAX_OPEN: usize = 256;

/// Where the first frame of a segment begins.
pub(super) fn frames_at(layout: Layout) -> u64 {
    match layout {
        Layout::Packed => SEGMENT_HEADER_LEN,
        Layout::Blocks => BLOCK_LEN as u64,
    }
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    /// How its frames lie.
    pub layout: Layout,
    /// The session that made it, and every frame in it.
    pub session: SessionId,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// Where the durable frames end.
    end: u64,
    /// Durable frames.
    frames: u32,
    /// Nothing will be appended any more.
    sealed: bool,
    /// Offsets of deleted frames, ascending.
    dead: Vec<u32>,
    dead_bytes: u64,
    /// Deleted frames that the dead list on disk lacks: offset and length.
    unsaved: Vec<(u32, u32)>,
}

/// A segment at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub end: u64,
    pub dead: Vec<u32>,
}

/// How full of dead blobs a sealed segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occupancy {
    pub number: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// Bytes of deleted frames.
    pub dead_bytes: u64,
}

impl Segment {
    fn new(number: u64, layout: Layout, session: SessionId, state: State) -> Arc<Self> {
        Arc::new(Self { number, layout, session, state: Mutex::new(state) })
    }

    /// Are the frames here durable and not deleted?
    pub fn is_live(&self, offset: u32) -> bool {
        let state = self.state.lock();
        u64::from(offset) < state.end && state.dead.binary_search(&offset).is_err()
    }

    /// Its durable frames and which of them are dead.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        Snapshot { end: state.end, dead: state.dead.clone() }
    }
}

/// All segments of a store.
#[derive(Debug)]
pub(super) struct Segments {
    pub folder: Folder,
    /// The session that makes segments now.
    session: SessionId,
    table: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// The last number given: none is given twice while the store is open, so no list of dead frames meets a stranger.
    last: Mutex<u64>,
    open: OpenFiles<u64>,
    /// Segments whose dead list on disk is behind.
    behind: Mutex<BTreeSet<u64>>,
    /// Segments whose dead list was written since it was last synced.
    unsynced: Mutex<BTreeSet<u64>>,
    /// What was not as it should be when the folder was opened.
    findings: Vec<Finding>,
}

/// What was not as it should be when the store was opened, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Bytes at the end of a segment that was never sealed: of a write that a crash tore, or of blobs that were damaged since. They
    /// were cut off.
    CutOff {
        /// The segment.
        segment: u64,
        /// Where it ends now.
        offset: u64,
        /// How many bytes that had been written were cut off.
        len: u64,
    },
    /// Records of a dead list that did not fit were taken out. What they spoke of counts as alive again, until a sweep.
    DeadList {
        /// The segment.
        segment: u64,
        /// How many.
        records: u64,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CutOff { segment, offset, len } => write!(
                f,
                "{len} bytes that are no sound blob were cut off the end of segment {segment:010x} at {offset}: a write that a crash \
                 tore, or damage"
            ),
            Self::DeadList { segment, records } => write!(
                f,
                "{records} damaged records were taken out of the list of deleted blobs of segment {segment:010x}: what they spoke of is \
                 without a record now"
            ),
        }
    }
}

impl Segments {
    /// Opens the folder and recovers every segment in it; what a crash left half-written is cut off.
    pub fn open(path: PathBuf, session: SessionId) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        let mut segments = Self {
            folder,
            session,
            table: RwLock::default(),
            last: Mutex::new(0),
            open: OpenFiles::new(MAX_OPEN),
            behind: Mutex::default(),
            unsynced: Mutex::default(),
            findings: Vec::new(),
        };
        for entry in std::fs::read_dir(segments.folder.path.clone())? {
            let name = entry?.file_name();
            let Some((number, kind)) = name.to_str().and_then(parse_name) else {
                tracing::warn!(file = ?name, "a foreign file lies among the segments");
                continue;
            };
            match kind {
                Kind::Segment => segments.recover(number)?,
                Kind::DeadList if !segments.path(number, Kind::Segment).exists() => {
                    std::fs::remove_file(segments.path(number, Kind::DeadList))?;
                }
                Kind::DeadList => {}
            }
        }
        for finding in &segments.findings {
            tracing::warn!("{finding}");
        }
        Ok(segments)
    }

    /// What was not as it should be at the opening.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Does this file lie among the segments by right?
    pub fn is_own_name(name: &str) -> bool {
        parse_name(name).is_some()
    }

    fn path(&self, number: u64, kind: Kind) -> PathBuf {
        self.folder.path.join(name(number, kind))
    }

    fn recover(&mut self, number: u64) -> io::Result<()> {
        let path = self.path(number, Kind::Segment);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let (mut dead, damaged) = self.read_dead_list(number)?;
        if damaged > 0 {
            self.rewrite_dead_list(number, &dead)?;
            self.findings.push(Finding::DeadList { segment: number, records: damaged });
        }
        let (session, layout) = read_header(&file, number)?;
        let mut state = match read_footer(&file)? {
            Some(state) => state,
            None => {
                let (mut state, offsets, used_end) = find_frames(&file, layout)?;
                tracing::info!(segment = number, frames = state.frames, "recovered a segment");
                if let Some(len) = used_end.checked_sub(state.end).filter(|&len| len > 0) {
                    self.findings.push(Finding::CutOff { segment: number, offset: state.end, len });
                }
                if state.frames > 0 {
                    seal(&file, &state)?;
                } else if used_end > frames_at(layout) {
                    // Something was written there: who knows what can still be saved of it.
                    tracing::error!(segment = number, "no frame of a segment is sound: it stays as it is");
                    file.set_len(used_end)?;
                    (state.end, state.frames) = (used_end, u32::MAX);
                }
                // Only frames that were counted may count as dead.
                dead.retain(|(offset, _)| offsets.binary_search(offset).is_ok());
                state
            }
        };
        for (offset, len) in dead {
            if let Err(at) = state.dead.binary_search(&offset) {
                state.dead.insert(at, offset);
                state.dead_bytes += u64::from(len);
            }
        }
        let all_dead = state.dead.len() as u64 >= u64::from(state.frames);
        self.table.write().insert(number, Segment::new(number, layout, session, state));
        let mut last = self.last.lock();
        *last = number.max(*last);
        drop(last);
        if all_dead { self.remove(number) } else { Ok(()) }
    }

    /// The records of a dead list that fit, and how many do not.
    fn read_dead_list(&self, number: u64) -> io::Result<(Vec<(u32, u32)>, u64)> {
        let bytes = match std::fs::read(self.path(number, Kind::DeadList)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            other => other?,
        };
        let (mut records, mut damaged) = (Vec::new(), 0);
        for record in bytes.chunks(DEAD_LEN) {
            let word = |at: usize| {
                record
                    .get(at..at + 4)
                    .map_or(0, |word| u32::from_le_bytes(word.try_into().expect("four bytes")))
            };
            if record == dead_record(number, word(0), word(4)) {
                records.push((word(0), word(4)));
            // A crash may leave a torn record at the end, and room that was never written.
            } else if record.len() == DEAD_LEN && record.iter().any(|&byte| byte != 0) {
                damaged += 1;
            }
        }
        Ok((records, damaged))
    }

    /// Puts a list of these records in the place of a damaged one.
    fn rewrite_dead_list(&self, number: u64, dead: &[(u32, u32)]) -> io::Result<()> {
        let path = self.path(number, Kind::DeadList);
        let fresh = path.with_extension("dead-new");
        let records: Vec<u8> =
            dead.iter().flat_map(|&(offset, len)| dead_record(number, offset, len)).collect();
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(&records)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    }

    /// The part of these bytes of a segment that was not deleted; `None`: all of it was.
    pub fn alive_within(&self, number: u64, start: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
        let (mut dead, _) = self.read_dead_list(number)?;
        if let Some(segment) = self.get(number) {
            dead.extend(&segment.state.lock().unsaved);
        }
        dead.sort_unstable();
        let (mut start, mut end) = (start, end);
        for &(offset, len) in &dead {
            if u64::from(offset) == start {
                start += u64::from(len);
            }
        }
        for &(offset, len) in dead.iter().rev() {
            if u64::from(offset) + u64::from(len) == end {
                end = u64::from(offset);
            }
        }
        Ok((start < end).then_some((start, end)))
    }

    /// Begins a segment above all others, with room for `len` bytes. Its entry is durable.
    pub fn begin(&self, len: u64, layout: Layout) -> io::Result<(Arc<Segment>, File)> {
        let number = {
            let mut last = self.last.lock();
            *last += 1;
            *last
        };
        let path = self.path(number, Kind::Segment);
        let file = create_new(&path)?;
        let prepared = prepare(&file, number, layout, self.session, len).and_then(|()| self.folder.sync());
        if let Err(error) = prepared {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let state = State { end: frames_at(layout), ..State::default() };
        let segment = Segment::new(number, layout, self.session, state);
        self.table.write().insert(number, segment.clone());
        Ok((segment, file))
    }

    /// Frames up to `end` are durable: they can be read from now on.
    pub fn committed(&self, segment: &Segment, frames: u32, end: u64) {
        let mut state = segment.state.lock();
        state.frames += frames;
        state.end = end;
    }

    /// Ends a segment. Without `file` (after a failed write) its end is found again at the next start.
    pub fn end(&self, segment: &Segment, file: Option<&File>) -> io::Result<()> {
        let state = {
            let mut state = segment.state.lock();
            state.sealed = true;
            state.clone()
        };
        if state.dead.len() as u64 >= u64::from(state.frames) {
            return self.remove(segment.number);
        }
        file.map_or(Ok(()), |file| seal(file, &state))
    }

    /// The segment of this number.
    pub fn get(&self, number: u64) -> Option<Arc<Segment>> {
        self.table.read().get(&number).cloned()
    }

    /// The first segment whose number is `number` or above.
    pub fn from(&self, number: u64) -> Option<Arc<Segment>> {
        self.table.read().range(number..).next().map(|(_, segment)| segment.clone())
    }

    /// Every sealed segment.
    pub fn occupancy(&self) -> Vec<Occupancy> {
        let table = self.table.read();
        let rows = table.values().filter_map(|segment| {
            let state = segment.state.lock();
            state.sealed.then(|| Occupancy {
                number: segment.number,
                bytes: state.end - frames_at(segment.layout),
                dead_bytes: state.dead_bytes,
            })
        });
        rows.collect()
    }

    /// The segment's file, for reading.
    pub async fn file(&self, number: u64) -> io::Result<Arc<File>> {
        let absence = match self.open.get(number) {
            Ok(file) => return Ok(file),
            Err(absence) => absence,
        };
        let file = Arc::new(open_read(&self.folder, name(number, Kind::Segment).into()).await?);
        self.open.put(number, file.clone(), absence);
        Ok(file)
    }

    /// The segment's file, for a thread that may wait.
    pub fn file_blocking(&self, number: u64) -> io::Result<Arc<File>> {
        if let Ok(file) = self.open.get(number) {
            return Ok(file);
        }
        Ok(Arc::new(File::open(self.path(number, Kind::Segment))?))
    }

    /// Marks a frame of `len` bytes deleted; twice is fine. Answers true if nothing lives in the segment any more.
    pub fn kill(&self, segment: &Segment, offset: u32, len: u32) -> bool {
        let mut state = segment.state.lock();
        let Err(at) = state.dead.binary_search(&offset) else {
            return false;
        };
        state.dead.insert(at, offset);
        state.dead_bytes += u64::from(len);
        state.unsaved.push((offset, len));
        let all_dead = state.sealed && state.dead.len() as u64 >= u64::from(state.frames);
        drop(state);
        self.behind.lock().insert(segment.number);
        all_dead
    }

    /// Removes a segment in which nothing lives; readers that have it open go on.
    pub fn remove(&self, number: u64) -> io::Result<()> {
        self.table.write().remove(&number);
        self.behind.lock().remove(&number);
        // In this order: a dead list without its segment is harmless, a segment without its dead list is not.
        for kind in [Kind::Segment, Kind::DeadList] {
            match std::fs::remove_file(self.path(number, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.open.remove(number);
        Ok(())
    }

    /// Is a dead list on disk behind?
    pub fn is_behind(&self) -> bool {
        !self.behind.lock().is_empty()
    }

    /// Appends what the dead lists on disk lack. It is not synced: see [`Segments::sync_dead_lists`].
    pub fn save_dead_lists(&self) -> io::Result<()> {
        let behind = std::mem::take(&mut *self.behind.lock());
        for number in behind {
            let Some(segment) = self.get(number) else { continue };
            let unsaved = std::mem::take(&mut segment.state.lock().unsaved);
            let records: Vec<u8> =
                unsaved.iter().flat_map(|&(offset, len)| dead_record(number, offset, len)).collect();
            let path = self.path(number, Kind::DeadList);
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            file.write_all(&records)?;
            self.unsynced.lock().insert(number);
        }
        Ok(())
    }

    /// Makes all deletions durable. What a record displaced is forgotten only after this: else a deletion that a crash undid would
    /// bring back a blob that nobody can account for.
    pub fn sync_dead_lists(&self) -> io::Result<()> {
        self.save_dead_lists()?;
        let unsynced = std::mem::take(&mut *self.unsynced.lock());
        if unsynced.is_empty() {
            return Ok(());
        }
        for number in unsynced {
            match File::open(self.path(number, Kind::DeadList)) {
                // Its segment is gone as a whole.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => file?.sync_data()?,
            }
        }
        self.folder.sync()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Segment,
    DeadList,
}

fn name(number: u64, kind: Kind) -> String {
    match kind {
        Kind::Segment => format!("{number:010x}.seg"),
        Kind::DeadList => format!("{number:010x}.dead"),
    }
}

fn parse_name(name: &str) -> Option<(u64, Kind)> {
    let (number, kind) = name.split_once('.')?;
    let kind = match kind {
        "seg" => Kind::Segment,
        "dead" => Kind::DeadList,
        _ => return None,
    };
    if number.len() != 10 {
        return None;
    }
    Some((u64::from_str_radix(number, 16).ok()?, kind))
}

fn dead_record(number: u64, offset: u32, len: u32) -> [u8; DEAD_LEN] {
    let mut checked = [0; 16];
    checked[..4].copy_from_slice(&offset.to_le_bytes());
    checked[4..8].copy_from_slice(&len.to_le_bytes());
    checked[8..].copy_from_slice(&number.to_le_bytes());
    let mut record = [0; DEAD_LEN];
    record[..8].copy_from_slice(&checked[..8]);
    record[8..].copy_from_slice(&crc32c(&checked).to_le_bytes());
    record
}

fn prepare(file: &File, number: u64, layout: Layout, session: SessionId, len: u64) -> io::Result<()> {
    let mut header = [0; SEGMENT_HEADER_LEN as usize];
    header[..4].copy_from_slice(b"SGsg");
    header[4] = layout.version();
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&Timestamp::now().unix_ms().to_le_bytes());
    header[24..28].copy_from_slice(&session.0.to_le_bytes());
    let crc = crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    reserve(file, 0, len)?;
    file.set_len(len)?;
    file.write_all_at(&header, 0)?;
    file.sync_data()
}

/// The session and the layout in a segment's header. A damaged header has no session; what its layout was its first frame shows.
fn read_header(file: &File, number: u64) -> io::Result<(SessionId, Layout)> {
    let Some(layout) = sound_header(file, number) else {
        let mut frame = [0; HEADER_LEN];
        let is_read = file.read_exact_at(&mut frame, frames_at(Layout::Blocks)).is_ok();
        let first = Header::decode(&frame).filter(|_| is_read);
        return Ok((SessionId(0), first.map_or(Layout::Packed, |header| header.layout)));
    };
    let mut session = [0; 4];
    file.read_exact_at(&mut session, 24)?;
    Ok((SessionId(u32::from_le_bytes(session)), layout))
}

/// What the segment's header says of its frames, if it is the one that was written.
pub(super) fn sound_header(file: &File, number: u64) -> Option<Layout> {
    let mut header = [0; SEGMENT_HEADER_LEN as usize];
    let is_sound = file.read_exact_at(&mut header, 0).is_ok()
        && header[..4] == *b"SGsg"
        && header[8..16] == number.to_le_bytes()
        && header[28..] == crc32c(&header[..28]).to_le_bytes();
    if is_sound { Layout::of_version(header[4]) } else { None }
}

/// Cuts the file behind its last frame and writes the footer that spares the next start a scan.
fn seal(file: &File, state: &State) -> io::Result<()> {
    let mut footer = [0; FOOTER_LEN as usize];
    footer[..4].copy_from_slice(b"SGse");
    footer[4] = FOOTER_VERSION;
    footer[8..12].copy_from_slice(&state.frames.to_le_bytes());
    footer[16..24].copy_from_slice(&state.end.to_le_bytes());
    let crc = crc32c(&footer[..28]);
    footer[28..].copy_from_slice(&crc.to_le_bytes());
    file.set_len(state.end)?;
    file.write_all_at(&footer, state.end)?;
    file.sync_data()
}

fn read_footer(file: &File) -> io::Result<Option<State>> {
    let len = file.metadata()?.len();
    let Some(end) = len.checked_sub(FOOTER_LEN) else {
        return Ok(None);
    };
    let mut footer = [0; FOOTER_LEN as usize];
    file.read_exact_at(&mut footer, end)?;
    let sound = footer[..4] == *b"SGse"
        && footer[4] == FOOTER_VERSION
        && footer[16..24] == end.to_le_bytes()
        && footer[28..] == crc32c(&footer[..28]).to_le_bytes();
    let frames = u32::from_le_bytes(footer[8..12].try_into().expect("four bytes"));
    Ok(sound.then(|| State { end, frames, sealed: true, ..State::default() }))
}

/// Finds the frames of a segment that was never sealed, and their offsets: its end is behind the last sound one. Also tells how far
/// it was written.
fn find_frames(file: &File, layout: Layout) -> io::Result<(State, Vec<u32>, u64)> {
    let frames_at = frames_at(layout);
    let mut state = State { end: frames_at, sealed: true, ..State::default() };
    let mut offsets = Vec::new();
    let mut used_end = frames_at;
    let mut scan = Scan::new(file, layout, frames_at, u64::MAX)?;
    while let Some(frame) = scan.next()? {
        offsets.push(frame.offset as u32);
        used_end = frame.offset + frame.header.frame_len();
        if frame.is_sound {
            state.frames = offsets.len() as u32;
            state.end = frame.offset + frame.header.frame_len();
        }
    }
    offsets.truncate(state.frames as usize);
    Ok((state, offsets, used_end.max(scan.used_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive() {
        for kind in [Kind::Segment, Kind::DeadList] {
            assert_eq!(parse_name(&name(0xff_ffff_ffff, kind)), Some((0xff_ffff_ffff, kind)));
        }
        assert_eq!(parse_name("1.seg"), None);
        assert_eq!(parse_name("0000000001.tmp"), None);
    }
}
