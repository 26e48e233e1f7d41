//! Conditional writes and reads; racing writers, of whom exactly one wins.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, VersioningConfiguration,
};
use conformance_tests::server::Server;

use super::client::{client, content};

#[tokio::test(flavor = "multi_thread")]
async fn of_64_racing_writers_exactly_one_wins() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("race").send().await.unwrap();
    for round in 0..3 {
        let key = format!("k{round}");
        let writers: Vec<_> = (0..64)
            .map(|n| {
                let (client, key) = (client.clone(), key.clone());
                tokio::spawn(async move {
                    let put = client.put_object().bucket("race").key(key).if_none_match("*");
                    put.body(ByteStream::from(content(1000, n))).send().await
                })
            })
            .collect();
        let mut won = 0;
        for writer in writers {
            match writer.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => {
                    let status = error.raw_response().unwrap().status().as_u16();
                    assert!([409, 412].contains(&status), "{error:?}");
                }
            }
        }
        assert_eq!(won, 1);

        let etag = client.head_object().bucket("race").key(&key).send().await.unwrap().e_tag.unwrap();
        let writers: Vec<_> = (0..64)
            .map(|n| {
                let (client, key, etag) = (client.clone(), key.clone(), etag.clone());
                tokio::spawn(async move {
                    let put = client.put_object().bucket("race").key(key).if_match(etag);
                    put.body(ByteStream::from(content(2000, n))).send().await.is_ok()
                })
            })
            .collect();
        let mut won = 0;
        for writer in writers {
            won += usize::from(writer.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_answer_as_aws_does() {
    let server = Server::start().unwrap();
    let client = client(&server);
    client.create_bucket().bucket("cond").send().await.unwrap();
    let put = client.put_object().bucket("cond").key("k").body(ByteStream::from_static(b"one"));
    let etag = put.send().await.unwrap().e_tag.unwrap();
    let get = || client.get_object().bucket("cond").key("k");
    let status = |error: &dyn Fn() -> u16| error();
    let not_modified = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(status(&|| not_modified.raw_response().unwrap().status().as_u16()), 304);
    let failed = get().if_match("\"other\"").send().await.unwrap_err();
    assert_eq!(status(&|| failed.raw_response().unwrap().status().as_u16()), 412);
    get().if_match(&etag).if_none_match("\"other\"").send().await.unwrap();
    let absent = client.put_object().bucket("cond").key("absent").if_match(&etag).send().await.unwrap_err();
    assert_eq!(absent.raw_response().unwrap().status().as_u16(), 404);
    let unsatisfiable = get().range("bytes=3-").send().await.unwrap_err();
    assert_eq!(unsatisfiable.raw_response().unwrap().status().as_u16(), 416);
    assert_eq!(unsatisfiable.raw_response().unwrap().headers().get("content-range"), Some("bytes */3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_copies_completions_and_deletions_exactly_one_wins() {
    let server = Server::start().unwrap();
    let client = client(&server);
    for (name, versioned) in [("plain", false), ("versioned", true)] {
        client.create_bucket().bucket(name).send().await.unwrap();
        if versioned {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            client
                .put_bucket_versioning()
                .bucket(name)
                .versioning_configuration(enabled)
                .send()
                .await
                .unwrap();
        }
        let put = client.put_object().bucket(name).key("source").body(ByteStream::from(content(1000, 1)));
        let etag = put.send().await.unwrap().e_tag.unwrap();

        let mut racing = tokio::task::JoinSet::new();
        for number in 0..64 {
            let client = client.clone();
            racing.spawn(async move {
                if number % 2 == 0 {
                    let copy =
                        client.copy_object().bucket(name).key("target").copy_source(format!("{name}/source"));
                    return copy.if_none_match("*").send().await.is_ok();
                }
                let of = |key: &str| (name.to_owned(), key.to_owned());
                let (bucket, key) = of("target");
                let upload = client
                    .create_multipart_upload()
                    .bucket(&bucket)
                    .key(&key)
                    .send()
                    .await
                    .unwrap()
                    .upload_id
                    .unwrap();
                let part = client.upload_part().bucket(&bucket).key(&key).upload_id(&upload).part_number(1);
                let part = part.body(ByteStream::from_static(b"part")).send().await.unwrap();
                let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
                let parts = CompletedMultipartUpload::builder().parts(part).build();
                let complete = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload);
                complete.multipart_upload(parts).if_none_match("*").send().await.is_ok()
            });
        }
        assert_eq!(racing.join_all().await.into_iter().filter(|won| *won).count(), 1, "{name}");

        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (client, etag) = (client.clone(), etag.clone());
            racing.spawn(async move {
                client.delete_object().bucket(name).key("source").if_match(etag).send().await.is_ok()
            });
        }
        assert_eq!(racing.join_all().await.into_iter().filter(|won| *won).count(), 1, "{name}");
    }
}
