//! Tables for people to read.

use super::client::text;
use crate::api::s3::wire::tree::Element;

/// The rows of a listing: the texts of these children of each.
pub(super) fn columns<const N: usize>(listed: &[Element], names: [&str; N]) -> Vec<[String; N]> {
    listed.iter().map(|row| names.map(|name| text(row, name).to_owned())).collect()
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
