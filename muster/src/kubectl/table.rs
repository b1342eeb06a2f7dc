//! Rows as a table for people, or as JSON for scripts.

use serde::Serialize;
use serde_json::{Value, json};

use super::options::TableOrJson;
use crate::exit::Failure;
use crate::output::answer;

/// Something that is shown as one line.
pub(super) trait Row: Serialize {
    /// Heads of the columns.
    const HEADS: &'static [&'static str];
    /// One cell for each head.
    fn cells(&self) -> Vec<String>;
}

/// Prints rows; `none` is what a person reads where there are none.
pub(super) fn print<R: Row>(rows: &[R], none: &str, output: TableOrJson) -> Result<(), Failure> {
    match output {
        TableOrJson::Json => answer(&json!({ "items": rows }).to_string()),
        TableOrJson::Table if rows.is_empty() => answer(none),
        TableOrJson::Table => answer(&table(rows)),
    }
}

/// Rows as aligned columns under their heads.
pub(super) fn table<R: Row>(rows: &[R]) -> String {
    let mut lines = vec![R::HEADS.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..R::HEADS.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What was done, as a sentence for people or as an object for scripts.
pub(super) fn done(sentence: &str, object: &Value, output: TableOrJson) -> Result<(), Failure> {
    match output {
        TableOrJson::Table => answer(sentence),
        TableOrJson::Json => answer(&object.to_string()),
    }
}

/// A text, or a dash for nothing.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, u32);

    impl Row for Pair {
        const HEADS: &'static [&'static str] = &["NAME", "COUNT"];

        fn cells(&self) -> Vec<String> {
            vec![or_dash(self.0), self.1.to_string()]
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = table(&[Pair("a-long-name", 1), Pair("", 20)]);
        assert_eq!(text, "NAME          COUNT\na-long-name   1\n-             20");
    }
}
