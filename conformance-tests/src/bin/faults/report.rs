//! What came of all tries, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use super::judge::{Outcome, Verdict};

/// Counts by kind of file and fault.
pub(crate) struct Table<'v>(pub(crate) &'v [Verdict]);

#[derive(Default)]
struct Row([u64; 5]);

impl Row {
    fn count(&mut self, outcome: Outcome) {
        self.0[match outcome {
            Outcome::Harmless => 0,
            Outcome::Recovered => 1,
            Outcome::Named => 2,
            Outcome::Failed => 3,
            Outcome::Skipped => 4,
        }] += 1;
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<(&str, &str), Row> = BTreeMap::new();
        let mut all = Row::default();
        for verdict in self.0 {
            rows.entry((&verdict.file, &verdict.kind)).or_default().count(verdict.outcome);
            all.count(verdict.outcome);
        }
        writeln!(
            f,
            "| kind of file | fault | tries | harmless | refused+recovered | named | FAILED | left out |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        let all = [(("all", ""), all)];
        for ((file, kind), Row(counts)) in rows.iter().chain(all.iter().map(|(names, row)| (names, row))) {
            let [harmless, recovered, named, failed, skipped] = counts;
            let tries = counts.iter().sum::<u64>() - skipped;
            writeln!(
                f,
                "| {file} | {kind} | {tries} | {harmless} | {recovered} | {named} | {failed} | {skipped} |"
            )?;
        }
        Ok(())
    }
}
