//! What has to be written so that the profile of a class says what holds.

use std::collections::BTreeMap;
use std::time::Duration;

use api::annotation::SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON;
use api::cdi::{StorageProfile, StorageProfileStatus};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

use super::observe::Observed;
use super::{build, status};

/// How long the profile of a class that is gone may take to go, before it is looked at again.
const UNTIL_COLLECTED: Duration = Duration::from_secs(5);

/// Writes, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) profile: Option<Profile>,
    /// The status, where it is another.
    pub(crate) status: Option<StorageProfileStatus>,
    /// When to look again.
    pub(crate) again: Option<Duration>,
}

/// A write to the profile but for its status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Profile {
    Create(Box<StorageProfile>),
    /// Merge patch.
    Change(Value),
}

/// The writes for one class.
pub(crate) fn plan(observed: &Observed) -> Plan {
    let Some(profile) = observed.profile.as_deref() else { return begin(observed) };
    if is_leftover(profile, observed) {
        // It goes by its owner reference; adopting it would race with that.
        return Plan { again: Some(UNTIL_COLLECTED), ..Plan::default() };
    }
    Plan {
        profile: metadata(profile, observed).map(|metadata| Profile::Change(json!({"metadata": metadata}))),
        status: Some(status::status(observed)).filter(|status| profile.status.as_ref() != Some(status)),
        again: None,
    }
}

fn begin(observed: &Observed) -> Plan {
    if observed.class.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    Plan {
        profile: Some(Profile::Create(Box::new(build::profile(observed)))),
        status: Some(status::status(observed)),
        again: None,
    }
}

/// Whether the profile belongs to an earlier class of the same name, or is being deleted.
fn is_leftover(profile: &StorageProfile, observed: &Observed) -> bool {
    let owner = build::owner(&observed.class);
    let of_a_class = profile.owner_references().iter().filter(|found| found.kind == owner.kind);
    let foreign = of_a_class.clone().count() > 0 && of_a_class.clone().all(|found| found.uid != owner.uid);
    foreign || profile.meta().deletion_timestamp.is_some()
}

/// What the profile's metadata lacks. Labels are ours. Annotations that are there may be the administrator's and stay, but for
/// the class of crons' snapshots, which follows the VolumeSnapshotClasses that there are.
fn metadata(profile: &StorageProfile, observed: &Observed) -> Option<Map<String, Value>> {
    let mut lacking = Map::new();
    let labels = differing(profile.labels(), build::labels(observed));
    if !labels.is_empty() {
        lacking.insert("labels".into(), json!(labels));
    }
    let annotations = annotations(profile.annotations(), observed);
    if !annotations.is_empty() {
        lacking.insert("annotations".into(), json!(annotations));
    }
    let owner = build::owner(&observed.class);
    if profile.owner_references().iter().all(|found| found.uid != owner.uid) {
        let owners: Vec<_> = profile.owner_references().iter().chain([&owner]).collect();
        lacking.insert("ownerReferences".into(), json!(owners));
    }
    Some(lacking).filter(|lacking| !lacking.is_empty())
}

type Entries = BTreeMap<String, String>;

fn differing(found: &Entries, wanted: Entries) -> Entries {
    wanted.into_iter().filter(|(key, value)| found.get(key) != Some(value)).collect()
}

