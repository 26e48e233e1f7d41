//! A line of the audit, in the fields of CloudTrail's records.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>

use std::time::SystemTime;

use kms_core::audit::AuditEvent;
use kms_core::policy::Subject;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::detail::{Requester, SignaturePlace};
use super::super::request::{RequestRecord, Service};
use super::parameters;
use crate::observe::texts::Text;

/// The version of CloudTrail's record format.
pub(super) const VERSION: &str = "1.11";

/// What the names of members begin with that CloudTrail calls like headers.
const HEADERS: &str = "x-amz";

/// One decision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    event_version: &'static str,
    user_identity: UserIdentity<'a>,
    event_time: String,
    event_source: &'static str,
    event_name: &'a str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: String,
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    request_parameters: Option<Map<String, Value>>,
    response_elements: Option<Map<String, Value>>,
    additional_event_data: Map<String, Value>,
    #[serde(rename = "requestID")]
    request_id: &'a str,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    resources: Vec<Resource>,
    event_type: &'static str,
    management_event: bool,
    recipient_account_id: &'a str,
    event_category: &'static str,
}

/// Who asked.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    principal_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    arn: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    access_key_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<&'a str>,
}

/// What a decision about a use of a key adds to the line of the request that it was for.
#[derive(Debug)]
pub(super) struct KeyDecision {
    resource: Option<Resource>,
    additional: Map<String, Value>,
}

impl KeyDecision {
    pub(super) fn of(decision: &AuditEvent<'_>) -> Self {
        let mut additional = Map::new();
        additional.insert("keyMaterialId".to_owned(), json!(decision.key_material_id));
        additional.insert("encryptionContextNames".to_owned(), json!(decision.encryption_context_names));
        additional.insert("remembered".to_owned(), json!(decision.remembered));
        if let Some(grant) = &decision.grant {
            additional.insert("grantId".to_owned(), json!(grant));
        }
        let resource = decision.key.as_ref().map(|arn| Resource {
            arn: arn.clone(),
            account_id: arn.split(':').nth(4).map(str::to_owned),
            r#type: "AWS::KMS::Key",
        });
        Self { resource, additional }
    }
}

#[derive(Debug, Serialize)]
struct Resource {
    #[serde(rename = "ARN")]
    arn: String,
    #[serde(rename = "accountId", skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    r#type: &'static str,
}

/// The time of now, in CloudTrail's form.
pub(super) fn now() -> String {
    time_of(OffsetDateTime::now_utc())
}

fn time_of(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

fn new_id() -> String {
    let mut random = [0; 16];
    // An id that repeats harms no more than one that is missing.
    let _ = getrandom::fill(&mut random);
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = hex::encode(random);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl<'a> UserIdentity<'a> {
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>
    fn of(requester: Option<&'a Requester>, is_signed: bool) -> Self {
        let Some(requester) = requester else {
            return match is_signed {
                // Whose it was could not be told.
                true => Self { r#type: "Unknown", ..Self::default() },
                false => Self {
                    r#type: "AWSAccount",
                    principal_id: "ANONYMOUS_PRINCIPAL",
                    account_id: "ANONYMOUS_PRINCIPAL",
                    ..Self::default()
                },
            };
        };
        let Requester { subject, access_key_id, .. } = requester;
        Self {
            r#type: kind(subject),
            principal_id: value(subject, "aws:userid"),
            arn: &subject.arn,
            account_id: requester.account(),
            access_key_id,
            user_name: value(subject, "aws:username"),
            invoked_by: subject.context.get("aws:principalservicename").map(|_| subject.arn.as_str()),
        }
    }
}

fn value<'a>(subject: &'a Subject, key: &str) -> &'a str {
    subject.context.get(key).and_then(|values| values.first()).map_or("", String::as_str)
}

fn kind(subject: &Subject) -> &'static str {
    match value(subject, "aws:principaltype") {
        "Account" => "Root",
        "User" => "IAMUser",
        "AssumedRole" => "AssumedRole",
        "FederatedUser" => "FederatedUser",
        "Service" => "AWSService",
        _ if subject.is_root() => "Root",
        _ => "Unknown",
    }
}

