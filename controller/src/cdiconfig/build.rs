//! The CDIConfig as it begins.

use std::collections::BTreeMap;

use api::cdi::{CdiConfig, CdiConfigSpec};
use api::label;
use kube::core::ObjectMeta;

use super::features;

/// Name of the only CDIConfig.
pub(crate) const NAME: &str = "config";

/// A CDIConfig with the gates open that CDI's releases ship open in their CDI object. Where there is a CDI object that rules,
/// its settings replace these.
pub(crate) fn config(labels: &BTreeMap<String, String>) -> CdiConfig {
    CdiConfig {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some(self::labels(labels)),
            ..ObjectMeta::default()
        },
        spec: beginning(),
        status: None,
    }
}

/// The settings of a CDIConfig that nobody has changed.
pub(crate) fn beginning() -> CdiConfigSpec {
    CdiConfigSpec {
        feature_gates: vec![features::HONOUR_WAIT_FOR_FIRST_CONSUMER.to_owned()],
        ..CdiConfigSpec::default()
    }
}

/// Labels of the CDIConfig, given those of every object of the product.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let component = (label::COMPONENT.to_owned(), String::new());
    labels.clone().into_iter().chain([component]).collect()
}
