//! A writer of XML into one buffer: S3 answers with it, and so do the services of the query protocol.

use storage::name::Timestamp;

use super::s3::wire::time::{ISO8601_LEN, write_iso8601};
use crate::blocks;
use crate::decimal::push_decimal;

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The namespace of schema instances, for the grantees of an ACL.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Writes XML into one buffer, without a tree.
#[derive(Debug)]
pub struct XmlWriter {
    out: Vec<u8>,
    /// The last time that was written, and where: rows of a listing often have the same.
    last_time: Option<(Timestamp, usize)>,
}

impl XmlWriter {
    /// A whole document; `capacity` bytes are set aside for it.
    pub fn document(capacity: usize) -> Self {
        let mut writer = Self::fragment(capacity);
        writer.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        writer
    }

    /// A document without its declaration.
    pub fn fragment(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), last_time: None }
    }

    /// `<name>`.
    pub fn open(&mut self, name: &str) {
        self.out.push(b'<');
        self.raw(name);
        self.out.push(b'>');
    }

    /// `<name xmlns="…">`: the root of a document of S3.
    pub fn root(&mut self, name: &str) {
        self.root_of(name, NAMESPACE);
    }

    /// `<name xmlns="…">`: the root of a document of this namespace.
    pub fn root_of(&mut self, name: &str, namespace: &str) {
        self.out.push(b'<');
        self.raw(name);
        self.raw(" xmlns=\"");
        self.raw(namespace);
        self.raw("\">");
    }

    /// `<Grantee xmlns:xsi="…" xsi:type="kind">`.
    pub fn open_grantee(&mut self, kind: &str) {
        self.raw("<Grantee xmlns:xsi=\"");
        self.raw(SCHEMA_INSTANCE);
        self.raw("\" xsi:type=\"");
        self.raw(kind);
        self.raw("\">");
    }

    /// `</name>`.
    pub fn close(&mut self, name: &str) {
        self.raw("</");
        self.raw(name);
        self.out.push(b'>');
    }

    /// `<name>value</name>`, escaped.
    pub fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        self.escaped(value);
        self.close(name);
    }

    /// Text, escaped.
    pub fn content(&mut self, value: &str) {
        self.escaped(value);
    }

    /// `<name>value</name>` where there is a value.
    pub fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// `<name>number</name>`.
    pub fn number(&mut self, name: &str, value: u64) {
        self.open(name);
        self.digits(value);
        self.close(name);
    }

    /// `<name>true</name>` or `<name>false</name>`.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// `<name>"etag"</name>`: the quotes are escaped, as AWS does.
    pub fn etag(&mut self, name: &str, etag: &str) {
        self.open(name);
        self.raw("&quot;");
        self.escaped(etag);
        self.raw("&quot;");
        self.close(name);
    }

    /// `<name>time</name>` in ISO 8601 with milliseconds.
    pub fn time(&mut self, name: &str, time: Timestamp) {
        self.open(name);
        self.iso8601(time);
        self.close(name);
    }

    /// Digits.
    pub fn digits(&mut self, value: u64) {
        push_decimal(&mut self.out, value);
    }

    /// A time in ISO 8601 with milliseconds.
    pub fn iso8601(&mut self, time: Timestamp) {
        let start = self.out.len();
        match self.last_time {
            Some((last, at)) if last == time => self.out.extend_from_within(at..at + ISO8601_LEN),
            _ => write_iso8601(time, &mut self.out),
        }
        self.last_time = Some((time, start));
    }

    /// An object's name, percent-encoded where the listing's encoding-type says so.
    pub fn name(&mut self, value: &str, url_encoded: bool) {
        if url_encoded { self.url_encoded(value) } else { self.escaped(value) }
    }

    /// An object's name, percent-encoded where the listing's encoding-type says so.
    pub fn object_name(&mut self, name: &str, value: &str, url_encoded: bool) {
        self.open(name);
        if url_encoded {
            self.url_encoded(value)
        } else {
            self.escaped(value)
        }
        self.close(name);
    }

    /// What is already XML.
    pub fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// What another writer has written.
    pub fn append(&mut self, other: Self) {
        self.out.extend_from_slice(&other.out);
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Was nothing written?
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Text with what XML can't hold as it is written as references. Control characters other than tab and line feed
    /// become numeric references as AWS has them, though XML 1.0 forbids those: encoding-type=url is for clients that mind.
    fn escaped(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        if blocks::has_none(rest, is_escaped) {
            self.out.extend_from_slice(rest);
            return;
        }
        while let Some(at) = rest.iter().position(|&byte| is_escaped(byte)) {
            self.out.extend_from_slice(&rest[..at]);
            let (reference, len) = match rest[at..] {
                [b'&', ..] => ("&amp;", 1),
                [b'<', ..] => ("&lt;", 1),
                [b'>', ..] => ("&gt;", 1),
                [b'"', ..] => ("&quot;", 1),
                [b'\r', ..] => ("&#13;", 1),
                // U+FFFE and U+FFFF are no characters of XML either.
                [0xef, 0xbf, 0xbe, ..] => ("&#xfffe;", 3),
                [0xef, 0xbf, 0xbf, ..] => ("&#xffff;", 3),
                [byte, ..] => {
                    // The first byte of another character of three, or a control character.
                    if byte == 0xef {
                        self.out.push(byte)
                    } else {
                        self.raw(&format!("&#x{byte:x};"))
                    }
                    ("", 1)
                }
                [] => ("", 0),
            };
            self.raw(reference);
            rest = &rest[at + len..];
        }
        self.out.extend_from_slice(rest);
    }

    /// AWS's encoding-type=url: form encoding that leaves `/` and `*` be, and writes a space as `+`.
    fn url_encoded(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for &byte in text.as_bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                    self.out.push(byte);
                }
                b' ' => self.out.push(b'+'),
                _ => self.out.extend_from_slice(&[
                    b'%',
                    HEX[usize::from(byte >> 4)],
                    HEX[usize::from(byte & 15)],
                ]),
            }
        }
    }
}

/// Does [`XmlWriter::escaped`] look closer at this byte?
fn is_escaped(byte: u8) -> bool {
    let is_control = (byte < b' ') & (byte != b'\t') & (byte != b'\n') | (byte == 0x7f);
    is_control | (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'"') | (byte == 0xef)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut xml = XmlWriter::fragment(0);
        xml.escaped(text);
        String::from_utf8(xml.finish()).unwrap()
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a&b<c>\"d'\té\n\r"), "a&amp;b&lt;c&gt;&quot;d'\té\n&#13;");
        assert_eq!(escaped("\u{0}\u{1f}\u{7f}"), "&#x0;&#x1f;&#x7f;");
        assert_eq!(escaped("a\u{fffe}b\u{ffff}\u{fffd}"), "a&#xfffe;b&#xffff;\u{fffd}");
    }

    #[test]
    fn numbers_and_url_encoding() {
        let mut xml = XmlWriter::fragment(0);
        xml.number("N", 0);
        xml.number("N", u64::MAX);
        xml.object_name("K", "a b+c/ü*~", true);
        xml.etag("ETag", "x");
        assert_eq!(
            String::from_utf8(xml.finish()).unwrap(),
            "<N>0</N><N>18446744073709551615</N><K>a+b%2Bc/%C3%BC*%7E</K><ETag>&quot;x&quot;</ETag>"
        );
    }
}
