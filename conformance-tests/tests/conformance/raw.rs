//! What SDKs can't say, with curl: TLS and h2, refusals of authentication, `Expect: 100-continue`, virtual hosts.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30"])
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const SIGV4: [&str; 2] = ["--aws-sigv4", "aws:amz:us-east-1:s3"];

fn user() -> String {
    format!("{ACCESS_KEY_ID}:{SECRET_ACCESS_KEY}")
}

#[test]
fn tls_serves_http_1_and_h2() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, private_key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-out",
        ])
        .arg(&cert)
        .arg("-keyout")
        .arg(&private_key)
        .output()
        .unwrap();
    assert!(made.status.success());
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", private_key.to_str().unwrap()];
    let server = Server::start_with(&[&tls[..], &["--idle-timeout-s", "2"]].concat()).unwrap();
    assert!(server.endpoint.starts_with("https://"));
    // Who begins no handshake has his time too.
    let mut silent = TcpStream::connect(server.endpoint.strip_prefix("https://").unwrap()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let ended = silent.read(&mut [0; 16]);
    assert!(!ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{ended:?}");
    let user = user();
    for version in ["--http1.1", "--http2"] {
        let auth = [
            SIGV4[0],
            SIGV4[1],
            "--user",
            &user,
            "-H",
            "x-amz-content-sha256: UNSIGNED-PAYLOAD",
            version,
            "-k",
        ];
        let bucket = format!("{}/tls{}", server.endpoint, &version[6..7]);
        let mut put = auth.to_vec();
        put.extend(["-X", "PUT", "--fail", &bucket]);
        let made = curl(&put);
        assert!(made.status.success(), "{version}: {}", String::from_utf8_lossy(&made.stderr));
        let object = format!("{bucket}/k");
        let mut put = auth.to_vec();
        put.extend(["-X", "PUT", "--data-binary", "over the wire", "--fail", &object]);
        assert!(curl(&put).status.success(), "{version}");
        let mut get = auth.to_vec();
        get.extend(["--fail", "-w", " %{http_version}", &object]);
        assert_eq!(
            text(&curl(&get)),
            format!("over the wire {}", if version == "--http2" { "2" } else { "1.1" })
        );
    }
}

#[test]
fn every_answer_and_every_refusal_has_its_ids_and_its_form() {
    let server = Server::start().unwrap();
    let user = user();
    let anonymous = curl(&["-i", &server.endpoint]);
    let answer = text(&anonymous);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    for part in ["x-amz-request-id: ", "x-amz-id-2: ", "<Code>AccessDenied</Code>", "<RequestId>"] {
        assert!(answer.contains(part), "{answer}");
    }
    let payload = ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
    let ask = |scope: &str, user: &str| {
        text(&curl(&["--aws-sigv4", scope, "--user", user, payload[0], payload[1], &server.endpoint]))
    };
    let unknown = ask(SIGV4[1], "AKIDUNKNOWN:secret");
    assert!(unknown.contains("<Code>InvalidAccessKeyId</Code>"), "{unknown}");
    let wrong = ask(SIGV4[1], &format!("{ACCESS_KEY_ID}:wrong"));
    for part in ["SignatureDoesNotMatch", "<StringToSign>", "<CanonicalRequest>", "<SignatureProvided>"] {
        assert!(wrong.contains(part), "{wrong}");
    }
    let region = ask("aws:amz:eu-west-1:s3", &user);
    assert!(
        region.contains("AuthorizationHeaderMalformed") && region.contains("<Region>us-east-1</Region>"),
        "{region}"
    );
    let auth = [SIGV4[0], SIGV4[1], "--user", &user];
    let bucket = format!("{}/raw", server.endpoint);
    let mut make = auth.to_vec();
    make.extend(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-X", "PUT", "--fail", &bucket]);
    assert!(curl(&make).status.success());
    // A body that is not the one whose hash was signed.
    let object = format!("{bucket}/k");
    let hash = format!("x-amz-content-sha256: {}", "0".repeat(64));
    let mut put = auth.to_vec();
    put.extend(["-H", &hash, "-X", "PUT", "--data-binary", "body", &object]);
    let refused = text(&curl(&put));
    assert!(
        refused.contains("XAmzContentSHA256Mismatch") || refused.contains("SignatureDoesNotMatch"),
        "{refused}"
    );
    // `Expect: 100-continue`: the refusal comes before any byte of the body is asked for.
    let big = tempfile::NamedTempFile::new().unwrap();
    big.as_file().set_len(50 << 20).unwrap();
    let body = format!("@{}", big.path().display());
    let elsewhere = format!("{}/not-there/k", server.endpoint);
    let mut put = auth.to_vec();
    put.extend(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-H", "Expect: 100-continue", "-X", "PUT"]);
    put.extend(["--data-binary", &body, "-w", " sent %{size_upload}", &elsewhere]);
    let refused = text(&curl(&put));
    assert!(refused.contains("NoSuchBucket") && refused.ends_with(" sent 0"), "{refused}");
}

#[test]
fn virtual_host_style() {
    let server = Server::start_with(&["--domain", "s3.test"]).unwrap();
    let port = server.endpoint.rsplit(':').next().unwrap();
    let user = user();
    let resolve = format!("virtual.s3.test:{port}:127.0.0.1");
    let base = format!("http://virtual.s3.test:{port}");
    let auth = [
        SIGV4[0],
        SIGV4[1],
        "--user",
        &user,
        "-H",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "--resolve",
        &resolve,
    ];
    let object = format!("{base}/folder/k");
    for arguments in
        [vec!["-X", "PUT", &base], vec!["-X", "PUT", "--data-binary", "virtually", &object], vec![&object]]
    {
        let mut all = auth.to_vec();
        all.push("--fail");
        all.extend(arguments.iter().map(|a| &**a));
        let output = curl(&all);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if arguments.len() == 1 {
            assert_eq!(text(&output), "virtually");
        }
    }
}
