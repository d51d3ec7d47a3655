//! A report as lines, each with a label.

use contract::Failure;
use serde_json::Value;

use super::report::{Credential, Pod, Quota, Report, Verdict, Word};
use crate::show::{bytes, line};

/// Prints reports, one under the other.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(reports: &[Report]) -> Result<(), Failure> {
    for (number, report) in reports.iter().enumerate() {
        if number > 0 {
            line("")?;
        }
        lines(report).iter().try_for_each(|text| line(text))?;
    }
    Ok(())
}

/// A report's lines.
fn lines(report: &Report) -> Vec<String> {
    let mut lines = Lines::default();
    lines.add("DataVolume", format!("{}/{}", report.namespace, report.name));
    lines.add("admission", said("by the API server", &report.admission));
    volume(report, &mut lines);
    for quota in &report.quotas {
        quota_lines(quota, &mut lines);
    }
    report.limits.iter().for_each(|limit| lines.add("limits", limit.clone()));
    report.credentials.iter().for_each(|credential| lines.add("reads", credential_line(credential)));
    if let Some(capacity) = &report.capacity {
        let largest = capacity.largest.map(|largest| format!("volumes of up to {}; ", bytes(largest)));
        lines.add(
            "room",
            format!(
                "{}{}",
                largest.unwrap_or_default(),
                match capacity.verdict.answer {
                    Word::Accepted => "enough".to_owned(),
                    _ => capacity.verdict.message.clone().unwrap_or_default(),
                }
            ),
        );
    }
    report.notes.iter().for_each(|note| lines.add("note", note.clone()));
    for failure in &report.refusals {
        lines.add("refused", format!("{failure} [{}]", failure.code().name()));
        lines.add("", format!("what to do: {}", failure.what_to_do()));
    }
    if report.refusals.is_empty() {
        lines.add("outcome", "nothing refuses it".to_owned());
    }
    lines.0
}

/// What is made: claims and pod.
fn volume(report: &Report, lines: &mut Lines) {
    if let Some(source) = &report.source {
        let address = source.address.as_deref().map(|address| format!(" {address}")).unwrap_or_default();
        let policy = source.policy.as_ref().map(|verdict| format!("; {}", said("by the source policy", verdict)));
        lines.add("source", format!("{}{address}{}", source.kind, policy.unwrap_or_default()));
    }
    if let Some(class) = &report.class {
        let text = format!("{}: {} ({}, {})", class.name, class.because, class.provisioner, class.binding_mode);
        lines.add("class", text);
    }
    if let Some(claim) = &report.claim {
        let size = claim.size.map_or_else(|| "no size".to_owned(), |size| format!("{} ({size} bytes)", bytes(size)));
        lines.add("claim", format!("{}: {}", claim.name, said("by the API server", &claim.verdict)));
        lines.add("  size", format!("{size}: {}", claim.size_because));
        lines.add("  mode", format!("{}: {}", claim.volume_mode, claim.volume_mode_because));
        lines.add("  access", format!("{}: {}", claim.access_modes.join(", "), claim.access_modes_because));
    }
    if let Some(way) = &report.way {
        lines.add("filled", format!("{}: {}", way.how, way.because));
    }
    if let Some(start) = &report.start {
        lines.add("starts", format!("{}: {}", start.when, start.because));
    }
    if let Some(prime) = &report.prime_claim {
        let text = format!(
            "{}, of the same size, while it is filled: {}",
            prime.name,
            said("by the API server", &prime.verdict)
        );
        lines.add("prime", text);
    }
    match &report.pod {
        Some(pod) => pod_lines(pod, lines),
        None if report.start.is_some() => lines.add("pod", "none is needed".to_owned()),
        None => {}
    }
}

fn pod_lines(pod: &Pod, lines: &mut Lines) {
    lines.add("pod", format!("{}: {}", pod.name, said("by the API server", &pod.verdict)));
    lines.add("  image", pod.image.clone().unwrap_or_else(|| "not known".to_owned()));
    let priority = pod.priority_class.as_deref().unwrap_or("none");
    lines.add("  account", format!("{}; priority class: {priority}", pod.service_account));
    lines.add("  needs", resources(&pod.resources));
    for (label, value) in [("  nodes", &pod.node_selector), ("  tolerates", &pod.tolerations)] {
        if let Some(value) = value {
            lines.add(label, value.to_string());
        }
    }
    if !pod.pull_secrets.is_empty() {
        lines.add("  pulled by", pod.pull_secrets.join(", "));
    }
}

