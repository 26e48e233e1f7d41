//! Writing an object: short content by one conditional request, longer content in parts.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutMode, PutMultipartOptions, PutOptions, PutPayload};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::budget::Held;
use super::format::Footer;
use super::pack::Packed;
use super::packer::Coming;
use super::request::{ATTEMPTS, failed, late, pause, within};
use crate::blob::{BlobError, BlobOwner, BlobRef, BlobWriter, SizeHint, StoredLen, check_trailer};
use crate::figures::BLOBS;
use crate::name::BlobId;
use crate::session::BlobTicket;

/// Pieces below this length are gathered, in bytes.
const PIECE_LEN: usize = 64 << 10;

/// A blob being written.
pub(super) struct ObjectWriter {
    shared: Arc<Shared>,
    owner: BlobOwner,
    id: BlobId,
    /// `None`: it is over.
    ticket: Option<BlobTicket>,
    /// It may be small enough to go with others.
    coming: Option<Coming>,
    /// Something was sent to the store.
    is_begun: bool,
    buffer: Buffer,
    stored_len: u64,
    crc: Digest,
    parts: Option<Parts>,
}

/// Bytes that are not sent yet.
#[derive(Default)]
struct Buffer {
    pieces: std::collections::VecDeque<Bytes>,
    gathered: BytesMut,
    len: usize,
    held: Held,
}

impl Buffer {
    fn push(&mut self, data: Bytes) {
        self.len += data.len();
        if data.len() < PIECE_LEN {
            self.gathered.extend_from_slice(&data);
            if self.gathered.len() >= PIECE_LEN {
                self.pieces.push_back(self.gathered.split().freeze());
            }
        } else {
            if !self.gathered.is_empty() {
                self.pieces.push_back(self.gathered.split().freeze());
            }
            self.pieces.push_back(data);
        }
    }

    /// Exactly this many bytes from the front, or all; and what holds their memory.
    fn take(&mut self, len: usize) -> (PutPayload, Held) {
        if !self.gathered.is_empty() {
            self.pieces.push_back(self.gathered.split().freeze());
        }
        let len = len.min(self.len);
        let held = if len == self.len { std::mem::take(&mut self.held) } else { self.held.split(len) };
        self.len -= len;
        let (mut taken, mut missing) = (Vec::new(), len);
        while missing > 0 {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            if piece.len() > missing {
                self.pieces.push_front(piece.split_off(missing));
            }
            missing -= piece.len();
            taken.push(piece);
        }
        (taken.into_iter().collect(), held)
    }
}

/// An object that is written in parts. Dropped before its end, it is given up in the store, too.
struct Parts {
    shared: Arc<Shared>,
    id: BlobId,
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl Parts {
    async fn begin(shared: &Arc<Shared>, id: BlobId) -> Result<Self, BlobError> {
        let name = shared.places.of(id);
        let upload = shared.store.put_multipart_opts(&name, PutMultipartOptions::default());
        let upload = match within(shared.options.write, id, upload).await {
            Err(BlobError::NotFound(_)) => return Err(odd("the object store knows no such bucket")),
            upload => upload?,
        };
        Ok(Self { shared: shared.clone(), id, upload: Some(upload), in_flight: JoinSet::new() })
    }

    /// Sends a part, once fewer than the most are under way.
    async fn send(&mut self, (payload, held): (PutPayload, Held)) -> Result<(), BlobError> {
        while self.in_flight.len() >= self.shared.options.parts_in_flight.max(1) {
            self.settle_one().await?;
        }
        let Some(upload) = &mut self.upload else { return Err(odd("the upload has ended")) };
        let part = upload.put_part(payload);
        let limit = self.shared.options.write;
        self.in_flight.spawn(async move {
            let sent = timeout(limit, part).await;
            drop(held);
            sent.unwrap_or_else(|_| Err(Error::Generic { store: "deadline", source: Box::new(late()) }))
        });
        Ok(())
    }

    /// False: nothing is under way any more. Each part has a deadline of its own.
    async fn settle_one(&mut self) -> Result<bool, BlobError> {
        match self.in_flight.join_next().await {
            None => Ok(false),
            Some(Ok(Ok(()))) => Ok(true),
            Some(Ok(Err(error))) => Err(refused(self.id, error)),
            Some(Err(error)) => Err(BlobError::Unavailable(io::Error::other(error))),
        }
    }

    /// Makes an object of the parts; `tail` is its end.
    async fn complete(mut self, tail: &Bytes, stored_len: u64) -> Result<(), BlobError> {
        while self.settle_one().await? {}
        let Some(upload) = &mut self.upload else { return Err(odd("the upload has ended")) };
        let completed = timeout(self.shared.options.write, upload.complete()).await;
        let error = match completed {
            Ok(Ok(_)) => {
                self.upload = None;
                return Ok(());
            }
            Ok(Err(error)) => refused(self.id, error),
            Err(_) => BlobError::Unavailable(late()),
        };
        // The answer may have been lost on its way.
        if self.shared.is_written(self.id, (stored_len, tail)).await {
            self.upload = None;
            return Ok(());
        }
        Err(error)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.in_flight.abort_all();
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (limit, id) = (self.shared.options.write, self.id);
        runtime.spawn(async move {
            let aborted = timeout(limit, upload.abort()).await;
            if !matches!(aborted, Ok(Ok(()) | Err(Error::NotFound { .. }))) {
                tracing::warn!(blob = %id, "an upload in parts was not given up: the bucket's rule ends it");
            }
        });
    }
}

fn odd(what: &'static str) -> BlobError {
    BlobError::Unavailable(io::Error::new(io::ErrorKind::HostUnreachable, what))
}

/// A write that failed: no blob is missing, whatever the store says was not found.
fn refused(id: BlobId, error: Error) -> BlobError {
    match failed(id, error) {
        BlobError::NotFound(_) => odd("the object store does not find what it is to write to"),
        error => error,
    }
}

impl ObjectWriter {
    /// A blob of this session, about so long.
    pub fn new(shared: Arc<Shared>, owner: BlobOwner, hint: SizeHint) -> Self {
        let ticket = shared.ids.begin(owner.clone());
        let may_be_small = match hint {
            SizeHint::Exact(len) => len <= shared.options.pack_len as u64,
            SizeHint::Unknown => true,
        };
        let coming = (shared.options.pack_len > 0 && may_be_small).then(|| Coming::new(shared.clone()));
        Self {
            id: ticket.id(),
            shared,
            owner,
            ticket: Some(ticket),
            coming,
            is_begun: false,
            buffer: Buffer::default(),
            stored_len: 0,
            crc: Digest::new(CrcAlgorithm::Crc32Iscsi),
            parts: None,
        }
    }

