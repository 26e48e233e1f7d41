//! Bodies on their way from a store to the reader: held until they are authenticated, or passed on at once.

use std::fs::File;
use std::io::{Read, Seek, Write};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt, once, try_unfold};
use tokio::task::spawn_blocking;

use crate::content::{self, Opener, OpeningKey};
use crate::error::Error;
use crate::release::Release;

/// A body, piece by piece.
pub(crate) type Body = BoxStream<'static, Result<Bytes, Error>>;

/// Bytes that are read of a spooled body at a time.
const STEP_LEN: usize = 1 << 20;

/// The plain body of a sealed one. `sealed_len` is what the store says of its length, in bytes.
pub(crate) async fn open(
    key: OpeningKey,
    release: &Release,
    sealed_len: Option<u64>,
    mut sealed: Body,
) -> Result<Body, Error> {
    let Release::AfterAuthentication { max_memory, spool } = release else { return pass_on(&key, sealed) };
    // Who opens what authenticates nothing has asked for it.
    let Some(mut verifier) = key.verifier()? else { return pass_on(&key, sealed) };
    let max_sealed = content::sealed_len(*max_memory);
    let too_long = |len| Error::TooLongToHold { len: content::plain_len(len).unwrap_or(0), max: *max_memory };
    let len = sealed_len.unwrap_or(0);
    if len > max_sealed && spool.is_none() {
        return Err(too_long(len));
    }
    // What is said to be too long is spooled from its start on.
    let held_len = if len > max_sealed { 0 } else { len };
    let mut held = Vec::with_capacity(usize::try_from(held_len).unwrap_or(0));
    let mut more = None;
    while let Some(piece) = sealed.try_next().await? {
        if len > max_sealed || held.len() as u64 + piece.len() as u64 > max_sealed {
            more = Some(piece);
            break;
        }
        held.extend_from_slice(&piece);
    }
    let Some(piece) = more else {
        key.open(&mut held)?;
        return Ok(once(async { Ok(Bytes::from(held)) }).boxed());
    };
    let Some(folder) = spool.clone() else { return Err(too_long(held.len() as u64 + piece.len() as u64)) };
    verifier.update(&held)?;
    verifier.update(&piece)?;
    let mut file = blocking(move || {
        // The file has no name: it ends with its last handle.
        let mut file = tempfile::tempfile_in(folder)?;
        file.write_all(&held)?;
        file.write_all(&piece)?;
        Ok(file)
    })
    .await?;
    while let Some(piece) = sealed.try_next().await? {
        verifier.update(&piece)?;
        file = blocking(move || file.write_all(&piece).map(|()| file)).await?;
    }
    verifier.finish()?;
    file = blocking(move || file.rewind().map(|()| file)).await?;
    // The file is authenticated again while it is opened: it was on a disk.
    pass_on(&key, spooled(file))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    Ok(spawn_blocking(work).await.map_err(std::io::Error::other)??)
}

fn spooled(file: File) -> Body {
    try_unfold(file, |file| async {
        let read = move || {
            let (mut file, mut piece) = (file, Vec::with_capacity(STEP_LEN));
            (&mut file).take(STEP_LEN as u64).read_to_end(&mut piece)?;
            Ok((Bytes::from(piece), file))
        };
        let (piece, file) = blocking(read).await?;
        Ok((!piece.is_empty()).then_some((piece, file)))
    })
    .boxed()
}

/// Opens each piece as it comes.
fn pass_on(key: &OpeningKey, sealed: Body) -> Result<Body, Error> {
    struct State {
        opener: Option<Opener>,
        sealed: Body,
    }
    let state = State { opener: Some(key.opener()?), sealed };
    Ok(try_unfold(state, |mut state| async move {
        let Some(mut opener) = state.opener.take() else { return Ok(None) };
        let mut plain = Vec::new();
        while plain.is_empty() {
            match state.sealed.try_next().await? {
                Some(piece) => opener.update(&piece, &mut plain)?,
                None => {
                    opener.finish(&mut plain)?;
                    return Ok(Some((Bytes::from(plain), state)));
                }
            }
        }
        state.opener = Some(opener);
        Ok(Some((Bytes::from(plain), state)))
    })
    .boxed())
}

/// The range of a plain body. All of it is read: its authenticity is told at its end.
#[cfg(any(feature = "object-store", feature = "object-store-0-13"))]
pub(crate) fn cut(plain: Body, range: std::ops::Range<u64>) -> Body {
    let mut at = 0;
    plain
        .map_ok(move |piece| {
            let len = piece.len() as u64;
            let from = range.start.clamp(at, at + len) - at;
            let to = range.end.clamp(at, at + len) - at;
            at += len;
            piece.slice(from as usize..(to as usize).max(from as usize))
        })
        .try_filter(|piece| std::future::ready(!piece.is_empty()))
        .boxed()
}
