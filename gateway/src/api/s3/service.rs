//! The spine: target, route, authenticate, authorize, operate, and answer or refuse.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method};
use storage::catalog::{Bucket, CatalogError};
use storage::name::Timestamp;

use super::error::{Code, S3Error};
use super::operation::{Operation, Status};
use super::ops::{bucket, multipart, object};
use super::request::{Query, S3Request, S3Response};
use super::target::{Target, bucket_of_host};
use super::wire::version;
use super::{cors, permissions, request_context, route};
use crate::api::record;
use crate::app::App;
use crate::auth::{self, Expected, Keys};
use crate::authz::{self, Permit, Question};
use crate::config::SignatureV2;
use crate::http::body::RequestBody;
use crate::http::header;
use crate::http::host;
use crate::http::listener::Peer;

/// Answers one request of S3.
pub async fn serve(app: &App, parts: Parts, body: RequestBody, peer: Peer) -> S3Response {
    let request_id = RequestId::new();
    record::ids(&request_id.own, &request_id.host);
    let is_head = parts.method == Method::HEAD;
    let uri = parts.uri.clone();
    let method = parts.method.clone();
    let answered = match host::of(&parts) {
        Ok(_) => answer(app, parts, body, peer, text(&request_id.own)).await,
        Err(error) => Err(S3Error::invalid_request(error.to_string())),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(mut error) => {
            record::refused_s3(&error);
            if error.code == Code::MethodNotAllowed {
                error.fields.insert(0, ("Method", method.to_string()));
            }
            let (resource, own) = (uri.path(), text(&request_id.own));
            if error.is_failure() {
                let source = error.source.as_deref().map(|source| source as &dyn std::error::Error);
                tracing::error!(request_id = own, %method, resource, %error, source, "request failed");
            } else {
                tracing::debug!(request_id = own, %method, resource, error = %error, "request refused");
            }
            error.into_response(own, text(&request_id.host), is_head)
        }
    };
    record::of_answer(&response);
    let headers = response.headers_mut();
    headers.insert(header::REQUEST_ID, request_id.own);
    headers.insert(header::ID_2, request_id.host);
    headers.insert(http::header::SERVER, HeaderValue::from_static("Sealgate"));
    response
}

