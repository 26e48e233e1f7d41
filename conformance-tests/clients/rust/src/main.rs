//! The AWS SDK for Rust: objects in every mode of encryption, uploads in parts, presigned requests, listings.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
    ServerSideEncryption,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const SMALL: usize = 100_003;
const PART: usize = 5 << 20;
const LARGE: usize = 2 * PART + 5;
const CUSTOMER_KEY: [u8; 32] = [0x5a; 32];

#[derive(Clone, Copy, PartialEq)]
enum Encryption {
    S3,
    Kms,
    Customer,
}

impl Encryption {
    const ALL: [(&str, Self); 3] = [("sse-s3", Self::S3), ("sse-kms", Self::Kms), ("sse-c", Self::Customer)];

    fn algorithm(self) -> Option<ServerSideEncryption> {
        match self {
            Self::S3 => Some(ServerSideEncryption::Aes256),
            Self::Kms => Some(ServerSideEncryption::AwsKms),
            Self::Customer => None,
        }
    }

    fn kms_key(self, all: &Gateway) -> Option<String> {
        (self == Self::Kms).then(|| all.kms_key.clone())
    }

    /// Algorithm, key and its MD5.
    fn customer(self) -> (Option<String>, Option<String>, Option<String>) {
        if self != Self::Customer {
            return (None, None, None);
        }
        let digest = STANDARD.encode(Md5::digest(CUSTOMER_KEY));
        (Some("AES256".to_owned()), Some(STANDARD.encode(CUSTOMER_KEY)), Some(digest))
    }
}

/// Sets the headers of SSE-C on a request.
macro_rules! with_customer_key {
    ($request:expr, $encryption:expr) => {{
        let (algorithm, secret, digest) = $encryption.customer();
        $request
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(secret)
            .set_sse_customer_key_md5(digest)
    }};
}

/// Sets what is told of an object, and how it is encrypted.
macro_rules! with_encryption {
    ($request:expr, $encryption:expr, $gateway:expr) => {
        with_customer_key!($request, $encryption)
            .set_server_side_encryption($encryption.algorithm())
            .set_ssekms_key_id($encryption.kms_key($gateway))
            .metadata("written-by", "rust")
            .content_type("text/x-rust")
    };
}

struct Gateway {
    client: Client,
    bucket: String,
    kms_key: String,
}

impl Gateway {
    async fn check(&self, encryption: Encryption, key: &str, body: &[u8]) -> Outcome {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let got = with_customer_key!(get, encryption).send().await?;
        equal(
            "metadata",
            got.metadata().and_then(|m| m.get("written-by")).map(String::as_str),
            Some("rust"),
        )?;
        equal("content type", got.content_type(), Some("text/x-rust"))?;
        equal("encryption", got.server_side_encryption(), encryption.algorithm().as_ref())?;
        equal("KMS key", got.ssekms_key_id(), encryption.kms_key(self).as_deref())?;
        equal("MD5 of the key", got.sse_customer_key_md5(), encryption.customer().2.as_deref())?;
        same(&got.body.collect().await?.into_bytes(), body)?;
        if encryption == Encryption::Customer {
            let without = self.client.get_object().bucket(&self.bucket).key(key).send().await;
            equal("a read without the key", without.is_err(), true)?;
        }
        Ok(())
    }

    async fn put(&self, name: &str, encryption: Encryption) -> Outcome {
        let body = content(SMALL);
        let put = self.client.put_object().bucket(&self.bucket).key(name);
        let put = put.body(ByteStream::from(body.clone()));
        with_encryption!(put, encryption, self).send().await?;
        self.check(encryption, name, &body).await
    }

    async fn multipart(&self) -> Outcome {
        let body = content(LARGE);
        for (name, encryption) in Encryption::ALL {
            let key = format!("multipart {name}");
            let create = self.client.create_multipart_upload().bucket(&self.bucket).key(&key);
            // Checksums of parts count where the upload says which.
            let create = create.checksum_algorithm(ChecksumAlgorithm::Crc32);
            let created = with_encryption!(create, encryption, self).send().await?;
            let upload_id = created.upload_id().ok_or("no upload id")?;
            let mut parts = Vec::new();
            for (number, part) in (1..).zip(body.chunks(PART)) {
                let upload = self.client.upload_part().bucket(&self.bucket).key(&key).upload_id(upload_id);
                let upload = upload.part_number(number).body(ByteStream::from(part.to_vec()));
                let sent = with_customer_key!(upload, encryption).send().await?;
                let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
                parts.push(part.set_checksum_crc32(sent.checksum_crc32).build());
            }
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(&key);
            let complete = complete.upload_id(upload_id).multipart_upload(parts);
            with_customer_key!(complete, encryption).send().await?;
            self.check(encryption, &key, &body).await?;
        }
        Ok(())
    }

