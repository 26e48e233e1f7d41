//! Condition keys: each that AWS gives an action acts, with a value that fits and one that does not.

use std::path::Path;
use std::process::Command;

use conformance_tests::installed;
use conformance_tests::server::Server;

#[test]
fn every_condition_key_of_every_action_allows_and_denies() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, private_key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let words =
        "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1";
    let mut openssl = Command::new("openssl");
    let made =
        openssl.args(words.split(' ')).arg("-out").arg(&cert).arg("-keyout").arg(&private_key).output();
    assert!(made.unwrap().status.success());
    // The version of TLS is a condition key too.
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", private_key.to_str().unwrap()];
    let server = Server::start_with(&tls).unwrap();
    let other = server.create_account("other").unwrap();
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway");
    let path = |relative: &str| gateway.join(relative).display().to_string();
    let variables = [
        ("AWS_CA_BUNDLE", cert.display().to_string()),
        ("ACTIONS_TSV", path("src/authz/reference/actions.tsv")),
        ("CONDITION_KEYS_MD", path("CONDITION-KEYS.md")),
        ("OTHER_ACCOUNT_ID", other.id),
        ("OTHER_ACCESS_KEY_ID", other.access_key_id),
        ("OTHER_SECRET_ACCESS_KEY", other.secret_access_key),
    ];
    installed::run_client(&server, "condition_keys.py", &variables).unwrap();
}
