//! What was decided and answered, in the words of a report. Pure.

use api::cdi::{ContentType, DataVolume};
use api::render::{BLOCK, ClassChoice, FILESYSTEM, FROM_STORAGE_PROFILE, Overhead, bytes_of};
use contract::{Code, Failure};
use controller::preview::{Cluster, Made, Reason, Start as When, Way as Path, overhead};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, CSIStorageCapacity, StorageClass};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::report::{self, Verdict};
use crate::show::bytes;

/// Stands for a uid that the API server has not given yet.
pub(super) const UID: &str = "00000000-0000-0000-0000-000000000000";

/// A name with the word `UID` where the uid of `claim` is.
pub(super) fn pattern(name: &str, claim: &PersistentVolumeClaim) -> String {
    match claim.metadata.uid.as_deref() {
        Some(uid) if !uid.is_empty() => name.replace(uid, "UID"),
        _ => name.to_owned(),
    }
}

/// Bytes that a claim asks for.
pub(super) fn size(spec: Option<&PersistentVolumeClaimSpec>) -> Option<u64> {
    let requests = spec?.resources.as_ref()?.requests.as_ref()?;
    bytes_of(requests.get("storage")?, "size").ok()
}

pub(super) fn class((class, choice): &(StorageClass, ClassChoice)) -> report::Class {
    let (chosen, because) = match choice {
        ClassChoice::Named => ("named", "the DataVolume names it"),
        ClassChoice::DefaultForMachines => ("defaultForMachines", "it is the default for disks of virtual machines"),
        ClassChoice::Default => ("default", "it is the cluster's default"),
    };
    let known = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
    report::Class {
        name: class.name_any(),
        chosen,
        because,
        provisioner: known(&class.provisioner),
        binding_mode: known(class.volume_binding_mode.as_deref().unwrap_or_default()),
    }
}

pub(super) fn way(path: Path, reason: Reason) -> report::Way {
    let (name, how) = match path {
        Path::Populator => {
            ("populator", "through a prime claim, whose volume is handed over when the disk is complete")
        }
        Path::Direct => ("direct", "directly: the importer works on the claim itself"),
        Path::Empty => ("empty", "not at all: a new block volume is an empty disk as it comes"),
        Path::External => ("external", "by another populator, which the claim names"),
    };
    let because = match reason {
        Reason::Asked => "the annotation cdi.kubevirt.io/storage.usePopulator says so",
        Reason::Driver => "the class has a CSI driver",
        Reason::NoDriver => "the provisioner of the class is no CSI driver",
        Reason::NoClass => "there is no class",
        Reason::OwnVolume => "the claim names its volume",
        Reason::OwnSource => "the DataVolume has no source, and its claim has one",
    };
    report::Way { name, how, because }
}

pub(super) fn start(when: When) -> report::Start {
    let (at, when, because) = match when {
        When::Class => ("class", "when there is such a class", "the class that the claim names does not exist"),
        When::Now => ("now", "at once", "nothing has to be waited for"),
        When::Bound => ("bound", "at once", "the class makes volumes immediately"),
        When::Consumer => (
            "consumer",
            "when a pod or a virtual machine that uses the claim is given a node",
            "the class waits for its first consumer, and the annotation cdi.kubevirt.io/storage.bind.immediate.requested is not set",
        ),
    };
    report::Start { at, when, because }
}

/// The claim as the API server would keep it.
pub(super) fn claim(
    data_volume: &DataVolume,
    claim: &PersistentVolumeClaim,
    cluster: &Cluster,
    verdict: Verdict,
) -> report::Claim {
    let spec = claim.spec.clone().unwrap_or_default();
    let class = spec.storage_class_name.clone().unwrap_or_default();
    let asked = asked(data_volume);
    let mode = spec.volume_mode.clone().unwrap_or_else(|| FILESYSTEM.to_owned());
    let from_profile = || format!("as the StorageProfile {class} has it");
    let given = |is_given: bool| match (is_given, data_volume.spec.storage.is_some()) {
        (true, _) => "as given".to_owned(),
        (false, true) if !class.is_empty() => from_profile(),
        _ => "Kubernetes's default".to_owned(),
    };
    let is_given = |mode: &str| !mode.is_empty() && mode != FROM_STORAGE_PROFILE;
    let volume_mode_because = match data_volume.spec.known_content_type() {
        Some(ContentType::Archive) => "an archive is unpacked into a file system".to_owned(),
        _ => given(asked.volume_mode.as_deref().is_some_and(is_given)),
    };
    report::Claim {
        name: claim.name_any(),
        size: size(Some(&spec)),
        size_because: size_because(size(Some(&asked)), size(Some(&spec)), &class, &mode, cluster),
        volume_mode: mode,
        volume_mode_because,
        access_modes: spec.access_modes.clone().unwrap_or_default(),
        access_modes_because: given(asked.access_modes.as_ref().is_some_and(|modes| !modes.is_empty())),
        verdict,
    }
}

