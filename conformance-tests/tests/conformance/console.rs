//! The web console's listener, and what its origin may: read what a signature may read, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::{Server, binary};
use http::Method;
use serde_json::Value;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer to a request that nobody signed.
struct Told {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn ask(endpoint: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Told {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    write!(stream, "{request}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).unwrap();
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(whole[..end].to_vec()).unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    Told {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body: whole[end + 4..].to_vec(),
    }
}

fn console_of(greeting: &[String]) -> Option<String> {
    greeting.iter().find_map(|line| line.trim().strip_prefix("console")).map(|url| url.trim().to_owned())
}

fn started(further: &[&str]) -> (Server, String) {
    let server = Server::start_with(&[&["--console-listen", "127.0.0.1:0"], further].concat()).unwrap();
    let console = console_of(&server.greeting).unwrap();
    (server, console)
}

/// What a file of the page refers to below `assets/`.
fn assets_in(text: &str) -> Vec<String> {
    let places = text.match_indices("assets/").map(|(at, _)| &text[at..]);
    let mut named: Vec<String> = places
        .map(|rest| rest.split(['"', '\'', '`', ')', ' ', '?']).next().unwrap_or_default().to_owned())
        .filter(|name| name.contains('.'))
        .collect();
    named.sort();
    named.dedup();
    named
}

#[tokio::test]
async fn the_console_serves_its_page_and_nothing_else() {
    let (server, console) = started(&[]);
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    root.s3(Method::PUT, "/assets", "").await.unwrap().success().unwrap();
    root.s3(Method::PUT, "/assets/page.html", "<script>alert(1)</script>").await.unwrap().success().unwrap();

    let page = ask(&console, "GET", "/", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        &format!("connect-src 'self' {}", server.endpoint),
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    assert!(
        !page.headers.contains_key("set-cookie") && !page.headers.contains_key("access-control-allow-origin")
    );
    // A browser that is told that it has the page already keeps the policy of before.
    assert!(!page.headers.contains_key("etag"), "{:?}", page.headers);
    // Scripts and styles come from files whose names change with what is in them.
    for name in assets_in(&page.text()) {
        let asset = ask(&console, "GET", &format!("/{name}"), &[("Accept-Encoding", "gzip")], "");
        assert_eq!(asset.status, 200, "{name}");
        assert!(asset.header("cache-control").contains("immutable"), "{name}");
        assert_eq!(asset.header("content-encoding"), "gzip", "{name}");
        let known = [("If-None-Match", asset.header("etag"))];
        assert_eq!(ask(&console, "GET", &format!("/{name}"), &known, "").status, 304, "{name}");
    }
    let told: Value = serde_json::from_str(&ask(&console, "GET", "/config.json", &[], "").text()).unwrap();
    assert_eq!(told["endpoint"], server.endpoint.as_str());
    assert_eq!((&told["region"], &told["ldap"]), (&Value::from("us-east-1"), &Value::from(false)));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));

    // No object, no API, no file of the host.
    let signed = Credentials::root();
    let credential = format!("?X-Amz-Credential={}", signed.access_key_id);
    for target in [
        "/assets/page.html",
        "/assets",
        "/assets/page.html?X-Amz-Signature=1",
        "/?Action=ListUsers&Version=2010-05-08",
        "/_sealgate/admin/v1/whoami",
        "/_sealgate/metrics",
        "/..%2f..%2fetc/passwd",
        "/assets/../../Cargo.toml",
        &format!("/assets/page.html{credential}"),
    ] {
        let answer = ask(&console, "GET", target, &[], "");
        assert!(!answer.text().contains("alert(1)"), "{target}");
        assert!(answer.status == 404 || target.starts_with("/?"), "{target}: {}", answer.status);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(&console, method, "/", &[("Origin", &console)], "x").status, 405, "{method}");
    }
    assert!(ask(&console, "HEAD", "/", &[], "").body.is_empty());
}

#[tokio::test]
async fn only_the_consoles_origin_reads_answers_and_no_origin_is_privileged() {
    let (server, console) = started(&[]);
    let endpoint = &server.endpoint;
    let mut root = Caller::open(endpoint, Credentials::root()).await.unwrap();
    root.s3(Method::PUT, "/kept", "").await.unwrap().success().unwrap();
    root.s3(Method::PUT, "/kept/object", "secret").await.unwrap().success().unwrap();
    let port = console.rsplit_once(':').unwrap().1;
    let named = format!("http://localhost:{port}");
    let targets = ["/", "/kept", "/kept/object", "/_sealgate/admin/v1/status", "/?Action=ListUsers"];

    for origin in [console.as_str(), named.as_str()] {
        for target in targets {
            let wanted = "authorization,x-amz-date,x-amz-target";
            let preflight = [
                ("Origin", origin),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", wanted),
            ];
            let told = ask(endpoint, "OPTIONS", target, &preflight, "");
            assert_eq!(told.status, 204, "{origin} {target}");
            assert_eq!(told.header("access-control-allow-origin"), origin);
            assert_eq!(told.header("access-control-allow-headers"), wanted);
            assert!(told.header("access-control-allow-methods").contains("PUT"));
            assert!(!told.headers.contains_key("access-control-allow-credentials"));
            // The page may read the refusal; that it is one stays.
            let told = ask(endpoint, "GET", target, &[("Origin", origin)], "");
            assert_eq!(told.status, 403, "{origin} {target}: {}", told.text());
            assert_eq!(told.header("access-control-allow-origin"), origin);
            assert_eq!(told.header("access-control-expose-headers"), "*");
            assert!(!told.text().contains("secret"));
        }
    }
    let evil = [
        "null".to_owned(),
        "http://evil.example".to_owned(),
        format!("{console}.evil.example"),
        format!("{console}0"),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.1.evil.example:{port}"),
        "http://127.0.0.1".to_owned(),
        endpoint.clone(),
    ];
    for origin in &evil {
        for target in targets {
            let preflight = [("Origin", origin.as_str()), ("Access-Control-Request-Method", "GET")];
            let told = ask(endpoint, "OPTIONS", target, &preflight, "");
            assert!(!told.headers.contains_key("access-control-allow-origin"), "{origin} {target}");
            let told = ask(endpoint, "GET", target, &[("Origin", origin)], "");
            assert!(!told.headers.contains_key("access-control-allow-origin"), "{origin} {target}");
        }
    }
    // What a page can have a browser send without asking first, and what it can't: nothing of it counts without a signature.
    let forms = [
        (
            "POST",
            "/",
            "application/x-www-form-urlencoded",
            "Action=CreateUser&Version=2010-05-08&UserName=eve",
        ),
        ("POST", "/?Action=CreateUser&Version=2010-05-08&UserName=eve", "text/plain", ""),
        ("POST", "/kept?delete", "text/plain", "<Delete><Object><Key>object</Key></Object></Delete>"),
        ("POST", "/kept/new", "text/plain", "x"),
        ("POST", "/_sealgate/admin/v1/users/eve/revoke-sessions", "text/plain", ""),
        ("PUT", "/_sealgate/admin/v1/quota?bucket=kept", "application/json", "{\"bytes\":1}"),
        ("PUT", "/taken", "text/plain", ""),
        ("DELETE", "/kept/object", "text/plain", ""),
    ];
    for origin in [console.as_str(), "http://evil.example"] {
        for (method, target, kind, body) in forms {
            let told = ask(endpoint, method, target, &[("Origin", origin), ("Content-Type", kind)], body);
            // A deletion of several answers for each of them.
            let is_refused = (400..500).contains(&told.status)
                || target.ends_with("?delete")
                    && String::from_utf8_lossy(&told.body).contains("<Code>AccessDenied</Code>");
            assert!(is_refused, "{method} {target}: {}", told.status);
        }
    }
    assert_eq!(root.s3(Method::GET, "/kept/object", "").await.unwrap().text(), "secret");
    let buckets = root.s3(Method::GET, "/", "").await.unwrap().text();
    assert!(buckets.matches("<Bucket>").count() == 1, "{buckets}");
    assert!(!root.iam("ListUsers", &[]).await.unwrap().text().contains("eve"));

    // A bucket's own rules go on for everybody else, and say nothing to the console's origin.
    let rules = "<CORSConfiguration><CORSRule><AllowedOrigin>http://app.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";
    let set = root.s3_hashed(Method::PUT, "/kept?cors=", rules).await.unwrap();
    set.success().unwrap();
    let told = ask(endpoint, "GET", "/kept/object", &[("Origin", "http://app.example")], "");
    assert_eq!(told.header("access-control-allow-origin"), "http://app.example");
    assert_eq!(told.header("access-control-allow-credentials"), "true");
    let told = ask(endpoint, "GET", "/kept/object", &[("Origin", &console)], "");
    assert_eq!(told.header("access-control-allow-origin"), console);
    assert!(!told.headers.contains_key("access-control-allow-credentials"));
}

#[test]
fn origins_and_endpoint_are_as_they_are_set() {
    let arguments = [
        "--console-endpoint",
        "https://s3.example.com",
        "--console-origins",
        "https://console.example.com,http://other.example:8080",
    ];
    let (server, console) = started(&arguments);
    let told: Value = serde_json::from_str(&ask(&console, "GET", "/config.json", &[], "").text()).unwrap();
    assert_eq!(told["endpoint"], "https://s3.example.com");
    let policy = ask(&console, "GET", "/", &[], "").header("content-security-policy").to_owned();
    assert!(policy.contains("connect-src 'self' https://s3.example.com;"), "{policy}");
    let allowed = |origin: &str| {
        let told = ask(&server.endpoint, "GET", "/", &[("Origin", origin)], "");
        told.headers.contains_key("access-control-allow-origin")
    };
    assert!(allowed("https://console.example.com") && allowed("http://other.example:8080"));
    assert!(!allowed(&console), "the listener's own origin is not among those that are set");
    drop(server);
    let server = Server::start().unwrap();
    assert_eq!(console_of(&server.greeting), None);
    let told = ask(&server.endpoint, "GET", "/", &[("Origin", "http://127.0.0.1:9001")], "");
    assert!(!told.headers.contains_key("access-control-allow-origin"), "a port that is somebody else's");
}

#[test]
fn a_usual_port_in_use_costs_the_console_and_a_named_one_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = |data: &str, arguments: &[&str]| {
        Command::new(binary().unwrap())
            .args(["--listen", "127.0.0.1:0", "--min-free-mib", "16", "--log", "warn", "--data"])
            .arg(folder.path().join(data))
            .args(["--metrics-listen", "off"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // Somebody else may have it, which is as good.
    let taken = TcpListener::bind("127.0.0.1:9001").ok();
    let mut usual = gateway("usual", &[]);
    let mut said = String::new();
    BufReader::new(usual.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("console") && said.contains("9001"), "{said}");
    let mut greeting = BufReader::new(usual.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert!(greeting.any(|line| line.contains("S3 endpoint")), "it did not start");
    usual.kill().unwrap();
    usual.wait().unwrap();
    drop(taken);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut named = gateway("named", &["--console-listen", &address]);
    assert_eq!(named.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    named.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("--console-listen") && said.contains(&address), "{said}");
}
