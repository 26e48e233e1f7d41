//! A gateway whose records and keys are in a PostgreSQL: what it refuses at its start, and over which connections it speaks.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use conformance_tests::postgres::Postgres;
use conformance_tests::server::{ACCESS_KEY_ID, Places, SECRET_ACCESS_KEY, Server, binary};

/// What curl prints of an answer, and its status; signed if it is asked so.
fn curl(url: &str, arguments: &[&str], is_signed: bool) -> (u16, Vec<u8>) {
    let user = format!("{ACCESS_KEY_ID}:{SECRET_ACCESS_KEY}");
    let unsigned_body = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
    let signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, "--header", unsigned_body];
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "20", "--write-out", "%{stderr}%{http_code}"]).args(arguments);
    let output = command.args(if is_signed { &signed[..] } else { &[] }).arg(url).output().unwrap();
    let status = String::from_utf8_lossy(&output.stderr).parse().unwrap_or(0);
    (status, output.stdout)
}

/// A gateway that is expected to refuse: what it says on standard error.
fn refused(database: &str, root_key: &Path, data: &Path, arguments: &[&str]) -> String {
    let mut command = gateway(database, root_key, data, arguments);
    let output: Output = command.output().unwrap();
    assert!(!output.status.success(), "it starts: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn gateway(database: &str, root_key: &Path, data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("20").arg(binary().unwrap());
    command.args(["serve", "--log", "warn", "--listen", "127.0.0.1:0", "--metadata", database]);
    command.arg("--root-key").arg(root_key).arg("--data").arg(data).args(arguments);
    command.env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID);
    command.env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    command
}

