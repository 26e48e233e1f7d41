//! Bodies whose beginning tells who sends them: no more than that beginning is taken before it is known.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::watch;

use super::body::{BodyError, RequestBody, UNAUTHENTICATED_MAX_LEN};

/// Lets a body through up to [`UNAUTHENTICATED_MAX_LEN`], and all of it once it is opened.
#[derive(Debug)]
pub struct Gate {
    left: AtomicUsize,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A gate before this body. While it is shut all of the body has 20 seconds; at the limit it pauses.
    pub fn before(
        mut body: RequestBody,
    ) -> (Arc<Self>, impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) {
        body.unauthenticated();
        let (open, opened) = watch::channel(false);
        let gate = Arc::new(Self { left: AtomicUsize::new(UNAUTHENTICATED_MAX_LEN), open });
        let pieces =
            stream::unfold((body, gate.clone(), opened), |(mut body, gate, mut opened)| async move {
                let mut piece = None;
                while !*opened.borrow() && piece.is_none() {
                    let is_spent = gate.is_spent();
                    tokio::select! {
                        biased;
                        _ = opened.changed() => {}
                        next = body.next(), if !is_spent => piece = Some(next),
                    }
                }
                let piece = match piece {
                    Some(piece) => piece?,
                    None => {
                        body.authenticated();
                        body.next().await?
                    }
                };
                let len = piece.as_ref().map_or(0, Bytes::len);
                // Only here it changes, and never below nothing.
                gate.left.store(gate.left.load(Ordering::Relaxed).saturating_sub(len), Ordering::Relaxed);
                Some((piece, (body, gate, opened)))
            });
        (gate, pieces)
    }

    /// Whoever sends the body may send all of it.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// What a reader finds in the beginning; `None` where that is too long to find it.
    pub async fn within<T>(&self, found: impl Future<Output = T>) -> Option<T> {
        let mut found = pin!(found);
        std::future::poll_fn(|cx| match found.as_mut().poll(cx) {
            Poll::Ready(found) => Poll::Ready(Some(found)),
            Poll::Pending if self.is_spent() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures_util::StreamExt;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn no_more_than_the_beginning_passes_until_it_is_open() {
        let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1000]))));
        let body = RequestBody::new(StreamBody::new(pieces), Duration::from_secs(60), false);
        let (gate, pieces) = Gate::before(body);
        let mut pieces = Box::pin(pieces);
        let mut len = 0;
        while let Some(Some(piece)) = gate.within(pieces.next()).await {
            len += piece.unwrap().len();
        }
        assert!((UNAUTHENTICATED_MAX_LEN..UNAUTHENTICATED_MAX_LEN + 1000).contains(&len), "{len}");
        gate.open();
        for _ in 0..100 {
            assert_eq!(pieces.next().await.unwrap().unwrap().len(), 1000);
        }
    }
}
