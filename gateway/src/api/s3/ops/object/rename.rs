//! RenameObject.

use storage::catalog::{CatalogError, Precondition, VersionRef, Versioning};
use storage::name::ObjectKey;

use super::lookup::{self, Found};
use super::write::write_error;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::target::{decode, parse_key};
use crate::api::s3::wire::conditional::{Conditions, Outcome, precondition_failed, write_precondition};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::transfer::journal::ChangeError;

/// The token of the rename that an object has its name from.
const TOKEN_ATTRIBUTE: &str = "rename-token";
/// How often a rename is tried where others change its source.
const MAX_ATTEMPTS: usize = 8;

/// `RenameObject`: one commit, and no byte of content moves: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RenameObject.html>.
/// AWS has it for directory buckets; here it is for every bucket that keeps no versions.
pub async fn rename_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let (bucket, to) = (permit.bucket(), request.object()?);
    if bucket.versioning != Versioning::Unversioned {
        return Err(S3Error::not_implemented("RenameObject in a bucket that keeps versions"));
    }
    let from = source(&request, bucket.name.as_str())?;
    for action in ["s3:GetObject", "s3:DeleteObject"] {
        request.authorize(app, action, bucket, Some(&from), VersionRef::Current).await?;
    }
    let token = request.headers.get(header::CLIENT_TOKEN).map(|token| token.as_bytes().to_vec());
    let precondition = write_precondition(&request.headers)?;
    for _ in 0..MAX_ATTEMPTS {
        let found = match lookup::find(app, bucket, &from, VersionRef::Current).await {
            Err(error) if error.code == Code::NoSuchKey && token.is_some() => {
                // The answer to the first request with this token may have been lost.
                let done = lookup::find(app, bucket, to, VersionRef::Current).await.ok();
                return match done.filter(|done| has_token(done, token.as_deref())) {
                    Some(_) => Ok(response::empty()),
                    None => Err(error),
                };
            }
            found => found?,
        };
        check(&request, &found)?;
        if from == *to {
            return Ok(response::empty());
        }
        let former = found.as_version();
        let mut named = former.clone();
        if let Some(record) = named.object_mut() {
            record.attributes.remove(TOKEN_ATTRIBUTE);
            record.attributes.extend(token.clone().map(|token| (TOKEN_ATTRIBUTE.to_owned(), token.into())));
        }
        match app.records().rename(bucket, (&from, &former), (to, named), &precondition).await {
            Err(ChangeError::Catalog(CatalogError::Contended)) if precondition == Precondition::None => {}
            Err(ChangeError::Catalog(error)) => return Err(write_error(error, &precondition, to)),
            done => return Ok(done.map(|()| response::empty())?),
        }
    }
    Err(Code::OperationAborted.into())
}

fn has_token(found: &Found, token: Option<&[u8]>) -> bool {
    found.record.attributes.get(TOKEN_ATTRIBUTE).map(|stored| &stored[..]) == token
}

/// The source: a key, percent-encoded, of the same bucket.
fn source(request: &S3Request, bucket: &str) -> Result<ObjectKey, S3Error> {
    let value = request.headers.get(header::RENAME_SOURCE).and_then(|value| value.to_str().ok());
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
        S3Error::invalid_argument(
            "The rename source must be a key of the same bucket.",
            header::RENAME_SOURCE.as_str(),
            "",
        )
    })?;
    let decoded = decode(value)?;
    let own = decoded
        .strip_prefix('/')
        .map(|path| path.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path));
    parse_key(own.unwrap_or(&decoded))
}

fn check(request: &S3Request, found: &Found) -> Result<(), S3Error> {
    match Conditions::of_rename_source(&request.headers).evaluate(&found.record.etag, found.last_modified) {
        Outcome::Proceed => Ok(()),
        Outcome::NotModified => Err(precondition_failed(header::RENAME_SOURCE_IF_NONE_MATCH.as_str())),
        Outcome::Failed(_) => Err(precondition_failed(header::RENAME_SOURCE_IF_MATCH.as_str())),
    }
}