fn root_key(path: &Path, byte: u8) {
    std::fs::write(path, [byte; 32]).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_at_the_start_with_what_to_do() {
    let postgres = Postgres::start(&[]).unwrap();
    postgres.create("map").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (root, other_root, data, url) = (at("root"), at("other-root"), at("data"), postgres.url("map"));
    root_key(&root, 1);
    root_key(&other_root, 2);
    let places = Places { metadata: url.clone(), blobs: None, root_key: root.clone() };

    // Blobs in the folder of the one gateway: it takes its records up again, and its folder with them.
    let mut server = Server::start_shared_on(&places, &data, &[]).unwrap();
    let put = |path: &str, body: &str| {
        let sent = ["--request", "PUT", "--data-binary", body];
        assert_eq!(curl(&format!("{}{path}", server.endpoint), &sent, true).0, 200);
    };
    put("/a-bucket", "");
    put("/a-bucket/object", "bytes");
    assert!(refused(&url, &root, &data, &[]).contains("in use by another process"));
    server.stop().unwrap();
    let mut server = Server::start_shared_on(&places, &data, &[]).unwrap();
    let backup = server.command(&["backup", &at("backup").display().to_string()]).unwrap();
    let told = String::from_utf8_lossy(&backup.stderr).into_owned();
    assert!(!backup.status.success() && told.contains("back up the database"), "{told}");
    let read = curl(&format!("{}/a-bucket/object", server.endpoint), &[], true);
    assert_eq!(read, (200, b"bytes".to_vec()));
    server.stop().unwrap();

    let says = |said: String, what: &str| assert!(said.contains(what), "{what}: {said}");
    says(refused(&url, &other_root, &data, &[]), "give the right one with --root-key");
    says(refused(&url, &at("no-root"), &data, &[]), "no-root");
    says(refused(&url, &root, &data, &["--account-id", "000000000001"]), "leave --account-id out");
    says(refused(&url, &root, &data, &["--require-sync-standby"]), "no synchronous standby");
    says(refused(&url, &root, &at("another"), &[]), "give the folder that the cluster's blobs are in");
    let unsigned = gateway(&url, &root, &data, &[])
        .env_remove("SEALGATE_ROOT_ACCESS_KEY_ID")
        .env_remove("SEALGATE_ROOT_SECRET_ACCESS_KEY")
        .output()
        .unwrap();
    says(String::from_utf8_lossy(&unsigned.stderr).into_owned(), "same credentials of the root user");
    std::fs::create_dir(at("embedded")).unwrap();
    std::fs::write(at("embedded").join("instance.json"), "{}").unwrap();
    says(refused(&url, &root, &at("embedded"), &[]), "holds the records of a gateway without --metadata");
    says(refused("postgres://postgres@127.0.0.1:1/map", &root, &data, &[]), "metadata server");
    let check = Command::new(binary().unwrap())
        .args(["check", "--metadata", &url, "--root-key"])
        .arg(&root)
        .arg("--data")
        .arg(&data)
        .output()
        .unwrap();
    says(String::from_utf8_lossy(&check.stderr).into_owned(), "records and keys are in a server");

    // Another map under the same blobs, keys that are gone, a newer form, something else in the database.
    postgres.create("empty").unwrap();
    says(refused(&postgres.url("empty"), &root, &data, &[]), "blobs");
    let ask = |database: &str, statement: &str| postgres.ask(database, statement).unwrap();
    ask("map", "create table kept as select * from sealgate_kms.kv; delete from sealgate_kms.kv");
    says(refused(&url, &root, &data, &[]), "the keys do not open the records");
    ask("map", "insert into sealgate_kms.kv select * from kept");
    let newer = "update kv set value = convert_to(replace(convert_from(value, 'UTF8'), '\"format_max\":1', \
                 '\"format_max\":999'), 'UTF8') where key = 'M'";
    ask("map", newer);
    says(refused(&url, &root, &data, &[]), "run a newer build");
    ask("map", "delete from kv where key = 'M'");
    says(refused(&url, &root, &data, &[]), "give an empty database");
}

fn openssl(arguments: &[&str], folder: &Path) {
    let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn connections_to_the_metadata_server_are_secured_as_its_url_says() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let new = |name: &str, subject: &str| {
        let (certificate, private_key) = (format!("{name}.crt"), format!("{name}.key"));
        let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject];
        openssl(&[&words[..], &["-out", &certificate, "-keyout", &private_key]].concat(), folder);
    };
    new("ca", "/CN=authority");
    new("other", "/CN=another authority");
    let request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-out", "server.csr"];
    openssl(&[&request[..], &["-keyout", "server.key"]].concat(), folder);
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", "2", "-extfile", "names", "-out", "server.crt"]].concat(), folder);
    if rustix::process::geteuid().is_root() {
        let made = Command::new("chown").arg("postgres").arg(folder.join("server.key")).status().unwrap();
        assert!(made.success());
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let postgres = Postgres::start(&[
        "ssl=on",
        &format!("ssl_cert_file={}", file("server.crt")),
        &format!("ssl_key_file={}", file("server.key")),
    ])
    .unwrap();
    postgres.create("map").unwrap();
    let url =
        |host: &str, mode: &str| format!("postgres://postgres@{host}:{}/map?sslmode={mode}", postgres.port());
    let root = folder.join("root");
    root_key(&root, 1);
    let secured = |url: String, arguments: &[&str]| {
        let places = Places { metadata: url, blobs: None, root_key: root.clone() };
        let data = folder.join("data");
        let mut server = Server::start_shared_on(&places, &data, arguments).unwrap();
        let statement = "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) \
                         where application_name = 'sealgate'";
        let found = postgres.ask("map", statement).unwrap();
        server.stop().unwrap();
        found
    };
    let (ca, other) = (file("ca.crt"), file("other.crt"));
    assert_eq!(secured(url("localhost", "verify-full"), &["--metadata-ca-file", &ca]), "t");
    assert_eq!(secured(url("127.0.0.1", "require"), &[]), "t");
    assert_eq!(secured(url("127.0.0.1", "prefer"), &[]), "t");
    assert_eq!(secured(url("127.0.0.1", "disable"), &[]), "f");
    let data = folder.join("data");
    for (url, ca) in [
        // Another authority, another name, and certificates that are given are looked at whatever the mode.
        (url("localhost", "verify-full"), &other),
        (url("127.0.0.1", "verify-full"), &ca),
        (url("127.0.0.1", "require"), &ca),
    ] {
        let said = refused(&url, &root, &data, &["--metadata-ca-file", ca]);
        assert!(said.contains("certificate"), "{url}: {said}");
    }
    let said = refused(&url("localhost", "disable"), &root, &data, &["--metadata-ca-file", &ca]);
    assert!(said.contains("do not go together"), "{said}");
}

#[test]
fn readiness_tells_why() {
    let postgres = Postgres::start(&[]).unwrap();
    postgres.create("map").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    root_key(&root, 1);
    let places = Places { metadata: postgres.url("map"), blobs: None, root_key: root };
    let server = Server::start_shared_on(&places, &scratch.path().join("data"), &[]).unwrap();
    let ready = || {
        let (status, body) = curl(&format!("{}/-/ready", server.endpoint), &[], false);
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    let (status, told) = ready();
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["ready"], true);
    assert!(told["clock"]["ahead_ms"].as_i64().unwrap().abs() < 1000, "{told}");
    assert_eq!(curl(&format!("{}/a-bucket", server.endpoint), &["--request", "PUT"], true).0, 200);
    postgres.stop().unwrap();
    let since = Instant::now();
    let url = format!("{}/a-bucket/object", server.endpoint);
    let (status, told) = curl(&url, &["--include", "--request", "PUT", "--data-binary", "x"], true);
    let told = String::from_utf8_lossy(&told).to_lowercase();
    assert!(status == 503 && told.contains("retry-after: 1"), "{status} {told}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let since = Instant::now();
    while ready().0 == 200 {
        assert!(since.elapsed() < Duration::from_secs(15), "it stays ready without its map");
        std::thread::sleep(Duration::from_millis(200));
    }
    let (_, told) = ready();
    assert_eq!((&told["state"]["ok"], &told["clock"]["ok"]), (&false.into(), &true.into()), "{told}");
    postgres.run().unwrap();
    let since = Instant::now();
    while ready().0 != 200 {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not come back");
        std::thread::sleep(Duration::from_millis(200));
    }
}
