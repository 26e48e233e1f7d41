//! The binary's own commands for users, keys, policies, groups and roles, against a gateway; what they make, the AWS CLI uses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};
use serde_json::Value;

const READ_WRITE: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}"#;

/// Somebody's credentials: id, secret and, of a session, its token.
#[derive(Debug, Clone)]
pub struct Credentials(String, String, Option<String>);

impl Credentials {
    pub fn root() -> Self {
        Self(ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned(), None)
    }
}

/// Runs programs against a gateway, in a folder.
pub struct Shell<'a> {
    pub server: &'a Server,
    pub folder: &'a Path,
}

impl Shell<'_> {
    pub fn run(&self, mut command: Command, credentials: Option<&Credentials>) -> Output {
        command.current_dir(self.folder).env_remove("AWS_PROFILE").envs([
            ("AWS_ENDPOINT_URL", self.server.endpoint.as_str()),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_CONFIG_FILE", "none"),
            ("AWS_SHARED_CREDENTIALS_FILE", "none"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        let variables = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        for name in variables {
            command.env_remove(name);
        }
        if let Some(Credentials(id, secret, token)) = credentials {
            command.envs([(variables[0], id), (variables[1], secret)]);
            command.envs(token.iter().map(|token| (variables[2], token)));
        }
        command.output().unwrap()
    }

    pub fn sealgate(&self, line: &str, credentials: Option<&Credentials>) -> Output {
        let mut command = Command::new(binary().unwrap());
        command.args(line.split(' '));
        self.run(command, credentials)
    }

    /// What a command that must succeed prints.
    pub fn told(&self, line: &str) -> String {
        let output = self.sealgate(line, Some(&Credentials::root()));
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command that must fail complains of.
    pub fn refused(&self, line: &str, credentials: &Credentials) -> String {
        let output = self.sealgate(line, Some(credentials));
        assert!(!output.status.success(), "{line}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn aws(&self, line: &str, credentials: &Credentials) -> Output {
        let mut command = Command::new(installed::python().unwrap().join("aws"));
        command.args(line.split(' '));
        self.run(command, Some(credentials))
    }

    fn may(&self, line: &str, credentials: &Credentials) -> String {
        let output = self.aws(line, credentials);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn may_not(&self, line: &str, credentials: &Credentials) {
        let output = self.aws(line, credentials);
        let complaint = text(&output.stderr);
        assert!(!output.status.success() && complaint.contains("AccessDenied"), "{line}: {complaint}");
    }

    fn new_key(&self, user: &str) -> Credentials {
        let told = self.told(&format!("key create {user}"));
        Credentials(field(&told, "access key"), field(&told, "secret"), None)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What follows a word at the beginning of a line.
fn field(told: &str, name: &str) -> String {
    let line = told.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {told}")).trim().to_owned()
}

#[test]
fn a_users_life() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    std::fs::write(folder.path().join("policy.json"), READ_WRITE).unwrap();
    let root = Credentials::root();
    shell.may("s3api create-bucket --bucket of-cli", &root);

    let arn = field(&shell.told("policy create read-write policy.json"), "arn");
    assert_eq!(shell.told(&format!("policy show {arn}")).trim(), READ_WRITE);
    assert!(!shell.told("policy list").contains("AdministratorAccess"));
    assert!(shell.told("policy list --all").contains("arn:aws:iam::aws:policy/AdministratorAccess"));

    let told = shell.told("user create alice --path /staff/");
    assert!(field(&told, "arn").ends_with(":user/staff/alice"), "{told}");
    let alice = shell.new_key("alice");
    let put = "s3api put-object --bucket of-cli --key a";
    shell.may_not(put, &alice);
    shell.told(&format!("policy attach {arn} --user alice"));
    shell.may(put, &alice);

    let shown = shell.told("user show alice");
    assert!(shown.contains(&arn) && shown.contains(&alice.0) && !shown.contains(&alice.1), "{shown}");
    assert!(shown.contains("s3 in us-east-1"), "{shown}");
    assert!(shell.told("user list").contains("alice"));

    shell.told(&format!("key disable alice {}", alice.0));
    assert!(!shell.aws(put, &alice).status.success());
    assert!(shell.told("key list alice").contains("inactive"));
    shell.told(&format!("key enable alice {}", alice.0));
    shell.may(put, &alice);
    shell.told(&format!("policy detach {arn} --user alice"));
    shell.may_not(put, &alice);

    shell.told("group create writers");
    shell.told("group add writers alice");
    shell.told(&format!("policy attach {arn} --group writers"));
    shell.may(put, &alice);
    assert!(shell.told("user show alice").contains("writers"));
    shell.told("group remove writers alice");
    shell.may_not(put, &alice);
    shell.told("group add writers alice");

    let complaint = shell.refused("user delete alice", &root);
    assert!(complaint.contains("DeleteConflict") && complaint.contains("--force"), "{complaint}");
    shell.told("user delete alice --force");
    assert!(!shell.aws(put, &alice).status.success());
    assert!(shell.refused("user show alice", &root).contains("NoSuchEntity"));
    shell.told("group delete writers --force");
    shell.told(&format!("policy delete {arn}"));
    assert_eq!(shell.told("policy list").lines().count(), 1);
}

#[test]
fn sessions_are_revoked() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    std::fs::write(folder.path().join("trust.json"), TRUST).unwrap();
    let s3 = "arn:aws:iam::aws:policy/AmazonS3FullAccess";
    let role = field(&shell.told("role create job trust.json"), "arn");
    assert!(shell.told("role list").contains(&role));
    shell.told(&format!("policy attach {s3} --role job"));
    shell.told("user create bob --policy arn:aws:iam::aws:policy/AdministratorAccess");
    let bob = shell.new_key("bob");

    let session = |line: &str| {
        let query = "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]";
        let told = shell.may(&format!("sts {line} --output text --query {query}"), &bob);
        let fields: Vec<&str> = told.split_whitespace().collect();
        Credentials(fields[0].to_owned(), fields[1].to_owned(), Some(fields[2].to_owned()))
    };
    let of_role = session(&format!("assume-role --role-arn {role} --role-session-name one"));
    let of_bob = session("get-session-token");
    let list = "s3api list-buckets";
    shell.may(list, &of_role);
    shell.may(list, &of_bob);
    // A session may ask IAM too, where its token is passed on.
    let denied = shell.refused("user list", &of_role);
    assert!(denied.contains("AccessDenied") && denied.contains("policy attach"), "{denied}");

    shell.told("role revoke-sessions job");
    shell.may_not(list, &of_role);
    shell.may(list, &of_bob);
    shell.told("user revoke-sessions bob");
    shell.may_not(list, &of_bob);
    shell.may(list, &bob);

    shell.told("role delete job --force");
    shell.told("user delete bob --force");
}

#[test]
fn where_credentials_and_endpoint_are_from() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    // Nothing is known, and nothing is made.
    let output = shell.sealgate("user list --data data", None);
    assert!(text(&output.stderr).contains("no credentials"), "{}", text(&output.stderr));
    assert!(!folder.path().join("data.credentials").exists());
    // The credentials file of the configuration.
    let file = format!(
        "[default]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
    );
    std::fs::write(folder.path().join("data.credentials"), file).unwrap();
    let output = shell.sealgate("user list --data data", None);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "name  made  arn\n");

    let wrong = Credentials("AKIAWRONGWRONGWRONG".to_owned(), "wrong".to_owned(), None);
    let complaint = shell.refused("user list", &wrong);
    assert!(complaint.contains("InvalidClientTokenId") && complaint.contains("AWS_ACCESS_KEY_ID"));
    let root = Credentials::root();
    assert!(shell.refused("user list --endpoint http://127.0.0.1:1", &root).contains("does not answer"));
    assert!(shell.refused("user list --endpoint 127.0.0.1:1", &root).contains("is no URL"));
}

#[test]
fn what_is_text_for_people_is_json_for_programs() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    let root = Credentials::root();
    shell.may("s3api create-bucket --bucket of-json", &root);
    let made = shell.aws("kms create-key --description of-json", &root);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    // Of the host's commands each line is an object, of a client's all is one document.
    let lines = |line: &str| -> Vec<Value> {
        let told = shell.told(&format!("{line} --json --data {}", server.data.display()));
        told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{told}"))).collect()
    };
    let one = |line: &str| lines(line).pop().unwrap_or_else(|| panic!("{line} tells nothing"));
    assert!(one("kms status")["keys"].as_u64() >= Some(1));
    assert!(lines("kms list").iter().any(|told| told["key"] == key.as_str()));
    let described = one(&format!("kms describe {key}"));
    assert_eq!((&described["description"], &described["state"]), (&"of-json".into(), &"Enabled".into()));
    assert!(described["policy"]["Statement"].is_array(), "{described}");
    let account = described["arn"].as_str().unwrap().split(':').nth(4).unwrap().to_owned();
    assert_eq!(one(&format!("kms who-can {key} --principal arn:aws:iam::{account}:root"))["allowed"], true);
    assert_eq!(one(&format!("kms dependents {key}"))["objects"], 0);
    let made = one("account create other");
    assert!(made["access_key"].is_string() && made["secret"].is_string() && made["canonical_id"].is_string());
    let accounts = lines("account list");
    assert!(accounts.iter().any(|told| told["account"] == made["account"] && told["state"] == "enabled"));
    let id = made["account"].as_str().unwrap();
    assert_eq!(one(&format!("account quota {id} 5MiB"))["quota_bytes"], 5 << 20);
    assert!(one(&format!("account create-key {id}"))["secret"].is_string());
    assert_eq!(one("bucket quota of-json 1GiB")["quota_bytes"], 1 << 30);
    assert!(one("sweep")["looked_at"].is_u64());
    // Space is first looked after once all records are verified.
    let mut status = one("status");
    for _ in 0..300 {
        if !status["reclaim"]["in_quarantine"].is_null() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        status = one("status");
    }
    assert_eq!(status["reclaim"]["in_quarantine"], 0, "{status}");
    assert!(status["reclaim"]["backlog"]["waiting"].is_u64(), "{status}");
    if !Server::is_shared() {
        let stored = one("kms verify-store");
        assert!(stored["whole"] == true && stored["copies"].is_array(), "{stored}");
    }

    let all = |line: &str| -> Value { serde_json::from_str(&shell.told(&format!("{line} --json"))).unwrap() };
    assert!(all("user create alice")["arn"].as_str().unwrap().ends_with(":user/alice"));
    let access_key = all("key create alice");
    assert!(access_key["secret"].is_string(), "{access_key}");
    assert!(all("group create writers")["done"].is_string());
    all("group add writers alice");
    let shown = all("user show alice");
    assert_eq!((&shown["groups"][0], &shown["policies"]), (&"writers".into(), &Value::Array(vec![])));
    assert_eq!(shown["access_keys"][0]["access_key"], access_key["access_key"]);
    assert_eq!(all("user list")[0]["name"], "alice");
    assert_eq!(all("key list alice")[0]["last_used"], "never");
    assert!(all("policy list --all").as_array().unwrap().len() > 5);
}

/// What only changes or judges something, and has no JSON of its own: one object with what it did, what it said, and whether it worked.
#[test]
fn changes_are_told_as_one_object() {
    let mut server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = server.data.clone();
    let told = |line: &str| -> Value {
        let mut command = Command::new(binary().unwrap());
        command.current_dir(folder.path()).args(line.split(' ')).args(["--json", "--data"]).arg(&data);
        let output = command.output().unwrap();
        let told = text(&output.stdout);
        assert_eq!(told.lines().count(), 1, "{line}: {told}{}", text(&output.stderr));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["ok"], output.status.success(), "{line}: {told}");
        assert_eq!(told["error"].is_string(), !text(&output.stderr).is_empty(), "{line}: {told}");
        told
    };
    let done = |line: &str| -> Value {
        let told = told(line);
        assert!(told["ok"] == true && told["lines"].is_array(), "{line}: {told}");
        told
    };
    let key = {
        let shell = Shell { server: &server, folder: folder.path() };
        let made = shell.aws("kms create-key", &Credentials::root());
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    // The running gateway says where it is: these settings have another address.
    let shown = told_status(&server, &data);
    assert_eq!(shown["addresses"]["s3"], server.endpoint.as_str(), "{shown}");

    assert_eq!(done(&format!("kms reset-key-policy {key}"))["key"], key.as_str());
    assert_eq!(done(&format!("kms rewrap {key} --dry-run"))["moved"], 0);
    let refused = told("kms reset-key-policy alias/nothing");
    assert!(
        refused["ok"] == false && refused["error"].as_str().unwrap().contains("alias/nothing"),
        "{refused}"
    );
    // Nothing was asked for that failed: the answer is no.
    let asked = told(&format!("kms schedule-deletion {key}"));
    assert_eq!(
        (&asked["ok"], &asked["is_scheduled"], &asked["objects"]),
        (&false.into(), &false.into(), &0.into())
    );
    assert_eq!(done(&format!("kms schedule-deletion {key} --yes"))["is_scheduled"], true);
    let account = server.create_account("json").unwrap();
    assert_eq!(done(&format!("account disable {}", account.id))["state"], "disabled");
    assert_eq!(done(&format!("account enable {}", account.id))["account"], account.id.as_str());
    let address = server.endpoint.trim_start_matches("http://").to_owned();
    assert_eq!(done(&format!("health --listen {address}"))["address"], address.as_str());
    assert!(told("health --listen 127.0.0.1:1")["error"].as_str().unwrap().contains("nothing answers"));
    std::fs::write(folder.path().join("settings.toml"), "region = \"us-east-1\"\n").unwrap();
    assert_eq!(done("config check settings.toml")["file"], "settings.toml");
    std::fs::write(folder.path().join("wrong.toml"), "regin = \"us-east-1\"\n").unwrap();
    assert!(told("config check wrong.toml")["error"].as_str().unwrap().contains("regin"));
    assert!(done("operations")["operations"].as_array().unwrap().len() > 100);
    assert!(done("condition-keys")["condition_keys"][0]["source"].is_string());
    let mut serve = Command::new(binary().unwrap());
    let output = serve.args(["serve", "--json", "--data"]).arg(folder.path().join("none")).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("log_format"), "{output:?}");
    if Server::is_shared() {
        return;
    }

    let saved = done("backup saved");
    assert!(saved["records"].as_u64() > Some(0) && saved["root_key"].is_string(), "{saved}");
    let note = done("witness")["note"].clone();
    std::fs::write(folder.path().join("note"), note.to_string()).unwrap();
    assert_eq!(done("witness --check note")["commit_of_note"], note["commit"]);
    std::fs::write(folder.path().join("passphrase"), "of the recovery kit").unwrap();
    let kit = done("kms recovery-kit export kit --kit-passphrase-file passphrase");
    assert!(kit["recovery_root"].is_string() && kit["file"].as_str().unwrap().ends_with("kit"), "{kit}");
    server.stop().unwrap();
    assert_eq!(done("kms rekey-domain")["root_key"], saved["root_key"]);
    let adopted = done("adopt");
    assert!(adopted["records"].as_u64() > Some(0) && adopted["data_folder"].is_string(), "{adopted}");
    assert_eq!(done("export records.jsonl")["file"], "records.jsonl");
    let root_key = PathBuf::from(format!("{}.root-key", data.display()));
    let restored = folder.path().join("restored");
    let mut restore = Command::new(binary().unwrap());
    restore.args(["restore", "--json", "--data"]).arg(&restored).arg("--root-key").arg(root_key);
    let output = restore.arg(folder.path().join("saved")).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["ok"] == true && told["root_key"] == saved["root_key"], "{told}");
}

fn told_status(server: &Server, data: &Path) -> Value {
    let mut command = Command::new(binary().unwrap());
    let output = command.args(["status", "--json", "--data"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}: {}", server.endpoint, text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// MinIO's admin API, with MinIO's client for Python.
#[test]
fn users_and_policies_with_minio() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell { server: &server, folder: folder.path() };
    let told = shell.told(&format!("account create other --data {}", server.data.display()));
    let mut command = Command::new(installed::python().unwrap().join("python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/minio_admin.py")).envs([
        ("OTHER_ACCOUNT_ID", field(&told, "account")),
        ("OTHER_ACCESS_KEY_ID", field(&told, "access key")),
        ("OTHER_SECRET_ACCESS_KEY", field(&told, "secret")),
    ]);
    let output = shell.run(command, Some(&Credentials::root()));
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
