//! XML: a writer into one buffer, and a bounded pull parser over what clients send.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use storage::name::Timestamp;

use super::tree::Element;

/// The namespace of S3's documents.
pub const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The namespace of schema instances, for the grantees of an ACL.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The deepest nesting that is read; no document of S3 comes near it.
const MAX_DEPTH: usize = 16;

/// Writes XML into one buffer, without a tree.
#[derive(Debug)]
pub struct XmlWriter {
    out: Vec<u8>,
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
        Self { out: Vec::with_capacity(capacity) }
    }

    /// `<name>`.
    pub fn open(&mut self, name: &str) {
        self.out.push(b'<');
        self.raw(name);
        self.out.push(b'>');
    }

    /// `<name xmlns="…">`: the root of a document of S3.
    pub fn root(&mut self, name: &str) {
        self.out.push(b'<');
        self.raw(name);
        self.raw(" xmlns=\"");
        self.raw(NAMESPACE);
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
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// A time in ISO 8601 with milliseconds.
    pub fn iso8601(&mut self, time: Timestamp) {
        super::time::write_iso8601(time, &mut self.out);
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
        while let Some(at) = rest.iter().position(|&byte| TO_ESCAPE[usize::from(byte)]) {
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

/// The bytes at which [`XmlWriter::escaped`] looks closer.
static TO_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'&' | b'<' | b'>' | b'"' | 0..=8 | 11..=31 | 0x7f | 0xef);
        byte += 1;
    }
    table
};

/// What a client sent is no document of the kind that was expected: 400 MalformedXML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed, or not of the schema")]
pub struct MalformedXml;

impl From<MalformedXml> for crate::api::s3::error::S3Error {
    fn from(_: MalformedXml) -> Self {
        crate::api::s3::error::Code::MalformedXml.into()
    }
}

/// A pull parser: elements by their local names, namespaces and attributes unread.
pub struct XmlParser<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> XmlParser<'a> {
    /// Enters the root element, which must have this name.
    pub fn root(document: &'a [u8], name: &str) -> Result<Self, MalformedXml> {
        let text = std::str::from_utf8(document).map_err(|_| MalformedXml)?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        let mut parser = Self { reader, depth: 0 };
        match parser.child()? {
            Some(root) if root == name => Ok(parser),
            _ => Err(MalformedXml),
        }
    }

    /// Enters the next child of the element we are in and tells its local name; at the element's end leaves it
    /// and tells `None`.
    pub fn child(&mut self) -> Result<Option<Cow<'a, str>>, MalformedXml> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    self.enter()?;
                    return Ok(Some(Cow::Owned(start.local_name().into_inner().to_owned())));
                }
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(None);
                }
                Event::Text(text) if text.xml10_content().trim().is_empty() => {}
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                _ => return Err(MalformedXml),
            }
        }
    }

    /// The text of the element just entered, which has no children; leaves it.
    pub fn text(&mut self) -> Result<String, MalformedXml> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(piece) => text.push_str(&piece.xml10_content()),
                Event::CData(piece) => text.push_str(&piece.xml10_content()),
                Event::GeneralRef(reference) => text.push(character(&reference)?),
                Event::Comment(_) | Event::PI(_) => {}
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(text);
                }
                _ => return Err(MalformedXml),
            }
        }
    }

    /// The rest of the document, whose root was just entered, as a tree of at most this many elements.
    pub fn tree(mut self, max_elements: usize) -> Result<Element, MalformedXml> {
        // The elements that we are in, the root first.
        let mut path = vec![Element::default()];
        let mut count = 0;
        while let Some(inner) = path.last_mut() {
            match self.event()? {
                Event::Start(start) => {
                    self.enter()?;
                    count += 1;
                    if count > max_elements {
                        return Err(MalformedXml);
                    }
                    let kind =
                        start.attributes().flatten().find(|a| a.key.local_name().into_inner() == "type");
                    path.push(Element {
                        name: start.local_name().into_inner().to_owned(),
                        kind: kind.map(|kind| kind.value.to_string()),
                        ..Element::default()
                    });
                }
                Event::End(_) => {
                    self.depth -= 1;
                    let Some(ended) = path.pop() else { break };
                    if !ended.children.is_empty() && !ended.text.trim().is_empty() {
                        return Err(MalformedXml);
                    }
                    match path.last_mut() {
                        Some(outer) => outer.children.push(ended),
                        None => {
                            self.end()?;
                            return Ok(ended);
                        }
                    }
                }
                Event::Text(piece) => inner.text.push_str(&piece.xml10_content()),
                Event::CData(piece) => inner.text.push_str(&piece.xml10_content()),
                Event::GeneralRef(reference) => inner.text.push(character(&reference)?),
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(MalformedXml),
            }
        }
        Err(MalformedXml)
    }

    /// The text of the element just entered, without blanks around it.
    pub fn token(&mut self) -> Result<String, MalformedXml> {
        let text = self.text()?;
        let trimmed = text.trim();
        Ok(if trimmed.len() == text.len() { text } else { trimmed.to_owned() })
    }

    /// The boolean of the element just entered.
    pub fn boolean(&mut self) -> Result<bool, MalformedXml> {
        match self.token()?.as_str() {
            "true" | "1" | "True" | "TRUE" => Ok(true),
            "false" | "0" | "False" | "FALSE" => Ok(false),
            _ => Err(MalformedXml),
        }
    }

    /// The number of the element just entered.
    pub fn number(&mut self) -> Result<u64, MalformedXml> {
        self.token()?.parse().map_err(|_| MalformedXml)
    }

    /// Leaves the element just entered with all that is in it.
    pub fn skip(&mut self) -> Result<(), MalformedXml> {
        let outside = self.depth - 1;
        while self.depth > outside {
            match self.event()? {
                Event::Start(_) => self.enter()?,
                Event::End(_) => self.depth -= 1,
                Event::Eof | Event::DocType(_) => return Err(MalformedXml),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that nothing follows the root.
    pub fn end(mut self) -> Result<(), MalformedXml> {
        loop {
            match self.event()? {
                Event::Eof if self.depth == 0 => return Ok(()),
                Event::Text(text) if text.xml10_content().trim().is_empty() => {}
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(MalformedXml),
            }
        }
    }

    fn event(&mut self) -> Result<Event<'a>, MalformedXml> {
        self.reader.read_event().map_err(|_| MalformedXml)
    }

    fn enter(&mut self) -> Result<(), MalformedXml> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(MalformedXml) } else { Ok(()) }
    }
}

