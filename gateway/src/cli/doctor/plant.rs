//! Objects with canaries in every place that must not be readable, through every write path in every mode.

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use md5::{Digest, Md5};

use super::canary::Canaries;
use crate::api::local::{LocalClient, LocalRequest, LocalResponse};
use crate::http::header;
use crate::iam::{Iam, IdKind, PolicyText, User, access_key, unique_id};

pub(super) const BUCKET: &str = "doctor-encryption";
const SMALL_LEN: usize = 40 * 1024;
const LARGE_LEN: usize = 600 * 1024;
const PART_LEN: usize = 5 << 20;

/// A way of encryption as a request's headers ask for it.
#[derive(Debug, Clone)]
pub(super) struct Mode {
    pub(super) name: &'static str,
    /// Headers of a write.
    write: Vec<(String, String)>,
    /// Headers of a read.
    read: Vec<(String, String)>,
    /// Headers of a copy that reads from it.
    copy: Vec<(String, String)>,
}

/// A planted object.
pub(super) struct Planted {
    pub(super) path: String,
    pub(super) mode: Mode,
    pub(super) content: Bytes,
}

impl Planted {
    pub(super) fn describe(&self) -> String {
        format!("{} ({})", self.path, self.mode.name)
    }

    /// Its content as the gateway gives it; `None` for an error or an answer that broke off.
    pub(super) async fn fetch(&self, client: &LocalClient) -> Option<Bytes> {
        let answer = send(client, Method::GET, &self.path, &[], &self.mode.read, Bytes::new()).await;
        answer.body.ok().filter(|_| answer.status == StatusCode::OK)
    }
}

/// Plants everything; answers what can be fetched afterwards.
pub(super) async fn everything(
    client: &LocalClient,
    canaries: &mut Canaries,
) -> anyhow::Result<Vec<Planted>> {
    let bucket = format!("/{BUCKET}");
    expect_ok(send(client, Method::PUT, &bucket, &[], &[], Bytes::new()).await, "CreateBucket")?;
    let mut planted = Vec::new();
    for mode in modes(canaries) {
        for (size_name, len) in [("small", SMALL_LEN), ("large", LARGE_LEN)] {
            let object = object(canaries, &mode, &format!("put-{size_name}"), len);
            let mut headers = mode.write.clone();
            headers.extend(metadata(canaries));
            let answer = send(client, Method::PUT, &object.path, &[], &headers, object.content.clone()).await;
            expect_ok(answer, "PutObject")?;

            let mut copied = self::object(canaries, &mode, &format!("copy-{size_name}"), 0);
            copied.content = object.content.clone();
            let mut headers = [mode.write.clone(), mode.copy.clone()].concat();
            headers.push((header::COPY_SOURCE.to_string(), object.path.clone()));
            expect_ok(
                send(client, Method::PUT, &copied.path, &[], &headers, Bytes::new()).await,
                "CopyObject",
            )?;
            planted.extend([object, copied]);
        }
        planted.push(multipart(client, canaries, &mode).await?);
    }
    settings(client, canaries).await?;
    Ok(planted)
}

/// What lies beside objects: annotations, and settings of the bucket.
async fn settings(client: &LocalClient, canaries: &mut Canaries) -> anyhow::Result<()> {
    let path = format!("/{BUCKET}/{}/annotated", canaries.control());
    expect_ok(send(client, Method::PUT, &path, &[], &[], Bytes::new()).await, "PutObject")?;
    let query = [("annotation", ""), ("annotationName", "canary")];
    let text = Bytes::from(canaries.word("annotations"));
    expect_ok(send(client, Method::PUT, &path, &query, &[], text).await, "PutObjectAnnotation")?;
    let tag = canaries.word("bucket tags");
    let tagging = format!("<Tagging><TagSet><Tag><Key>k</Key><Value>{tag}</Value></Tag></TagSet></Tagging>");
    let rule = canaries.word("lifecycle rules");
    let lifecycle = format!(
        "<LifecycleConfiguration><Rule><ID>{rule}</ID><Status>Enabled</Status><Filter><Prefix>none</Prefix></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
    );
    let sid = canaries.word("bucket policies");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Sid":"{sid}","Effect":"Deny","Principal":"*","Action":"s3:PutBucketWebsite",
           "Resource":"arn:aws:s3:::{BUCKET}"}}}}"#
    );
    for (name, document) in [("tagging", tagging), ("lifecycle", lifecycle), ("policy", policy)] {
        let answer =
            send(client, Method::PUT, &format!("/{BUCKET}"), &[(name, "")], &[], document.into()).await;
        ensure!(answer.status.is_success(), "the bucket's {name}: {}", answer.status);
    }
    Ok(())
}

/// A user with everything that one can have, and an access key.
pub(super) async fn identities(iam: &Iam, canaries: &mut Canaries) -> anyhow::Result<()> {
    let (access_key_id, secret) = access_key();
    canaries.add("secrets of access keys", secret.as_bytes());
    let resource = canaries.word("policies of users");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::{resource}"}}}}"#
    );
    let user = User {
        id: unique_id(IdKind::User),
        name: canaries.word("names of users"),
        path: format!("/{}/", canaries.word("paths of users")),
        created_unix_ms: 0,
        tags: vec![("canary".to_owned(), canaries.word("tags of users"))],
        boundary: None,
        inline: [(canaries.word("names of policies"), PolicyText::parse(&policy)?)].into(),
        attached: Vec::new(),
        groups: Vec::new(),
    };
    let account = iam.main_account().id.clone();
    iam.change(&account, |draft| {
        let record = iam.seal_access_key(&access_key_id, &secret, (&account, Some(&user.id)), 0);
        draft.put(user.clone());
        draft.put_access_key(record);
        Ok(())
    })
    .await?;
    Ok(())
}

