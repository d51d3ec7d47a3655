//! Turns samples into what is read: a block per row, one Markdown table of ratios, one JSON file.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fixtures::images::MIB;
use serde_json::{Value, json};

use super::job::{Sample, best, median};
use super::rows::{Floor, ROUND_TRIP, Row};
use crate::cargo::{root, target};

/// Resident bytes that an import may take in every row.
const RESIDENT: u64 = 64 * MIB;

/// Where the table stands, between these marks.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/performance.md"];
const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// A row and all its runs.
#[derive(Debug)]
pub(super) struct Measurement {
    /// The row's name.
    pub(super) name: &'static str,
    /// The row.
    pub(super) row: Row,
    /// Our runs.
    pub(super) ours: Vec<Sample>,
    /// The peer's.
    pub(super) peers: Vec<Sample>,
}

impl Measurement {
    /// How many times as fast as the peer, by medians.
    fn ratio(&self) -> f64 {
        median(&self.peers).as_secs_f64() / median(&self.ours).as_secs_f64()
    }

    /// The same by best runs.
    fn best_ratio(&self) -> f64 {
        best(&self.peers).as_secs_f64() / best(&self.ours).as_secs_f64()
    }

    /// The floor in words, and whether it is reached.
    fn verdict(&self) -> (String, bool) {
        let (ours, peer) = (median(&self.ours), median(&self.peers));
        match self.row.floor {
            Floor::Ratio(floor) => (format!("at least {floor:.2}×"), self.ratio() >= floor),
            Floor::RoundTrips(count) => (
                format!("at most {count} round trips more (took {:.1})", {
                    ours.saturating_sub(peer).as_secs_f64() / ROUND_TRIP.as_secs_f64()
                }),
                ours <= peer + ROUND_TRIP * count,
            ),
            Floor::Excess(part, time) => (
                format!("at most {:.0} % or {} ms more", part * 100.0, time.as_millis()),
                ours <= peer + time.max(peer.mul_f64(part)),
            ),
        }
    }

    /// Everything beside speed that went past its bound.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let resident = peak(&self.ours);
        if resident > RESIDENT {
            faults.push(format!("peak RSS {} MiB, at most {} MiB", resident / MIB, RESIDENT / MIB));
        }
        let fetched = self.ours.iter().map(|sample| number(sample, "fetched").max(sample.served)).max().unwrap_or(0);
        if let Some(bound) = self.row.may_fetch.filter(|bound| fetched > *bound) {
            faults.push(format!("fetched {fetched} bytes, at most {bound}"));
        }
        let kills: u64 = self.ours.iter().filter_map(|sample| sample.counts).map(|counts| counts.kills).sum();
        if kills > 0 {
            faults.push(format!("{kills} processes killed for lack of memory"));
        }
        faults
    }

    /// Prints the block of this row.
    pub(super) fn print(&self) {
        let (floor, reached) = self.verdict();
        println!("\n{}: {}", self.name, self.row.work);
        println!("  {:<48}{}", "gantry", costs(&self.ours));
        println!("  {:<48}{}", self.row.peer_name, costs(&self.peers));
        if let Some(sample) = self.ours.last() {
            println!(
                "  fetched {} MiB, wrote {} MiB, route {}, bottleneck {}",
                number(sample, "fetched") / MIB,
                number(sample, "written") / MIB,
                word(sample, "route"),
                word(sample, "bottleneck")
            );
        }
        if let Some(counts) = self.ours.iter().filter_map(|sample| sample.counts).next_back() {
            println!(
                "  cgroup: peak {} MiB, limit reached {} times, {} kills",
                counts.peak / MIB,
                counts.limit_hits,
                counts.kills
            );
        }
        println!(
            "  ratio {:.2}× (best runs {:.2}×); {floor}: {}",
            self.ratio(),
            self.best_ratio(),
            if reached { "yes" } else { "NO" }
        );
        for fault in self.faults() {
            println!("  NO: {fault}");
        }
    }

    fn json(&self) -> Value {
        let (floor, reached) = self.verdict();
        json!({
            "row": self.name,
            "work": self.row.work,
            "peer": self.row.peer_name,
            "ratio": self.ratio(),
            "bestRatio": self.best_ratio(),
            "floor": floor,
            "reached": reached,
            "faults": self.faults(),
            "gantryRuns": self.ours.iter().map(sample_json).collect::<Vec<_>>(),
            "peerRuns": self.peers.iter().map(sample_json).collect::<Vec<_>>(),
        })
    }
}

