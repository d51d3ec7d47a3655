//! One DataVolume as it is shown.

use api::cdi::{DataVolume, GantryError};
use contract::{Code, Failure, SCHEMA};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::age;
use crate::show::bytes;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// What a DataVolume has come to; its JSON is what `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    schema: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) phase: String,
    progress: Option<String>,
    step: Option<String>,
    attempt: Option<i64>,
    restarts: i32,
    pub(super) bytes_done: Option<i64>,
    pub(super) bytes_total: Option<i64>,
    bytes_per_second: Option<i64>,
    eta_seconds: Option<i64>,
    created: Option<Timestamp>,
    fingerprint: Option<String>,
    pub(super) error: Option<GantryError>,
    /// Whether nothing more will happen.
    pub(super) finished: bool,
    pub(super) deleted: bool,
}

impl Row {
    pub(super) fn of(data_volume: &DataVolume) -> Self {
        let status = data_volume.status.clone().unwrap_or_default();
        let finished = status.known_phase().is_final();
        let ours = status.gantry.unwrap_or_default();
        Self {
            schema: SCHEMA,
            namespace: data_volume.namespace().unwrap_or_default(),
            name: data_volume.name_any(),
            phase: status.phase.unwrap_or_default(),
            progress: status.progress,
            step: ours.step,
            attempt: ours.attempt,
            restarts: status.restart_count.unwrap_or_default(),
            bytes_done: ours.bytes_done,
            bytes_total: ours.bytes_total,
            bytes_per_second: ours.bytes_per_second,
            eta_seconds: ours.eta_seconds,
            created: data_volume.creation_timestamp().map(|time| time.0),
            fingerprint: ours.fingerprint,
            error: ours.last_error,
            finished,
            deleted: false,
        }
    }

    /// The same DataVolume after it was deleted.
    pub(super) fn gone(mut self) -> Self {
        self.deleted = true;
        self.finished = true;
        self
    }

    pub(super) fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// The columns of a table at this time.
    pub(super) fn cells(&self, now: Timestamp) -> [String; 10] {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
        let age = self.created.map(|created| age::short(now.as_second() - created.as_second()));
        [
            self.namespace.clone(),
            self.name.clone(),
            self.word(),
            text(&self.progress),
            text(&self.step),
            self.done().unwrap_or_else(|| NOTHING.to_owned()),
            self.rate().unwrap_or_else(|| NOTHING.to_owned()),
            self.eta().unwrap_or_else(|| NOTHING.to_owned()),
            text(&age),
            self.error.as_ref().map_or_else(|| NOTHING.to_owned(), |error| error.code.clone()),
        ]
    }