impl<'a> Event<'a> {
    /// A request, once what it is answered is known; `None`: none that decides anything, such as a look at the gateway's health.
    pub(super) fn of_request(record: &'a RequestRecord, region: &'a str) -> Option<Self> {
        let detail = record.detail.as_deref()?;
        let (event_source, is_management) = match record.service {
            Service::S3 => ("s3.amazonaws.com", detail.object().is_none()),
            Service::Kms => ("kms.amazonaws.com", true),
            Service::Iam => ("iam.amazonaws.com", true),
            Service::Sts => ("sts.amazonaws.com", true),
            Service::Minio => ("minio.sealgate", true),
            Service::Admin if record.operation.is_some() => ("admin.sealgate", true),
            Service::Admin => return None,
        };
        let is_refused = record.status.is_none_or(|status| status.as_u16() >= 400);
        let error_code = match (record.error_code, record.status) {
            (Some(code), _) => Some(code),
            (None, None) => Some("ConnectionClosed"),
            (None, Some(status)) if is_refused => Some(status.canonical_reason().unwrap_or("Error")),
            (None, Some(_)) => None,
        };
        let mut additional = Map::new();
        if let Some(signature) = detail.signature {
            additional.insert("SignatureVersion".to_owned(), json!(format!("SigV{}", signature.version)));
            let method = match signature.place {
                SignaturePlace::Header => "AuthHeader",
                SignaturePlace::Query => "QueryString",
                SignaturePlace::Form => "HtmlForm",
            };
            additional.insert("AuthenticationMethod".to_owned(), json!(method));
        }
        if let Some(tls) = &detail.tls {
            additional.insert("CipherSuite".to_owned(), json!(tls.cipher));
            additional.insert("tlsVersion".to_owned(), json!(tls.version));
        }
        additional.insert("bytesTransferredIn".to_owned(), json!(record.received_len));
        if !detail.host_id().is_empty() {
            additional.insert(format!("{HEADERS}-id-2"), json!(detail.host_id()));
        }
        if let Some(sse) = detail.sse {
            additional.insert("SSEApplied".to_owned(), json!(sse));
        }
        additional.insert("httpStatus".to_owned(), json!(record.status.map(|status| status.as_u16())));
        // Whoever failed to prove who he is, is not nobody.
        let is_of_nobody =
            detail.signature.is_none() && error_code.is_none_or(|code| OF_NOBODY.contains(&code));
        let read_only = match record.operation {
            Some(operation) => is_read(operation) || CRYPTOGRAPHIC.contains(&operation),
            None => record.method == http::Method::GET || record.method == http::Method::HEAD,
        };
        let response: Map<_, _> = match is_refused {
            true => Map::new(),
            false => detail.response.iter().cloned().collect(),
        };
        let arrived = OffsetDateTime::from(record.arrived);
        Some(Self {
            event_version: VERSION,
            user_identity: UserIdentity::of(detail.requester.as_ref(), !is_of_nobody),
            event_time: time_of(arrived),
            event_source,
            event_name: record.operation.unwrap_or("Unknown"),
            aws_region: region,
            source_ip_address: record.remote.ip().to_canonical().to_string(),
            user_agent: detail
                .texts
                .bytes(Text::UserAgent)
                .map(|value| String::from_utf8_lossy(value).into_owned()),
            error_code,
            error_message: detail.error_message.as_deref().filter(|_| error_code.is_some()),
            request_parameters: parameters::of_request(record, detail),
            response_elements: (!response.is_empty()).then_some(response),
            additional_event_data: additional,
            request_id: detail.request_id(),
            event_id: new_id(),
            read_only,
            resources: resources(record.service, detail.bucket(), detail.object(), detail.bucket_owner()),
            event_type: "AwsApiCall",
            management_event: is_management,
            recipient_account_id: detail
                .bucket_owner()
                .or(detail.requester.as_ref().map(|requester| requester.account()))
                .unwrap_or_default(),
            event_category: if is_management { "Management" } else { "Data" },
        })
    }

    /// Adds what was decided about uses of keys for this request.
    pub(super) fn add_decisions(&mut self, decisions: impl Iterator<Item = KeyDecision>) {
        for KeyDecision { resource, additional } in decisions {
            self.resources.extend(resource.filter(|new| self.resources.iter().all(|r| r.arn != new.arn)));
            for (name, value) in additional {
                // Of several decisions, as of a ReEncrypt, each has its say.
                let value = match self.additional_event_data.remove(&name) {
                    Some(Value::Array(mut all)) if !value.is_array() => {
                        all.push(value);
                        Value::Array(all)
                    }
                    Some(first) if first != value => json!([first, value]),
                    _ => value,
                };
                self.additional_event_data.insert(name, value);
            }
        }
    }

