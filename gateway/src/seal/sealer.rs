//! Seals a message as its plain bytes come.

use super::aead::MessageKey;
use super::{CHUNK_LEN_PLAIN, ContentKeys, HEADER_LEN, SALT_LEN, SealContext, TAG_LEN};

/// Seals one message as its plain bytes come, in every layer at once.
pub struct Sealer {
    layers: Vec<Layer>,
    /// What an inner layer gives the next one, kept to be filled again.
    between: Vec<u8>,
}

impl Sealer {
    /// Begins a message. `salts`: one per layer, fresh for each attempt.
    ///
    /// # Panics
    /// Unless there is one salt per layer.
    pub fn new(keys: &ContentKeys, context: SealContext, salts: &[[u8; SALT_LEN]]) -> Self {
        assert_eq!(keys.layers.len(), salts.len(), "one salt per layer");
        let layers = keys
            .layers
            .iter()
            .zip(salts)
            .map(|(content_key, salt)| {
                let message_key = MessageKey::derive(content_key, salt, context);
                let header = Some(message_key.header(salt));
                Layer { message_key, header, open_chunk: Vec::new(), next_index: 0 }
            })
            .collect();
        Self { layers, between: Vec::new() }
    }

    /// Takes the next plain bytes, and appends to `out` what is complete: the header first, then whole chunks.
    /// Whole chunks in `plain` are copied once, straight into `out`.
    pub fn update(&mut self, plain: &[u8], out: &mut impl Output) {
        match &mut self.layers[..] {
            [only] => only.update(plain, out),
            [inner, outer] => {
                self.between.clear();
                inner.update(plain, &mut self.between);
                outer.update(&self.between, out);
            }
            _ => unreachable!("a version has one or two layers"),
        }
    }

    /// Ends the message, and appends the rest.
    pub fn finish(mut self, out: &mut impl Output) {
        self.update(&[], out);
        match &mut self.layers[..] {
            [only] => only.finish(out),
            [inner, outer] => {
                self.between.clear();
                inner.finish(&mut self.between);
                outer.update(&self.between, out);
                outer.finish(out);
            }
            _ => unreachable!("a version has one or two layers"),
        }
    }
}

/// Where sealed bytes go.
pub trait Output {
    /// Appends so many bytes, which are filled in.
    fn append_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8]));
}

impl Output for Vec<u8> {
    fn append_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        let start = self.len();
        self.resize(start + len, 0);
        fill(&mut self[start..]);
    }
}

struct Layer {
    message_key: MessageKey,
    header: Option<[u8; HEADER_LEN]>,
    /// Plain bytes of a chunk that is not full yet.
    open_chunk: Vec<u8>,
    next_index: u64,
}

impl Layer {
    fn update(&mut self, mut plain: &[u8], out: &mut impl Output) {
        if let Some(header) = self.header.take() {
            out.append_with(header.len(), |room| room.copy_from_slice(&header));
        }
        if !self.open_chunk.is_empty() {
            let (head, tail) = plain.split_at(plain.len().min(CHUNK_LEN_PLAIN - self.open_chunk.len()));
            self.open_chunk.extend_from_slice(head);
            plain = tail;
            if self.open_chunk.len() < CHUNK_LEN_PLAIN {
                return;
            }
            let chunk = std::mem::take(&mut self.open_chunk);
            self.seal(&chunk, out);
            self.open_chunk = chunk;
            self.open_chunk.clear();
        }
        let mut chunks = plain.chunks_exact(CHUNK_LEN_PLAIN);
        for chunk in &mut chunks {
            self.seal(chunk, out);
        }
        self.open_chunk.extend_from_slice(chunks.remainder());
    }

    fn finish(&mut self, out: &mut impl Output) {
        let chunk = std::mem::take(&mut self.open_chunk);
        self.seal(&chunk, out);
    }

    fn seal(&mut self, chunk: &[u8], out: &mut impl Output) {
        out.append_with(chunk.len() + TAG_LEN, |room| self.message_key.seal(self.next_index, chunk, room));
        self.next_index += 1;
    }
}
