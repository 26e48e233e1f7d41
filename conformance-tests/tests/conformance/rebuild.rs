//! A catalog that is lost is made again from blobs and key store: record for record what it was.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, MetadataDirective, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use conformance_tests::server::Server;

use super::client::{client, content};

const PART_LEN: usize = 5 << 20;

/// The catalog's dump as sorted lines, without the times at which records were stamped and an
/// upload's count of replaced parts, which only tells writers of it apart.
fn dump(server: &Server, name: &str) -> Vec<String> {
    let path = server.data.with_file_name(name);
    let exported = server.command(&["export", path.to_str().unwrap()]).unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(without_stamp).collect();
    lines.sort_unstable();
    lines
}

fn without_stamp(line: &str) -> String {
    let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
    for kind in ["bucket", "version", "noncurrent", "upload", "part"] {
        if let Some(record) = line.pointer_mut(&format!("/{kind}/record")) {
            let record = record.as_object_mut().unwrap();
            record.remove("stamp_us");
            record.remove("replacements");
            // What an upload was begun over is known to its record alone.
            if let Some(attributes) = record.get_mut("attributes").and_then(|found| found.as_object_mut()) {
                attributes.remove("precursor");
            }
        }
    }
    line.to_string()
}

/// Versions, delete markers, changes in place of versions that are not current, and what was renamed.
async fn versions(s3: &Client) {
    let bucket = "rebuild-versions";
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    let put = |key: &str, len| {
        let (key, body) = (key.to_owned(), ByteStream::from(content(len, 5)));
        async move { s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap() }
    };
    put("before", 10).await;
    put("was", 20).await;
    s3.rename_object().bucket(bucket).key("is").rename_source("was").send().await.unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await.unwrap();
    let mut ids = Vec::new();
    for len in [100, 200_000, 300] {
        ids.extend(put("before", len).await.version_id);
    }
    let tags =
        Tagging::builder().tag_set(Tag::builder().key("a").value("b").build().unwrap()).build().unwrap();
    let tagged = s3.put_object_tagging().bucket(bucket).key("before").version_id(&ids[1]).tagging(tags);
    tagged.send().await.unwrap();
    s3.delete_object().bucket(bucket).key("before").send().await.unwrap();
    put("marked", 1).await;
    s3.delete_object().bucket(bucket).key("marked").send().await.unwrap();
    put("marked", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_catalog_is_the_one_that_was_lost() {
    if Server::skips("a catalog is made again from blobs of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    for bucket in ["one", "two", "gone"].map(|name| format!("rebuild-{name}")) {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    s3.delete_bucket().bucket("rebuild-gone").send().await.unwrap();
    let by_default = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::AwsKms);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default.build().unwrap())
        .bucket_key_enabled(true);
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule.build()).build().unwrap();
    let put = s3.put_bucket_encryption().bucket("rebuild-two");
    put.server_side_encryption_configuration(configuration).send().await.unwrap();
    for (n, len) in [0, 1, 5000, 200_000, 1_000_000].into_iter().enumerate() {
        for bucket in ["rebuild-one", "rebuild-two"] {
            for key in [format!("folder/ü {n}"), format!("deleted/{n}")] {
                let body = ByteStream::from(content(len, n as u64));
                let put = s3.put_object().bucket(bucket).key(key).metadata("colour", "blue").body(body);
                put.content_language("en").send().await.unwrap();
            }
            s3.delete_object().bucket(bucket).key(format!("deleted/{n}")).send().await.unwrap();
        }
        // Overwritten, and changed in place.
        let put = s3.put_object().bucket("rebuild-one").key("same").body(content(len, 77).into());
        put.send().await.unwrap();
        let copy = s3.copy_object().bucket("rebuild-one").key("same").copy_source("rebuild-one/same");
        let copy = copy.metadata_directive(MetadataDirective::Replace).metadata("n", n.to_string());
        copy.send().await.unwrap();
    }
    versions(&s3).await;
    for complete in [true, false] {
        let key = format!("multipart-{complete}");
        let created = s3.create_multipart_upload().bucket("rebuild-two").key(&key).send().await.unwrap();
        let upload = created.upload_id.unwrap();
        let mut parts = Vec::new();
        for (number, len) in [(1, PART_LEN), (2, PART_LEN), (2, PART_LEN + 1), (3, 100)] {
            let part = s3.upload_part().bucket("rebuild-two").key(&key).upload_id(&upload);
            let part =
                part.part_number(number).body(content(len, number as u64).into()).send().await.unwrap();
            parts.retain(|p: &CompletedPart| p.part_number() != Some(number));
            let part = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
            parts.push(part.build());
        }
        if complete {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let complete = s3.complete_multipart_upload().bucket("rebuild-two").key(&key);
            complete.upload_id(&upload).multipart_upload(parts).send().await.unwrap();
        }
    }
    // What was displaced is reclaimed after a grace of five seconds: until then its blobs still tell of it.
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let before = dump(&server, "before.jsonl");
    assert!(before.len() > 20, "{before:#?}");
    let catalog = server.data.join("catalog");
    std::fs::rename(&catalog, server.data.with_file_name("catalog.old")).unwrap();
    let rebuilt = server.command(&["rebuild"]).unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let after = dump(&server, "after.jsonl");
    for line in &before {
        assert!(after.contains(line), "lost: {line}");
    }
    for line in &after {
        assert!(before.contains(line), "made up: {line}");
    }
    let checked = server.command(&["check"]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
