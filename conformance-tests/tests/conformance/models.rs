//! AWS's models of its services, as botocore has them: the tables made of them are current, and answers are as they say.

use conformance_tests::installed;
use conformance_tests::server::Server;

use super::condition_keys::of_another_account;

#[test]
fn tables_of_the_models_are_current() {
    let server = Server::start().unwrap();
    installed::run_client(&server, "model_tables.py", &[]).unwrap();
}

#[test]
fn answers_have_the_shapes_of_the_models() {
    let server = Server::start().unwrap();
    installed::run_client(&server, "answer_shapes.py", &of_another_account(&server)).unwrap();
}
