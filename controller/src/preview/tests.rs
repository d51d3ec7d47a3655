use api::annotation;
use api::cdi::StorageProfile;

use super::*;
use crate::sample;

const PROFILE: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: StorageProfile
metadata: {name: local}
spec: {}
status: {claimPropertySets: [{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]}
";

fn cluster(binding: &str, drivers: &[&str]) -> Cluster {
    let mut class = sample::class(binding);
    class.metadata.annotations = Some([(annotation::DEFAULT_STORAGE_CLASS.to_owned(), "true".to_owned())].into());
    let gate = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: CDIConfig
metadata: {name: config}
spec: {featureGates: [HonorWaitForFirstConsumer], logVerbosity: 3}
status: {filesystemOverhead: {global: '0.1'}}
";
    Cluster {
        classes: vec![Arc::new(class)],
        profiles: vec![Arc::new(sample::yaml::<StorageProfile>(PROFILE))],
        drivers: drivers.iter().map(|driver| (*driver).to_owned()).collect(),
        config: Some(sample::yaml(gate)),
        ..Cluster::default()
    }
}

fn data_volume(annotations: &str, spec: &str) -> DataVolume {
    sample::yaml(&format!(
        "{{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume,
           metadata: {{name: disk, namespace: home, uid: uid-of-dv, annotations: {{{annotations}}}}}, spec: {{{spec}}}}}"
    ))
}

const HTTP: &str =
    "source: {http: {url: 'http://server/disk', secretRef: login}}, storage: {resources: {requests: {storage: 1Gi}}}";
const BY_HAND: &str =
    "source: {blank: {}}, storage: {volumeName: one, volumeMode: Block, resources: {requests: {storage: 1Gi}}}";
const BLANK_BLOCK: &str = "source: {blank: {}}, storage: {volumeMode: Block, resources: {requests: {storage: 1Gi}}}";

/// What is made, and how the claim is filled once the API server has taken it.
fn made(data_volume: &DataVolume, cluster: &Cluster) -> (Box<Made>, Option<Filling>) {
    let First::Makes(made) = first(data_volume, cluster, &sample::settings()) else { panic!("nothing is made") };
    let mut target = made.claim.clone();
    target.metadata.uid = Some("uid-of-disk".into());
    let filling = filling(&target, &made, cluster, &sample::settings()).unwrap();
    (made, filling)
}

#[test]
fn the_way_the_start_and_the_pod_follow_from_class_driver_and_annotations() {
    let csi = &["csi.gantry.dev"][..];
    let direct = "cdi.kubevirt.io/storage.usePopulator: 'false'";
    let at_once = "cdi.kubevirt.io/storage.bind.immediate.requested: ''";
    let prime = "importer-prime-uid-of-disk";
    for (annotations, spec, binding, drivers, way, reason, start, pod) in [
        ("", HTTP, "Immediate", csi, Way::Populator, Reason::Driver, Start::Now, Some(prime)),
        ("", HTTP, "WaitForFirstConsumer", csi, Way::Populator, Reason::Driver, Start::Consumer, Some(prime)),
        (at_once, HTTP, "WaitForFirstConsumer", csi, Way::Populator, Reason::Driver, Start::Now, Some(prime)),
        ("", HTTP, "Immediate", &[], Way::Direct, Reason::NoDriver, Start::Bound, Some("importer-disk")),
        (direct, HTTP, "WaitForFirstConsumer", csi, Way::Direct, Reason::Asked, Start::Consumer, Some("importer-disk")),
        (at_once, HTTP, "WaitForFirstConsumer", &[], Way::Direct, Reason::NoDriver, Start::Now, Some("importer-disk")),
        ("", BLANK_BLOCK, "Immediate", csi, Way::Empty, Reason::Driver, Start::Bound, None),
        ("", BY_HAND, "Immediate", csi, Way::Direct, Reason::OwnVolume, Start::Bound, Some("importer-disk")),
    ] {
        let (made, filling) = made(&data_volume(annotations, spec), &cluster(binding, drivers));
        let filling = filling.unwrap();
        let shown = format!("{annotations} {spec} {binding} {drivers:?}");
        assert_eq!((made.way, made.reason, filling.start), (way, reason, start), "{shown}");
        assert_eq!(filling.pod.and_then(|pod| pod.metadata.name).as_deref(), pod, "{shown}");
        assert_eq!(filling.prime.is_some(), way == Way::Populator, "{shown}");
        assert_eq!(made.class.unwrap().1, ClassChoice::Default, "{shown}");
    }
}

#[test]
fn the_pod_is_told_what_the_installation_says() {
    let (made, filling) = made(&data_volume("", HTTP), &cluster("Immediate", &["csi.gantry.dev"]));
    let size = &made.claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"];
    assert_eq!(size.0, ((1_u64 << 30) * 11).div_ceil(10).to_string());
    let spec = filling.unwrap().pod.unwrap().spec.unwrap();
    assert_eq!(spec.containers[0].args.as_deref(), Some(&["-v=3".to_owned()][..]));
    assert_eq!(spec.containers[0].image.as_deref(), Some("image:1"));
    let secrets = spec.containers[0]
        .env
        .iter()
        .flatten()
        .filter_map(|variable| Some(variable.value_from.as_ref()?.secret_key_ref.as_ref()?.key.clone()));
    assert_eq!(secrets.collect::<Vec<_>>(), ["accessKeyId", "secretKey"]);
}

#[test]
fn what_cannot_be_done_or_need_not_be_is_said() {
    let settings = sample::settings();
    let here = cluster("Immediate", &[]);
    let taken = Cluster { claim: Some(sample::claim("disk", "Bound", &[])), ..here.clone() };
    let filled = [("cdi.kubevirt.io/storage.populatedFor", "disk")];
    let prepared = Cluster { claim: Some(sample::claim("disk", "Bound", &filled)), ..here.clone() };
    let http = data_volume("", HTTP);
    let adopting = data_volume("cdi.kubevirt.io/allowClaimAdoption: 'true'", HTTP);
    assert!(matches!(first(&adopting, &taken, &settings), First::Adopts));
    assert!(matches!(first(&http, &prepared, &settings), First::Populated));
    let nowhere = Cluster { classes: Vec::new(), ..here.clone() };
    let waits = |data_volume: &DataVolume, cluster: &Cluster| match first(data_volume, cluster, &settings) {
        First::Waits(failure) => failure.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(&http, &taken), Code::ClaimExists);
    assert_eq!(waits(&http, &nowhere), Code::ClaimNoClass);
    let upload = data_volume("", "source: {upload: {}}, storage: {resources: {requests: {storage: 1Gi}}}");
    assert_eq!(waits(&upload, &here), Code::SourceUnserved);
}

#[test]
fn a_claim_with_a_source_of_its_own_is_filled_by_others() {
    let spec = "pvc: {dataSourceRef: {apiGroup: other, kind: Other, name: one}, accessModes: [ReadWriteOnce],
                storageClassName: local, resources: {requests: {storage: 1Gi}}}";
    let (made, filling) = made(&data_volume("", spec), &cluster("Immediate", &["csi.gantry.dev"]));
    assert_eq!((made.way, made.reason), (Way::External, Reason::OwnSource));
    assert!(filling.is_none());
    assert_eq!(made.class.unwrap().1, ClassChoice::Named);
}
