//! A share of what the program `attack` does: connections that confuse, hold or fill are refused, cut or closed, and others work on.

use std::process::Command;

fn held(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attack"));
    // Other tests run beside: how long a request takes says nothing.
    let output = command.args(["--p99-ms", "20000"]).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), text(&output.stdout));
}

#[test]
fn no_request_is_taken_for_another() {
    held(&["--only", "expect-pairs,hosts,big-heads", "--pairs", "300"]);
}

#[test]
fn nobody_holds_a_connection_for_nothing() {
    held(&["--only", "silent,dripping,slow-readers", "--connections", "1500", "--few", "24"]);
}

#[test]
fn little_is_kept_for_somebody_unknown_or_on_a_mere_word() {
    held(&["--only", "unfinished-forms,reservation", "--few", "80"]);
}

#[test]
fn random_bytes_do_no_harm() {
    held(&["--only", "fuzz", "--fuzz-seconds", "5"]);
}
