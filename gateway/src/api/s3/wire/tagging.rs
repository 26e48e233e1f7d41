//! Tags of objects and buckets: XML and the header.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>

use http::HeaderMap;

use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::Query;
use crate::http::header;

/// The most tags of an object.
pub const OBJECT_MAX: usize = 10;
/// The most tags of a bucket.
pub const BUCKET_MAX: usize = 50;
/// The longest name, in characters.
const NAME_MAX_LEN: usize = 128;
/// The longest value, in characters.
const VALUE_MAX_LEN: usize = 256;

/// Tags, in order.
pub type Tags = Vec<(String, String)>;

/// Reads a `Tagging` document of at most `max` tags.
pub fn parse(document: &[u8], max: usize) -> Result<Tags, S3Error> {
    tags_of(Element::parse(document, "Tagging")?.only(&["TagSet"])?.required("TagSet")?, max)
}

/// Reads the field of a form. Like AWS it takes a document of another root for one without tags.
pub fn of_form(document: &[u8]) -> Result<Tags, S3Error> {
    match Element::parse_any(document)? {
        root if root.name == "Tagging" => tags_of(root.only(&["TagSet"])?.required("TagSet")?, OBJECT_MAX),
        _ => Ok(Vec::new()),
    }
}

/// The tags in a `TagSet`.
fn tags_of(set: &Element, max: usize) -> Result<Tags, S3Error> {
    let mut tags = Vec::new();
    for tag in &set.only(&["Tag"])?.children {
        tags.push(pair(tag)?);
    }
    check(tags, max)
}

/// The name and the value in a `Tag`.
pub fn pair(tag: &Element) -> Result<(String, String), MalformedXml> {
    let tag = tag.only(&["Key", "Value"])?;
    Ok((tag.required("Key")?.text.clone(), tag.required("Value")?.text.clone()))
}

/// Reads the header of a write: tags as in a form.
pub fn of_headers(headers: &HeaderMap) -> Result<Tags, S3Error> {
    let Some(value) = headers.get(header::TAGGING) else { return Ok(Vec::new()) };
    let malformed = || {
        S3Error::invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
            header::TAGGING.as_str(),
            String::from_utf8_lossy(value.as_bytes()),
        )
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| malformed())?;
    let Query(tags) = Query::parse(text).map_err(|_| malformed())?;
    // Whatever is wrong with a tag, of the header AWS says this.
    check(tags, OBJECT_MAX).map_err(|error| if error.code == Code::InvalidTag { malformed() } else { error })
}

/// Checks what rules there are of names, values and their number.
pub fn check(tags: Tags, max: usize) -> Result<Tags, S3Error> {
    let invalid = |message: &'static str, name: &str| {
        Err(S3Error::new(Code::InvalidTag).message(message).field("TagKey", name))
    };
    for (index, (name, value)) in tags.iter().enumerate() {
        if name.is_empty() || name.chars().count() > NAME_MAX_LEN || !is_text(name) {
            return invalid("The TagKey you have provided is invalid", name);
        }
        if name.to_ascii_lowercase().starts_with("aws:") {
            let of_object = "Your TagKey cannot be prefixed with aws:";
            let of_bucket = "System tags cannot be added/updated by requester";
            return invalid(if max == OBJECT_MAX { of_object } else { of_bucket }, name);
        }
        if value.chars().count() > VALUE_MAX_LEN || !is_text(value) {
            let refused = invalid("The TagValue you have provided is invalid", name);
            return refused.map_err(|error| error.field("TagValue", value));
        }
        if tags[..index].iter().any(|(other, _)| other == name) {
            return invalid("Cannot provide multiple Tags with the same key", name);
        }
    }
    if tags.len() > max {
        return Err(if max == OBJECT_MAX {
            S3Error::new(Code::BadRequest).message("Object tags cannot be greater than 10")
        } else {
            S3Error::new(Code::BadRequest).message("Bucket tag count cannot be greater than 50")
        });
    }
    Ok(tags)
}

/// Letters, digits, blanks and some signs.
fn is_text(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c))
}

/// Writes a `Tagging` document.
pub fn write(tags: &[(String, String)]) -> Vec<u8> {
    let mut xml = XmlWriter::document(256);
    xml.root("Tagging");
    write_set(&mut xml, tags);
    xml.close("Tagging");
    xml.finish()
}

fn write_set(xml: &mut XmlWriter, tags: &[(String, String)]) {
    xml.open("TagSet");
    tags.iter().for_each(|tag| write_tag(xml, tag));
    xml.close("TagSet");
}

/// Writes a `Tag`.
pub fn write_tag(xml: &mut XmlWriter, (name, value): &(String, String)) {
    xml.open("Tag");
    xml.text("Key", name);
    xml.text("Value", value);
    xml.close("Tag");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn documents_come_back() {
        let tags = of(&[("a", "1"), ("b c", ""), ("ü/+-=._:@", "é")]);
        assert_eq!(parse(&write(&tags), OBJECT_MAX).unwrap(), tags);
        assert_eq!(parse(b"<Tagging><TagSet/></Tagging>", OBJECT_MAX).unwrap(), []);
        for bad in ["<Tagging/>", "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", "<TagSet/>"]
        {
            assert_eq!(parse(bad.as_bytes(), OBJECT_MAX).unwrap_err().code, Code::MalformedXml, "{bad}");
        }
    }

    #[test]
    fn rules() {
        let code = |tags| check(tags, OBJECT_MAX).err().map(|error| error.code);
        assert_eq!(code(of(&[("a", "1")])), None);
        assert_eq!(code(of(&[("", "1")])), Some(Code::InvalidTag));
        assert_eq!(code(of(&[("a", "1"), ("a", "2")])), Some(Code::InvalidTag));
        assert_eq!(code(of(&[("aws:a", "1")])), Some(Code::InvalidTag));
        assert_eq!(code(of(&[("a", "<")])), Some(Code::InvalidTag));
        assert_eq!(code(vec![("k".repeat(128), "v".repeat(256))]), None);
        assert_eq!(code(vec![("k".repeat(129), "v".to_owned())]), Some(Code::InvalidTag));
        assert_eq!(code(vec![("k".to_owned(), "v".repeat(257))]), Some(Code::InvalidTag));
        let many = |count| (0..count).map(|n| (n.to_string(), String::new())).collect::<Tags>();
        assert_eq!(code(many(10)), None);
        assert_eq!(code(many(11)), Some(Code::BadRequest));
    }

    #[test]
    fn the_header_is_a_form() {
        let mut headers = HeaderMap::new();
        headers.insert(header::TAGGING, "a=1&b+c=%C3%BC&d".parse().unwrap());
        assert_eq!(of_headers(&headers).unwrap(), of(&[("a", "1"), ("b c", "ü"), ("d", "")]));
        for malformed in ["a=%zz", "a=1&a=2", "a=1,b=2", "=1"] {
            headers.insert(header::TAGGING, malformed.parse().unwrap());
            assert_eq!(of_headers(&headers).unwrap_err().code, Code::InvalidArgument, "{malformed}");
        }
    }
}
