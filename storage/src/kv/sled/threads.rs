//! Keeps sled's threads from waking each other.
//!
//! sled 0.34 hands each write of its log to a pool of seven threads and wakes all of them, for one to find it: on two cores that is an
//! eighth of the CPU time of a small PUT. One is enough. The committing thread hands over one write after the other, syncs of a file
//! follow each other ([`durable`](super::durable)), and no task of the pool waits for another one but those of `flush_async`, which nobody calls.
//!
//! The pool has no setting. But its threads name themselves before they look for work: so this program has a `pthread_setname_np` of its
//! own, which the standard library's call is linked to, and which lets all of the pool but the first rest. More of them would be begun
//! where more than seven tasks wait; the first of those rests as well, and sled begins no other before it runs.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the name of a thread of the pool begins with.
const POOL: &[u8] = b"sled-io-";

/// Has a thread of the pool begun?
static HAS_WORKER: AtomicBool = AtomicBool::new(false);

/// Stands in the place of the C library's function. The standard library calls it for the thread that runs, as it begins.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: usize, name: *const c_char) -> c_int {
    // SAFETY: the caller hands over a text that ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) };
    // A name is for people alone.
    let named = rustix::thread::set_name(name);
    if name.to_bytes().starts_with(POOL) && HAS_WORKER.swap(true, Ordering::Relaxed) {
        loop {
            std::thread::sleep(Duration::MAX);
        }
    }
    named.map_or_else(|error| error.raw_os_error(), |()| 0)
}
