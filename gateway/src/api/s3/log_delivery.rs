//! Delivers the records of requests to the buckets that the logging of their buckets names, as `logging.s3.amazonaws.com`: what
//! that may, the policies of bucket and key say.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html>

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method};
use kms_core::policy::{Context, IdentityPolicies, Principal as PolicyPrincipal, Subject};
use storage::catalog::{Bucket, CatalogError, ListRequest, ListRow, VersionRef};
use storage::name::{BucketName, ObjectKey, Timestamp, VersionId};
use time::macros::format_description;

use super::error::{Code, S3Error};
use super::operation::Operation;
use super::ops::object;
use super::request::{Query, S3Request};
use crate::api::{query, record};
use crate::app::App;
use crate::auth::PayloadAuth;
use crate::auth::sigv4::sign::encoded_path;
use crate::authz::{self, GlobalKeys, Question};
use crate::bucket::{
    Grantee, LOG_DELIVERY_SERVICE, LogKeyFormat, Logging, ObjectLock, OwnershipControls, PartitionDateSource,
    Permission, RequestPayment, Setting,
};
use crate::http::body::RequestBody;
use crate::http::header;
use crate::iam::{Account, Identity, Principal};
use crate::observe::bucket_log::{self, BucketLog, Ready, date_time};
use crate::observe::detail::{RequestDetail, Requester};
use crate::observe::metrics::LOGS;
use crate::observe::request::{Observer, RequestRecord, Service};
use crate::observe::texts::{Text, Texts};
use crate::sse::{self, BucketEncryption, DefaultAlgorithm, EnvelopePlace};
use crate::transfer::ingest::{Announced, Source};

/// How often it is looked for what is to be delivered.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a look that could not deliver everything.
const RETRY: Duration = Duration::from_secs(30);
/// How long it is tried to deliver records: then they are given up.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Why records were not delivered.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    /// The bucket is not one that these may go to.
    #[error("{0}")]
    Refused(String),
    /// It could not be written.
    #[error(transparent)]
    Failed(#[from] S3Error),
}

/// Delivers again and again; ends never. `app`: the gateway that serves now.
pub async fn run(log: Arc<BucketLog>, app: impl Fn() -> Option<Arc<App>>) {
    let mut has_looked = false;
    loop {
        if !has_looked && let Some(app) = app() {
            match logs_anything(&app).await {
                Ok(true) => bucket_log::is_needed_from_now(),
                Ok(false) => bucket_log::is_not_needed(),
                Err(error) => tracing::warn!(%error, "which buckets have their logging on can't be told"),
            }
            has_looked = true;
        }
        let all = match app() {
            Some(app) => deliver_ready(&log, &app).await,
            None => false,
        };
        tokio::time::sleep(if all { LOOK } else { RETRY }).await;
    }
}

/// Has any bucket its logging on?
async fn logs_anything(app: &App) -> Result<bool, CatalogError> {
    let mut after = None;
    loop {
        let request = ListRequest { prefix: String::new(), delimiter: None, after, limit: 1000 };
        let page = app.catalog.list_buckets(None, &request).await?;
        let logs = |row: &ListRow<Bucket>| match row {
            ListRow::Item(bucket) => bucket.configs.contains_key(Logging::NAME),
            ListRow::CommonPrefix(_) => false,
        };
        if page.rows.iter().any(logs) {
            return Ok(true);
        }
        after = match page.rows.last() {
            Some(ListRow::Item(bucket)) if page.truncated => Some(bucket.name.to_string()),
            _ => return Ok(false),
        };
    }
}

/// Delivers what is ready. Was all of it delivered?
pub async fn deliver_ready(log: &BucketLog, app: &App) -> bool {
    let paths = match log.ready() {
        Ok(paths) => paths,
        Err(error) => {
            tracing::error!(%error, "the folder of bucket logs can't be read");
            return false;
        }
    };
    let mut all = true;
    for path in paths {
        all &= deliver_file(log, app, &path).await.unwrap_or_else(|error| {
            tracing::error!(%error, path = %path.display(), "records of a bucket's log can't be read");
            false
        });
    }
    all
}