async fn answer(
    app: &App,
    parts: Parts,
    mut body: RequestBody,
    peer: Peer,
    request_id: &str,
) -> Result<S3Response, S3Error> {
    let target = Target::parse(parts.uri.path(), host::checked(&parts), &app.domains)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    // The signature is of the headers as they came; everything else goes by these.
    let hoisted = route::hoisted(&parts.headers, &query)?;
    let headers = hoisted.as_ref().unwrap_or(&parts.headers);
    let operation = route::route(&parts.method, &target, &query, headers)?;
    record::of_operation(operation, &target, headers);
    if operation == Operation::Preflight {
        return bucket::preflight(app, &target, headers).await;
    }
    let expected = Expected {
        region: &app.region,
        service: "s3",
        now_unix_ms: Timestamp::now().unix_ms(),
        source: peer.address.ip(),
    };
    let authenticate = |counts_unknown| {
        let keys = Keys { counts_unknown, ..app.keys() };
        match app.signature_v2 {
            SignatureV2::Off => auth::authenticate(&parts, keys, expected),
            SignatureV2::Presigned | SignatureV2::All => {
                let host_bucket = || bucket_of_host(host::checked(&parts), &app.domains);
                let by_header = app.signature_v2 == SignatureV2::All;
                auth::authenticate_any(&parts, host_bucket, by_header, keys, expected)
            }
        }
    };
    let known = app.watch.known();
    let mut authenticated = match authenticate(!app.watch.is_shared()) {
        // Another gateway may have made him just now.
        Err(error) if error.is_of_unknown() && app.watch.doubt().await? => authenticate(true)?,
        authenticated => authenticated?,
    };
    if authenticated.signed.is_some_and(|signed| signed.is_v2) {
        route::refuse_unsigned(operation)?;
    }
    if !authenticated.identity.is_anonymous() {
        body.authenticated();
    }
    record::authenticated(&authenticated.identity, authenticated.signed);
    route::refuse_unsupported(operation, headers, &query)?;

    let (bucket, has_changed) = match &target.bucket {
        Some(name) if operation != Operation::CreateBucket => {
            let (found, has_changed) = app.watch.bucket(&app.catalog, name, known).await?;
            (Some((name, found)), has_changed)
        }
        _ => (None, app.watch.identities_since(known).await?),
    };
    // Another gateway changed identities: what he was and might is not what he is and may.
    if has_changed {
        authenticated = authenticate(true)?;
    }
    let bucket = match bucket {
        Some((name, found)) => {
            let found = found.map_err(|error| match error {
                CatalogError::NoSuchBucket => {
                    S3Error::new(Code::NoSuchBucket).field("BucketName", name.as_str())
                }
                error => error.into(),
            })?;
            let owner_header = &header::EXPECTED_BUCKET_OWNER;
            record::of_bucket(&found);
            route::check_expected_owner(headers, owner_header, &found.owner)?;
            Some(found)
        }
        None => None,
    };
    let version = target.object.as_ref().and_then(|_| query.get("versionId"));
    record::version(version);
    let version = version::parse(version)?;
    let mut request = S3Request {
        request_id: request_id.into(),
        operation,
        method: parts.method,
        bucket: target.bucket,
        object: target.object,
        query,
        headers: hoisted.unwrap_or(parts.headers),
        identity: authenticated.identity,
        signed: authenticated.signed,
        payload: authenticated.payload,
        body,
        peer: peer.address.ip(),
        secure: peer.secure,
        tls_version: peer.tls_version,
        document: None,
        of_document: authz::Context::new(),
        version,
    };
    let Some(bucket) = bucket else {
        permissions::refuse_anonymous(operation, &request.identity)?;
        request_context::read_document(&mut request).await?;
        let (action, name) = (operation.action(), request.bucket.as_ref());
        let context = || request_context::of(app, &request);
        for further in permissions::of(operation, &request, None) {
            app.authorizer.authorize_service(&request.identity, further, name, context)?;
        }
        let permit = app.authorizer.authorize_service(&request.identity, action, name, context)?;
        return operate(app, operation, permit, request).await;
    };
    let origin = request.headers.get(http::header::ORIGIN).cloned();
    let cors = origin.and_then(|origin| cors::Asked::of(&bucket, &origin, &request.method, &request.headers));
    // By its refusal too SDKs find a bucket's region.
    let region = (operation == Operation::HeadBucket).then(|| bucket.region.clone());
    let mut answer = authorized(app, operation, bucket, request).await;
    if let (Err(error), Some(region)) = (&mut answer, region) {
        error.headers.push((header::BUCKET_REGION, region));
    }
    if let Some(cors) = &cors {
        match &mut answer {
            Ok(response) => cors.write(response.headers_mut()),
            Err(error) => cors.add_to(error),
        }
    }
    answer
}

/// Asks for every permission that a request needs, and does what it asks for.
async fn authorized(
    app: &App,
    operation: Operation,
    bucket: Bucket,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    permissions::refuse_anonymous(operation, &request.identity)?;
    request_context::read_document(&mut request).await?;
    request_context::read_upload(app, &mut request, &bucket).await?;
    let (object, version) = (request.object.as_ref(), request.version);
    // DeleteObjects and a form ask for each object by itself.
    let asks_later = matches!(operation, Operation::DeleteObjects | Operation::PostObject);
    let is_owner = request.identity.is_of(&bucket.owner) && request.identity.subject.is_root();
    if !asks_later {
        for action in permissions::of(operation, &request, Some(&bucket)) {
            let action = permissions::versioned(action, version);
            request.authorize(app, action, &bucket, object, version).await?;
        }
    }
    let action = permissions::versioned(operation.action(), version);
    let permit = if asks_later {
        authz::authorize_each(bucket)
    } else {
        let context = || request_context::of(app, &request);
        let identity = &request.identity;
        let of_new = operation.writes_objects() || request.is_of_own_upload(app, &bucket).await;
        let question = Question { identity, action, object, version, of_new, context: &context };
        app.authorizer.authorize(&question, bucket).await?
    };
    let of_policies = [Operation::GetBucketPolicy, Operation::PutBucketPolicy, Operation::DeleteBucketPolicy];
    if of_policies.contains(&operation) && !request.identity.is_of(&permit.bucket().owner) {
        // Whatever a policy says, it is the owner's own.
        return Err(S3Error::new(Code::MethodNotAllowed).field("ResourceType", "BUCKETPOLICY"));
    }
    let reads =
        matches!(operation, Operation::GetObject | Operation::HeadObject | Operation::GetObjectAttributes);
    if is_owner || !reads {
        return operate(app, operation, permit, request).await;
    }
    // Who may not list is not told whether an object exists.
    let may_list = request.may_list(app, permit.bucket(), request.object()?).await?;
    match operate(app, operation, permit, request).await {
        Err(error) if [Code::NoSuchKey, Code::NoSuchVersion].contains(&error.code) && !may_list => {
            Err(Code::AccessDenied.into())
        }
        answer => answer,
    }
}

