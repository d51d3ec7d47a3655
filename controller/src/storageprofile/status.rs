//! What a profile's status says about its class.

use api::annotation::CLONE_STRATEGY;
use api::cdi::{ClaimPropertySet, StorageProfileSpec, StorageProfileStatus};
use api::condition::{self, Condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::capabilities::{Capability, CloneStrategy, Known, SourceFormat};
use super::observe::{Observed, SnapshotClass};
use super::table::{self, Found, NO_PROVISIONER};

/// The status that the profile of the observed class should have.
pub(crate) fn status(observed: &Observed) -> StorageProfileStatus {
    let class = &observed.class;
    let profile = observed.profile.as_deref();
    let spec = profile.map(|profile| profile.spec.clone()).unwrap_or_default();
    let found = table::find(&class.provisioner, &class.parameters.clone().unwrap_or_default());
    let snapshot_class = snapshot_class(&spec, &observed.snapshot_classes);
    let before = profile.and_then(|profile| profile.status.as_ref()).map_or(&[][..], |status| &status.conditions);
    StorageProfileStatus {
        storage_class: Some(class.name_any()),
        provisioner: Some(class.provisioner.clone()),
        clone_strategy: Some(clone_strategy(&spec, observed, found.known(), snapshot_class.is_some())),
        claim_property_sets: claim_property_sets(&spec, observed, found.known()),
        data_import_cron_source_format: Some(source_format(&spec, found.known(), snapshot_class.is_some())),
        snapshot_class,
        conditions: vec![recognized(found, observed, condition::find(before, condition::RECOGNIZED))],
    }
}

/// The administrator's VolumeSnapshotClass if it fits, else the default one, else the first by name.
fn snapshot_class(spec: &StorageProfileSpec, classes: &[SnapshotClass]) -> Option<String> {
    let chosen = match &spec.snapshot_class {
        Some(wanted) => classes.iter().find(|class| class.name == *wanted),
        None => classes.iter().find(|class| class.default).or(classes.first()),
    };
    chosen.map(|class| class.name.clone())
}

/// The administrator's word, else the class's own hint, else what is known of the provisioner, else a snapshot. A snapshot
/// that nobody asked for is taken only where it can be.
fn clone_strategy(spec: &StorageProfileSpec, observed: &Observed, known: Option<&Known>, snapshots: bool) -> String {
    if let Some(strategy) = &spec.clone_strategy {
        return strategy.clone();
    }
    let hint = observed.class.annotations().get(CLONE_STRATEGY).and_then(|hint| CloneStrategy::named(hint));
    let by_default = || match known.and_then(|known| known.clone).unwrap_or(CloneStrategy::Snapshot) {
        CloneStrategy::Snapshot if !snapshots => CloneStrategy::Copy,
        strategy => strategy,
    };
    hint.unwrap_or_else(by_default).name().to_owned()
}

/// The administrator's word, else what is known of the provisioner; snapshots only where there can be any.
fn source_format(spec: &StorageProfileSpec, known: Option<&Known>, snapshots: bool) -> String {
    let format = known.and_then(|known| known.format).filter(|_| snapshots).unwrap_or(SourceFormat::Pvc);
    spec.data_import_cron_source_format.clone().unwrap_or_else(|| format.name().to_owned())
}

/// The administrator's sets, else what is known of the provisioner, else what the volumes made by hand can do.
fn claim_property_sets(spec: &StorageProfileSpec, observed: &Observed, known: Option<&Known>) -> Vec<ClaimPropertySet> {
    if !spec.claim_property_sets.is_empty() {
        return spec.claim_property_sets.clone();
    }
    known.map_or(&observed.volumes[..], |known| known.modes).iter().map(set).collect()
}

fn set(capability: &Capability) -> ClaimPropertySet {
    ClaimPropertySet {
        access_modes: vec![capability.access.name().to_owned()],
        volume_mode: capability.volume.name().to_owned(),
    }
}

/// Whether the provisioner is known. Times move only with what they are of, so an unchanged status is not written again.
fn recognized(found: Found, observed: &Observed, before: Option<&Condition>) -> Condition {
    let (status, reason, message) = verdict(found, &observed.class.provisioner);
    let now = Some(Time(observed.now));
    let mut after = Condition {
        type_: condition::RECOGNIZED.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: before
            .filter(|before| before.status == status)
            .map_or(now.clone(), |before| before.last_transition_time.clone()),
        last_heartbeat_time: before.and_then(|before| before.last_heartbeat_time.clone()),
    };
    if Some(&after) != before {
        after.last_heartbeat_time = now;
    }
    after
}

/// Status, reason and message of the condition.
fn verdict(found: Found, provisioner: &str) -> (&'static str, &'static str, String) {
    const REMEDY: &str = "the profile's spec.claimPropertySets can say what it can do";
    let unknown = |message| (condition::FALSE, "UnrecognizedProvisioner", message);
    match found {
        Found::Known(row) if row.has_modes() => {
            (condition::TRUE, "RecognizedProvisioner", format!("Provisioner {provisioner} is known"))
        }
        Found::UnknownParameters => (
            condition::FALSE,
            "UnrecognizedStorageClassParameters",
            format!("Provisioner {provisioner} is known, but not with the parameters of this StorageClass; {REMEDY}"),
        ),
        Found::UnknownProvisioner if provisioner == NO_PROVISIONER => unknown(
            "Volumes are made by hand; what they can do is taken from the PersistentVolumes of this StorageClass"
                .into(),
        ),
        Found::UnknownProvisioner if table::is_unsupported(provisioner) => {
            unknown(format!("Provisioner {provisioner} makes no volumes for disks"))
        }
        Found::UnknownProvisioner | Found::Known(_) => {
            unknown(format!("Provisioner {provisioner} is not known; {REMEDY}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{class, observed, profile, snapshot_class};
    use super::*;

    #[test]
    fn the_clone_strategy_is_the_administrators_then_the_classs_then_the_known_one_then_what_is_possible() {
        for (provisioner, spec, hint, snapshots, expected) in [
            ("unknown", Some("csi-clone"), Some("copy"), true, "csi-clone"),
            ("unknown", None, Some("csi-clone"), true, "csi-clone"),
            ("unknown", None, Some("snapshot"), false, "snapshot"),
            ("unknown", None, Some("magic"), true, "snapshot"),
            ("unknown", None, None, true, "snapshot"),
            ("unknown", None, None, false, "copy"),
            ("topolvm.io", None, None, true, "copy"),
            ("rbd.csi.ceph.com", None, None, false, "csi-clone"),
            ("vpc.file.csi.ibm.io", None, None, true, "snapshot"),
            ("vpc.file.csi.ibm.io", None, None, false, "copy"),
        ] {
            let mut observed = observed(class(provisioner, &[]));
            let annotations = observed.class.annotations().clone();
            let hint = hint.map(|hint| (CLONE_STRATEGY.to_owned(), hint.to_owned()));
            let mut class = (*observed.class).clone();
            class.metadata.annotations = Some(annotations.into_iter().chain(hint).collect());
            observed.class = class.into();
            observed.profile = spec.map(|spec| profile(|profile| profile.spec.clone_strategy = Some(spec.into())));
            observed.snapshot_classes = if snapshots { vec![snapshot_class("vsc", false)] } else { Vec::new() };
            let status = status(&observed);
            assert_eq!(status.clone_strategy.as_deref(), Some(expected), "{provisioner} {spec:?} {snapshots}");
        }
    }

    #[test]
    fn crons_keep_snapshots_only_where_these_are_known_to_be_better_and_possible() {
        for (provisioner, spec, snapshots, expected) in [
            ("rook-ceph.rbd.csi.ceph.com", None, true, "snapshot"),
            ("rook-ceph.rbd.csi.ceph.com", None, false, "pvc"),
            ("rook-ceph.rbd.csi.ceph.com", Some("pvc"), true, "pvc"),
            ("rbd.csi.ceph.com", None, true, "pvc"),
            ("unknown", Some("snapshot"), false, "snapshot"),
        ] {
            let mut observed = observed(class(provisioner, &[]));
            observed.snapshot_classes = if snapshots { vec![snapshot_class("vsc", false)] } else { Vec::new() };
            observed.profile =
                spec.map(|spec| profile(|profile| profile.spec.data_import_cron_source_format = Some(spec.into())));
            let format = status(&observed).data_import_cron_source_format;
            assert_eq!(format.as_deref(), Some(expected), "{provisioner} {spec:?} {snapshots}");
        }
    }

    #[test]
    fn the_snapshot_class_is_the_administrators_if_it_fits_then_the_default_then_the_first() {
        let two = || vec![snapshot_class("a", false), snapshot_class("b", true)];
        for (classes, spec, expected) in [
            (vec![], None, None),
            (vec![snapshot_class("a", false), snapshot_class("b", false)], None, Some("a")),
            (two(), None, Some("b")),
            (two(), Some("a"), Some("a")),
            (two(), Some("of-another-driver"), None),
        ] {
            let mut observed = observed(class("unknown", &[]));
            observed.snapshot_classes = classes;
            observed.profile = spec.map(|spec| profile(|profile| profile.spec.snapshot_class = Some(spec.into())));
            assert_eq!(status(&observed).snapshot_class.as_deref(), expected, "{spec:?}");
        }
    }

    #[test]
    fn the_sets_are_the_administrators_then_the_known_ones_then_those_of_volumes_made_by_hand() {
        let volume = Capability {
            access: super::super::capabilities::AccessMode::Once,
            volume: super::super::capabilities::VolumeMode::Block,
        };
        let named = |status: &StorageProfileStatus| -> Vec<String> {
            let sets = status.claim_property_sets.iter();
            sets.map(|set| format!("{} {}", set.access_modes.join("+"), set.volume_mode)).collect()
        };
        let own = ClaimPropertySet {
            access_modes: vec!["ReadWriteMany".into(), "ReadWriteOnce".into()],
            volume_mode: "Block".into(),
        };
        for (provisioner, spec, volumes, expected) in [
            ("csi.gantry.dev", vec![], vec![], vec!["ReadWriteOnce Block", "ReadWriteOnce Filesystem"]),
            ("csi.gantry.dev", vec![own], vec![], vec!["ReadWriteMany+ReadWriteOnce Block"]),
            (NO_PROVISIONER, vec![], vec![volume], vec!["ReadWriteOnce Block"]),
            (NO_PROVISIONER, vec![], vec![], vec![]),
            ("unknown", vec![], vec![], vec![]),
        ] {
            let mut observed = observed(class(provisioner, &[]));
            observed.volumes = volumes;
            observed.profile = Some(profile(|profile| profile.spec.claim_property_sets = spec));
            assert_eq!(named(&status(&observed)), expected, "{provisioner}");
        }
    }

    #[test]
    fn recognition_has_its_reason() {
        for (provisioner, parameters, status, reason) in [
            ("csi.gantry.dev", &[][..], "True", "RecognizedProvisioner"),
            ("infinibox-csi-driver", &[("storage_protocol", "nvme")], "True", "RecognizedProvisioner"),
            ("infinibox-csi-driver", &[("storage_protocol", "tape")], "False", "UnrecognizedStorageClassParameters"),
            ("infinibox-csi-driver", &[], "False", "UnrecognizedStorageClassParameters"),
            (NO_PROVISIONER, &[], "False", "UnrecognizedProvisioner"),
            ("stork-snapshot", &[], "False", "UnrecognizedProvisioner"),
            ("xspc.csi.hpe.com", &[], "False", "UnrecognizedProvisioner"),
            ("somebody.example", &[], "False", "UnrecognizedProvisioner"),
        ] {
            let condition = super::status(&observed(class(provisioner, parameters))).conditions.remove(0);
            assert_eq!(
                (condition.status.as_str(), condition.reason.as_deref()),
                (status, Some(reason)),
                "{provisioner}"
            );
        }
    }

    #[test]
    fn the_times_of_a_condition_move_with_what_they_are_of() {
        let mut observed = observed(class("somebody.example", &[]));
        let first = status(&observed);
        let began = observed.now;
        observed.now += jiff::SignedDuration::from_hours(1);
        observed.profile = Some(profile(|profile| profile.status = Some(first.clone())));
        assert_eq!(status(&observed), first, "an hour alone changes nothing");

        let mut other = first.clone();
        other.conditions[0].message = Some("said by an older release".into());
        observed.profile = Some(profile(|profile| profile.status = Some(other)));
        let said = status(&observed).conditions.remove(0);
        assert_eq!(
            (said.last_transition_time, said.last_heartbeat_time),
            (Some(Time(began)), Some(Time(observed.now)))
        );

        observed.class = class("csi.gantry.dev", &[]).into();
        let turned = status(&observed).conditions.remove(0);
        assert_eq!(turned.last_transition_time, Some(Time(observed.now)));
    }
}
