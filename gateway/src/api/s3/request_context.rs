//! The request context of S3's condition keys: one table says where each value comes from. Which of them an action has says the
//! reference ([`crate::authz`]).
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html>

use http::HeaderName;
use http::header::{IF_MATCH, IF_NONE_MATCH, REFERER, USER_AGENT};
use storage::catalog::Bucket;
use storage::name::{Timestamp, UploadId};

use super::error::S3Error;
use super::operation::Operation;
use super::request::{Query, S3Request};
use super::request_document;
use super::wire::{encryption, location, lock, tagging, time};
use crate::app::App;
use crate::authz::{Context, GlobalKeys};
use crate::http::header;
use crate::sse::{self, Sse};

/// Where the value of a condition key comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A header.
    Header(HeaderName),
    /// A parameter of the query.
    Parameter(&'static str),
    /// How the request was signed, and when: [`of_signature`].
    Signature,
    /// The connection: [`of_signature`].
    Connection,
    /// What the operation is: [`of_operation`].
    Operation,
    /// The document in the body, or the headers that say the same of a new object: [`of_document`], [`of_headers`].
    Document,
    /// What is stored: the bucket, its tags, the object's tags ([`crate::authz`]).
    Stored,
    /// Nothing: why it is absent from every request.
    Absent(&'static str),
}

use Source::{Absent, Connection, Document, Header, Parameter, Signature, Stored};

const NO_ACCESS_POINTS: &str = "there are no access points";
const NO_ACCESS_GRANTS: &str = "there are no access grants";
const NO_JOBS: &str = "there are no batch jobs";

/// The condition keys that S3 gives its actions, in lower case.
const KEYS: [(&str, Source); 55] = [
    ("aws:requesttag/", Document),
    ("aws:resourcetag/", Stored),
    ("aws:tagkeys", Document),
    ("s3:accessgrantscope", Absent(NO_ACCESS_GRANTS)),
    ("s3:accessgrantsinstancearn", Absent(NO_ACCESS_GRANTS)),
    ("s3:accessgrantslocationscope", Absent(NO_ACCESS_GRANTS)),
    ("s3:accesspointnetworkorigin", Absent(NO_ACCESS_POINTS)),
    ("s3:accesspointtag/", Absent(NO_ACCESS_POINTS)),
    ("s3:authtype", Signature),
    ("s3:buckettag/", Stored),
    ("s3:dataaccesspointaccount", Absent(NO_ACCESS_POINTS)),
    ("s3:dataaccesspointarn", Absent(NO_ACCESS_POINTS)),
    ("s3:delimiter", Parameter("delimiter")),
    ("s3:destinationregion", Absent("there are no access points of several regions")),
    ("s3:existingjoboperation", Absent(NO_JOBS)),
    ("s3:existingjobpriority", Absent(NO_JOBS)),
    ("s3:existingobjecttag/", Stored),
    ("s3:if-match", Header(IF_MATCH)),
    ("s3:if-none-match", Header(IF_NONE_MATCH)),
    ("s3:inventoryaccessibleoptionalfields", Absent("inventories are not implemented")),
    ("s3:isreplicationpauserequest", Absent("replication is not implemented")),
    ("s3:jobsuspendedcause", Absent(NO_JOBS)),
    ("s3:locationconstraint", Document),
    ("s3:max-keys", Parameter("max-keys")),
    ("s3:object-lock-legal-hold", Document),
    ("s3:object-lock-mode", Document),
    ("s3:object-lock-remaining-retention-days", Document),
    ("s3:object-lock-retain-until-date", Document),
    ("s3:objectcreationoperation", Source::Operation),
    ("s3:prefix", Parameter("prefix")),
    ("s3:requestjoboperation", Absent(NO_JOBS)),
    ("s3:requestjobpriority", Absent(NO_JOBS)),
    ("s3:requestobjecttag/", Document),
    ("s3:requestobjecttagkeys", Document),
    ("s3:resourceaccount", Stored),
    ("s3:signatureage", Signature),
    ("s3:signatureversion", Signature),
    ("s3:tlsversion", Connection),
    ("s3:versionid", Parameter("versionId")),
    ("s3:x-amz-acl", Header(header::ACL)),
    ("s3:x-amz-bucket-namespace", Header(header::BUCKET_NAMESPACE)),
    ("s3:x-amz-content-sha256", Signature),
    ("s3:x-amz-copy-source", Header(header::COPY_SOURCE)),
    ("s3:x-amz-grant-full-control", Header(header::GRANT_FULL_CONTROL)),
    ("s3:x-amz-grant-read", Header(header::GRANT_READ)),
    ("s3:x-amz-grant-read-acp", Header(header::GRANT_READ_ACP)),
    ("s3:x-amz-grant-write", Header(header::GRANT_WRITE)),
    ("s3:x-amz-grant-write-acp", Header(header::GRANT_WRITE_ACP)),
    ("s3:x-amz-metadata-directive", Header(header::METADATA_DIRECTIVE)),
    ("s3:x-amz-object-ownership", Header(header::OBJECT_OWNERSHIP)),
    ("s3:x-amz-server-side-encryption", Header(header::SSE)),
    ("s3:x-amz-server-side-encryption-aws-kms-key-id", Header(header::SSE_KMS_KEY_ID)),
    ("s3:x-amz-server-side-encryption-customer-algorithm", Header(header::SSE_C_ALGORITHM)),
    ("s3:x-amz-storage-class", Header(header::STORAGE_CLASS)),
    ("s3:x-amz-website-redirect-location", Header(header::WEBSITE_REDIRECT_LOCATION)),
];

/// Operations whose document has values that conditions may ask for, beside CreateBucket, which may have none.
const WITH_DOCUMENTS: [Operation; 4] = [
    Operation::PutObjectTagging,
    Operation::PutObjectRetention,
    Operation::PutObjectLegalHold,
    Operation::UpdateObjectEncryption,
];

/// The table of `gateway/CONDITION-KEYS.md`.
pub fn markdown() -> String {
    let rows = sources().map(|(name, text)| format!("| `{name}` | {text} |\n"));
    format!("| Condition key | Its value |\n| --- | --- |\n{}", rows.collect::<String>())
}

/// Each condition key, and where its value is from.
pub fn sources() -> impl Iterator<Item = (&'static str, String)> {
    KEYS.into_iter().map(|(name, source)| {
        let text = match &source {
            Header(name) => format!("the header `{name}`, or a parameter of that name in a presigned URL"),
            Parameter(name) => format!("the parameter `{name}`"),
            Signature => "how, when and with what hash of the body the request was signed".to_owned(),
            Connection => "the connection; absent over plain HTTP".to_owned(),
            Source::Operation => "`true` for what makes an object, `false` for what prepares one".to_owned(),
            Document => {
                "the document in the body, or the headers that say the same of a new object".to_owned()
            }
            Stored => "what is stored of the bucket or the object".to_owned(),
            Absent(why) => format!("none, ever: {why}"),
        };
        (name, text)
    })
}

/// Values of condition keys by their lower-case names: all that the request has, whatever its action.
pub fn of(app: &App, request: &S3Request) -> Context {
    let global_keys = GlobalKeys {
        source_ip: request.peer,
        secure_transport: request.secure,
        user_agent: text(request, &USER_AGENT),
        requested_region: &app.region,
        now_unix_ms: Timestamp::now().unix_ms(),
    };
    let mut context = global_keys.context();
    let mut put = |name: &str, value: &str| {
        context.insert(name.to_owned(), vec![value.to_owned()]);
    };
    if let Some(value) = text(request, &REFERER) {
        put("aws:referer", value);
    }
    for (name, source) in &KEYS {
        let value = match source {
            Header(header) => text(request, header),
            Parameter(parameter) => request.query.get(parameter),
            _ => None,
        };
        if let Some(value) = value {
            put(name, value);
        }
    }
    context.extend(of_signature(request));
    context.extend(of_operation(request.operation));
    context.extend(of_headers(request));
    context.extend(request.of_document.clone());
    context
}

/// How it was signed and came. An anonymous request has no signature to tell of.
fn of_signature(request: &S3Request) -> Context {
    let mut context = Context::new();
    let mut put = |name: &str, value: String| context.insert(name.to_owned(), vec![value]);
    if let Some(signed) = request.signed {
        put("s3:signatureversion", if signed.is_v2 { "AWS" } else { "AWS4-HMAC-SHA256" }.to_owned());
        put("s3:authtype", signed.by.name().to_owned());
        let age = Timestamp::now().unix_ms().saturating_sub(signed.at_unix_ms);
        put("s3:signatureage", age.to_string());
        let given = text(request, &header::CONTENT_SHA256);
        // A URL or a form that says nothing of the body leaves it unsigned.
        put("s3:x-amz-content-sha256", given.unwrap_or_else(|| request.query.presigned_payload()).to_owned());
    } else if let Some(given) = text(request, &header::CONTENT_SHA256) {
        put("s3:x-amz-content-sha256", given.to_owned());
    }
    if let Some(version) = request.tls_version {
        put("s3:tlsversion", version.to_owned());
    }
    context
}

/// Does it make an object? Said of whatever needs `s3:PutObject`.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>
fn of_operation(operation: Operation) -> Option<(String, Vec<String>)> {
    use Operation as Op;
    let creates = match operation {
        Op::PutObject | Op::CopyObject | Op::PostObject | Op::CompleteMultipartUpload | Op::RenameObject => {
            true
        }
        Op::CreateMultipartUpload | Op::UploadPart | Op::UploadPartCopy => false,
        _ => return None,
    };
    Some(("s3:objectcreationoperation".to_owned(), vec![creates.to_string()]))
}

/// Tags and protection of an object that is to be, as far as they can be read; whoever writes them judges them.
fn of_headers(request: &S3Request) -> Context {
    let mut context = Context::new();
    if let Some(tags) = text(request, &header::TAGGING).filter(|_| sets_tags(request)) {
        add_object_tags(&mut context, &Query::parse(tags).unwrap_or_default().0);
    }
    if let Some(mode) = text(request, &header::OBJECT_LOCK_MODE) {
        context.insert("s3:object-lock-mode".to_owned(), vec![mode.to_owned()]);
    }
    if let Some(hold) = text(request, &header::OBJECT_LOCK_LEGAL_HOLD) {
        context.insert("s3:object-lock-legal-hold".to_owned(), vec![hold.to_owned()]);
    }
    let until = text(request, &header::OBJECT_LOCK_RETAIN_UNTIL_DATE);
    if let Some(until) = until.and_then(time::parse_iso8601) {
        add_retain_until(&mut context, until);
    }
    context
}

/// Does the header of tags count? A copy takes its source's along, whatever that says, unless they are to be replaced.
pub fn sets_tags(request: &S3Request) -> bool {
    !request.headers.contains_key(header::COPY_SOURCE)
        || text(request, &header::TAGGING_DIRECTIVE) == Some("REPLACE")
}

/// Reads the document of an operation whose values conditions may ask for: they are judged before anything is done. The operation
/// reads it again.
pub async fn read_document(request: &mut S3Request) -> Result<(), S3Error> {
    let operation = request.operation;
    if operation != Operation::CreateBucket && !WITH_DOCUMENTS.contains(&operation) {
        return Ok(());
    }
    let document = request_document::read(request, request_document::CONFIG_MAX_LEN).await?;
    if !document.is_empty() {
        request.of_document = of_document(operation, &document)?;
    }
    request.document = Some(document);
    Ok(())
}

/// Parts of an upload are encrypted as it was created: their requests say nothing of it, and conditions ask all the same.
pub async fn read_upload(app: &App, request: &mut S3Request, bucket: &Bucket) -> Result<(), S3Error> {
    use Operation as Op;
    let name = "s3:x-amz-server-side-encryption";
    let is_of_upload =
        matches!(request.operation, Op::UploadPart | Op::UploadPartCopy | Op::CompleteMultipartUpload);
    if !is_of_upload || !app.authorizer.asks_for(&request.identity, bucket, name)? {
        return Ok(());
    }
    let id = request.query.get("uploadId").and_then(|id| UploadId::parse(id).ok());
    let (Some(id), Some(object)) = (id, &request.object) else { return Ok(()) };
    // One that is not there is refused by its operation.
    let Ok(upload) = app.catalog.upload(bucket, object, id).await else { return Ok(()) };
    for (header, value) in sse::response_headers(&Sse::info(&upload.envelope)?, None) {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        request.of_document.insert(format!("s3:{header}"), vec![value]);
    }
    Ok(())
}

fn of_document(operation: Operation, document: &[u8]) -> Result<Context, S3Error> {
    let mut context = Context::new();
    match operation {
        Operation::CreateBucket => {
            let asked = location::parse(document)?;
            if let Some(constraint) = asked.constraint {
                context.insert("s3:locationconstraint".to_owned(), vec![constraint]);
            }
            add_tags(&mut context, ("aws:requesttag", "aws:tagkeys"), &asked.tags);
        }
        Operation::PutObjectTagging => {
            add_object_tags(&mut context, &tagging::parse(document, tagging::OBJECT_MAX)?);
        }
        Operation::PutObjectRetention => {
            let (mode, until) = lock::parse_retention(document)?.asked();
            if let Some(mode) = mode {
                context.insert("s3:object-lock-mode".to_owned(), vec![lock::mode_name(mode).to_owned()]);
            }
            if let Some(until) = until {
                add_retain_until(&mut context, until);
            }
        }
        Operation::PutObjectLegalHold => {
            let hold = if lock::parse_legal_hold(document)? { "ON" } else { "OFF" };
            context.insert("s3:object-lock-legal-hold".to_owned(), vec![hold.to_owned()]);
        }
        Operation::UpdateObjectEncryption => {
            let name = "s3:x-amz-server-side-encryption";
            context.insert(name.to_owned(), vec!["aws:kms".to_owned()]);
            context
                .insert(format!("{name}-aws-kms-key-id"), vec![encryption::parse_object(document)?.key_arn]);
        }
        _ => {}
    }
    Ok(context)
}

/// The tags that an object is to have: of a copy that takes its source's along, those.
pub fn add_object_tags(context: &mut Context, tags: &[(String, String)]) {
    add_tags(context, ("s3:requestobjecttag", "s3:requestobjecttagkeys"), tags);
}

fn add_tags(context: &mut Context, (of_one, of_all): (&str, &str), tags: &[(String, String)]) {
    for (name, value) in tags {
        context.insert(format!("{of_one}/{}", name.to_ascii_lowercase()), vec![value.clone()]);
    }
    if !tags.is_empty() {
        context.insert(of_all.to_owned(), tags.iter().map(|(name, _)| name.clone()).collect());
    }
}

fn add_retain_until(context: &mut Context, until: Timestamp) {
    context.insert("s3:object-lock-retain-until-date".to_owned(), vec![time::iso8601(until)]);
    let ms = until.unix_ms().saturating_sub(Timestamp::now().unix_ms());
    // A day that has begun counts.
    let days = ms.div_ceil(24 * 60 * 60 * 1000);
    context.insert("s3:object-lock-remaining-retention-days".to_owned(), vec![days.to_string()]);
}

fn text<'a>(request: &'a S3Request, name: &HeaderName) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::reference;

    #[test]
    fn every_key_of_the_reference_has_a_source_or_a_reason() {
        let known: Vec<String> = reference::condition_keys("s3")
            .map(|name| name.to_ascii_lowercase())
            .map(|name| name.find(['<', '$']).map_or(name.clone(), |at| name[..at].to_owned()))
            .collect();
        let mut own: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
        let missing: Vec<&String> = known.iter().filter(|name| !own.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "keys of AWS without a source: {missing:?}");
        own.retain(|name| !known.iter().any(|known| known == name));
        assert!(own.is_empty(), "keys that AWS does not have: {own:?}");
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let text = include_str!("../../../CONDITION-KEYS.md");
        assert!(
            text.ends_with(&markdown()),
            "CONDITION-KEYS.md is out of date: `sealgate condition-keys` prints its table"
        );
    }

    #[test]
    fn documents_have_values() {
        let tags = b"<Tagging><TagSet><Tag><Key>Team</Key><Value>blue</Value></Tag></TagSet></Tagging>";
        let context = of_document(Operation::PutObjectTagging, tags).unwrap();
        assert_eq!(context["s3:requestobjecttag/team"], ["blue"]);
        assert_eq!(context["s3:requestobjecttagkeys"], ["Team"]);
        let until = time::iso8601(Timestamp(Timestamp::now().unix_ms() + 86_400_000 * 9 + 1000));
        let retention = format!(
            "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let context = of_document(Operation::PutObjectRetention, retention.as_bytes()).unwrap();
        assert_eq!(context["s3:object-lock-mode"], ["GOVERNANCE"]);
        assert_eq!(context["s3:object-lock-remaining-retention-days"], ["10"]);
        let hold = b"<LegalHold><Status>ON</Status></LegalHold>";
        let context = of_document(Operation::PutObjectLegalHold, hold).unwrap();
        assert_eq!(context["s3:object-lock-legal-hold"], ["ON"]);
        let location = b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
        let context = of_document(Operation::CreateBucket, location).unwrap();
        assert_eq!(context["s3:locationconstraint"], ["eu-west-1"]);
    }
}
