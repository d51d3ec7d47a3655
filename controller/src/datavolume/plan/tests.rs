use std::sync::Arc;

use api::cdi::{CdiConfigStatus, StorageProfile};
use jiff::Timestamp;

use super::*;
use crate::cdiconfig::Features;
use crate::sample;

const HTTP: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk, namespace: home, uid: uid-of-dv, labels: {team: blue}, annotations: {note: kept, kubectl.kubernetes.io/last-applied-configuration: '{}'}}
spec:
  source: {http: {url: 'http://server/disk'}}
  priorityClassName: high
  storage: {resources: {requests: {storage: 1Gi}}}
";
const BLANK_BLOCK: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk, namespace: home, uid: uid-of-dv}
spec:
  source: {blank: {}}
  pvc: {accessModes: [ReadWriteOnce], volumeMode: Block, storageClassName: local, resources: {requests: {storage: 1Gi}}}
";
const PROFILE: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: StorageProfile
metadata: {name: local}
spec: {}
status: {claimPropertySets: [{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]}
";

pub(in crate::datavolume) fn observed(manifest: &str) -> Observed {
    let mut class = sample::class("Immediate");
    class.metadata.annotations = Some([(annotation::DEFAULT_STORAGE_CLASS.to_owned(), "true".to_owned())].into());
    Observed {
        data_volume: Arc::new(sample::yaml(manifest)),
        claim: None,
        source: None,
        classes: vec![Arc::new(class)],
        profiles: vec![Arc::new(sample::yaml::<StorageProfile>(PROFILE))],
        volumes: Vec::new(),
        drivers: vec!["csi.gantry.dev".into()],
        config: CdiConfigStatus::default(),
        unserved: None,
        webhook_renders: true,
        features: Features { honour_wait_for_first_consumer: true, claim_adoption: false },
        worker: None,
        ended: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn created(observed: &Observed) -> (Option<Box<VolumeImportSource>>, PersistentVolumeClaim) {
    match plan(observed, &sample::settings()) {
        Plan::Create { source, claim } => (source, *claim),
        other => panic!("{other:?}"),
    }
}

fn with(manifest: &str, change: impl FnOnce(&mut DataVolume)) -> Observed {
    let mut observed = observed(manifest);
    let mut data_volume = (*observed.data_volume).clone();
    change(&mut data_volume);
    observed.data_volume = Arc::new(data_volume);
    observed
}

fn annotate(data_volume: &mut DataVolume, key: &str, value: &str) {
    data_volume.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
}

#[test]
fn a_driver_means_a_prime_claim_and_the_user_has_the_last_word() {
    for (drivers, said, path) in [
        (true, None, "populator"),
        (false, None, "direct"),
        (true, Some("false"), "direct"),
        (false, Some("true"), "populator"),
    ] {
        let mut seen = with(HTTP, |data_volume| {
            if let Some(said) = said {
                annotate(data_volume, annotation::USE_POPULATOR, said);
            }
        });
        if !drivers {
            seen.drivers.clear();
        }
        let (source, claim) = created(&seen);
        let direct = claim.annotations().contains_key(annotation::IMPORT_ENDPOINT);
        let named = claim.spec.unwrap().data_source_ref.map(|source| source.name);
        match path {
            "direct" => assert!(direct && source.is_none() && named.is_none(), "{drivers} {said:?}"),
            _ => assert!(!direct && named == Some(source.unwrap().name_any()), "{drivers} {said:?}"),
        }
    }
}

#[test]
fn the_claim_carries_what_the_data_volume_carries() {
    let (source, claim) = created(&with(HTTP, |data_volume| {
        annotate(data_volume, annotation::POPULATED_FOR, "disk");
        annotate(data_volume, annotation::POD_PHASE, "Succeeded");
    }));
    let annotations = claim.annotations();
    let said = [annotation::POPULATED_FOR, annotation::POD_PHASE];
    assert!(said.iter().all(|key| !annotations.contains_key(*key)), "only its controllers say that it is filled");
    assert_eq!(annotations.get("note").map(String::as_str), Some("kept"));
    assert!(!annotations.contains_key("kubectl.kubernetes.io/last-applied-configuration"));
    assert_eq!(annotations.get(annotation::PRIORITY_CLASS_NAME).map(String::as_str), Some("high"));
    assert_eq!(annotations.get(annotation::CREATED_FOR_DATA_VOLUME).map(String::as_str), Some("uid-of-dv"));
    assert_eq!(claim.labels().get("team").map(String::as_str), Some("blue"));
    assert_eq!(claim.labels().get(label::PVC_FILLING_UP_ALERT).map(String::as_str), Some("disabled"));
    assert_eq!(claim.owner_references()[0].uid, "uid-of-dv");
    let requested = claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone();
    assert_eq!(requested, ((1_u64 << 30) * 106 / 100 + 1).to_string(), "the file system's share is added");
    assert_eq!(source.unwrap().spec.source.unwrap().http.unwrap().url, "http://server/disk");
}

#[test]
fn a_volume_that_the_claim_names_is_filled_itself() {
    let named = with(BLANK_BLOCK, |data_volume| {
        data_volume.spec.pvc.as_mut().unwrap().volume_name = Some("one".into());
        annotate(data_volume, annotation::USE_POPULATOR, "true");
    });
    let (source, claim) = created(&named);
    assert!(source.is_none() && claim.spec.unwrap().data_source_ref.is_none());
}

#[test]
fn an_empty_block_volume_is_made_as_it_is() {
    let (source, claim) = created(&observed(BLANK_BLOCK));
    assert!(source.is_none() && claim.annotations().get(annotation::IMPORT_SOURCE).is_some());
    let preallocated = with(BLANK_BLOCK, |data_volume| data_volume.spec.preallocation = Some(true));
    assert!(created(&preallocated).0.is_some(), "its zeros are written before anybody sees it");
}

#[test]
fn without_a_class_the_data_volume_waits_and_says_so() {
    let mut seen = observed(HTTP);
    seen.classes.clear();
    let Plan::Wait { failure, reason } = plan(&seen, &sample::settings()) else { panic!("it does not wait") };
    assert_eq!((failure.code(), reason), (Code::ClaimNoClass, "ErrClaimNotValid"));
}

#[test]
fn a_claim_that_was_there_is_taken_over_only_where_that_is_allowed() {
    for (gate, said, made_for_it, adopts) in [
        (false, None, false, false),
        (true, None, false, true),
        (true, Some("false"), false, false),
        (false, Some("true"), false, true),
        (false, Some("1"), false, true),
        (false, None, true, true),
    ] {
        let mut seen = with(HTTP, |data_volume| {
            if let Some(said) = said {
                annotate(data_volume, annotation::ALLOW_CLAIM_ADOPTION, said);
            }
        });
        seen.features.claim_adoption = gate;
        let made = [(annotation::CREATED_FOR_DATA_VOLUME, "uid-of-dv")];
        seen.claim = Some(Arc::new(sample::claim("disk", "Bound", if made_for_it { &made } else { &[] })));
        match plan(&seen, &sample::settings()) {
            Plan::Adopt(change) => {
                assert!(adopts, "{gate} {said:?}");
                assert_eq!(change["metadata"]["ownerReferences"][0]["uid"], "uid-of-dv");
            }
            Plan::Wait { failure, reason } => {
                assert!(
                    !adopts && failure.code() == Code::ClaimExists && reason == "ErrResourceExists",
                    "{gate} {said:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_claim_that_is_being_deleted_is_waited_for() {
    let mut seen = observed(HTTP);
    let mut claim = sample::claim("disk", "Bound", &[]);
    claim.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
    seen.claim = Some(Arc::new(claim));
    let Plan::Wait { reason, .. } = plan(&seen, &sample::settings()) else { panic!("it does not wait") };
    assert_eq!(reason, "ErrResourceMarkedForDeletion");
}

#[test]
fn a_filled_claim_is_marked_once_and_its_source_goes() {
    let (source, claim) = created(&observed(HTTP));
    for (annotations, marks) in [(&[(annotation::POD_PHASE, "Succeeded")][..], true), (&[], false)] {
        let mut seen = observed(HTTP);
        let mut ours = sample::claim("disk", "Bound", annotations);
        ours.metadata.owner_references = claim.metadata.owner_references.clone();
        ours.metadata.annotations.as_mut().unwrap().extend(claim.annotations().clone());
        seen.claim = Some(Arc::new(ours));
        seen.source = source.clone().map(|source| Arc::new(*source));
        let Plan::Follow(finish) = plan(&seen, &sample::settings()) else { panic!("not followed") };
        assert_eq!((finish.mark.is_some(), finish.delete_source), (marks, marks), "{annotations:?}");
    }
}

#[test]
fn a_prepopulated_claim_is_left_alone() {
    let mut seen = with(HTTP, |data_volume| annotate(data_volume, annotation::PRE_POPULATED, "disk"));
    assert_eq!(plan(&seen, &sample::settings()), Plan::Follow(Finish::default()));
    seen.claim = Some(Arc::new(sample::claim("disk", "Bound", &[])));
    assert_eq!(plan(&seen, &sample::settings()), Plan::Follow(Finish::default()));
}

#[test]
fn a_data_source_is_left_to_a_driver_and_waits_where_there_is_none() {
    let copy = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk, namespace: home, uid: uid-of-dv}
spec:
  pvc:
    accessModes: [ReadWriteOnce]
    storageClassName: local
    dataSource: {kind: PersistentVolumeClaim, name: original}
    resources: {requests: {storage: 1Gi}}
";
    let mut seen = observed(copy);
    seen.drivers = vec!["csi.gantry.dev".into()];
    let Plan::Create { source: None, claim } = plan(&seen, &sample::settings()) else { panic!("no claim") };
    assert_eq!(claim.annotations().get(annotation::EXTERNAL_POPULATION).map(String::as_str), Some("true"));
    seen.drivers.clear();
    let Plan::Wait { failure, reason } = plan(&seen, &sample::settings()) else { panic!("it does not wait") };
    assert_eq!((failure.code(), reason), (Code::ClaimNoClass, "NoCSIDriverForExternalPopulation"));
}
