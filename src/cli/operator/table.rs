//! Tables for people: columns as wide as what is in them, and nothing in them that a terminal would act on.

use serde_json::Value;

/// Spaces between two columns.
const GAP: &str = "  ";
/// Letters of a cell that others follow: its column is as wide as the widest, and a sender chooses what is in it.
const CELL_MAX: usize = 100;
/// Letters of the last cell of a line, which makes no column wider.
const LAST_CELL_MAX: usize = 1000;

/// Columns that stay as wide as they were, so that pages of a list line up.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    widths: Vec<usize>,
    begun: bool,
}

impl Table {
    /// A table with these heads.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self {
            widths: heads.iter().map(|head| head.len()).collect(),
            heads: heads.to_vec(),
            begun: false,
        }
    }

    /// These rows, the heads above the first.
    pub(super) fn rows(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let cells = row.iter().enumerate();
                let most = |n| {
                    if n + 1 == row.len() {
                        LAST_CELL_MAX
                    } else {
                        CELL_MAX
                    }
                };
                cells.map(|(n, cell)| cut(plain(cell), most(n))).collect()
            })
            .collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            let heads: Vec<String> = self.heads.iter().map(|&head| head.to_owned()).collect();
            text += &self.line(&heads);
        }
        text.extend(rows.iter().map(|row| self.line(row)));
        text
    }

    fn line(&self, cells: &[String]) -> String {
        let cells: Vec<String> = cells
            .iter()
            .zip(&self.widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", cells.join(GAP).trim_end())
    }
}

/// A value of the API as a cell: nothing there is a dash.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text += "...";
    }
    text
}

/// What nobody sees, or what turns the direction of what follows: one text could look like another.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Text of a sender without what a terminal would act on: escape sequences are shown, not obeyed.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The same for a text of many lines.
pub(super) fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| plain(line.trim_end_matches('\r')))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_escape_sequences_are_shown() {
        let mut table = Table::new(&["A", "LONG"]);
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            table.rows(&[row("wide", "1"), row("\u{1b}[2J", "2")]),
            "A          LONG\nwide       1\n\\u{1b}[2J  2\n"
        );
        assert_eq!(table.rows(&[row("x", "")]), "x\n");
        let long = "x".repeat(2_000);
        let lines = table.rows(&[row(&long, &long)]);
        assert_eq!(
            lines,
            format!("{}...  {}...\n", &long[..100], &long[..1000])
        );
        for hidden in [
            '\u{61c}', '\u{200b}', '\u{200f}', '\u{2028}', '\u{202e}', '\u{2060}', '\u{2069}',
            '\u{feff}',
        ] {
            let shown = plain(&format!("a{hidden}b"));
            assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(hidden)));
        }
        assert_eq!(plain("naïve 日本語 עברית"), "naïve 日本語 עברית");
        assert_eq!(plain_lines("a\r\nb\u{7}"), "a\nb\\u{7}");
    }
}