/// Prints the Markdown table, writes `target/bench/SECONDS.json` and, if wanted, the table into the documents.
///
/// # Errors
/// When a file cannot be written, or a document has no place for the table.
pub(super) fn finish(measurements: &[Measurement], into_documents: bool) -> Result<()> {
    let table = table(measurements);
    println!("\n{table}");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let path = target().join("bench").join(format!("{seconds}.json"));
    let rows: Vec<Value> = measurements.iter().map(Measurement::json).collect();
    fs::write(&path, serde_json::to_string_pretty(&rows)?)?;
    println!("all figures: {}", path.display());
    if into_documents {
        for document in DOCUMENTS {
            let path = root().join(document);
            let text = replaced(&fs::read_to_string(&path)?, &table).with_context(|| document.to_owned())?;
            fs::write(&path, text)?;
        }
    }
    Ok(())
}

fn table(measurements: &[Measurement]) -> String {
    let mut table = "| work | peer | times as fast | floor |\n|---|---|---|---|\n".to_owned();
    for measurement in measurements {
        let (floor, reached) = measurement.verdict();
        table += &format!(
            "| {} | {} | {:.2}× | {floor}{} |\n",
            measurement.row.work,
            measurement.row.peer_name,
            measurement.ratio(),
            if reached { "" } else { " (missed)" }
        );
    }
    let rounds = measurements.iter().map(|measurement| measurement.ours.len()).min().unwrap_or(0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    table + &format!("\nMedians of at least {rounds} runs of each side by turns, {processors} processors.\n")
}

/// `text` with `table` between the marks.
fn replaced(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("the document has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the place for the table does not end")?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn costs(samples: &[Sample]) -> String {
    let processor: Duration = samples.iter().map(|sample| sample.usage.processor).sum();
    let runs = u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1);
    format!(
        "wall {:.3} s median, {:.3} s best · cpu {:.2} s · peak {} MiB",
        median(samples).as_secs_f64(),
        best(samples).as_secs_f64(),
        (processor / runs).as_secs_f64(),
        peak(samples) / MIB
    )
}

fn peak(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.usage.peak_resident).max().unwrap_or(0)
}

fn number(sample: &Sample, key: &str) -> u64 {
    sample.report.as_ref().and_then(|report| report[key].as_u64()).unwrap_or(0)
}

fn word<'a>(sample: &'a Sample, key: &str) -> &'a str {
    sample.report.as_ref().and_then(|report| report[key].as_str()).unwrap_or("unknown")
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "wallSeconds": sample.usage.wall.as_secs_f64(),
        "processorSeconds": sample.usage.processor.as_secs_f64(),
        "servedBytes": sample.served,
        "peakResident": sample.usage.peak_resident,
        "cgroup": sample.counts.map(|counts| json!({
            "peak": counts.peak, "limitHits": counts.limit_hits, "kills": counts.kills,
        })),
        "report": sample.report,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_what_stood_between_the_marks() {
        let text = format!("# Title\n{BEGIN}\nold\n{END}\nrest\n");
        assert_eq!(replaced(&text, "| new |\n").unwrap(), format!("# Title\n{BEGIN}\n| new |\n{END}\nrest\n"));
        assert!(replaced("no marks", "").is_err());
    }
}
