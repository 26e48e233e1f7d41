//! Writes what tries look for afterwards, and enters it into the ledger once it is acknowledged.

use anyhow::Context;
use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller, Credentials};
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;

use super::ledger::{Content, KmsKey, Ledger, Object, Sse, Upload, User};

pub(crate) const PLAIN: &str = "faults-plain";
const KEYED: &str = "faults-keyed";
const VERSIONS: &str = "faults-versions";
/// Lengths of objects in packed segments; in segments of blocks, and in files of their own.
const SMALL: [usize; 6] = [0, 1, 100, 1000, 4096, 20_000];
const LARGE: [usize; 4] = [140_000, 2_500_000, 300_000, 3_000_000];
const PART_LEN: usize = 5 << 20;

/// Sends a request and reads the whole answer.
pub(crate) async fn send(
    caller: &mut Caller,
    method: Method,
    target: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> anyhow::Result<Answer> {
    let mut headers = headers.to_vec();
    if method == Method::PUT && body.is_empty() {
        // The client leaves it out, and an object wants it.
        headers.push(("content-length", "0".to_owned()));
    }
    let (parts, body) = caller.send(method, target, &headers, Bytes::from(body)).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

struct Writer<'l> {
    caller: Caller,
    ledger: &'l mut Ledger,
    seed: u64,
}

impl Writer<'_> {
    fn content(&mut self, len: usize) -> Content {
        self.seed += 1;
        Content { len, seed: self.seed }
    }

    async fn bucket(&mut self, name: &str) -> anyhow::Result<()> {
        self.caller.s3(Method::PUT, &format!("/{name}"), "").await?.success()?;
        self.ledger.buckets.push(name.to_owned());
        Ok(())
    }

    async fn put(&mut self, bucket: &str, name: &str, len: usize, sse: Sse) -> anyhow::Result<()> {
        let content = self.content(len);
        let note = format!("note-{}", content.seed);
        let mut headers = vec![("x-amz-meta-note", note.clone())];
        headers.extend(sse.of_write());
        let target = format!("/{bucket}/{name}");
        let answer = send(&mut self.caller, Method::PUT, &target, &headers, content.bytes()).await?;
        let answer = answer.success().with_context(|| target)?;
        let version = answer.headers.get("x-amz-version-id").and_then(|id| id.to_str().ok());
        self.enter(Object {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
            content,
            note,
            sse,
            former: Vec::new(),
        });
        Ok(())
    }

    /// In place of what the ledger says of it, if it has one version.
    fn enter(&mut self, mut object: Object) {
        let objects = &mut self.ledger.objects;
        let is_same = |it: &&mut Object| it.name == object.name && object.version.is_none();
        if let Some(former) = objects.iter_mut().find(is_same) {
            object.former.clone_from(&former.former);
            object.former.push(former.content);
            *former = object;
        } else {
            objects.push(object);
        }
    }

    async fn many(&mut self, names: &str, count: usize, lens: &[usize]) -> anyhow::Result<()> {
        for n in 0..count {
            self.put(PLAIN, &format!("{names}-{n:02}"), lens[n % lens.len()], Sse::Default).await?;
        }
        Ok(())
    }

    async fn multipart(&mut self, name: &str) -> anyhow::Result<()> {
        let target = format!("/{PLAIN}/{name}");
        let headers = [("x-amz-meta-note", "parts".to_owned())];
        let created =
            send(&mut self.caller, Method::POST, &format!("{target}?uploads="), &headers, Vec::new()).await?;
        let id = created.success()?.field("UploadId").context("no upload id")?;
        let content = self.content(PART_LEN + 100_000);
        let mut document = String::from("<CompleteMultipartUpload>");
        for (number, part) in (1..).zip(content.bytes().chunks(PART_LEN)) {
            let target = format!("{target}?partNumber={number}&uploadId={id}");
            let sent = send(&mut self.caller, Method::PUT, &target, &[], part.to_vec()).await?.success()?;
            let e_tag = e_tag(&sent)?;
            document += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{e_tag}</ETag></Part>");
        }
        document += "</CompleteMultipartUpload>";
        self.caller.s3(Method::POST, &format!("{target}?uploadId={id}"), &document).await?.success()?;
        let (bucket, name, note) = (PLAIN.to_owned(), name.to_owned(), "parts".to_owned());
        // It has blobs besides its own: the upload's journal.
        let former = vec![Content { len: 0, seed: 0 }];
        self.enter(Object { bucket, name, version: None, content, note, sse: Sse::Default, former });
        Ok(())
    }

    async fn open_upload(&mut self, name: &str) -> anyhow::Result<()> {
        let target = format!("/{PLAIN}/{name}");
        let created = self.caller.s3(Method::POST, &format!("{target}?uploads="), "").await?.success()?;
        let id = created.field("UploadId").context("no upload id")?;
        let body = self.content(150_000).bytes();
        let target = format!("{target}?partNumber=1&uploadId={id}");
        let sent = send(&mut self.caller, Method::PUT, &target, &[], body).await?.success()?;
        let e_tag = e_tag(&sent)?;
        self.ledger.uploads.push(Upload { bucket: PLAIN.to_owned(), name: name.to_owned(), id, e_tag });
        Ok(())
    }

    async fn kms_key(&mut self, name: &str) -> anyhow::Result<String> {
        let made = self.caller.kms("CreateKey", &json!({ "Description": name })).await?.success()?;
        let made: serde_json::Value = serde_json::from_slice(&made.body)?;
        let id = made["KeyMetadata"]["KeyId"].as_str().context("no key id")?.to_owned();
        let alias = format!("alias/{name}");
        let named = json!({ "AliasName": alias, "TargetKeyId": id });
        self.caller.kms("CreateAlias", &named).await?.success()?;
        let key = KmsKey { id: id.clone(), alias, is_enabled: true, ciphertexts: Vec::new() };
        self.ledger.keys.push(key);
        self.encrypt(&id).await?;
        Ok(id)
    }

    async fn encrypt(&mut self, id: &str) -> anyhow::Result<()> {
        let asked = json!({ "KeyId": id, "Plaintext": KmsKey::PLAINTEXT });
        let sealed = self.caller.kms("Encrypt", &asked).await?.success()?;
        let sealed: serde_json::Value = serde_json::from_slice(&sealed.body)?;
        let sealed = sealed["CiphertextBlob"].as_str().context("no ciphertext")?.to_owned();
        let key = self.ledger.keys.iter_mut().find(|key| key.id == id).context("an unknown key")?;
        key.ciphertexts.push(sealed);
        Ok(())
    }

    async fn user(&mut self, name: &str) -> anyhow::Result<()> {
        let (may_read, may_not_read) = ("small-02", "small-03");
        let object = |name: &str| format!("arn:aws:s3:::{PLAIN}/{name}");
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": object("*") },
            { "Effect": "Deny", "Action": "s3:GetObject", "Resource": object(may_not_read) },
        ] });
        let policy = policy.to_string();
        self.caller.iam("CreateUser", &[("UserName", name)]).await?.success()?;
        // One has a policy of its own, the other a managed one by a group.
        if self.ledger.users.is_empty() {
            let parameters = [("UserName", name), ("PolicyName", "reads"), ("PolicyDocument", &policy)];
            self.caller.iam("PutUserPolicy", &parameters).await?.success()?;
        } else {
            let (group, named) = (format!("group-{name}"), format!("policy-{name}"));
            let made = [("PolicyName", named.as_str()), ("PolicyDocument", &policy)];
            let made = self.caller.iam("CreatePolicy", &made).await?.success()?;
            let arn = made.field("Arn").context("no ARN")?;
            self.caller.iam("CreateGroup", &[("GroupName", &group)]).await?.success()?;
            let attached = [("GroupName", group.as_str()), ("PolicyArn", &arn)];
            self.caller.iam("AttachGroupPolicy", &attached).await?.success()?;
            let member = [("GroupName", group.as_str()), ("UserName", name)];
            self.caller.iam("AddUserToGroup", &member).await?.success()?;
        }
        let answer = self.caller.iam("CreateAccessKey", &[("UserName", name)]).await?.success()?;
        let Credentials { access_key_id, secret_access_key, .. } = Credentials::of_answer(&answer)?;
        self.ledger.users.push(User {
            name: name.to_owned(),
            access_key_id,
            secret_access_key,
            may_read: format!("/{PLAIN}/{may_read}"),
            may_not_read: format!("/{PLAIN}/{may_not_read}"),
        });
        Ok(())
    }

    async fn delete(&mut self, bucket: &str, name: &str) -> anyhow::Result<()> {
        self.caller.s3(Method::DELETE, &format!("/{bucket}/{name}"), "").await?.success()?;
        self.ledger.objects.retain(|object| object.name != name || object.version.is_some());
        self.ledger.deleted.push((bucket.to_owned(), name.to_owned()));
        Ok(())
    }
}

