//! Server access logging: what PutBucketLogging refuses, and what is delivered.

use conformance_tests::installed::run_python;
use conformance_tests::server::Server;

use super::logs::fields;

const SETTINGS: &str = r#"
import boto3, json
s3, iam = boto3.client("s3"), boto3.client("iam")
E = s3.exceptions.ClientError
for name in ("source", "target", "paid", "acls", "encrypted"):
    s3.create_bucket(Bucket=name)
s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="source")

def put(bucket, **more):
    enabled = {"TargetBucket": bucket, "TargetPrefix": "logs/", **more}
    return s3.put_bucket_logging(Bucket="source", BucketLoggingStatus={"LoggingEnabled": enabled})

def refused(code, text, bucket, **more):
    try:
        put(bucket, **more)
    except E as error:
        told = error.response["Error"]
        assert (told["Code"], text in told["Message"]) == (code, True), told
        return error.response
    raise SystemExit(f"{bucket} was taken")

INVALID = "InvalidTargetBucketForLogging"
refused(INVALID, "does not exist", "absent-bucket")
s3.put_bucket_request_payment(Bucket="paid", RequestPaymentConfiguration={"Payer": "Requester"})
refused(INVALID, "Requester Pays", "paid")
s3.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration={
    "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}})
refused(INVALID, "retention", "locked")
owner = s3.list_buckets()["Owner"]["ID"]
grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner}, "Permission": "READ"}]
refused("AccessControlListNotSupported", "Target grants not allowed for bucket owner enforced buckets", "target", TargetGrants=grants)
kms = boto3.client("kms")
key = kms.create_key()["KeyMetadata"]["Arn"]
s3.put_bucket_encryption(Bucket="encrypted", ServerSideEncryptionConfiguration={"Rules": [
    {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}]})
refused(INVALID, "KMS key", "encrypted")
policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
policy["Statement"].append({"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
    "Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Resource": "*"})
kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
put("encrypted")
s3.put_bucket_ownership_controls(Bucket="acls", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
refused(INVALID, "log-delivery group", "acls")
s3.put_bucket_acl(Bucket="acls", ACL="log-delivery-write")
put("acls", TargetGrants=grants)
told = s3.get_bucket_logging(Bucket="source")["LoggingEnabled"]
assert told["TargetGrants"][0]["Grantee"]["ID"] == owner and "TargetObjectKeyFormat" not in told, told
by_event = {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}
put("target", TargetObjectKeyFormat=by_event)
told = s3.get_bucket_logging(Bucket="source")["LoggingEnabled"]
assert told == {"TargetBucket": "target", "TargetPrefix": "logs/", "TargetObjectKeyFormat": by_event}, told
s3.put_bucket_logging(Bucket="source", BucketLoggingStatus={})
assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="source")
"#;

#[test]
fn targets_that_logs_can_not_go_to_are_refused() {
    let server = Server::start().unwrap();
    run_python(&server.endpoint, SETTINGS).unwrap();
    // Of another account.
    let other = server.create_account("other").unwrap();
    let script = format!(
        r#"
import boto3
other = boto3.client("s3", aws_access_key_id="{}", aws_secret_access_key="{}")
other.create_bucket(Bucket="others")
s3 = boto3.client("s3")
try:
    s3.put_bucket_logging(Bucket="source", BucketLoggingStatus={{"LoggingEnabled": {{"TargetBucket": "others", "TargetPrefix": ""}}}})
    raise SystemExit("taken")
except s3.exceptions.ClientError as error:
    told = error.response["Error"]
    assert told["Code"] == "InvalidTargetBucketForLogging", told
    assert told["Message"] == "The owner for the bucket to be logged and the target bucket must be the same.", told
"#,
        other.access_key_id, other.secret_access_key
    );
    run_python(&server.endpoint, &script).unwrap();
}

const LOGGED: &str = r#"
import boto3, json
s3 = boto3.client("s3")
account = boto3.client("sts").get_caller_identity()["Account"]
formats = {"simple": {"SimplePrefix": {}},
    "delivery": {"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}},
    "event": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}}
s3.create_bucket(Bucket="target")
s3.put_bucket_policy(Bucket="target", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
     "Resource": "arn:aws:s3:::target/*",
     "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source-*"}, "StringEquals": {"aws:SourceAccount": account}}}]}))
for name, format in [*formats.items(), ("foreign", None)]:
    bucket = f"source-{name}" if format else name
    s3.create_bucket(Bucket=bucket)
    enabled = {"TargetBucket": "target", "TargetPrefix": f"{name}/"}
    if format:
        enabled["TargetObjectKeyFormat"] = format
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})
    for key in ("one", "two", "three"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 10)
    s3.get_object(Bucket=bucket, Key="one")["Body"].read()
    try:
        s3.get_object(Bucket=bucket, Key="absent")
    except s3.exceptions.NoSuchKey:
        pass
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "two"}, {"Key": "three"}]})
print(account)
"#;

