//! What a gateway tells of itself: metrics that Prometheus' own checker takes, readiness, what the service manager hears, and traces.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};
use http::Method;
use serde_json::{Value, json};

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// GET over plain HTTP: the status, and the body.
fn get(url: &str, accept: &str) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn started() -> (Server, String) {
    started_with(&[])
}

fn started_with(further: &[&str]) -> (Server, String) {
    let arguments = [&["--metrics-listen", "127.0.0.1:0"], further].concat();
    let server = Server::start_with(&arguments).unwrap();
    let url = server.greeting.iter().find_map(|line| line.trim().strip_prefix("metrics")).unwrap();
    let url = url.trim().to_owned();
    assert!(url.ends_with("/_sealgate/metrics"), "{url}");
    (server, url)
}

/// Every series, as `name{labels}`, with its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let split = lines.map(|line| line.rsplit_once(' ').unwrap());
    split.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn check_with_promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn promtool_takes_every_metric_and_they_tell_what_was_done() {
    let (server, url) = started();
    check_with_promtool(&get(&url, "*/*").1);
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    root.s3(Method::PUT, "/metered", "").await.unwrap().success().unwrap();
    let body = "x".repeat(5000);
    for number in 0..3 {
        root.s3(Method::PUT, &format!("/metered/{number}"), &body).await.unwrap().success().unwrap();
        root.s3(Method::GET, &format!("/metered/{number}"), "").await.unwrap().success().unwrap();
    }
    assert_eq!(root.s3(Method::GET, "/metered/nothing", "").await.unwrap().code(), "NoSuchKey");
    let key = root.kms("CreateKey", &json!({})).await.unwrap().success().unwrap();
    let key: Value = serde_json::from_slice(&key.body).unwrap();
    let key = key["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let under_key = [
        ("x-amz-server-side-encryption", "aws:kms".to_owned()),
        ("x-amz-server-side-encryption-aws-kms-key-id", key),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true".to_owned()),
    ];
    for name in ["/metered/kms1", "/metered/kms2"] {
        let put = root.send(Method::PUT, name, &under_key, Bytes::from_static(b"sealed")).await.unwrap();
        assert_eq!(put.status(), 200);
        // Its body has to end before another request can be sent.
        http_body_util::BodyExt::collect(put.into_body()).await.unwrap();
    }
    let mut guesser = Caller::open(&server.endpoint, Credentials::root().guessed()).await.unwrap();
    assert_eq!(guesser.s3(Method::GET, "/metered/0", "").await.unwrap().code(), "SignatureDoesNotMatch");
    root.iam("ListUsers", &[]).await.unwrap().success().unwrap();

    // An answer's record is told when its last byte has gone, which may be after the client has it.
    let operation = |name: &str| format!("{{service=\"s3\",operation=\"{name}\",status_class=\"2xx\"}}");
    let mut told = BTreeMap::new();
    for _ in 0..600 {
        told = series(&get(&url, "*/*").1);
        if told.get(&format!("sealgate_requests_total{}", operation("PutObject"))) == Some(&5.0)
            && told.contains_key(
                "sealgate_requests_total{service=\"iam\",operation=\"ListUsers\",status_class=\"2xx\"}",
            )
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let value = |name: &str| *told.get(name).unwrap_or_else(|| panic!("{name} is not told of: {told:#?}"));
    assert_eq!(value(&format!("sealgate_requests_total{}", operation("PutObject"))), 5.0);
    assert_eq!(value(&format!("sealgate_requests_total{}", operation("GetObject"))), 3.0);
    assert_eq!(value("sealgate_request_errors_total{service=\"s3\",code=\"NoSuchKey\"}"), 1.0);
    let refused = "{service=\"s3\",code=\"SignatureDoesNotMatch\"}";
    assert_eq!(value(&format!("sealgate_authentication_failures_total{refused}")), 1.0);
    let put = "{service=\"s3\",operation=\"PutObject\"}";
    assert_eq!(value(&format!("sealgate_request_received_bytes_total{put}")), 15_012.0);
    assert_eq!(value(&format!("sealgate_request_duration_seconds_count{put}")), 5.0);
    assert_eq!(value(&format!("sealgate_request_first_byte_seconds_count{put}")), 5.0);
    let got = "{service=\"s3\",operation=\"GetObject\"}";
    assert!(value(&format!("sealgate_request_sent_bytes_total{got}")) >= 15_000.0);
    let call = |operation, origin| {
        format!("sealgate_kms_calls_total{{operation=\"{operation}\",origin=\"{origin}\",outcome=\"ok\"}}")
    };
    assert_eq!(value(&call("GenerateDataKey", "sse")), 1.0);
    assert_eq!(value(&call("CreateKey", "api")), 1.0);
    assert_eq!(value("sealgate_bucket_key_lookups_total{result=\"hit\"}"), 1.0);
    assert_eq!(value("sealgate_bucket_key_lookups_total{result=\"miss\"}"), 1.0);
    assert_eq!(value("sealgate_sealed"), 0.0);
    assert_eq!(value("sealgate_ready"), 1.0);
    assert!(value("sealgate_connections_open") >= 2.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    // What buckets hold is told a few seconds late.
    let bucket = "sealgate_bucket_objects{bucket=\"metered\"}";
    for _ in 0..600 {
        if told.get(bucket) == Some(&5.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = series(&get(&url, "*/*").1);
    }
    let value = |name: &str| *told.get(name).unwrap_or_else(|| panic!("{name} is not told of: {told:#?}"));
    assert_eq!(value(bucket), 5.0);
    assert_eq!(value("sealgate_bucket_versions{bucket=\"metered\"}"), 5.0);
    assert_eq!(value("sealgate_bucket_size_bytes{bucket=\"metered\"}"), 15_012.0);
    assert!(value("sealgate_bucket_stored_bytes{bucket=\"metered\"}") > 15_012.0);
    assert_eq!(value("sealgate_bucket_incomplete_uploads{bucket=\"metered\"}"), 0.0);
    assert_eq!((value("sealgate_buckets"), value("sealgate_objects")), (1.0, 5.0));
    if !Server::is_shared() {
        assert!(value("sealgate_blob_writes_total") >= 5.0);
        assert!(value("sealgate_blob_reads_total") >= 3.0);
        assert!(value("sealgate_blob_sync_seconds_count") >= 1.0);
        assert!(value("sealgate_disk_free_bytes") > 0.0);
    }
    assert!(value("sealgate_catalog_commits_total{outcome=\"ok\"}") >= 6.0);
    assert!(value("sealgate_catalog_commit_sync_seconds_count") >= 6.0);
    // What has no figure yet is told all the same, so that rates have a beginning.
    for name in [
        "sealgate_build_info",
        "sealgate_uptime_seconds",
        "sealgate_requests_in_flight",
        "sealgate_blob_read_bytes_total",
        "sealgate_blob_errors_total{operation=\"read\"}",
        "sealgate_reclaim_blobs_total{reason=\"orphan\"}",
        "sealgate_reclaim_backlog_records",
        "sealgate_reclaim_oldest_waiting_seconds",
        "sealgate_quarantined_blobs_total",
        "sealgate_scrub_running",
        "sealgate_lifecycle_running",
        "sealgate_lifecycle_backlog_versions",
        "sealgate_lifecycle_versions_seen_total",
        "sealgate_lifecycle_walks_total{outcome=\"failed\"}",
        "sealgate_lifecycle_changes_total{change=\"expired\"}",
        "sealgate_rewrap_running",
        "sealgate_rewrap_backlog_versions",
        "sealgate_rewrap_versions_total{outcome=\"failed\"}",
        "sealgate_log_lost_lines_total{log=\"audit\"}",
        "sealgate_bucket_log_deliveries_total{outcome=\"failed\"}",
        "sealgate_trace_spans_total{outcome=\"dropped\"}",
        "sealgate_catalog_damaged_records",
        "sealgate_usage_counted",
    ] {
        assert!(told.keys().any(|key| key.starts_with(name)), "{name} is not told of: {told:#?}");
    }
    assert!(told.keys().all(|name| name.starts_with("sealgate_") || name.starts_with("process_")));
    check_with_promtool(&get(&url, "*/*").1);

    let (status, open) = get(&url, "application/openmetrics-text; version=1.0.0");
    assert!(status == 200 && open.ends_with("# EOF\n"), "{open}");
}

#[tokio::test]
async fn beside_s3_callers_sign_and_need_the_action() {
    let (server, url) = started();
    let base = url.strip_suffix("/_sealgate/metrics").unwrap();
    for path in
        ["/minio/v2/metrics/cluster", "/minio/health/live", "/minio/health/ready", "/_sealgate/health/ready"]
    {
        assert_eq!(get(&format!("{base}{path}"), "*/*").0, 200, "{path}");
    }
    assert_eq!(get(&format!("{base}/metered"), "*/*").0, 404);

    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let user = ("UserName", "scraper");
    root.iam("CreateUser", &[user]).await.unwrap().success().unwrap();
    let key = root.iam("CreateAccessKey", &[user]).await.unwrap().success().unwrap();
    let mut scraper = Caller::open(&server.endpoint, Credentials::of_answer(&key).unwrap()).await.unwrap();
    for path in ["/_sealgate/metrics", "/minio/v2/metrics/cluster"] {
        assert_eq!(get(&format!("{}{path}", server.endpoint), "*/*").0, 403, "{path}");
        assert_eq!(scraper.s3(Method::GET, path, "").await.unwrap().status, 403, "{path}");
        let told = root.s3(Method::GET, path, "").await.unwrap().success().unwrap();
        assert!(told.text().contains("\nsealgate_build_info{"), "{}", told.text());
    }
    let policy = json!({ "Version": "2012-10-17", "Statement":
        [{ "Effect": "Allow", "Action": "sealgate:GetMetrics", "Resource": "*" }] });
    let policy = policy.to_string();
    let policy = [user, ("PolicyName", "scrape"), ("PolicyDocument", policy.as_str())];
    root.iam("PutUserPolicy", &policy).await.unwrap().success().unwrap();
    let told = scraper.s3(Method::GET, "/_sealgate/metrics", "").await.unwrap().success().unwrap();
    check_with_promtool(&told.text());
}

/// A gateway that is started without what the other tests start theirs with.
struct Started(Child, Vec<String>);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Started {
    let mut child = Command::new(binary().unwrap())
        .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data"])
        .arg(data)
        .args(arguments)
        .env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = Vec::new();
    for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
        greeting.push(line.unwrap());
        if greeting.last().unwrap().trim_start().starts_with("aws s3 cp") {
            break;
        }
    }
    Started(child, greeting)
}

#[test]
fn a_usual_port_in_use_costs_the_listener_and_a_named_one_the_start() {
    let folder = tempfile::tempdir().unwrap();
    // Somebody else may have it, which is as good.
    let taken = TcpListener::bind("127.0.0.1:9002").ok();
    let mut gateway = start(&folder.path().join("usual"), &[], &[]);
    assert!(!gateway.1.is_empty(), "it did not start");
    assert!(!gateway.1.iter().any(|line| line.trim().starts_with("metrics")), "{:?}", gateway.1);
    let mut said = String::new();
    BufReader::new(gateway.0.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("metrics") && said.contains("9002"), "{said}");
    drop((gateway, taken));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().join("named");
    let mut gateway = start(&data, &["--metrics-listen", &address], &[]);
    assert_eq!(gateway.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    gateway.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("--metrics-listen") && said.contains(&address), "{said}");
    assert!(!data.exists(), "it made a folder");
}

#[test]
fn a_gateway_without_space_is_not_ready_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--metrics-listen", "127.0.0.1:0", "--min-free-mib", "1000000000000"];
    let gateway = start(&folder.path().join("data"), &arguments, &[]);
    let url =
        gateway.1.iter().find_map(|line| line.trim().strip_prefix("metrics")).unwrap().trim().to_owned();
    let (status, told) = get(&url.replace("/metrics", "/health/ready"), "*/*");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (status, &told["space"]["ok"], &told["keys"]["ok"]),
        (503, &json!(false), &json!(true)),
        "{told}"
    );
    assert_eq!(get(&url.replace("/metrics", "/health/live"), "*/*").0, 200);
    let told = series(&get(&url, "*/*").1);
    assert_eq!(told["sealgate_ready"], 0.0);
    assert_eq!(told["sealgate_ready_check{check=\"space\"}"], 0.0);
    assert_eq!(told["sealgate_ready_check{check=\"map\"}"], 1.0);
}

