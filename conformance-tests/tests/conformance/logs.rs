//! What is written down of requests: the access log in both formats, the chained audit at its file and its webhook, live requests.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use conformance_tests::installed::run_python;
use conformance_tests::server::{Server, binary};
use rustix::process::Signal;
use serde_json::Value;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

const REQUESTS: &str = r#"
import boto3, urllib.request, urllib.error, os
s3 = boto3.client("s3")
s3.create_bucket(Bucket="logged")
s3.put_object(Bucket="logged", Key='a "b"/c d', Body=b"x" * 5000)
s3.get_object(Bucket="logged", Key='a "b"/c d')["Body"].read()
url = s3.generate_presigned_url("get_object", Params={"Bucket": "logged", "Key": 'a "b"/c d'})
urllib.request.urlopen(url).read()
try:
    s3.get_object(Bucket="logged", Key="absent")
except s3.exceptions.NoSuchKey:
    pass
try:
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/logged", headers={"User-Agent": 'evil "agent"'}))
except urllib.error.HTTPError:
    pass
"#;

#[test]
fn every_request_has_its_line_and_a_rotation_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let mut server = Server::start_with(&["--access-log", log.to_str().unwrap()]).unwrap();
    run_python(&server.endpoint, REQUESTS).unwrap();
    let all = wait_for("the last request", || Some(lines(&log)).filter(|all| all.len() >= 6));
    let find = |operation: &str, status: u64| {
        let found = all.iter().find(|line| line["operation"] == operation && line["status"] == status);
        found.unwrap_or_else(|| panic!("no {operation} {status}: {all:?}"))
    };
    let put = find("PutObject", 200);
    assert_eq!((put["bucket"].as_str(), put["key"].as_str()), (Some("logged"), Some("a \"b\"/c d")));
    assert_eq!((put["object_size"].as_u64(), put["sse"].as_str()), (Some(5000), Some("AES256")));
    assert!(put["bytes_received"].as_u64() >= Some(5000) && put["duration_us"].as_u64() > Some(0), "{put}");
    assert!(put["requester"].as_str().unwrap().ends_with(":root") && put["request_id"].is_string());
    let gets: Vec<_> =
        all.iter().filter(|line| line["operation"] == "GetObject" && line["status"] == 200).collect();
    assert_eq!(gets[0]["bytes_sent"], 5000);
    assert_eq!(gets[0]["authentication_type"], "AuthHeader");
    assert_eq!(gets[1]["authentication_type"], "QueryString");
    let uri = gets[1]["uri"].as_str().unwrap();
    assert!(uri.contains("Signature=REDACTED"), "a log must not open anything: {uri}");
    assert_eq!(find("GetObject", 404)["error_code"], "NoSuchKey");
    let refused = find("ListObjects", 403);
    assert_eq!(refused["error_code"], "AccessDenied");
    assert!(refused.get("requester").is_none() && refused["user_agent"] == "evil \"agent\"");

    let moved = folder.path().join("access.1");
    fs::rename(&log, &moved).unwrap();
    server.signal(Signal::USR1).unwrap();
    wait_for("the new file", || {
        run_python(&server.endpoint, "import boto3; boto3.client('s3').list_buckets()").unwrap();
        log.exists().then_some(())
    });
    assert_eq!(server.stop().unwrap(), Some(0));
    let after = lines(&log);
    assert!(after.iter().any(|line| line["operation"] == "ListBuckets"), "{after:?}");
    assert!(lines(&moved).len() >= all.len());
}

