//! Progress of long work, on standard error where that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Counts steps and shows the count now and then.
pub(super) struct Progress {
    what: &'static str,
    done: u64,
    bytes: u64,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, done: 0, bytes: 0, shown: Instant::now(), is_terminal: std::io::stderr().is_terminal() }
    }

    /// One more.
    pub(super) fn step(&mut self) {
        self.done += 1;
        self.show();
    }

    /// So many bytes more, of steps that are not done yet.
    pub(super) fn add_bytes(&mut self, more: u64) {
        self.bytes += more;
        self.show();
    }

    fn show(&mut self) {
        if self.is_terminal && self.shown.elapsed() > Duration::from_millis(200) {
            eprint!("\r{self}");
            let _ = std::io::stderr().flush();
            self.shown = Instant::now();
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.done, self.what)?;
        if self.bytes > 0 { write!(f, ", {} MiB", self.bytes >> 20) } else { Ok(()) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            eprintln!("\r{self}");
        }
    }
}
