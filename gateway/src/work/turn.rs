//! Cooperative scheduling: who computes for long gives the thread back now and then.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, yield_now};

use super::TooMany;

/// How long a task may hold a serving thread before [`pause`] gives it to others.
const TURN: Duration = Duration::from_millis(2);

thread_local! {
    /// When the task that holds this thread was given it; `None` outside of [`timed`].
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Times the turns of a future on its thread, so that [`pause`] within it knows when one has been long enough.
pub async fn timed<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let outer = BEGAN.replace(Some(Instant::now()));
        let polled = future.as_mut().poll(cx);
        BEGAN.set(outer);
        polled
    })
    .await
}

/// Lets other tasks run, if this one has held its thread for 2 ms. For every loop whose length a client chooses: all futures that a
/// task polls together share its turn.
pub async fn pause() {
    // Asked again afterwards: of futures that waited together the first may have used the next turn up.
    while BEGAN.get().is_some_and(|began| began.elapsed() >= TURN) {
        yield_now().await;
    }
}

/// The most long computations of S3's documents at a time; further ones wait.
static DOCUMENTS: Semaphore = Semaphore::const_new(8);
/// The most long answers of IAM that are made at a time; further ones are refused.
static ANSWERS: Semaphore = Semaphore::const_new(8);

/// Computes what may take longer than a turn and can't pause: other tasks of the thread go on elsewhere.
pub async fn compute<T>(work: impl FnOnce() -> T) -> T {
    // It is never closed.
    let _permit = DOCUMENTS.acquire().await;
    in_place(work)
}

/// As [`compute`], for whoever can't wait until others have computed.
///
/// # Errors
/// Too many compute.
pub fn try_compute<T>(work: impl FnOnce() -> T) -> Result<T, TooMany> {
    let _permit = ANSWERS.try_acquire().map_err(|_| TooMany)?;
    Ok(in_place(work))
}

fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // There is one thread: of a test, or none of a runtime at all.
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn compute_for(for_how_long: Duration) {
        let began = Instant::now();
        while began.elapsed() < for_how_long {}
    }

    /// The longest that a task beside these had to wait.
    fn longest_wait(busy: impl Future<Output = ()> + Send + 'static) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let busy = tokio::spawn(busy);
            let mut longest = Duration::ZERO;
            while !busy.is_finished() {
                let before = Instant::now();
                yield_now().await;
                longest = longest.max(before.elapsed());
            }
            busy.await.unwrap();
            longest
        })
    }

    #[test]
    fn a_loop_gives_its_thread_back() {
        let step = Duration::from_micros(500);
        let busy = async move {
            for _ in 0..200 {
                compute_for(step);
                pause().await;
            }
        };
        let longest = longest_wait(timed(busy));
        assert!(longest < Duration::from_millis(50), "{longest:?}");
    }

    #[test]
    fn futures_that_run_together_share_a_turn() {
        let busy = async {
            let each = (0..128).map(|_| async {
                pause().await;
                compute_for(Duration::from_micros(1500));
            });
            futures_util::stream::iter(each).buffered(64).for_each(|()| async {}).await;
        };
        let longest = longest_wait(timed(busy));
        assert!(longest < Duration::from_millis(50), "{longest:?}");
    }
}
