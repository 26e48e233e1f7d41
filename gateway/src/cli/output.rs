//! Standard output and standard error, for as long as somebody reads them; and what a command tells as one JSON object.
//!
//! With `--json`, of a command that has no JSON of its own: what it prints is kept, and at its end one object is printed. Its members are
//! `ok` (is the exit code 0), `error` (why not, where it failed), the facts that the command told beside its text ([`fact`]), `lines` (the
//! text), `warnings`, and `is_cut` where more was told than is kept.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use parking_lot::Mutex;
use serde_json::{Map, Value};

/// What is kept of a command's text, in bytes.
const MAX_TEXT_LEN: usize = 1 << 20;
/// How many warnings are kept.
const MAX_WARNINGS: usize = 100;

/// What the command of this process has told, where it is told as JSON.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

#[derive(Default)]
struct Kept {
    facts: Map<String, Value>,
    text: String,
    warnings: Vec<String>,
    is_cut: bool,
}

impl Kept {
    /// Keeps a text, as far as there is room.
    fn take(&mut self, text: &str) {
        match self.text.len() + text.len() <= MAX_TEXT_LEN {
            true => self.text.push_str(text),
            false => self.is_cut = true,
        }
    }

    fn warn(&mut self, text: &str) {
        match self.warnings.len() < MAX_WARNINGS {
            true => self.warnings.push(text.to_owned()),
            false => self.is_cut = true,
        }
    }

    fn object(self, is_success: bool) -> Value {
        let lines = self.text.lines().filter(|line| !line.is_empty()).map(Value::from).collect();
        let mut object = self.facts;
        object.insert("ok".to_owned(), is_success.into());
        object.insert("lines".to_owned(), lines);
        object.insert("warnings".to_owned(), self.warnings.into());
        if self.is_cut {
            object.insert("is_cut".to_owned(), true.into());
        }
        Value::Object(object)
    }
}

/// From now on nothing is printed: [`end`] tells all of it.
pub(super) fn keep() {
    *KEPT.lock() = Some(Kept::default());
}

/// Tells something that programs want to know of what a command did. Where it tells text, nothing happens: that says it too.
pub(super) fn fact(name: &str, value: impl Into<Value>) {
    if let Some(kept) = &mut *KEPT.lock() {
        kept.facts.insert(name.to_owned(), value.into());
    }
}

/// The command failed.
pub(super) fn failed(why: &str) {
    fact("error", why);
    print_error(format_args!("sealgate: {why}\n"));
}

/// Something that whoever gave the command should know, though it goes on.
pub(super) fn warn(text: &str) {
    if let Some(kept) = &mut *KEPT.lock() {
        kept.warn(text);
    }
    print_error(format_args!("sealgate: {text}\n"));
}

/// The command has ended, and its process will with this code.
pub(super) fn end(code: ExitCode) -> ExitCode {
    let kept = KEPT.lock().take();
    if let Some(kept) = kept {
        print(format_args!("{}\n", kept.object(code == ExitCode::SUCCESS)));
    }
    code
}

/// Writes a text to standard error. Where that is closed, nobody is told.
pub(super) fn print_error(text: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// Writes a text. Who has closed the other end of the pipe wants no more of it: the program ends, as one does that the signal of a broken
/// pipe ends. Other failures are told once, on standard error.
pub(super) fn print(text: Arguments<'_>) {
    if let Some(kept) = &mut *KEPT.lock() {
        return kept.take(&text.to_string());
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_is_one_object_and_bounded() {
        let mut kept = Kept::default();
        kept.take("one\n\ntwo ");
        kept.take("and more\n");
        kept.warn("careful");
        kept.facts.insert("records".to_owned(), 3.into());
        let told =
            json!({"ok": true, "lines": ["one", "two and more"], "warnings": ["careful"], "records": 3});
        assert_eq!(kept.object(true), told);
        let mut kept = Kept::default();
        kept.take(&"x".repeat(MAX_TEXT_LEN + 1));
        assert_eq!(kept.object(false), json!({"ok": false, "lines": [], "warnings": [], "is_cut": true}));
    }
}
