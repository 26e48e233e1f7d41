//! The real AWS CLI, against the gateway.

use conformance_tests::server::Server;

use crate::shell::Shell;

#[test]
fn a_day_with_the_cli() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(&server, folder.path());
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