fn e_tag(answer: &Answer) -> anyhow::Result<String> {
    Ok(answer.headers.get("etag").context("no ETag")?.to_str()?.to_owned())
}

/// The writes before the older copy.
pub(crate) async fn first(endpoint: &str, ledger: &mut Ledger) -> anyhow::Result<()> {
    let caller = Caller::open(endpoint, Credentials::root()).await?;
    let mut writer = Writer { caller, ledger, seed: 0 };
    for bucket in [PLAIN, KEYED, VERSIONS] {
        writer.bucket(bucket).await?;
    }
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    writer.caller.s3(Method::PUT, &format!("/{VERSIONS}?versioning="), enabled).await?.success()?;
    let id = writer.kms_key("first").await?;
    writer.kms_key("second").await?;
    writer.kms_key("disabled").await?;
    let rule = format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{id}</KMSMasterKeyID>\
         </ApplyServerSideEncryptionByDefault>\
         <BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes>\
         </Rule></ServerSideEncryptionConfiguration>"
    );
    writer.caller.s3(Method::PUT, &format!("/{KEYED}?encryption="), &rule).await?.success()?;
    writer.many("small", 12, &SMALL).await?;
    writer.many("large", 4, &LARGE).await?;
    writer.many("again", 5, &[4096, 150_000, 10]).await?;
    writer.many("gone", 3, &[4096, 150_000, 10]).await?;
    writer.many("changed", 2, &[1000, 150_000]).await?;
    for (n, len) in [0, 4096, 20_000, 200_000].into_iter().enumerate() {
        writer.put(KEYED, &format!("kms-{n:02}"), len, Sse::Default).await?;
    }
    writer.put(KEYED, "dsse-00", 5000, Sse::Dsse).await?;
    for (n, len) in [100, 4096, 170_000].into_iter().enumerate() {
        writer.put(KEYED, &format!("customer-{n:02}"), len, Sse::Customer).await?;
    }
    for (n, len) in [100, 5000, 140_000, 300, 7000, 10].into_iter().enumerate() {
        writer.put(VERSIONS, &format!("version-{:02}", n % 3), len, Sse::Default).await?;
    }
    writer.multipart("parts-00").await?;
    writer.user("reader").await
}

