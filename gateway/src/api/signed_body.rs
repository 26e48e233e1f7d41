//! Bodies that are signed as a whole (KMS, IAM, STS, MinIO's admin API): all that can be verified before they are read is, and little
//! is kept of one while it is not known who sends it.

use http::request::Parts;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::auth::{self, AuthError, Beforehand, Expected};
use crate::http::body::{BodyError, RequestBody, UNAUTHENTICATED_MAX_LEN};
use crate::watch::Unseen;

/// Bodies at a time that are longer than [`UNAUTHENTICATED_MAX_LEN`] and name an access key that exists, but tell no hash of
/// themselves by which the signature could be verified before.
static LONG: Semaphore = Semaphore::const_new(8);

/// Why a body is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignedBodyError {
    /// Its signature can't be right.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// It broke off, or took too long.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is too long for this service, or for somebody who is not known.
    #[error("The request is longer than {0} bytes.")]
    TooLong(usize),
    /// Who has the access key can't be told now.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// Too many long ones are read already.
    #[error("Rate exceeded")]
    Busy,
}

/// Reads a body to its end; [`auth::authenticate_body`] verifies its signature then.
pub(super) async fn read(
    app: &App,
    parts: &Parts,
    mut body: RequestBody,
    expected: Expected<'_>,
    max_len: usize,
) -> Result<Vec<u8>, SignedBodyError> {
    app.watch.identities().await?;
    let known = auth::before_body(parts, app.keys(), expected)?;
    match known {
        Beforehand::Verified => body.authenticated(),
        Beforehand::Claimed | Beforehand::Nobody => body.unauthenticated(),
    }
    let mut whole = Vec::new();
    let mut turn = None;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        let len = whole.len() + piece.len();
        if len > max_len {
            return Err(SignedBodyError::TooLong(max_len));
        }
        if len > UNAUTHENTICATED_MAX_LEN && turn.is_none() {
            match known {
                Beforehand::Verified => {}
                Beforehand::Claimed => turn = Some(LONG.try_acquire().map_err(|_| SignedBodyError::Busy)?),
                Beforehand::Nobody => return Err(SignedBodyError::TooLong(UNAUTHENTICATED_MAX_LEN)),
            }
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}