#[tokio::test]
async fn requests_that_nobody_wants_counted_are_not() {
    for counts in [true, false] {
        let (server, url) = started_with(&["--metrics-requests", &counts.to_string()]);
        let mut root = Caller::open(&server.endpoint, Credentials::of_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY))
            .await
            .unwrap();
        let made = root.send(Method::PUT, "/counted", &[], Bytes::new()).await.unwrap();
        assert_eq!(made.status(), 200);
        drop(made);
        // A request counts once its answer has gone, which its sender may know before.
        let began = std::time::Instant::now();
        let told = loop {
            let told = series(&get(&url, "*/*").1);
            let is_counted = told.keys().any(|name| name.starts_with("sealgate_requests_total{"));
            if is_counted || !counts || began.elapsed() > PATIENCE {
                break is_counted;
            }
        };
        assert_eq!(told, counts);
        // What engines count is told all the same.
        assert!(series(&get(&url, "*/*").1)["sealgate_catalog_commits_total{outcome=\"ok\"}"] >= 1.0);
    }
}

#[test]
fn a_certificates_expiry_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // X.509 writes the years from 2050 on in another way.
    for days in [30, 36_500] {
        let (certificate, private_key) = (folder.path().join("certificate"), folder.path().join("key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=localhost", "-days", &days.to_string(), "-keyout"])
            .arg(&private_key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let files = [certificate.to_str().unwrap(), private_key.to_str().unwrap()];
        let arguments = ["--metrics-listen", "127.0.0.1:0", "--tls-cert", files[0], "--tls-key", files[1]];
        let server = Server::start_with(&arguments).unwrap();
        let url = server.greeting.iter().find_map(|line| line.trim().strip_prefix("metrics")).unwrap();
        let told = series(&get(url.trim(), "*/*").1);
        let expires_s = told["sealgate_certificate_expiry_timestamp_seconds"];
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let left_s = expires_s - now_s;
        assert!((left_s - f64::from(days) * 86_400.0).abs() < 3600.0, "{days}: {left_s}");
    }
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 512];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
        ("SEALGATE_METRICS_LISTEN", "off"),
    ];
    let mut gateway = start(&folder.path().join("data"), &[], &variables);
    let ready = next();
    assert!(ready.starts_with("READY=1\nSTATUS=Serving"), "{ready}");
    assert_eq!((next(), next()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
    let pid = rustix::process::Pid::from_child(&gateway.0);
    let signal = |signal| rustix::process::kill_process(pid, signal).unwrap();
    let next_but_alive = || {
        let mut told = next();
        while told == "WATCHDOG=1" {
            told = next();
        }
        told
    };
    let monotonic_us = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    };
    let before_us = monotonic_us();
    signal(rustix::process::Signal::HUP);
    let reloading = next_but_alive();
    let at_us = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!((before_us..=monotonic_us()).contains(&at_us.parse().unwrap()), "{reloading}");
    let ready = next_but_alive();
    assert!(ready.starts_with("READY=1\nSTATUS=Serving with the configuration as it is now"), "{ready}");
    signal(rustix::process::Signal::TERM);
    let told = next_but_alive();
    assert!(told.starts_with("STOPPING=1"), "{told}");
    assert!(gateway.0.wait().unwrap().success());
}

