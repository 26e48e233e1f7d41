//! One request and its whole answer, in bounded time; and waiting until something is so.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller};
use http::Method;
use http_body_util::BodyExt;

/// The longest that an answer may take: behind it, it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks, and reads the answer to its end.
pub(crate) async fn ask(
    caller: &mut Caller,
    method: Method,
    target: &str,
    headers: &[(&'static str, String)],
    body: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    let answer = async {
        let (parts, body) = caller.send(method, target, headers, body.into()).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        anyhow::Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    tokio::time::timeout(PATIENCE, answer).await.with_context(|| format!("{target}: no answer"))?
}

/// Waits until this is so, at most for so long. Answers whether it is, and how long that took.
pub(crate) async fn until(
    patience: Duration,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<(bool, Duration)> {
    let began = Instant::now();
    loop {
        if condition().await? {
            return Ok((true, began.elapsed()));
        }
        if began.elapsed() > patience {
            return Ok((false, began.elapsed()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
