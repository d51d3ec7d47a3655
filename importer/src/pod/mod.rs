//! The `cdi-importer` process: the same import, told by a pod's environment, heard by CDI's controller.
//!
//! ```text
//! environment --task--> import --------> termination log, exit code     (read once, when the pod has ended)
//!                          \--progress-> metrics on TLS :8443           (scraped while it runs)
//! ```

pub mod command;
mod environment;
mod server;
mod termination;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use contract::Failure;
use contract::pod::{METRICS_PORT, path};
use mover::cancel::Cancel;
use mover::progress::Progress;
use mover::target::Preallocation;
use serde::Serialize;

use environment::{Pod, Work};
use server::Server;
use termination::LastWords;

/// Where a pod's process finds and leaves things; other places than the contract's are for tests.
#[derive(Clone, Debug)]
pub struct Places {
    /// What stands before each of the contract's paths.
    pub root: PathBuf,
    /// Where the metrics are served.
    pub metrics: SocketAddr,
}

impl Default for Places {
    fn default() -> Self {
        let metrics = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), METRICS_PORT);
        Self { root: Path::new("/").to_owned(), metrics }
    }
}

/// Does what the environment says and leaves the last words; returns the exit code.
///
/// `verbosity` is CDI's `-v`: from 3 on the finished import's report is logged.
///
/// # Errors
/// The last words cannot be left.
pub fn run(places: &Places, verbosity: u8, cancel: &Cancel) -> Result<u8, Failure> {
    let pod = Pod { variable: &|name| std::env::var(name).ok(), root: &places.root };
    // Opened first: a process that fetches has given up opening files to write.
    let mut last = termination::Log::open(&pod.path(path::TERMINATION_LOG))?;
    let words = perform(&pod, places, verbosity, cancel);
    log(&words);
    last.leave(&words)?;
    Ok(words.exit)
}

fn perform(pod: &Pod<'_>, places: &Places, verbosity: u8, cancel: &Cancel) -> LastWords {
    let task = match pod.task() {
        Ok(task) => task,
        Err(failure) => return LastWords::of_failure(&failure, "pod"),
    };
    let progress = Progress::default();
    // Without its metrics an import is as good as with them; the controller then shows no percentage.
    let _server = Server::start(places.metrics, &task.owner, &progress)
        .map_err(|failure| eprintln!("cdi-importer: the progress is not served: {failure}"));
    let done = match &task.work {
        Work::Nothing => return LastWords::of_nothing(),
        Work::Disk(import) => import.run(cancel, &progress).map(|report| {
            log_report(&report, &report.warnings, verbosity);
            LastWords::of_success(Some(&report.fingerprint), import.target.preallocation)
        }),
        Work::Archive(archive) => archive.run(cancel, &progress).map(|report| {
            log_report(&report, &report.warnings, verbosity);
            LastWords::of_success(None, Preallocation::None)
        }),
    };
    done.unwrap_or_else(|failure| LastWords::of_failure(&failure, &task.source))
}

fn log_report(report: &impl Serialize, warnings: &[String], verbosity: u8) {
    if verbosity >= 3 {
        eprintln!("cdi-importer: {}", serde_json::to_string(report).unwrap_or_default());
    }
    warnings.iter().for_each(|warning| eprintln!("cdi-importer: warning: {warning}"));
}

fn log(words: &LastWords) {
    if !words.text.is_empty() {
        eprintln!("cdi-importer: {}", words.text);
    }
}
