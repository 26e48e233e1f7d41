//! Standard output and standard error, for as long as somebody reads them.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes a text to standard error. Where that is closed, nobody is told.
pub(super) fn print_error(text: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// Writes a text. Who has closed the other end of the pipe wants no more of it: the program ends, as one does that the signal of a broken
/// pipe ends. Other failures are told once, on standard error.
pub(super) fn print(text: Arguments<'_>) {
    let mut out = std::io::stdout();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sealgate: standard output can't be written: {error}");
            std::process::exit(1);
        }
    }
}
