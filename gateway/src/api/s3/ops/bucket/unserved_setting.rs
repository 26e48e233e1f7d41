//! Configurations that can't be set yet read as AWS has them where nothing was set: Terraform, consoles and backup
//! tools probe them all.

use storage::name::BucketName;

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::operation::Operation;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::xml::XmlWriter;
use crate::app::App;
use crate::authz::Permit;

/// Answers an operation whose row says `ReadsAsUnset`.
pub async fn read_as_unset(
    _app: &App,
    operation: Operation,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    answer(operation, &bucket.name).map(response::xml)
}

fn answer(operation: Operation, bucket: &BucketName) -> Result<Vec<u8>, S3Error> {
    use Operation as Op;
    let refused = |code: Code| Err(S3Error::new(code).field("BucketName", bucket.as_str()));
    match operation {
        Op::GetBucketNotificationConfiguration | Op::GetBucketNotification => {
            Ok(document("NotificationConfiguration", ""))
        }
        Op::GetBucketReplication => refused(Code::ReplicationConfigurationNotFoundError),
        Op::GetBucketWebsite => refused(Code::NoSuchWebsiteConfiguration),
        Op::GetBucketInventoryConfiguration
        | Op::GetBucketAnalyticsConfiguration
        | Op::GetBucketMetricsConfiguration
        | Op::GetBucketIntelligentTieringConfiguration => Err(Code::NoSuchConfiguration.into()),
        Op::ListBucketInventoryConfigurations => Ok(empty_list("ListInventoryConfigurationsResult")),
        Op::ListBucketAnalyticsConfigurations => Ok(empty_list("ListBucketAnalyticsConfigurationsResult")),
        Op::ListBucketMetricsConfigurations => Ok(empty_list("ListMetricsConfigurationsResult")),
        Op::ListBucketIntelligentTieringConfigurations => {
            Ok(empty_list("ListBucketIntelligentTieringConfigurationsOutput"))
        }
        Op::GetBucketMetadataConfiguration | Op::GetBucketMetadataTableConfiguration => {
            refused(Code::MetadataConfigurationNotFound)
        }
        other => Err(S3Error::not_implemented(other)),
    }
}

fn document(root: &str, inner: &str) -> Vec<u8> {
    let mut xml = XmlWriter::document(160 + inner.len());
    xml.root(root);
    xml.raw(inner);
    xml.close(root);
    xml.finish()
}

fn empty_list(root: &str) -> Vec<u8> {
    document(root, "<IsTruncated>false</IsTruncated>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::s3::operation::{Status, TABLE};
    use crate::api::s3::wire::xml::XmlParser;

    #[test]
    fn every_row_that_reads_as_unset_has_its_answer() {
        let bucket = BucketName::parse("bucket").unwrap();
        for row in TABLE {
            let answer = answer(row.operation, &bucket);
            let implemented = !answer.as_ref().is_err_and(|error| error.code == Code::NotImplemented);
            assert_eq!(implemented, row.status == Status::ReadsAsUnset, "{}", row.name);
            if let Ok(document) = answer {
                let text = String::from_utf8(document.clone()).unwrap();
                let root = text.split_once("?>\n<").unwrap().1.split_once(' ').unwrap().0.to_owned();
                let mut parser = XmlParser::root(&document, &root).unwrap();
                while parser.child().unwrap().is_some() {
                    parser.skip().unwrap();
                }
                parser.end().unwrap();
            }
        }
    }
}