/// Requests and limits of a container.
fn resources(resources: &Value) -> String {
    let part = |name: &str| {
        let amounts = resources[name].as_object().filter(|amounts| !amounts.is_empty())?;
        let amounts = amounts.iter().map(|(what, amount)| format!("{what} {}", amount.as_str().unwrap_or_default()));
        Some(format!("{name}: {}", amounts.collect::<Vec<_>>().join(", ")))
    };
    let parts: Vec<String> = ["requests", "limits"].into_iter().filter_map(part).collect();
    if parts.is_empty() { "no requests and no limits".to_owned() } else { parts.join("; ") }
}

fn quota_lines(quota: &Quota, lines: &mut Lines) {
    let scope = if quota.scoped { "; holds in its scopes only" } else { "" };
    for item in &quota.items {
        let fits = if item.fits { "fits" } else { "does not fit" };
        let text = format!(
            "{}: {}: {} needed, {} of {} used: {fits}{scope}",
            quota.name, item.resource, item.needed, item.used, item.hard
        );
        lines.add("quota", text);
    }
}

fn credential_line(credential: &Credential) -> String {
    let Credential { kind, name, keys, purpose, verdict } = credential;
    let keys = if keys.is_empty() { "all its keys".to_owned() } else { keys.join(", ") };
    let there = match verdict {
        Verdict { answer: Word::Accepted, .. } => "there".to_owned(),
        Verdict { message, .. } => message.clone().unwrap_or_default(),
    };
    format!("{kind} {name} ({keys}), {purpose}: {there}")
}

fn said(by: &str, verdict: &Verdict) -> String {
    let message = verdict.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    match verdict.answer {
        Word::Accepted => format!("accepted {by}{message}"),
        Word::Refused => format!("refused {by}{message}"),
        Word::Unknown => format!("not known{message}"),
    }
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, label: &str, text: impl Into<String>) {
        let text: String = text.into();
        // What others say may have lines of its own.
        for (number, text) in text.lines().enumerate() {
            self.0.push(format!("{:12}{text}", if number == 0 { label } else { "" }));
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::Code;
    use serde_json::json;

    use super::super::report::{Capacity, QuotaItem, Source};
    use super::*;

    #[test]
    fn a_report_is_read_from_top_to_bottom() {
        let item = QuotaItem {
            resource: "requests.storage".into(),
            hard: "1.00 GiB".into(),
            used: "0 B".into(),
            needed: "2.00 GiB".into(),
            fits: false,
        };
        let report = Report {
            namespace: "home".into(),
            name: "disk".into(),
            admission: Verdict::accepted(),
            source: Some(Source {
                kind: "http",
                address: Some("http://host/a".into()),
                policy: Some(Verdict::accepted()),
            }),
            quotas: vec![Quota { name: "q".into(), items: vec![item], scoped: false }],
            capacity: Some(Capacity { largest: Some(1 << 30), verdict: Verdict::accepted() }),
            refusals: vec![Failure::new(Code::QuotaExceeded, "too much")],
            ..Report::default()
        };
        assert_eq!(
            lines(&report),
            [
                "DataVolume  home/disk",
                "admission   accepted by the API server",
                "source      http http://host/a; accepted by the source policy",
                "quota       q: requests.storage: 2.00 GiB needed, 0 B of 1.00 GiB used: does not fit",
                "room        volumes of up to 1.00 GiB; enough",
                "refused     too much [quota-exceeded]",
                &format!("            what to do: {}", Code::QuotaExceeded.remedy()),
            ]
        );
        let fine = Report { refusals: Vec::new(), quotas: Vec::new(), ..report };
        assert_eq!(lines(&fine).last().unwrap(), "outcome     nothing refuses it");
    }

    #[test]
    fn resources_are_words() {
        let all = json!({"requests": {"cpu": "100m", "memory": "60M"}, "limits": {}});
        assert_eq!(resources(&all), "requests: cpu 100m, memory 60M");
        assert_eq!(resources(&json!({})), "no requests and no limits");
    }

    #[test]
    fn a_message_of_several_lines_stays_in_its_column() {
        let mut lines = Lines::default();
        lines.add("claim", "one\ntwo".to_owned());
        assert_eq!(lines.0, ["claim       one", "            two"]);
    }
}