/// The writes after it.
pub(crate) async fn second(endpoint: &str, ledger: &mut Ledger) -> anyhow::Result<()> {
    let caller = Caller::open(endpoint, Credentials::root()).await?;
    let mut writer = Writer { caller, ledger, seed: 1000 };
    writer.many("again", 5, &[150_000, 4096, 11]).await?;
    for n in 0..3 {
        writer.delete(PLAIN, &format!("gone-{n:02}")).await?;
    }
    for n in 0..2 {
        let (name, note) = (format!("changed-{n:02}"), format!("changed-note-{n}"));
        let headers = [
            ("x-amz-copy-source", format!("{PLAIN}/{name}")),
            ("x-amz-metadata-directive", "REPLACE".to_owned()),
            ("x-amz-meta-note", note.clone()),
        ];
        let target = format!("/{PLAIN}/{name}");
        send(&mut writer.caller, Method::PUT, &target, &headers, Vec::new()).await?.success()?;
        let object = writer.ledger.objects.iter_mut().find(|object| object.name == name);
        let object = object.context("it was written before")?;
        object.note = note;
        object.former.push(object.content);
    }
    writer.many("late", 8, &SMALL).await?;
    writer.many("late-large", 2, &LARGE).await?;
    for (n, len) in [100, 5000, 140_000].into_iter().enumerate() {
        writer.put(VERSIONS, &format!("version-{n:02}"), len, Sse::Default).await?;
    }
    writer.delete(VERSIONS, "version-02").await?;
    let id = writer.kms_key("late").await?;
    for (n, len) in [2000, 160_000].into_iter().enumerate() {
        let mut headers = vec![("x-amz-server-side-encryption", "aws:kms".to_owned())];
        headers.push(("x-amz-server-side-encryption-aws-kms-key-id", id.clone()));
        let (content, name) = (writer.content(len), format!("late-kms-{n:02}"));
        let note = format!("note-{}", content.seed);
        headers.push(("x-amz-meta-note", note.clone()));
        let target = format!("/{KEYED}/{name}");
        send(&mut writer.caller, Method::PUT, &target, &headers, content.bytes()).await?.success()?;
        let (bucket, sse) = (KEYED.to_owned(), Sse::Default);
        writer.enter(Object { bucket, name, version: None, content, note, sse, former: Vec::new() });
    }
    let first = writer.ledger.keys[0].id.clone();
    writer.caller.kms("RotateKeyOnDemand", &json!({ "KeyId": first })).await?.success()?;
    writer.encrypt(&first).await?;
    let disabled = writer.ledger.keys[2].id.clone();
    writer.caller.kms("DisableKey", &json!({ "KeyId": disabled })).await?.success()?;
    writer.ledger.keys[2].is_enabled = false;
    writer.user("latecomer").await?;
    writer.open_upload("upload-00").await
}

/// Some writes of another gateway, under the same names.
pub(crate) async fn foreign(endpoint: &str) -> anyhow::Result<()> {
    let caller = Caller::open(endpoint, Credentials::root()).await?;
    let mut ledger = Ledger::default();
    let mut writer = Writer { caller, ledger: &mut ledger, seed: 9000 };
    writer.bucket(PLAIN).await?;
    writer.kms_key("first").await?;
    writer.many("small", 4, &SMALL).await?;
    writer.many("large", 2, &LARGE).await
}
