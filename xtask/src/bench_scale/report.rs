//! Figures beside what is promised: lines, a Markdown table, a JSON file with the curve.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fixtures::images::MIB;
use fixtures::kubernetes::Call;
use serde_json::{Value, json};

use super::load::HOME;
use crate::cargo::{root, target};

/// Resident bytes that the controller may take.
const RESIDENT: u64 = 150 * MIB;
/// Requests that an import may cost.
const REQUESTS: f64 = 25.0;
/// Where the table stands, between these marks.
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- scale -->";
const END: &str = "<!-- /scale -->";

const CONTROLLER: &str = "system:serviceaccount:cdi:cdi-sa";
/// What reading the metrics costs, which the bench does.
const OF_METRICS: [&str; 2] = ["tokenreviews", "subjectaccessreviews"];

/// What was asked of the API server.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// By the controller about the DataVolumes and what belongs to them, by `verb resource`; no watches.
    pub(super) work: BTreeMap<String, usize>,
    /// By the controller about itself: its lease, certificates ...
    pub(super) own: BTreeMap<String, usize>,
    /// Lists by the controller.
    pub(super) lists: usize,
    /// By all, by user.
    pub(super) users: BTreeMap<String, usize>,
}

impl Costs {
    pub(super) fn of(calls: &[Call]) -> Self {
        let mut costs = Self::default();
        for call in calls {
            *costs.users.entry(call.user.clone()).or_default() += 1;
            if call.user != CONTROLLER || OF_METRICS.contains(&&*call.resource) {
                continue;
            }
            let slash = if call.subresource.is_empty() { "" } else { "/" };
            let what = format!("{} {}{slash}{}", call.verb, call.resource, call.subresource);
            costs.lists += usize::from(call.verb == "list");
            let about_work = call.namespace == HOME || call.resource == "persistentvolumes";
            let counted = if about_work && call.verb != "watch" { &mut costs.work } else { &mut costs.own };
            *counted.entry(what).or_default() += 1;
        }
        costs
    }

    fn requests(&self) -> usize {
        self.work.values().sum()
    }

    fn own_requests(&self) -> usize {
        self.own.iter().filter(|(what, _)| !what.starts_with("watch")).map(|(_, count)| count).sum()
    }

    fn json(&self) -> Value {
        json!({"work": self.work, "own": self.own, "lists": self.lists, "users": self.users})
    }
}

/// A point of the curve.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) created: usize,
    pub(super) succeeded: usize,
    pub(super) depth: u64,
    pub(super) memory: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:6.0} s  {:5} made  {:5} succeeded  {:5} waiting  {:4} MiB",
            self.seconds,
            self.created,
            self.succeeded,
            self.depth,
            self.memory / MIB
        )
    }
}

/// DataVolumes made at once.
#[derive(Debug)]
pub(super) struct Wave {
    pub(super) count: usize,
    /// How long it took to make them.
    pub(super) created: Duration,
    pub(super) curve: Vec<Sample>,
    pub(super) processor: Duration,
    pub(super) peak: u64,
    pub(super) settled: u64,
    pub(super) costs: Costs,
}

impl Wave {
    fn seconds(&self) -> f64 {
        self.curve.last().map_or(0.0, |last| last.seconds)
    }

    fn each(&self) -> f64 {
        self.costs.requests() as f64 / self.count as f64
    }

    /// The deepest that the queues were, and the part of the time in which something waited in them.
    fn depth(&self) -> (u64, f64) {
        let deepest = self.curve.iter().map(|sample| sample.depth).max().unwrap_or_default();
        let waited = self.curve.iter().filter(|sample| sample.depth > 0).count();
        (deepest, waited as f64 / self.curve.len().max(1) as f64)
    }
}

/// A time in which nothing was to be done.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) count: usize,
    pub(super) seconds: u64,
    pub(super) processor: Duration,
    pub(super) memory: u64,
    pub(super) reconciles: u64,
    pub(super) costs: Costs,
}

/// Another replica that came to lead.
#[derive(Debug)]
pub(super) struct Succession {
    /// Until it led.
    pub(super) led: Duration,
    /// Until it had looked at everything.
    pub(super) looked: Duration,
    pub(super) reconciles: u64,
    /// Of the replica that started anew.
    pub(super) peak: u64,
    pub(super) costs: Costs,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) waves: Vec<Wave>,
    pub(super) idle: Idle,
    pub(super) succession: Succession,
}