    /// One line beside a bar.
    pub(super) fn line(&self) -> String {
        let eta = self.eta().map(|eta| format!("ETA {eta}"));
        let step = self.step.clone().unwrap_or_else(|| self.word());
        let error = self.error.as_ref().map(|error| format!("[{}]", error.code));
        let parts = [self.progress.clone(), Some(step), self.done(), self.rate(), eta, error];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    /// What is wrong, what to do about it, and whether it is tried again.
    pub(super) fn trouble(&self) -> Vec<String> {
        let Some(error) = &self.error else { return Vec::new() };
        let again = if error.retried { "yes, by itself" } else { "no" };
        vec![
            format!("{}: {} [{}]", self.name, error.cause, error.code),
            format!("  what to do: {}", error.remedy),
            format!("  tried again: {again}"),
        ]
    }

    /// The failure that a finished DataVolume came to.
    pub(super) fn failure(&self) -> Option<Failure> {
        if self.deleted {
            let what = format!("the DataVolume {} was deleted", self.name);
            return Some(Failure::new(Code::ClusterNotFound, what).remedy("make it again, if it is still wanted"));
        }
        if self.phase != "Failed" {
            return None;
        }
        let place = format!("DataVolume {}/{}", self.namespace, self.name);
        let Some(error) = &self.error else {
            return Some(Failure::new(Code::PodFailed, "the DataVolume failed").at(place));
        };
        // A newer release may have codes that this one does not know.
        let code = Code::ALL.iter().copied().find(|code| code.name() == error.code).unwrap_or(Code::PodFailed);
        Some(Failure::new(code, error.cause.clone()).remedy(error.remedy.clone()).at(place))
    }

    fn word(&self) -> String {
        match (self.deleted, self.phase.as_str()) {
            (true, _) => "(deleted)".to_owned(),
            (false, "") => NOTHING.to_owned(),
            (false, phase) => phase.to_owned(),
        }
    }

    fn done(&self) -> Option<String> {
        let done = self.bytes_done?;
        Some(match self.bytes_total {
            Some(total) => format!("{}/{}", size(done), size(total)),
            None => size(done),
        })
    }

    fn rate(&self) -> Option<String> {
        self.bytes_per_second.filter(|rate| *rate > 0).map(|rate| format!("{}/s", size(rate)))
    }

    fn eta(&self) -> Option<String> {
        self.eta_seconds.map(age::short)
    }
}

/// Bytes in one word, so that columns stay columns.
fn size(count: i64) -> String {
    bytes(u64::try_from(count).unwrap_or_default()).replace(' ', "")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::dv) fn row(name: &str, status: &str) -> Row {
        let text = format!(
            "{{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, spec: {{}}, status: {{{status}}},
               metadata: {{name: {name}, namespace: home, creationTimestamp: '2026-01-01T00:00:00Z'}}}}"
        );
        Row::of(&serde_saphyr::from_str(&text).unwrap())
    }

    const RUNNING: &str =
        "phase: ImportInProgress, progress: 50.00%, restartCount: 1, gantry: {step: importing, bytesDone: 536870912,
        bytesTotal: 1073741824, bytesPerSecond: 1048576, etaSeconds: 512}";
    const FAILED: &str =
        "phase: Failed, progress: N/A, gantry: {lastError: {code: checksum-mismatch, cause: 'it differs',
        remedy: 'look', retried: false}}";

    #[test]
    fn all_that_is_known_has_a_column_and_the_rest_a_dash() {
        let now: Timestamp = "2026-01-01T00:05:12Z".parse().unwrap();
        assert_eq!(
            row("disk", RUNNING).cells(now),
            [
                "home",
                "disk",
                "ImportInProgress",
                "50.00%",
                "importing",
                "512.00MiB/1.00GiB",
                "1.00MiB/s",
                "8m32s",
                "5m12s",
                "-"
            ]
        );
        assert_eq!(row("new", "").cells(now), ["home", "new", "-", "-", "-", "-", "-", "-", "5m12s", "-"]);
        assert_eq!(row("disk", FAILED).cells(now)[9], "checksum-mismatch");
        assert_eq!(row("disk", RUNNING).line(), "50.00%  importing  512.00MiB/1.00GiB  1.00MiB/s  ETA 8m32s");
    }

    #[test]
    fn a_failure_is_told_with_its_remedy_and_decides_the_exit_code() {
        let failed = row("disk", FAILED);
        assert_eq!(
            failed.trouble(),
            ["disk: it differs [checksum-mismatch]", "  what to do: look", "  tried again: no"]
        );
        assert_eq!(failed.failure().unwrap().code(), Code::ChecksumMismatch);
        assert!(row("disk", RUNNING).failure().is_none() && row("disk", RUNNING).trouble().is_empty());
        let unknown = row("disk", &FAILED.replace("checksum-mismatch", "of-tomorrow"));
        assert_eq!(unknown.failure().unwrap().code(), Code::PodFailed);
        assert_eq!(row("disk", RUNNING).gone().failure().unwrap().code(), Code::ClusterNotFound);
    }

    #[test]
    fn json_has_every_field_by_its_name_in_the_status() {
        let value = serde_json::to_value(row("disk", RUNNING)).unwrap();
        for (key, expected) in [
            ("schema", serde_json::json!(SCHEMA)),
            ("bytesDone", 536_870_912.into()),
            ("restarts", 1.into()),
            ("created", "2026-01-01T00:00:00Z".into()),
            ("finished", false.into()),
            ("deleted", false.into()),
        ] {
            assert_eq!(value[key], expected, "{key}");
        }
    }
}
