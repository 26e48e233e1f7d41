//! Multipart uploads: encryption, envelope and version are fixed when one is created, each part is a message of its own,
//! and completing moves no byte.

mod abort;
mod complete;
mod create;
mod list_parts;
mod list_uploads;
mod part;
mod total;
mod upload_part;
mod upload_part_copy;

pub use abort::abort_multipart_upload;
pub use complete::complete_multipart_upload;
pub use create::create_multipart_upload;
pub use list_parts::list_parts;
pub use list_uploads::list_multipart_uploads;
pub use upload_part::upload_part;
pub use upload_part_copy::upload_part_copy;

use storage::catalog::{Bucket, CatalogError, Upload};
use storage::name::{ObjectKey, PartNumber, UploadId};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{Query, S3Request};
use crate::api::s3::wire::multipart::Initiator;
use crate::app::App;
use crate::sse::EnvelopePlace;

/// The upload that a request names. An id that was never given out is of an upload that does not exist.
fn upload_id(query: &Query) -> Result<UploadId, S3Error> {
    let text = query.get("uploadId").unwrap_or_default();
    UploadId::parse(text).map_err(|_| no_such_upload(text))
}

fn no_such_upload(id: impl ToString) -> S3Error {
    S3Error::new(Code::NoSuchUpload).field("UploadId", id.to_string())
}

/// The part that a request names.
fn part_number(query: &Query) -> Result<PartNumber, S3Error> {
    let text = query.get("partNumber").unwrap_or_default();
    text.parse().ok().and_then(|number| PartNumber::new(number).ok()).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        S3Error::invalid_argument(message, "partNumber", text)
    })
}

/// The record of the upload that a request names.
async fn upload(app: &App, bucket: &Bucket, request: &S3Request) -> Result<Upload, S3Error> {
    let id = upload_id(&request.query)?;
    app.catalog.upload(bucket, request.object()?, id).await.map_err(|error| upload_error(error, id))
}

/// What an error of the catalog's is to whoever named an upload.
fn upload_error(error: CatalogError, id: UploadId) -> S3Error {
    match error {
        CatalogError::NoSuchUpload => no_such_upload(id),
        error => error.into(),
    }
}

/// Who began an upload, by the ARN in its record: an account is told by its canonical user id.
fn initiator(app: &App, arn: &str) -> Initiator {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts[..] {
        [.., account, "root"] => {
            let account = app.account_of(account);
            Initiator { id: account.canonical_id.clone(), display_name: account.display_name.clone() }
        }
        _ => {
            let name = arn.rsplit('/').next().unwrap_or_default();
            Initiator { id: arn.to_owned(), display_name: name.to_owned() }
        }
    }
}

/// Where an upload's envelope belongs.
fn place<'a>(bucket: &'a Bucket, object: &'a ObjectKey, id: UploadId) -> EnvelopePlace<'a> {
    EnvelopePlace { bucket: bucket.id, version: id.0, bucket_name: &bucket.name, object }
}