#[test]
fn lines_in_the_format_of_s3() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let arguments = ["--access-log", log.to_str().unwrap(), "--access-log-format", "s3"];
    let mut server = Server::start_with(&arguments).unwrap();
    run_python(&server.endpoint, REQUESTS).unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));
    let text = fs::read_to_string(&log).unwrap();
    let all: Vec<Vec<String>> = text.lines().map(fields).collect();
    assert!(all.iter().all(|line| line.len() == 27), "a line has 27 fields: {text}");
    let find = |operation: &str, status: &str| {
        let found = all.iter().find(|line| line[6] == operation && line[9] == status);
        found.unwrap_or_else(|| panic!("no {operation} {status}: {text}"))
    };
    let put = find("REST.PUT.OBJECT", "200");
    // Owner and requester: the canonical id of the root user's account.
    assert!(put[0].len() == 64 && put[0] == put[4], "{put:?}");
    assert_eq!((put[1].as_str(), put[7].as_str()), ("logged", "a%20%22b%22/c%20d"));
    assert!(put[2].starts_with('[') && put[2].ends_with(" +0000]"), "{put:?}");
    assert_eq!((put[12].as_str(), put[19].as_str(), put[21].as_str()), ("5000", "SigV4", "AuthHeader"));
    assert!(put[8].starts_with("\"PUT /logged/") && put[8].ends_with(" HTTP/1.1\""), "{put:?}");
    assert_eq!(find("REST.GET.OBJECT", "404")[10], "NoSuchKey");
    assert_eq!(find("REST.GET.OBJECT", "200")[11], "5000");
    let nobody = find("REST.GET.BUCKET", "403");
    assert_eq!((nobody[4].as_str(), nobody[16].as_str()), ("-", "\"evil %22agent%22\""));
    assert_eq!(find("REST.PUT.BUCKET", "200")[7], "-");
}

/// The fields of a line: words, `[…]` and `"…"`.
pub fn fields(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let len = match rest.as_bytes()[0] {
            b'[' => rest.find(']').unwrap() + 1,
            b'"' => rest[1..].find('"').unwrap() + 2,
            _ => rest.find(' ').unwrap_or(rest.len()),
        };
        all.push(rest[..len].to_owned());
        rest = rest[len..].strip_prefix(' ').unwrap_or("");
    }
    all
}

fn verify(files: &[&Path]) -> (Option<i32>, String) {
    let output = Command::new(binary().unwrap()).args(["audit", "verify"]).args(files).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

const DECISIONS: &str = r#"
import boto3
s3, kms, iam, sts = (boto3.client(name) for name in ("s3", "kms", "iam", "sts"))
s3.create_bucket(Bucket="audited")
s3.put_object(Bucket="audited", Key="k", Body=b"x")
iam.create_user(UserName="alice")
key = iam.create_access_key(UserName="alice")["AccessKey"]
sts.get_caller_identity()
key_id = kms.create_key(Description="for the audit", Tags=[{"TagKey": "k", "TagValue": "v"}])["KeyMetadata"]["KeyId"]
kms.encrypt(KeyId=key_id, Plaintext=b"hush", EncryptionContext={"patient": "nobody else's business"})
kms.create_grant(KeyId=key_id, GranteePrincipal=iam.get_user(UserName="alice")["User"]["Arn"], Operations=["Decrypt"])
kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
trust = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}'
role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
alice_sts = boto3.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
session = alice_sts.assume_role(RoleArn=role, RoleSessionName="audited")["Credentials"]
s3.copy_object(Bucket="audited", Key="copied", CopySource="audited/k", StorageClass="STANDARD_IA")
alice = boto3.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
try:
    alice.get_object(Bucket="audited", Key="k")
except alice.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDenied", error
print(key["SecretAccessKey"], session["SecretAccessKey"], session["SessionToken"], "aHVzaA==", "nobody else's business", sep="\n")
"#;

