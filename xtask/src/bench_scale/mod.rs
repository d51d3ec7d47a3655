//! `cargo xtask bench scale`: what thousands of DataVolumes cost the controller, on a real API server.
//!
//! ```text
//! wave    blank DataVolumes, all at once           time until all have succeeded, the curve, requests for each, memory
//! fill    as many again, up to what idles          the same
//! idle    all of them, nothing to do               processor, requests, reconciles, memory
//! follow  the leader goes, the other replica leads what it writes, how long it looks at all of them
//! ```
//! Pods and volumes are stood in for (`fixtures::kubernetes::StandIn`): a node takes 110 pods. All else is Kubernetes' own, with the
//! limits that its programs put on themselves raised where [`Cluster`] says so.

mod load;
mod metrics;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixtures::kubernetes::{Cluster, NAMESPACE, Process, StandIn};

use self::load::{Followed, HOME};
use self::metrics::Metrics;
use self::report::{Costs, Idle, Report, Sample, Succession, Wave};
use crate::cargo::{DEV, RELEASE};
use crate::kubernetes::{again, up};

/// How often the curve has a point.
const POINT: Duration = Duration::from_secs(2);
/// Time without a DataVolume that succeeds after which none will.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long idling is looked at.
const IDLE: Duration = Duration::from_secs(60);
/// Until what finished last is cleaned up.
const SETTLED: Duration = Duration::from_secs(15);
/// A lease that is not renewed is free after 15 s.
const HANDED_OVER: Duration = Duration::from_secs(60);

/// What the user asked for.
#[derive(Debug, PartialEq)]
struct Options {
    at_once: usize,
    idle: usize,
    write: bool,
}

/// Runs all of it in the cluster that is up, or in one that is ended after it, with the product as users have it, and
/// prints the figures beside what is promised.
///
/// # Errors
/// When the cluster does not come up, or DataVolumes do not succeed. A missed promise is printed, not an error: the machine's
/// state is part of every figure.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let (cluster, ours) = match Cluster::running() {
        Ok(cluster) => {
            again(&cluster, RELEASE)?;
            (cluster, false)
        }
        Err(_) => (up(RELEASE)?, true),
    };
    let stand_in = cluster.stand_in()?;
    let measured = measure(&cluster, &stand_in, &options);
    let cleaned = load::clean(&cluster).and_then(|()| stand_in.end());
    let restored = if ours { cluster.down() } else { again(&cluster, DEV) };
    measured?.finish(options.write).and(cleaned).and(restored)
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options = Options { at_once: 2000, idle: 5000, write: false };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number =
            || -> Result<usize> { Ok(words.next().with_context(|| format!("{word} needs a number"))?.parse()?) };
        match *word {
            "--at-once" => options.at_once = number()?,
            "--idle" => options.idle = number()?,
            "--write" => options.write = true,
            other => bail!("bench scale knows no {other}; it takes [--at-once N] [--idle N] [--write]"),
        }
    }
    ensure!(options.at_once > 0 && options.idle >= options.at_once, "at least 1 at once, and no fewer idle");
    Ok(options)
}

fn measure(cluster: &Cluster, stand_in: &StandIn, options: &Options) -> Result<Report> {
    let bench = Bench::begin(cluster, stand_in)?;
    let mut waves = Vec::new();
    for from in (0..options.idle).step_by(options.at_once) {
        waves.push(bench.wave(from, options.idle.min(from + options.at_once))?);
    }
    let idle = bench.idle(options.idle)?;
    let succession = bench.succession()?;
    Ok(Report { waves, idle, succession })
}

/// What every part of it needs.
struct Bench<'a> {
    cluster: &'a Cluster,
    stand_in: &'a StandIn,
    followed: Followed,
    metrics: Metrics,
}

/// The replica that works, and its pod.
struct Leader {
    pod: String,
    process: Process,
}

impl<'a> Bench<'a> {
    fn begin(cluster: &'a Cluster, stand_in: &'a StandIn) -> Result<Self> {
        load::begin(cluster)?;
        let followed = Followed::begin(stand_in.proxy())?;
        Ok(Self { cluster, stand_in, followed, metrics: Metrics::begin(cluster)? })
    }

    /// The one that leads now, or as soon as one does: who goes gives the lease back before another has it.
    fn leader(&self) -> Result<Leader> {
        self.leader_after("")
    }

