//! What a newcomer meets: first start, files and their modes, refusals to start, and a graceful end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use conformance_tests::server::{Server, binary};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn start(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments).output().unwrap()
}

/// It was refused with exit code 1 and one line that says this.
fn assert_refused(output: &Output, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    assert!(text.contains(says), "{text}");
}

#[test]
fn the_first_start_makes_private_files_and_tells_what_to_paste() {
    let mut server = Server::start().unwrap();
    let data = server.data.clone();
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.with_file_name("data.root-key")), 0o600);
    let greeting = server.greeting.join("\n");
    for part in
        ["export AWS_ENDPOINT_URL=http://127.0.0.1:", "AWS_REGION=us-east-1", "aws s3 mb s3://", "aws s3 cp "]
    {
        assert!(greeting.contains(part), "{greeting}");
    }
    let account = server.greeting.iter().find_map(|l| l.trim().strip_prefix("account")).unwrap().trim();
    assert!(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()), "{account}");
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[test]
fn random_credentials_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let mut child = Command::new(binary().unwrap())
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let credentials = folder.path().join("data.credentials");
        for _ in 0..200 {
            if data.join("blobs").is_dir() && credentials.is_file() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mode(&credentials), 0o600);
        std::fs::read_to_string(credentials).unwrap()
    };
    let first = start();
    assert!(first.starts_with("[default]\naws_access_key_id = AKIA"), "{first}");
    assert_eq!(start(), first);
}

#[test]
fn what_cannot_start_says_why_in_a_line_and_touches_nothing() {
    if Server::skips("it is of a data folder and the root key beside it") {
        return;
    }
    let mut server = Server::start().unwrap();
    let data = server.data.clone();
    assert_refused(&start(&[], &data), "in use by another process");

    let port = server.endpoint.rsplit(':').next().unwrap().to_owned();
    let elsewhere = data.with_file_name("elsewhere");
    let taken = format!("127.0.0.1:{port}");
    let mut command = Command::new(binary().unwrap());
    let output = command.args(["--listen", &taken, "--data"]).arg(&elsewhere).output().unwrap();
    assert_refused(&output, "can't listen on");
    assert!(!elsewhere.exists());

    assert_eq!(server.stop().unwrap(), Some(0));
    let root_key = data.with_file_name("data.root-key");
    let other = data.with_file_name("other.root-key");
    std::fs::write(&other, [7; 32]).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_refused(&start(&["--root-key", other.to_str().unwrap()], &data), "needs root key");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_refused(&start(&["--root-key", other.to_str().unwrap()], &data), "others may read it");
    assert_refused(
        &start(&["--root-key", data.join("k").to_str().unwrap()], &data),
        "inside the data folder",
    );
    let hidden = data.with_file_name("hidden");
    std::fs::rename(&root_key, &hidden).unwrap();
    assert_refused(&start(&[], &data), "root key is unavailable");
    assert!(!root_key.exists(), "a lost root key is not replaced by a new one");
    std::fs::rename(&hidden, &root_key).unwrap();
    assert_refused(&start(&["--config", "/nonexistent.toml"], &data), "configuration file");
    server.restart().unwrap();

    let foreign = data.with_file_name("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("file"), "text").unwrap();
    assert_refused(&start(&[], &foreign), "is not empty");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1);
}

#[test]
fn a_path_too_long_for_a_socket_is_no_hindrance() {
    if Server::skips("without a gateway that runs, commands are for a data folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d".repeat(120)).join("data");
    let mut server = Server::start_on(&data, &[]).unwrap();
    assert!(!data.join("admin.sock").exists());
    assert_eq!(server.stop().unwrap(), Some(0));
    assert!(server.command(&["kms", "status"]).unwrap().status.success());
}

#[test]
fn the_proof_of_encryption_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary().unwrap());
    let output =
        command.args(["doctor", "encryption", "--json", "--scratch"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let checks = told["checks"].as_array().unwrap();
    assert!(checks.len() > 1 && checks.iter().all(|check| check["holds"] == true), "{text}");
    let last = told["lines"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(told["ok"] == true && last.contains("checks hold"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the scratch folder is left clean");
}
