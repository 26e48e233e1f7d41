//! Requests and the answers that AWS gave to them, from tables.

use conformance_tests::installed;
use conformance_tests::server::Server;

#[test]
fn answers_are_those_that_were_recorded() {
    let server = Server::start().unwrap();
    let other = server.create_account("other").unwrap();
    let variables = [
        ("OTHER_ACCOUNT_ID", other.id),
        ("OTHER_ACCESS_KEY_ID", other.access_key_id),
        ("OTHER_SECRET_ACCESS_KEY", other.secret_access_key),
    ];
    installed::run_client(&server, "recorded.py", &variables).unwrap();
}