const DELIVERED: &str = r#"
import boto3
s3 = boto3.client("s3")
for one in s3.list_objects_v2(Bucket="target").get("Contents", []):
    got = s3.get_object(Bucket="target", Key=one["Key"])
    assert got["ServerSideEncryption"] == "AES256"
    for line in got["Body"].read().decode().splitlines():
        print(one["Key"] + "\t" + line)
"#;

#[test]
fn records_are_delivered_in_each_format_and_none_is_lost_at_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_on(&data, &[]).unwrap();
    let account = run_python(&server.endpoint, LOGGED).unwrap();
    let account = account.trim();
    // By default the records would be delivered minutes later; a stop delivers them.
    assert_eq!(server.stop().unwrap(), Some(0));
    let server = Server::start_on(&data, &[]).unwrap();
    let delivered = run_python(&server.endpoint, DELIVERED).unwrap();
    let of = |prefix: &str| -> Vec<(&str, Vec<String>)> {
        let lines = delivered.lines().filter(|line| line.starts_with(prefix));
        lines.map(|line| line.split_once('\t').map(|(name, line)| (name, fields(line))).unwrap()).collect()
    };
    for name in ["simple", "delivery", "event"] {
        let all = of(&format!("{name}/"));
        let count = |operation: &str| all.iter().filter(|(_, line)| line[6] == operation).count();
        assert_eq!(count("REST.PUT.OBJECT"), 3, "{name}: {delivered}");
        assert_eq!(count("REST.GET.OBJECT"), 2, "{name}");
        assert_eq!(count("REST.POST.MULTI_OBJECT_DELETE"), 1, "{name}");
        assert_eq!(count("BATCH.DELETE.OBJECT"), 2, "{name}");
        assert!(all.iter().all(|(_, line)| line.len() == 27 && line[1] == format!("source-{name}")));
        let absent = all.iter().find(|(_, line)| line[7] == "absent").unwrap();
        assert_eq!((absent.1[9].as_str(), absent.1[10].as_str()), ("404", "NoSuchKey"));
        let object = all[0].0.strip_prefix(name).unwrap();
        let file = object.rsplit('/').next().unwrap();
        // YYYY-MM-DD-hh-mm-ss-UniqueString
        assert_eq!((file.len(), file.matches('-').count()), (36, 6), "{object}");
        let partition = format!("/{account}/us-east-1/source-{name}/{}/", file[..10].replace('-', "/"));
        match name {
            "simple" => assert_eq!(object, format!("/{file}")),
            _ => assert_eq!(object, format!("{partition}{file}")),
        }
        assert_eq!(&file[10..19] == "-00-00-00", name == "event", "{file}");
    }
    assert!(of("foreign/").is_empty(), "the policy allows only source-*: {delivered}");
}

const COPIES: &str = r#"
import boto3, json
s3, kms = boto3.client("s3"), boto3.client("kms")
key = kms.create_key()["KeyMetadata"]["Arn"]
service = {"Service": "logging.s3.amazonaws.com"}
policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
policy["Statement"].append({"Effect": "Allow", "Principal": service, "Action": "kms:GenerateDataKey*", "Resource": "*"})
kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
for name in ("target", "from", "into"):
    s3.create_bucket(Bucket=name)
s3.put_bucket_encryption(Bucket="target", ServerSideEncryptionConfiguration={"Rules": [
    {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}]})
