//! A share of what the program `cluster` does: several gateways over one PostgreSQL and one SeaweedFS while what can fail fails.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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

/// The processes that a process has started and that run still, by their parent.
fn children(of: u32) -> Vec<i32> {
    let parent = |stat: &str| stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        std::fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|s| parent(&s) == Some(of))
    };
    numbers.filter(is_child).collect()
}

#[test]
fn what_it_has_started_ends_with_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.args(["--test", "rolling", "--rounds", "1000", "--seed", "11", "--workers", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A store of blobs and three gateways.
    let since = Instant::now();
    let started = loop {
        let started = children(child.id());
        if started.len() >= 4 {
            break started;
        }
        assert!(
            since.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none(),
            "{started:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let since = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        assert!(since.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(ended.code(), Some(130));
    for number in started {
        let command = std::fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
        assert!(!command.contains("sealgate") && !command.contains("weed"), "{number} runs still: {command}");
    }
}
