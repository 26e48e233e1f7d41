//! JSON that is written at the end of each request: straight into a buffer, without a value between.

use std::cell::{Cell, RefCell};
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;

use super::server_access::push_two;
use crate::blocks;
use crate::decimal::push_decimal;

/// What of a line's buffer is kept between two lines, in bytes.
const KEPT_LEN: usize = 16 << 10;
/// `2019-02-06T00:00:38`.
const SECOND_LEN: usize = 19;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The last second that was written, since the Unix epoch, and its text: many requests end in one.
    static SECOND: Cell<(u64, [u8; SECOND_LEN])> = const { Cell::new((u64::MAX, [0; SECOND_LEN])) };
}

/// Runs this with an empty buffer of the thread.
pub fn with_buffer<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    LINE.with(|line| {
        let mut line = line.take();
        line.clear();
        let written = write(&mut line);
        line.shrink_to(KEPT_LEN);
        LINE.set(line);
        written
    })
}

/// Appends a member's name, behind a comma: one piece of constant bytes.
macro_rules! push_name {
    ($out:expr, $name:literal) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}
pub(crate) use push_name;

/// Appends a JSON string of bytes.
pub fn push_string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    push_escaped(out, value);
    out.push(b'"');
}

/// Appends what stands between the quotation marks of a JSON string: of bytes that are mostly plain text, and no part of a character.
pub fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    let mut quoted = Vec::with_capacity(value.len() + 16);
    // A text can always be written to memory.
    let _ = String::from_utf8_lossy(value).serialize(&mut serde_json::Serializer::new(&mut quoted));
    out.extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
}

/// Is it printable ASCII without what JSON escapes?
fn is_plain(value: &[u8]) -> bool {
    blocks::has_none(value, |byte| (byte.wrapping_sub(b' ') > b'~' - b' ') | (byte == b'"') | (byte == b'\\'))
}

/// Appends `2019-02-06T00:00:38.123Z`.
pub fn push_time(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (second, text) = SECOND.get();
    let text = if second == since.as_secs() {
        text
    } else {
        let text = second_text(at);
        SECOND.set((since.as_secs(), text));
        text
    };
    out.extend_from_slice(&text);
    let millis = since.subsec_millis();
    out.push(b'.');
    out.push(b'0' + (millis / 100) as u8);
    push_two(out, (millis % 100) as u8);
    out.push(b'Z');
}

/// A second as it is written.
fn second_text(at: SystemTime) -> [u8; SECOND_LEN] {
    let at = OffsetDateTime::from(at);
    let mut text = Vec::with_capacity(SECOND_LEN);
    push_decimal(&mut text, u64::try_from(at.year()).unwrap_or_default());
    let fields = [
        (b'-', at.month().into()),
        (b'-', at.day()),
        (b'T', at.hour()),
        (b':', at.minute()),
        (b':', at.second()),
    ];
    for (separator, number) in fields {
        text.push(separator);
        push_two(&mut text, number);
    }
    // A clock beyond the year 9999 has no text of this length.
    text.try_into().unwrap_or(*b"9999-12-31T23:59:59")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_of_their_own_second() {
        let text = |at| {
            let mut out = Vec::new();
            push_time(&mut out, SystemTime::UNIX_EPOCH + Duration::from_millis(at));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(1_549_411_238_123), "2019-02-06T00:00:38.123Z");
        assert_eq!(text(1_549_411_238_007), "2019-02-06T00:00:38.007Z");
        assert_eq!(text(1_549_411_239_000), "2019-02-06T00:00:39.000Z");
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn strings_are_read_as_what_they_were() {
        for text in ["", "plain text", "\"quoted\" \\ and a\ttab", "Blätter\u{1}", "\u{1f343}"] {
            let mut out = Vec::new();
            push_string(&mut out, text.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
        // What is odd is found wherever it stands in a longer one.
        for (at, odd) in (0..40).flat_map(|at| ["\"", "\\", "\n", "\u{7f}", "ä"].map(|odd| (at, odd))) {
            let mut text = "x".repeat(40);
            text.insert_str(at, odd);
            let mut out = Vec::new();
            push_string(&mut out, text.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
        let mut out = Vec::new();
        push_string(&mut out, b"\xff\"");
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "\u{fffd}\"");
    }
}
