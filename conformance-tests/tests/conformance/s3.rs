//! Versions, locks, tags, access and rules, asked with boto3.

use conformance_tests::installed;
use conformance_tests::server::Server;

#[test]
fn s3_answers_as_its_documentation_says() {
    let server = Server::start().unwrap();
    installed::run_python(&server.endpoint, include_str!("../../clients/s3.py")).unwrap();
}

#[test]
fn lifecycle_rules_expire_what_they_say_and_nothing_else() {
    let arguments = ["--lifecycle-day-s", "3", "--lifecycle-interval-s", "1"];
    let server = Server::start_with(&arguments).unwrap();
    installed::run_python(&server.endpoint, include_str!("../../clients/lifecycle.py")).unwrap();
}

/// An object that is overwritten leaves its annotations behind; they are found at the next start.
#[test]
fn annotations_of_no_object_are_swept() {
    if Server::skips("it takes records away from a data folder by its dump") {
        return;
    }
    let mut server = Server::start().unwrap();
    let script = r#"
import boto3
s3 = boto3.client("s3")
at = {"Bucket": "swept"}
s3.create_bucket(**at)
for key in ["kept", "overwritten"]:
    s3.put_object(**at, Key=key, Body=b"x")
    s3.put_object_annotation(**at, Key=key, AnnotationName="n", AnnotationPayload=b"of " + key.encode())
s3.put_object(**at, Key="overwritten", Body=b"y")
"#;
    installed::run_python(&server.endpoint, script).unwrap();
    let count = |server: &Server, name: &str| {
        let path = server.data.with_file_name(name);
        let exported = server.command(&["export", path.to_str().unwrap()]).unwrap();
        assert!(exported.status.success());
        std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains("{\"version\":")).count()
    };
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_eq!(count(&server, "before.jsonl"), 4);
    server.restart().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_eq!(count(&server, "after.jsonl"), 3);
}

#[test]
fn new_buckets_may_block_sse_c() {
    let server = Server::start_with(&["--sse-c-new-buckets", "block"]).unwrap();
    let script = r#"
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
at = {"Bucket": "blocking"}
customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
s3.create_bucket(**at)
rule = s3.get_bucket_encryption(**at)["ServerSideEncryptionConfiguration"]["Rules"][0]
assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}, rule
try:
    s3.put_object(**at, Key="k", Body=b"x", **customer)
    raise SystemExit("SSE-C is blocked")
except ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDenied", error
allowed = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}
s3.put_bucket_encryption(**at, ServerSideEncryptionConfiguration=allowed)
s3.put_object(**at, Key="k", Body=b"x", **customer)
"#;
    installed::run_python(&server.endpoint, script).unwrap();
}
