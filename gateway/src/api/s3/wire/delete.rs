//! `Delete` and `DeleteResult`: many objects in one request.

use super::xml::{MalformedXml, XmlParser, XmlWriter};
use crate::api::s3::error::S3Error;

/// The most objects that one request deletes.
pub const MAX_OBJECTS: usize = 1000;
/// The longest body: a thousand keys of 1024 bytes, each escaped, and room for their conditions.
pub const MAX_LEN: usize = 8 << 20;

/// What DeleteObjects asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The objects, in order; each as it came: a bad key is that object's error and nobody else's.
    pub objects: Vec<ObjectToDelete>,
    /// Answer errors alone.
    pub quiet: bool,
}

/// One object to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectToDelete {
    /// Its key, not yet checked.
    pub key: String,
    /// Its version.
    pub version_id: Option<String>,
    /// Only if it has this tag (bare).
    pub etag: Option<String>,
    /// Only if it was last modified then.
    pub last_modified_time: Option<String>,
    /// Only if it has this size.
    pub size: Option<u64>,
}

/// Reads the body of DeleteObjects: 1 to 1000 objects.
pub fn parse(document: &[u8]) -> Result<DeleteRequest, MalformedXml> {
    let mut xml = XmlParser::root(document, "Delete")?;
    let mut request = DeleteRequest { objects: Vec::new(), quiet: false };
    while let Some(name) = xml.child()? {
        match &*name {
            "Quiet" => request.quiet = xml.boolean()?,
            "Object" if request.objects.len() < MAX_OBJECTS => request.objects.push(object(&mut xml)?),
            _ => return Err(MalformedXml),
        }
    }
    xml.end()?;
    if request.objects.is_empty() { Err(MalformedXml) } else { Ok(request) }
}

fn object(xml: &mut XmlParser<'_>) -> Result<ObjectToDelete, MalformedXml> {
    let mut object = ObjectToDelete::default();
    let mut key = None;
    while let Some(name) = xml.child()? {
        match &*name {
            // Blanks around a key are part of it.
            "Key" => key = Some(xml.text()?),
            "VersionId" => object.version_id = Some(xml.token()?).filter(|id| !id.is_empty()),
            "ETag" => object.etag = Some(super::etag::bare(&xml.token()?).to_owned()),
            "LastModifiedTime" => object.last_modified_time = Some(xml.token()?),
            "Size" => object.size = Some(xml.number()?),
            _ => return Err(MalformedXml),
        }
    }
    object.key = key.ok_or(MalformedXml)?;
    Ok(object)
}

/// Writes the body of DeleteObjects' answer.
pub struct DeleteResult {
    xml: XmlWriter,
    quiet: bool,
}

impl DeleteResult {
    /// Begins; `quiet`: leaves out what was deleted.
    pub fn new(quiet: bool) -> Self {
        let mut xml = XmlWriter::document(4096);
        xml.root("DeleteResult");
        Self { xml, quiet }
    }

    /// This object is gone; `marker` is the version of the delete marker that was written, or that is gone.
    pub fn deleted(&mut self, object: &ObjectToDelete, marker: Option<&str>) {
        if self.quiet {
            return;
        }
        self.xml.open("Deleted");
        self.xml.text("Key", &object.key);
        self.xml.optional("VersionId", object.version_id.as_deref());
        if let Some(marker) = marker {
            self.xml.boolean("DeleteMarker", true);
            self.xml.text("DeleteMarkerVersionId", marker);
        }
        self.xml.close("Deleted");
    }

    /// This object is not.
    pub fn error(&mut self, object: &ObjectToDelete, error: &S3Error) {
        self.xml.open("Error");
        self.xml.text("Key", &object.key);
        self.xml.optional("VersionId", object.version_id.as_deref());
        self.xml.text("Code", error.code.name());
        self.xml.text("Message", error.client_message());
        self.xml.close("Error");
    }

    /// Ends.
    pub fn finish(mut self) -> Vec<u8> {
        self.xml.close("DeleteResult");
        self.xml.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::s3::error::Code;

    #[test]
    fn requests() {
        let request = parse(
            b"<Delete xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Object><Key> a&amp;b\n</Key></Object>\
              <Quiet>true</Quiet><Object><Key>c</Key><VersionId>null</VersionId><ETag>\"e\"</ETag><Size>3</Size></Object></Delete>",
        )
        .unwrap();
        assert!(request.quiet);
        assert_eq!(request.objects[0].key, " a&b\n");
        assert_eq!(request.objects[1].version_id.as_deref(), Some("null"));
        assert_eq!((request.objects[1].etag.as_deref(), request.objects[1].size), (Some("e"), Some(3)));
        for bad in [
            "<Delete/>",
            "<Delete><Object/></Delete>",
            "<Delete><Quiet>maybe</Quiet></Delete>",
            "<Delete><Object><Key>a</Key><Else/></Object></Delete>",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(MalformedXml), "{bad}");
        }
    }

    #[test]
    fn at_most_a_thousand_objects() {
        let of = |count: usize| {
            parse(format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(count)).as_bytes())
        };
        assert_eq!(of(1000).unwrap().objects.len(), 1000);
        assert_eq!(of(1001), Err(MalformedXml));
    }

    #[test]
    fn answers() {
        let object = |key: &str| ObjectToDelete { key: key.to_owned(), ..ObjectToDelete::default() };
        let mut result = DeleteResult::new(false);
        result.deleted(&object("a<"), None);
        result.deleted(&object("m"), Some("v1"));
        result.error(&object("b"), &S3Error::new(Code::AccessDenied));
        let text = String::from_utf8(result.finish()).unwrap();
        assert!(text.contains("<Deleted><Key>a&lt;</Key></Deleted>"), "{text}");
        let marker = "<Deleted><Key>m</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>v1</DeleteMarkerVersionId>";
        assert!(text.contains(marker), "{text}");
        assert!(text.contains("<Error><Key>b</Key><Code>AccessDenied</Code>"), "{text}");
        let mut result = DeleteResult::new(true);
        result.deleted(&object("a"), None);
        assert!(!String::from_utf8(result.finish()).unwrap().contains("Deleted"));
    }
}
