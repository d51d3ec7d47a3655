//! `cargo xtask bench`: Gantry and its peers on the same input, in the same run, by turns.
//!
//! ```text
//! rows.rs   what is measured: image, source, peer, floor         job.rs     one run of one side → Sample
//! report.rs samples → lines, Markdown, JSON                      setup.rs   binary, server, images, target
//! ```
//! The page cache is warm for sources (each is read once before its row), targets are removed before each run, and everything
//! dirty is written back in between. Both sides end with the data on the disk (fsync), and that counts.

mod job;
mod report;
mod rows;
mod setup;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use fixtures::command::run as run_tool;
use fixtures::images::compare;
use fixtures::packages;

use self::job::{Sample, perform};
use self::report::Measurement;
use self::rows::{ROWS, Row};
use self::setup::Setup;
use crate::cargo::build_gantry;

/// Runs of each side where nothing else is asked for.
const ROUNDS: usize = 3;

/// What the user asked for.
#[derive(Debug, Default)]
struct Options {
    rows: Vec<String>,
    rounds: Option<usize>,
    gantry: Option<PathBuf>,
    quick: bool,
    write: bool,
}

/// Runs the rows whose name begins with one of the words of `arguments`, or all.
///
/// # Errors
/// When something cannot be installed, built or made, a run fails, or a result is not its original. A missed floor is printed,
/// not an error: the machine's state is part of every figure.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let chosen: Vec<_> = ROWS
        .iter()
        .filter(|(name, _)| match options.rows.as_slice() {
            [] => name.starts_with("quick-") == options.quick,
            words => words.iter().any(|word| name.starts_with(word.as_str())),
        })
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        bail!("there is no such row; rows are {}", names.join(" "));
    }
    packages::ensure(packages::BENCH)?;
    let gantry = match options.gantry {
        Some(path) => path.canonicalize().with_context(|| format!("no binary at {}", path.display()))?,
        None => build_gantry()?,
    };
    let setup = Setup::start(gantry)?;
    println!("sources warm in the page cache, targets new, fsync on both sides, {} processors", setup.processors);
    let mut measurements = Vec::new();
    for (name, build) in chosen {
        let row = build(&setup).with_context(|| format!("could not prepare row {name}"))?;
        let rounds = options.rounds.unwrap_or(ROUNDS).max(row.least_rounds);
        let measurement = measure(&setup, name, row, rounds).with_context(|| format!("row {name}"))?;
        measurement.print();
        measurements.push(measurement);
    }
    report::finish(&measurements, options.write)
}

/// Peer and Gantry by turns, so that a slow minute of the machine hits both.
fn measure(setup: &Setup, name: &'static str, row: Row, rounds: usize) -> Result<Measurement> {
    for source in &row.sources {
        run_tool(Command::new("cat").arg(source))?;
    }
    let (mut ours, mut peers): (Vec<Sample>, Vec<Sample>) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        peers.push(perform(setup, &row.peer)?);
        ours.push(perform(setup, &row.ours)?);
        if let (0, Some((original, format))) = (round, &row.original) {
            compare::by_qemu_img(original, format, &setup.target)?;
        }
    }
    setup.clear()?;
    Ok(Measurement { name, row, ours, peers })
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options = Options::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match *word {
            "--quick" => options.quick = true,
            "--write" => options.write = true,
            "--rounds" => options.rounds = Some(value()?.parse()?),
            "--gantry" => options.gantry = Some(value()?.into()),
            option if option.starts_with('-') => bail!("unknown option {option}"),
            row => options.rows.push(row.to_owned()),
        }
    }
    if options.rounds == Some(0) {
        bail!("--rounds needs at least 1");
    }
    if options.write && (options.quick || !options.rows.is_empty()) {
        bail!("--write needs all rows in one run");
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_rows_may_come_in_any_order() {
        let options = parse(&["local", "--rounds", "5", "http", "--quick"]).unwrap();
        assert_eq!(options.rows, ["local", "http"]);
        assert_eq!((options.rounds, options.quick), (Some(5), true));
    }

    #[test]
    fn an_option_that_would_be_ignored_is_refused() {
        assert!(parse(&["--fast"]).is_err());
        assert!(parse(&["--rounds"]).is_err());
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--write", "local"]).is_err());
    }
}