fn annotations(found: &Entries, observed: &Observed) -> Map<String, Value> {
    let wanted = build::annotations(observed);
    let mut changed: Map<String, Value> = Map::new();
    for (key, value) in &wanted {
        let follows = key == SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON && found.get(key) != Some(value);
        if follows || !found.contains_key(key) {
            changed.insert(key.clone(), json!(value));
        }
    }
    let stale = found.contains_key(SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON)
        && !wanted.contains_key(SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON);
    if stale && build::chooses_cron_snapshots(observed) {
        changed.insert(SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON.to_owned(), Value::Null);
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::annotation::{MINIMUM_SUPPORTED_PVC_SIZE, USE_READ_WRITE_ONCE_FOR_DATA_IMPORT_CRON};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

    use super::super::sample::{class, observed, snapshot_class};
    use super::*;

    /// The class with the profile that was planned for it.
    fn settled(mut observed: Observed) -> Observed {
        let Some(Profile::Create(mut profile)) = plan(&observed).profile else { panic!("no profile is created") };
        profile.status = Some(status::status(&observed));
        observed.profile = Some(Arc::new(*profile));
        observed
    }

    fn changed(observed: &Observed, change: impl FnOnce(&mut StorageProfile)) -> Observed {
        let mut profile = observed.profile.as_deref().unwrap().clone();
        change(&mut profile);
        Observed { profile: Some(Arc::new(profile)), ..observed.clone() }
    }

    #[test]
    fn a_class_without_a_profile_gets_one_that_it_owns_and_its_status() {
        let plan = plan(&observed(class("csi.gantry.dev", &[])));
        let Some(Profile::Create(profile)) = plan.profile else { panic!("{plan:?}") };
        assert_eq!(profile.name_any(), "fast");
        assert_eq!(profile.labels()["cdi.kubevirt.io"], "");
        assert_eq!(profile.labels()["app"], "containerized-data-importer");
        let owner = &profile.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("StorageClass", "class-uid", None));
        assert_eq!(plan.status.unwrap().provisioner.as_deref(), Some("csi.gantry.dev"));
    }

    #[test]
    fn a_profile_that_says_what_holds_is_not_written_again() {
        for provisioner in ["csi.gantry.dev", "somebody.example", "pd.csi.storage.gke.io"] {
            let mut observed = settled(observed(class(provisioner, &[])));
            observed.now += jiff::SignedDuration::from_hours(7);
            assert_eq!(plan(&observed), Plan::default(), "{provisioner}");
        }
    }

    #[test]
    fn only_what_is_lacking_is_written() {
        let settled = settled(observed(class("ebs.csi.aws.com", &[("type", "io2")])));
        let relabelled = changed(&settled, |profile| drop(profile.labels_mut().insert("app".into(), "other".into())));
        let expected = json!({"metadata": {"labels": {"app": "containerized-data-importer"}}});
        assert_eq!(plan(&relabelled).profile, Some(Profile::Change(expected)));

        let bare = changed(&settled, |profile| profile.annotations_mut().clear());
        let expected = json!({"metadata": {"annotations": {(MINIMUM_SUPPORTED_PVC_SIZE): "4Gi"}}});
        assert_eq!(plan(&bare).profile, Some(Profile::Change(expected)));

        let own = changed(&settled, |profile| {
            profile.annotations_mut().insert(MINIMUM_SUPPORTED_PVC_SIZE.into(), "8Gi".into());
        });
        assert_eq!(plan(&own), Plan::default(), "an administrator's annotation stays");

        let mut snapshots = settled.clone();
        snapshots.snapshot_classes = vec![snapshot_class("vsc", false)];
        let plan = plan(&snapshots);
        assert_eq!(plan.profile, None);
        let status = plan.status.unwrap();
        assert_eq!(
            (status.snapshot_class.as_deref(), status.clone_strategy.as_deref()),
            (Some("vsc"), Some("snapshot"))
        );
    }

    #[test]
    fn what_no_longer_holds_is_taken_out_of_the_status() {
        let mut observed = observed(class("somebody.example", &[]));
        observed.snapshot_classes = vec![snapshot_class("vsc", false)];
        let mut observed = settled(observed);
        observed.snapshot_classes.clear();
        let status = plan(&observed).status.unwrap();
        assert_eq!((status.snapshot_class, status.clone_strategy.as_deref()), (None, Some("copy")));
    }

    #[test]
    fn a_profile_without_an_owner_is_adopted_and_other_owners_stay() {
        let settled = settled(observed(class("csi.gantry.dev", &[])));
        let other = OwnerReference { kind: "CDI".into(), uid: "cdi-uid".into(), ..OwnerReference::default() };
        for (owners, uids) in [(vec![], vec!["class-uid"]), (vec![other], vec!["cdi-uid", "class-uid"])] {
            let observed = changed(&settled, |profile| profile.metadata.owner_references = Some(owners));
            let Some(Profile::Change(change)) = plan(&observed).profile else { panic!("not adopted") };
            let found: Vec<_> = change["metadata"]["ownerReferences"].as_array().unwrap().iter().collect();
            assert_eq!(found.iter().map(|owner| owner["uid"].as_str().unwrap()).collect::<Vec<_>>(), uids);
        }
    }

    #[test]
    fn the_profile_of_a_former_class_is_left_to_the_garbage_collector() {
        let settled = settled(observed(class("csi.gantry.dev", &[])));
        let waiting = Plan { again: Some(UNTIL_COLLECTED), ..Plan::default() };
        let former = changed(&settled, |profile| profile.owner_references_mut()[0].uid = "former-uid".into());
        assert_eq!(plan(&former), waiting);
        let going = changed(&settled, |profile| profile.metadata.deletion_timestamp = Some(Time(settled.now)));
        assert_eq!(plan(&going), waiting);
    }

    #[test]
    fn a_class_that_is_being_deleted_gets_no_profile() {
        let mut class = class("csi.gantry.dev", &[]);
        class.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&observed(class)), Plan::default());
    }

    #[test]
    fn crons_on_googles_disks_use_one_node_and_snapshots_of_images() {
        let mut observed = observed(class("pd.csi.storage.gke.io", &[]));
        observed.snapshot_classes = vec![snapshot_class("archives", true), snapshot_class("images", false)];
        observed.snapshot_classes[1].parameters.insert("snapshot-type".into(), "images".into());
        let mut observed = settled(observed);
        let annotations = observed.profile.as_deref().unwrap().annotations().clone();
        assert_eq!(annotations[USE_READ_WRITE_ONCE_FOR_DATA_IMPORT_CRON], "true");
        assert_eq!(annotations[SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON], "images");

        observed.snapshot_classes.remove(1);
        let expected = json!({"metadata": {"annotations": {(SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON): null}}});
        assert_eq!(plan(&observed).profile, Some(Profile::Change(expected)), "the class is gone");
    }

    #[test]
    fn the_snapshot_class_of_crons_stays_where_the_table_has_no_rule_for_it() {
        let settled = settled(observed(class("csi.gantry.dev", &[])));
        let own = changed(&settled, |profile| {
            profile.annotations_mut().insert(SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON.into(), "mine".into());
        });
        assert_eq!(plan(&own), Plan::default());
    }
}
