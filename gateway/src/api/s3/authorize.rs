//! What the caller of a request may do, beside what its operation asks for.

use kms_core::policy;
use storage::catalog::{Authority, Bucket, VersionRef};
use storage::name::{ObjectKey, UploadId};

use super::error::S3Error;
use super::operation::Operation;
use super::request::S3Request;
use super::request_context;
use crate::app::App;
use crate::authz::Question;
use crate::http::header;

impl S3Request {
    /// Refuses unless the caller may do this as well, on an object of this bucket.
    pub async fn authorize(
        &self,
        app: &App,
        action: &str,
        bucket: &Bucket,
        object: Option<&ObjectKey>,
        version: VersionRef,
    ) -> Result<(), S3Error> {
        self.authorize_with(app, action, bucket, object, version, &policy::Context::new()).await
    }

    /// As [`S3Request::authorize`], with values of condition keys that the request does not tell.
    pub async fn authorize_with(
        &self,
        app: &App,
        action: &str,
        bucket: &Bucket,
        object: Option<&ObjectKey>,
        version: VersionRef,
        further: &policy::Context,
    ) -> Result<(), S3Error> {
        let context = || {
            let mut context = request_context::of(app, self);
            context.extend(further.clone());
            context
        };
        // What is asked beside a write is of what it writes.
        let of_new = self.operation.writes_objects() && action.starts_with("s3:Put");
        let identity = &self.identity;
        let question = Question { identity, action, object, version, of_new, context: &context };
        Ok(app.authorizer.check(&question, bucket).await?)
    }

    /// Does it list the parts of an upload that the caller began, or end it?
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions>
    pub async fn is_of_own_upload(&self, app: &App, bucket: &Bucket) -> bool {
        if !matches!(self.operation, Operation::ListParts | Operation::AbortMultipartUpload) {
            return false;
        }
        let id = self.query.get("uploadId").and_then(|id| UploadId::parse(id).ok());
        let (Some(id), Some(object), false) = (id, &self.object, self.identity.is_anonymous()) else {
            return false;
        };
        let upload = app.catalog.upload(bucket, object, id).await;
        upload.is_ok_and(|upload| upload.initiator == self.identity.arn())
    }

    /// May the caller know whether the object exists: list the bucket, with its key as the prefix?
    pub async fn may_list(&self, app: &App, bucket: &Bucket, object: &ObjectKey) -> Result<bool, S3Error> {
        let context = || {
            let mut context = request_context::of(app, self);
            context.insert("s3:prefix".to_owned(), vec![object.as_str().to_owned()]);
            context
        };
        let identity = &self.identity;
        let (object, version) = (None, VersionRef::Current);
        let action = "s3:ListBucket";
        let question = Question { identity, action, object, version, of_new: false, context: &context };
        Ok(app.authorizer.allows(&question, bucket).await?)
    }

    /// Whose request it is, as far as object lock goes: governance is bypassed by whoever asks for it and may.
    pub async fn authority(
        &self,
        app: &App,
        bucket: &Bucket,
        object: &ObjectKey,
        version: VersionRef,
    ) -> Result<Authority, S3Error> {
        let mut authority = Authority::usual();
        let asked = self.headers.get(header::BYPASS_GOVERNANCE_RETENTION);
        if asked.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
            self.authorize(app, "s3:BypassGovernanceRetention", bucket, Some(object), version).await?;
            authority.bypasses_governance = true;
        }
        Ok(authority)
    }
}
