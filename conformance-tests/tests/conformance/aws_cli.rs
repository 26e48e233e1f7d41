//! The real AWS CLI, against the gateway.

use std::path::Path;
use std::process::{Command, Output};

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};

fn environment(command: &mut Command, server: &Server) {
    command
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_CONFIG_FILE", "config")
        .env("AWS_EC2_METADATA_DISABLED", "true");
}

struct Shell<'a> {
    server: &'a Server,
    folder: &'a Path,
}

impl Shell<'_> {
    fn output(&self, line: &str) -> Output {
        let mut command = Command::new("bash");
        let path = format!("{}:{}", installed::python().unwrap().display(), std::env::var("PATH").unwrap());
        command.args(["-euo", "pipefail", "-c", line]).current_dir(self.folder).env("PATH", path);
        environment(&mut command, self.server);
        // Version 1 of the CLI presigns with Signature Version 2 unless it is told otherwise; version 2 does not.
        std::fs::write(self.folder.join("config"), "[default]\ns3 =\n    signature_version = s3v4\n")
            .unwrap();
        command.output().unwrap()
    }

    fn run(&self, line: &str) -> String {
        let output = self.output(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn a_day_with_the_cli() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    shell.run("mkdir tree && for i in 1 2 3; do head -c ${i}0000 /dev/urandom > tree/f$i; done");
    shell.run("head -c 20000000 /dev/urandom > large && head -c 32 /dev/urandom > customer.key");
    shell.run("aws s3 mb s3://cli-bucket");
    assert!(shell.run("aws s3 ls").contains("cli-bucket"));
    for (name, write, read) in [
        ("default", "", ""),
        ("sse-s3", "--sse AES256", ""),
        ("sse-kms", "--sse aws:kms", ""),
        (
            "sse-c",
            "--sse-c AES256 --sse-c-key fileb://customer.key",
            "--sse-c AES256 --sse-c-key fileb://customer.key",
        ),
    ] {
        for file in ["large", "tree/f1"] {
            shell.run(&format!("aws s3 cp {file} s3://cli-bucket/{name}/{file} {write} --quiet"));
            shell.run(&format!(
                "aws s3 cp s3://cli-bucket/{name}/{file} back {read} --quiet && cmp {file} back"
            ));
        }
    }
    shell.run(
        "aws s3 sync tree s3://cli-bucket/tree --quiet && aws s3 sync s3://cli-bucket/tree again --quiet",
    );
    shell.run("diff -r tree again");
    assert_eq!(shell.run("aws s3 sync tree s3://cli-bucket/tree"), "", "a second sync has nothing to do");
    let listed = shell.run("aws s3 ls s3://cli-bucket/ --recursive");
    assert_eq!(listed.lines().count(), 11, "{listed}");
    shell.run("curl --fail --silent --show-error \"$(aws s3 presign s3://cli-bucket/tree/f2)\" > back && cmp tree/f2 back");
    shell.run("aws s3 cp s3://cli-bucket/sse-kms/large s3://cli-bucket/copied --quiet");
    shell.run("aws s3 cp s3://cli-bucket/copied back --quiet && cmp large back");

    for mode in ["AES256", "aws:kms", "aws:kms:dsse"] {
        let put = format!(
            "aws s3api put-object --bucket cli-bucket --key {mode} --body tree/f3 --server-side-encryption {mode}"
        );
        assert!(shell.run(&put).contains(&format!("\"ServerSideEncryption\": \"{mode}\"")));
        shell.run(&format!("aws s3api get-object --bucket cli-bucket --key {mode} back && cmp tree/f3 back"));
    }
    shell.run(
        "aws s3api put-bucket-encryption --bucket cli-bucket --server-side-encryption-configuration \
         '{\"Rules\":[{\"ApplyServerSideEncryptionByDefault\":{\"SSEAlgorithm\":\"aws:kms\"},\"BucketKeyEnabled\":true}]}'",
    );
    let put = shell.run("aws s3api put-object --bucket cli-bucket --key bybucket --body tree/f3");
    assert!(put.contains("\"BucketKeyEnabled\": true"), "{put}");
    shell.run("aws s3 cp s3://cli-bucket/bybucket back --quiet && cmp tree/f3 back");

    let key = shell.run("aws kms create-key --query KeyMetadata.KeyId --output text").trim().to_owned();
    shell.run(&format!("aws kms create-alias --alias-name alias/mine --target-key-id {key}"));
    shell.run("aws s3 cp tree/f1 s3://cli-bucket/mine --sse aws:kms --sse-kms-key-id alias/mine --quiet");
    shell.run(&format!("aws kms disable-key --key-id {key}"));
    let refused = shell.output("aws s3 cp s3://cli-bucket/mine back");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("KMS.DisabledException"));
    shell.run(&format!("aws kms enable-key --key-id {key}"));
    shell.run("aws s3 cp s3://cli-bucket/mine back --quiet && cmp tree/f1 back");

    shell.run("aws s3 rm s3://cli-bucket --recursive --quiet && aws s3 rb s3://cli-bucket");
    assert!(!shell.run("aws s3 ls").contains("cli-bucket"));
}

/// The lines that README tells a newcomer to paste.
#[test]
fn the_lines_of_the_readme_work() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(&readme).unwrap();
    let blocks: Vec<&str> =
        text.split("```sh run\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "README has no lines to run");
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&readme, folder.path().join("README.md")).unwrap();
    Shell { server: &server, folder: folder.path() }.run(&blocks.join("\n"));
}
