//! What came of a run: the table, lines of JSON, and the table's place in README.

use std::fmt;
use std::path::Path;

use anyhow::Context;

use crate::client::{Client, Mode};
use crate::run::{Outcome, Outcomes};

const BEGIN: &str = "<!-- clients:begin -->";
const END: &str = "<!-- clients:end -->";

/// Clients by modes, as a table of Markdown.
pub struct Table<'a>(pub &'a [(&'static Client, Outcomes)]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| Client |")?;
        for mode in Mode::ALL {
            write!(f, " {} |", mode.title())?;
        }
        writeln!(f, "\n| --- |{}", " --- |".repeat(Mode::ALL.len()))?;
        for (client, outcomes) in self.0 {
            write!(f, "| {} |", client.title)?;
            for mode in Mode::ALL {
                let cell = match outcomes.get(mode.name()) {
                    None => "",
                    Some(Outcome::Ok) => "yes",
                    Some(Outcome::Failed(_)) => "**failed**",
                    Some(Outcome::Skipped(_)) => "not tried",
                };
                write!(f, " {cell} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A client's outcomes as a line of JSON: `ok`, `failed: why` or `skipped: why` for each mode.
pub fn json(client: &Client, outcomes: &Outcomes) -> serde_json::Value {
    let told = |outcome: &Outcome| match outcome {
        Outcome::Ok => "ok".to_owned(),
        Outcome::Failed(why) => format!("failed: {why}"),
        Outcome::Skipped(why) => format!("skipped: {why}"),
    };
    let modes: serde_json::Map<_, _> =
        outcomes.iter().map(|(mode, outcome)| ((*mode).to_owned(), told(outcome).into())).collect();
    serde_json::json!({ "client": client.name, "modes": modes })
}

/// Puts the table between its marks in README.
pub fn write_readme(table: &Table<'_>) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("README has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README has no {END}"))?;
    std::fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}