/// One arm per operation that is there.
fn operate(
    app: &App,
    operation: Operation,
    permit: Permit,
    request: S3Request,
) -> BoxFuture<'_, Result<S3Response, S3Error>> {
    use Operation as Op;
    // Boxed one by one, so that a request's future is not as large as the largest operation's.
    match operation {
        Op::ListBuckets => bucket::list_buckets(app, permit, request).boxed(),
        Op::CreateBucket => bucket::create_bucket(app, permit, request).boxed(),
        Op::HeadBucket => bucket::head_bucket(app, permit, request).boxed(),
        Op::DeleteBucket => bucket::delete_bucket(app, permit, request).boxed(),
        Op::GetBucketLocation => bucket::get_bucket_location(app, permit, request).boxed(),
        Op::PutBucketEncryption => bucket::put_bucket_encryption(app, permit, request).boxed(),
        Op::GetBucketEncryption => bucket::get_bucket_encryption(app, permit, request).boxed(),
        Op::DeleteBucketEncryption => bucket::delete_bucket_encryption(app, permit, request).boxed(),
        Op::ListObjects => bucket::list_objects(app, permit, request).boxed(),
        Op::ListObjectsV2 => bucket::list_objects_v2(app, permit, request).boxed(),
        Op::ListObjectVersions => bucket::list_object_versions(app, permit, request).boxed(),
        Op::PutObject => object::put_object(app, permit, request).boxed(),
        Op::GetObject => object::get_object(app, permit, request).boxed(),
        Op::HeadObject => object::head_object(app, permit, request).boxed(),
        Op::PostObject => object::post_object(app, permit, request).boxed(),
        Op::CopyObject => object::copy_object(app, permit, request).boxed(),
        Op::UpdateObjectEncryption => object::update_object_encryption(app, permit, request).boxed(),
        Op::DeleteObject => object::delete_object(app, permit, request).boxed(),
        Op::DeleteObjects => object::delete_objects(app, permit, request).boxed(),
        Op::GetObjectAttributes => object::get_object_attributes(app, permit, request).boxed(),
        Op::CreateMultipartUpload => multipart::create_multipart_upload(app, permit, request).boxed(),
        Op::UploadPart => multipart::upload_part(app, permit, request).boxed(),
        Op::UploadPartCopy => multipart::upload_part_copy(app, permit, request).boxed(),
        Op::CompleteMultipartUpload => multipart::complete_multipart_upload(app, permit, request).boxed(),
        Op::AbortMultipartUpload => multipart::abort_multipart_upload(app, permit, request).boxed(),
        Op::ListParts => multipart::list_parts(app, permit, request).boxed(),
        Op::ListMultipartUploads => multipart::list_multipart_uploads(app, permit, request).boxed(),
        Op::PutBucketVersioning => bucket::put_bucket_versioning(app, permit, request).boxed(),
        Op::GetBucketVersioning => bucket::get_bucket_versioning(app, permit, request).boxed(),
        Op::PutObjectLockConfiguration => bucket::put_object_lock_configuration(app, permit, request).boxed(),
        Op::GetObjectLockConfiguration => bucket::get_object_lock_configuration(app, permit, request).boxed(),
        Op::PutBucketTagging => bucket::put_bucket_tagging(app, permit, request).boxed(),
        Op::GetBucketTagging => bucket::get_bucket_tagging(app, permit, request).boxed(),
        Op::DeleteBucketTagging => bucket::delete_bucket_tagging(app, permit, request).boxed(),
        Op::PutBucketAcl => bucket::put_bucket_acl(app, permit, request).boxed(),
        Op::GetBucketAcl => bucket::get_bucket_acl(app, permit, request).boxed(),
        Op::PutBucketOwnershipControls => bucket::put_bucket_ownership_controls(app, permit, request).boxed(),
        Op::GetBucketOwnershipControls => bucket::get_bucket_ownership_controls(app, permit, request).boxed(),
        Op::DeleteBucketOwnershipControls => {
            bucket::delete_bucket_ownership_controls(app, permit, request).boxed()
        }
        Op::PutBucketPolicy => bucket::put_bucket_policy(app, permit, request).boxed(),
        Op::GetBucketPolicy => bucket::get_bucket_policy(app, permit, request).boxed(),
        Op::DeleteBucketPolicy => bucket::delete_bucket_policy(app, permit, request).boxed(),
        Op::GetBucketPolicyStatus => bucket::get_bucket_policy_status(app, permit, request).boxed(),
        Op::PutPublicAccessBlock => bucket::put_public_access_block(app, permit, request).boxed(),
        Op::GetPublicAccessBlock => bucket::get_public_access_block(app, permit, request).boxed(),
        Op::DeletePublicAccessBlock => bucket::delete_public_access_block(app, permit, request).boxed(),
        Op::PutBucketAbac => bucket::put_bucket_abac(app, permit, request).boxed(),
        Op::GetBucketAbac => bucket::get_bucket_abac(app, permit, request).boxed(),
        Op::PutBucketCors => bucket::put_bucket_cors(app, permit, request).boxed(),
        Op::GetBucketCors => bucket::get_bucket_cors(app, permit, request).boxed(),
        Op::DeleteBucketCors => bucket::delete_bucket_cors(app, permit, request).boxed(),
        Op::PutBucketLifecycleConfiguration | Op::PutBucketLifecycle => {
            bucket::put_bucket_lifecycle(app, permit, request).boxed()
        }
        Op::GetBucketLifecycleConfiguration | Op::GetBucketLifecycle => {
            bucket::get_bucket_lifecycle(app, permit, request).boxed()
        }
        Op::DeleteBucketLifecycle => bucket::delete_bucket_lifecycle(app, permit, request).boxed(),
        Op::PutBucketLogging => bucket::put_bucket_logging(app, permit, request).boxed(),
        Op::GetBucketLogging => bucket::get_bucket_logging(app, permit, request).boxed(),
        Op::PutBucketRequestPayment => bucket::put_bucket_request_payment(app, permit, request).boxed(),
        Op::GetBucketRequestPayment => bucket::get_bucket_request_payment(app, permit, request).boxed(),
        Op::PutBucketAccelerateConfiguration => bucket::put_bucket_accelerate(app, permit, request).boxed(),
        Op::GetBucketAccelerateConfiguration => bucket::get_bucket_accelerate(app, permit, request).boxed(),
        Op::PutObjectTagging => object::put_object_tagging(app, permit, request).boxed(),
        Op::GetObjectTagging => object::get_object_tagging(app, permit, request).boxed(),
        Op::DeleteObjectTagging => object::delete_object_tagging(app, permit, request).boxed(),
        Op::PutObjectRetention => object::put_object_retention(app, permit, request).boxed(),
        Op::GetObjectRetention => object::get_object_retention(app, permit, request).boxed(),
        Op::PutObjectLegalHold => object::put_object_legal_hold(app, permit, request).boxed(),
        Op::GetObjectLegalHold => object::get_object_legal_hold(app, permit, request).boxed(),
        Op::PutObjectAcl => object::put_object_acl(app, permit, request).boxed(),
        Op::GetObjectAcl => object::get_object_acl(app, permit, request).boxed(),
        Op::RenameObject => object::rename_object(app, permit, request).boxed(),
        Op::PutObjectAnnotation => object::put_object_annotation(app, permit, request).boxed(),
        Op::GetObjectAnnotation => object::get_object_annotation(app, permit, request).boxed(),
        Op::ListObjectAnnotations => object::list_object_annotations(app, permit, request).boxed(),
        Op::DeleteObjectAnnotation => object::delete_object_annotation(app, permit, request).boxed(),
        Op::RestoreObject => object::restore_object(app, permit, request).boxed(),
        other => match other.status() {
            Status::ReadsAsUnset => bucket::read_as_unset(app, other, permit, request).boxed(),
            Status::Implemented | Status::NotImplemented => {
                futures_util::future::ready(Err(S3Error::not_implemented(other))).boxed()
            }
        },
    }
}

/// The two ids of a request.
struct RequestId {
    own: HeaderValue,
    host: HeaderValue,
}

impl RequestId {
    fn new() -> Self {
        use base64::Engine;
        let random = storage::random::public_bytes::<40>();
        let (own, host) = random.split_at(8);
        // Both in one block; 32 bytes are 44 characters of Base64.
        let mut ids = Vec::with_capacity(16 + 44);
        ids.resize(16, 0);
        hex::encode_to_slice(own, &mut ids).expect("two digits for each byte");
        ids.make_ascii_uppercase();
        let mut ids = String::from_utf8(ids).expect("ids are ASCII");
        base64::engine::general_purpose::STANDARD.encode_string(host, &mut ids);
        let mut host = Bytes::from(ids);
        let own = host.split_to(16);
        let ascii = |id| HeaderValue::from_maybe_shared(id).expect("ids are ASCII");
        Self { own: ascii(own), host: ascii(host) }
    }
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().expect("ids are ASCII")
}
