//! The configuration: checked, shown with its origins, and changed while a gateway runs; proxies that name the client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::{Server, binary};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

const CLIENT: &str = "203.0.113.7";

/// Waits for what the gateway does by itself. The machine may be busy.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn sealgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary().unwrap());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEALGATE_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("SEALGATE_REGION", "eu-north-1").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The status of an unsigned GET whose connection begins with these bytes.
fn status(server: &Server, begin: &[u8], path: &str, headers: &str) -> String {
    let address = server.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(&[begin, head.as_bytes()].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    text(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A bucket whose objects `open` are for this client alone, and `tls` for who comes by TLS.
async fn bucket(server: &Server) {
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    root.s3(Method::PUT, "/proxied", "").await.unwrap().success().unwrap();
    for object in ["/proxied/open", "/proxied/tls"] {
        root.s3(Method::PUT, object, "x").await.unwrap().success().unwrap();
    }
    let allow = |object: &str, condition: serde_json::Value| {
        json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::proxied/{object}"), "Condition": condition})
    };
    let policy = json!({"Version": "2012-10-17", "Statement": [
        allow("open", json!({"IpAddress": {"aws:SourceIp": format!("{CLIENT}/32")}})),
        allow("tls", json!({"Bool": {"aws:SecureTransport": "true"}})),
    ]});
    root.s3(Method::PUT, "/proxied?policy=", &policy.to_string()).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_are_trusted_name_the_client_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sealgate.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("default_block_public_access = false\n");
    let server = Server::start_with(&["--config", file.to_str().unwrap()]).unwrap();
    bucket(&server).await;
    let get = |object: &str, headers: &str| status(&server, b"", &format!("/proxied/{object}"), headers);
    let from_client = format!("X-Forwarded-For: {CLIENT}\r\n");
    assert_eq!(get("open", &from_client), "403");

    write("default_block_public_access = false\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    server.signal(Signal::HUP).unwrap();
    until("trusted proxies are taken over", || get("open", &from_client) == "200");
    for (headers, expected) in [
        ("", "403"),
        ("X-Forwarded-For: 198.51.100.9\r\n", "403"),
        // What stands left of who is no proxy may be made up.
        ("X-Forwarded-For: 203.0.113.7, 198.51.100.9\r\n", "403"),
        ("X-Forwarded-For: 198.51.100.9, 203.0.113.7, 10.1.1.1\r\n", "200"),
        ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.1.1.1\r\n", "200"),
    ] {
        assert_eq!(get("open", headers), expected, "{headers}");
    }
    assert_eq!(get("tls", &from_client), "403");
    assert_eq!(get("tls", &format!("{from_client}X-Forwarded-Proto: https\r\n")), "200");
    assert_eq!(get("tls", &format!("{from_client}X-Forwarded-Proto: http\r\n")), "403");

    // What is wrong changes nothing, and says so; the next right one counts.
    write("trusted_prxies = []\n");
    server.signal(Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(get("open", &from_client), "200");
    write("default_block_public_access = false\n");
    server.signal(Signal::HUP).unwrap();
    until("nobody is trusted any more", || get("open", &from_client) == "403");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_names_the_client_of_a_connection() {
    let arguments = ["--default-block-public-access", "false", "--trusted-proxies"];
    let arguments = [&arguments[..], &["127.0.0.1", "--proxy-protocol", "listen"]].concat();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Clients that know nothing of it make the bucket.
    let server = Server::start_on(&data, &["--default-block-public-access", "false"]).unwrap();
    bucket(&server).await;
    drop(server);
    let server = Server::start_on(&data, &arguments).unwrap();
    let second = |source: [u8; 4]| {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        bytes.extend(source);
        bytes.extend([127, 0, 0, 1, 0x12, 0x67, 0x23, 0x28]);
        bytes
    };
    let first = format!("PROXY TCP4 {CLIENT} 127.0.0.1 4711 9000\r\n");
    let get = |begin: &[u8], headers: &str| status(&server, begin, "/proxied/open", headers);
    assert_eq!(get(&second([203, 0, 113, 7]), ""), "200");
    assert_eq!(get(&second([198, 51, 100, 9]), ""), "403");
    // Who is no proxy names nobody.
    assert_eq!(get(&second([198, 51, 100, 9]), &format!("X-Forwarded-For: {CLIENT}\r\n")), "403");
    assert_eq!(get(first.as_bytes(), ""), "200");
    assert_eq!(get(b"", ""), "", "a proxy that sends no header is not served");
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["first", "second"] {
        let made = Command::new("openssl")
            .args(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
                    .split(' '),
            )
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-out", &path(&format!("{name}.crt")), "-keyout", &path(&format!("{name}.key"))])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    let put = |from: &str| {
        for kind in ["key", "crt"] {
            std::fs::copy(path(&format!("{from}.{kind}")), path(&format!("shown.{kind}"))).unwrap();
        }
    };
    put("first");
    let server =
        Server::start_with(&["--tls-cert", &path("shown.crt"), "--tls-key", &path("shown.key")]).unwrap();
    let trusts = |name: &str| {
        let curl = Command::new("curl")
            .args(["--silent", "--max-time", "30", "--fail", "--cacert", &path(&format!("{name}.crt"))])
            .arg(format!("{}/_sealgate/health/live", server.endpoint))
            .output()
            .unwrap();
        curl.status.success()
    };
    assert!(trusts("first") && !trusts("second"));
    // Nobody tells it.
    put("second");
    until("the second certificate is shown", || trusts("second"));
    // A pair that does not go together is not shown, not even when told to.
    std::fs::copy(path("first.key"), path("shown.key")).unwrap();
    server.signal(Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(trusts("second"));
    put("first");
    server.signal(Signal::HUP).unwrap();
    until("the first certificate is shown again", || trusts("first"));
}

#[test]
fn a_configuration_is_checked_and_shown_with_its_origins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sealgate.toml");
    let file = file.to_str().unwrap();
    std::fs::write(
        file,
        "\nmax_connections = 100\nmetadata = \"postgres://u:hunter2@h/d\"\nroot_key = \"k\"\n",
    )
    .unwrap();
    let checked = sealgate(&["config", "check", file]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let shown = text(&sealgate(&["--config", file, "config", "show", "--log", "warn"]).stdout);
    for line in [
        format!("max_connections = 100  # {file}:2"),
        "region = \"eu-north-1\"  # environment SEALGATE_REGION".to_owned(),
        "log = \"warn\"  # flag --log".to_owned(),
        "idle_timeout_s = 30  # default".to_owned(),
        "#tls_cert: not set".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(shown.contains("postgres://u:***@h/d") && !shown.contains("hunter2"), "{shown}");
    let json = sealgate(&["--config", file, "config", "show", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["max_connections"]["value"], 100);
    assert_eq!(json["region"]["origin"], "environment SEALGATE_REGION");

    for (wrong, named) in [
        ("\nmax_conections = 1\n", "line 2: there is no setting `max_conections`"),
        ("max_connections = \"many\"\n", "line 1: max_connections"),
        ("log = \"gateway=nonsense\"\n", "log"),
        ("tls_cert = \"/none.crt\"\ntls_key = \"/none.key\"\n", "/none.crt"),
    ] {
        std::fs::write(file, wrong).unwrap();
        let refused = sealgate(&["config", "check", file]);
        let told = text(&refused.stderr);
        assert!(!refused.status.success() && told.contains(named), "{wrong}: {told}");
    }
}

#[test]
fn help_tells_a_command_its_own_options_and_serve_all_settings_by_group() {
    let help = |arguments: &[&str]| text(&sealgate(&[arguments, &["--help"]].concat()).stdout);
    for command in [&[][..], &["scrub"], &["backup"], &["kms"]] {
        let told = help(command);
        assert!(told.contains("--config") && !told.contains("--max-connections"), "{command:?}: {told}");
    }
    let serve = help(&["serve"]);
    for told in ["Limits:", "--max-connections", "Listeners and names:", "--trusted-proxies"] {
        assert!(serve.contains(told), "{told}: {serve}");
    }
    // Settings are taken before a command and behind it, as ever.
    for arguments in [["--region", "x y", "status"], ["status", "--region", "x y"]] {
        assert!(text(&sealgate(&arguments).stderr).contains("region"), "{arguments:?}");
    }
    let bash = text(&sealgate(&["completions", "bash"]).stdout);
    assert!(bash.contains("complete -F") && bash.contains("rebuild"), "{bash}");
    let folder = tempfile::tempdir().unwrap();
    let made = sealgate(&["man", folder.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let page = |name: &str| std::fs::read_to_string(Path::join(folder.path(), name)).unwrap();
    assert!(page("sealgate.1").contains(".TH sealgate 1"));
    assert!(page("sealgate-serve.1").contains("max\\-connections"));
}