async fn deliver_file(log: &BucketLog, app: &App, path: &Path) -> std::io::Result<bool> {
    let Some(ready) = log.read(path)? else {
        log.forget(path)?;
        return Ok(true);
    };
    let Err(error) = app.catalog.request(deliver(log, app, &ready)).await else {
        log.delivered(&ready)?;
        LOGS.delivered.add(1);
        return Ok(true);
    };
    LOGS.undelivered.add(1);
    let age = Timestamp::now().unix_ms().saturating_sub(ready.at_unix_ms);
    let is_given_up = u128::from(age) > PATIENCE.as_millis();
    let bucket = &ready.header.bucket;
    tracing::warn!(
        bucket,
        error = error.to_string(),
        is_given_up,
        "records of a bucket's log are not delivered"
    );
    if is_given_up {
        log.give_up(&ready)?;
    }
    Ok(is_given_up)
}

async fn deliver(log: &BucketLog, app: &App, ready: &Ready) -> Result<(), Undelivered> {
    let header = &ready.header;
    let refused = |what: &str| Undelivered::Refused(what.to_owned());
    let logging: Logging =
        serde_json::from_str(&header.setting).map_err(|_| refused("the setting can't be read"))?;
    let name = BucketName::parse(&logging.target_bucket)
        .map_err(|_| refused("the target bucket for logging does not exist"))?;
    let target = app.catalog.bucket(&name).await.map_err(S3Error::from)?;
    check_target(&header.account, &header.region, &target).map_err(Undelivered::Failed)?;
    let object =
        ObjectKey::parse(&object_name(&logging, ready)).map_err(|_| refused("its name is too long"))?;
    let identity = identity(&header.bucket, &header.account);
    let context = || service_context(app);
    let question = Question {
        identity: &identity,
        action: "s3:PutObject",
        object: Some(&object),
        version: VersionRef::Current,
        of_new: true,
        context: &context,
    };
    app.authorizer.check(&question, &target).await.map_err(S3Error::from)?;

    let owner = app.owner_of(&target);
    let len = ready.lines.len() as u64;
    let began = (SystemTime::now(), Instant::now());
    let mut told = own_record(&identity, &owner, &target, &object, len);
    let request = S3Request {
        request_id: ready.unique.as_str().into(),
        operation: Operation::PutObject,
        method: Method::PUT,
        bucket: Some(name),
        object: Some(object),
        query: Query::default(),
        headers: headers(&logging, &owner),
        // What it writes is the owner's.
        identity: Identity { account: Some(owner), ..identity },
        signed: None,
        payload: PayloadAuth::Unsigned,
        body: RequestBody::default(),
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
        secure: true,
        tls_version: None,
        document: None,
        of_document: Context::new(),
        version: VersionRef::Current,
    };
    let lines = ready.lines.clone();
    let source = Source::Stream(Box::pin(stream::iter([Ok(lines)])));
    object::store(app, &target, &request, source, Announced::Exactly(len)).await?;
    told.arrived = began.0;
    told.duration = began.1.elapsed();
    // As any other write to the target: its own log has it, also where that is the log which is delivered.
    log.ended(&told);
    if let Some(audit) = &app.audit
        && let Err(error) = audit.answered(&told)
    {
        tracing::error!(%error, "a log was delivered, and its audit line could not be written");
    }
    Ok(())
}

