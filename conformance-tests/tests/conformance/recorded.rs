//! Requests and the answers that AWS gave to them, from tables.

use conformance_tests::installed;
use conformance_tests::server::Server;

#[test]
fn answers_are_those_that_were_recorded() {
    run(&Server::start().unwrap(), "recorded.py");
}

#[test]
fn acls_decide_where_new_buckets_are_as_they_were() {
    let former = ["--default-object-ownership", "ObjectWriter", "--default-block-public-access", "false"];
    run(&Server::start_with(&former).unwrap(), "acls.py");
}

fn run(server: &Server, script: &str) {
    let other = server.create_account("other").unwrap();
    let variables = [
        ("OTHER_ACCOUNT_ID", other.id),
        ("OTHER_ACCESS_KEY_ID", other.access_key_id),
        ("OTHER_SECRET_ACCESS_KEY", other.secret_access_key),
    ];
    installed::run_client(server, script, &variables).unwrap();
}
