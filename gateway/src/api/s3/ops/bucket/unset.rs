//! Configurations that can't be set yet read as AWS has them where nothing was set: Terraform, consoles and backup
//! tools probe them all.

use http::{HeaderMap, header};
use storage::catalog::VersionKind;
use storage::name::BucketName;

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::operation::{Level, Operation};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::listing::write_owner;
use crate::api::s3::wire::xml::XmlWriter;
use crate::app::App;
use crate::authz::Permit;
use crate::iam::Account;

/// Answers an operation whose row says `ReadsAsUnset`.
pub async fn read_as_unset(
    app: &App,
    operation: Operation,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    if let (Level::Object, Some(object)) = (operation.level(), &request.object) {
        let current = app.catalog.current(bucket, object).await?;
        if !current.is_some_and(|version| matches!(version.kind, VersionKind::Object(_))) {
            return Err(S3Error::new(Code::NoSuchKey).field("Key", object.as_str()));
        }
    }
    answer(operation, &bucket.name, app.accounts.root()).map(response::xml)
}

/// The refusal of a browser's preflight request: no bucket has a CORS configuration. It carries no credentials,
/// so the spine asks for it before it authenticates.
pub fn preflight(headers: &HeaderMap) -> S3Error {
    let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let method = method.map(|method| String::from_utf8_lossy(method.as_bytes()).into_owned());
    S3Error::new(Code::AccessForbidden)
        .field("Method", method.unwrap_or_default())
        .field("ResourceType", "BUCKET")
}

fn answer(operation: Operation, bucket: &BucketName, owner: &Account) -> Result<Vec<u8>, S3Error> {
    use Operation as Op;
    let refused = |code: Code| Err(S3Error::new(code).field("BucketName", bucket.as_str()));
    match operation {
        Op::GetBucketVersioning => Ok(document("VersioningConfiguration", "")),
        Op::GetBucketAcl | Op::GetObjectAcl => Ok(access_control_policy(owner)),
        Op::GetBucketOwnershipControls => Ok(document(
            "OwnershipControls",
            "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
        )),
        Op::GetBucketPolicy | Op::GetBucketPolicyStatus => refused(Code::NoSuchBucketPolicy),
        // What AWS sets on every new bucket; here nothing is public in any case.
        Op::GetPublicAccessBlock => Ok(document(
            "PublicAccessBlockConfiguration",
            "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
             <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>",
        )),
        Op::GetBucketAbac => Ok(document("AbacStatus", "<Status>Disabled</Status>")),
        Op::GetBucketTagging => refused(Code::NoSuchTagSet),
        Op::GetObjectTagging => Ok(document("Tagging", "<TagSet/>")),
        Op::GetBucketCors => refused(Code::NoSuchCorsConfiguration),
        Op::GetBucketLifecycleConfiguration | Op::GetBucketLifecycle => {
            refused(Code::NoSuchLifecycleConfiguration)
        }
        Op::GetBucketNotificationConfiguration | Op::GetBucketNotification => {
            Ok(document("NotificationConfiguration", ""))
        }
        Op::GetBucketReplication => refused(Code::ReplicationConfigurationNotFoundError),
        Op::GetBucketLogging => Ok(document("BucketLoggingStatus", "")),
        Op::GetBucketRequestPayment => {
            Ok(document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"))
        }
        Op::GetBucketAccelerateConfiguration => Ok(document("AccelerateConfiguration", "")),
        Op::GetBucketWebsite => refused(Code::NoSuchWebsiteConfiguration),
        Op::GetObjectLockConfiguration => refused(Code::ObjectLockConfigurationNotFoundError),
        Op::GetObjectRetention | Op::GetObjectLegalHold => {
            Err(S3Error::invalid_request("Bucket is missing Object Lock Configuration"))
        }
        Op::GetBucketInventoryConfiguration
        | Op::GetBucketAnalyticsConfiguration
        | Op::GetBucketMetricsConfiguration
        | Op::GetBucketIntelligentTieringConfiguration => refused(Code::NoSuchConfiguration),
        Op::ListBucketInventoryConfigurations => Ok(empty_list("ListInventoryConfigurationsResult")),
        Op::ListBucketAnalyticsConfigurations => Ok(empty_list("ListBucketAnalyticsConfigurationsResult")),
        Op::ListBucketMetricsConfigurations => Ok(empty_list("ListMetricsConfigurationsResult")),
        Op::ListBucketIntelligentTieringConfigurations => {
            Ok(empty_list("ListBucketIntelligentTieringConfigurationsOutput"))
        }
        Op::GetBucketMetadataConfiguration | Op::GetBucketMetadataTableConfiguration => {
            refused(Code::MetadataConfigurationNotFound)
        }
        Op::Preflight => Err(preflight(&HeaderMap::new())),
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

fn access_control_policy(owner: &Account) -> Vec<u8> {
    let mut xml = XmlWriter::document(768);
    xml.root("AccessControlPolicy");
    write_owner(&mut xml, owner);
    xml.open("AccessControlList");
    xml.open("Grant");
    xml.open_canonical_grantee();
    xml.text("ID", &owner.canonical_id);
    xml.text("DisplayName", &owner.display_name);
    xml.close("Grantee");
    xml.text("Permission", "FULL_CONTROL");
    xml.close("Grant");
    xml.close("AccessControlList");
    xml.close("AccessControlPolicy");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::s3::operation::{Status, TABLE};
    use crate::api::s3::wire::xml::XmlParser;

    #[test]
    fn every_row_that_reads_as_unset_has_its_answer() {
        let bucket = BucketName::parse("bucket").unwrap();
        let owner =
            Account { id: "1".repeat(12), canonical_id: "c".to_owned(), display_name: "d".to_owned() };
        for row in TABLE {
            let answer = answer(row.operation, &bucket, &owner);
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