async fn multipart(client: &LocalClient, canaries: &mut Canaries, mode: &Mode) -> anyhow::Result<Planted> {
    let object = object(canaries, mode, "multipart", PART_LEN + SMALL_LEN);
    let mut headers = mode.write.clone();
    headers.extend(metadata(canaries));
    let created = send(client, Method::POST, &object.path, &[("uploads", "")], &headers, Bytes::new()).await;
    let created = expect_ok(created, "CreateMultipartUpload")?;
    let upload = between(&created, "<UploadId>", "</UploadId>")?;
    let mut parts = String::new();
    for (number, range) in [("1", 0..PART_LEN), ("2", PART_LEN..PART_LEN + SMALL_LEN)] {
        let query = [("partNumber", number), ("uploadId", upload.as_str())];
        let body = object.content.slice(range);
        // SSE-C asks for the caller's key with each part; other modes were fixed at the start.
        let answer = send(client, Method::PUT, &object.path, &query, &mode.read, body).await;
        ensure!(answer.status == StatusCode::OK, "UploadPart: {}", answer.status);
        let etag = answer.headers.get("etag").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let query = [("uploadId", upload.as_str())];
    let completed = send(client, Method::POST, &object.path, &query, &mode.read, body.into()).await;
    let text = expect_ok(completed, "CompleteMultipartUpload")?;
    ensure!(text.contains("<CompleteMultipartUploadResult"), "CompleteMultipartUpload: {text}");
    Ok(object)
}

fn modes(canaries: &mut Canaries) -> Vec<Mode> {
    let write = |pairs: &[(&http::HeaderName, &str)]| {
        pairs.iter().map(|(name, value)| (name.to_string(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let managed = |name, write| Mode { name, write, read: Vec::new(), copy: Vec::new() };
    let mut modes = vec![
        managed("SSE-S3", write(&[(&header::SSE, "AES256")])),
        managed("SSE-S3 by default", Vec::new()),
        managed("SSE-KMS", write(&[(&header::SSE, "aws:kms")])),
        managed(
            "SSE-KMS with bucket key",
            write(&[(&header::SSE, "aws:kms"), (&header::SSE_BUCKET_KEY_ENABLED, "true")]),
        ),
        managed("DSSE-KMS", write(&[(&header::SSE, "aws:kms:dsse")])),
    ];
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the operating system gives random bytes");
    let digest = Md5::digest(secret);
    canaries.add("customer keys (SSE-C)", &secret);
    canaries.add("MD5 of customer keys (SSE-C)", &digest);
    let (secret, digest) = (STANDARD.encode(secret), STANDARD.encode(digest));
    let headers = write(&[
        (&header::SSE_C_ALGORITHM, "AES256"),
        (&header::SSE_C_KEY, &secret),
        (&header::SSE_C_KEY_MD5, &digest),
    ]);
    let copy = write(&[
        (&header::COPY_SOURCE_SSE_C_ALGORITHM, "AES256"),
        (&header::COPY_SOURCE_SSE_C_KEY, &secret),
        (&header::COPY_SOURCE_SSE_C_KEY_MD5, &digest),
    ]);
    modes.push(Mode { name: "SSE-C", write: headers.clone(), read: headers, copy });
    modes
}

/// An object whose content is a canary, over and over, so that every chunk would show it.
fn object(canaries: &mut Canaries, mode: &Mode, path: &str, len: usize) -> Planted {
    let name = mode.name.to_lowercase().replace(' ', "-");
    let path = format!("/{BUCKET}/{}/{name}/{path}", canaries.control());
    let word = canaries.word("bodies");
    let content: Vec<u8> = word.as_bytes().iter().copied().cycle().take(len).collect();
    Planted { path, mode: mode.clone(), content: content.into() }
}

fn metadata(canaries: &mut Canaries) -> Vec<(String, String)> {
    vec![
        (format!("{}canary", header::META_PREFIX), canaries.word("user metadata")),
        ("content-type".to_owned(), format!("text/{}", canaries.word("system headers"))),
        ("cache-control".to_owned(), canaries.word("system headers")),
        (header::TAGGING.to_string(), format!("canary={}", canaries.word("tags"))),
    ]
}

async fn send(
    client: &LocalClient,
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    headers: &[(String, String)],
    body: Bytes,
) -> LocalResponse {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    client.send(method, LocalRequest { path, query, headers: &headers, body }).await
}

fn expect_ok(answer: LocalResponse, operation: &str) -> anyhow::Result<String> {
    let text = answer.body.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    ensure!(answer.status == StatusCode::OK, "{operation}: {} {text}", answer.status);
    Ok(text)
}

fn between(text: &str, start: &str, end: &str) -> anyhow::Result<String> {
    let inner = text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(inner, _)| inner);
    inner.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no {start} in {text}"))
}
