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
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway");
    let path = |relative: &str| gateway.join(relative).display().to_string();
    let mut variables = of_another_account(&server);
    variables.extend([
        ("AWS_CA_BUNDLE", cert.display().to_string()),
        ("ACTIONS_TSV", path("src/authz/reference/actions.tsv")),
        ("CONDITION_KEYS_MD", path("CONDITION-KEYS.md")),
    ]);
    installed::run_client(&server, "condition_keys.py", &variables).unwrap();
}

#[test]
fn operations_need_what_they_do_beside_their_own_action() {
    let server = Server::start().unwrap();
    installed::run_client(&server, "s3_permissions.py", &of_another_account(&server)).unwrap();
}

/// What the scripts want to know of a second account.
pub fn of_another_account(server: &Server) -> Vec<(&'static str, String)> {
    let other = server.create_account("other").unwrap();
    vec![
        ("OTHER_ACCOUNT_ID", other.id),
        ("OTHER_ACCESS_KEY_ID", other.access_key_id),
        ("OTHER_SECRET_ACCESS_KEY", other.secret_access_key),
    ]
}
