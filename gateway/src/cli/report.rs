//! What a command that judges a data folder found: counts, faults by name, and the exit code that tells whether there were any.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

/// Faults that are named; of the others there is the number.
const MAX_NAMED: usize = 100;
/// Remarks that are kept.
const MAX_NOTES: usize = 100;

/// The exit code of a command that found faults. 0: there are none.
pub(super) const FAULTS: u8 = 1;
/// The exit code of a command that could not judge at all.
pub(super) const COULD_NOT_RUN: u8 = 2;

/// What was found so far.
#[derive(Default)]
pub(super) struct Report {
    counts: Vec<(&'static str, u64)>,
    faults: Vec<Fault>,
    unnamed: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
}

/// Something that is not as it should be.
struct Fault {
    kind: &'static str,
    name: String,
    detail: String,
}

impl Report {
    /// A report that shows these counts, in this order, also where they are 0.
    pub(super) fn of(counts: &[&'static str]) -> Self {
        Self { counts: counts.iter().map(|what| (*what, 0)).collect(), ..Self::default() }
    }

    /// Counts what was looked at.
    pub(super) fn count(&mut self, what: &'static str, more: u64) {
        match self.counts.iter_mut().find(|(counted, _)| *counted == what) {
            Some((_, count)) => *count += more,
            None => self.counts.push((what, more)),
        }
    }

    /// Names a fault.
    pub(super) fn fault(&mut self, kind: &'static str, name: impl Into<String>, detail: impl Display) {
        let fault = Fault { kind, name: name.into(), detail: detail.to_string() };
        tracing::warn!(kind, name = fault.name, detail = fault.detail, "a fault");
        if self.faults.len() < MAX_NAMED {
            self.faults.push(fault);
        } else {
            *self.unnamed.entry(kind).or_default() += 1;
        }
    }

    /// Says something that is no fault.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text.into());
        }
    }

    /// Was a fault of this kind found?
    pub(super) fn has(&self, kind: &str) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind) || self.unnamed.contains_key(kind)
    }

    /// Is everything as it should be?
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Shows it, as text or as one JSON object, and tells the exit code. `clean` and `faulty` are the last line of the text.
    pub(super) fn show(&self, as_json: bool, clean: &str, faulty: &str) -> ExitCode {
        let unnamed: u64 = self.unnamed.values().sum();
        if as_json {
            let counts: serde_json::Map<String, serde_json::Value> =
                self.counts.iter().map(|(what, count)| (what.replace(' ', "_"), (*count).into())).collect();
            let faults = self
                .faults
                .iter()
                .map(|Fault { kind, name, detail }| json!({"kind": kind, "name": name, "detail": detail}));
            let told = json!({
                "clean": self.is_clean(),
                "counts": counts,
                "faults": faults.collect::<Vec<_>>(),
                "unnamed_faults": unnamed,
                "notes": self.notes,
            });
            println!("{told}");
        } else {
            let width = self.counts.iter().map(|(what, _)| what.len()).max().unwrap_or_default();
            for (what, count) in &self.counts {
                println!("{what:width$}  {count}");
            }
            for note in &self.notes {
                println!("note: {note}");
            }
            for Fault { kind, name, detail } in &self.faults {
                println!("FAULT {kind}: {name}: {detail}");
            }
            for (kind, count) in &self.unnamed {
                println!("FAULT {kind}: {count} more");
            }
            match self.is_clean() {
                true => println!("no faults; {clean}"),
                false => println!("{} faults; {faulty}", self.faults.len() as u64 + unnamed),
            }
        }
        if self.is_clean() { ExitCode::SUCCESS } else { FAULTS.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_name_is_counted() {
        let mut report = Report::of(&["blobs"]);
        assert!(report.is_clean());
        for number in 0..MAX_NAMED + 7 {
            report.fault("blob", format!("{number}"), "damaged");
        }
        report.fault("journal", "x", "damaged");
        assert_eq!(
            (report.faults.len(), report.unnamed["blob"], report.unnamed["journal"]),
            (MAX_NAMED, 7, 1)
        );
        assert!(report.has("journal") && !report.has("record") && !report.is_clean());
    }
}
