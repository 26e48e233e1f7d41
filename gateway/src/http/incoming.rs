//! A request's body as the wire gives it, and what an operation left of it.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;

/// A body that is at most this long is read to its end for an operation that did not want it: the connection goes on then.
pub(super) const SETTLE_MAX_LEN: u64 = 64 * 1024;
/// If it comes in this time.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke or its framing was wrong.
    #[error("the request body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for too long: AWS answers 400 RequestTimeout.
    #[error("the request body stalled")]
    TimedOut,
}

/// A body that comes.
pub(super) type Incoming = BoxBody<Bytes, BodyError>;

/// What an operation left of a request's body.
#[derive(Default)]
pub(super) enum Leftover {
    /// It still has it.
    #[default]
    InUse,
    /// Nothing: it has ended.
    Nothing,
    /// What was not read; `None`: it can't be read to its end.
    Unread(Option<Incoming>),
}

impl std::fmt::Debug for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InUse => "InUse",
            Self::Nothing => "Nothing",
            Self::Unread(_) => "Unread",
        })
    }
}

impl Leftover {
    /// Whether the body has ended, or ends if a little is read and thrown away: then another request may follow it.
    pub(super) async fn settle(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::InUse | Self::Unread(None) => false,
            Self::Unread(Some(incoming)) if incoming.size_hint().lower() > SETTLE_MAX_LEN => false,
            Self::Unread(Some(incoming)) => {
                tokio::time::timeout(SETTLE_TIMEOUT, drain(incoming)).await.unwrap_or(false)
            }
        }
    }
}

async fn drain(mut incoming: Incoming) -> bool {
    let mut drained = 0;
    while drained <= SETTLE_MAX_LEN {
        match incoming.frame().await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => drained += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
    }
    false
}