    /// The one that leads after the pod `gone`.
    fn leader_after(&self, gone: &str) -> Result<Leader> {
        let begin = Instant::now();
        loop {
            let pod = self.holder()?;
            let processes = self.cluster.processes("cdi-controller")?;
            let process = processes.into_iter().find(|process| process.has("POD_NAME", &pod).unwrap_or(false));
            if let Some(process) = process.filter(|_| pod != gone) {
                return Ok(Leader { pod, process });
            }
            ensure!(begin.elapsed() < HANDED_OVER, "nobody leads: the lease's holder is {pod:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The pod that has the lease; nothing while nobody has.
    fn holder(&self) -> Result<String> {
        let (lease, holder) = ("lease/cdi-controller-leader-election-helper", "jsonpath={.spec.holderIdentity}");
        self.cluster.ask(&["get", lease, "--namespace", NAMESPACE, "--output", holder])
    }

    /// Makes DataVolumes `from` to `to` and follows them until the last has succeeded and nothing waits any more.
    fn wave(&self, from: usize, to: usize) -> Result<Wave> {
        let leader = self.leader()?;
        let mark = self.cluster.mark()?;
        let before = leader.process.processor()?;
        leader.process.forget_peak()?;
        let begin = Instant::now();
        let creating = load::create(self.stand_in.proxy(), from, to)?;
        let mut curve: Vec<Sample> = Vec::new();
        let mut moved = Instant::now();
        loop {
            std::thread::sleep((POINT * u32::try_from(curve.len() + 1)?).saturating_sub(begin.elapsed()));
            let sample = Sample {
                seconds: begin.elapsed().as_secs_f64(),
                created: self.followed.created(),
                succeeded: self.followed.succeeded(),
                depth: self.metrics.of(&leader.pod)?.depth(),
                memory: leader.process.memory()?,
            };
            if curve.last().is_none_or(|last| last.succeeded != sample.succeeded) {
                moved = Instant::now();
                eprintln!("{sample}");
            }
            let done = sample.succeeded >= to && sample.depth == 0;
            curve.push(sample);
            if done {
                break;
            }
            ensure!(moved.elapsed() < PATIENCE, "{} of {to} succeeded and no more", self.followed.succeeded());
        }
        let created = creating.join().ok().context("creating them failed")??;
        std::thread::sleep(SETTLED);
        Ok(Wave {
            count: to - from,
            created,
            processor: leader.process.processor()?.saturating_sub(before),
            peak: leader.process.peak()?,
            settled: leader.process.memory()?,
            costs: Costs::of(&self.cluster.audit(mark)?),
            curve,
        })
    }

    /// Looks at the leader while nothing is to be done.
    fn idle(&self, count: usize) -> Result<Idle> {
        let leader = self.leader()?;
        let mark = self.cluster.mark()?;
        let before = (self.metrics.of(&leader.pod)?.reconciles(), leader.process.processor()?);
        leader.process.forget_peak()?;
        std::thread::sleep(IDLE);
        let processor = leader.process.processor()?.saturating_sub(before.1);
        let costs = Costs::of(&self.cluster.audit(mark)?);
        Ok(Idle {
            count,
            seconds: IDLE.as_secs(),
            processor,
            memory: leader.process.peak()?,
            reconciles: self.metrics.of(&leader.pod)?.reconciles() - before.0,
            costs,
        })
    }

    /// Has the other replica lead: it looks at everything, and should find nothing to do.
    fn succession(&self) -> Result<Succession> {
        let leader = self.leader()?;
        let mark = self.cluster.mark()?;
        let begin = Instant::now();
        self.cluster.ask(&["delete", "pod", &leader.pod, "--namespace", NAMESPACE, "--wait=false"])?;
        let next = self.leader_after(&leader.pod)?;
        let led = begin.elapsed();
        while self.metrics.of(&next.pod)?.depth() > 0 {
            std::thread::sleep(Duration::from_millis(200));
        }
        let looked = begin.elapsed();
        std::thread::sleep(SETTLED);
        // The one that came in its place has filled its caches from nothing.
        let processes = self.cluster.processes("cdi-controller")?;
        let peak = processes.iter().filter_map(|process| process.peak().ok()).max().unwrap_or_default();
        Ok(Succession {
            led,
            looked,
            reconciles: self.metrics.of(&next.pod)?.reconciles(),
            peak,
            costs: Costs::of(&self.cluster.audit(mark)?),
        })
    }
}

/// The namespace that all of it is in goes with it.
impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Whoever cleans up says what stays.
        let _ = self.cluster.ask(&["delete", "namespace", HOME, "--ignore-not-found", "--wait=false"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_numbers_and_what_would_be_ignored_is_refused() {
        let options = parse(&["--idle", "20", "--at-once", "10", "--write"]).unwrap();
        assert_eq!(options, Options { at_once: 10, idle: 20, write: true });
        for wrong in [&["--idle"][..], &["--idle", "many"], &["--idle", "10"], &["--at-once", "0"], &["fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
