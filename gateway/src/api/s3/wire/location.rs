//! `CreateBucketConfiguration` and `LocationConstraint`: where a bucket is.

use super::xml::{MalformedXml, XmlParser, XmlWriter};
use crate::api::s3::error::S3Error;

/// The region whose buckets have no location constraint.
pub const NO_CONSTRAINT: &str = "us-east-1";

/// The location constraint in the body of CreateBucket; an empty body has none.
pub fn parse(document: &[u8]) -> Result<Option<String>, S3Error> {
    if document.is_empty() {
        return Ok(None);
    }
    let mut xml = XmlParser::root(document, "CreateBucketConfiguration")?;
    let mut constraint = None;
    while let Some(name) = xml.child()? {
        match &*name {
            "LocationConstraint" => constraint = Some(xml.token()?).filter(|region| !region.is_empty()),
            // An empty tag set changes nothing.
            "Tags" => {
                if xml.child()?.is_some() {
                    return Err(S3Error::not_implemented("Tags in CreateBucketConfiguration"));
                }
            }
            "Location" | "Bucket" => {
                return Err(S3Error::not_implemented(format_args!("{name} in CreateBucketConfiguration")));
            }
            _ => return Err(MalformedXml.into()),
        }
    }
    xml.end()?;
    Ok(constraint)
}

/// Writes the body of GetBucketLocation.
pub fn write(region: &str) -> Vec<u8> {
    let mut xml = XmlWriter::document(160);
    xml.root("LocationConstraint");
    if region != NO_CONSTRAINT {
        xml.content(region);
    }
    xml.close("LocationConstraint");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::s3::error::Code;

    #[test]
    fn constraints() {
        let of = |inner: &str| {
            let document = format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>");
            parse(document.as_bytes()).map_err(|error| error.code)
        };
        assert_eq!(parse(b"").unwrap(), None);
        assert_eq!(of(""), Ok(None));
        assert_eq!(
            of("<LocationConstraint>eu-west-1</LocationConstraint>"),
            Ok(Some("eu-west-1".to_owned()))
        );
        assert_eq!(of("<Tags/>"), Ok(None));
        assert_eq!(of("<Tags><Tag/></Tags>"), Err(Code::NotImplemented));
        assert_eq!(of("<Location/>"), Err(Code::NotImplemented));
        assert_eq!(of("<Else/>"), Err(Code::MalformedXml));
    }

    #[test]
    fn answers() {
        let text = |region| String::from_utf8(write(region)).unwrap();
        assert!(text("us-east-1").ends_with("2006-03-01/\"></LocationConstraint>"));
        assert!(text("eu-west-1").ends_with("2006-03-01/\">eu-west-1</LocationConstraint>"));
    }
}