/// The character that a reference stands for.
fn character(reference: &BytesRef<'_>) -> Result<char, MalformedXml> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character),
        Ok(None) => Ok(match &**reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return Err(MalformedXml),
        }),
        Err(_) => Err(MalformedXml),
    }
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

    #[test]
    fn parser_reads_nested_elements() {
        let document = b"<?xml version=\"1.0\"?>\n<s:A xmlns:s='urn:x'> <!-- hi --><B>x&amp;&#x41;<![CDATA[<y>]]></B><C/>\
            <D><E>1</E></D></s:A>\n";
        let mut parser = XmlParser::root(document, "A").unwrap();
        assert_eq!(parser.child().unwrap().as_deref(), Some("B"));
        assert_eq!(parser.text().unwrap(), "x&A<y>");
        assert_eq!(parser.child().unwrap().as_deref(), Some("C"));
        assert_eq!(parser.text().unwrap(), "");
        assert_eq!(parser.child().unwrap().as_deref(), Some("D"));
        parser.skip().unwrap();
        assert_eq!(parser.child().unwrap(), None);
        parser.end().unwrap();
    }

    #[test]
    fn parser_refuses_what_is_malformed() {
        fn walk(document: &[u8]) -> Result<(), MalformedXml> {
            let mut parser = XmlParser::root(document, "A")?;
            while parser.child()?.is_some() {
                parser.skip()?;
            }
            parser.end()
        }
        assert_eq!(walk(b"<A><B/></A>"), Ok(()));
        let deep = format!("<A>{}{}</A>", "<B>".repeat(50), "</B>".repeat(50));
        for bad in [
            "",
            "<B/>",
            "<A>",
            "<A></B>",
            "<A/><A/>",
            "<A>text</A>",
            "x",
            "<A/>trailing",
            "<!DOCTYPE A [<!ENTITY x \"y\">]><A/>",
            "<A>&x;</A>",
            "<A><B></A></B>",
            &deep,
        ] {
            assert_eq!(walk(bad.as_bytes()), Err(MalformedXml), "{bad}");
        }
        assert_eq!(walk(b"<A>\xff</A>"), Err(MalformedXml));
        let mut parser = XmlParser::root(b"<A>&evil;</A>", "A").unwrap();
        assert_eq!(parser.text(), Err(MalformedXml));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(text in "[^\u{fffe}\u{ffff}]*") {
            let mut xml = XmlWriter::document(16);
            xml.root("A");
            xml.text("B", &text);
            xml.close("A");
            let document = xml.finish();
            let mut parser = XmlParser::root(&document, "A").unwrap();
            parser.child().unwrap();
            // A NUL can't even be referred to.
            match parser.text() {
                Ok(read) => proptest::prop_assert_eq!(read, text),
                Err(MalformedXml) => proptest::prop_assert!(text.contains('\0')),
            }
        }

        #[test]
        fn parser_survives_anything(document in "[<>/A-C&;#x0-9!\\[\\] -]{0,60}") {
            if let Ok(mut parser) = XmlParser::root(document.as_bytes(), "A") {
                while let Ok(Some(_)) = parser.child() {
                    if parser.skip().is_err() {
                        break;
                    }
                }
            }
        }
    }
}
