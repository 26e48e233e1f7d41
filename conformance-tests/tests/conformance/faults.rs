//! A share of what the program `faults` does: damage to data folders is harmless, refused with a way out that works, or named.

use std::process::Command;

use conformance_tests::server::Server;

/// About a minute's worth: one or two of each kind of fault to each kind of file.
const TRIES: &str = "70";

#[test]
fn no_fault_below_the_gateway_goes_untold() {
    if Server::skips("faults are those of a file system") {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_faults"));
    let output = command.args(["--tries", TRIES, "--seed", "11"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stderr), text(&output.stdout));
}
