//! The MD5s of bodies that come at the same time, computed together: one thread takes a slice of each in turn.
//!
//! A step of a body that comes alone begins at once. Where others come too it waits for theirs, as long as they keep coming: then a
//! step costs a fraction of what it costs alone.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Md5, lanes};
use crate::transfer::pool::Buffer;

/// How many bytes of each body are taken before others may join. Of 8 bodies together they stay in the second cache.
const SLICE_LEN: usize = 32 * 1024;
/// The longest that a step waits for others.
const MAX_WAIT: Duration = Duration::from_millis(4);
/// Steps that come less often than this are not waited for.
const MAX_GAP: Duration = Duration::from_millis(1);

/// A body whose MD5 is computed together with others'. Dropping it ends that.
pub(in crate::transfer) struct Together(());

/// The thread that computes ended badly.
#[derive(Debug, thiserror::Error)]
#[error("the thread that computes MD5s ended badly")]
pub struct Ended;

impl Together {
    /// One more body whose steps will come.
    pub(in crate::transfer) fn join() -> Self {
        POOL.bodies.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Takes the next bytes, and gives them back. There is at most one step of a body at a time.
    pub(in crate::transfer) async fn update(
        &self,
        mut md5: Md5,
        data: Buffer,
    ) -> Result<(Md5, Buffer), Ended> {
        if POOL.width == 1 {
            let task = tokio::task::spawn_blocking(move || {
                md5.update(&data);
                (md5, data)
            });
            return task.await.map_err(|_| Ended);
        }
        let (done, answer) = oneshot::channel();
        if POOL.queue.lock().push(Step { md5, data, done }, POOL.width) {
            tokio::task::spawn_blocking(|| POOL.work());
        }
        POOL.came.notify_one();
        answer.await.map_err(|_| Ended)
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        POOL.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool {
    width: lanes::width(),
    bodies: AtomicUsize::new(0),
    queue: Mutex::default(),
    came: Condvar::new(),
});

struct Pool {
    /// How many bodies one thread takes together.
    width: usize,
    /// How many bodies there are whose steps come.
    bodies: AtomicUsize,
    /// At most a step of each of them.
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Default)]
struct Queue {
    steps: VecDeque<Step>,
    /// Threads at work.
    workers: usize,
    last_came: Option<Instant>,
    /// How far apart steps have come of late.
    gap: Duration,
}

struct Step {
    md5: Md5,
    data: Buffer,
    done: oneshot::Sender<(Md5, Buffer)>,
}

/// A step, of which this many bytes are taken.
struct Lane {
    step: Step,
    taken_len: usize,
}

impl Lane {
    fn new(mut step: Step) -> Self {
        let taken_len = step.data.len() - step.md5.complete(&step.data).len();
        Self { step, taken_len }
    }
}

impl Queue {
    /// Whether one more thread has to work.
    fn push(&mut self, step: Step, width: usize) -> bool {
        let now = Instant::now();
        if let Some(last) = self.last_came.replace(now) {
            self.gap = (self.gap * 3 + (now - last).min(2 * MAX_GAP)) / 4;
        }
        self.steps.push_back(step);
        let is_needed = self.workers == 0 || self.steps.len() > width * self.workers;
        if is_needed {
            self.workers += 1;
        }
        is_needed
    }
}

impl Pool {
    /// Takes steps until there are none.
    fn work(&self) {
        // Also when it panics: the next step finds no worker, and begins one.
        struct Working<'a>(&'a Pool, bool);
        impl Drop for Working<'_> {
            fn drop(&mut self) {
                if !self.1 {
                    self.0.queue.lock().workers -= 1;
                }
            }
        }
        let mut working = Working(self, false);
        let mut lanes: Vec<Lane> = Vec::with_capacity(self.width);
        loop {
            {
                let mut queue = self.queue.lock();
                if lanes.is_empty() {
                    if queue.steps.is_empty() {
                        // Under the lock: whoever comes next sees that nobody works.
                        queue.workers -= 1;
                        working.1 = true;
                        return;
                    }
                    let until = Instant::now() + MAX_WAIT;
                    while queue.steps.len() < self.width.min(self.bodies.load(Ordering::Relaxed))
                        && queue.gap < MAX_GAP
                        && Instant::now() < until
                    {
                        // They stopped coming: go.
                        let patience = (queue.gap * 2).max(Duration::from_micros(100));
                        if self.came.wait_for(&mut queue, patience).timed_out() {
                            break;
                        }
                    }
                }
                let free = self.width - lanes.len();
                let some = free.min(queue.steps.len());
                lanes.extend(queue.steps.drain(..some).map(Lane::new));
            }
            take_slice(&mut lanes);
        }
    }
}

/// Takes a slice of each step. Those that are done are answered.
fn take_slice(lanes: &mut Vec<Lane>) {
    // All go as far as the shortest, in whole blocks.
    let rest_len = |lane: &Lane| lane.step.data.len() - lane.taken_len;
    let slice_len = lanes.iter().map(rest_len).min().unwrap_or(0).min(SLICE_LEN) / 64 * 64;
    let mut states = Vec::with_capacity(lanes.len());
    let mut streams = Vec::with_capacity(lanes.len());
    for Lane { step, taken_len } in &mut *lanes {
        streams.push(step.data[*taken_len..*taken_len + slice_len].as_chunks().0);
        states.push(&mut step.md5.state);
        *taken_len += slice_len;
    }
    lanes::compress(&mut states, &streams);
    let mut index = 0;
    while let Some(lane) = lanes.get_mut(index) {
        if rest_len(lane) >= 64 {
            index += 1;
            continue;
        }
        let Lane { mut step, taken_len } = lanes.swap_remove(index);
        step.md5.keep(&step.data[taken_len..]);
        // Whoever asked may have gone.
        let _ = step.done.send((step.md5, step.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::pool::STEPS;

    /// Steps of uneven lengths of many bodies at once: each body's MD5 is its own.
    #[tokio::test(flavor = "multi_thread")]
    async fn bodies_together_have_the_md5_of_each() {
        let bodies = (0..40_usize).map(|body| async move {
            let together = Together::join();
            let (mut md5, mut expected) = (Md5::default(), Md5::default());
            for step in 0..6_usize {
                let len = [0, 1, 63, 64, 65, 40_000, 131_072, 100_001][(body + 3 * step) % 8];
                let mut data = STEPS.take();
                data.extend((0..len).map(|i| (i * 31 + body * 7 + step) as u8));
                expected.update(&data);
                let back;
                (md5, back) = together.update(md5, data).await.unwrap();
                assert_eq!(back.len(), len);
            }
            assert_eq!(md5.finish(), expected.finish(), "body {body}");
        });
        let tasks: Vec<_> = bodies.map(tokio::spawn).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(POOL.queue.lock().steps.len(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_goes_away_holds_nobody_up() {
        let leaving = tokio::spawn(async {
            let together = Together::join();
            let mut data = STEPS.take();
            data.resize(1 << 20, 1);
            let _ = together.update(Md5::default(), data).await;
        });
        tokio::task::yield_now().await;
        leaving.abort();
        let together = Together::join();
        let mut data = STEPS.take();
        data.extend_from_slice(b"abc");
        let (md5, _) = together.update(Md5::default(), data).await.unwrap();
        assert_eq!(hex::encode(md5.finish()), "900150983cd24fb0d6963f7d28e17f72");
    }
}