    async fn push(&mut self, data: Bytes) -> Result<(), BlobError> {
        let len = self.buffer.len + data.len();
        self.shared.budget.grow(&mut self.buffer.held, len).await.map_err(BlobError::Unavailable)?;
        self.buffer.push(data);
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        // Of what was begun something may be there, or still come.
        if let Some(ticket) = self.ticket.take_if(|_| !self.is_begun) {
            ticket.cancelled();
        }
    }
}

#[async_trait]
impl BlobWriter for ObjectWriter {
    async fn write(&mut self, mut data: Bytes) -> Result<(), BlobError> {
        self.crc.update(&data);
        self.stored_len += data.len() as u64;
        if self.stored_len > self.shared.options.pack_len as u64 {
            self.coming = None;
        }
        let (single_len, part_len) = (self.shared.options.single_len, self.shared.options.part_len.max(1));
        // However much comes at once, no more than a part of it is held.
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(part_len.saturating_sub(self.buffer.len).max(1)));
            self.push(piece).await?;
            if self.parts.is_none() && self.buffer.len > single_len {
                self.is_begun = true;
                self.parts = Some(Parts::begin(&self.shared, self.id).await?);
            }
            if let Some(parts) = &mut self.parts
                && self.buffer.len >= part_len
            {
                parts.send(self.buffer.take(part_len)).await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        check_trailer(&trailer)?;
        let (id, stored_len) = (self.id, self.stored_len);
        let (crc, owner) = (self.crc.finalize() as u32, self.owner.encode());
        if self.coming.is_some() {
            let len = self.buffer.len + trailer.len() + owner.len();
            self.shared.budget.grow(&mut self.buffer.held, len).await.map_err(BlobError::Unavailable)?;
        }
        if let Some(coming) = self.coming.take()
            && let Some(ticket) = self.ticket.take()
        {
            let (content, held) = self.buffer.take(usize::MAX);
            let packed = Packed { content, content_crc: crc, trailer, owner };
            let shared = self.shared.clone();
            let stored = shared.store_small(coming, (packed, self.owner.clone()), ticket, held).await;
            let (ticket, blob) = stored.inspect_err(|_| BLOBS.write_errors.add(1))?;
            BLOBS.finished(&Ok(blob));
            ticket.finished(blob);
            return Ok(blob);
        }
        let tail = Footer::of(id, stored_len, crc, &trailer).tail(&trailer, &owner);
        self.push(tail.clone()).await?;
        self.is_begun = true;
        match self.parts.take() {
            None => {
                let (payload, _held) = self.buffer.take(usize::MAX);
                let put = self.shared.put_new(id, payload, (stored_len, &tail)).await;
                put.inspect_err(|_| BLOBS.write_errors.add(1))?;
            }
            Some(mut parts) => {
                while self.buffer.len > 0 {
                    parts.send(self.buffer.take(self.shared.options.part_len)).await?;
                }
                let completed = parts.complete(&tail, stored_len).await;
                completed.inspect_err(|_| BLOBS.write_errors.add(1))?;
            }
        }
        let blob = BlobRef { id, stored_len: StoredLen(stored_len) };
        BLOBS.finished(&Ok(blob));
        if let Some(ticket) = self.ticket.take() {
            ticket.finished(blob);
        }
        Ok(blob)
    }
}

impl Shared {
    /// Writes an object that must not be there, and that has these bytes at this place. Repeated after an answer that was lost, it meets
    /// itself.
    pub(super) async fn put_new(
        &self,
        id: BlobId,
        payload: PutPayload,
        has: (u64, &Bytes),
    ) -> Result<(), BlobError> {
        let name: Path = self.places.of(id);
        let deadline = Instant::now() + self.options.write;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let options = PutOptions::from(PutMode::Create);
            let error = match timeout_at(deadline, self.store.put_opts(&name, payload.clone(), options)).await
            {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))) => {
                    if self.is_written(id, has).await {
                        return Ok(());
                    }
                    return Err(refused(id, error));
                }
                Ok(Err(error @ Error::Generic { .. })) if attempt < ATTEMPTS && Instant::now() < deadline => {
                    error
                }
                Ok(Err(error)) => return Err(refused(id, error)),
                Err(_) => return Err(BlobError::Unavailable(late())),
            };
            tracing::debug!(blob = %id, %error, "a write is repeated");
            pause(attempt).await;
        }
    }

    /// Is the object there, and the one with these bytes at this place? They have a number at random. False where that can't be told.
    async fn is_written(&self, id: BlobId, (at, bytes): (u64, &Bytes)) -> bool {
        let found = self.get(id, at..at + bytes.len() as u64).await;
        found.is_ok_and(|found| found == *bytes)
    }
}
