//! `ServerSideEncryptionConfiguration`: a bucket's default encryption on the wire.

use super::xml::{MalformedXml, XmlParser, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::sse::{BucketEncryption, DefaultAlgorithm};

/// The longest KMS key id, in bytes: KMS's own limit.
const KEY_ID_MAX_LEN: usize = 2048;

/// Reads the body of PutBucketEncryption: one rule.
pub fn parse(document: &[u8]) -> Result<BucketEncryption, S3Error> {
    let mut xml = XmlParser::root(document, "ServerSideEncryptionConfiguration")?;
    let mut found = None;
    while let Some(name) = xml.child()? {
        if name != "Rule" || found.is_some() {
            return Err(MalformedXml.into());
        }
        found = Some(rule(&mut xml)?);
    }
    xml.end()?;
    Ok(found.ok_or(MalformedXml)?)
}

fn rule(xml: &mut XmlParser<'_>) -> Result<BucketEncryption, S3Error> {
    let mut algorithm = None;
    let mut encryption = BucketEncryption::default();
    while let Some(name) = xml.child()? {
        match &*name {
            "ApplyServerSideEncryptionByDefault" => {
                while let Some(name) = xml.child()? {
                    match &*name {
                        "SSEAlgorithm" => algorithm = Some(xml.token()?),
                        "KMSMasterKeyID" => encryption.kms_key_id = Some(xml.token()?),
                        _ => return Err(MalformedXml.into()),
                    }
                }
                if algorithm.is_none() {
                    return Err(MalformedXml.into());
                }
            }
            "BucketKeyEnabled" => encryption.bucket_key_enabled = xml.boolean()?,
            "BlockedEncryptionTypes" => encryption.sse_c_blocked = blocked_types(xml)?,
            _ => return Err(MalformedXml.into()),
        }
    }
    if let Some(name @ ("aws:fsx" | "aws:backup")) = algorithm.as_deref() {
        return Err(S3Error::not_implemented(format_args!("The encryption algorithm {name}")));
    }
    if let Some(name) = algorithm {
        encryption.algorithm = DefaultAlgorithm::parse(&name).ok_or(MalformedXml)?;
    }
    if let Some(id) = &encryption.kms_key_id {
        if id.is_empty() || id.len() > KEY_ID_MAX_LEN || id.contains(char::is_control) {
            return Err(MalformedXml.into());
        }
        if encryption.algorithm == DefaultAlgorithm::S3 {
            return Err(S3Error::new(Code::InvalidArgument)
                .message(
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
                )
                .field("ArgumentName", "ApplyServerSideEncryptionByDefault"));
        }
    }
    Ok(encryption)
}

/// Is SSE-C among the blocked types? `NONE` stands alone.
fn blocked_types(xml: &mut XmlParser<'_>) -> Result<bool, MalformedXml> {
    let (mut none, mut customer) = (false, false);
    while let Some(name) = xml.child()? {
        if name != "EncryptionType" {
            return Err(MalformedXml);
        }
        match xml.token()?.as_str() {
            "NONE" => none = true,
            "SSE-C" => customer = true,
            _ => return Err(MalformedXml),
        }
    }
    if none == customer { Err(MalformedXml) } else { Ok(customer) }
}

/// What UpdateObjectEncryption asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEncryption {
    /// The KMS key, by its full ARN.
    pub key_arn: String,
    /// Use a bucket-level key.
    pub bucket_key_enabled: bool,
}

