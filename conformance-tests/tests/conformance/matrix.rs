//! Operation × mode × size × range, with the AWS SDK for Rust.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance_tests::server::Server;
use md5::{Digest, Md5};

use super::client::{client, content};

const MIB: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Default,
    S3,
    Kms,
    Dsse,
    Customer,
}

impl Mode {
    pub const ALL: [Self; 5] = [Self::Default, Self::S3, Self::Kms, Self::Dsse, Self::Customer];

    fn algorithm(self) -> Option<ServerSideEncryption> {
        match self {
            Self::Default | Self::Customer => None,
            Self::S3 => Some(ServerSideEncryption::Aes256),
            Self::Kms => Some(ServerSideEncryption::AwsKms),
            Self::Dsse => Some(ServerSideEncryption::AwsKmsDsse),
        }
    }

    /// Algorithm, key and MD5 of a caller's key.
    fn customer(self) -> (Option<String>, Option<String>, Option<String>) {
        if self != Self::Customer {
            return (None, None, None);
        }
        let secret = [0x5a; 32];
        let md5 = STANDARD.encode(Md5::digest(secret));
        (Some("AES256".to_owned()), Some(STANDARD.encode(secret)), Some(md5))
    }
}

async fn put(client: &Client, mode: Mode, key: &str, body: Vec<u8>) {
    let (algorithm, secret, md5) = mode.customer();
    let answer = client
        .put_object()
        .bucket("matrix")
        .key(key)
        .set_server_side_encryption(mode.algorithm())
        .set_sse_customer_algorithm(algorithm.clone())
        .set_sse_customer_key(secret)
        .set_sse_customer_key_md5(md5)
        .metadata("mode", format!("{mode:?}"))
        .content_type("application/x-test")
        .body(ByteStream::from(body.clone()))
        .send()
        .await
        .unwrap_or_else(|e| panic!("put {key} {mode:?}: {e:?}"));
    assert_eq!(answer.sse_customer_algorithm.as_deref(), algorithm.as_deref(), "{mode:?}");
    let expected = match mode {
        Mode::Default => Some(ServerSideEncryption::Aes256),
        other => other.algorithm(),
    };
    assert_eq!(answer.server_side_encryption, expected, "{mode:?}");
    let md5 = format!("\"{}\"", hex::encode(Md5::digest(&body)));
    let etag_is_md5 = answer.e_tag.as_deref() == Some(md5.as_str());
    assert_eq!(etag_is_md5, matches!(mode, Mode::Default | Mode::S3), "{mode:?}");
}