/// The claim as the DataVolume asks for it.
fn asked(data_volume: &DataVolume) -> PersistentVolumeClaimSpec {
    let of_storage = || data_volume.spec.storage.as_ref().map(api::render::as_claim);
    data_volume.spec.pvc.clone().or_else(of_storage).unwrap_or_default()
}

fn size_because(asked: Option<u64>, size: Option<u64>, class: &str, mode: &str, cluster: &Cluster) -> String {
    let (Some(asked), Some(size)) = (asked, size) else { return "no size is given".to_owned() };
    if asked == size {
        return "as asked for".to_owned();
    }
    let share = overhead(cluster, class);
    let with_room = Overhead::read(&share).map(|share| share.required(asked));
    if mode != BLOCK && with_room == Some(size) {
        return format!("{} for the disk, and a share of {share} for the file system", bytes(asked));
    }
    format!("{} are asked for, and the class makes no smaller volume", bytes(asked))
}

/// The importer pod; `answered` is what the API server would keep.
pub(super) fn pod(
    planned: &Pod,
    answered: Option<&Pod>,
    claim: &PersistentVolumeClaim,
    image_known: bool,
    verdict: Verdict,
) -> report::Pod {
    let spec = answered.unwrap_or(planned).spec.clone().unwrap_or_default();
    let container = spec.containers.first().cloned().unwrap_or_default();
    let some = |value: Value| (!value.is_null()).then_some(value);
    report::Pod {
        name: pattern(&planned.name_any(), claim),
        image: container.image.filter(|_| image_known),
        service_account: spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
        priority_class: spec.priority_class_name,
        resources: json!(container.resources.unwrap_or_default()),
        node_selector: some(json!(spec.node_selector)),
        // What Kubernetes adds to every pod says nothing.
        tolerations: planned.spec.as_ref().and_then(|spec| some(json!(spec.tolerations))),
        pull_secrets: spec.image_pull_secrets.into_iter().flatten().map(|secret| secret.name).collect(),
        verdict,
    }
}

/// Whether the driver of a class says how much room there is.
pub(super) fn publishes_capacity(made: &Made, drivers: &[CSIDriver]) -> bool {
    let provisioner = made.class.as_ref().map(|(class, _)| class.provisioner.as_str());
    let driver = drivers.iter().find(|driver| driver.metadata.name.as_deref() == provisioner);
    driver.is_some_and(|driver| driver.spec.storage_capacity == Some(true))
}

/// Whether what a driver publishes is enough for one volume.
pub(super) fn capacity(
    class: &str,
    size: Option<u64>,
    published: &[CSIStorageCapacity],
) -> (report::Capacity, Option<Failure>) {
    let of_class = published.iter().filter(|capacity| capacity.storage_class_name == class);
    let largest = of_class
        .filter_map(|room| bytes_of(room.maximum_volume_size.as_ref().or(room.capacity.as_ref())?, "capacity").ok())
        .max();
    let (verdict, failure) = match (largest, size) {
        (None, _) => (
            Verdict::unknown("nothing is published for this class; drivers do so for classes that wait for a consumer"),
            None,
        ),
        (Some(largest), Some(size)) if size > largest => {
            let what =
                format!("no node has room for {}: the most that a volume can have is {}", bytes(size), bytes(largest));
            (Verdict::refused(what.clone()), Some(Failure::new(Code::ClaimPending, what).transient()))
        }
        _ => (Verdict::accepted(), None),
    };
    (report::Capacity { largest, verdict }, failure)
}