/// A collector: takes one request after the other, and hands on what their bodies are.
fn collector() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let len = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            let mut body = vec![0; len.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let head = head.lines().next().unwrap_or_default().to_owned();
            if sender.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].get("stringValue").or_else(|| found["value"].get("intValue"))?.as_str()
}

#[tokio::test]
async fn a_collector_gets_a_span_for_each_request() {
    let (url, requests) = collector();
    let mut server = Server::start_with(&["--otlp-endpoint", &url]).unwrap();
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let made = root.s3(Method::PUT, "/traced", "").await.unwrap().success().unwrap();
    let missing = root.s3(Method::GET, "/traced/nothing", "").await.unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (name, flags) in [("/traced/sampled", "01"), ("/traced/unsampled", "00")] {
        let parent = [("traceparent", format!("00-{trace}-00f067aa0ba902b7-{flags}"))];
        let put = root.send(Method::PUT, name, &parent, Bytes::from_static(b"body")).await.unwrap();
        http_body_util::BodyExt::collect(put.into_body()).await.unwrap();
    }
    drop(root);
    // What waits is sent before it ends.
    assert_eq!(server.stop().unwrap(), Some(0));
    let mut spans = Vec::new();
    while let Ok((head, body)) = requests.recv_timeout(Duration::from_secs(5)) {
        assert_eq!(head, "POST /v1/traces HTTP/1.1");
        let resource = &body["resourceSpans"][0];
        assert_eq!(attribute(&resource["resource"], "service.name"), Some("sealgate"));
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
        if spans.len() >= 3 {
            break;
        }
    }
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let id = |answer: &conformance_tests::caller::Answer| {
        answer.headers["x-amz-request-id"].to_str().unwrap().to_owned()
    };
    let of = |request_id: &str| {
        spans.iter().find(|span| attribute(span, "aws.request_id") == Some(request_id)).unwrap()
    };
    let span = of(&id(&made));
    assert_eq!((&span["name"], &span["kind"]), (&json!("CreateBucket"), &json!(2)));
    assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(attribute(span, "aws.s3.bucket"), Some("traced"));
    assert_eq!(attribute(span, "http.response.status_code"), Some("200"));
    let at = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(at("startTimeUnixNano") < at("endTimeUnixNano"));
    let span = of(&id(&missing));
    assert_eq!(attribute(span, "error.type"), Some("NoSuchKey"));
    assert_eq!(attribute(span, "aws.s3.key"), Some("nothing"));
    let sampled = spans.iter().find(|span| span["traceId"] == trace).unwrap();
    assert_eq!(sampled["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(attribute(sampled, "aws.s3.key"), Some("sampled"));
    assert_eq!(attribute(sampled, "http.request.body.size"), Some("4"));
}
