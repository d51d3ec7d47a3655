//! Rows under one another, aligned as kubectl does it: three spaces between columns.

use jiff::Timestamp;

use super::row::Row;

/// Names of the columns.
const HEADS: [&str; 10] = ["NAMESPACE", "NAME", "PHASE", "PROGRESS", "STEP", "DONE", "RATE", "ETA", "AGE", "ERROR"];
/// Least widths where rows come one after the other and later ones are not known yet.
const GROWING: [usize; 10] = [9, 24, 20, 8, 10, 20, 12, 6, 6, 5];

/// A table with a width for each of its columns.
#[derive(Debug)]
pub(super) struct Table {
    widths: [usize; 10],
    /// The first column shown.
    first: usize,
}

impl Table {
    /// A table that these rows fit into.
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Row>, with_namespace: bool, now: Timestamp) -> Self {
        let mut widths = HEADS.map(str::len);
        for row in rows {
            widths.iter_mut().zip(row.cells(now)).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
        }
        Self { widths, first: if with_namespace { 0 } else { 1 } }
    }

    /// The same with room for rows that come later.
    pub(super) fn growing(mut self) -> Self {
        self.widths.iter_mut().zip(GROWING).for_each(|(width, least)| *width = least.max(*width));
        self
    }

    /// Width of a name, with its namespace where that is shown.
    pub(super) fn name_width(&self) -> usize {
        let [namespace, name, ..] = self.widths;
        if self.first == 0 { namespace + 1 + name } else { name }
    }

    pub(super) fn head(&self) -> String {
        self.aligned(HEADS.map(str::to_owned))
    }

    pub(super) fn line(&self, row: &Row, now: Timestamp) -> String {
        self.aligned(row.cells(now))
    }

    fn aligned(&self, cells: [String; 10]) -> String {
        let padded = cells.into_iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.skip(self.first).collect::<Vec<_>>().join("   ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dv::row::tests::row;

    #[test]
    fn columns_begin_under_their_heads() {
        let now = Timestamp::UNIX_EPOCH;
        let rows = [row("a-rather-long-name-of-a-disk", "phase: Succeeded, progress: 100.0%"), row("b", "")];
        for (with_namespace, growing) in [(true, false), (false, false), (false, true)] {
            let table = Table::of(rows.iter(), with_namespace, now);
            let table = if growing { table.growing() } else { table };
            let head = table.head();
            assert_eq!(head.starts_with("NAMESPACE"), with_namespace);
            for (row, name, phase) in [(&rows[0], "a-rather-long-name-of-a-disk", "Succeeded"), (&rows[1], "b", "-")] {
                let line = table.line(row, now);
                for (head_of, cell) in [("NAME ", name), ("PHASE", phase)] {
                    let at = head.find(head_of).unwrap();
                    assert!(line[at..].starts_with(cell), "{head}\n{line}");
                }
                assert_eq!(line.trim_end(), line);
            }
        }
    }
}