/// What is told of a delivery, as if it had been asked for by a request.
fn own_record(
    identity: &Identity,
    owner: &Arc<Account>,
    target: &Bucket,
    object: &ObjectKey,
    len: u64,
) -> RequestRecord {
    let requester = Requester {
        subject: identity.subject.clone(),
        acts_for: Some(owner.id.clone()),
        access_key_id: Arc::from(""),
    };
    let path = encoded_path(&format!("/{}/{}", target.name, object.as_str()));
    let mut texts = Texts::default();
    texts.set(Text::Path, path);
    texts.set(Text::RequestId, query::request_id());
    texts.set(Text::Bucket, target.name.as_str());
    texts.set(Text::BucketOwner, &target.owner);
    texts.set(Text::Object, object.as_str());
    let detail = RequestDetail {
        texts,
        object_len: Some(len),
        requester: Some(requester),
        log_source: record::log_source(target).map(Box::new),
        ..RequestDetail::default()
    };
    RequestRecord {
        arrived: SystemTime::now(),
        duration: Duration::ZERO,
        time_to_first_byte: None,
        turnaround: None,
        remote: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        service: Service::S3,
        operation: Some(Operation::PutObject.name()),
        method: Method::PUT,
        status: Some(http::StatusCode::OK),
        error_code: None,
        received_len: len,
        sent_len: 0,
        is_whole: true,
        detail: Some(Box::new(detail)),
    }
}

fn headers(logging: &Logging, owner: &Account) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if logging.target_grants.is_empty() {
        return headers;
    }
    let mut put = |name: http::HeaderName, grantee: String| {
        if let Ok(value) = HeaderValue::from_str(&grantee) {
            headers.append(name, value);
        }
    };
    put(header::GRANT_FULL_CONTROL, format!("id=\"{}\"", owner.canonical_id));
    for grant in &logging.target_grants {
        let name = match grant.permission {
            Permission::FullControl => header::GRANT_FULL_CONTROL,
            Permission::Read => header::GRANT_READ,
            Permission::Write => header::GRANT_WRITE,
            Permission::ReadAcp => header::GRANT_READ_ACP,
            Permission::WriteAcp => header::GRANT_WRITE_ACP,
        };
        let grantee = match &grant.grantee {
            Grantee::Canonical { id } => Some(format!("id=\"{id}\"")),
            group => {
                let found = Grantee::GROUPS.into_iter().find(|(known, _)| known == group);
                found.map(|(_, uri)| format!("uri=\"{uri}\""))
            }
        };
        grantee.into_iter().for_each(|grantee| put(name.clone(), grantee));
    }
    headers
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#server-log-keyname-format>
fn object_name(logging: &Logging, ready: &Ready) -> String {
    let second = format_description!("[year]-[month]-[day]-[hour]-[minute]-[second]");
    let day = format_description!("[year]/[month]/[day]");
    let delivered = date_time(ready.at_unix_ms);
    let prefix = &logging.target_prefix;
    let unique = &ready.unique;
    let text = |at: time::OffsetDateTime, format: &[time::format_description::BorrowedFormatItem<'_>]| {
        at.format(format).unwrap_or_default()
    };
    match logging.key_format.unwrap_or(LogKeyFormat::Simple) {
        LogKeyFormat::Simple => format!("{prefix}{}-{unique}", text(delivered, second)),
        LogKeyFormat::Partitioned(source) => {
            let at = match source {
                PartitionDateSource::DeliveryTime => delivered,
                PartitionDateSource::EventTime => date_time(ready.header.day.saturating_mul(86_400_000)),
            };
            let header = &ready.header;
            format!(
                "{prefix}{}/{}/{}/{}/{}-{unique}",
                header.account,
                header.region,
                header.bucket,
                text(at, day),
                text(at, second)
            )
        }
    }
}

/// The service, on behalf of a bucket: conditions of policies see which (`aws:SourceArn`, `aws:SourceAccount`).
fn identity(bucket: &str, account: &str) -> Identity {
    let mut context = Context::new();
    let mut put = |name: &str, value: &str| context.insert(name.to_owned(), vec![value.to_owned()]);
    put("aws:principalisawsservice", "true");
    put("aws:principalservicename", LOG_DELIVERY_SERVICE);
    put("aws:principaltype", "Service");
    put("aws:sourcearn", &format!("arn:aws:s3:::{bucket}"));
    put("aws:sourceaccount", account);
    let subject = Subject {
        arn: LOG_DELIVERY_SERVICE.to_owned(),
        other: Some(PolicyPrincipal::Service(LOG_DELIVERY_SERVICE.to_owned())),
        // Only what bucket and key allow it is up to anybody.
        identity: IdentityPolicies::Unlimited,
        context,
        ..Subject::default()
    };
    Identity {
        subject: Arc::new(subject),
        account: None,
        access_key_id: Arc::from(""),
        principal: Principal::Anonymous,
        session: None,
    }
}