#[test]
fn the_audit_is_one_chain_that_shows_what_was_done_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let data = folder.path().join("data");
    let arguments = ["--audit-log", log.to_str().unwrap()];
    let mut server = Server::start_on(&data, &arguments).unwrap();
    let secret = run_python(&server.endpoint, DECISIONS).unwrap();
    server.kill().unwrap();
    // A kill, a rotation and a stop later it is the same chain.
    let mut server = Server::start_on(&data, &arguments).unwrap();
    run_python(&server.endpoint, "import boto3; boto3.client('s3').list_buckets()").unwrap();
    let moved = folder.path().join("audit.1");
    fs::rename(&log, &moved).unwrap();
    server.signal(Signal::USR1).unwrap();
    wait_for("the new file", || log.exists().then_some(()));
    run_python(&server.endpoint, "import boto3; boto3.client('s3').list_buckets()").unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));

    let text = fs::read_to_string(&moved).unwrap();
    assert!(
        secret.lines().count() == 5 && secret.lines().all(|secret| !text.contains(secret)),
        "a secret was told"
    );
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |name: &str| {
        let found = events.iter().find(|event| event["eventName"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {text}"))
    };
    let put = find("PutObject");
    assert_eq!((&put["eventSource"], &put["awsRegion"]), (&"s3.amazonaws.com".into(), &"us-east-1".into()));
    assert_eq!(
        (&put["requestParameters"]["bucketName"], &put["requestParameters"]["key"]),
        (&"audited".into(), &"k".into())
    );
    assert_eq!(
        (&put["userIdentity"]["type"], &put["sourceIPAddress"]),
        (&"Root".into(), &"127.0.0.1".into())
    );
    assert_eq!(put["resources"][0]["ARN"], "arn:aws:s3:::audited/k");
    assert!(put["userAgent"].as_str().unwrap().contains("Boto3") && put["eventID"].is_string());
    let refused = find("GetObject");
    assert_eq!(
        (&refused["errorCode"], &refused["userIdentity"]["userName"]),
        (&"AccessDenied".into(), &"alice".into())
    );
    assert!(refused["errorMessage"].as_str().unwrap().contains("s3:GetObject"), "{refused}");
    assert_eq!(find("CreateUser")["requestParameters"]["userName"], "alice");
    assert_eq!(find("CreateUser")["eventSource"], "iam.amazonaws.com");
    assert_eq!(find("GetCallerIdentity")["eventSource"], "sts.amazonaws.com");
    for name in ["CreateKey", "Encrypt", "ScheduleKeyDeletion", "AssumeRole"] {
        assert_eq!(events.iter().filter(|event| event["eventName"] == name).count(), 1, "one line a call");
    }
    tells_what_was_asked_and_answered(find);

    let (code, told) = verify(&[&moved, &log]);
    assert_eq!(code, Some(0), "{told}");
    let whole: Vec<&str> = text.lines().collect();
    let tampered = folder.path().join("tampered");
    let judge = |lines: &[String], expected: &str| {
        fs::write(&tampered, lines.join("\n") + "\n").unwrap();
        let (code, told) = verify(&[&tampered, &log]);
        assert!(code == Some(1) && told.contains(expected), "{expected}: {told}");
    };
    let owned = || whole.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
    let mut removed = owned();
    removed.remove(3);
    judge(&removed, "1 lines before it are missing");
    let mut changed = owned();
    changed[3] = changed[3].replace("us-east-1", "us-west-1");
    judge(&changed, "tampered:4: changed");
    let mut moved_lines = owned();
    moved_lines.swap(3, 4);
    judge(&moved_lines, "out of order");
    let mut cut = owned();
    let half = cut[3].len() / 2;
    cut[3].truncate(half);
    judge(&cut, "changed or truncated");
    judge(&owned()[..whole.len() - 2], "lines before it are missing");
    // The end of the newest file is told beside it.
    let newest = fs::read_to_string(&log).unwrap();
    let mut kept: Vec<&str> = newest.lines().collect();
    kept.pop();
    fs::write(&log, kept.join("\n") + "\n").unwrap();
    let (code, told) = verify(&[&log]);
    assert!(code == Some(1) && told.contains("truncated: 1 lines are missing at the end"), "{told}");
}

/// Parameters and answers are as CloudTrail has them, but for secrets.
fn tells_what_was_asked_and_answered<'a>(find: impl Fn(&str) -> &'a Value) {
    const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
    let told = |name: &str| (&find(name)["requestParameters"], &find(name)["responseElements"]);
    let (asked, answered) = told("CreateKey");
    assert_eq!(asked["description"], "for the audit");
    assert_eq!(asked["tags"][0]["tagKey"], "k");
    let key_id = answered["keyMetadata"]["keyId"].as_str().unwrap();
    assert!(find("CreateKey")["userAgent"].as_str().unwrap().contains("Boto3"));
    let (asked, answered) = told("Encrypt");
    assert_eq!((&asked["keyId"], &asked["plaintext"]), (&key_id.into(), &HIDDEN.into()));
    assert_eq!((&asked["encryptionContext"]["patient"], answered), (&HIDDEN.into(), &Value::Null));
    let encrypted = find("Encrypt");
    assert!(encrypted["resources"][0]["ARN"].as_str().unwrap().ends_with(key_id), "{encrypted}");
    assert!(encrypted["additionalEventData"]["keyMaterialId"].is_string(), "{encrypted}");
    assert_eq!(encrypted["additionalEventData"]["encryptionContextNames"][0], "patient");
    assert!(encrypted["readOnly"] == true && find("CreateKey")["readOnly"] == false);
    let (asked, answered) = told("CreateGrant");
    assert!(asked["operations"][0] == "Decrypt" && answered["grantId"].is_string(), "{asked} {answered}");
    assert_eq!(answered["grantToken"], HIDDEN);
    let (asked, answered) = told("ScheduleKeyDeletion");
    assert!(asked["pendingWindowInDays"] == 7 && answered["keyState"] == "PendingDeletion", "{answered}");
    assert!(told("CreateUser").1["user"]["arn"].as_str().unwrap().ends_with(":user/alice"));
    let (_, answered) = told("CreateAccessKey");
    assert!(answered["accessKey"]["accessKeyId"].is_string(), "{answered}");
    assert_eq!(answered["accessKey"]["secretAccessKey"], HIDDEN);
    let (asked, answered) = told("AssumeRole");
    assert_eq!(asked["roleSessionName"], "audited");
    assert!(answered["credentials"]["accessKeyId"].is_string(), "{answered}");
    assert_eq!(answered["credentials"]["sessionToken"], HIDDEN);
    assert!(answered["assumedRoleUser"]["arn"].as_str().unwrap().ends_with(":assumed-role/reader/audited"));
    assert_eq!(told("GetCallerIdentity").1, &Value::Null);
    assert_eq!(told("PutObject").1["x-amz-server-side-encryption"], "AES256");
    let (asked, _) = told("CopyObject");
    assert_eq!(asked["x-amz-copy-source"], "audited/k");
    assert_eq!(asked["x-amz-storage-class"], "STANDARD_IA");
}

