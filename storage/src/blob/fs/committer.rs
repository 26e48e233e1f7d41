//! The one thread that appends to segments of a layout: it writes what many writers brought, syncs once, and wakes them all.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::address::FrameAddress;
use super::direct::{begin_direct, end_direct, write_blocks};
use super::frame::{Frame, Layout};
use super::io::{same_error, write_all_at};
use super::segment::{Segment, Segments, frames_at};
use crate::figures::BLOBS;
use crate::name::BlobId;

/// Bytes of frames that may wait for the thread.
const MAX_QUEUED: usize = 8 << 20;
/// Bytes of one commit.
const MAX_COMMIT: u64 = 4 << 20;
/// How far the dead lists on disk may be behind while there is work, and without.
const SAVE_EVERY: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_millis(500);

/// Where writers leave their frames.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    ready: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct QueueState {
    frames: VecDeque<Pending>,
    idle: bool,
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    frame: Frame,
    reply: oneshot::Sender<io::Result<BlobId>>,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), room: Arc::new(Semaphore::new(MAX_QUEUED)) }
    }

    /// Appends a frame; returns when it is durable.
    pub async fn append(&self, frame: Frame) -> io::Result<BlobId> {
        let room = self.room.clone().acquire_many_owned(frame.len as u32).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(closed());
            }
            state.frames.push_back(Pending { frame, reply, _room: room });
            if state.idle {
                self.ready.notify_one();
            }
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Refuses further frames and lets the thread end once it has written those it has.
    pub fn close(&self) {
        self.room.close();
        self.state.lock().closed = true;
        self.ready.notify_one();
    }

    /// The frames that wait, once there are any; none at times, to look after other work; `None` at the end.
    fn take(&self, into: &mut Vec<Pending>) -> Option<()> {
        let mut state = self.state.lock();
        if state.frames.is_empty() {
            if state.closed {
                return None;
            }
            state.idle = true;
            self.ready.wait_for(&mut state, IDLE);
            state.idle = false;
        }
        into.extend(state.frames.drain(..));
        Some(())
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the blob store is shutting down")
}

/// The thread's state.
pub(super) struct Committer {
    pub queue: Arc<Queue>,
    pub segments: Arc<Segments>,
    pub segment_len: u64,
    layout: Layout,
    active: Option<Active>,
}

struct Active {
    segment: Arc<Segment>,
    file: File,
    /// Past the page cache: the layout asks for it, and the medium can.
    is_direct: bool,
    end: u64,
}

impl Committer {
    /// A committer that begins its first segment with its first frame.
    pub fn new(queue: Arc<Queue>, segments: Arc<Segments>, segment_len: u64, layout: Layout) -> Self {
        Self { queue, segments, segment_len, layout, active: None }
    }

    /// Works until the queue is closed and empty, then ends the active segment.
    pub fn run(mut self) {
        let mut pending = Vec::new();
        let mut saved = std::time::Instant::now();
        while self.queue.clone().take(&mut pending).is_some() {
            let mut rest = pending.drain(..).peekable();
            while let Some(first) = rest.next() {
                let mut bytes = first.frame.len;
                let mut batch = vec![first];
                while let Some(next) = rest.next_if(|next| self.fits(bytes, next.frame.len)) {
                    bytes += next.frame.len;
                    batch.push(next);
                }
                self.commit(batch, bytes);
            }
            drop(rest);
            if saved.elapsed() >= SAVE_EVERY && self.segments.is_behind() {
                self.save_dead_lists();
                saved = std::time::Instant::now();
            }
        }
        self.end_active();
        self.save_dead_lists();
    }

    /// May a frame of `len` bytes join a commit that has `bytes` already?
    fn fits(&self, bytes: u64, len: u64) -> bool {
        let end = self.active.as_ref().map_or(frames_at(self.layout), |active| active.end);
        bytes + len <= MAX_COMMIT && end + bytes + len <= self.segment_len
    }

    fn commit(&mut self, mut batch: Vec<Pending>, bytes: u64) {
        match self.append(&mut batch, bytes) {
            Ok(addresses) => {
                for (pending, id) in batch.into_iter().zip(addresses) {
                    let _ = pending.reply.send(Ok(id));
                }
            }
            Err(error) => {
                tracing::error!(%error, "blobs could not be written");
                // After a failed sync nobody knows what the medium holds: nothing more is appended there.
                if let Some(active) = self.active.take() {
                    let _ = self.segments.end(&active.segment, None);
                }
                for pending in batch {
                    let _ = pending.reply.send(Err(same_error(&error)));
                }
            }
        }
    }

    fn append(&mut self, batch: &mut [Pending], bytes: u64) -> io::Result<Vec<BlobId>> {
        if self.active.as_ref().is_some_and(|active| active.end + bytes > self.segment_len) {
            self.end_active();
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => {
                let (segment, file) = self.segments.begin(self.segment_len, self.layout)?;
                let end = frames_at(self.layout);
                let is_direct = self.layout == Layout::Blocks && begin_direct(&file);
                none.insert(Active { segment, file, is_direct, end })
            }
        };
        let mut pieces: Vec<_> =
            batch.iter_mut().flat_map(|pending| pending.frame.pieces.drain(..)).collect();
        match active.is_direct {
            true => write_blocks(&active.file, pieces, active.end)?,
            false => write_all_at(&active.file, &mut pieces, active.end)?,
        }
        BLOBS.sync(&active.file)?;
        let mut offset = active.end;
        let ids = batch.iter().map(|pending| {
            let Frame { nonce, len, .. } = pending.frame;
            let address = FrameAddress { segment: active.segment.number, offset: offset as u32, nonce };
            offset += len;
            address.id()
        });
        let ids = ids.collect();
        active.end += bytes;
        self.segments.committed(&active.segment, batch.len() as u32, active.end);
        Ok(ids)
    }

    fn end_active(&mut self) {
        let Some(active) = self.active.take() else { return };
        // The footer is no block.
        let ended = if active.is_direct { end_direct(&active.file) } else { Ok(()) };
        if let Err(error) = ended.and_then(|()| self.segments.end(&active.segment, Some(&active.file))) {
            tracing::warn!(%error, segment = active.segment.number, "a segment could not be sealed");
        }
    }

    fn save_dead_lists(&self) {
        if let Err(error) = self.segments.save_dead_lists() {
            tracing::warn!(%error, "a list of deleted blobs could not be written; a sweep will find them again");
        }
    }
}