s3.put_bucket_policy(Bucket="target", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::target/*"}]}))
for name in ("target", "from", "into"):
    enabled = {"TargetBucket": "target", "TargetPrefix": f"{name}/"}
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus={"LoggingEnabled": enabled})
s3.put_object(Bucket="from", Key="a one", Body=b"x" * 10)
s3.get_object(Bucket="from", Key="a one", Range="bytes=2-4")["Body"].read()
s3.get_object(Bucket="from", Key="a one")["Body"].read()
s3.copy_object(Bucket="into", Key="two", CopySource={"Bucket": "from", "Key": "a one"})
try:
    s3.copy_object(Bucket="into", Key="two", CopySource={"Bucket": "from", "Key": "absent"})
except s3.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchKey", error
upload = s3.create_multipart_upload(Bucket="into", Key="parts")["UploadId"]
s3.upload_part_copy(Bucket="into", Key="parts", UploadId=upload, PartNumber=1, CopySource="from/a one")
print(key)
"#;

const UNDER_KMS: &str = r#"
import boto3
s3 = boto3.client("s3")
for one in s3.list_objects_v2(Bucket="target").get("Contents", []):
    got = s3.get_object(Bucket="target", Key=one["Key"])
    assert got["ServerSideEncryption"] == "aws:kms", got
    for line in got["Body"].read().decode().splitlines():
        print("\t".join([one["Key"], got["SSEKMSKeyId"], line]))
"#;

#[test]
fn copies_and_deliveries_have_their_records_and_a_target_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let arguments = ["--bucket-log-interval-s", "1", "--audit-log", audit.to_str().unwrap()];
    let mut server = Server::start_on(&folder.path().join("data"), &arguments).unwrap();
    let key = run_python(&server.endpoint, COPIES).unwrap();
    let began = std::time::Instant::now();
    // Object, its key, and the record's fields.
    let records = loop {
        let delivered = run_python(&server.endpoint, UNDER_KMS).unwrap();
        let records: Vec<(String, String, Vec<String>)> = delivered
            .lines()
            .map(|line| {
                let mut parts = line.splitn(3, '\t').map(str::to_owned);
                (parts.next().unwrap(), parts.next().unwrap(), fields(&parts.next().unwrap()))
            })
            .collect();
        let has = |prefix: &str, operation: &str| {
            records.iter().any(|(name, _, line)| name.starts_with(prefix) && line[6] == operation)
        };
        let of_delivery = records
            .iter()
            .any(|(name, _, line)| name.starts_with("target/") && line[4] == "svc:logging.s3.amazonaws.com");
        if has("from/", "REST.COPY.PART_GET") && has("into/", "REST.COPY.PART") && of_delivery {
            break records;
        }
        assert!(began.elapsed().as_secs() < 60, "{delivered}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    assert!(records.iter().all(|(_, of, line)| of == key.trim() && line.len() == 27), "{records:?}");
    let find = |bucket: &str, operation: &str, status: &str| {
        let found = records
            .iter()
            .find(|(_, _, line)| line[1] == bucket && line[6] == operation && line[9] == status);
        found.unwrap_or_else(|| panic!("no {operation} {status}: {records:?}")).2.clone()
    };
    let read = find("from", "REST.COPY.OBJECT_GET", "200");
    assert_eq!((read[7].as_str(), read[8].as_str(), read[10].as_str()), ("a%20one", "-", "-"), "{read:?}");
    // Bytes sent, of the object, and times: it was no answer of its own.
    assert_eq!(read[11..15], ["-", "10", "-", "-"], "{read:?}");
    assert!(read[0].len() == 64 && read[0] == read[4] && read[19] == "SigV4", "{read:?}");
    let absent = find("from", "REST.COPY.OBJECT_GET", "404");
    assert_eq!((absent[7].as_str(), absent[10].as_str()), ("absent", "NoSuchKey"), "{absent:?}");
    assert_eq!(find("from", "REST.COPY.PART_GET", "200")[5], find("into", "REST.COPY.PART", "200")[5]);
    assert_eq!(find("into", "REST.COPY.OBJECT", "200")[7], "two");
    // A part of an object, and all of it.
    assert_eq!(find("from", "REST.GET.OBJECT", "206")[11..13], ["3", "10"]);
    assert_eq!(find("from", "REST.GET.OBJECT", "200")[11..13], ["10", "10"]);
    let own =
        records.iter().find(|(_, _, line)| line[4] == "svc:logging.s3.amazonaws.com").unwrap().2.clone();
    assert_eq!((own[1].as_str(), own[6].as_str()), ("target", "REST.PUT.OBJECT"), "{own:?}");
    assert!(records.iter().any(|(name, _, _)| *name == own[7].replace("%20", " ")), "{own:?}");
    assert_eq!(server.stop().unwrap(), Some(0));
    let text = std::fs::read_to_string(&audit).unwrap();
    let of_service = text.lines().find(|line| line.contains("PutObject") && line.contains("AWSService"));
    let line: serde_json::Value = serde_json::from_str(of_service.expect(&text)).unwrap();
    assert_eq!(line["userIdentity"]["invokedBy"], "logging.s3.amazonaws.com", "{line}");
}

#[test]
fn records_are_delivered_within_the_time_that_is_set() {
    let server = Server::start_with(&["--bucket-log-interval-s", "1"]).unwrap();
    run_python(&server.endpoint, LOGGED).unwrap();
    let began = std::time::Instant::now();
    loop {
        let delivered = run_python(&server.endpoint, DELIVERED).unwrap();
        if delivered.contains("BATCH.DELETE.OBJECT") {
            break;
        }
        assert!(began.elapsed().as_secs() < 60, "{delivered}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
