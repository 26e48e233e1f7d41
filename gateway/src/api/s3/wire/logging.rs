//! `BucketLoggingStatus`.

use super::acl::{self, Accounts};
use super::tree::Element;
use super::xml::{MalformedXml, XmlWriter};
use crate::api::s3::error::S3Error;
use crate::bucket::{LogKeyFormat, Logging, PartitionDateSource, Permission};

/// Reads it; `None`: it turns logging off. As on AWS a prefix that is not there is an empty one.
pub fn parse(document: &[u8], accounts: Accounts<'_>) -> Result<Option<Logging>, S3Error> {
    let root = Element::parse(document, "BucketLoggingStatus")?;
    let Some(enabled) = root.only(&["LoggingEnabled"])?.child("LoggingEnabled")? else { return Ok(None) };
    enabled.only(&["TargetBucket", "TargetGrants", "TargetObjectKeyFormat", "TargetPrefix"])?;
    let target_bucket = enabled.text_of("TargetBucket")?.filter(|name| !name.is_empty());
    let target_bucket = target_bucket.ok_or(MalformedXml)?.to_owned();
    let target_prefix = enabled.text_of("TargetPrefix")?.unwrap_or_default().to_owned();
    let target_grants = match enabled.child("TargetGrants")? {
        Some(list) => acl::parse_grants(list, accounts)?,
        None => Vec::new(),
    };
    // AWS's BucketLogsPermission.
    let may_be = [Permission::FullControl, Permission::Read, Permission::Write];
    if !target_grants.iter().all(|grant| may_be.contains(&grant.permission)) {
        return Err(MalformedXml.into());
    }
    let key_format = enabled.child("TargetObjectKeyFormat")?.map(key_format).transpose()?;
    Ok(Some(Logging { target_bucket, target_prefix, target_grants, key_format }))
}

fn key_format(element: &Element) -> Result<LogKeyFormat, MalformedXml> {
    element.only(&["SimplePrefix", "PartitionedPrefix"])?;
    match (element.child("SimplePrefix")?, element.child("PartitionedPrefix")?) {
        (Some(simple), None) if simple.children.is_empty() => Ok(LogKeyFormat::Simple),
        (None, Some(partitioned)) => {
            let source = partitioned.only(&["PartitionDateSource"])?.text_of("PartitionDateSource")?;
            let source = match source {
                None => PartitionDateSource::EventTime,
                Some(name) => PartitionDateSource::parse(name).ok_or(MalformedXml)?,
            };
            Ok(LogKeyFormat::Partitioned(source))
        }
        _ => Err(MalformedXml),
    }
}

/// Writes it; empty where logging is off.
pub fn write(logging: Option<&Logging>) -> Vec<u8> {
    let mut xml = XmlWriter::document(512);
    xml.root("BucketLoggingStatus");
    if let Some(logging) = logging {
        xml.open("LoggingEnabled");
        xml.text("TargetBucket", &logging.target_bucket);
        if !logging.target_grants.is_empty() {
            xml.open("TargetGrants");
            acl::write_grants(&logging.target_grants, &mut xml);
            xml.close("TargetGrants");
        }
        if let Some(format) = logging.key_format {
            xml.open("TargetObjectKeyFormat");
            match format {
                LogKeyFormat::Simple => xml.text("SimplePrefix", ""),
                LogKeyFormat::Partitioned(source) => {
                    xml.open("PartitionedPrefix");
                    xml.text("PartitionDateSource", source.name());
                    xml.close("PartitionedPrefix");
                }
            }
            xml.close("TargetObjectKeyFormat");
        }
        xml.text("TargetPrefix", &logging.target_prefix);
        xml.close("LoggingEnabled");
    }
    xml.close("BucketLoggingStatus");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::{Grant, Grantee};
    use crate::iam::{Account, State};

    fn read(document: &[u8]) -> Result<Option<Logging>, S3Error> {
        let owner = Account { canonical_id: "c0".to_owned(), ..Account::new(&"1".repeat(12), "root", "", 0) };
        parse(document, Accounts { owner: &owner, bucket_owner: &owner, all: &State::default() })
    }

    #[test]
    fn documents_come_back() {
        let formats = [
            None,
            Some(LogKeyFormat::Simple),
            Some(LogKeyFormat::Partitioned(PartitionDateSource::EventTime)),
            Some(LogKeyFormat::Partitioned(PartitionDateSource::DeliveryTime)),
        ];
        for key_format in formats {
            let logging = Logging {
                target_bucket: "logs".to_owned(),
                target_prefix: "a<b".to_owned(),
                target_grants: vec![
                    Grant {
                        grantee: Grantee::Canonical { id: "c0".to_owned() },
                        permission: Permission::Read,
                    },
                    Grant { grantee: Grantee::AllUsers, permission: Permission::FullControl },
                ],
                key_format,
            };
            assert_eq!(read(&write(Some(&logging))).unwrap(), Some(logging));
        }
        assert_eq!(read(&write(None)).unwrap(), None);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let of = |inner: &str| {
            let whole = format!("<BucketLoggingStatus>{inner}</BucketLoggingStatus>");
            read(whole.as_bytes()).map(|logging| logging.map(|l| (l.target_prefix, l.key_format)))
        };
        let enabled = |inner: &str| of(&format!("<LoggingEnabled>{inner}</LoggingEnabled>"));
        assert_eq!(enabled("<TargetBucket>b</TargetBucket>").unwrap(), Some((String::new(), None)));
        let partitioned = "<TargetBucket>b</TargetBucket><TargetObjectKeyFormat><PartitionedPrefix/></TargetObjectKeyFormat>";
        let by_event = Some(LogKeyFormat::Partitioned(PartitionDateSource::EventTime));
        assert_eq!(enabled(partitioned).unwrap(), Some((String::new(), by_event)));
        for malformed in [
            "",
            "<TargetPrefix>p</TargetPrefix>",
            "<TargetBucket>b</TargetBucket><Other/>",
            "<TargetBucket>b</TargetBucket><TargetObjectKeyFormat/>",
            "<TargetBucket>b</TargetBucket><TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>x</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>",
            "<TargetBucket>b</TargetBucket><TargetGrants><Grant><Grantee><ID>c0</ID></Grantee><Permission>READ_ACP</Permission></Grant></TargetGrants>",
        ] {
            assert_eq!(
                enabled(malformed).unwrap_err().code,
                crate::api::s3::error::Code::MalformedXml,
                "{malformed}"
            );
        }
    }
}
