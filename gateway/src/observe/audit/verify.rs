//! `sealgate audit verify`: whether the chain of audit files is whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::chain::{Head, NO_HASH, link_of, read_head};

/// The longest line that is looked at, in bytes.
const MAX_LINE_LEN: u64 = 16 << 20;
/// The most faults that are named.
const MAX_NAMED: usize = 100;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lines looked at.
    pub lines: u64,
    /// The first and the last number of each chain, by its id.
    pub chains: HashMap<String, (u64, u64)>,
    /// The first hundred faults.
    pub faults: Vec<Fault>,
    /// How many faults there are in all.
    pub fault_count: u64,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0: of the whole file.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

impl Report {
    fn fault(&mut self, file: &Path, line: u64, what: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < MAX_NAMED {
            self.faults.push(Fault { file: file.to_owned(), line, what: what.into() });
        }
    }
}

/// Looks at these files, of which each goes on with the chain of the one before it. That the beginning of the first file goes on from a
/// line that is not here is no fault.
///
/// # Errors
/// When a file can't be read.
pub fn verify(files: &[PathBuf]) -> io::Result<Report> {
    let mut report = Report::default();
    let mut former: Option<Head> = None;
    for (number, path) in files.iter().enumerate() {
        let file = File::open(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        read(path, BufReader::new(file), &mut former, &mut report)?;
        // The head tells of the newest file of its name: of a rotated one it has gone on.
        let is_last = number + 1 == files.len();
        if let (true, Some(told)) = (is_last, read_head(path)) {
            compare_with_head(path, &told, former.as_ref(), &mut report);
        }
    }
    Ok(report)
}

fn compare_with_head(path: &Path, told: &Head, last: Option<&Head>, report: &mut Report) {
    let at = |head: &Head| format!("line {} of chain {}", head.sequence, head.id);
    match last {
        Some(last) if last == told => {}
        Some(last) if last.id == told.id && last.sequence > told.sequence => {}
        Some(last) if last.id == told.id && last.sequence < told.sequence => {
            let missing = told.sequence - last.sequence;
            let what =
                format!("truncated: {missing} lines are missing at the end; the head tells {}", at(told));
            report.fault(path, 0, what);
        }
        Some(_) => report.fault(path, 0, format!("its last line is not what the head tells: {}", at(told))),
        None => report.fault(path, 0, format!("truncated: it has no line; the head tells {}", at(told))),
    }
}

fn read(
    path: &Path,
    mut file: impl BufRead,
    former: &mut Option<Head>,
    report: &mut Report,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let len = io::Read::take(&mut file, MAX_LINE_LEN).read_until(b'\n', &mut line)?;
        if len == 0 {
            return Ok(());
        }
        number += 1;
        report.lines += 1;
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            report.fault(path, number, "truncated: the line has no end");
        }
        let Some(link) = link_of(&line) else {
            let what = match serde_json::from_slice::<Value>(&line) {
                Ok(value) if value.get("chain").is_some() => "changed: its hash is not that of its text",
                Ok(_) => "it is no line of the chain: something else wrote it",
                Err(_) => "changed or truncated: it is not JSON",
            };
            report.fault(path, number, what);
            // The next line tells which hash this one had.
            if let Some(before) = former {
                before.sequence += 1;
                before.hash.clear();
            }
            continue;
        };
        let chain = report.chains.entry(link.id.clone()).or_insert((link.sequence, link.sequence));
        chain.1 = chain.1.max(link.sequence);
        let fault = match &former {
            None if link.sequence == 1 && link.previous != NO_HASH => {
                Some("the first line of a chain goes on from another".to_owned())
            }
            None => None,
            Some(before) if before.id != link.id => Some(format!(
                "another chain begins here ({}), and the one before ({}) was not ended",
                link.id, before.id
            )),
            Some(before) if link.sequence > before.sequence + 1 => {
                Some(format!("{} lines before it are missing", link.sequence - before.sequence - 1))
            }
            Some(before) if link.sequence <= before.sequence => {
                Some(format!("out of order: number {} comes after {}", link.sequence, before.sequence))
            }
            Some(before) if !before.hash.is_empty() && before.hash != link.previous => {
                Some("the line before it is not the one that was there".to_owned())
            }
            Some(_) => None,
        };
        if let Some(what) = fault {
            report.fault(path, number, what);
        }
        *former = Some(Head { id: link.id, sequence: link.sequence, hash: link.hash });
    }
}
