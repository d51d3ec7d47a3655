//! One run of one side, and what it cost.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fixtures::cgroup::{Counts, MemoryGroup};
use fixtures::command::Background;
use fixtures::measure::{self, Usage};
use serde_json::Value;

use super::setup::Setup;

/// What is to be run. Every job leaves its disk at the setup's target, or none.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// `gantry import SOURCE TARGET` with further options, perhaps in a memory cgroup of that many bytes.
    Gantry {
        /// Path or URL.
        source: String,
        /// Further options.
        options: Vec<String>,
        /// Limit of a memory cgroup.
        memory: Option<u64>,
    },
    /// A shell line; `$SOURCE` and `$TARGET` are set.
    Shell {
        /// The line.
        line: String,
        /// Value of `$SOURCE`.
        source: String,
    },
    /// `nbdkit curl` on a unix socket, read by `qemu-img convert`; nbdkit's start does not count, its processor time does.
    NbdCurl {
        /// What nbdkit offers.
        url: String,
    },
}

/// What a run cost, and what Gantry said about it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Cost.
    pub(super) usage: Usage,
    /// The report of `gantry import --json`.
    pub(super) report: Option<Value>,
    /// Body bytes that the server logged meanwhile: a witness for what the report says was fetched.
    pub(super) served: u64,
    /// What the kernel counted, if the job ran in a memory cgroup.
    pub(super) counts: Option<Counts>,
}

/// Clears the target and runs `job`.
///
/// # Errors
/// When a command fails.
pub(super) fn perform(setup: &Setup, job: &Job) -> Result<Sample> {
    setup.clear()?;
    setup.server.forget_requests()?;
    let mut sample = match job {
        Job::Gantry { source, options, memory } => import(setup, source, options, *memory),
        Job::Shell { line, source } => shell(setup, line, source),
        Job::NbdCurl { url } => nbd_curl(setup, url),
    }?;
    sample.served = setup.server.bytes_served()?;
    Ok(sample)
}

fn import(setup: &Setup, source: &str, options: &[String], memory: Option<u64>) -> Result<Sample> {
    let mut command = Command::new(&setup.gantry);
    command.args(["import", "--json", source]).arg(&setup.target).args(options);
    let group = memory.map(MemoryGroup::with_limit).transpose()?;
    if let Some(group) = &group {
        command = group.confine(&command);
    }
    let measured = measure::run(&command)?;
    let last = measured.stdout.lines().last().context("gantry printed no report")?;
    let report: Value = serde_json::from_str(last).with_context(|| format!("not a report: {last}"))?;
    if !(report["fetched"].is_u64() && report["written"].is_u64()) {
        bail!("the report does not say what was fetched and written: {last}");
    }
    Ok(Sample {
        usage: measured.usage,
        report: Some(report),
        served: 0,
        counts: group.map(|group| group.counts()).transpose()?,
    })
}

fn shell(setup: &Setup, line: &str, source: &str) -> Result<Sample> {
    let mut command = Command::new("sh");
    command.args(["-ec", line]).env("SOURCE", source).env("TARGET", &setup.target);
    Ok(Sample { usage: measure::run(&command)?.usage, report: None, served: 0, counts: None })
}

fn nbd_curl(setup: &Setup, url: &str) -> Result<Sample> {
    let socket = setup.beside("nbd.socket");
    let mut server =
        Background::start(Command::new("nbdkit").args(["--foreground", "--unix"]).arg(&socket).args(["curl", url]))?;
    server.wait_until(|| socket.exists())?;
    let mut sample = shell(
        setup,
        "qemu-img convert -f qcow2 -W -m 16 -O raw \"nbd+unix:///?socket=$SOURCE\" \"$TARGET\"; sync \"$TARGET\"",
        &socket.display().to_string(),
    )?;
    sample.usage += measure::so_far(server.pid())?;
    Ok(sample)
}

/// The middle one of some durations, the lower of two.
pub(super) fn median(samples: &[Sample]) -> Duration {
    let mut times: Vec<Duration> = samples.iter().map(|sample| sample.usage.wall).collect();
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// The shortest.
pub(super) fn best(samples: &[Sample]) -> Duration {
    samples.iter().map(|sample| sample.usage.wall).min().unwrap_or_default()
}
