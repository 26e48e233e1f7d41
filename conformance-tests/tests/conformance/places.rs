//! A gateway whose records and keys are in a PostgreSQL: what it refuses at its start, and over which connections it speaks.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use conformance_tests::cluster::SESSIONS;
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
    ask("map", &records_of_form(999));
    says(refused(&url, &root, &data, &[]), "run a newer build");
    ask("map", "delete from kv where key = 'M'");
    says(refused(&url, &root, &data, &[]), "give an empty database");
}

/// What makes the records of a map to be of this form, in SQL.
fn records_of_form(form: u32) -> String {
    format!(
        "update kv set value = convert_to(regexp_replace(convert_from(value, 'UTF8'), '\"format_max\":[0-9]+', \
         '\"format_max\":{form}'), 'UTF8') where key = 'M'"
    )
}

fn openssl(arguments: &[&str], folder: &Path) {
    let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority (`ca`), another one (`other`), and what the first one signs for a server on localhost and for the user `postgres`.
fn certificates(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (name, subject) in [("ca", "/CN=authority"), ("other", "/CN=another authority")] {
        let (certificate, private_key) = (format!("{name}.crt"), format!("{name}.key"));
        let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject];
        openssl(&[&words[..], &["-out", &certificate, "-keyout", &private_key]].concat(), folder);
    }
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=postgres")] {
        let [request, certificate, key] = ["csr", "crt", "key"].map(|kind| format!("{name}.{kind}"));
        let words = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-out", &request];
        openssl(&[&words[..], &["-keyout", &key]].concat(), folder);
        let words = ["x509", "-req", "-in", &request, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(&[&words[..], &["-days", "2", "-extfile", "names", "-out", &certificate]].concat(), folder);
    }
    if rustix::process::geteuid().is_root() {
        let made = Command::new("chown").arg("postgres").arg(folder.join("server.key")).status().unwrap();
        assert!(made.success());
    }
}

#[test]
fn connections_to_the_metadata_server_are_secured_as_its_url_says() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    certificates(folder);
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

#[test]
fn a_client_certificate_opens_the_metadata_server() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    certificates(folder);
    let file = |name: &str| folder.join(name).display().to_string();
    let rules = "hostssl all all 127.0.0.1/32 cert\nhostnossl all all 127.0.0.1/32 trust\n";
    std::fs::write(folder.join("hba"), rules).unwrap();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.crt")),
        format!("ssl_key_file={}", file("server.key")),
        format!("ssl_ca_file={}", file("ca.crt")),
        format!("hba_file={}", file("hba")),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let postgres = Postgres::start(&settings).unwrap();
    // What is not encrypted it takes: of this test itself, which tries that too.
    postgres.create("map").unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/map?sslmode=require", postgres.port());
    let (root, data) = (folder.join("root"), folder.join("data"));
    root_key(&root, 1);
    let of = |name: &str| format!("{url}&sslcert={}&sslkey={}", file("client.crt"), file(name));
    let places = Places { metadata: of("client.key"), blobs: None, root_key: root.clone() };
    let mut server = Server::start_shared_on(&places, &data, &[]).unwrap();
    let put = ["--request", "PUT"];
    assert_eq!(curl(&format!("{}/a-bucket", server.endpoint), &put, true).0, 200);
    server.stop().unwrap();
    assert!(refused(&url, &root, &data, &[]).contains("certificate"), "none is given");
    let alone = format!("{url}&sslcert={}", file("client.crt"));
    assert!(refused(&alone, &root, &data, &[]).contains("sslcert and sslkey go together"));
    let other = refused(&of("server.key"), &root, &data, &[]);
    assert!(other.contains("key"), "a key of another certificate: {other}");
}

#[test]
fn keys_may_be_in_a_server_of_their_own() {
    let [records, keys] = [(); 2].map(|()| Postgres::start(&[]).unwrap());
    records.create("map").unwrap();
    keys.create("keys").unwrap();
    keys.create("empty").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (root, data) = (scratch.path().join("root"), scratch.path().join("data"));
    root_key(&root, 1);
    let places = Places { metadata: records.url("map"), blobs: None, root_key: root.clone() };
    let arguments = ["--kms-url", &keys.url("keys")];
    let mut server = Server::start_shared_on(&places, &data, &arguments).unwrap();
    let put = ["--request", "PUT", "--data-binary", "bytes"];
    assert_eq!(curl(&format!("{}/a-bucket", server.endpoint), &put[..2], true).0, 200);
    assert_eq!(curl(&format!("{}/a-bucket/object", server.endpoint), &put, true).0, 200);
    server.stop().unwrap();
    let schemas = "select count(*) from pg_namespace where nspname = 'sealgate_kms'";
    assert_eq!(records.ask("map", schemas).unwrap(), "0", "keys beside what they protect");
    assert_ne!(keys.ask("keys", "select count(*) from sealgate_kms.kv").unwrap(), "0");
    let mut server = Server::start_shared_on(&places, &data, &arguments).unwrap();
    let read = curl(&format!("{}/a-bucket/object", server.endpoint), &[], true);
    assert_eq!(read, (200, b"bytes".to_vec()));
    server.stop().unwrap();
    for other in [&[][..], &["--kms-url", &keys.url("empty")]] {
        let said = refused(&places.metadata, &root, &data, other);
        assert!(said.contains("the keys do not open the records") && said.contains("--kms-url"), "{said}");
    }
}