/// Reads the body of UpdateObjectEncryption. AWS takes neither key ids nor aliases here.
pub fn parse_object(document: &[u8]) -> Result<ObjectEncryption, S3Error> {
    let mut xml = XmlParser::root(document, "ObjectEncryption")?;
    let (mut key_arn, mut bucket_key_enabled) = (None, false);
    while let Some(name) = xml.child()? {
        if name == "SSE-S3" {
            return Err(S3Error::invalid_request("Updating an object to SSE-S3 is not supported."));
        }
        if name != "SSE-KMS" {
            return Err(MalformedXml.into());
        }
        while let Some(name) = xml.child()? {
            match &*name {
                "KMSKeyArn" => key_arn = Some(xml.token()?),
                "BucketKeyEnabled" => bucket_key_enabled = xml.boolean()?,
                _ => return Err(MalformedXml.into()),
            }
        }
    }
    xml.end()?;
    let key_arn = key_arn.ok_or(MalformedXml)?;
    let fields: Vec<&str> = key_arn.splitn(6, ':').collect();
    match fields[..] {
        ["arn", "aws", "kms", _, _, key] if key.starts_with("key/") && key_arn.len() <= KEY_ID_MAX_LEN => {
            Ok(ObjectEncryption { key_arn, bucket_key_enabled })
        }
        _ => {
            Err(S3Error::invalid_argument("The KMS key must be given by its full ARN.", "KMSKeyArn", key_arn))
        }
    }
}

/// Writes the body of GetBucketEncryption.
pub fn write(encryption: &BucketEncryption) -> Vec<u8> {
    let mut xml = XmlWriter::document(512);
    xml.root("ServerSideEncryptionConfiguration");
    xml.open("Rule");
    xml.open("ApplyServerSideEncryptionByDefault");
    xml.text("SSEAlgorithm", encryption.algorithm.name());
    xml.optional("KMSMasterKeyID", encryption.kms_key_id.as_deref());
    xml.close("ApplyServerSideEncryptionByDefault");
    xml.boolean("BucketKeyEnabled", encryption.bucket_key_enabled);
    if encryption.sse_c_blocked {
        xml.open("BlockedEncryptionTypes");
        xml.text("EncryptionType", "SSE-C");
        xml.close("BlockedEncryptionTypes");
    }
    xml.close("Rule");
    xml.close("ServerSideEncryptionConfiguration");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(inner: &str) -> Result<BucketEncryption, Code> {
        let document = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>{inner}</Rule>\
             </ServerSideEncryptionConfiguration>"
        );
        parse(document.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn configurations_come_back() {
        for algorithm in [DefaultAlgorithm::S3, DefaultAlgorithm::Kms, DefaultAlgorithm::KmsDsse] {
            for sse_c_blocked in [false, true] {
                let encryption = BucketEncryption {
                    algorithm,
                    kms_key_id: (algorithm != DefaultAlgorithm::S3).then(|| "alias/a&b".to_owned()),
                    bucket_key_enabled: algorithm == DefaultAlgorithm::Kms,
                    sse_c_blocked,
                };
                assert_eq!(parse(&write(&encryption)).unwrap(), encryption);
            }
        }
    }

    #[test]
    fn rules() {
        const APPLY: &str = "ApplyServerSideEncryptionByDefault";
        assert_eq!(
            rule_of("<BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes>"),
            Ok(BucketEncryption::default())
        );
        let apply = |inner: &str| rule_of(&format!("<{APPLY}>{inner}</{APPLY}>"));
        assert_eq!(apply("<SSEAlgorithm>AES256</SSEAlgorithm>"), Ok(BucketEncryption::default()));
        assert_eq!(apply(""), Err(Code::MalformedXml));
        assert_eq!(apply("<SSEAlgorithm>ROT13</SSEAlgorithm>"), Err(Code::MalformedXml));
        assert_eq!(apply("<SSEAlgorithm>aws:fsx</SSEAlgorithm>"), Err(Code::NotImplemented));
        assert_eq!(
            apply("<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>x</KMSMasterKeyID>"),
            Err(Code::InvalidArgument)
        );
        assert_eq!(
            apply("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>a\u{0}b</KMSMasterKeyID>"),
            Err(Code::MalformedXml)
        );
        assert_eq!(rule_of("<BlockedEncryptionTypes/>"), Err(Code::MalformedXml));
        assert_eq!(rule_of("<Unknown/>"), Err(Code::MalformedXml));
        let two = "<ServerSideEncryptionConfiguration><Rule/><Rule/></ServerSideEncryptionConfiguration>";
        assert_eq!(parse(two.as_bytes()).unwrap_err().code, Code::MalformedXml);
        assert_eq!(parse(b"<ServerSideEncryptionConfiguration/>").unwrap_err().code, Code::MalformedXml);
    }
}
