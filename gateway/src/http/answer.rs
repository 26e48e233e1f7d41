//! An answer's body on its way out, which its connection watches.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body::{ResponseBody, StreamError};
use super::connection::Exchange;

/// An answer's body on its way out.
pub(super) struct Answer {
    body: ResponseBody,
    exchange: Arc<Exchange>,
    has_ended: bool,
}

impl Answer {
    pub(super) fn new(body: ResponseBody, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange, has_ended: false }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(record) = &self.exchange.record
            && (self.has_ended || self.body.is_end_stream())
        {
            record.is_whole();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        // Asked for more, so the piece before has gone.
        this.exchange.give(None);
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let len = frame.data_ref().map_or(0, Bytes::len);
            this.exchange.give(Some(len));
            if let Some(record) = &this.exchange.record {
                record.has_sent(len);
            }
        }
        this.has_ended |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
