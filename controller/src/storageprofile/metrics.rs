//! The metric of storage profiles, made from the caches whenever it is read: no state of its own that could be out of date.

use std::fmt;
use std::sync::Arc;

use api::annotation::{DEFAULT_STORAGE_CLASS, DEFAULT_VIRT_STORAGE_CLASS};
use api::cdi::{StorageProfile, StorageProfileStatus};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::capabilities::{AccessMode, CloneStrategy};
use super::table;

const NAME: &str = "kubevirt_cdi_storageprofile_info";
const HELP: &str = "StorageProfiles, their StorageClass and what it can do";

/// Name and value of each label.
type Labels = Vec<(&'static str, String)>;

/// `kubevirt_cdi_storageprofile_info`, one line per profile.
pub(crate) struct Profiles {
    pub(crate) profiles: Store<StorageProfile>,
    pub(crate) classes: Store<StorageClass>,
    pub(crate) drivers: Store<CSIDriver>,
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profiles")
    }
}

impl Collector for Profiles {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let one = ConstGauge::new(1_i64);
        let mut metric = encoder.encode_descriptor(NAME, HELP, None, one.metric_type())?;
        for labels in self.lines() {
            one.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Profiles {
    fn lines(&self) -> Vec<Labels> {
        let mut profiles = self.profiles.state();
        profiles.sort_by_key(|profile| profile.name_any());
        profiles.iter().filter_map(|profile| self.line(profile)).collect()
    }

    fn line(&self, profile: &Arc<StorageProfile>) -> Option<Labels> {
        let class = self.classes.get(&ObjectRef::new(&profile.name_any()))?;
        let driver = self.drivers.get(&ObjectRef::new(&class.provisioner)).is_some();
        profile.status.as_ref().map(|status| labels(&class, status, driver))
    }
}

/// What the metric says of one class.
fn labels(class: &StorageClass, status: &StorageProfileStatus, driver: bool) -> Labels {
    let marked = |key: &str| class.annotations().get(key).is_some_and(|value| value == "true");
    let many = AccessMode::Many.name();
    let shared = status.claim_property_sets.iter().any(|set| set.access_modes.iter().any(|mode| mode == many));
    let smart = match status.clone_strategy.as_deref().and_then(CloneStrategy::named) {
        Some(CloneStrategy::CsiClone) => driver,
        Some(CloneStrategy::Snapshot) => status.snapshot_class.is_some(),
        Some(CloneStrategy::Copy) | None => false,
    };
    let complete = table::is_unsupported(&class.provisioner) || !status.claim_property_sets.is_empty();
    let degraded = !(shared && smart);
    vec![
        ("storageclass", class.name_any()),
        ("provisioner", class.provisioner.clone()),
        ("complete", complete.to_string()),
        ("default", marked(DEFAULT_STORAGE_CLASS).to_string()),
        ("virtdefault", marked(DEFAULT_VIRT_STORAGE_CLASS).to_string()),
        ("rwx", shared.to_string()),
        ("smartclone", smart.to_string()),
        ("degraded", degraded.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::super::sample::{class, observed};
    use super::super::status::status;
    use super::*;

    fn said(provisioner: &str, driver: bool) -> String {
        let (classes, mut writer) = store();
        let mut class = class(provisioner, &[]);
        class.annotations_mut().insert(DEFAULT_STORAGE_CLASS.into(), "true".into());
        writer.apply_watcher_event(&Event::Apply(class.clone()));
        let (profiles, mut writer) = store();
        let mut profile = StorageProfile::new("fast", api::cdi::StorageProfileSpec::default());
        profile.status = Some(status(&observed(class)));
        writer.apply_watcher_event(&Event::Apply(profile));
        let (drivers, mut writer) = store();
        if driver {
            let driver = CSIDriver {
                metadata: kube::core::ObjectMeta { name: Some(provisioner.into()), ..Default::default() },
                ..CSIDriver::default()
            };
            writer.apply_watcher_event(&Event::Apply(driver));
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Profiles { profiles, classes, drivers }));
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page.lines().find(|line| line.starts_with(NAME)).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_metric_says_what_a_class_can_do() {
        assert_eq!(
            said("rbd.csi.ceph.com", true),
            r#"kubevirt_cdi_storageprofile_info{storageclass="fast",provisioner="rbd.csi.ceph.com",complete="true",default="true",virtdefault="false",rwx="true",smartclone="true",degraded="false"} 1"#
        );
        for (provisioner, driver, expected) in [
            ("rbd.csi.ceph.com", false, r#"smartclone="false",degraded="true""#),
            ("csi.gantry.dev", true, r#"rwx="false",smartclone="true",degraded="true""#),
            ("somebody.example", true, r#"complete="false",default="true""#),
            ("stork-snapshot", false, r#"complete="true",default="true""#),
        ] {
            let line = said(provisioner, driver);
            assert!(line.contains(expected), "{line}");
        }
    }
}