/// A webhook that refuses its first request, and hands on the bodies of the others.
fn webhook() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/audit", listener.local_addr().unwrap());
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let mut connection = BufReader::new(connection.unwrap());
            let (mut len, mut token, mut line) = (0, String::new(), String::new());
            loop {
                line.clear();
                if connection.read_line(&mut line).unwrap() <= 2 {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => len = value.trim().parse().unwrap(),
                    "authorization" => token = value.trim().to_owned(),
                    _ => {}
                }
            }
            let mut body = vec![0; len];
            connection.read_exact(&mut body).unwrap();
            let status = if number == 0 { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.get_mut().write_all(answer.as_bytes()).unwrap();
            if number > 0 && to.send((token, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, from)
}

#[test]
fn the_audit_reaches_its_webhook_after_refusals_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (log, data, token) =
        (folder.path().join("audit.jsonl"), folder.path().join("data"), folder.path().join("token"));
    fs::write(&token, "open sesame\n").unwrap();
    let arguments = |url: &str| {
        [
            "--audit-log",
            log.to_str().unwrap(),
            "--audit-webhook-token-file",
            token.to_str().unwrap(),
            "--audit-webhook-url",
            url,
        ]
        .map(str::to_owned)
    };
    let start = |url: &str| {
        let arguments = arguments(url);
        Server::start_on(&data, &arguments.each_ref().map(String::as_str)).unwrap()
    };
    // Nobody listens there.
    let mut server = start("http://127.0.0.1:9/");
    run_python(&server.endpoint, "import boto3; boto3.client('s3').create_bucket(Bucket='spooled')").unwrap();
    server.kill().unwrap();
    let (url, sent) = webhook();
    let mut server = start(&url);
    let mut names = Vec::new();
    let began = Instant::now();
    while !names.contains(&"CreateBucket".to_owned()) {
        let (token, body) =
            sent.recv_timeout(PATIENCE.saturating_sub(began.elapsed())).expect("the webhook is called");
        assert_eq!(token, "Bearer open sesame");
        let records = body["Records"].as_array().unwrap();
        names.extend(records.iter().map(|record| record["eventName"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names.iter().filter(|name| *name == "CreateBucket").count(), 1);
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[test]
fn requests_fail_where_the_audit_is_required_and_can_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A device that is always full.
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let log = folder.path().join("audit.jsonl");
    let arguments = ["--audit-log", log.to_str().unwrap(), "--audit-required", "true"];
    let mut server = Server::start_on(&data, &arguments).unwrap();
    run_python(&server.endpoint, "import boto3; boto3.client('s3').create_bucket(Bucket='before')").unwrap();
    // From the next opening on it is the device.
    fs::rename(&log, folder.path().join("audit.1")).unwrap();
    std::os::unix::fs::symlink(full, &log).unwrap();
    server.signal(Signal::USR1).unwrap();
    let script = r#"
import boto3, botocore, time
s3 = boto3.client("s3", config=botocore.config.Config(retries={"total_max_attempts": 1}))
began, number = time.time(), 0
while time.time() - began < 50:
    number += 1
    try:
        s3.create_bucket(Bucket=f"after-{number}")
    except s3.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error
        break
else:
    raise SystemExit("requests are answered though their audit can't be written")
refused = 0
for number in range(5):
    try:
        s3.create_bucket(Bucket=f"refused-{number}")
    except s3.exceptions.ClientError as error:
        refused += 1
assert refused == 5, refused
import json, urllib.error, urllib.request
for path in ["/-/ready", "/_sealgate/health/ready"]:
    try:
        raise SystemExit(f"{path}: {urllib.request.urlopen(s3.meta.endpoint_url + path).status}")
    except urllib.error.HTTPError as error:
        told = json.load(error)
        assert error.code == 503 and not told["audit"]["ok"] and told["map"]["ok"] and not told.get("sealed"), told
"#;
    run_python(&server.endpoint, script).unwrap();
    fs::remove_file(&log).unwrap();
    server.signal(Signal::USR1).unwrap();
    let script = r#"
import boto3, time
s3 = boto3.client("s3")
for _ in range(60):
    try:
        names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        break
    except s3.exceptions.ClientError:
        time.sleep(0.5)
assert "before" in names and not any(name.startswith("refused") for name in names), names
"#;
    run_python(&server.endpoint, script).unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[test]
fn requests_are_shown_as_they_end() {
    let server = Server::start().unwrap();
    run_python(&server.endpoint, "import boto3; boto3.client('s3').create_bucket(Bucket='traced')").unwrap();
    let mut trace = Command::new(binary().unwrap())
        .args([
            "trace", "--json", "--errors", "--bucket", "traced", "--status", "4xx", "--count", "1", "--data",
        ])
        .arg(&server.data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut top = Command::new(binary().unwrap())
        .args(["top", "--interval", "1", "--json", "--data"])
        .arg(&server.data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut tables = BufReader::new(top.stdout.take().unwrap()).lines();
    let (told, line) = mpsc::channel();
    let mut out = BufReader::new(trace.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut text = String::new();
        out.read_line(&mut text).unwrap();
        told.send(text).unwrap();
    });
    let script = r#"
import boto3
s3 = boto3.client("s3")
s3.put_object(Bucket="traced", Key="k", Body=b"x")
try:
    s3.get_object(Bucket="traced", Key="absent")
except s3.exceptions.NoSuchKey:
    pass
"#;
    // When the trace has begun is not told: until then requests go by.
    let text = wait_for("a traced request", || {
        run_python(&server.endpoint, script).unwrap();
        line.recv_timeout(Duration::from_millis(200)).ok()
    });
    let traced: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&traced["operation"], &traced["error_code"]), (&"GetObject".into(), &"NoSuchKey".into()));
    assert!(trace.wait().unwrap().success());
    let counted = wait_for("a table", || {
        run_python(&server.endpoint, script).unwrap();
        let table: Value = serde_json::from_str(&tables.next()?.unwrap()).unwrap();
        table["operations"].as_array().unwrap().iter().find(|row| row["operation"] == "PutObject").cloned()
    });
    assert!(
        counted["per_second"].as_f64() > Some(0.0) && counted["mean_ms"].as_f64() > Some(0.0),
        "{counted}"
    );
    top.kill().unwrap();
    top.wait().unwrap();
}