#[test]
fn a_passphrase_is_a_root_key_of_gateways_that_share_records() {
    let postgres = Postgres::start(&[]).unwrap();
    postgres.create("map").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for (name, text) in [("right", "correct horse battery staple"), ("wrong", "incorrect horse battery")] {
        std::fs::write(at(name), text).unwrap();
        std::fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let (passphrase, data) = (Path::new("passphrase:"), at("data"));
    let places = Places { metadata: postgres.url("map"), blobs: None, root_key: passphrase.to_owned() };
    let (right, wrong) = (at("right"), at("wrong"));
    let of = |file: &Path| ["--passphrase-file".to_owned(), file.display().to_string()];
    let start = || {
        let arguments = of(&right);
        Server::start_shared_on(&places, &data, &arguments.each_ref().map(String::as_str)).unwrap()
    };
    let mut server = start();
    let put = ["--request", "PUT", "--data-binary", "bytes"];
    assert_eq!(curl(&format!("{}/a-bucket", server.endpoint), &put[..2], true).0, 200);
    assert_eq!(curl(&format!("{}/a-bucket/object", server.endpoint), &put, true).0, 200);
    server.stop().unwrap();
    // Its salt is in the map: nothing else of the first start is needed.
    assert!(!data.join("kms").exists() && !data.join("passphrase.json").exists());
    let said = refused(&places.metadata, passphrase, &data, &of(&wrong).each_ref().map(String::as_str));
    assert!(said.contains("root key") || said.contains("passphrase"), "{said}");
    let server = start();
    let read = curl(&format!("{}/a-bucket/object", server.endpoint), &[], true);
    assert_eq!(read, (200, b"bytes".to_vec()));
}

#[test]
fn a_gateway_with_blobs_of_its_own_that_loses_its_session_opens_itself_anew() {
    let postgres = Postgres::start(&[]).unwrap();
    postgres.create("map").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    root_key(&root, 1);
    let places = Places { metadata: postgres.url("map"), blobs: None, root_key: root };
    let arguments = [&SESSIONS[..], &["--inline-len", "0"]].concat();
    let mut server = Server::start_shared_on(&places, &scratch.path().join("data"), &arguments).unwrap();
    let body = "bytes ".repeat(20_000);
    let put = |path: &str, body: &str| {
        let sent = ["--request", "PUT", "--data-binary", body];
        curl(&format!("{}{path}", server.endpoint), &sent, true).0
    };
    assert_eq!(put("/a-bucket", ""), 200);
    for round in 0..2 {
        assert_eq!(put(&format!("/a-bucket/before-{round}"), &body), 200);
        // As if another had ended it, and a later build had left something that this one can't open.
        let ended = "update kv set revision = revision + 1 where substring(key from 1 for 1) = 'G'";
        postgres.ask("map", &format!("begin; {ended}; {}; commit", records_of_form(999))).unwrap();
        let since = Instant::now();
        for path in ["/-/ready", "/_sealgate/health/ready"] {
            loop {
                let (status, told) = curl(&format!("{}{path}", server.endpoint), &[], false);
                let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
                assert_ne!(told["sealed"], true, "it waits for no passphrase");
                if told["reason"].as_str().is_some_and(|reason| reason.contains("session")) {
                    assert_eq!((status, &told["ready"]), (503, &false.into()), "{told}");
                    break;
                }
                assert!(since.elapsed() < Duration::from_secs(60), "{told}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        assert_eq!(put("/a-bucket/meanwhile", "x"), 503);
        postgres.ask("map", &records_of_form(1)).unwrap();
        let since = Instant::now();
        // What comes too early is refused, and nothing of it is there.
        while put(&format!("/a-bucket/after-{round}"), &body) != 200 {
            assert!(since.elapsed() < Duration::from_secs(60), "it does not come back");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    for name in ["before-0", "after-0", "before-1", "after-1"] {
        let read = curl(&format!("{}/a-bucket/{name}", server.endpoint), &[], true);
        assert!(read == (200, body.clone().into_bytes()), "{name}: {}", read.0);
    }
    assert!(server.ended().unwrap().is_none(), "it is the same process");
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[test]
fn what_is_to_be_said_of_the_metadata_server_is_said_once() {
    let postgres = Postgres::start(&["log_min_messages=notice", "max_locks_per_transaction=10"]).unwrap();
    postgres.create("map").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (root, data) = (scratch.path().join("root"), scratch.path().join("data"));
    root_key(&root, 1);
    for start in 0..2 {
        // The first one makes all, and the second one is refused behind what it has to say of the server.
        let mut command = gateway(&postgres.url("map"), &root, &data, &[]);
        let said = if start == 0 {
            let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
            let since = Instant::now();
            let keys = || postgres.ask("map", "select count(*) from sealgate_kms.kv");
            while !keys().is_ok_and(|count| count != "0") {
                assert!(since.elapsed() < Duration::from_secs(20), "it does not start");
                std::thread::sleep(Duration::from_millis(50));
            }
            // `timeout` passes it on.
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            )
            .unwrap();
            String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
        } else {
            let output = command.args(["--account-id", "000000000001"]).output().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        for what in ["no synchronous standby", "table of locks is too small"] {
            assert_eq!(said.matches(what).count(), 1, "{what}: {said}");
        }
    }
    assert!(!postgres.log().contains("already exists"), "{}", postgres.log());
}
