//! Versions, locks, tags, access and rules, asked with boto3.

use conformance_tests::installed;
use conformance_tests::server::Server;

#[test]
fn s3_answers_as_its_documentation_says() {
    let server = Server::start().unwrap();
    installed::run_python(&server.endpoint, include_str!("../../clients/s3.py")).unwrap();
}

#[test]
fn lifecycle_rules_expire_what_they_say_and_nothing_else() {
    let arguments = ["--lifecycle-day-s", "3", "--lifecycle-interval-s", "1"];
    let server = Server::start_with(&arguments).unwrap();
    installed::run_python(&server.endpoint, include_str!("../../clients/lifecycle.py")).unwrap();
}
