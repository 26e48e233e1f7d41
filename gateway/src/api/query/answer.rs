//! What the services of the query protocol answer.

use std::borrow::Cow;

use storage::name::Timestamp;

use crate::api::xml::XmlWriter;

/// What an operation answers: the content of its `Result` element, if it has one.
#[derive(Debug)]
pub struct Answer(Option<XmlWriter>);

impl Answer {
    /// No result.
    pub fn empty() -> Self {
        Self(None)
    }

    /// What this writes.
    pub fn of(write: impl FnOnce(&mut XmlWriter)) -> Self {
        let mut xml = XmlWriter::fragment(512);
        write(&mut xml);
        Self(Some(xml))
    }

    /// The answer's document.
    pub fn document(self, action: &str, namespace: &str, request_id: &str) -> Vec<u8> {
        let mut xml = XmlWriter::fragment(self.0.as_ref().map_or(0, XmlWriter::len) + 512);
        xml.root_of(&format!("{action}Response"), namespace);
        if let Some(result) = self.0 {
            let name = format!("{action}Result");
            xml.open(&name);
            xml.append(result);
            xml.close(&name);
        }
        xml.open("ResponseMetadata");
        xml.text("RequestId", request_id);
        xml.close("ResponseMetadata");
        xml.close(&format!("{action}Response"));
        xml.finish()
    }
}

/// `<Name><member>…</member>…</Name>`; each member is written by `write`.
pub fn list<T>(
    xml: &mut XmlWriter,
    name: &str,
    members: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut XmlWriter, T),
) {
    xml.open(name);
    for member in members {
        xml.open("member");
        write(xml, member);
        xml.close("member");
    }
    xml.close(name);
}

/// A list of texts.
pub fn texts<T: AsRef<str>>(xml: &mut XmlWriter, name: &str, members: impl IntoIterator<Item = T>) {
    list(xml, name, members, |xml, text| xml.content(text.as_ref()));
}

/// A time, to the second.
pub fn time(xml: &mut XmlWriter, name: &str, unix_ms: u64) {
    let at = crate::iam::iso8601(unix_ms / 1000);
    xml.text(name, &at);
}

/// Now, milliseconds since the Unix epoch.
pub fn now_unix_ms() -> u64 {
    Timestamp::now().unix_ms()
}

/// A document as answers carry it: percent-encoded as RFC 3986 says.
pub fn encoded(document: &str) -> Cow<'_, str> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(document, RESERVED).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let answer = Answer::of(|xml| {
            texts(xml, "Names", ["a&b", "c"]);
            time(xml, "CreateDate", 1_500);
        });
        assert_eq!(
            String::from_utf8(answer.document("ListNames", "urn:x", "R1")).unwrap(),
            "<ListNamesResponse xmlns=\"urn:x\"><ListNamesResult><Names><member>a&amp;b</member><member>c</member></Names>\
             <CreateDate>1970-01-01T00:00:01Z</CreateDate></ListNamesResult>\
             <ResponseMetadata><RequestId>R1</RequestId></ResponseMetadata></ListNamesResponse>"
        );
        assert_eq!(
            String::from_utf8(Answer::empty().document("Go", "urn:x", "R1")).unwrap(),
            "<GoResponse xmlns=\"urn:x\"><ResponseMetadata><RequestId>R1</RequestId></ResponseMetadata></GoResponse>"
        );
        let document = Answer::of(|_| ()).document("Go", "urn:x", "R1");
        assert!(String::from_utf8(document).unwrap().contains("<GoResult></GoResult>"));
        assert_eq!(encoded("{\"a\": \"~*/\"}"), "%7B%22a%22%3A%20%22~%2A%2F%22%7D");
    }
}
