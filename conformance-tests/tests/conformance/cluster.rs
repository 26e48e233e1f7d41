//! A share of what the program `cluster` does: several gateways over one PostgreSQL and one SeaweedFS while what can fail fails.

use std::process::Command;

fn held(test: &str, rounds: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    let output =
        command.args(["--test", test, "--rounds", rounds, "--seed", "11", "--workers", "3"]).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), text(&output.stdout));
}

#[test]
fn killed_gateways_cost_others_nothing() {
    held("kills", "5");
}

#[test]
fn a_gateway_frozen_beyond_its_session_changes_nothing() {
    held("freeze", "1");
}

#[test]
fn no_acknowledged_write_is_lost_with_the_primary() {
    held("database", "1");
}

#[test]
fn a_gateway_that_is_cut_off_says_so_and_comes_back() {
    held("partition", "1");
}

#[test]
fn of_two_gateways_that_change_the_same_one_wins() {
    held("races", "3");
}

#[test]
fn a_clock_that_runs_ahead_deletes_nothing() {
    held("clock", "1");
}

#[test]
fn a_restart_of_one_after_the_other_fails_no_request() {
    held("rolling", "1");
}
