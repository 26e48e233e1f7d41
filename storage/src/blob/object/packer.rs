//! Collects small blobs for a moment, and sends them as one object. Each is acknowledged once that object is there.

use std::io;
use std::sync::Arc;

use object_store::PutPayload;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::Shared;
use super::budget::Held;
use super::format::Footer;
use super::pack::{self, MAX_BLOBS, MAX_INDEX_LEN, MAX_PACK_LEN, Packed};
use crate::blob::{BlobError, BlobOwner, BlobRef, StoredLen};
use crate::session::BlobTicket;

/// What a blob's writer gets: the ticket under which it was stored.
type Stored = Result<(BlobTicket, BlobRef), BlobError>;

/// The blobs that wait, and who may still come.
#[derive(Default)]
pub(super) struct Packer(Mutex<State>);

#[derive(Default)]
struct State {
    window: Window,
    /// Blobs that are being written and may be small.
    coming: usize,
    /// Objects that are being sent.
    sending: usize,
    /// The last window had several blobs.
    is_busy: bool,
}

/// Blobs that will be sent together.
#[derive(Default)]
struct Window {
    blobs: Vec<Waiting>,
    /// Bytes of their entries, and of their rows in the index.
    len: usize,
    index_len: usize,
    /// Woken when nothing more is waited for.
    full: Arc<Notify>,
}

struct Waiting {
    packed: Packed,
    owner: BlobOwner,
    /// Its own, as if it were alone.
    ticket: BlobTicket,
    stored: oneshot::Sender<Stored>,
    _held: Held,
}

impl Window {
    fn fits(&self, packed: &Packed) -> bool {
        self.blobs.len() < MAX_BLOBS
            && self.index_len + packed.row_len() <= MAX_INDEX_LEN
            && self.len + packed.entry_len() + self.index_len + packed.row_len() <= MAX_PACK_LEN
    }
}

/// Somebody who writes a blob that may be small.
pub(super) struct Coming(Arc<Shared>);

impl Coming {
    pub fn new(shared: Arc<Shared>) -> Self {
        shared.packer.0.lock().coming += 1;
        Self(shared)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut state = self.0.packer.0.lock();
        state.coming -= 1;
        state.wake_if_last();
    }
}

impl State {
    fn wake_if_last(&self) {
        if self.coming == 0 && self.sending == 0 && !self.is_busy {
            self.window.full.notify_one();
        }
    }
}

/// What became of the object that many wait for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Together(#[source] Arc<BlobError>);

impl Shared {
    /// Stores a small blob together with others, or alone if there are none.
    pub(super) async fn store_small(
        self: &Arc<Self>,
        coming: Coming,
        (packed, owner): (Packed, BlobOwner),
        ticket: BlobTicket,
        held: Held,
    ) -> Stored {
        let (stored, receiver) = oneshot::channel();
        let waiting = Waiting { packed, owner, ticket, stored, _held: held };
        {
            let mut state = self.packer.0.lock();
            if !state.window.fits(&waiting.packed) {
                // Its task finds another one in its place.
                let window = std::mem::take(&mut state.window);
                state.sending += 1;
                state.is_busy = true;
                tokio::spawn(self.clone().send(window));
            }
            let window = &mut state.window;
            window.len += waiting.packed.entry_len();
            window.index_len += waiting.packed.row_len();
            window.blobs.push(waiting);
            if window.blobs.len() == 1 {
                tokio::spawn(self.clone().collect(window.full.clone()));
            }
        }
        drop(coming);
        let lost = || BlobError::Unavailable(io::Error::other("what would send it has ended"));
        receiver.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits for others, and sends what came.
    async fn collect(self: Arc<Self>, full: Arc<Notify>) {
        // Over when nobody else comes, or when there was time to.
        let _ = timeout(self.options.pack_window, full.notified()).await;
        let window = {
            let mut state = self.packer.0.lock();
            if !Arc::ptr_eq(&state.window.full, &full) {
                return;
            }
            let window = std::mem::take(&mut state.window);
            state.sending += 1;
            state.is_busy = window.blobs.len() > 1;
            window
        };
        self.send(window).await;
    }

    async fn send(self: Arc<Self>, window: Window) {
        let mut blobs = window.blobs;
        match blobs.pop() {
            Some(alone) if blobs.is_empty() => self.send_alone(alone).await,
            Some(last) => {
                blobs.push(last);
                self.send_pack(blobs).await;
            }
            None => {}
        }
        let mut state = self.packer.0.lock();
        state.sending -= 1;
        state.wake_if_last();
    }

    async fn send_alone(&self, waiting: Waiting) {
        let Waiting { packed, owner: _, ticket, stored, _held } = waiting;
        let (id, stored_len) = (ticket.id(), packed.content.content_length() as u64);
        let tail = Footer::of(id, stored_len, packed.content_crc, &packed.trailer)
            .tail(&packed.trailer, &packed.owner);
        let payload: PutPayload = packed.content.into_iter().chain([tail.clone()]).collect();
        let sent = self.put_new(id, payload, (stored_len, &tail)).await;
        // Nobody may wait for it any more: then its ticket is dropped, and says so.
        let _ = stored.send(sent.map(|()| (ticket, BlobRef { id, stored_len: StoredLen(stored_len) })));
    }

    async fn send_pack(&self, blobs: Vec<Waiting>) {
        let pack = self.ids.begin_pack();
        let (mut packed, mut writers, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in blobs {
            packed.push(waiting.packed);
            writers.push((waiting.owner, waiting.ticket, waiting.stored));
            held.push(waiting._held);
        }
        let places = pack::places(&packed);
        let mut waiting = Vec::with_capacity(packed.len());
        for ((place, packed), (owner, alone, stored)) in places.into_iter().zip(&packed).zip(writers) {
            let ticket = self.ids.begin_in(&pack, place, owner);
            // Nothing is sent under its own.
            alone.cancelled();
            let stored_len = StoredLen(packed.content.content_length() as u64);
            let blob = BlobRef { id: ticket.id(), stored_len };
            waiting.push((ticket, blob, stored));
        }
        let (payload, head) = pack::encode(pack.id(), packed);
        match self.put_new(pack.id(), payload, (0, &head)).await {
            Ok(()) => {
                for (ticket, blob, stored) in waiting {
                    let _ = stored.send(Ok((ticket, blob)));
                }
                pack.cancelled();
            }
            Err(error) => {
                let error = Arc::new(error);
                for (ticket, _, stored) in waiting {
                    // What may be there all the same goes as one, by the pack's ticket.
                    ticket.cancelled();
                    let kind = match &*error {
                        BlobError::Unavailable(error) => error.kind(),
                        BlobError::NotFound(_) | BlobError::Corrupt(..) => io::ErrorKind::Other,
                    };
                    let _ = stored
                        .send(Err(BlobError::Unavailable(io::Error::new(kind, Together(error.clone())))));
                }
            }
        }
        drop(held);
    }
}
