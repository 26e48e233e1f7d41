//! What sled takes of parking_lot 0.11, from parking_lot 0.12, but for one thing: who waits for tasks is woken one at a time.
//!
//! sled's thread pool takes its tasks from a queue, and tells *all* of its seven threads of each: one finds it, six find nothing and wait
//! again. A commit is such a task, so this costs a tenth of a small durable write. One thread a task is enough: who is woken takes a
//! task, and looks for more before it waits again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use parking_lot_0_12::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult};

/// A condition variable. One that is waited for with a deadline ([`Condvar::wait_until`]) is that of a queue, as in sled only its thread
/// pool does: [`Condvar::notify_all`] wakes one thread there.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: parking_lot_0_12::Condvar,
    is_of_queue: AtomicBool,
}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Self {
        Self { inner: parking_lot_0_12::Condvar::new(), is_of_queue: AtomicBool::new(false) }
    }

    /// Wakes all who wait, or one of those who wait for a queue. Returns how many.
    pub fn notify_all(&self) -> usize {
        // Nobody can wait who has not set it, under the lock that the queue's sender held before.
        match self.is_of_queue.load(Ordering::Relaxed) {
            true => usize::from(self.inner.notify_one()),
            false => self.inner.notify_all(),
        }
    }

    /// Waits until it is woken.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.inner.wait(guard);
    }

    /// Waits until it is woken, or so long.
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        self.inner.wait_for(guard, timeout)
    }

    /// Waits for a queue's next item, or until then.
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.is_of_queue.store(true, Ordering::Relaxed);
        self.inner.wait_until(guard, deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// How many items there are, and who waits for one.
    type Queue = (Mutex<usize>, Condvar);

    const THREADS: usize = 4;
    const LONG: Duration = Duration::from_secs(60);

    /// So many threads that wait, each in its way, until there is an item for each.
    fn waiting(wait: fn(&Condvar, &mut MutexGuard<'_, usize>)) -> (Arc<Queue>, Vec<JoinHandle<()>>) {
        let shared: Arc<Queue> = Arc::default();
        let waiting = Arc::new(AtomicUsize::new(0));
        let of_one = || {
            let (shared, waiting) = (shared.clone(), waiting.clone());
            thread::spawn(move || {
                let (items, condvar) = &*shared;
                let mut items = items.lock();
                waiting.fetch_add(1, Ordering::Relaxed);
                while *items == 0 {
                    wait(condvar, &mut items);
                }
                *items -= 1;
            })
        };
        let threads = (0..THREADS).map(|_| of_one()).collect();
        // Who has counted himself under the lock and let go of it waits.
        while waiting.load(Ordering::Relaxed) < THREADS {
            thread::yield_now();
        }
        drop(shared.0.lock());
        (shared, threads)
    }

    #[test]
    fn an_item_wakes_one_of_those_who_wait_for_a_queue() {
        let (shared, threads) = waiting(|condvar, items| {
            condvar.wait_until(items, Instant::now() + LONG);
        });
        for _ in 0..THREADS {
            *shared.0.lock() += 1;
            assert_eq!(shared.1.notify_all(), 1);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*shared.0.lock(), 0);
        assert_eq!(shared.1.notify_all(), 0);
    }

    #[test]
    fn others_are_woken_together() {
        for wait in [
            (|condvar, items| condvar.wait(items)) as fn(&Condvar, &mut MutexGuard<'_, usize>),
            |condvar, items| {
                condvar.wait_for(items, LONG);
            },
        ] {
            let (shared, threads) = waiting(wait);
            *shared.0.lock() = THREADS;
            assert_eq!(shared.1.notify_all(), THREADS);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