#[cfg(test)]
mod tests {
    use super::super::report::Word;
    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_saphyr::from_str(text).unwrap()
    }

    fn data_volume(spec: &str) -> DataVolume {
        yaml(&format!(
            "{{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {{name: disk}}, spec: {{{spec}}}}}"
        ))
    }

    fn kept(size: &str, mode: &str) -> PersistentVolumeClaim {
        yaml(&format!(
            "{{metadata: {{name: disk, uid: 12-34}}, spec: {{storageClassName: fast, accessModes: [ReadWriteOnce],
               volumeMode: {mode}, resources: {{requests: {{storage: {size}}}}}}}}}"
        ))
    }

    #[test]
    fn every_value_of_the_claim_has_its_reason() {
        let config = "{apiVersion: cdi.kubevirt.io/v1beta1, kind: CDIConfig, metadata: {name: config}, spec: {},
                       status: {filesystemOverhead: {storageClass: {fast: '0.5'}}}}";
        let cluster = Cluster { config: Some(yaml(config)), ..Cluster::default() };
        let (open, given) = (
            "storage: {resources: {requests: {storage: 1Gi}}}",
            "storage: {volumeMode: Block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
        );
        let word_for_word = "pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
        let archive = "contentType: archive, storage: {resources: {requests: {storage: 1Gi}}}";
        for (spec, size, mode, size_because, mode_because, access_because) in [
            (open, "1536Mi", "Filesystem", "share of 0.5", "StorageProfile fast", "StorageProfile fast"),
            (open, "2Gi", "Block", "no smaller volume", "StorageProfile fast", "StorageProfile fast"),
            (given, "1Gi", "Block", "as asked", "as given", "as given"),
            (word_for_word, "1Gi", "Filesystem", "as asked", "default", "as given"),
            (archive, "1536Mi", "Filesystem", "share of 0.5", "archive", "StorageProfile fast"),
        ] {
            let claim = claim(&data_volume(spec), &kept(size, mode), &cluster, Verdict::accepted());
            assert!(claim.size_because.contains(size_because), "{spec}: {}", claim.size_because);
            assert!(claim.volume_mode_because.contains(mode_because), "{spec}: {}", claim.volume_mode_because);
            assert!(claim.access_modes_because.contains(access_because), "{spec}: {}", claim.access_modes_because);
        }
    }

    #[test]
    fn a_uid_that_is_not_given_yet_is_no_part_of_a_name() {
        assert_eq!(pattern("importer-prime-12-34", &kept("1Gi", "Block")), "importer-prime-UID");
        assert_eq!(pattern("importer-disk", &PersistentVolumeClaim::default()), "importer-disk");
    }

    #[test]
    fn a_volume_that_no_node_has_room_for_is_refused() {
        let room = |text: &str| {
            yaml::<CSIStorageCapacity>(&format!("{{metadata: {{name: a}}, storageClassName: fast, {text}}}"))
        };
        let published = [room("capacity: 1Gi"), room("capacity: 9Gi, maximumVolumeSize: 3Gi")];
        for (class, size, answer, largest) in [
            ("fast", 2_u64 << 30, Word::Accepted, Some(3 << 30)),
            ("fast", 4 << 30, Word::Refused, Some(3 << 30)),
            ("other", 1, Word::Unknown, None),
        ] {
            let (capacity, failure) = capacity(class, Some(size), &published);
            assert_eq!((capacity.verdict.answer, capacity.largest), (answer, largest), "{class} {size}");
            assert_eq!(failure.is_some(), answer == Word::Refused);
        }
    }

    #[test]
    fn only_a_driver_that_says_so_publishes_room() {
        let driver = |storage: &str| {
            yaml::<CSIDriver>(&format!("{{metadata: {{name: d}}, spec: {{storageCapacity: {storage}}}}}"))
        };
        let class: StorageClass = yaml("{metadata: {name: fast}, provisioner: d}");
        let made = Made {
            claim: kept("1Gi", "Block"),
            source: None,
            class: Some((class, ClassChoice::Named)),
            way: Path::Direct,
            reason: Reason::NoDriver,
        };
        assert!(publishes_capacity(&made, &[driver("true")]));
        assert!(!publishes_capacity(&made, &[driver("false")]) && !publishes_capacity(&made, &[]));
    }

    #[test]
    fn the_pod_is_shown_as_the_api_server_would_keep_it() {
        let planned: Pod =
            yaml("{metadata: {name: importer-prime-12-34}, spec: {containers: [{name: i, image: 'a:1'}]}}");
        let kept_pod: Pod = yaml(
            "{metadata: {name: x}, spec: {serviceAccountName: robot, priorityClassName: high,
            tolerations: [{key: added}], containers: [{name: i, image: 'a:1', resources: {limits: {cpu: 1}}}]}}",
        );
        let shown = pod(&planned, Some(&kept_pod), &kept("1Gi", "Block"), true, Verdict::accepted());
        assert_eq!((shown.name.as_str(), shown.image.as_deref()), ("importer-prime-UID", Some("a:1")));
        assert_eq!((shown.service_account.as_str(), shown.priority_class.as_deref()), ("robot", Some("high")));
        assert_eq!(shown.resources, json!({"limits": {"cpu": "1"}}));
        assert!(shown.tolerations.is_none() && shown.node_selector.is_none());
        let unknown = pod(&planned, None, &kept("1Gi", "Block"), false, Verdict::unknown("no"));
        assert_eq!((unknown.service_account.as_str(), unknown.image), ("default", None));
    }
}
