//! Tables that fit the terminal.

use console::{measure_text_width, truncate_str};

/// Columns and rows of plain text; the last column gives way when the terminal is narrow.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// The last column keeps at least this much.
const LAST_COLUMN_MIN: usize = 12;

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(str::to_owned).to_vec()],
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| crate::terminal::clean(&cell)).to_vec());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table's text; `width` is the terminal's, if it is one.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows[0].len();
        let widest = |column: usize| {
            let cells = self.rows.iter().map(|row| measure_text_width(&row[column]));
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let before_last: usize = widths[..columns - 1].iter().map(|width| width + 2).sum();
        let room = width.map(|width| width.saturating_sub(before_last).max(LAST_COLUMN_MIN));
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column + 1 == columns {
                    let cut = room.map(|room| truncate_str(cell, room, "…").into_owned());
                    line.push_str(&cut.unwrap_or_else(|| cell.clone()));
                } else {
                    line.push_str(cell);
                    let fill = widths[column] + 2 - measure_text_width(cell);
                    line.push_str(&" ".repeat(fill));
                }
            }
            let line = line.trim_end();
            match index {
                0 => text.push_str(&crate::terminal::bold(line)),
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_gives_way() {
        let mut table = Table::new(["NAME", "REASON"]);
        table.row(["a".into(), "a long reason that does not fit".into()]);
        table.row(["längere".into(), "short".into()]);
        let text = console::strip_ansi_codes(&table.render(Some(24))).into_owned();
        assert_eq!(
            text,
            "NAME     REASON\na        a long reason …\nlängere  short\n"
        );
        assert!(table.render(None).contains("does not fit"));
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        let mut table = Table::new(["REASON"]);
        table.row(["\u{1b}[2Jgone\nline".into()]);
        let text = table.render(None);
        assert!(
            !text.contains("\u{1b}[2J") && text.lines().count() == 2,
            "{text:?}"
        );
    }
}