fn service_context(app: &App) -> authz::Context {
    GlobalKeys {
        source_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        secure_transport: true,
        user_agent: None,
        requested_region: &app.region,
        now_unix_ms: Timestamp::now().unix_ms(),
    }
    .context()
}

/// Refuses a bucket that logs of a bucket of this account and region can't go to.
pub(super) fn check_target(account: &str, region: &str, target: &Bucket) -> Result<(), S3Error> {
    let invalid = |message: &'static str| {
        let error = S3Error::new(Code::InvalidTargetBucketForLogging).message(message);
        Err(error.field("TargetBucket", target.name.as_str()))
    };
    if target.owner != account {
        return invalid("The owner for the bucket to be logged and the target bucket must be the same.");
    }
    if target.region != region {
        return Err(S3Error::new(Code::CrossLocationLoggingProhibited)
            .field("TargetBucketLocation", target.region.clone())
            .field("SourceBucketLocation", region));
    }
    if RequestPayment::of(target)?.is_some_and(|payment| payment.payer == "Requester") {
        return invalid("The target bucket for logging must not have Requester Pays enabled.");
    }
    let default = BucketEncryption::of(target).unwrap_or_default();
    if default.algorithm != DefaultAlgorithm::S3 && default.kms_key_id.is_none() {
        return invalid(
            "The default encryption of the target bucket for logging is with an AWS managed key, which logging.s3.amazonaws.com can't use.",
        );
    }
    if ObjectLock::of(target)?.is_some_and(|lock| lock.default.is_some()) {
        return invalid(
            "The target bucket for logging must not have a default retention period of Object Lock.",
        );
    }
    Ok(())
}

/// Refuses a bucket whose default encryption or ACL the delivery of logs can't do with. What its policy says may change at any time, so
/// nothing is refused for that, as on AWS.
pub(super) async fn check_access(app: &App, source: &Bucket, target: &Bucket) -> Result<(), S3Error> {
    let invalid = |message: &'static str| {
        let error = S3Error::new(Code::InvalidTargetBucketForLogging).message(message);
        Err(error.field("TargetBucket", target.name.as_str()))
    };
    let identity = identity(source.name.as_str(), &source.owner);
    let object = ObjectKey::parse("log").map_err(|_| Code::InternalError)?;
    if OwnershipControls::has_acls(target)? {
        let context = || service_context(app);
        let question = Question {
            identity: &identity,
            action: "s3:PutObject",
            object: Some(&object),
            version: VersionRef::Current,
            of_new: true,
            context: &context,
        };
        if !app.authorizer.allows(&question, target).await? {
            return invalid(
                "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket",
            );
        }
    }
    let default = BucketEncryption::of(target).unwrap_or_default();
    if default.algorithm != DefaultAlgorithm::S3 {
        let arn = authz::resource_arn(&target.name, Some(&object));
        let channel = (true, std::net::Ipv4Addr::LOCALHOST.into(), app.sse_c_over_http);
        let plan = sse::plan(&HeaderMap::new(), Some(&default), &arn, channel)?;
        let place = EnvelopePlace {
            bucket: target.id,
            version: VersionId::now(),
            bucket_name: &target.name,
            object: &object,
        };
        let caller = kms_core::kms::Caller {
            secure_transport: true,
            ..kms_core::kms::Caller::of(identity.subject.clone())
        };
        if app.sse.create(&plan, place, &caller).await.is_err() {
            return invalid(
                "The default encryption of the target bucket for logging is with a KMS key whose policy does not allow logging.s3.amazonaws.com to use it.",
            );
        }
    }
    Ok(())
}
