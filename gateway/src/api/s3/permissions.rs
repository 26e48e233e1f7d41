//! Which permissions an operation needs beside its own action.

use storage::catalog::VersionRef;

use super::operation::Operation;
use super::request::S3Request;
use crate::http::header;

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

/// The further actions: for what a write's headers set beside the object.
pub fn of(operation: Operation, request: &S3Request) -> Vec<&'static str> {
    use Operation as Op;
    let has = |name: &http::HeaderName| request.headers.contains_key(name);
    let mut actions = Vec::new();
    match operation {
        Op::PutObject | Op::CopyObject | Op::CreateMultipartUpload => {
            let grants = request.headers.keys().any(|name| name.as_str().starts_with(header::GRANT_PREFIX));
            for (asked, action) in [
                (has(&header::TAGGING), "s3:PutObjectTagging"),
                (has(&header::ACL) || grants, "s3:PutObjectAcl"),
                (has(&header::OBJECT_LOCK_MODE), "s3:PutObjectRetention"),
                (has(&header::OBJECT_LOCK_LEGAL_HOLD), "s3:PutObjectLegalHold"),
            ] {
                if asked {
                    actions.push(action);
                }
            }
        }
        _ => {}
    }
    actions
}
