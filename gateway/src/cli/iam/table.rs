//! What is printed: tables and lines for people to read, or JSON for programs.

use serde_json::{Map, Value, json};

use super::client::{Client, text};
use crate::api::s3::wire::tree::Element;

/// The rows of a listing: the texts of these children of each.
pub(super) fn columns<const N: usize>(listed: &[Element], names: [&str; N]) -> Vec<[String; N]> {
    listed.iter().map(|row| names.map(|name| text(row, name).to_owned())).collect()
}

impl Client {
    /// Prints rows, as a table or as a list of objects.
    pub(super) fn show_rows<const N: usize>(&self, heading: [&str; N], rows: &[[String; N]]) {
        match self.as_json {
            true => println!("{}", objects(heading, rows)),
            false => print!("{}", table(heading, rows)),
        }
    }

    /// Prints what is known of one thing, as lines or as an object.
    pub(super) fn show_facts(&self, facts: &[(&str, String)]) {
        if self.as_json {
            println!("{}", Value::Object(object(facts)));
            return;
        }
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in facts {
            println!("{name:width$}  {value}");
        }
    }

    /// Prints what was done.
    pub(super) fn say(&self, done: &str) {
        match self.as_json {
            true => println!("{}", json!({ "done": done })),
            false => println!("{done}"),
        }
    }
}

/// Rows as a list of objects.
pub(super) fn objects<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Value {
    let object = |row: &[String; N]| {
        let members =
            heading.iter().zip(row).map(|(name, cell)| (name.replace(' ', "_"), cell.clone().into()));
        Value::Object(members.collect())
    };
    rows.iter().map(object).collect()
}

/// Facts as an object.
pub(super) fn object(facts: &[(&str, String)]) -> Map<String, Value> {
    facts.iter().map(|(name, value)| (name.replace(' ', "_"), value.as_str().into())).collect()
}

/// Rows below their heading, in columns as wide as their widest cell.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut write = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    };
    write(heading);
    for row in rows {
        write(row.each_ref().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".to_owned(), "-".to_owned()], ["längerer".to_owned(), "x".to_owned()]];
        assert_eq!(table(["name", "id"], &rows), "name      id\na         -\nlängerer  x\n");
    }
}
