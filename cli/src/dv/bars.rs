//! One bar for each DataVolume that is not finished; what is finished becomes a line above them.

use std::collections::BTreeMap;

use contract::{Code, Failure};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::follow::Told;
use super::row::Row;
use super::table::Table;

/// Bars at the bottom of a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    bars: BTreeMap<(String, String), ProgressBar>,
    style: ProgressStyle,
    table: Table,
    with_namespace: bool,
    told: Told,
}

impl Bars {
    /// Bars under `table`, whose head is printed.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(super) fn under(table: Table, with_namespace: bool) -> Result<Self, Failure> {
        let style = ProgressStyle::with_template(&format!("{{prefix:{}}} {{bar:28}} {{msg}}", table.name_width()));
        let style =
            style.map_err(|error| Failure::new(Code::Internal, format!("the bars have no template: {error}")))?;
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bars = Self { all, bars: BTreeMap::new(), style, table, with_namespace, told: Told::default() };
        bars.print(&bars.table.head())?;
        Ok(bars)
    }

    /// Shows what a DataVolume has come to.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(super) fn show(&mut self, row: &Row) -> Result<(), Failure> {
        if row.finished {
            if let Some(bar) = self.bars.remove(&row.key()) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            self.print(&self.table.line(row, Timestamp::now()))?;
        }
        self.told.news(row).iter().try_for_each(|line| self.print(line))?;
        if row.finished {
            return Ok(());
        }
        let bar = self.bars.entry(row.key()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(1).with_style(self.style.clone()));
            let name = if self.with_namespace { format!("{}/{}", row.namespace, row.name) } else { row.name.clone() };
            bar.with_prefix(name)
        });
        let number = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        if let Some(total) = number(row.bytes_total) {
            bar.set_length(total);
            bar.set_position(number(row.bytes_done).unwrap_or_default().min(total));
        }
        bar.set_message(row.line());
        Ok(())
    }

    /// Prints a line above the bars.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(super) fn print(&self, line: &str) -> Result<(), Failure> {
        let printed = self.all.println(line);
        printed.map_err(|error| Failure::new(Code::Internal, format!("cannot write to the terminal: {error}")))
    }
}
