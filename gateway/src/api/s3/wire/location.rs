//! `CreateBucketConfiguration` and `LocationConstraint`: where a bucket is.

use super::tagging;
use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::S3Error;

/// The regions of AWS that have S3.
/// <https://docs.aws.amazon.com/general/latest/gr/s3.html>
const AWS_REGIONS: [&str; 39] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Is this the name of a region of AWS?
pub fn is_aws_region(name: &str) -> bool {
    AWS_REGIONS.contains(&name)
}

/// The region whose buckets have no location constraint.
pub const NO_CONSTRAINT: &str = "us-east-1";

/// Is it the location constraint of some region of AWS?
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html>
pub fn is_known(constraint: &str) -> bool {
    constraint == "EU" || is_aws_region(constraint)
}

/// What the body of CreateBucket asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The location constraint.
    pub constraint: Option<String>,
    /// Tags of the bucket to be.
    pub tags: Vec<(String, String)>,
}

/// Reads the body of CreateBucket; an empty one asks for nothing.
pub fn parse(document: &[u8]) -> Result<Asked, S3Error> {
    if document.is_empty() {
        return Ok(Asked::default());
    }
    let root = Element::parse(document, "CreateBucketConfiguration")?;
    if let Some(name) = ["Location", "Bucket"].iter().find(|name| root.all(name).next().is_some()) {
        return Err(S3Error::not_implemented(format_args!("{name} in CreateBucketConfiguration")));
    }
    if root.only(&["LocationConstraint", "Tags"])?.children.is_empty() {
        return Err(MalformedXml.into());
    }
    let tags = root.child("Tags")?.map(|tags| tags.children.iter().map(tagging::pair).collect());
    Ok(Asked {
        constraint: root
            .text_of("LocationConstraint")?
            .filter(|region| !region.is_empty())
            .map(str::to_owned),
        tags: tagging::check(tags.transpose()?.unwrap_or_default(), tagging::BUCKET_MAX)?,
    })
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
            parse(document.as_bytes()).map(|asked| asked.constraint).map_err(|error| error.code)
        };
        assert_eq!(parse(b"").unwrap(), Asked::default());
        assert_eq!(of(""), Err(Code::MalformedXml));
        assert_eq!(of("<LocationConstraint/>"), Ok(None));
        assert_eq!(
            of("<LocationConstraint>eu-west-1</LocationConstraint>"),
            Ok(Some("eu-west-1".to_owned()))
        );
        assert_eq!(of("<Tags/>"), Ok(None));
        assert_eq!(of("<Tags><Tag/></Tags>"), Err(Code::MalformedXml));
        let tagged = b"<CreateBucketConfiguration><Tags><Tag><Key>k</Key><Value>v</Value></Tag></Tags></CreateBucketConfiguration>";
        assert_eq!(parse(tagged).unwrap().tags, [("k".to_owned(), "v".to_owned())]);
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