    /// A decision about a use of a key.
    pub(super) fn of_key(
        decision: &'a AuditEvent<'a>,
        region: &'a str,
        refusal: Option<(&'a str, &'a str)>,
    ) -> Self {
        let account = decision.principal.split(':').nth(4).unwrap_or_default();
        let (event_source, event_name) = match decision.action.split_once(':') {
            Some(("kms", name)) => ("kms.amazonaws.com", name),
            // The host's own: `sealgate:ResetKeyPolicy`.
            _ => ("kms.sealgate", decision.action),
        };
        let KeyDecision { resource, additional } = KeyDecision::of(decision);
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(decision.time_unix_ms);
        let mut parameters = Map::new();
        if let Some(key) = &decision.key {
            parameters.insert("keyId".to_owned(), json!(key));
        }
        Self {
            event_version: VERSION,
            user_identity: UserIdentity {
                r#type: match decision.principal {
                    arn if arn.ends_with(":root") => "Root",
                    arn if arn.contains(":user/") => "IAMUser",
                    arn if arn.contains(":assumed-role/") => "AssumedRole",
                    arn if arn.contains(":federated-user/") => "FederatedUser",
                    _ => "AWSService",
                },
                arn: decision.principal,
                account_id: account,
                invoked_by: decision.via_service,
                ..UserIdentity::default()
            },
            event_time: time_of(OffsetDateTime::from(at)),
            event_source,
            event_name,
            aws_region: region,
            source_ip_address: match (decision.via_service, decision.source_ip) {
                (Some(service), _) => service.to_owned(),
                (None, Some(ip)) => ip.to_canonical().to_string(),
                (None, None) => "sealgate".to_owned(),
            },
            user_agent: decision.via_service.map(str::to_owned),
            error_code: refusal.map(|(code, _)| code),
            error_message: refusal.map(|(_, message)| message),
            request_parameters: Some(parameters),
            response_elements: None,
            additional_event_data: additional,
            request_id: decision.request_id,
            event_id: new_id(),
            read_only: is_read(event_name) || CRYPTOGRAPHIC.contains(&event_name),
            resources: resource.into_iter().collect(),
            event_type: "AwsApiCall",
            management_event: true,
            recipient_account_id: account,
            event_category: "Management",
        }
    }
}

/// What requests without a signature are refused with.
const OF_NOBODY: [&str; 6] = [
    "AccessDenied",
    "NoSuchKey",
    "NoSuchBucket",
    "MethodNotAllowed",
    "MissingAuthenticationToken",
    "ConnectionClosed",
];

/// Operations of KMS that change nothing in it, though their names say no such thing.
const CRYPTOGRAPHIC: [&str; 12] = [
    "Decrypt",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "ReEncrypt",
    "Sign",
    "Verify",
];

/// Does the audit tell what such an operation answered? It does of changes, and of credentials that were made.
pub(crate) fn tells_answer(operation: &str) -> bool {
    let makes_credentials = matches!(operation, "GetSessionToken" | "GetFederationToken");
    makes_credentials || !is_read(operation) && !CRYPTOGRAPHIC.contains(&operation)
}

/// Does an operation of this name change nothing?
fn is_read(operation: &str) -> bool {
    ["Get", "Head", "List", "Describe", "Simulate", "Preflight", "Verify"]
        .iter()
        .any(|verb| operation.starts_with(verb))
}

fn resources(
    service: Service,
    bucket: Option<&str>,
    object: Option<&str>,
    owner: Option<&str>,
) -> Vec<Resource> {
    let Some(bucket) = bucket.filter(|_| service == Service::S3) else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(object) = object {
        all.push(Resource {
            arn: format!("arn:aws:s3:::{bucket}/{object}"),
            account_id: None,
            r#type: "AWS::S3::Object",
        });
    }
    all.push(Resource {
        arn: format!("arn:aws:s3:::{bucket}"),
        account_id: owner.map(str::to_owned),
        r#type: "AWS::S3::Bucket",
    });
    all
}
