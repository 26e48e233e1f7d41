//! How an object is encrypted, and whether all of it opens.

use kms_core::kms::Caller;
use serde_json::Value;

use super::Admin;
use super::error::AdminError;
use crate::api::s3::ops::object::{encryption, verify};
use crate::http::body::ByteStream;

/// GetObjectEncryption.
pub(super) async fn encryption(admin: &Admin<'_>, action: &str) -> Result<Value, AdminError> {
    let (bucket, object, version) = admin.object(action).await?;
    let told = encryption::describe(admin.app, &bucket, &object, version).await?;
    serde_json::to_value(told).map_err(AdminError::failure)
}

/// VerifyObject. KMS is asked as the caller, as it is when the object is read.
pub(super) async fn verify(admin: &Admin<'_>, action: &str) -> Result<ByteStream, AdminError> {
    let (bucket, object, version) = admin.object(action).await?;
    let caller = Caller {
        credentials: admin.identity.access_key_id.clone(),
        source_ip: Some(admin.peer.address.ip()),
        secure_transport: admin.peer.secure,
        request_id: admin.request_id.into(),
        ..Caller::of(admin.identity.subject.clone())
    };
    let request = verify::VerifyRequest {
        headers: &admin.parts.headers,
        channel: (admin.peer.secure, admin.peer.address.ip()),
        caller: &caller,
    };
    Ok(verify::verify(admin.app, (&bucket, &object, version), request).await?)
}
