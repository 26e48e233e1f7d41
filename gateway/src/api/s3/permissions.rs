//! Which permissions an operation needs beside its own action.

use storage::catalog::{Bucket, VersionRef};

use super::error::{Code, S3Error};
use super::operation::Operation;
use super::request::S3Request;
use super::request_context;
use crate::bucket::{Ownership, OwnershipControls};
use crate::http::header;
use crate::iam::Identity;

/// The action on a version that a request names is another one than on the current one.
pub fn versioned(action: &'static str, version: VersionRef) -> &'static str {
    if version == VersionRef::Current {
        return action;
    }
    match action {
        "s3:GetObject" => "s3:GetObjectVersion",
        "s3:GetObjectAttributes" => "s3:GetObjectVersionAttributes",
        "s3:GetObjectAcl" => "s3:GetObjectVersionAcl",
        "s3:PutObjectAcl" => "s3:PutObjectVersionAcl",
        "s3:GetObjectTagging" => "s3:GetObjectVersionTagging",
        "s3:PutObjectTagging" => "s3:PutObjectVersionTagging",
        "s3:DeleteObjectTagging" => "s3:DeleteObjectVersionTagging",
        "s3:DeleteObject" => "s3:DeleteObjectVersion",
        "s3:GetObjectAnnotation" => "s3:GetObjectVersionAnnotation",
        "s3:PutObjectAnnotation" => "s3:PutObjectVersionAnnotation",
        "s3:DeleteObjectAnnotation" => "s3:DeleteObjectVersionAnnotation",
        "s3:ListObjectAnnotations" => "s3:ListObjectVersionAnnotations",
        action => action,
    }
}

/// The further actions: for what a request's headers, and the values in its document, ask for beside the operation's own.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
pub fn of(operation: Operation, request: &S3Request, bucket: Option<&Bucket>) -> Vec<&'static str> {
    use Operation as Op;
    let has = |name: &http::HeaderName| request.headers.contains_key(name);
    let has_grants = || request.headers.keys().any(|name| name.as_str().starts_with(header::GRANT_PREFIX));
    // What an object has in any case needs no permission: private, and the bucket owner's own where that one owns all.
    let acl_says = |text: &[u8]| request.headers.get(header::ACL).is_some_and(|acl| acl.as_bytes() == text);
    let owns_all = || {
        bucket.is_some_and(|bucket| {
            OwnershipControls::in_force(bucket)
                .is_ok_and(|ownership| ownership == Ownership::BucketOwnerEnforced)
        })
    };
    let is_usual = || acl_says(b"private") || acl_says(b"bucket-owner-full-control") && owns_all();
    let sets_acl = || has(&header::ACL) && !is_usual() || has_grants();
    // Whoever asks whether the object is this very one reads of it.
    let compares = || {
        [http::header::IF_MATCH, header::IF_MATCH_SIZE, header::IF_MATCH_LAST_MODIFIED_TIME].iter().any(has)
    };
    let asked: &[(bool, &[&'static str])] = match operation {
        Op::PutObject | Op::CopyObject | Op::CreateMultipartUpload => &[
            (compares(), &["s3:GetObject"]),
            (has(&header::TAGGING) && request_context::sets_tags(request), &["s3:PutObjectTagging"]),
            (sets_acl(), &["s3:PutObjectAcl"]),
            (
                has(&header::OBJECT_LOCK_MODE) || has(&header::OBJECT_LOCK_RETAIN_UNTIL_DATE),
                &["s3:PutObjectRetention"],
            ),
            (has(&header::OBJECT_LOCK_LEGAL_HOLD), &["s3:PutObjectLegalHold"]),
        ],
        Op::CompleteMultipartUpload | Op::DeleteObject => &[(compares(), &["s3:GetObject"])],
        Op::GetObjectAttributes => &[(true, &["s3:GetObject"])],
        Op::CreateBucket => &[
            (sets_acl(), &["s3:PutBucketAcl"]),
            (has(&header::OBJECT_OWNERSHIP), &["s3:PutBucketOwnershipControls"]),
            (
                has(&header::BUCKET_OBJECT_LOCK_ENABLED),
                &["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"],
            ),
            (request.of_document.contains_key("aws:tagkeys"), &["s3:TagResource"]),
        ],
        _ => &[],
    };
    asked.iter().filter(|(asked, _)| *asked).flat_map(|(_, actions)| *actions).copied().collect()
}

/// Refuses an unsigned request for what only a signer may, whatever a policy says: an upload in parts belongs to who began it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions>
pub fn refuse_anonymous(operation: Operation, identity: &Identity) -> Result<(), S3Error> {
    use Operation as Op;
    let denied = S3Error::new(Code::AccessDenied);
    match operation {
        _ if !identity.is_anonymous() => Ok(()),
        Op::CreateMultipartUpload => {
            Err(denied.message("Anonymous users cannot initiate multipart uploads.  Please authenticate."))
        }
        Op::UploadPart | Op::UploadPartCopy | Op::CompleteMultipartUpload | Op::ListParts => Err(denied),
        _ => Ok(()),
    }
}