/// A figure, and what is promised of it.
struct Row {
    what: String,
    figure: String,
    promise: Option<(String, bool)>,
}

fn row(what: impl Into<String>, figure: String) -> Row {
    Row { what: what.into(), figure, promise: None }
}

impl Row {
    fn promised(self, promise: &str, kept: bool) -> Self {
        Self { promise: Some((promise.to_owned(), kept)), ..self }
    }
}

impl Report {
    /// Prints the table, writes `target/bench/scale-SECONDS.json` and, if wanted, the table into the document.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn finish(&self, into_document: bool) -> Result<()> {
        for wave in &self.waves {
            println!("\n{} DataVolumes: what the controller asked, in all and for each", wave.count);
            for (what, count) in &wave.costs.work {
                println!("  {what:<44}{count:>8}{:>8.2}", *count as f64 / wave.count as f64);
            }
            println!("who asked, of {} requests", wave.costs.users.values().sum::<usize>());
            for (user, count) in &wave.costs.users {
                println!("  {user:<76}{count:>8}");
            }
        }
        let table = self.table();
        println!("\n{table}");
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let folder = target().join("bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("scale-{seconds}.json"));
        fs::write(&path, serde_json::to_string_pretty(&self.json())?)?;
        println!("all figures and the curve: {}", path.display());
        if into_document {
            let path = root().join(DOCUMENT);
            fs::write(&path, replaced(&fs::read_to_string(&path)?, &table).context(DOCUMENT)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let resident = |what: String, bytes: u64| {
            row(what, format!("{} MiB", bytes / MIB)).promised("at most 150 MiB", bytes <= RESIDENT)
        };
        let mut rows = Vec::new();
        for wave in &self.waves {
            let (deepest, waited) = wave.depth();
            let (count, seconds) = (wave.count, wave.seconds());
            rows.extend([
                row(
                    format!("{count} DataVolumes at once, all Succeeded and no queue"),
                    format!("{seconds:.0} s, {:.1} a second", count as f64 / seconds.max(1.0)),
                )
                .promised("drained", true),
                row("… made by 8 clients within", format!("{:.0} s", wave.created.as_secs_f64())),
                row(
                    "… longest queue; part of the time with one",
                    format!("{deepest} objects; {:.0} %", waited * 100.0),
                ),
                row("… requests of the controller for each", format!("{:.1}", wave.each()))
                    .promised("at most 25", wave.each() <= REQUESTS),
                row("… lists", wave.costs.lists.to_string()).promised("none", wave.costs.lists == 0),
                row(
                    "… its processor time for each",
                    format!("{:.1} ms", wave.processor.as_secs_f64() * 1000.0 / count as f64),
                ),
                resident("… its peak memory".to_owned(), wave.peak),
            ]);
        }
        let Idle { count, seconds, processor, memory, reconciles, costs } = &self.idle;
        let work = costs.requests();
        rows.extend([
            resident(format!("{count} idle: memory"), *memory),
            row("… reconciles", format!("{reconciles} in {seconds} s")).promised("none", *reconciles == 0),
            row("… requests about them", format!("{work} in {seconds} s")).promised("none", work == 0),
            row("… other requests, the lease's", format!("{} in {seconds} s", costs.own_requests())),
            row("… processor time", format!("{:.2} s in {seconds} s", processor.as_secs_f64())),
        ]);
        let next = &self.succession;
        rows.extend([
            row(format!("… the other replica leads and has looked at {count}"), {
                format!("{:.1} s and {:.1} s", next.led.as_secs_f64(), next.looked.as_secs_f64())
            }),
            row("… writes of its", format!("{} in {} reconciles", next.costs.requests(), next.reconciles))
                .promised("none", next.costs.requests() == 0),
            row("… lists", next.costs.lists.to_string()).promised("none", next.costs.lists == 0),
            resident("… peak memory of a replica that starts".to_owned(), next.peak),
        ]);
        rows
    }

    fn table(&self) -> String {
        let mut table = "| what | figure | promise |\n|---|---|---|\n".to_owned();
        for Row { what, figure, promise } in self.rows() {
            let promise =
                promise.map_or(String::new(), |(promise, kept)| promise + if kept { "" } else { " (missed)" });
            table += &format!("| {what} | {figure} | {promise} |\n");
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        table
            + &format!(
                "\nOne run, {processors} processors for the API server, etcd, Kubernetes' controllers and ours.\n"
            )
    }

    fn json(&self) -> Value {
        let point = |sample: &Sample| {
            json!({
                "seconds": sample.seconds, "created": sample.created, "succeeded": sample.succeeded,
                "queueDepth": sample.depth, "residentBytes": sample.memory,
            })
        };
        let waves = self.waves.iter().map(|wave| {
            json!({
                "count": wave.count,
                "createdSeconds": wave.created.as_secs_f64(),
                "processorSeconds": wave.processor.as_secs_f64(),
                "peakResident": wave.peak,
                "settledResident": wave.settled,
                "requests": wave.costs.json(),
                "curve": wave.curve.iter().map(point).collect::<Vec<_>>(),
            })
        });
        json!({
            "waves": waves.collect::<Vec<_>>(),
            "idle": {
                "count": self.idle.count,
                "seconds": self.idle.seconds,
                "processorSeconds": self.idle.processor.as_secs_f64(),
                "peakResident": self.idle.memory,
                "reconciles": self.idle.reconciles,
                "requests": self.idle.costs.json(),
            },
            "succession": {
                "ledSeconds": self.succession.led.as_secs_f64(),
                "lookedSeconds": self.succession.looked.as_secs_f64(),
                "reconciles": self.succession.reconciles,
                "peakResident": self.succession.peak,
                "requests": self.succession.costs.json(),
            },
        })
    }
}

/// `text` with `table` between the marks.
fn replaced(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("there is no place for the table")?;
    let (_, after) = rest.split_once(END).context("the place for the table does not end")?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(user: &str, verb: &str, resource: &str, namespace: &str) -> Call {
        let [user, verb, resource, namespace] = [user, verb, resource, namespace].map(str::to_owned);
        Call { user, verb, resource, namespace, ..Call::default() }
    }

    #[test]
    fn what_the_work_costs_is_counted_apart_from_the_controllers_own_and_from_others() {
        let costs = Costs::of(&[
            call(CONTROLLER, "patch", "persistentvolumeclaims", HOME),
            call(CONTROLLER, "patch", "persistentvolumes", ""),
            call(CONTROLLER, "watch", "persistentvolumes", ""),
            call(CONTROLLER, "update", "leases", "cdi"),
            call(CONTROLLER, "list", "pods", ""),
            call(CONTROLLER, "create", "tokenreviews", ""),
            call("system:kube-scheduler", "create", "pods", HOME),
        ]);
        assert_eq!((costs.requests(), costs.own_requests(), costs.lists), (2, 2, 1));
        assert_eq!(costs.users[CONTROLLER], 6);
        assert_eq!(costs.users["system:kube-scheduler"], 1);
    }

    #[test]
    fn a_missed_promise_is_said_in_the_table() {
        let sample = Sample { seconds: 10.0, created: 2, succeeded: 2, depth: 0, memory: MIB };
        let work = BTreeMap::from([("create pods".to_owned(), 60)]);
        let wave = Wave {
            count: 2,
            created: Duration::from_secs(1),
            curve: vec![sample],
            processor: Duration::from_millis(20),
            peak: 151 * MIB,
            settled: MIB,
            costs: Costs { work, ..Costs::default() },
        };
        assert_eq!(wave.depth(), (0, 0.0));
        let idle = Idle {
            count: 2,
            seconds: 60,
            processor: Duration::ZERO,
            memory: 150 * MIB,
            reconciles: 0,
            costs: Costs::default(),
        };
        let second = Duration::from_secs(1);
        let succession = Succession { led: second, looked: second, reconciles: 9, peak: MIB, costs: Costs::default() };
        let table = Report { waves: vec![wave], idle, succession }.table();
        for line in [
            "| … requests of the controller for each | 30.0 | at most 25 (missed) |",
            "| … its peak memory | 151 MiB | at most 150 MiB (missed) |",
            "| 2 idle: memory | 150 MiB | at most 150 MiB |",
            "| … its processor time for each | 10.0 ms |  |",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }
}