    async fn ranged(&self) -> Outcome {
        for (name, encryption) in Encryption::ALL {
            let get = self.client.get_object().bucket(&self.bucket).key(format!("multipart {name}"));
            let got = with_customer_key!(get.range("bytes=5242000-5243999"), encryption).send().await?;
            equal("range", got.content_range(), Some(&*format!("bytes 5242000-5243999/{LARGE}")))?;
            same(&got.body.collect().await?.into_bytes(), &content(LARGE)[5242000..5244000])?;
        }
        Ok(())
    }

    async fn copied(&self) -> Outcome {
        for (from, source) in Encryption::ALL {
            for (to, target) in Encryption::ALL {
                let key = format!("{from} to {to}");
                let (algorithm, secret, digest) = source.customer();
                let copy = self.client.copy_object().bucket(&self.bucket).key(&key);
                let copy = copy
                    .copy_source(format!("{}/{from}", self.bucket))
                    .set_copy_source_sse_customer_algorithm(algorithm)
                    .set_copy_source_sse_customer_key(secret)
                    .set_copy_source_sse_customer_key_md5(digest);
                with_encryption!(copy, target, self).send().await?;
                self.check(target, &key, &content(SMALL)).await?;
            }
        }
        Ok(())
    }

    /// What is presigned is sent by curl, with the headers that it must have.
    async fn presigned(&self) -> Outcome {
        std::fs::write("body", content(SMALL))?;
        let minute = || PresigningConfig::expires_in(Duration::from_secs(60));
        for (name, encryption) in Encryption::ALL {
            let key = format!("presigned {name}");
            let put = self.client.put_object().bucket(&self.bucket).key(&key);
            let put = with_encryption!(put, encryption, self).presigned(minute()?).await?;
            curl(&put, &["--upload-file", "body"])?;
            self.check(encryption, &key, &content(SMALL)).await?;
            let get = self.client.get_object().bucket(&self.bucket).key(&key);
            curl(&with_customer_key!(get, encryption).presigned(minute()?).await?, &["--output", "got"])?;
            same(&std::fs::read("got")?, &content(SMALL))?;
        }
        Ok(())
    }

    /// Keys that need encoding: written on a condition, listed page by page, deleted at once.
    async fn work(&self) -> Outcome {
        for number in 0..7 {
            let key = format!("work/käy+ %&{number}");
            let put = || {
                let put = self.client.put_object().bucket(&self.bucket).key(&key).if_none_match("*");
                put.body(ByteStream::from(key.clone().into_bytes())).send()
            };
            put().await?;
            equal("a second write", put().await.is_err(), true)?;
        }
        let mut keys = Vec::new();
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix("work/").max_keys(3);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            for object in page?.contents() {
                keys.push(ObjectIdentifier::builder().set_key(object.key.clone()).build()?);
            }
        }
        equal("keys listed", keys.len(), 7)?;
        let all = Delete::builder().set_objects(Some(keys)).build()?;
        let deleted = self.client.delete_objects().bucket(&self.bucket).delete(all).send().await?;
        equal("keys deleted", deleted.deleted().len(), 7)
    }
}

fn curl(request: &aws_sdk_s3::presigning::PresignedRequest, arguments: &[&str]) -> Outcome {
    let mut command = std::process::Command::new("curl");
    command.args(["-fsS", "-X", request.method()]).args(arguments);
    for (name, value) in request.headers() {
        if name != "content-length" {
            command.args(["-H", &format!("{name}: {value}")]);
        }
    }
    let output = command.arg(request.uri()).output()?;
    equal("curl", String::from_utf8_lossy(&output.stderr).into_owned(), String::new())
}

fn content(length: usize) -> Vec<u8> {
    let mut state = length as u64 | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

fn same(got: &[u8], want: &[u8]) -> Outcome {
    equal("length", got.len(), want.len())?;
    equal("SHA-256", Sha256::digest(got), Sha256::digest(want))
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Outcome {
    if got == want { Ok(()) } else { Err(format!("{what} is {got:?}, not {want:?}").into()) }
}

fn tell(name: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => println!("{name}: ok"),
        Err(error) => {
            let why = DisplayErrorContext(&*error).to_string();
            println!("{name}: failed: {}", why.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let shared = aws_config::load_from_env().await;
    let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(true).build();
    let gateway = Gateway {
        client: Client::from_conf(config),
        bucket: std::env::var("CLIENT_BUCKET")?,
        kms_key: std::env::var("CLIENT_KMS_KEY")?,
    };
    for (name, encryption) in Encryption::ALL {
        tell(name, gateway.put(name, encryption).await);
    }
    tell("multipart", gateway.multipart().await);
    tell("range", gateway.ranged().await);
    tell("copy", gateway.copied().await);
    tell("presign", gateway.presigned().await);
    tell("work", gateway.work().await);
    Ok(())
}
