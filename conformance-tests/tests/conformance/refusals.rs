//! Refusals as AWS has them: encryption, names, multipart, and what is not implemented.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, ServerSideEncryption, WebsiteConfiguration,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance_tests::server::Server;
use md5::{Digest, Md5};

use super::client::{client, content};

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("none").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_refused_by_name() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("refuse").send().await.unwrap();
    let put = || client.put_object().bucket("refuse").key("k").body(ByteStream::from_static(b"x"));
    let secret = STANDARD.encode([1; 32]);
    let md5 = STANDARD.encode(Md5::digest([1; 32]));
    let other = STANDARD.encode([2; 32]);
    let other_md5 = STANDARD.encode(Md5::digest([2; 32]));

    put()
        .sse_customer_algorithm("AES256")
        .sse_customer_key(&secret)
        .sse_customer_key_md5(&md5)
        .send()
        .await
        .unwrap();
    let get = || client.get_object().bucket("refuse").key("k");
    assert_eq!(code(&get().send().await.unwrap_err()), "InvalidRequest");
    let wrong =
        get().sse_customer_algorithm("AES256").sse_customer_key(&other).sse_customer_key_md5(&other_md5);
    assert_eq!(code(&wrong.send().await.unwrap_err()), "AccessDenied");
    let mismatch =
        get().sse_customer_algorithm("AES256").sse_customer_key(&secret).sse_customer_key_md5(&other_md5);
    assert_eq!(code(&mismatch.send().await.unwrap_err()), "InvalidArgument");
    let algorithm =
        get().sse_customer_algorithm("AES128").sse_customer_key(&secret).sse_customer_key_md5(&md5);
    assert_eq!(code(&algorithm.send().await.unwrap_err()), "InvalidEncryptionAlgorithmError");
    let head = client.head_object().bucket("refuse").key("k").send().await.unwrap_err();
    assert_eq!(head.raw_response().unwrap().status().as_u16(), 400);

    client
        .put_object()
        .bucket("refuse")
        .key("plain")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let unneeded = client.get_object().bucket("refuse").key("plain").sse_customer_algorithm("AES256");
    let unneeded = unneeded.sse_customer_key(&secret).sse_customer_key_md5(&md5).send().await.unwrap_err();
    assert_eq!(code(&unneeded), "InvalidRequest");
    let two = put().server_side_encryption(ServerSideEncryption::Aes256).sse_customer_algorithm("AES256");
    let two = two.sse_customer_key(&secret).sse_customer_key_md5(&md5).send().await.unwrap_err();
    assert_eq!(code(&two), "InvalidArgument");
    let kms = || put().server_side_encryption(ServerSideEncryption::AwsKms);
    assert_eq!(code(&kms().ssekms_key_id("nope").send().await.unwrap_err()), "KMS.NotFoundException");
    assert_eq!(code(&kms().ssekms_encryption_context("%").send().await.unwrap_err()), "InvalidArgument");
    assert_eq!(code(&put().ssekms_key_id("nope").send().await.unwrap_err()), "InvalidArgument");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_parts_are_refused_by_name() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("refuse").send().await.unwrap();
    assert_eq!(code(&client.create_bucket().bucket("Refuse").send().await.unwrap_err()), "InvalidBucketName");
    let missing = client.get_object().bucket("refuse").key("nope").send().await.unwrap_err();
    assert_eq!(code(&missing), "NoSuchKey");
    let bucket = client.list_objects_v2().bucket("not-there").send().await.unwrap_err();
    assert_eq!(code(&bucket), "NoSuchBucket");
    let long = client.put_object().bucket("refuse").key("k".repeat(1025)).send().await.unwrap_err();
    assert_eq!(code(&long), "KeyTooLongError");
    for key in [
        "a//b",
        "../x",
        "a/../b",
        "with space",
        "plus+plus",
        "ünï/çødé",
        "100%",
        "q?a=b&c#d",
        &"k".repeat(1024),
    ] {
        let body = content(100, 1);
        client
            .put_object()
            .bucket("refuse")
            .key(key)
            .body(ByteStream::from(body.clone()))
            .send()
            .await
            .unwrap();
        let read = client.get_object().bucket("refuse").key(key).send().await.unwrap();
        assert_eq!(read.body.collect().await.unwrap().into_bytes(), body, "{key}");
        let listed = client.list_objects_v2().bucket("refuse").prefix(key).send().await.unwrap();
        assert_eq!(listed.contents()[0].key(), Some(key));
    }
    client.put_object().bucket("refuse").key("full").send().await.unwrap();
    assert_eq!(code(&client.delete_bucket().bucket("refuse").send().await.unwrap_err()), "BucketNotEmpty");

    let upload =
        client.create_multipart_upload().bucket("refuse").key("m").send().await.unwrap().upload_id.unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let part = client.upload_part().bucket("refuse").key("m").upload_id(&upload).part_number(number);
        let part = part.body(ByteStream::from(content(1000, 1))).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
    }
    let complete = |parts: Vec<CompletedPart>, upload: &str| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        client
            .complete_multipart_upload()
            .bucket("refuse")
            .key("m")
            .upload_id(upload)
            .multipart_upload(parts)
            .send()
    };
    assert_eq!(code(&complete(parts.clone(), &upload).await.unwrap_err()), "EntityTooSmall");
    let reversed = vec![parts[1].clone(), parts[0].clone()];
    assert_eq!(code(&complete(reversed, &upload).await.unwrap_err()), "InvalidPartOrder");
    let unknown = CompletedPart::builder().part_number(1).e_tag("\"0123\"").build();
    assert_eq!(code(&complete(vec![unknown], &upload).await.unwrap_err()), "InvalidPart");
    assert_eq!(code(&complete(parts.clone(), "0123").await.unwrap_err()), "NoSuchUpload");
    complete(vec![parts[0].clone()], &upload).await.unwrap();
    // Its first answer may have been lost: the same request again is answered as before.
    complete(vec![parts[0].clone()], &upload).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_and_never_a_success() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("refuse").send().await.unwrap();
    let website = WebsiteConfiguration::builder().build();
    let website = client.put_bucket_website().bucket("refuse").website_configuration(website);
    let refused = website.send().await.unwrap_err();
    assert_eq!(code(&refused), "NotImplemented");
    assert!(refused.message().unwrap().contains("PutBucketWebsite"), "{refused:?}");
    let appended =
        client.put_object().bucket("refuse").key("k").write_offset_bytes(0).send().await.unwrap_err();
    assert_eq!(code(&appended), "NotImplemented");
    // Reading what can't be set yet answers what AWS answers where nothing was set.
    assert!(client.get_bucket_logging().bucket("refuse").send().await.unwrap().logging_enabled.is_none());
    let website = client.get_bucket_website().bucket("refuse").send().await.unwrap_err();
    assert_eq!(code(&website), "NoSuchWebsiteConfiguration");
}
