//! KMS with boto3, and client-side encryption with the real clients: the scripts of `clients/`, against a gateway each.

use std::path::Path;
use std::process::Command;

use conformance_tests::python;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};

fn run(script: &str) {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python::programs().unwrap().join("python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script))
        .current_dir(folder.path())
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_CONFIG_FILE", "none")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_operation_with_boto3() {
    run("kms.py");
}

#[test]
fn client_side_encryption_with_the_real_clients() {
    run("cse.py");
}
