//! Objects on their way out.

use super::api::path::Path;
use super::api::{self, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore};
use futures_util::stream::{StreamExt, TryStreamExt};

use super::{EncryptedStore, Ranges, Result, plain_attributes};
use crate::content::plain_len;
use crate::error::{Error, PolicyError};
use crate::hold::{self, Body};

fn generic(error: Error) -> api::Error {
    error.into()
}

/// What a store answers to a range beyond the object.
pub(super) fn no_such_range(location: &Path) -> api::Error {
    let source = format!("the range begins behind the end of {location}");
    api::Error::Generic { store: "EncryptedStore", source: source.into() }
}

fn sealed(result: GetResult) -> Body {
    result.into_stream().map_err(|error| Error::Store(Box::new(error))).boxed()
}

impl<S: ObjectStore> EncryptedStore<S> {
    pub(super) async fn read(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let range = if options.head { None } else { options.range.take() };
        match (range, self.ranges) {
            (None, _) => self.read_whole(location, options, None).await,
            (Some(_), Ranges::Refuse) => Err(generic(PolicyError::Range.into())),
            (Some(range), Ranges::FetchWhole) => self.read_whole(location, options, Some(range)).await,
            (Some(range), Ranges::Unauthenticated) => self.read_range(location, options, range).await,
        }
    }

    async fn read_whole(
        &self,
        location: &Path,
        options: GetOptions,
        range: Option<GetRange>,
    ) -> Result<GetResult> {
        let is_head = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        let envelope = self.envelope_of(location, &result.attributes).await?;
        let sealed_len = result.meta.size;
        let attributes = plain_attributes(std::mem::take(&mut result.attributes));
        let (mut meta, extra) = (result.meta.clone(), api::take_extra(&mut result));
        meta.size = envelope.plain_len(sealed_len).unwrap_or(sealed_len);
        let whole = 0..meta.size;
        let range = match range {
            Some(range) => range.as_range(meta.size).map_err(|_| no_such_range(location))?,
            None => whole.clone(),
        };
        let body = if is_head {
            futures_util::stream::empty().boxed()
        } else {
            let key = self.cipher().open(&envelope, &self.context).await?;
            let release = &self.cipher().settings().release;
            let plain = hold::open(key, release, Some(sealed_len), sealed(result)).await?;
            if range == whole { plain } else { hold::cut(plain, range.clone()) }
        };
        let payload = GetResultPayload::Stream(body.map_err(generic).boxed());
        Ok(api::result(payload, meta, range, attributes, extra))
    }

    async fn read_range(&self, location: &Path, options: GetOptions, range: GetRange) -> Result<GetResult> {
        // The tag stands behind the last bytes.
        let asked = match &range {
            GetRange::Suffix(len) => GetRange::Suffix(len.saturating_add(crate::suite::TAG_LEN as u64)),
            other => other.clone(),
        };
        let options = GetOptions { range: Some(asked), ..options };
        let mut result = self.inner.get_opts(location, options).await?;
        let envelope = self.envelope_of(location, &result.attributes).await?;
        let key = self.cipher().open(&envelope, &self.context).await?;
        let mut meta = result.meta.clone();
        meta.size = plain_len(meta.size).ok_or_else(|| generic(Error::Authentication))?;
        let (from, to) = (result.range.start, result.range.end.min(meta.size));
        if from >= to {
            return Err(no_such_range(location));
        }
        let attributes = plain_attributes(std::mem::take(&mut result.attributes));
        let extra = api::take_extra(&mut result);
        let block = u32::try_from(from / 16).map_err(|_| no_such_range(location))?;
        let mut keystream = key.keystream(block)?;
        // A range may begin inside of a block.
        keystream.apply(&vec![0; (from % 16) as usize], &mut Vec::new())?;
        let opened = sealed(result).and_then(move |piece| {
            let mut plain = Vec::new();
            let applied = keystream.apply(&piece, &mut plain);
            std::future::ready(applied.map(|()| plain.into()))
        });
        let body = hold::cut(opened.boxed(), 0..to - from);
        let payload = GetResultPayload::Stream(body.map_err(generic).boxed());
        Ok(api::result(payload, meta, from..to, attributes, extra))
    }
}
