//! The metric of DataVolumes, made from the caches whenever it is read: no state of its own that could be out of date.

use std::fmt;

use api::annotation::{DEFAULT_STORAGE_CLASS, DEFAULT_VIRT_STORAGE_CLASS};
use api::cdi::DataVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::observe::class_named;

const NAME: &str = "kubevirt_cdi_datavolume_pending";
const HELP: &str = "Number of DataVolumes pending for default storage class to be configured";

/// `kubevirt_cdi_datavolume_pending`: CDI's alert on a missing default class depends on it.
pub(crate) struct Pending {
    pub(crate) data_volumes: Store<DataVolume>,
    pub(crate) classes: Store<StorageClass>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl Collector for Pending {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let count = ConstGauge::new(i64::try_from(self.count()).unwrap_or(i64::MAX));
        count.encode(encoder.encode_descriptor(NAME, HELP, None, count.metric_type())?)
    }
}

impl Pending {
    fn count(&self) -> usize {
        let is_default = |class: &StorageClass| {
            let marked = |key: &str| class.annotations().get(key).is_some_and(|value| value == "true");
            marked(DEFAULT_STORAGE_CLASS) || marked(DEFAULT_VIRT_STORAGE_CLASS)
        };
        if self.classes.state().iter().any(|class| is_default(class)) {
            return 0;
        }
        self.data_volumes.state().iter().filter(|data_volume| waits_for_class(data_volume)).count()
    }
}

/// Whether a DataVolume is pending and leaves the class to the cluster.
fn waits_for_class(data_volume: &DataVolume) -> bool {
    let phase = data_volume.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, None | Some("" | "Pending")) && class_named(data_volume).is_none()
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::sample;

    fn page(default: bool) -> String {
        let (classes, mut writer) = store();
        let mut class = sample::class("Immediate");
        class.annotations_mut().insert(DEFAULT_STORAGE_CLASS.into(), default.to_string());
        writer.apply_watcher_event(&Event::Apply(class));
        let (data_volumes, mut writer) = store();
        for (name, phase, class) in
            [("a", "Pending", ""), ("b", "", ""), ("c", "Pending", "local"), ("d", "Succeeded", "")]
        {
            let class = if class.is_empty() { String::new() } else { format!("storageClassName: {class}") };
            let text = format!(
                "{{metadata: {{name: {name}, namespace: home}}, spec: {{source: {{blank: {{}}}}, storage: {{{class}}}}}, status: {{phase: '{phase}'}}}}"
            );
            writer.apply_watcher_event(&Event::Apply(sample::yaml::<DataVolume>(&text)));
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Pending { data_volumes, classes }));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page.lines().find(|line| line.starts_with(NAME)).unwrap_or_default().to_owned()
    }

    #[test]
    fn data_volumes_that_wait_for_a_default_class_are_counted() {
        assert_eq!(page(false), "kubevirt_cdi_datavolume_pending 2");
        assert_eq!(page(true), "kubevirt_cdi_datavolume_pending 0");
    }
}
