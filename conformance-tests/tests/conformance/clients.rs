//! A few of what the program `clients` runs: real clients, each doing its own work in every mode that it knows.

use std::process::Command;

/// What they need is no package that `conformance-tests/run` could ask Debian for: they may be skipped.
const OPTIONAL: [&str; 2] = ["go", "minio-go"];

#[test]
fn real_clients_do_their_work_in_every_mode() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clients"));
    let output = command.args(["--fast", "--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() > OPTIONAL.len(), "{told}");
    for line in lines.lines() {
        let client: serde_json::Value = serde_json::from_str(line).unwrap();
        let optional = OPTIONAL.iter().any(|name| client["client"] == *name);
        let ran = client["modes"].as_object().unwrap().values().all(|told| told == "ok");
        assert!(ran || optional, "{line}");
    }
}