async fn get(client: &Client, mode: Mode, key: &str, range: Option<String>) -> (Vec<u8>, Option<String>) {
    let (algorithm, secret, md5) = mode.customer();
    let answer = client
        .get_object()
        .bucket("matrix")
        .key(key)
        .set_sse_customer_algorithm(algorithm)
        .set_sse_customer_key(secret)
        .set_sse_customer_key_md5(md5)
        .set_range(range)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap_or_else(|e| panic!("get {key} {mode:?}: {e:?}"));
    assert_eq!(answer.content_type.as_deref(), Some("application/x-test"));
    assert_eq!(answer.metadata.as_ref().unwrap()["mode"], format!("{mode:?}"));
    let content_range = answer.content_range.clone();
    let len = answer.content_length.unwrap();
    let body = answer.body.collect().await.unwrap().into_bytes().to_vec();
    assert_eq!(len, body.len() as i64);
    (body, content_range)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_in_every_mode_reads_back_whole_and_in_ranges() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("matrix").send().await.unwrap();
    for mode in Mode::ALL {
        for (n, len) in [0, 1, 16_383, 16_384, 16_385, 5 * MIB, 64 * MIB].into_iter().enumerate() {
            let key = format!("{mode:?}/{len}");
            let body = content(len, n as u64);
            put(&client, mode, &key, body.clone()).await;
            let (whole, _) = get(&client, mode, &key, None).await;
            assert!(whole == body, "{key}");
            let mut ranges = vec![(0, 0), (len / 2, len / 2 + 1), (len.saturating_sub(3), len + 10)];
            ranges.extend([(16_383, 16_384), (16_384, 40_000), (1000, 300_000)]);
            for (first, last) in ranges.into_iter().filter(|(first, _)| *first < len) {
                let (part, content_range) =
                    get(&client, mode, &key, Some(format!("bytes={first}-{last}"))).await;
                let end = (last + 1).min(len);
                assert!(part == body[first..end], "{key} {first}-{last}");
                assert_eq!(content_range.unwrap(), format!("bytes {first}-{}/{len}", end - 1));
            }
            if len > 0 {
                let (tail, _) = get(&client, mode, &key, Some("bytes=-5".to_owned())).await;
                assert!(tail == body[len.saturating_sub(5)..], "{key} suffix");
            }
            let head = client.head_object().bucket("matrix").key(&key);
            let (algorithm, secret, md5) = mode.customer();
            let head = head
                .set_sse_customer_algorithm(algorithm)
                .set_sse_customer_key(secret)
                .set_sse_customer_key_md5(md5);
            assert_eq!(head.send().await.unwrap().content_length, Some(len as i64));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_from_every_mode_to_every_mode_and_onto_themselves() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("matrix").send().await.unwrap();
    let body = content(100_000, 1);
    for from in Mode::ALL {
        for to in Mode::ALL {
            let source = format!("from/{from:?}");
            put(&client, from, &source, body.clone()).await;
            for key in [format!("to/{from:?}-{to:?}"), source.clone()] {
                if key == source && to == Mode::Default {
                    continue;
                }
                let (algorithm, secret, md5) = to.customer();
                let (source_algorithm, source_secret, source_md5) = from.customer();
                client
                    .copy_object()
                    .bucket("matrix")
                    .key(&key)
                    .copy_source(format!("matrix/{source}"))
                    .metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace)
                    .metadata("mode", format!("{to:?}"))
                    .content_type("application/x-test")
                    .set_server_side_encryption(to.algorithm())
                    .set_sse_customer_algorithm(algorithm)
                    .set_sse_customer_key(secret)
                    .set_sse_customer_key_md5(md5)
                    .set_copy_source_sse_customer_algorithm(source_algorithm)
                    .set_copy_source_sse_customer_key(source_secret)
                    .set_copy_source_sse_customer_key_md5(source_md5)
                    .send()
                    .await
                    .unwrap_or_else(|e| panic!("{from:?} to {to:?} as {key}: {e:?}"));
                let (read, _) = get(&client, to, &key, None).await;
                assert!(read == body, "{from:?} to {to:?} as {key}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_uploads_in_every_mode() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("matrix").send().await.unwrap();
    let body = content(11 * MIB + 77, 3);
    for mode in Mode::ALL {
        let (algorithm, secret, md5) = mode.customer();
        let key = format!("multi/{mode:?}");
        put(&client, mode, "multi/source", body.clone()).await;
        let created = client
            .create_multipart_upload()
            .bucket("matrix")
            .key(&key)
            .metadata("mode", format!("{mode:?}"))
            .content_type("application/x-test")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_server_side_encryption(mode.algorithm())
            .set_sse_customer_algorithm(algorithm.clone())
            .set_sse_customer_key(secret.clone())
            .set_sse_customer_key_md5(md5.clone())
            .send()
            .await
            .unwrap_or_else(|e| panic!("{mode:?}: {e:?}"));
        let upload = created.upload_id.unwrap();
        let mut parts = Vec::new();
        for (number, range) in [(1, 0..5 * MIB), (3, 5 * MIB..10 * MIB)] {
            let part = client
                .upload_part()
                .bucket("matrix")
                .key(&key)
                .upload_id(&upload)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .set_sse_customer_algorithm(algorithm.clone())
                .set_sse_customer_key(secret.clone())
                .set_sse_customer_key_md5(md5.clone())
                .body(ByteStream::from(body[range].to_vec()))
                .send()
                .await
                .unwrap_or_else(|e| panic!("{mode:?}: {e:?}"));
            let done = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
            parts.push(done.set_checksum_crc32(part.checksum_crc32).build());
        }
        let copied = client
            .upload_part_copy()
            .bucket("matrix")
            .key(&key)
            .upload_id(&upload)
            .part_number(4)
            .copy_source("matrix/multi/source")
            .copy_source_range(format!("bytes={}-{}", 10 * MIB, body.len() - 1))
            .set_sse_customer_algorithm(algorithm.clone())
            .set_sse_customer_key(secret.clone())
            .set_sse_customer_key_md5(md5.clone())
            .set_copy_source_sse_customer_algorithm(algorithm.clone())
            .set_copy_source_sse_customer_key(secret.clone())
            .set_copy_source_sse_customer_key_md5(md5.clone())
            .send()
            .await
            .unwrap_or_else(|e| panic!("{mode:?}: {e:?}"));
        let copied = copied.copy_part_result.unwrap();
        let done = CompletedPart::builder().part_number(4).set_e_tag(copied.e_tag);
        parts.push(done.set_checksum_crc32(copied.checksum_crc32).build());
        let listed = client.list_parts().bucket("matrix").key(&key).upload_id(&upload).send().await.unwrap();
        assert_eq!(listed.parts().len(), 3);
        let completed = client
            .complete_multipart_upload()
            .bucket("matrix")
            .key(&key)
            .upload_id(&upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_sse_customer_algorithm(algorithm.clone())
            .set_sse_customer_key(secret.clone())
            .set_sse_customer_key_md5(md5.clone())
            .send()
            .await
            .unwrap_or_else(|e| panic!("{mode:?}: {e:?}"));
        assert!(completed.checksum_crc32.unwrap().ends_with("-3"), "composite of three parts");
        assert!(completed.e_tag.unwrap().ends_with("-3\""));
        let (whole, _) = get(&client, mode, &key, None).await;
        assert!(whole == body, "{mode:?}");
        let edge = 5 * MIB;
        let (across, _) =
            get(&client, mode, &key, Some(format!("bytes={}-{}", edge - 9, edge + 20_000))).await;
        assert!(across == body[edge - 9..=edge + 20_000], "{mode:?}");
    }
}
