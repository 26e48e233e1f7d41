//! A bounded pull parser over the XML that clients send; answers are written with [`XmlWriter`].

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

pub use crate::api::xml::{NAMESPACE, XmlWriter};

/// The deepest nesting that is read; no document of S3 comes near it.
const MAX_DEPTH: usize = 16;

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
    pub(super) depth: usize,
}

impl<'a> XmlParser<'a> {
    /// Enters the root element, which must have this name.
    pub fn root(document: &'a [u8], name: &str) -> Result<Self, MalformedXml> {
        match Self::any_root(document)? {
            (parser, root) if root == name => Ok(parser),
            _ => Err(MalformedXml),
        }
    }

    /// Enters the root element and tells its local name.
    pub fn any_root(document: &'a [u8]) -> Result<(Self, Cow<'a, str>), MalformedXml> {
        let text = std::str::from_utf8(document).map_err(|_| MalformedXml)?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        let mut parser = Self { reader, depth: 0 };
        let root = parser.child()?.ok_or(MalformedXml)?;
        Ok((parser, root))
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

    pub(super) fn event(&mut self) -> Result<Event<'a>, MalformedXml> {
        self.reader.read_event().map_err(|_| MalformedXml)
    }

    pub(super) fn enter(&mut self) -> Result<(), MalformedXml> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(MalformedXml) } else { Ok(()) }
    }
}

/// The character that a reference stands for.
pub(super) fn character(reference: &BytesRef<'_>) -> Result<char, MalformedXml> {
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
