//! Keeps secrets from staying in memory, and memory from leaving the process.

use std::alloc::{GlobalAlloc, Layout};

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use zeroizing_alloc::ZeroAlloc;

/// The largest block that is wiped when it is freed, in bytes. What carries secrets (texts, documents of the APIs, buffers of HTTP and
/// TLS) is smaller; larger blocks hold objects on their way, and wiping those would cost as much as moving them.
const MAX_WIPED_LEN: usize = 32 * 1024;

/// An allocator that overwrites blocks with zeros when they are freed: whatever copies of a secret the program and its libraries make
/// on the heap end with the block that they lie in.
#[derive(Debug)]
pub struct WipingAllocator;

/// Where blocks come from: the C library, but for musl's, whose allocator has one lock for all threads.
#[cfg(not(target_env = "musl"))]
use std::alloc::System as Blocks;

#[cfg(target_env = "musl")]
use mimalloc::MiMalloc as Blocks;

const WIPING: ZeroAlloc<Blocks> = ZeroAlloc(Blocks);

// SAFETY: every call goes to `Blocks` with the arguments that the caller vouches for, by way of `ZeroAlloc` where the block is small;
// blocks of both come from `Blocks` with the same layout, so either may free them.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe { Blocks.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe { Blocks.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match layout.size() {
            // SAFETY: as the caller vouches.
            ..=MAX_WIPED_LEN => unsafe { WIPING.dealloc(block, layout) },
            // SAFETY: as the caller vouches.
            _ => unsafe { Blocks.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        match layout.size() {
            // SAFETY: as the caller vouches. It copies into a new block and wipes the old one.
            ..=MAX_WIPED_LEN => unsafe { WIPING.realloc(block, layout, len) },
            // SAFETY: as the caller vouches.
            _ => unsafe { Blocks.realloc(block, layout, len) },
        }
    }
}

/// The smallest block that has pages of its own, which go back to the system with it, in bytes: what every read of a body and every step
/// takes is smaller, what only some moments need is larger. Without a word glibc would raise it to the largest block that was ever freed,
/// and large blocks among small ones leave gaps that nothing fits.
#[cfg(target_env = "gnu")]
const OWN_PAGES_LEN: libc::c_int = 320 * 1024;

/// Lets the C library's allocator have one arena for each core, in place of eight: what is free in one is of no use to the threads of another,
/// and buffers of bodies are large. Blocks that are larger still have pages of their own. To be called before there
/// are other threads; with another allocator it does nothing.
pub fn bound_arenas() {
    #[cfg(target_env = "gnu")]
    {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let arenas = libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX);
        for (setting, value) in [(libc::M_ARENA_MAX, arenas), (libc::M_MMAP_THRESHOLD, OWN_PAGES_LEN)] {
            // SAFETY: it takes two numbers, and no other thread allocates yet.
            #[allow(unsafe_code)]
            let is_set = unsafe { libc::mallopt(setting, value) };
            debug_assert_eq!(is_set, 1, "glibc knows this setting");
        }
    }
}

/// No core dumps, and no other process of the same user may read this one's memory (`PR_SET_DUMPABLE` 0, prctl(2)). Root still may.
///
/// # Errors
/// The system refuses.
pub fn forbid_dumps() -> std::io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // A service manager that has set it may forbid the call.
    if getrlimit(Resource::Core) != none {
        setrlimit(Resource::Core, none)?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
